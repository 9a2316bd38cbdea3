"""What is measured: each figure in the same run as the floor that it is judged by."""
