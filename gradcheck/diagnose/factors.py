"""Names for numbers: a factor of 300 is "the rows of X", a coefficient of 0.1 is ``reg``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from gradcheck.diagnose.evidence import Evidence

CLOSE = 1e-3
"""A number this close to a named one is tried as that; the match with the gradient decides."""

_FRACTIONS = (
    *((3.0, "3"), (1 / 3, "1/3"), (2 / 3, "2/3"), (1.5, "3/2")),
    *((0.25, "1/4"), (0.75, "3/4"), (4 / 3, "4/3"), (-4.0, "-4")),
)


@dataclass(frozen=True)
class Factor:
    """A number with its meaning.

    ``kind`` is ``"sign"``, ``"size"`` (an array size), ``"inverse_size"``, ``"plain"`` (2, 1/2
    ...) or ``"unnamed"``. ``size`` is the array size meant, if any.
    """

    value: float
    words: str
    kind: str
    size: int | None = None


def name_factor(value: float, evidence: Evidence) -> Iterator[Factor]:
    """Yield the meanings that ``value`` may have as a factor on a gradient, likeliest first."""
    for factor in _factors(evidence):
        if abs(value - factor.value) <= CLOSE * abs(factor.value):
            yield factor


def unnamed(value: float) -> Factor:
    """Return ``value`` as a factor without a meaning."""
    return Factor(value, f"{value:.10g}", "unnamed")


def _factors(evidence: Evidence) -> Iterator[Factor]:
    yield Factor(-1.0, "-1", "sign")
    rows = [(n, words) for n, words in evidence.sizes if "rows" in words or "examples" in words]
    others = [(n, words) for n, words in evidence.sizes if (n, words) not in rows]
    for n, words in rows:
        if n > 1:
            yield Factor(float(n), f"{n}, {words}", "size", n)
            yield Factor(1.0 / n, f"1/{n}, one over {words}", "inverse_size", n)
    for value, words in ((2.0, "2"), (0.5, "1/2"), (-2.0, "-2"), (-0.5, "-1/2"), (4.0, "4")):
        yield Factor(value, words, "plain")
    for n, words in others:
        if n > 2:
            yield Factor(float(n), f"{n}, {words}", "size", n)
            yield Factor(1.0 / n, f"1/{n}, one over {words}", "inverse_size", n)
    yield from _derived(evidence)


def _derived(evidence: Evidence) -> Iterator[Factor]:
    for n, words in evidence.sizes:
        if n > 2:
            yield Factor(n / (n - 1), f"{n}/{n - 1}, with {n} {words}", "plain", n)
            yield Factor((n - 1) / n, f"{n - 1}/{n}, with {n} {words}", "plain", n)
            yield Factor(n / (n + 1), f"{n}/{n + 1}, with {n} {words}", "plain", n)
            yield Factor(-float(n), f"-{n}, minus {words}", "plain", n)
            yield Factor(float(n * n), f"{n} squared, {words}", "plain", n)
            yield Factor(1.0 / (n * n), f"one over {n} squared, {words}", "plain", n)
    for (m, one), (n, other) in itertools.combinations(dict(evidence.sizes).items(), 2):
        if m > 1 and n > 1:
            yield Factor(float(m * n), f"{m * n}, {one} times {other}", "size", m * n)
            words = f"1/{m * n}, one over {one} times {other}"
            yield Factor(1.0 / (m * n), words, "inverse_size", m * n)
    for value, words in _FRACTIONS:
        yield Factor(value, words, "plain")
    for name, scalar in evidence.scalars.items():
        if scalar not in (0.0, 1.0, -1.0):
            yield Factor(scalar, name, "plain")
            yield Factor(1.0 / scalar, f"1/{name}", "plain")


def name_coefficient(value: float, evidence: Evidence) -> tuple[float, str] | None:
    """Return the exact value and the words for a coefficient in terms of the scalar inputs.

    ``reg``, ``2 reg``, ``reg/2``, and these divided by an array size, with either sign.
    """
    sign, magnitude = ("-" if value < 0 else ""), abs(value)
    for name, scalar in evidence.scalars.items():
        for multiple, form in ((1.0, "{}"), (2.0, "2 {}"), (0.5, "{}/2"), (4.0, "4 {}")):
            for n in (1, *dict.fromkeys(n for n, _ in evidence.sizes)):
                exact = multiple * abs(scalar) / n
                if exact and abs(magnitude - exact) <= CLOSE * exact:
                    over = "" if n == 1 else f"/{n}"
                    words = f"{sign}{form.format(name)}{over}"
                    return math.copysign(exact, value), words
    return None
