"""The first set."""

from __future__ import annotations

from benchmarks.outside_cases.first import (
    likelihoods,
    networks,
    physics,
    torch_layers,
    torch_losses,
)

MODELS = (
    *networks.MODELS,
    *likelihoods.MODELS,
    *physics.MODELS,
    *torch_layers.MODELS,
    *torch_losses.MODELS,
)
