"""Which slope of a loss that jumps all along is its derivative: across the jumps, or between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradcheck.jumps import Jumps
from gradcheck.noise import Noise
from gradcheck.oracle_runs import autograd_of
from gradcheck.problem import Problem
from gradcheck.report import Notice
from gradcheck.settings import Settings
from gradcheck.verdict.applicable import inapplicable

COARSE = 1e-5
"""Jumps of a loss, relative to it, that are larger than rounding in single precision makes."""


def across_or_between(
    problem: Problem,
    settings: Settings,
    noise: Noise,
    jumps: Jumps,
    generator: np.random.Generator,
) -> tuple[Noise, tuple[Notice, ...]]:
    """Settle what the derivative of a loss is that jumps all along, and so what its noise is.

    Between, where every operation was seen to work in double precision; else as autograd of it
    says; without, the slope between them is doubted, and a gradient that claims it cannot be told
    from one that misses a term in lower precision. Jumps larger than those of single precision
    leave both undecided.
    """
    if problem.precision_inside == np.float64:
        return replace(noise, level=jumps.level, jumps=None), ()
    names = [parameter.name for parameter in problem.parameters]
    exact = autograd_of(problem, settings, noise, generator).estimates
    by_steps = {name: estimate.value for name, estimate in exact.items()}
    if not any(value.any() for value in by_steps.values()):
        by_steps = {}  # a loss of steps alone: no path to the parameters says nothing of them
    if jumps.lies_between(by_steps, names):
        return replace(noise, level=jumps.level, jumps=None), ()
    alone = not by_steps and "forward" in inapplicable(problem)
    by_design = noise.level > COARSE * max(abs(noise.loss), noise.variation)
    if alone and (by_design or jumps.lies_between(problem.analytic, names)):
        noise = replace(noise, level=max(noise.level, abs(jumps.across - jumps.between)))
    # Within a jump of what lies across them, and no nearer: tables may fall between jumps.
    if jumps.height > noise.level:
        noise = replace(noise, level=jumps.height)
    text = (
        "the loss jumps all along, as one does that computes in lower precision inside: its slope "
        f"along a random direction is {jumps.across:.3g} across the jumps, which counts, and "
        f"{jumps.between:.3g} between them"
    )
    return noise, (Notice("loss_jumps", text),)
