"""When autograd of traced code is not believed beside the central differences of the same loss."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from closed_problems import central, closed_problem, noise_of

from gradcheck.blocks import BLOCK
from gradcheck.oracles.estimate import Estimate, smooth_estimate
from gradcheck.oracles.parted import PartedEstimate
from gradcheck.oracles.torch_autograd import Autograd
from gradcheck.verdict.trust import unfaithful


def exact(value: Any, uncertainty: Any = 1e-12) -> Estimate:
    value = np.asarray(value, dtype=float)
    return smooth_estimate("autograd", value, np.broadcast_to(uncertainty, value.shape) + 0.0)


def said(
    one: Any,
    two: Any,
    *,
    claims: Any = None,
    reached: tuple[str, ...] = ("x",),
    source: str = "trace",
    level: float = 0.0,
    spread: float = 0.0,
) -> str:
    """What is said of a trace; empty where it is believed."""
    claims = np.ones(one.size) if claims is None else claims
    problem, _ = closed_problem(
        lambda x: 0.0, None, {"x": claims}, x=np.zeros(len(claims)), spread=spread
    )
    inputs = [("constant", 3), *(("parameter", name) for name in reached)]
    trace = SimpleNamespace(operations=[SimpleNamespace(inputs=inputs)])
    found = {"none": {"autograd": one}, "other": {"central": two}, "x": {"autograd": one}}
    found["x"]["central"] = two
    notice = unfaithful(problem, noise_of(level), Autograd({}, source, trace=trace), found)
    if notice is None:
        return ""
    assert notice.key == "trace_discarded"
    assert notice.message.startswith("autograd of the traced code ")
    assert notice.message.endswith(", so that autograd of it was not used")
    return notice.message


def contradicted(one: Any, two: Any, **options: Any) -> bool:
    """Whether it is said that a single entry contradicts the differences."""
    message = said(one, two, **options)
    assert not message or "on 1 entries of x" in message
    return bool(message)


# Contradictions


@pytest.mark.parametrize(
    ("value", "uncertainty", "other", "others", "wrong"),
    [
        # by four times what both are known to
        (1.0, 1e-3, 1.019, 4e-3, False),
        (1.0, 1e-3, 1.021, 4e-3, True),
        (1.021, 4e-3, 1.0, 1e-3, True),
        (1.019, 4e-3, 1.0, 1e-3, False),
        (-1.0, 1e-3, -1.021, 4e-3, True),
        # and by a millionth of the larger
        (1.0, 0.0, 1.0 + 0.9e-6, 0.0, False),
        (1.0, 0.0, 1.0 + 1.1e-6, 0.0, True),
        (-1.0 - 1.1e-6, 0.0, -1.0, 0.0, True),
        (0.0, 0.0, 1e-9, 0.0, True),
        # what is not known contradicts nothing
        (1.0, 0.0, 2.0, np.nan, False),
        (1.0, 0.0, 2.0, np.inf, False),
        # a zero of which a rounding makes something else, beside a slope that is certain
        (0.0, 1.1, 1.0, 0.24, True),
        (0.0, 1.1, 1.0, 0.26, False),
        (0.0, 0.9, 1.0, 0.24, False),
        (0.0, 1.1, -1.0, 0.24, True),
        (1e-3, 1.1, 1.0, 0.24, False),
        (0.0, 1.1, 1.0, np.nan, False),
    ],
)
def test_how_far_apart_the_two_may_be(
    value: float, uncertainty: float, other: float, others: float, wrong: bool
) -> None:
    assert contradicted(exact([value], uncertainty), central([other], others)) is wrong


@pytest.mark.parametrize(
    ("value", "lower", "upper", "wrong"),
    [
        # the slopes, as far apart as they are, and four times what they are known to
        (0.0, 1.0, 1.4, True),
        (0.0, 1.0, 2.2, False),
        (0.0, -1.4, -1.0, True),
        (0.0, -2.2, -1.0, False),
        (0.0, -1.0, 1.0, False),
        (0.1, 1.0, 1.4, False),
        (7.0, 1.0, 1.4, False),
    ],
)
def test_at_a_kink_a_zero_has_to_lie_far_outside(
    value: float, lower: float, upper: float, wrong: bool
) -> None:
    two = central([0.5 * (lower + upper)], 0.01, kinks=True, lower=lower, upper=upper)
    assert contradicted(exact([value]), two) is wrong


def test_entries_are_counted_over_all_parts_but_the_empty_ones() -> None:
    n = 3 * BLOCK
    value = np.zeros(n)
    value[[3, BLOCK + 5, 2 * BLOCK + 7, n - 1]] = 1.0
    whole = central(value)
    seen: list[int] = []

    def part(at: slice) -> Estimate:
        seen.append(at.start // BLOCK)
        return whole.part(at)

    two = PartedEstimate("central", (n,), part, lambda at: at.start == BLOCK)
    assert "on 3 entries of x" in said(exact(np.zeros(n)), two)
    assert seen == [0, 2]


@pytest.mark.parametrize("source", ["twin", ""])
def test_what_was_not_traced_is_not_asked(source: str) -> None:
    assert said(exact([0.0]), central([1.0]), source=source) == ""
    assert said(exact([0.0]), central([1.0])) != ""


# Paths that the trace does not see


def changing(n: int, *, of: int, **options: Any) -> str:
    """What is said where the loss changes with n of so many entries, and the trace sees none."""
    steps = np.where(np.arange(of) < n, 1.0, 0.0)
    two = central(np.full(of, 0.5), np.inf, steps=steps)
    return said(exact(np.zeros(of)), two, reached=(), level=1e-3, **options)


@pytest.mark.parametrize(
    ("n", "of", "said_so"),
    [(1, 1, True), (1, 2, False), (2, 3, True), (2, 4, False), (3, 4, True), (0, 1, False)],
)
def test_the_loss_has_to_change_with_more_than_half_of_the_entries(
    n: int, of: int, said_so: bool
) -> None:
    message = changing(n, of=of)
    assert ("sees no path from x to the loss, which changes with it" in message) is said_so


def test_entries_without_a_claim_do_not_count() -> None:
    assert changing(2, of=5, claims=np.array([1.0, -1.0, 0.0, 0.0, 0.0])) != ""
    assert changing(2, of=5, claims=np.zeros(5)) == ""
    assert changing(4, of=5, claims=np.array([1.0, 0.0, 0.0, 0.0, -1.0])) == ""


def test_nor_do_those_that_were_not_looked_at() -> None:
    value = np.array([0.5, np.nan, np.nan, np.nan])
    two = central(value, np.inf, steps=np.ones(4))
    assert said(exact(np.zeros(4)), two, reached=(), level=1e-3) != ""


@pytest.mark.parametrize(("steps", "said_so"), [(15.9, False), (16.1, True)])
@pytest.mark.parametrize(
    "slopes", [(0.5, 0.0, 0.0), (0.0, -0.5, 0.0), (0.0, 0.0, -0.5), (np.nan, 0.1, -0.5)]
)
def test_by_eight_deviations_of_the_noise_over_a_step_of_the_steepest(
    slopes: Any, steps: float, said_so: bool
) -> None:
    value, lower, upper = slopes
    sides = {"lower": lower, "upper": upper, "kinks": True, "flat": False}
    two = central([value], np.inf, steps=steps, **sides)
    found = said(exact([0.0], np.inf), two, reached=(), level=1.0)
    assert bool(found) is said_so


def test_what_is_flat_does_not_change() -> None:
    two = central([0.5, 0.5], np.inf, steps=1.0, flat=[True, False])
    assert said(exact([0.0, 0.0]), two, reached=(), level=1e-3) == ""
    two = central([0.5, 0.5, 0.5], np.inf, steps=1.0, flat=[True, False, False])
    assert said(exact([0.0, 0.0, 0.0]), two, reached=(), level=1e-3) != ""
    assert said(exact([0.0]), replace(two.part(slice(1)), flat=True), reached=(), level=0.1) == ""


def test_without_noise_a_slope_of_nothing_is_none() -> None:
    two = central([0.0], np.inf, steps=1.0, flat=False)
    assert said(exact([0.0]), two, reached=(), level=0.0) == ""
    two = central([1e-300], np.inf, steps=1.0, flat=False)
    assert said(exact([0.0]), two, reached=(), level=0.0) != ""


def test_a_trace_that_takes_the_parameter_or_has_a_slope_is_believed() -> None:
    two = central([0.5, 0.5], np.inf, steps=1.0)
    assert said(exact([0.0, 0.0]), two, reached=("y",)) != ""
    assert said(exact([0.0, 0.0]), two, reached=("y", "x")) == ""
    assert said(exact([0.0, 0.5]), two, reached=()) == ""


def test_of_a_loss_that_is_drawn_nothing_is_said() -> None:
    assert changing(1, of=1, spread=1e-9) == ""


def test_parts_that_were_not_looked_at_are_left_out() -> None:
    n = 3 * BLOCK
    whole = central(np.full(n, 0.5), np.inf, steps=np.ones(n))
    two = PartedEstimate("central", (n,), whole.part, lambda at: at.start == 0)
    assert said(exact(np.zeros(n)), two, reached=(), level=1e-3) != ""
    value = np.zeros(n)
    value[-1] = 0.5
    assert said(exact(value), two, reached=(), level=1e-3) == ""
    seldom = central(np.full(n, 0.5), np.inf, steps=np.where(np.arange(n) < 2 * BLOCK, 1.0, 0.0))
    two = PartedEstimate("central", (n,), seldom.part, lambda at: at.start == 0)
    assert said(exact(np.zeros(n)), two, reached=(), level=1e-3) == ""
