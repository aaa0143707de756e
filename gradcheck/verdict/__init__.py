"""From the oracles' estimates to a verdict for each entry."""
