"""The collection of the power study: right and wrong gradients with an independent truth."""

from __future__ import annotations

import importlib

from benchmarks.cases.contract import PowerCase

MODULES = (
    "regression",
    "networks",
    "sequences",
    "probabilistic",
    "elementwise",
    "kinks",
    "scales",
    "limits",
    "precision",
    "manners",
    "random_losses",
    "large",
    "further",
    "torch_targets",
    "found",
)


def collection() -> list[PowerCase]:
    """Return every case, freshly made; names are unique.

    Raises:
        ValueError: two cases bear the same name.
    """
    found = [
        case
        for module in MODULES
        for case in importlib.import_module(f"benchmarks.cases.{module}").cases()
    ]
    names = [case.name for case in found]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"cases of the same name: {', '.join(twice)}")
    return found
