"""Small published models with their gradients written by hand, some of them wrong."""
