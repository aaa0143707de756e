"""NumPy targets: from the first call to a Problem."""
