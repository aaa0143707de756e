"""Products whose backward pass multiplies by something else than the other factor."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.flow import Handing
from gradcheck.diagnose.pool import Other, Pool
from gradcheck.diagnose.wrong import Rule, Wrong

_POWERS = (
    ("factor_missing", 0.5, "its square root"),
    ("extra_factor", 2.0, "its square"),
    ("factor_missing", 0.0, "1"),
    ("extra_factor", 3.0, "its third power"),
    ("stale_value", -1.0, "its inverse"),
)
"""Powers of a factor that are taken for the factor."""


def wrong_products(here: Handing, pool: Pool) -> Iterator[Wrong]:
    """Yield the wrong factors of a product or a quotient, entry by entry."""
    name = here.operation.name
    if len(here.operands) != 2 or name not in ("multiply", "divide", "true_divide"):
        return
    divides = name != "multiply"
    if divides and here.operand == 1:
        yield from _other_numerators(here, pool)
        return
    factor = here.operands[1 - here.operand]
    remedy = f"Multiply by the factor of line {here.operation.site.line} itself."
    if divides:
        remedy = f"Divide by the divisor of line {here.operation.site.line} itself."
    single = factor[0].size == 1
    if not (factor == factor[0].ravel()[:1]).all():
        yield from _powers(here, factor, remedy, divides=divides)
    elif here.repeats and here.right.shape == here.cotangent.shape:
        # Once, a constant number left out is a factor on a cut path; not where it meets itself.
        yield Wrong("factor_missing", "passes without the factor", remedy, lambda c, _: c, rank=0)
    if here.operation.inputs[0] == here.operation.inputs[1] and not divides:
        return  # a square
    shapes = {factor.shape[1:], here.result.shape[1:]} if not single else {factor.shape[1:]}
    for shape in shapes:
        for other in pool.of_shape(shape, here):
            if other.index is not None and _is_factor(here, other):
                continue
            yield Wrong(
                "stale_value",
                f"is {'divided' if divides else 'multiplied'} by {other.words} in place of the "
                f"{'divisor' if divides else 'other factor'}",
                remedy,
                _times(here, _power(other.values, -1.0 if divides else 1.0)),
                other.index,
                1 if _is_multiplied(here, other) else 2,
            )


def _powers(here: Handing, factor: Array, remedy: str, *, divides: bool) -> Iterator[Wrong]:
    for cause, power, words in _POWERS:
        if power == 0.0 and here.right.shape == here.cotangent.shape:
            continue  # the identity, a trial of its own
        if power == 0.5 and (factor < 0).any():
            continue
        yield Wrong(
            cause,
            f"is {'divided' if divides else 'multiplied'} by {words} in place of the "
            f"{'divisor' if divides else 'other factor'}",
            remedy,
            _times(here, _power(factor, -power if divides else power)),
        )


def _other_numerators(here: Handing, pool: Pool) -> Iterator[Wrong]:
    numerator, divisor = here.operands
    for other in pool.of_shape(here.result.shape[1:], here):
        slope = -_expanded(other.values, here) * _power(_expanded(divisor, here), -2.0)
        if (other.values == _expanded(numerator, here)).all():
            continue
        yield Wrong(
            "stale_value",
            f"is multiplied by {other.words} in place of the numerator",
            f"Use the numerator of line {here.operation.site.line} itself.",
            _times(here, slope),
            other.index,
        )


def _is_factor(here: Handing, other: Other) -> bool:
    source = here.operation.inputs[1 - here.operand]
    return source == ("operation", other.index)


def _is_multiplied(here: Handing, other: Other) -> bool:
    """Say whether a value is a factor elsewhere: such are the likeliest to be exchanged."""
    graph = here.flow.graph
    users = () if other.index is None else graph.consumers.get(other.index, ())
    return any(graph.by_index[user].name in ("multiply", "matmul", "dot") for user, _ in users)


def _power(values: Array, power: float) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(values**power)


def _expanded(values: Array, here: Handing) -> Array:
    """Return values by run with the axes that broadcasting adds in front of theirs."""
    missing = here.result.ndim - values.ndim
    return values.reshape(len(values), *(1,) * missing, *values.shape[1:])


def _times(here: Handing, slope: Array) -> Rule:
    wide = _expanded(slope, here)
    shape = here.right.shape[1:]
    return lambda c, runs: summed_to(c * wide[runs], shape)


def summed_to(array: Array, shape: tuple[int, ...]) -> Array:
    """Sum the axes behind the first along which ``shape`` is broadcast."""
    extra = array.ndim - 1 - len(shape)
    kept = tuple(k + 1 for k, n in enumerate(shape) if n == 1)
    summed = array.sum(axis=tuple(range(1, 1 + extra)))
    return np.asarray(summed.sum(axis=kept, keepdims=True))


def wrong_matrix_products(here: Handing, pool: Pool) -> Iterator[Wrong]:
    """Yield the wrong factors of a product of matrices or vectors."""
    if here.operation.name not in ("matmul", "dot") or len(here.operands) != 2:
        return
    factor = here.operands[1 - here.operand]
    if max(a.ndim for a in here.operands) > 3 or factor.ndim < 2:
        return
    line = here.operation.site.line
    for cause, words, values in _own_forms(factor):
        yield Wrong(
            cause,
            f"is multiplied by {words} of the other factor of the product",
            f"Multiply by the factor of line {line} itself.",
            _matrix_rule(here, values),
        )
    square = here.cotangent.ndim == 3 and here.cotangent.shape[1] == here.cotangent.shape[2]
    if square:
        plain = _matrix_rule(here, factor)
        yield Wrong(
            "transpose",
            "is used transposed",
            "Transpose it back: check the order of the factors.",
            lambda c, runs: plain(c.swapaxes(1, 2), runs),
        )
    for other in pool.of_shape(factor.shape[1:], here):
        if other.index is None or not _is_factor(here, other):
            yield Wrong(
                "stale_value",
                f"is multiplied by {other.words} in place of the other factor",
                f"Use the factor of line {line} itself.",
                _matrix_rule(here, other.values),
                other.index,
                1 if _is_multiplied(here, other) else 2,
            )


def _own_forms(factor: Array) -> Iterator[tuple[str, str, Array]]:
    if factor.ndim == 3 and factor.shape[1] == factor.shape[2]:
        yield "transpose", "the transpose", factor.swapaxes(1, 2)
    yield "extra_factor", "the squares of the entries", factor**2
    if (factor >= 0).all():
        yield "factor_missing", "the square roots of the entries", np.sqrt(factor)
    yield "sign", "the absolute values of the entries", np.abs(factor)


def _matrix_rule(here: Handing, factor: Array) -> Rule:
    """Return what a product hands to its operand with ``factor`` as the other one."""
    ndims = tuple(a.ndim - 1 for a in here.operands)
    first = here.operand == 0
    if ndims == (2, 2):
        if first:
            return lambda c, runs: c @ factor[runs].swapaxes(1, 2)
        return lambda c, runs: factor[runs].swapaxes(1, 2) @ c
    if ndims == (2, 1):
        if first:
            return lambda c, runs: c[:, :, None] * factor[runs][:, None, :]
        return lambda c, runs: (factor[runs].swapaxes(1, 2) @ c[:, :, None])[:, :, 0]
    if ndims == (1, 2):
        if first:
            return lambda c, runs: (factor[runs] @ c[:, :, None])[:, :, 0]
        return lambda c, runs: factor[runs][:, :, None] * c[:, None, :]
    return lambda c, runs: c.reshape(len(c), *(1,) * (factor.ndim - 1)) * factor[runs]
