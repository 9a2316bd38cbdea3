"""What a developer of the package runs: tests, a real server, a demonstration."""
