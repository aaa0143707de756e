"""Whether the label of a case holds: its gradient against independent numbers in float64.

A right gradient agrees with the complex step (Squire and Trapp, 1998) or, where the loss does not
take complex numbers, with central differences of order 8, to 1e-8; one in lower precision also with
itself in float64. A wrong one is off by the least that is called wrong in its precision.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from benchmarks.outside_cases.losses import Loss, as_it_is, in_float64
from benchmarks.outside_cases.models import Case

ORDER_8 = np.array([4 / 5, -1 / 5, 4 / 105, -1 / 280])
ORDER_6 = np.array([3 / 4, -3 / 20, 1 / 60, 0.0])
STEPS = (0.06, 1.5e-2, 3e-3, 5e-4, 5e-5, 3e-6)
"""Steps of the differences, relative to the size of the entry."""
IMAGINARY = 1e-30
"""Imaginary step, relative to the size of the entry."""
ENTRIES = 40
"""Entries of a parameter that are held against independent numbers."""
LEAST_WRONG = {"half": 0.2, "float32": 1e-2, "float64": 1e-4}
"""Relative error of some entry from which a gradient is wrong."""
MOST_ROUNDING = {"half": 5e-2, "float32": 1e-4, "float64": 1e-9}
"""Relative error that a right gradient's own precision explains."""
AGREEMENT = 1e-8
NOT_COMPLEX = (TypeError, ValueError, IndexError, Warning, np.linalg.LinAlgError)
"""What a loss raises that does not take complex numbers; discarded parts are made errors."""


@dataclass(frozen=True)
class Slope:
    """A derivative along one entry."""

    value: float
    error: float


def precision(case: Case) -> str:
    """The lowest precision a case mentions."""
    return next((low for low in ("float16", "float32") if low in case.text), "float64").replace(
        "float16", "half"
    )


def _difference(loss: Loss, path: str, entry: tuple[int, ...], size: float) -> Slope:
    """Central differences of order 8 at the step that is best, with their error."""
    values = loss.parameter(path)
    best = Slope(np.nan, np.inf)
    for relative in STEPS:
        step = np.zeros_like(values)
        step[entry] = relative * size
        try:
            pairs = np.array(
                [
                    (loss.value(path, values + k * step), loss.value(path, values - k * step))
                    for k in range(1, 5)
                ]
            )
        except (np.linalg.LinAlgError, RuntimeError):
            continue  # the step leaves the loss's domain; without any other, the case is not held
        if not np.all(np.isfinite(pairs)):
            continue
        changes = pairs[:, 0] - pairs[:, 1]
        eighth, sixth = (changes @ rule / (relative * size) for rule in (ORDER_8, ORDER_6))
        error = abs(eighth - sixth) + 2e-16 * np.max(np.abs(pairs)) / (relative * size)
        if error < best.error:
            best = Slope(float(eighth), float(error))
        if error < 1e-12 * abs(eighth):
            break
    return best


def _complex_step(loss: Loss, path: str, entry: tuple[int, ...], size: float) -> float | None:
    values = loss.parameter(path).astype(complex)
    values[entry] += 1j * IMAGINARY * size
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            value = loss.value(path, values)
    except NOT_COMPLEX:
        return None
    return value.imag / (IMAGINARY * size) if isinstance(value, complex) else None


def _disagreement(loss: Loss, path: str, gradient: np.ndarray, seed: int, mixed: bool) -> float:
    """The largest relative disagreement of entries with independent numbers, beyond their error."""
    values = loss.parameter(path)
    if values.shape != gradient.shape:
        return np.inf
    rms = float(np.sqrt(np.mean(gradient**2)))
    typical = 0.0 if mixed else float(np.sqrt(np.mean(values**2)))
    chosen = np.random.default_rng(seed).permutation(gradient.size)[:ENTRIES]
    worst = 0.0
    for flat in chosen:
        entry = tuple(int(k) for k in np.unravel_index(flat, gradient.shape))
        analytic = float(gradient[entry])
        size = max(abs(float(values[entry])), typical) or 1.0
        proof = _complex_step(loss, path, entry, size)
        if proof is not None and abs(proof - analytic) <= 1e-9 * max(abs(analytic), 1e-3 * rms):
            continue
        slope = _difference(loss, path, entry, size)
        scale = max(abs(analytic), 1e-2 * rms, 1e-300)
        off, error = abs(analytic - slope.value) / scale, slope.error / scale
        if not np.isfinite(off):
            return np.inf
        worst = max(worst, off if error > 1e-5 else off - error)
    return worst


def error_of(given: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> float:
    """The largest relative error of an entry above a thousandth of its parameter's rms."""
    worst = 0.0
    for path, expected in right.items():
        found = given.get(path)
        if found is None or found.shape != expected.shape:
            return np.inf
        rms = np.sqrt(np.mean(expected**2)) or np.sqrt(np.mean(found**2))
        size = np.maximum(np.abs(found), np.abs(expected))
        seen = size > 1e-3 * rms
        if np.any(seen):
            worst = max(worst, float(np.max(np.abs(found - expected)[seen] / size[seen])))
    return worst


def _right_but_not(case: Case, seed: int) -> str:
    """What speaks against a gradient that is called right; empty if nothing does."""
    if "SUBGRADIENT = " in case.text:
        return ""  # right by the argument that the text gives: no difference can tell
    exact = in_float64(case.name, case.text, seed)
    gradient = exact.gradient()
    mixed = "MIXED = True" in case.text or "def _units" in case.text
    for path, slopes in gradient.items():
        off = _disagreement(exact, path, slopes, seed, mixed)
        if not off < AGREEMENT:
            return f"{path} disagrees with independent numbers by {off:.1e}"
    rounding = error_of(as_it_is(case.name, case.text, seed).gradient(), gradient)
    if not rounding < MOST_ROUNDING[precision(case)]:
        return f"off by {rounding:.1e} from itself in float64"
    return ""


def _wrong_but_not(case: Case, seed: int) -> str:
    """What speaks against a gradient that is called wrong; empty if nothing does."""
    exact = in_float64(case.name, case.right_text, seed)
    mistaken = in_float64(case.name, case.text, seed)
    right = exact.gradient()
    off = error_of(as_it_is(case.name, case.text, seed).gradient(), right)
    if off < LEAST_WRONG[precision(case)]:
        return f"off by {off:.1e} only"
    path = next(iter(right))
    values = exact.parameter(path)
    losses = (exact.value(path, values), mistaken.value(path, values))
    if not abs(losses[0] - losses[1]) <= 1e-12 * abs(losses[0]):
        return f"another loss: {losses[1]} in place of {losses[0]}"
    return ""


def mislabelled(case: Case, seed: int) -> str:
    """What speaks against the label of a case; empty if nothing does."""
    return _right_but_not(case, seed) if case.right else _wrong_but_not(case, seed)
