"""What the pages of a report draw, as plain data."""
