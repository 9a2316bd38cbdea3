"""What every command has, the simulator's included, and nothing that asks a server."""
