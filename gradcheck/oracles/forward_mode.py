"""Forward-mode automatic differentiation of a torch target: tangents instead of cotangents.

It shares the target's operations with the backward pass on trial, but none of the backward
formulas: a wrong ``backward`` of an ``autograd.Function`` has no part in it.

Every entry of a small parameter gets its derivative. Of a large one, random directions say first
whether the claimed gradient is right as a whole; only where they disagree are all entries computed,
else a sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from gradcheck.oracles.contradiction import contradiction
from gradcheck.oracles.estimate import Estimate, smooth_estimate
from gradcheck.oracles.parted import AnyEstimate
from gradcheck.problem import FloatArray, Parameter, Problem
from gradcheck.scales import norm, rms

FULL = 5000
"""Entries of a parameter up to which every one is computed."""
LARGEST = 200_000
"""Entries up to which all are computed where random directions disagree."""
SAMPLE = 250
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


def forward_mode(problem: Problem, generator: np.random.Generator) -> ForwardMode:
    """Estimate the gradient of each parameter that has a claimed one.

    The method is refused where an operation has no forward formula.
    """
    from gradcheck.torch_target.forward import ForwardModeError

    if problem.forward_gradient is None:
        return ForwardMode({}, "the target is no torch target")
    derivatives = cast(Derivatives, problem.forward_gradient)
    estimates: dict[str, Estimate] = {}
    disagreeing: list[str] = []
    try:
        for number, parameter in enumerate(problem.parameters):
            claimed = problem.analytic.get(parameter.name)
            if claimed is None:
                continue
            rounding = problem.analytic_rounding[parameter.name]
            indices = np.arange(parameter.value.size)
            if indices.size > FULL:
                apart = _disagrees(derivatives, number, claimed, rounding, generator)
                if apart:
                    disagreeing.append(parameter.name)
                if not apart or indices.size > LARGEST:
                    indices = np.sort(generator.choice(indices.size, SAMPLE, replace=False))
            found = _entries(derivatives, number, parameter, indices)
            # It stops where the backward pass does: beside the noise of lower precision its zeros
            # are no proof that the loss does not depend on an entry.
            exact = problem.precision_inside in (None, np.dtype(np.float64))
            estimates[parameter.name] = found if exact else replace(found, flat=False)
    except ForwardModeError as error:
        return ForwardMode({}, str(error))
    return ForwardMode(estimates, disagreeing=tuple(disagreeing))


def disagreement(
    estimates: Mapping[str, AnyEstimate], central: Mapping[str, AnyEstimate]
) -> str | None:
    """Say where forward mode contradicts central differences beyond both uncertainties, if it does.

    Its estimates are then not to be believed: what stops cotangents while the loss goes on
    (``detach``) stops tangents, too.
    """
    return contradiction(estimates, central, STOPPED)


def _disagrees(
    derivatives: Derivatives,
    number: int,
    claimed: FloatArray,
    rounding: FloatArray,
    generator: np.random.Generator,
) -> bool:
    """Whether the claimed gradient is wrong along random directions."""
    directions = generator.choice((-1.0, 1.0), (N_DIRECTIONS, *claimed.shape))
    found = derivatives(number, directions)
    expected = np.array([float(np.sum(claimed * one)) for one in directions])
    eps = np.finfo(np.float64).eps
    allowed = norm(rounding) * 6 + 1e3 * eps * norm(claimed)
    return bool(np.any(~(np.abs(found - expected) <= allowed)))


def _entries(
    derivatives: Derivatives, number: int, parameter: Parameter, indices: NDArray[np.intp]
) -> Estimate:
    """Compute the derivatives at single entries, as many directions at a time as fit."""
    size, shape = parameter.value.size, parameter.value.shape
    whole = np.full(size, np.nan)
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
    uncertainty = _roundoff(parameter, whole)
    return smooth_estimate("forward", whole.reshape(shape), uncertainty.reshape(shape))


def _roundoff(parameter: Parameter, values: FloatArray) -> FloatArray:
    """Rounding of the tangents in the precision in which the target runs."""
    unit = 64 * float(np.finfo(parameter.value.dtype).eps)
    return np.asarray(unit * (np.abs(values) + rms(values)))
