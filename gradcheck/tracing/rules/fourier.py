"""Fourier transforms of NumPy and SciPy."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from gradcheck.tracing.operation import Context, Rule

_ONE = "fft ifft rfft irfft hfft ihfft".split()
_TWO = "fft2 ifft2 rfft2 irfft2".split()
_MANY = "fftn ifftn rfftn irfftn".split()


def _along_one(name: str) -> Rule:
    def rule(
        context: Context,
        a: Any,
        n: Any = None,
        axis: int = -1,
        norm: Any = None,
        *_: Any,
        **__: Any,
    ) -> Any:
        transform = getattr(context.torch.fft, name)
        return transform(context.tensor(a), n=n, dim=axis, norm=norm).resolve_conj()

    return rule


def _along_several(name: str, usual: tuple[int, ...] | None) -> Rule:
    def rule(
        context: Context, a: Any, s: Any = None, axes: Any = usual, norm: Any = None, *_: Any,
        **__: Any,
    ) -> Any:  # fmt: skip
        transform = getattr(context.torch.fft, name)
        lengths = None if s is None else tuple(int(n) for n in s)
        if axes is None and s is not None:
            axes = tuple(range(-len(s), 0))
        chosen = None if axes is None else tuple(int(axis) for axis in np.atleast_1d(axes))
        return transform(context.tensor(a), s=lengths, dim=chosen, norm=norm).resolve_conj()

    return rule


def _rules_of(module: Any) -> dict[Any, Rule]:
    rules = {getattr(module, name): _along_one(name) for name in _ONE}
    rules |= {getattr(module, name): _along_several(name, (-2, -1)) for name in _TWO}
    return rules | {getattr(module, name): _along_several(name, None) for name in _MANY}


FUNCTIONS: dict[Any, Rule] = _rules_of(np.fft)


def scipy_rules() -> dict[Any, Rule]:
    """Return the rules of ``scipy.fft``; imports it."""
    return _rules_of(importlib.import_module("scipy.fft"))
