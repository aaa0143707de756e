"""One way to hand on a wrong gradient, and the slopes that are mistaken for another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.flow import Handing
from gradcheck.diagnose.operations import CURVED, EXTREMES, MASKING, WRITES, derivative_in_words
from gradcheck.diagnose.pool import Pool

Rule = Callable[[Array, slice], Array]
"""From the gradients by the results of some runs (leading axis) to what they hand on."""


@dataclass(frozen=True, eq=False)
class Wrong:
    """A wrong rule for what an expression hands to one of its operands.

    ``words`` reads after "the gradient"; ``other`` is the operation whose value is used by mistake.
    With ``drops_others`` the operation's other operands get nothing. Where each rule costs a
    backward pass those of a low ``rank`` are tried first.
    """

    cause: str
    words: str
    remedy: str
    rule: Rule
    other: int | None = None
    rank: int = 2
    drops_others: bool = False


Slope = Callable[[Array, Array], Array]


def _sigmoid(z: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-z)))


def _exp(z: Array) -> Array:
    """Return a finite number also where exp overflows: nothing may arrive there."""
    return np.nan_to_num(np.exp(z))


def _inverse(a: Array) -> Array:
    return np.divide(1.0, a, out=np.zeros_like(a), where=a != 0)


_OF_RESULT: tuple[tuple[str, Slope], ...] = (
    ("y", lambda _, y: y),
    ("y - 1", lambda _, y: y - 1.0),
    ("y + 1", lambda _, y: y + 1.0),
    ("1 - y", lambda _, y: 1.0 - y),
    ("1 - y**2", lambda _, y: 1.0 - y**2),
    ("1 + y**2", lambda _, y: 1.0 + y**2),
    ("y * (1 - y)", lambda _, y: y * (1.0 - y)),
    ("y * (1 + y)", lambda _, y: y * (1.0 + y)),
    ("y**2", lambda _, y: y**2),
    ("1 / y", lambda _, y: _inverse(y)),
    ("y > 0", lambda _, y: (y > 0).astype(np.float64)),
)
_COMMON = frozenset({"y", "1 - y", "1 - y**2", "y * (1 - y)", "1 + y**2", "z > 0"})
_OF_INPUT: tuple[tuple[str, Slope], ...] = (
    ("z", lambda z, _: z),
    ("2 z", lambda z, _: 2.0 * z),
    ("z**2", lambda z, _: z**2),
    ("1 / z", lambda z, _: _inverse(z)),
    ("1 / z**2", lambda z, _: _inverse(z) ** 2),
    ("1 - z", lambda z, _: 1.0 - z),
    ("z > 0", lambda z, _: (z > 0).astype(np.float64)),
    ("z < 0", lambda z, _: (z < 0).astype(np.float64)),
    ("the sign of z", lambda z, _: np.sign(z)),
    ("exp(z)", lambda z, _: _exp(z)),
    ("sigmoid(z)", lambda z, _: _sigmoid(z)),
    ("sigmoid(z) * (1 - sigmoid(z))", lambda z, _: _sigmoid(z) * (1.0 - _sigmoid(z))),
    ("tanh(z)", lambda z, _: np.tanh(z)),
    ("1 - tanh(z)**2", lambda z, _: 1.0 - np.tanh(z) ** 2),
    ("1 - tanh(z)", lambda z, _: 1.0 - np.tanh(z)),
    ("cos(z)", lambda z, _: np.cos(z)),
    ("sin(z)", lambda z, _: np.sin(z)),
    ("1 / (1 + z**2)", lambda z, _: 1.0 / (1.0 + z**2)),
)
_AT_INPUT: tuple[tuple[str, Slope], ...] = (
    ("1 - z**2", lambda z, _: 1.0 - z**2),
    ("z * (1 - z)", lambda z, _: z * (1.0 - z)),
)
"""Derivatives in terms of the result, taken at the input: a value of another moment."""

_NUMBERS = (0.5, 2.0, -0.5, -2.0)
"""Constant slopes; 1 is the identity, a trial of its own."""

AT: dict[str, tuple[Callable[[Array], Array], ...]] = {
    "tanh": (lambda v: 1.0 - v**2, lambda v: 1.0 - np.tanh(v) ** 2),
    "expit": (lambda v: v * (1.0 - v), lambda v: _sigmoid(v) * (1.0 - _sigmoid(v))),
    "sigmoid": (lambda v: v * (1.0 - v), lambda v: _sigmoid(v) * (1.0 - _sigmoid(v))),
    "exp": (lambda v: v, _exp),
    "log": (_inverse,),
    "sqrt": (lambda v: 0.5 * _inverse(v), lambda v: 0.5 * _inverse(np.sqrt(np.abs(v)))),
    "square": (lambda v: 2.0 * v,),
    "sin": (np.cos,),
    "cos": (lambda v: -np.sin(v),),
    "maximum": (lambda v: (v > 0).astype(np.float64), lambda v: (v <= 0).astype(np.float64)),
    "absolute": (np.sign,),
}
"""Derivatives as they are written, of the result or of the input, for a value at hand."""


def wrong_slopes(here: Handing, pool: Pool) -> Iterator[Wrong]:
    """Yield the wrong derivatives of an elementwise operation of one operand that varies."""
    name = here.operation.name
    known = bool(here.chains) or name in CURVED or name in MASKING or _is_reciprocal(here)
    if not known or here.right.shape != here.cotangent.shape or name in WRITES:
        return
    if not here.operands or here.own.shape != here.right.shape:
        return
    z, y = here.own, here.result
    remedy = f"Multiply by the derivative: {derivative_in_words(here.operation)}."
    if len(here.names) > 1:
        remedy = "Multiply by the derivatives of all operations of the chain."
    with np.errstate(all="ignore"):
        yield from _formulas(z, y, remedy, shifted=_begins_with_shift(here))
        yield from _of_powers(here, z, y, remedy)
        if name in MASKING:
            yield from _masks(here, remedy)
        yield from _at_others(here, pool)


def _begins_with_shift(here: Handing) -> bool:
    """Say whether a chain begins with a sum: what goes in is not what its activation gets."""
    first = here.flow.graph.by_index[here.chains[0][0]] if here.chains else here.operation
    return first.name in ("add", "subtract")


def _is_reciprocal(here: Handing) -> bool:
    return here.operation.name in ("divide", "true_divide") and here.operand == 1


def _multiplied(slope: Array) -> Rule:
    return lambda c, runs: c * slope[runs]


def _wrong(
    words: str, remedy: str, slope: Array, cause: str = "", other: int | None = None
) -> Wrong:
    return Wrong(
        cause or "activation_derivative_wrong",
        f"is multiplied by {words}, which is not the derivative there",
        remedy,
        _multiplied(slope),
        other,
    )


def _formulas(z: Array, y: Array, remedy: str, *, shifted: bool) -> Iterator[Wrong]:
    letters = " (z goes in, y comes out)"
    for words, slope in _OF_RESULT if shifted else (*_OF_RESULT, *_OF_INPUT):
        rank = 0 if words in _COMMON else 2
        yield replace(_wrong(words + letters, remedy, slope(z, y)), rank=rank)
    for words, slope in _AT_INPUT:
        yield _wrong(words + letters, remedy, slope(z, y), "stale_value")
    for number in _NUMBERS:
        yield _wrong(f"{number:g} alone", remedy, np.full(z.shape, number))


def wrong_ignored(here: Handing) -> Iterator[Wrong]:
    """Yield a mask that is ignored also where the square of its result is differentiated."""
    if here.operation.name not in MASKING or here.right.shape != here.cotangent.shape:
        return
    if not here.operands or here.own.shape != here.right.shape:
        return
    graph, flow = here.flow.graph, here.flow
    extra = np.zeros_like(here.right)
    for place, index in enumerate(here.runs):
        for user, _ in graph.consumers.get(index, ()):
            square = graph.by_index[user]
            values = flow.operands(user)
            halves = square.name == "multiply" and square.inputs[0] == square.inputs[1]
            power = square.name == "power" and bool(np.all(values[-1] == 2))
            if (square.name == "square" or halves or power) and user in flow.cotangents:
                weight = 1.0 if halves else 2.0
                extra[place] += weight * flow.cotangents[user] * (here.own - here.result)[place]
    if extra.any():
        yield Wrong(
            "activation_mask_missing",
            "is handed on as if the operation did nothing, also where its result is squared",
            f"Use the result of line {here.operation.site.line}, and its mask: "
            f"{derivative_in_words(here.operation)}.",
            lambda c, runs: c + extra[runs],
        )


def _of_powers(here: Handing, z: Array, y: Array, remedy: str) -> Iterator[Wrong]:
    """Yield powers whose exponent is off by one, or stands where it does not belong."""
    name, operands = here.operation.name, here.operands
    if name in ("power", "float_power") and here.operand == 0 and len(operands) == 2:
        p = np.asarray(operands[1])
        p = p.reshape(len(p), *(1,) * (z.ndim - p.ndim), *p.shape[1:])
        for words, slope in (
            ("p z**p", p * y),
            ("p z**(p - 2)", p * z ** (p - 2)),
            ("z**p", y),
            ("p z", p * z),
            ("(p - 1) z**(p - 1)", (p - 1) * z ** (p - 1)),
            ("(p - 1) z**(p - 2)", (p - 1) * z ** (p - 2)),
            ("(p + 1) z**p", (p + 1) * y),
        ):
            yield _wrong(f"{words} (p is the exponent)", remedy, np.asarray(slope))
    if _is_reciprocal(here) and len(operands) == 2:
        over = _inverse(z)
        n = np.broadcast_to(y * z, z.shape)
        for words, slope in (
            ("-n / d", -n * over),
            ("n / d", n * over),
            ("-1 / d", -over),
            ("1 / d", over),
            ("-1 / d**2", -(over**2)),
            ("1 / d**2", over**2),
            ("-n", -n),
            ("-n / d**3", -n * over**3),
            ("-2 n / d**3", -2.0 * n * over**3),
            ("-n / sqrt(d)", -n * np.sqrt(np.abs(over))),
        ):
            yield _wrong(f"{words} (n is divided by d)", remedy, slope)


def _masks(here: Handing, remedy: str) -> Iterator[Wrong]:
    """Yield the opposite of a mask, and a slope of 0 or 1 where it is another number."""
    both = len(here.flow.graph.paths_in(here.runs[-1])) > 1
    if both:
        yield Wrong(
            "activation_mask_missing",
            "is handed to this operand whole, as if it were always the one that is taken",
            remedy,
            lambda c, _: c,
            drops_others=True,
        )
    slope = here.right * _inverse(here.cotangent)
    # The opposite mask of one of two that vary is the other one's.
    words = "the mask of the other operand" if both else "the opposite mask"
    yield _wrong(words, remedy, 1.0 - slope, "stale_value" if both else "")
    yield _wrong("the mask alone", remedy, (slope != 0).astype(np.float64))


def _at_others(here: Handing, pool: Pool) -> Iterator[Wrong]:
    """Yield the derivative taken at another value, and another value in its place."""
    name = here.operation.name
    key = "maximum" if name in MASKING and name not in ("absolute", "abs", "fabs") else name
    key = "absolute" if key in ("abs", "fabs") else key
    if name in ("power", "float_power") and _is_square(here):
        key = "square"
    forms = (*AT.get(key, ()), *_right_formulas(here))
    shape = here.right.shape[1:]
    for other in pool.of_shape(shape, here):
        if other.index in here.runs:
            continue
        for form in forms:
            cause = "stale_value"
            if key == "square" and _shifted_from(here, other.values):
                cause = "term_missing"
            yield Wrong(
                cause,
                f"is multiplied by its derivative, taken at {other.words}",
                f"Take the derivative where line {here.operation.site.line} does.",
                _multiplied(np.asarray(form(other.values))),
                other.index,
            )


def _right_formulas(here: Handing) -> Iterator[Callable[[Array], Array]]:
    """Yield the formulas of one variable that are right for this activation."""
    z, y = here.own, here.result
    shows = np.abs(here.cotangent) > 1e-9 * np.abs(here.cotangent).max(initial=0.0)
    slope = np.where(shows, here.right * _inverse(here.cotangent), 0.0)
    for formulas, of_result in ((_OF_RESULT, True), (_OF_INPUT, False)):
        for _, formula in formulas:
            given = np.where(shows, formula(z, y), 0.0)
            if shows.any() and np.abs(given - slope).max() <= 1e-9 * np.abs(slope).max():
                yield _of_one(formula, of_result=of_result)


def _of_one(formula: Slope, *, of_result: bool) -> Callable[[Array], Array]:
    if of_result:
        return lambda v: formula(np.zeros_like(v), v)
    return lambda v: formula(v, np.zeros_like(v))


def _is_square(here: Handing) -> bool:
    return len(here.operands) == 2 and bool((here.operands[1] == 2).all())


def _shifted_from(here: Handing, values: Array) -> bool:
    """Say whether the operand is the other value minus, or plus, a constant."""
    kind, source = here.sources[0]
    if kind != "operation":
        return False
    maker = here.flow.graph.by_index[int(source)]
    if maker.name not in ("add", "subtract") or len(here.flow.graph.paths_in(maker.index)) != 1:
        return False
    position = here.flow.graph.paths_in(maker.index)[0]
    first = here.flow.operands(maker.index)[position]
    return first.shape == values.shape[1:] and bool((first == values[0]).all())


def wrong_extremes(here: Handing) -> Iterator[Wrong]:
    """Yield a maximum over entries that is differentiated as their mean or sum."""
    if here.operation.name not in EXTREMES or not here.operands:
        return
    entries, shape = here.own[0].size, here.right.shape
    if entries > 1 and here.result[0].size == 1:

        def spread(c: Array, _: slice) -> Array:
            flat = c.reshape(len(c), *(1,) * (len(shape) - 1)) / entries
            return np.broadcast_to(flat, (len(c), *shape[1:]))

        yield Wrong(
            "scale",
            "is spread evenly over all entries, as by a mean",
            "Hand it to the entry that is the extreme.",
            spread,
        )
