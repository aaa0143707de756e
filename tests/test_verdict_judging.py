"""What is read from the comparisons of a parameter, and how a kink is told by what a trace says."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from closed_problems import central, closed_problem, judged_by, noise_of

from gradcheck.blocks import BLOCK
from gradcheck.oracles.parted import PartedEstimate
from gradcheck.oracles.torch_autograd import Autograd
from gradcheck.second_look import MOST_EXTENDED, decided, undecided
from gradcheck.settings import Settings
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS, UNCHECKED, Judged
from gradcheck.verdict.in_parts import PartedJudged
from gradcheck.verdict.judging import compare_parameter, excluded, judge_estimate, settle_kinks

EPS = 2.0**-52
ONES = np.ones(3)

# What is read from comparisons


def with_codes(*codes: int, kinks: Any = False) -> Any:
    one = judged_by(np.ones(len(codes)), central=central(np.ones(len(codes))))
    judged = replace(
        one.comparisons["analytic~central"],
        codes=np.array(codes, dtype=np.int8),
        kinks=np.broadcast_to(kinks, (len(codes),)),
    )
    combined = replace(one.combined, codes=judged.codes)
    return replace(one, comparisons={"analytic~central": judged}, combined=combined)


def test_open_at_a_kink_is_what_is_inconclusive_there() -> None:
    every = (UNCHECKED, PASS, INCONCLUSIVE, FAIL)
    assert with_codes(*every, kinks=True).open_kinks.tolist() == [False, False, True, False]
    assert not with_codes(*every).open_kinks.any()
    exact = judged_by(ONES, autograd=replace(central(ONES), oracle="autograd"))
    assert exact.open_kinks.tolist() == [False] * 3
    assert not exact.has_kinks


def test_an_entry_at_a_kink_or_wrong_tells_of_its_parameter() -> None:
    assert with_codes(PASS, PASS, kinks=[False, True]).has_kinks
    assert not with_codes(PASS, PASS).has_kinks
    assert with_codes(PASS, FAIL).is_wrong
    assert not with_codes(PASS, INCONCLUSIVE).is_wrong
    assert with_codes(PASS, UNCHECKED).left_out
    assert not with_codes(PASS, FAIL).left_out


@pytest.mark.parametrize(
    ("value", "outside"),
    [(2.39, False), (2.41, True), (-0.39, False), (-0.41, True), (1.2, False)],
)
def test_outside_of_a_kink_is_farther_than_its_slopes_are_apart(
    value: float, outside: bool
) -> None:
    # slopes of 0.7 and 1.3, known to an eighth: half of one is left beside their distance
    two = central([1.0, 1.0], 0.125, kinks=[True, False], lower=[0.7, 0.7], upper=[1.3, 1.3])
    assert excluded(central([value, value]), two).tolist() == [outside, False]


# Small and large parameters


def compared(n: int, **estimates: Any) -> Any:
    problem, _ = closed_problem(lambda x: 1.0, None, {"x": np.ones(n)}, x=np.ones(n))
    return compare_parameter(problem, Settings(), "x", estimates, noise_of(1e-16, 1.0), None)


@pytest.mark.parametrize(("n", "kind"), [(3, Judged), (BLOCK, Judged), (BLOCK + 1, PartedJudged)])
def test_a_large_parameter_is_judged_in_parts(n: int, kind: Any) -> None:
    exact = replace(central(np.ones(n)), oracle="autograd")
    found = compared(n, central=central(np.ones(n)), autograd=exact)
    assert {type(one) for one in found.comparisons.values()} == {kind}
    for one in (*found.comparisons.values(), found.combined):
        assert (one.codes == PASS).all()


def test_each_parameter_is_judged_by_its_own_scales() -> None:
    claims = {"x": np.ones(2), "y": np.ones(3)}
    problem, _ = closed_problem(lambda **_: 1.0, None, claims, x=np.ones(2), y=np.ones(3))
    found = judge_estimate(
        problem, Settings(), "y", central(np.ones(3)), noise_of(1e-18, 1.0), None
    )
    assert found.codes.tolist() == [PASS] * 3


def test_the_typical_gradient_of_parts_is_that_of_the_whole() -> None:
    n = 2 * BLOCK
    slopes, claims = np.ones(n), np.ones(n)
    slopes[BLOCK - 3 : BLOCK] = np.nan, np.inf, 4.0
    slopes[0] = claims[0] = 1e-5
    whole = central(slopes, 1e-7)
    for empty in (0, 1):
        # an entry far below the others is judged by a thousandth of what is typical

        def part(at: slice, empty: int = empty) -> Any:
            assert at.start != empty * BLOCK  # of which there is nothing to ask
            return whole.part(at)

        two = PartedEstimate("central", (n,), part, lambda at, e=empty: at.start == e * BLOCK)
        problem, _ = closed_problem(lambda x: 1.0, None, {"x": claims}, x=np.ones(n))
        found = judge_estimate(problem, Settings(), "x", two, noise_of(1e-18, 1.0), None)
        assert found.codes[0] == (UNCHECKED if empty == 0 else PASS)
        assert found.codes[-1] == (PASS if empty == 0 else UNCHECKED)


def test_a_kink_counts_by_its_steeper_side_where_the_two_cancel() -> None:
    # symmetric kinks: every value is 0, and the slopes are 1
    two = central(
        [0.0, 0.0, 0.0],
        1e-4,
        kinks=[True, True, False],
        lower=[-1, -1, 0],
        upper=[1, 1, 0],
        flat=False,
    )
    problem, _ = closed_problem(lambda x: 1.0, None, {"x": np.zeros(3)}, x=ONES)
    found = judge_estimate(problem, Settings(), "x", two, noise_of(1e-18, 1.0), None)
    assert found.codes.tolist() == [PASS] * 3
    flat = judge_estimate(
        problem, Settings(), "x", replace(two, kinks=np.zeros(3, bool)), noise_of(1e-18, 1.0), None
    )
    assert flat.codes.tolist() == [INCONCLUSIVE] * 3


# Kinks by what a trace says


def kinked(lower: float = -1.0, upper: float = 1.0, kinks: Any = (True, False, True)) -> Any:
    middle = np.full(3, 0.5 * (lower + upper))
    return central(middle, 1e-9, kinks=np.array(kinks), lower=lower, upper=upper)


def settled(differences: Any, again: Any, *, ties: Any = (), choices: Any = (), own: Any = None):
    """What becomes of the differences, and the moves of the point where the trace was asked."""
    problem, _ = closed_problem(lambda x: 0.0, None, {"x": np.zeros(3)}, x=ONES)
    value, moves = problem.parameters[0].value, []

    def gradient() -> Any:
        moves.append((value - 1.0) / (4 * EPS))
        return {"x": again(moves[-1])}

    source: Any = SimpleNamespace(
        trace=SimpleNamespace(ties=ties, subgradients=lambda: iter({"x": one} for one in choices)),
        again=gradient,
    )
    found = {"x": {"central": differences, **({"autograd": own} if own is not None else {})}}
    settle_kinks(problem, found, source)
    assert (value == 1.0).all()
    return found["x"]["central"], np.array(moves)


def test_the_point_is_moved_up_and_down_and_four_times_each_entry_its_own_way_and_back() -> None:
    found, moves = settled(kinked(), lambda move: np.zeros(3))
    assert not found.kinks.any()
    assert np.isnan(found.uncertainty).tolist() == [True, False, True]
    assert len(moves) == 1 + 2 + 8
    assert moves[:3].tolist() == [[0, 0, 0], [1, 0, 1], [-1, 0, -1]]
    assert not moves[:, 1].any()
    mixed = moves[3:]
    # steps below 1 are half as fine: up to half a unit of rounding
    assert set(np.abs(np.rint(8 * mixed[:, [0, 2]])).ravel()) == {2, 4, 6, 8}
    np.testing.assert_array_equal(mixed[::2], -mixed[1::2])
    assert len({tuple(row) for row in np.abs(mixed).tolist()}) > 2
    assert (mixed[:, 0] * mixed[:, 2] < 0).any()


def test_equals_that_are_sorted_change_only_where_they_go_different_ways() -> None:
    found, moves = settled(kinked(), lambda move: np.full(3, float(move[0] != move[2])))
    assert found.kinks.tolist() == [True, False, True]
    assert (found.uncertainty == 1e-9).all()
    assert moves[-1][0] != moves[-1][2]  # and no more than are needed


def test_that_ends_where_all_have_changed() -> None:
    found, moves = settled(kinked(), lambda move: np.sign(move))
    assert found.kinks.tolist() == [True, False, True]
    assert len(moves) == 2
    found, moves = settled(kinked(), lambda move: np.where(move > 0, [1.0, 0.0, 0.0], 0.0))
    assert found.kinks.tolist() == [True, False, False]
    assert len(moves) == 11


def test_a_point_off_the_domain_tells_nothing_and_the_others_do() -> None:
    def again(move: Any) -> Any:
        if move[0] > 0:
            raise ValueError("off the domain")
        return np.where(move < 0, 1.0, 0.0)

    found, moves = settled(kinked(), again)
    assert found.kinks.tolist() == [True, False, True]
    assert len(moves) == 3


def test_a_gradient_that_is_no_number_at_the_point_alone_is_one_that_changes() -> None:
    found, _ = settled(kinked(), lambda move: np.where(move == 0.0, np.nan, 0.0))
    assert found.kinks.tolist() == [True, False, True]
    found, _ = settled(kinked(), lambda move: np.full(3, np.nan))
    assert not found.kinks.any()
    found, _ = settled(kinked(), lambda move: np.where(move == 0.0, 0.0, np.nan))
    assert not found.kinks.any()


@pytest.mark.parametrize(
    ("own", "lower", "asked"),
    [
        ([0.0, 0.0, 0.0], 0.9, False),  # no path, and every slope is far from 0
        ([0.0, 0.5, 0.0], 0.9, True),
        ([0.0, 0.0, 0.0], -1.0, True),
    ],
)
def test_where_a_trace_sees_no_path_but_the_loss_has_slopes_it_says_nothing(
    own: Any, lower: float, asked: bool
) -> None:
    exact = replace(central(own), oracle="autograd")
    found, moves = settled(kinked(lower, 1.0), lambda move: np.zeros(3), own=exact)
    assert bool(len(moves)) is asked
    assert found.kinks.any() is not asked


def test_every_parameter_is_asked_about() -> None:
    # the first has no kinks, of the second the trace sees no path, and the others have kinks
    names, exact = "abcd", replace(central(np.zeros(3)), oracle="autograd")
    problem, _ = closed_problem(
        lambda **_: 0.0, None, {name: np.zeros(3) for name in names}, **dict.fromkeys(names, ONES)
    )
    found = {
        "a": {"central": central(np.zeros(3))},
        "b": {"central": kinked(0.9, 1.0), "autograd": exact},
        "c": {"central": kinked()},
        "d": {"central": kinked()},
    }
    source: Any = SimpleNamespace(
        trace=SimpleNamespace(ties=()), again=lambda: {name: np.zeros(3) for name in names}
    )
    settle_kinks(problem, found, source)
    assert not any(found[name]["central"].kinks.any() for name in "cd")
    choices = iter([{name: np.full(3, 2.0) for name in names}])
    source.trace = SimpleNamespace(ties=(1,), subgradients=lambda: choices)
    found = {"a": {"central": kinked()}, "b": {"central": kinked()}}
    settle_kinks(problem, found, source)
    for name in "ab":
        assert found[name]["central"].upper.tolist() == [2.0, 1.0, 2.0]


def test_one_kink_that_may_be_flat_is_enough_to_ask() -> None:
    exact = replace(central(np.zeros(3)), oracle="autograd")
    sides = {"lower": np.array([0.9, 1, -1.0]), "upper": np.ones(3)}
    _, moves = settled(replace(kinked(), **sides), lambda move: np.zeros(3), own=exact)
    assert len(moves)


# Exact estimates that leave nothing open


@pytest.mark.parametrize(
    ("claims", "uncertainty", "settles"),
    [
        ([1.0, 1.0, 1.0], 1e-9, True),
        ([1.0, 1.0, 2.0], 1e-9, True),
        ([1.0, 1.0, 1.5], [1e-9, 1e-9, 0.9], False),
        # off by a little more than is known: open, and fine enough to tell
        ([1.0, 1.0, 1 + 2.5e-6], 1e-6, True),
        ([1.0, 1.0, 1.5], [1e-9, 1e-9, np.inf], False),
    ],
)
def test_exact_estimates_settle_a_parameter_but_for_want_of_digits(
    claims: Any, uncertainty: Any, settles: bool
) -> None:
    exact = replace(central(ONES, uncertainty), oracle="autograd")
    claims = np.asarray(claims)
    problem, _ = closed_problem(lambda x, y: 1.0, None, {"x": claims, "y": claims}, x=ONES, y=ONES)
    given = {"x": exact, "y": replace(central(ONES), oracle="autograd")}
    found = decided(problem, Settings(), noise_of(1e-18, 1.0), given)
    assert ("x" in found) is settles
    assert "y" in found


@pytest.mark.parametrize(("n", "settles"), [(MOST_EXTENDED, False), (MOST_EXTENDED + 1, True)])
def test_large_ones_settle_it_unseen(n: int, settles: bool) -> None:
    exact = replace(central(np.ones(n), 1.0), oracle="autograd")
    problem, _ = closed_problem(lambda x: 1.0, None, {"x": 2 * np.ones(n)}, x=np.ones(n))
    assert bool(decided(problem, Settings(), noise_of(1e-18, 1.0), {"x": exact})) is settles


def test_what_autograd_knows_is_left_and_the_next_parameter_is_asked() -> None:
    claims = {"x": ONES, "y": ONES}
    problem, _ = closed_problem(lambda x, y: 1.0, None, claims, x=ONES, y=ONES)
    coarse = central(ONES, [1e-9, 0.1, 1e-9])
    known = Autograd({"x": coarse})
    found = undecided(problem, Settings(), noise_of(1e-18, 1.0), {"x": coarse, "y": coarse}, known)
    assert {name: at.tolist() for name, at in found.items()} == {"y": [1]}
