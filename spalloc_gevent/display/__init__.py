"""Text and pictures from data; knows no server."""
