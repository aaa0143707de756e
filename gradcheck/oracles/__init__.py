"""Independent sources of a gradient, one a file; each returns values with their uncertainty."""
