"""Evaluating a target without its floating-point warnings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def quiet() -> Iterator[None]:
    """Silence floating-point warnings: what is not finite is reported by name instead."""
    with np.errstate(all="ignore"):
        yield
