"""Forward-mode automatic differentiation of a torch target: tangents instead of cotangents.

It shares the target's operations with the backward pass on trial, but none of the backward
formulas: a wrong ``backward`` of an ``autograd.Function`` has no part in it.

Every entry of a small parameter gets its derivative. Of a large one, random directions say first
whether the claimed gradient is right as a whole, to ten digits or so; only where they disagree are
all entries computed, else a sample, and what central differences leave open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from gradcheck.oracles.contradiction import contradiction
from gradcheck.oracles.estimate import Estimate, smooth_estimate
from gradcheck.oracles.parted import AnyEstimate, as_whole
from gradcheck.problem import FloatArray, Parameter, Problem
from gradcheck.scales import norm, rms

FULL = 5000
"""Entries of a parameter up to which every one is computed."""
LARGEST = 200_000
"""Entries up to which all are computed where random directions disagree."""
SAMPLE = 250
"""Entries of a parameter that are drawn where random directions agree."""
SMALL = 1000
"""Entries of a problem up to which time is no matter."""
FULL_SWEPT, SAMPLE_SWEPT = 64, 32
"""``FULL`` and ``SAMPLE`` in a larger one of which every entry gets its central difference, too."""
N_DIRECTIONS = 3
CHUNK_BYTES = 32 * 2**20

STOPPED = (
    "the target stops tangents as it does cotangents (detach(), .data, no_grad()), or a jvp of its "
    "own is wrong"
)
"""Why a derivative by forward mode may be another one than that of the loss."""


class Derivatives(Protocol):
    """Derivatives of the loss (see ``gradcheck.torch_target.forward``)."""

    def __call__(self, parameter: int, directions: FloatArray, /) -> FloatArray:
        """Return those along directions ``(n, *shape)`` of a parameter."""

    def entries(self, parameter: int, indices: NDArray[np.intp], /) -> FloatArray:
        """Return those at entries (flat, C order); of none if directions are to be given."""


@dataclass(frozen=True, eq=False)
class ForwardMode:
    """The estimates, or the reason why the method does not apply here.

    ``disagreeing`` names large parameters whose claimed gradient contradicts random directions.
    """

    estimates: Mapping[str, Estimate]
    refusal: str | None = None
    disagreeing: tuple[str, ...] = ()


def forward_mode(
    problem: Problem, generator: np.random.Generator, *, swept: bool = False
) -> ForwardMode:
    """Estimate the gradient of each parameter that has a claimed one.

    The method is refused where an operation has no forward formula. ``swept`` says that every entry
    gets its central difference, so that a sample is enough where a parameter agrees as a whole.
    """
    from gradcheck.torch_target.forward import ForwardModeError

    if problem.forward_gradient is None:
        return ForwardMode({}, "the target is no torch target")
    derivatives = cast(Derivatives, problem.forward_gradient)
    estimates: dict[str, Estimate] = {}
    disagreeing: list[str] = []
    exact = problem.precision_inside in (None, np.dtype(np.float64))
    swept = swept and exact and sum(one.value.size for one in problem.parameters) > SMALL
    try:
        for number, parameter in enumerate(problem.parameters):
            if parameter.name not in problem.analytic:
                continue
            # Along directions in lower precision little would be seen.
            few = swept and parameter.value.dtype == np.float64
            most, drawn = (FULL_SWEPT, SAMPLE_SWEPT) if few else (FULL, SAMPLE)
            if parameter.value.size <= min(most, FULL):
                indices = np.arange(parameter.value.size)
                found = _entries(derivatives, number, parameter, indices)
            else:
                apart, found = _sampled(problem, derivatives, number, drawn, generator)
                disagreeing += [parameter.name] if apart else []
            # It stops where the backward pass does: beside the noise of lower precision its zeros
            # are no proof that the loss does not depend on an entry.
            estimates[parameter.name] = found if exact else replace(found, flat=False)
    except ForwardModeError as error:
        return ForwardMode({}, str(error))
    return ForwardMode(estimates, disagreeing=tuple(disagreeing))


def disagreement(
    estimates: Mapping[str, AnyEstimate],
    central: Mapping[str, AnyEstimate],
    rounding: Mapping[str, FloatArray] | None = None,
) -> str | None:
    """Say where forward mode contradicts central differences beyond both uncertainties, if it does.

    Its estimates are then not to be believed: what stops cotangents while the loss goes on
    (``detach``) stops tangents, too. What they differ by within the ``rounding`` of the claim does
    not count.
    """
    return contradiction(estimates, central, STOPPED, rounding)


def _sampled(
    problem: Problem,
    derivatives: Derivatives,
    number: int,
    drawn: int,
    generator: np.random.Generator,
) -> tuple[bool, Estimate]:
    """Compute the derivatives of a large parameter at entries that are drawn.

    Returns whether the claimed gradient is wrong along random directions, in which case they are
    those of all entries, unless these are too many.
    """
    parameter = problem.parameters[number]
    size, shape = parameter.value.size, parameter.value.shape
    chosen = np.sort(generator.choice(size, drawn, replace=False))
    # Lengths that vary, for two equal errors not to cancel.
    directions = generator.choice((-1.0, 1.0), (N_DIRECTIONS, size))
    directions *= generator.uniform(0.5, 1.5, directions.shape)
    together = size * drawn <= CHUNK_BYTES // 16 and drawn <= SAMPLE_SWEPT
    units = np.zeros((drawn if together else 0, size))
    units[np.arange(len(units)), chosen[: len(units)]] = 1.0
    found = derivatives(number, np.concatenate((directions, units)).reshape(-1, *shape))
    apart = _apart(problem, parameter.name, directions, found[:N_DIRECTIONS])
    if apart and size <= LARGEST:
        return apart, _entries(derivatives, number, parameter, np.arange(size))
    if not together:
        return apart, _entries(derivatives, number, parameter, chosen)
    whole = np.full(size, np.nan)
    whole[chosen] = found[N_DIRECTIONS:]
    return apart, _estimate(parameter, whole)


def _apart(problem: Problem, name: str, directions: FloatArray, found: FloatArray) -> bool:
    """Whether the claimed gradient is wrong along directions ``(n, size)``."""
    claimed = problem.analytic[name]
    expected = np.array([float(np.sum(claimed.ravel() * one)) for one in directions])
    eps = np.finfo(np.float64).eps
    allowed = norm(problem.analytic_rounding[name]) * 6 + 1e3 * eps * norm(claimed)
    return bool(np.any(~(np.abs(found - expected) <= allowed)))


def filled(
    problem: Problem, name: str, estimate: AnyEstimate, entries: NDArray[np.intp]
) -> AnyEstimate:
    """Return the estimate of a parameter with these entries (flat, C order) computed, too."""
    number = [parameter.name for parameter in problem.parameters].index(name)
    parameter, whole = problem.parameters[number], as_whole(estimate)
    missing = entries[~whole.checked.ravel()[entries]]
    if not missing.size:
        return estimate
    derivatives = cast(Derivatives, problem.forward_gradient)
    known = _entries(derivatives, number, parameter, missing, whole.value)
    return known if whole.flat is not False else replace(known, flat=False)


def _entries(
    derivatives: Derivatives,
    number: int,
    parameter: Parameter,
    indices: NDArray[np.intp],
    known: FloatArray | None = None,
) -> Estimate:
    """Compute the derivatives at single entries beside those known, as many at a time as fit."""
    size, shape = parameter.value.size, parameter.value.shape
    whole = np.full(size, np.nan) if known is None else known.ravel().copy()
    found = derivatives.entries(number, indices)
    if len(found):
        whole[indices] = found
        indices = indices[:0]
    chunk = min(max(CHUNK_BYTES // (16 * size), 1), 1024)
    for begin in range(0, len(indices), chunk):
        some = indices[begin : begin + chunk]
        directions = np.zeros((len(some), size))
        directions[np.arange(len(some)), some] = 1.0
        whole[some] = derivatives(number, directions.reshape(len(some), *shape))
    return _estimate(parameter, whole)


def _estimate(parameter: Parameter, whole: FloatArray) -> Estimate:
    uncertainty = _roundoff(parameter, whole)
    shape = parameter.value.shape
    return smooth_estimate("forward", whole.reshape(shape), uncertainty.reshape(shape))


def _roundoff(parameter: Parameter, values: FloatArray) -> FloatArray:
    """Rounding of the tangents in the precision in which the target runs."""
    unit = 64 * float(np.finfo(parameter.value.dtype).eps)
    return np.asarray(unit * (np.abs(values) + rms(values)))
