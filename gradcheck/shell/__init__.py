"""What the command line and pytest do besides parsing."""
