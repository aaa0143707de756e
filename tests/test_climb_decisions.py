"""What decides over the next steps of an entry, and over a new look at its noise."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcheck.noise import Noise
from gradcheck.oracles.climb import (
    ORDINARY,
    _changes_suddenly,
    _grain_reach,
    _largest_near,
    _next_levels,
    climb,
    is_wrong,
)
from gradcheck.oracles.first_pass import FirstPass
from gradcheck.oracles.ladder import Reading, Rung

NAN = float("nan")
H = 2.0**-13


def reading(value: float = 3.0, uncertainty: float = 1e-9, **changes: Any) -> Reading:
    found = {"kink": False, "consistent": True, "noise_limited": False} | changes
    kink, consistent, limited = found["kink"], found["consistent"], found["noise_limited"]
    return Reading(value, uncertainty, H, kink, value, value, consistent, limited)


def first_pass(**changes: Any) -> Any:
    one = {
        "claimed": np.array([3.0]),
        "scales": np.ones(1),
        "rounding": np.zeros(1),
        "noise": np.zeros(1),
        "typical": 3.0,
    }
    return SimpleNamespace(**(one | changes))


# Wrong


@pytest.mark.parametrize(
    ("one", "wrong"),
    [
        (reading(4.0, 0.5), True),
        (reading(2.0, 0.5), True),
        (reading(4.0, 1.0), False),
        (reading(4.0, 0.75), False),  # a quarter is rounding of the claim
        (reading(4.0, 0.5, kink=True), False),
        (reading(4.0, NAN), False),
        (reading(4.0, float("inf")), False),
    ],
)
def test_what_contradicts_the_claim_is_wrong_unless_it_is_a_kink_or_open(
    one: Reading, wrong: bool
) -> None:
    assert is_wrong(first_pass(rounding=np.array([0.25])), 0, one) is wrong


# A new look at the noise


def rungs(slopes: dict[float, float], at: float = 1.0) -> dict[float, Rung]:
    """Steps with the slope of each: half of its change up, half down."""
    return {
        float(k): Rung(step, step, at + step * slope, at - step * slope)
        for k, (step, slope) in enumerate(slopes.items())
    }


def reach(slopes: dict[float, float], claim: float, noise: float = 0.0) -> float | None:
    one = first_pass(claimed=np.array([claim]), noise=np.array([noise]))
    return _grain_reach(one, 0, rungs(slopes, 0.0))


def test_no_change_over_the_smallest_step_alone_shows_a_grain() -> None:
    assert reach({1.0: 0.0, 4.0: 3.0, 16.0: 3.0}, 0.25) == 64.0
    assert reach({1.0: 0.0, 4.0: 0.0, 16.0: 0.0}, 0.25) is None
    assert reach({1.0: 3.0, 4.0: 0.0, 16.0: 3.0}, 0.25) is None


@pytest.mark.parametrize(("apart", "found"), [(1.59, 4096.0), (1.61, 256.0)])
@pytest.mark.parametrize("turned", [False, True])
def test_noise_of_a_tenth_of_the_distance_to_the_claim_tells_of_a_settled_claim(
    apart: float, found: float, turned: bool
) -> None:
    small = (16.0 - apart, 16.0) if turned else (16.0, 16.0 - apart)
    slopes = dict(zip((1.0, 4.0, 256.0, 1024.0), (*small, 0.5, 0.5), strict=True))
    assert reach(slopes, 0.0) == found


@pytest.mark.parametrize(("last", "found"), [(0.69, 64.0), (0.71, None)])
def test_the_longest_step_inside_the_domain_comes_nearer_to_the_claim(
    last: float, found: float | None
) -> None:
    assert reach({1.0: 1.0, 4.0: 0.9, 16.0: last}, 0.0) == found
    assert reach({1.0: 1.0, 4.0: last, 16.0: NAN}, 0.0) == found
    assert reach({1.0: NAN, 4.0: NAN, 16.0: NAN}, 0.0) is None


@pytest.mark.parametrize(("apart", "found"), [(0.5, None), (2.0, 64.0)])
def test_slopes_that_differ_by_a_millionth_differ(apart: float, found: float | None) -> None:
    assert reach({1.0: 1e6, 4.0: 1e6 - apart, 16.0: 0.25e6}, 0.0) == found


def test_each_wrong_entry_gets_its_own_look_whatever_came_before_it() -> None:
    def loss(entry: int, x: float) -> float:  # a line, and one in steps of twenty of the first
        return 3.0 * x if entry == 0 else 60.0 * H * float(np.floor(x / (20 * H) + 0.5))

    class Two:
        exhausted = False
        asked: list[tuple[int, float]] = []  # noqa: RUF012

        def entries(self, number: int, indices: Any, values: Any) -> Any:
            self.asked += zip(indices.tolist(), values.tolist(), strict=True)
            return np.array([loss(k, x) for k, x in zip(indices, values, strict=True)])

    zeros, steps = np.zeros(2), np.full(2, H)
    losses = [np.array([loss(k, side * H) for k in (0, 1)]) for side in (1, -1)]
    first = FirstPass(
        *(0, np.arange(2), zeros, steps, steps, *losses, np.array([3.0, 3.0])),
        rounding=zeros,
        noise=np.full(2, 1e-18),
        scales=np.ones(2),
        typical=3.0,
    )
    problem: Any = SimpleNamespace(evaluator=Two())
    found = climb(problem, Noise(1e-18, 0.0, np.dtype(float)), first, np.arange(2), ORDINARY)
    assert abs(found[1].value - 3.0) <= found[1].uncertainty
    tables = [entry for entry, x in Two.asked if abs(x) in 32 * H * np.arange(1, 9)]
    assert len(tables) >= 16
    assert set(tables) == {1}


# Losses of neighbours


def test_the_noise_is_that_of_the_largest_loss_at_the_smaller_steps() -> None:
    def of(**losses: float) -> dict[float, Rung]:
        levels = {"lower": -1.0, "first": 0.0, "next": 1.0, "beyond": 1.5}
        return {levels[name]: Rung(1.0, 1.0, loss, -0.5) for name, loss in losses.items()}

    assert _largest_near(of(lower=2.0, first=-3.0, next=5.0, beyond=7.0)) == 5.0
    assert _largest_near(of(lower=2.0, first=-3.0)) == 3.0
    assert _largest_near(of(lower=2.0, first=NAN, next=0.25)) == 2.0
    assert _largest_near({0.0: Rung(1.0, 1.0, NAN, NAN)}) == 0.0


@pytest.mark.parametrize(("change", "sudden"), [(255.0, False), (257.0, True)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_truncation_grows_no_more_than_two_hundred_and_fifty_six_fold(
    change: float, sudden: bool, sign: float
) -> None:
    slopes = {1.0: 0.0, 4.0: sign, 16.0: sign * (1.0 + change), 64.0: 1e6}
    assert _changes_suddenly(rungs(slopes, 0.0), 0.0) is sudden


@pytest.mark.parametrize(("change", "sudden"), [(255.0, False), (257.0, True)])
def test_noise_may_hide_how_far_the_smallest_slopes_are_apart(change: float, sudden: bool) -> None:
    # four deviations of each of two steps, over these
    noise = 2.0**-20
    hidden = 4 * noise / 1.0 + 4 * noise / 4.0
    slopes = {1.0: 0.0, 4.0: 0.0, 16.0: change * hidden}
    assert _changes_suddenly(rungs(slopes, 0.0), noise) is sudden


# The next steps


def line(smallest: float = H / 4) -> dict[float, Rung]:
    found = rungs({smallest: 3.0, 4 * smallest: 3.0, 16 * smallest: 3.0})
    return {level - 1: rung for level, rung in found.items()}


def following(
    one: Reading, some: dict[float, Rung] | None = None, noise: float = 0.0, **changes: Any
) -> list[float]:
    return _next_levels(first_pass(**changes), 0, some or line(), one, noise, ORDINARY)


JUMPED = rungs({H / 4: 3.0, H: 3.0, 4 * H: 5.0})
JUMPED = {level - 1: rung for level, rung in JUMPED.items()}


@pytest.mark.parametrize(("times", "more"), [(9.9, []), (10.1, [-2.0]), (10.9, [-2.0])])
def test_ten_times_what_is_allowed_and_a_sudden_change_ask_for_a_smaller_step(
    times: float, more: list[float]
) -> None:
    off = reading(3.0 + times * 1e-6, 1e-6, noise_limited=True)
    assert following(off, JUMPED, scales=np.full(1, 16 * H)) == more


@pytest.mark.parametrize(("times", "more"), [(99.9, [-2.0]), (100.1, []), (100.9, [])])
def test_a_hundred_times_what_is_allowed_is_wrong_enough(times: float, more: list[float]) -> None:
    assert following(reading(3.0 + times * 1e-3, 1e-3)) == more


@pytest.mark.parametrize(("room", "more"), [(1.001, [-3.0, -2.0]), (1.0, [])])
def test_steps_end_at_a_thousand_billionths_of_a_thousandth_of_the_scale(
    room: float, more: list[float]
) -> None:
    smallest = H / 4
    outside = {k: Rung(r.up, r.down, NAN, NAN) for k, r in line(smallest).items()}
    scale = smallest / 1e-15 / room
    open_ = reading(NAN, NAN)
    assert following(open_, outside, scales=np.full(1, scale)) == more


@pytest.mark.parametrize(("share", "more"), [(0.9, [-3.0, -2.0]), (1.1, [])])
def test_where_nothing_is_known_the_claim_tells_whether_noise_would_hide_the_slope(
    share: float, more: list[float]
) -> None:
    outside = {k: Rung(r.up, r.down, NAN, NAN) for k, r in line().items()}
    claim = 1e-3
    noise = share * claim * (H / 4) / 16  # four deviations over the next step
    small = {"claimed": np.array([claim]), "typical": 1e-6}
    assert following(reading(NAN, NAN), outside, noise, **small) == more


@pytest.mark.parametrize("claim", [3.0, -3.0])
def test_no_change_is_no_slope_unless_that_is_claimed(claim: float) -> None:
    flat = {k: Rung(r.up, r.down, 1.0, 1.0) for k, r in line().items()}
    assert following(reading(0.0, 1e-9), flat, claimed=np.array([claim])) == [3.0]
    assert following(reading(0.0, 0.0), flat, claimed=np.zeros(1)) == []
