"""The second set: other losses than those of the first."""

from __future__ import annotations

from benchmarks.outside_cases.second import likelihoods, networks, physics, torch_functions

MODELS = (*networks.MODELS, *likelihoods.MODELS, *physics.MODELS, *torch_functions.MODELS)
