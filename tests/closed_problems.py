"""Problems of a loss and a gradient in closed form, which remember where they were evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradcheck.noise import Noise
from gradcheck.oracles.estimate import Estimate, smooth_estimate
from gradcheck.problem import LossFacts, Parameter, Problem
from gradcheck.sweep.evaluator import Evaluator
from gradcheck.verdict.compare import judge, thresholds_for
from gradcheck.verdict.in_parts import combined_of
from gradcheck.verdict.judging import ParameterFindings

Arrays = Mapping[str, Any]


@dataclass
class Looks:
    """Copies of the parameters, for each call of the loss and of the gradient."""

    losses: list[dict[str, Any]] = field(default_factory=list)
    gradients: list[dict[str, Any]] = field(default_factory=list)


def closed_problem(
    loss: Callable[..., Any],
    gradient: Callable[..., Arrays] | None,
    claims: Arrays | None = None,
    *,
    budget: int | None = None,
    spread: float = 0.0,
    value: float | None = None,
    **values: Any,
) -> tuple[Problem, Looks]:
    """Return a problem of named arrays, and what it looks at from now on.

    ``claims`` are what the gradient is at the point, if something else than ``gradient`` says.
    """
    looks = Looks()
    arrays = {name: np.array(one) for name, one in values.items()}

    def watched_loss() -> float:
        looks.losses.append({name: one.copy() for name, one in arrays.items()})
        return float(loss(**arrays))

    def watched_gradient() -> Arrays:
        looks.gradients.append({name: one.copy() for name, one in arrays.items()})
        assert gradient is not None
        return gradient(**arrays)

    analytic = gradient(**arrays) if claims is None and gradient is not None else claims or {}
    analytic = {name: np.asarray(one, dtype=float) for name, one in analytic.items()}
    at_point = float(loss(**arrays)) if value is None else value
    problem = Problem(
        name="loss",
        target="",
        parameters=tuple(Parameter(name, name, one, one.dtype) for name, one in arrays.items()),
        analytic=analytic,
        analytic_rounding={name: np.zeros(one.shape) for name, one in analytic.items()},
        gradient_problems=(),
        facts=LossFacts(at_point, np.dtype(float), spread),
        evaluator=Evaluator(watched_loss, list(arrays.values()), budget=budget),
        gradient_at=None if gradient is None else watched_gradient,
    )
    return problem, looks


class Meeting:
    """A loss that is another linear one at each point, by turns: these are the pieces that meet.

    Of each point the gradient is asked twice, halfway and there.
    """

    def __init__(self, slopes: Any) -> None:
        self.slopes = np.asarray(slopes, dtype=float)
        self.turn = -1

    def gradient(self, x: Any) -> Any:
        """The slopes of the next piece."""
        self.turn += 1
        return {"x": self.slopes[self.turn // 2 % len(self.slopes)].copy()}

    def loss(self, x: Any) -> Any:
        """The loss on the present piece."""
        return self.slopes[self.turn // 2 % len(self.slopes)] @ x


def noise_of(level: float, loss: float = 0.0, dtype: Any = float) -> Noise:
    """Noise of a loss that has it everywhere."""
    return Noise(level, loss, np.dtype(dtype))


def central(value: Any, uncertainty: Any = 1e-12, **marks: Any) -> Estimate:
    """Central differences of these values."""
    value = np.asarray(value, dtype=float)
    one = smooth_estimate("central", value, np.broadcast_to(uncertainty, value.shape).astype(float))
    arrays = {name: np.broadcast_to(mark, value.shape) for name, mark in marks.items()}
    return replace(one, **arrays)


def judged_by(claim: Any, **estimates: Estimate) -> ParameterFindings:
    """Findings of a claimed gradient that was compared with each of these estimates."""
    claim = np.asarray(claim, dtype=float)
    limits = thresholds_for(np.dtype(float))
    judged = {
        f"analytic~{name}": judge(claim, np.zeros(claim.shape), one, limits, typical=1.0)
        for name, one in estimates.items()
    }
    return ParameterFindings(estimates, judged, combined_of([*judged.values()], estimates))
