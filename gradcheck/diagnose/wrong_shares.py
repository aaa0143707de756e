"""Normalisations, such as a softmax, differentiated by half or with another's shares."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.flow import Handing
from gradcheck.diagnose.pool import Pool
from gradcheck.diagnose.wrong import Rule, Wrong
from gradcheck.diagnose.wrong_sums import broadcast_axes


def wrong_normalisations(here: Handing, pool: Pool) -> Iterator[Wrong]:
    """Yield the ways in which ``x / sum(x)`` is differentiated wrongly as a whole.

    The handing is that of the quotient to its numerator; what reaches the numerator through the
    sum is added here, so that the rule stands for both.
    """
    axes = _normalised_axes(here)
    if axes is None:
        return
    share, total = here.result, here.operands[1]
    total = total.reshape(len(total), *(1,) * (share.ndim - total.ndim), *total.shape[1:])
    remedy = "The derivative of p = x / sum(x) hands on (g - sum(g p)) / sum(x)."

    def through(summed: Callable[[Array, Array], Array]) -> Rule:
        # What flows through the sum is handed on as it is: the rule adds the difference.
        return lambda c, runs: (
            (c - summed(c, share[runs])) / total[runs]
            + (c * share[runs]).sum(axis=axes, keepdims=True) / total[runs]
        )

    everything = tuple(range(1, share.ndim))
    for count in range(1, share.ndim):
        for other in itertools.combinations(everything, count):
            if other != axes:
                over = " and ".join(str(axis - 1) for axis in other)
                yield Wrong(
                    "wrong_axis",
                    f"is normalised over axis {over}, not that of the sum",
                    remedy,
                    through(_weighted_sum(other)),
                )
    yield Wrong(
        "term_missing",
        "takes the diagonal of the Jacobian alone",
        remedy,
        through(lambda c, p: c * p),
    )
    forms: tuple[tuple[str, str, Callable[[Array, Array], Array]], ...] = (
        ("factor_missing", "subtracts sum(g), not sum(g p)",
         lambda c, _: c.sum(axis=axes, keepdims=True)),
        ("sign", "adds sum(g p)", lambda c, p: -(c * p).sum(axis=axes, keepdims=True)),
        ("batch_divided_twice", "subtracts the mean of g p, not its sum",
         lambda c, p: (c * p).mean(axis=axes, keepdims=True)),
        ("extra_factor", "subtracts p sum(g p)",
         lambda c, p: p * (c * p).sum(axis=axes, keepdims=True)),
    )  # fmt: skip
    for cause, words, form in forms:
        yield Wrong(cause, words, remedy, through(form))
    yield from _exchanged_quotients(here, pool, total, axes)


def _exchanged_quotients(
    here: Handing, pool: Pool, total: Array, axes: tuple[int, ...]
) -> Iterator[Wrong]:
    """Yield the derivative computed with the shares of another array."""
    share = here.result
    for found in pool.of_shape(share.shape[1:], here):
        if found.index in here.runs or (found.values < 0).any():
            continue

        def exchanged(c: Array, runs: slice, q: Array = found.values) -> Array:
            whole = q[runs] * (c - (c * q[runs]).sum(axis=axes, keepdims=True))
            own = (c * share[runs]).sum(axis=axes, keepdims=True) / total[runs]
            with np.errstate(all="ignore"):
                return np.asarray(whole / (share[runs] * total[runs]) + own)

        yield Wrong(
            "stale_value",
            f"is computed with {found.words} in place of its own result",
            f"Use the result of line {here.operation.site.line} itself.",
            exchanged,
            found.index,
        )


def _weighted_sum(axes: tuple[int, ...]) -> Callable[[Array, Array], Array]:
    return lambda c, p: np.asarray((c * p).sum(axis=axes, keepdims=True))


def _normalised_axes(here: Handing) -> tuple[int, ...] | None:
    """Return the axes (counted with that of the runs) over which a quotient's divisor sums it."""
    if here.operation.name not in ("divide", "true_divide") or here.operand != 0:
        return None
    graph = here.flow.graph
    (_, numerator), (kind, divisor) = here.operation.inputs
    if kind != "operation" or len(here.operands) != 2:
        return None
    maker = graph.by_index[int(divisor)]
    while maker.name in ("reshape", "getitem", "expand_dims") and maker.inputs[0][0] == "operation":
        maker = graph.by_index[int(maker.inputs[0][1])]
    if maker.name != "sum" or maker.inputs[0] != (here.operation.inputs[0][0], numerator):
        return None
    shape, total = here.right.shape[1:], here.operands[1].shape[1:]
    if shape != here.cotangent.shape[1:]:
        return None
    axes = broadcast_axes(total, shape)
    return tuple(axis + 1 for axis in axes) if axes else None


def wrong_shares(here: Handing, pool: Pool) -> Iterator[Wrong]:
    """Yield the derivative of ``log(sum(exp(z)))`` with other shares than those of ``z``."""
    if here.operation.name != "exp" or not here.operands:
        return
    graph = here.flow.graph
    for user, _ in graph.consumers.get(here.runs[0], ()):
        after = graph.by_index[user]
        if after.name != "sum" or here.right.shape != here.cotangent.shape:
            continue
        padded = _sum_axes(after.keywords.get("axis"), here.result.ndim - 1)
        yield from _other_shares(here, pool, padded)


def _other_shares(here: Handing, pool: Pool, axes: tuple[int, ...]) -> Iterator[Wrong]:
    total = here.result.sum(axis=axes, keepdims=True)
    for found in pool.of_shape(here.right.shape[1:], here):
        for words, values in _share_forms(found.values, axes):

            def exchanged(c: Array, runs: slice, q: Array = values) -> Array:
                return np.asarray(c * total[runs] * q[runs])

            yield Wrong(
                "stale_value",
                f"is computed with {words}{found.words} in place of its own result",
                f"Use the values of line {here.operation.site.line} itself.",
                exchanged,
                found.index,
            )


def _share_forms(values: Array, axes: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    with np.errstate(all="ignore"):
        yield "", values
        powers = np.exp(values - values.max(axis=axes, keepdims=True))
        yield "the shares of exp of ", powers / powers.sum(axis=axes, keepdims=True)


def _sum_axes(axis: object, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(1, ndim + 1))
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    return tuple(int(a) % ndim + 1 for a in axes)
