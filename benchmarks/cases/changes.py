"""Systematic ways of getting a right gradient wrong, and the families of cases made from them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.cases.contract import (
    COUNTS_FROM,
    Inputs,
    PowerCase,
    Target,
    Truth,
    by_autograd,
)

Change = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""``change(gradient, parameter) -> wrong gradient``, for one parameter."""


def _ranked(gradient: np.ndarray) -> np.ndarray:
    """Flat indices of the entries that count, from the smallest to the largest magnitude."""
    magnitude = np.abs(np.asarray(gradient, np.float64)).ravel()
    order = np.argsort(magnitude, kind="stable")
    typical = np.sqrt(np.mean(magnitude**2))
    return order[magnitude[order] > 2 * COUNTS_FROM * typical]


def _one_entry(where: float, factor: float) -> Change:
    """Scale the entry at quantile ``where`` of the magnitudes by ``factor``."""

    def change(gradient: np.ndarray, _parameter: np.ndarray) -> np.ndarray:
        ranked = _ranked(gradient)
        wrong = np.array(gradient, copy=True)
        if not ranked.size:  # outside the domain of the loss, where a checker may look
            return wrong
        index = np.unravel_index(ranked[int(where * (ranked.size - 1))], wrong.shape)
        wrong[index] *= factor
        return wrong

    return change


def _row(gradient: np.ndarray, _parameter: np.ndarray) -> np.ndarray:
    wrong = np.array(gradient, copy=True)
    if wrong.ndim == 0:
        return wrong * 0
    wrong[int(np.argmax(np.abs(wrong).reshape(len(wrong), -1).sum(axis=1)))] *= 0.9
    return wrong


def _column(gradient: np.ndarray, _parameter: np.ndarray) -> np.ndarray:
    wrong = np.array(gradient, copy=True)
    if wrong.ndim < 2:
        return _row(gradient, _parameter)
    wrong[..., int(np.argmax(np.abs(wrong).reshape(-1, wrong.shape[-1]).sum(axis=0)))] *= 1.05
    return wrong


def _swap(gradient: np.ndarray, _parameter: np.ndarray) -> np.ndarray:
    wrong = np.array(gradient, copy=True)
    flat = wrong.reshape(-1)
    order = np.argsort(flat)
    low, high = order[0], order[-1]
    if flat[low] == flat[high]:
        return wrong * 1.5
    flat[low], flat[high] = float(flat[high]), float(flat[low])
    return flat.reshape(wrong.shape)


def _transpose(gradient: np.ndarray, _parameter: np.ndarray) -> np.ndarray:
    if gradient.ndim != 2:
        return -gradient
    return np.ascontiguousarray(gradient.T).reshape(gradient.shape)


def _shifted(gradient: np.ndarray, _parameter: np.ndarray) -> np.ndarray:
    typical = np.sqrt(np.mean(np.square(gradient, dtype=np.float64)))
    return gradient + np.asarray(1e-3 * typical, gradient.dtype)


def _speckled(gradient: np.ndarray, _parameter: np.ndarray) -> np.ndarray:
    draws = np.random.default_rng(5).choice([-1.0, 1.0], size=gradient.shape)
    return (gradient * (1 + 3e-4 * draws)).astype(gradient.dtype)


def _regularised(gradient: np.ndarray, parameter: np.ndarray) -> np.ndarray:
    typical = np.sqrt(np.mean(np.square(gradient, dtype=np.float64)))
    size = np.sqrt(np.mean(np.square(parameter, dtype=np.float64)))
    return gradient + (2e-3 * typical / size * parameter).astype(gradient.dtype)


def _times(factor: float) -> Change:
    return lambda gradient, _parameter: (gradient * np.asarray(factor, gradient.dtype)).astype(
        gradient.dtype
    )


CHANGES: dict[str, Change] = {
    "sign": _times(-1.0),
    "factor_1.0001": _times(1.00011),
    "factor_0.999": _times(0.999),
    "factor_2": _times(2.0),
    "zero": _times(0.0),
    "largest_entry_1e-3": _one_entry(1.0, 1.001),
    "median_entry_1e-3": _one_entry(0.5, 0.999),
    "small_entry_1e-3": _one_entry(0.0, 1.001),
    "small_entry_sign": _one_entry(0.0, -1.0),
    "median_entry_2e-4": _one_entry(0.5, 1.0002),
    "row": _row,
    "column": _column,
    "swapped_entries": _swap,
    "transposed": _transpose,
    "shifted_1e-3": _shifted,
    "speckled_3e-4": _speckled,
    "extra_decay": _regularised,
}

