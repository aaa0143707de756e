"""PyTorch targets: the backward pass is on trial."""
