"""Statistics of a target that draws anew in every call: how often to call, how far to trust it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck.problem import FloatArray, LossFacts
from gradcheck.report import Notice

ORDINARY_JITTER = 64.0
"""Units in the last place by which a deterministic loss may differ from call to call."""
ROUNDED = 1e-12
"""Part of a loss by which its values may differ without its drawing at random."""
REPEATS = 12
"""Calls at one point from which the spread of a stochastic loss is taken, unless more are asked."""


@dataclass(frozen=True, eq=False)
class Repetition:
    """How often a stochastic target is called at one point, and how sure its error bars are.

    Attributes:
        repeats: calls whose mean counts as one loss; None for single calls, the spread of which
            is taken from ``REPEATS`` of them.
        confidence: probability that no error bar of the whole check is too short.
    """

    repeats: int | None = None
    confidence: float = 0.999

    @property
    def calls(self) -> int:
        """Calls at the point itself, for the spread of the loss and the mean of the gradient."""
        return self.repeats or REPEATS

    @property
    def averaged(self) -> int:
        """Calls whose mean counts as one evaluation of the loss."""
        return self.repeats or 1

    def quantile(self, entries: int) -> float:
        """Return the standard errors that an error bar spans.

        Two-sided quantile of Student's t, as the spread itself comes from ``calls`` draws; the
        allowance for error is divided among ``entries`` comparisons with two bars each
        (Bonferroni), so that it holds for the check as a whole.
        """
        from scipy.special import stdtrit

        tail = (1.0 - self.confidence) / (4.0 * max(1, entries))
        return float(-stdtrit(self.calls - 1, tail))

    def facts(self, losses: Sequence[float], dtype: np.dtype[Any], entries: int) -> LossFacts:
        """Return what ``losses``, one call each at one point, tell of an evaluation."""
        spread = float(np.std(losses, ddof=1)) / math.sqrt(self.averaged)
        return LossFacts(float(np.mean(losses)), dtype, spread, self.quantile(entries))

    def mean(self, draws: Sequence[FloatArray], entries: int) -> tuple[FloatArray, FloatArray]:
        """Return the mean of repeated gradients, and the error bar of each entry of it."""
        stack = np.stack(draws)
        error = stack.std(axis=0, ddof=1) / math.sqrt(len(draws))
        return stack.mean(axis=0), self.quantile(entries) * error

    def notice(self, facts: LossFacts, remedy: str) -> Notice:
        """Say that the loss is random, and what was done about it.

        Where it moves by no more than rounding, it need not draw: sums in another order do that.
        """
        spread = facts.spread * math.sqrt(self.averaged)
        why = (
            "it draws from a generator of its own, keeps something from call to call, or, if that "
            "is roundoff, adds in no fixed order"
        )
        if spread <= ROUNDED * abs(facts.value):
            why = "it rounds otherwise each time, as sums do that several threads share"
            remedy = f"let it compute in a fixed order (OMP_NUM_THREADS=1), or {remedy}"
        how = (
            f"a loss here is the mean of {self.averaged} calls"
            if self.averaged > 1
            else "more calls make it surer (--repeats 100)"
        )
        return Notice(
            "nondeterministic",
            f"the loss differs from call to call at the same point (by {spread:.2g}, standard "
            f"deviation of {self.calls} calls): {why}; {how}, at "
            f"{self.confidence:g} confidence that no error bar is too short (--confidence). To "
            f"have it exact, {remedy}",
        )


def averaged_loss(loss: Callable[[], float], calls: int) -> Callable[[], float]:
    """Return the mean of ``calls`` evaluations as a loss."""
    if calls == 1:
        return loss
    return lambda: math.fsum(loss() for _ in range(calls)) / calls


def is_steady(losses: Sequence[float], dtype: np.dtype[Any]) -> bool:
    """Whether values of one loss at one point differ by no more than ordinary jitter.

    As where a library adds in an order that depends on where in memory its operands lie.
    """
    first = np.asarray(losses[0], dtype=dtype)
    jitter = ORDINARY_JITTER * float(np.spacing(np.abs(first)))
    return all(abs(value - losses[0]) <= jitter for value in losses)