COARSE: dict[str, Change] = {
    "sign": _times(-1.0),
    "factor_1.02": _times(1.02),
    "factor_0.5": _times(0.5),
    "zero": _times(0.0),
    "largest_entry_0.03": _one_entry(1.0, 1.03),
    "median_entry_0.05": _one_entry(0.5, 0.95),
    "small_entry_sign": _one_entry(0.0, -1.0),
    "row": _row,
    "swapped_entries": _swap,
}
"""The changes that count as wrong in single precision."""


def changed(target: Target, parameter: str, change: Change) -> Target:
    """Return ``target`` with the gradient of one parameter changed, the loss untouched.

    ``parameter`` is a key of the gradient; the parameter itself is looked up among the inputs, or
    in the one dict among them.
    """

    @functools.wraps(target)
    def wrong(**inputs: Any) -> tuple[Any, dict[str, Any]]:
        loss, gradient = target(**inputs)
        gradient = dict(gradient)
        tree = (
            inputs
            if parameter in inputs
            else next(
                value for value in inputs.values() if isinstance(value, dict) and parameter in value
            )
        )
        gradient[parameter] = change(
            np.asarray(gradient[parameter]), np.asarray(tree[parameter], np.float64)
        )
        return loss, gradient

    return wrong


MORE_DRAWS = {
    "smooth": 3,
    "corners": 4,
    "large": 1,
    "scale": 1,
    "offset": 2,
    "single precision": 2,
    "single precision forced": 2,
}
"""Right cases at further points, by category."""


def moved(inputs: Inputs, wrt: Sequence[str], seed: int) -> Inputs:
    """Return a factory of the same inputs with every parameter entry scaled by a random factor."""

    def elsewhere() -> dict[str, Any]:
        found = inputs()
        rng = np.random.default_rng(1000 + seed)
        for name in wrt:
            factor = 1.0 + 0.35 * rng.standard_normal(np.shape(found[name]))
            found[name] = (found[name] * factor).astype(np.asarray(found[name]).dtype)
        return found

    return elsewhere


def family(
    name: str,
    category: str,
    make: Callable[..., Target],
    inputs: Inputs,
    *,
    wrt: Sequence[str],
    twin: Callable[..., Any] | None = None,
    truth: Callable[[dict[str, Any]], Truth] | None = None,
    bugs: Sequence[str] = (),
    changes: Mapping[str, str | Sequence[str]] | None = None,
    **rest: Any,
) -> Iterator[PowerCase]:
    """Yield the right case of a model, its mis-derived variants, and systematic changes of it.

    ``make(bug)`` builds the target; ``make("")`` is right. ``changes`` maps names of changes to the
    parameter or parameters that each is applied to.
    """
    names = tuple(wrt)
    exact = truth if truth is not None else by_autograd(twin, names)  # type: ignore[arg-type]
    common: dict[str, Any] = {"inputs": inputs, "wrt": names, "truth": exact, **rest}
    yield PowerCase(f"{name}/right", category, make(""), right=True, **common)
    for seed in range(MORE_DRAWS.get(category, 0)):
        there = {**common, "inputs": moved(inputs, names, seed)}
        yield PowerCase(f"{name}/right_draw_{seed + 1}", category, make(""), right=True, **there)
    for bug in bugs:
        yield PowerCase(f"{name}/{bug}", category, make(bug), right=False, **common)
    table = {**CHANGES, **COARSE}
    for label, where in (changes or {}).items():
        for parameter in [where] if isinstance(where, str) else where:
            target = changed(make(""), parameter, table[label])
            yield PowerCase(f"{name}/{label}[{parameter}]", category, target, right=False, **common)


def rotation(names: Sequence[str], start: int, count: int) -> dict[str, str]:
    """Return ``count`` of the systematic changes, rotating through changes and parameters."""
    keys = list(CHANGES)
    return {
        keys[(start * count + k) % len(keys)]: names[(start + k) % len(names)] for k in range(count)
    }
