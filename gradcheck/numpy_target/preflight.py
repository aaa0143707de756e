"""What a few calls at the point tell: does the target follow float64, does it repeat itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.blocks import flat, kept_if_same, parts
from gradcheck.calling.calls import LOW_PRECISION, Call
from gradcheck.calling.quiet import quiet
from gradcheck.calling.returns import GradientProblem, loss_as_number
from gradcheck.calling.stochastic import Repetition, is_steady
from gradcheck.numpy_target.first_call import Functions
from gradcheck.problem import FloatArray, LossFacts
from gradcheck.report import Notice
from gradcheck.scales import rms

SETTLED = 3
"""Last changes of a loss that is evaluated again and again, by which it is said to settle."""

Gradient = Callable[[], Mapping[str, FloatArray]]
"""The gradient by parameter name; the next call may write into the same arrays."""


def follows_float64(
    loss: Callable[[], float],
    gradient: Gradient,
    own: np.floating[Any],
    arrays: Iterable[NDArray[Any]],
) -> bool:
    """Return whether the target computes the same with its low-precision inputs made float64.

    ``loss`` and ``gradient`` are evaluated so; ``own`` is the loss in the user's own precision.
    """
    names = {array.dtype.name for array in arrays} & set(LOW_PRECISION)
    if not names:
        return True
    try:
        with quiet():
            upcast = loss()
            gradient()
    except Exception:
        # Code that takes no float64 arrays does not follow them; at their own dtype they were run.
        return False
    tolerance = 0.05 if "float16" in names else 1e-2
    return bool(np.isclose(upcast, float(own), rtol=tolerance, atol=0.0)) or (
        abs(upcast) < 1e-6 and abs(float(own)) < 1e-6
    )


def low_precision_rounding(
    own: Mapping[str, NDArray[Any]],
    gradient: Gradient,
    *,
    upcast: bool,
    scatter: Callable[[], Mapping[str, FloatArray]] = dict,
) -> dict[str, FloatArray]:
    """How far rounding in low precision may have moved each entry of the user's gradient.

    A gradient returned in low precision is rounded to it. Where inputs were made float64, the
    gradient in the user's own precision (``own``) is also compared with that of the same code in
    float64 (``gradient``); a difference of more than a thousandth of the entry, or of the
    parameter's typical one, is not taken for rounding (5% in float16), unless ``scatter()`` says
    that rounding moves the entry as far.
    """
    found: dict[str, FloatArray] = {}
    unexplained: dict[str, NDArray[np.bool_]] = {}
    with quiet():
        precise = gradient() if upcast else {}
    for key, array in own.items():
        if array.dtype.name not in LOW_PRECISION and key not in precise:
            found[key] = np.broadcast_to(0.0, array.shape)
            continue
        wide = array.astype(np.float64)
        allowed = np.zeros(array.shape)
        low = array.dtype.name in LOW_PRECISION
        if low:
            eps = float(np.finfo(array.dtype).eps)
            smallest = float(np.finfo(array.dtype).smallest_subnormal)
            allowed = 2 * eps * (np.abs(wide) + rms(wide)) + smallest
        if key in precise:
            reference = precise[key]
            share = 0.05 if array.dtype.name == "float16" else 1e-3
            cap = share * np.maximum(np.abs(reference), rms(reference))
            apart = np.abs(wide - reference)
            if (apart > allowed + cap).any():
                unexplained[key] = apart > allowed + cap
            allowed = allowed + np.minimum(apart, cap)
        found[key] = np.where(np.isfinite(allowed), allowed, 0.0)
    return found | scattered(found, unexplained, own, scatter)


def scattered(
    rounding: Mapping[str, FloatArray],
    unexplained: Mapping[str, NDArray[np.bool_]],
    own: Mapping[str, NDArray[Any]],
    scatter: Callable[[], Mapping[str, FloatArray]],
) -> dict[str, FloatArray]:
    """Return the rounding of gradients of which it leaves entries ``unexplained``, with scatter.

    ``own`` are these gradients in the user's own precision; ``scatter()`` is asked only then.
    """
    seen = scatter() if unexplained else {}
    found = {}
    for key, marks in unexplained.items():
        if key in seen:
            # Of a gradient that is nothing else, all entries are rounded as those that show it.
            mere = rms(own[key].astype(np.float64)) <= 2.0 * rms(seen[key])
            found[key] = rounding[key] + np.where(marks | mere, seen[key], 0.0)
    return found


def examine_loss(
    call: Call, functions: Functions, repetition: Repetition, entries: int
) -> tuple[LossFacts, int, tuple[Notice, ...]]:
    """Evaluate the loss at one point; when the values differ, as often as the spread takes.

    ``entries`` is the number of comparisons that the confidence is to hold for.

    Returns:
        What is known of the loss, the number of evaluations, and a notice if it is stochastic.
    """
    with quiet():
        raw = [loss_as_number(functions.loss_of(call())) for _ in range(3)]
        if is_steady([float(value) for value in raw], raw[0].dtype):
            return LossFacts(float(raw[0]), raw[0].dtype), len(raw), ()
        more = max(0, repetition.calls - len(raw))
        raw += [loss_as_number(functions.loss_of(call())) for _ in range(more)]
    values = [float(value) for value in raw]
    facts = replace(repetition.facts(values, raw[0].dtype, entries), settles=_settles(values))
    remedy = "pass the generator or the draws as an input, or draw from NumPy's global generator"
    return facts, len(raw), (repetition.notice(facts, remedy),)


def _settles(values: Sequence[float]) -> bool:
    """Whether values come closer and closer to each other, as those of a solver that goes on."""
    changes = np.abs(np.diff(values))
    return bool(len(changes) > SETTLED and (changes[-SETTLED:] <= 0.1 * changes[0]).all())


@dataclass(frozen=True, eq=False)
class Repeated:
    """The gradient as it comes out when it is computed again at the same point.

    ``steady`` says whether it came out the same; if not, ``analytic`` and ``rounding`` hold what
    to judge, and ``problems`` and ``notices`` what to say.
    """

    steady: bool
    analytic: Mapping[str, FloatArray]
    rounding: Mapping[str, FloatArray]
    problems: tuple[GradientProblem, ...] = ()
    notices: tuple[Notice, ...] = ()


def repeat_gradient(
    gradient: Gradient,
    analytic: Mapping[str, FloatArray],
    rounding: Mapping[str, FloatArray],
    repetition: Repetition,
    *,
    stochastic: bool,
) -> Repeated:
    """Compute the gradient again at the same point: it may be random, or add up over calls.

    A gradient that grows by the same amount with each call, or is a velocity, is judged as it
    comes out the second time, which is how training meets it. A random one is averaged; as many
    standard errors of the mean as the confidence takes count as its rounding.
    """
    with quiet():
        one = gradient()
        # What comes out the same once more need not be kept twice.
        one = {key: kept_if_same(analytic.get(key), array) for key, array in one.items()}
        two = gradient()
        keys = [key for key in analytic if key in one and key in two]
        changed = [key for key in keys if not _close(one[key], two[key])]
        if not changed and not stochastic:
            return Repeated(True, analytic, rounding)
        two = _copied(two)
        draws = [one, two, *(_copied(gradient()) for _ in range(repetition.calls - 2))]
    added = _added_up(analytic, rounding, draws, changed) if changed and not stochastic else None
    if added is not None:
        return added
    mean, error = dict(analytic), dict(rounding)
    entries = sum(analytic[key].size for key in keys)
    for key in keys:
        mean[key], own = repetition.mean([draw[key] for draw in draws], entries)
        error[key] = rounding[key] + own
    notice = Notice(
        "nondeterministic",
        f"the gradient of {', '.join(changed)} differs from call to call at the same point; the "
        f"mean of {len(draws)} calls was judged",
    )
    return Repeated(False, mean, error, notices=() if stochastic else (notice,))


def _added_up(
    analytic: Mapping[str, FloatArray],
    rounding: Mapping[str, FloatArray],
    draws: Sequence[Mapping[str, FloatArray]],
    changed: Sequence[str],
) -> Repeated | None:
    """Return what a gradient is to which calls add; None if it changes in another way."""
    if all(_grows([draw[key] for draw in draws]) for key in changed):
        again = {key: analytic[key] + (draws[1][key] - draws[0][key]) for key in changed}
        problems = tuple(_accumulates(key) for key in changed)
        return Repeated(False, {**analytic, **again}, rounding, problems)
    from gradcheck.numpy_target.velocity import velocity

    again, shares = {}, {}
    for key in changed:
        found = velocity([draw[key] for draw in draws])
        if found is None:
            return None
        again[key], shares[key] = found.second, found.share
    problems = tuple(_is_velocity(key, share) for key, share in shares.items())
    return Repeated(False, {**analytic, **again}, rounding, problems)


def _copied(gradient: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    return {key: array.copy() for key, array in gradient.items()}


def _close(one: FloatArray, two: FloatArray) -> bool:
    smallest = 1e-12 * max(rms(one), rms(two))

    def differs(at: slice) -> bool:
        a, b = flat(one, at), flat(two, at)
        with np.errstate(all="ignore"):
            far = np.abs(a - b) > 1e-9 * np.maximum(np.abs(a), np.abs(b)) + smallest
        return bool((far & np.isfinite(a) & np.isfinite(b)).any())

    return not any(differs(at) for at in parts(one.size))


def _grows(draws: Sequence[FloatArray]) -> bool:
    """Whether the same amount was added each time."""
    with np.errstate(all="ignore"):
        steps = np.diff(np.stack(draws), axis=0)
        size = rms(steps[0])
        return bool(size > 0 and rms(steps - steps[0]) <= 1e-6 * size)


def _accumulates(name: str) -> GradientProblem:
    return GradientProblem(
        "accumulates",
        name,
        f"the gradient of {name} grows by the same amount with each call at the same point: it is "
        "added to what an earlier call left; set the buffer to zero at the beginning of each call",
    )


def _is_velocity(name: str, share: float) -> GradientProblem:
    return GradientProblem(
        "accumulates",
        name,
        f"the gradient of {name} differs from call to call at the same point: each is {share:.6g} "
        "times the one before and the same amount more, as a velocity or a running average is; "
        "return the amount alone, and let the optimiser keep the buffer",
    )
