"""Measurements beside what people use instead; each module is a command that prints one table."""
