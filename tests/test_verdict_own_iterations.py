"""Which errors are put down to the tolerance of an iteration that runs in the loss, and how."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from closed_problems import central, closed_problem, judged_by, noise_of

from gradcheck.blocks import BLOCK
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS
from gradcheck.verdict.own_iterations import settled_by_iteration

JUMP = 1e-6


def stepped(jump: float = JUMP, *, reach: float = 0.01, rounds: Any = (3, 4), slope: Any = 1.0):
    """A line that jumps up where its first entry has moved by so much, for a round more."""

    def loss(x: Any) -> float:
        far = bool(abs(x.flat[0] - 1.0) > reach)
        found = 0.0
        for _ in range(rounds[far]):
            found = found + 0.0
        return float(np.sum(slope * x)) + jump * far

    return loss


def settled(
    off: Any,
    loss: Any = None,
    *,
    value: Any = (1.0, 1.0),
    level: float = 1e-12,
    budget: int | None = None,
    spread: float = 0.0,
    inside: Any = None,
    **options: Any,
) -> Any:
    """Codes, what is said, and how often the loss was evaluated."""
    value = np.array(value, dtype=float)
    claims = value + np.asarray(off)
    problem, looks = closed_problem(
        loss or stepped(), None, {"x": claims}, x=np.ones(value.shape), budget=budget, spread=spread
    )
    problem = replace(problem, precision_inside=inside)
    parameters = {"x": judged_by(claims, central=central(value, **options))}
    found, said = settled_by_iteration(problem, noise_of(level), parameters)
    assert (problem.parameters[0].value == 1.0).all()
    assert set(found) == {"x"}
    return found["x"], said, len(looks.losses)


def codes(*args: Any, **options: Any) -> Any:
    return settled(*args, **options)[0].combined.codes.tolist()


# How far off an entry may be


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(("part", "code"), [(0.9, PASS), (1.05, FAIL)])
def test_sixteen_jumps_over_the_scale_of_an_entry_are_of_the_tolerance(
    part: float, code: int, side: float
) -> None:
    found, said, _ = settled([side * part * 16 * JUMP, 0.0])
    assert found.combined.codes.tolist() == [code, PASS]
    assert said == ()
    one = found.comparisons["analytic~central"]
    assert one.codes.tolist() == [code, PASS]
    if code == PASS:
        assert one.resolution[0] == pytest.approx(16 * JUMP, rel=0.1)
        assert one.resolution[1] == 1e-8


@pytest.mark.parametrize(("off", "code"), [(0.99e-4, PASS), (1.01e-4, FAIL)])
def test_a_ten_thousandth_is_the_most_that_passes(off: float, code: int) -> None:
    found, _, looks = settled([off, 0.0], stepped(1e-4))
    assert found.combined.codes.tolist() == [code, PASS]
    assert bool(looks) is (code == PASS)
    if code == PASS:
        assert found.comparisons["analytic~central"].resolution[0] == pytest.approx(1e-4, rel=1e-3)


def test_what_is_slight_beside_the_others_alone_stays_open_and_that_is_said() -> None:
    found, said, _ = settled([5e-5, 5e-5, 0.0], stepped(1e-4), value=(0.1, 1.0, 1.0))
    assert found.combined.codes.tolist() == [INCONCLUSIVE, PASS, PASS]
    assert found.comparisons["analytic~central"].codes.tolist() == [INCONCLUSIVE, PASS, PASS]
    (one,) = said
    assert (one.cause, one.parameter, one.confidence) == ("precision_limited", "x", "likely")
    assert "is off by at most 0.0005 of its size at 1 of 3 entries." in one.message
    assert "the loss jumps by 0.0001" in one.message
    assert one.evidence["relative_error"] == pytest.approx(5e-4, rel=1e-3)
    assert one.evidence["jump"] == pytest.approx(1e-4, rel=0.1)


def test_one_that_is_more_leaves_all_as_it_is() -> None:
    found, said, looks = settled([5e-6, 3e-4])
    assert found.combined.codes.tolist() == [FAIL, FAIL]
    assert (said, looks) == ((), 0)
    # more than the jumps explain
    found, said, looks = settled([5e-6, 5e-5])
    assert found.combined.codes.tolist() == [FAIL, FAIL]
    assert said == ()
    assert looks


@pytest.mark.parametrize(
    ("off", "uncertainty", "code", "looks"),
    [
        # less than a millionth, and more than is known
        (9e-7, 1e-9, PASS, True),
        # known to more than a thousandth, and off by less than that
        (1e-5, 2e-3, INCONCLUSIVE, False),
    ],
)
def test_what_is_open_passes_too_where_it_is_seen_to_be_off(
    off: float, uncertainty: float, code: int, looks: bool
) -> None:
    options = {"uncertainty": [uncertainty, 1e-12]}
    before = judged_by([1.0 + off, 1.0], central=central([1.0, 1.0], **options))
    assert before.combined.codes.tolist() == [INCONCLUSIVE, PASS]
    found, _, count = settled([off, 0.0], **options)
    assert found.combined.codes.tolist() == [code, PASS]
    assert bool(count) is looks


def test_what_is_open_at_a_kink_stays_so() -> None:
    kink = {"kinks": [True, False], "lower": [0.999, 1.0], "upper": [1.0, 1.0]}
    found, said, looks = settled([5e-6, 0.0], **kink)
    assert found.combined.codes.tolist() == [INCONCLUSIVE, PASS]
    assert (said, looks) == ((), 0)


def test_where_nothing_is_off_nothing_is_evaluated() -> None:
    for off in ([0.0, 0.0], [1e-12, 0.0]):
        found, said, looks = settled(off)
        assert (found.combined.codes.tolist(), said, looks) == ([PASS, PASS], (), 0)


# Which losses


@pytest.mark.parametrize(
    ("rounds", "code"),
    [((3, 3), FAIL), ((0, 3), FAIL), ((3, 0), FAIL), ((1, 3), PASS), ((3, 1), PASS)],
)
def test_without_another_number_of_rounds_there_is_no_iteration(rounds: Any, code: int) -> None:
    # nor is what runs once, or not at all; the head of a loop of one round runs twice
    assert codes([8 * JUMP, 0.0], stepped(rounds=rounds)) == [code, PASS]


def test_noise_hides_jumps_of_eight_deviations() -> None:
    assert codes([8 * JUMP, 0.0], level=0.9 * JUMP / 8) == [PASS, PASS]
    assert codes([8 * JUMP, 0.0], level=1.1 * JUMP / 8) == [FAIL, PASS]


@pytest.mark.parametrize("how", [{"spread": 1e-9}, {"inside": np.dtype(np.float32)}], ids=str)
def test_nor_is_a_loss_looked_at_that_is_drawn_or_of_lower_precision(how: Any) -> None:
    found, _, looks = settled([8 * JUMP, 0.0], **how)
    assert (found.combined.codes.tolist(), looks) == ([FAIL, PASS], 0)


@pytest.mark.parametrize(("n", "code"), [(BLOCK, PASS), (BLOCK + 1, FAIL)])
def test_large_parameters_stay_as_they_are(n: int, code: int) -> None:
    off = np.zeros(n)
    off[0] = 8e-6
    problem, _ = closed_problem(stepped(slope=0.0), None, {"x": 1.0 + off}, x=np.ones(n))
    parameters = {"x": judged_by(1.0 + off, central=central(np.ones(n)))}
    found, _ = settled_by_iteration(problem, noise_of(1e-12), parameters)
    assert found["x"].combined.codes[0] == code


# Where it is looked for


def test_three_directions_are_taken_of_which_each_entry_moves_by_about_itself() -> None:
    x, claims = np.array([2.0, -4.0, 0.0]), np.array([1.0 + 5e-6, 1.0, 1.0])
    problem, looks = closed_problem(stepped(rounds=(3, 3)), None, {"x": claims}, x=x)
    parameters = {"x": judged_by(claims, central=central(np.ones(3)))}
    found, _ = settled_by_iteration(problem, noise_of(1e-12), parameters)
    assert found["x"].combined.codes.tolist() == [FAIL, PASS, PASS]
    moves = np.array([one["x"] - x for one in looks.losses]).reshape(3, 7, 3)
    sizes = np.r_[2.0, 4.0, problem.parameters[0].scales[2]]
    assert not moves[:, 0].any()
    directions = moves[:, 6] * 2.0 / sizes
    assert ((np.abs(directions) >= 0.5) & (np.abs(directions) <= 1.0)).all()
    assert len(set(np.sign(directions).ravel())) == 2
    assert len({tuple(row) for row in directions.tolist()}) == 3
    for distance, k in zip((8, 6, 4, 3, 2, 1), range(1, 7), strict=True):
        np.testing.assert_allclose(moves[:, k] * 2.0**distance, directions * sizes, rtol=1e-9)


def test_the_comparison_of_two_oracles_stays_as_it_is() -> None:
    claims = np.array([1.0 + 5e-6, 1.0])
    exact = replace(central([1.0, 1.0]), oracle="autograd")
    before = judged_by(claims, central=central([1.0, 1.0]), autograd=exact)
    other = before.comparisons["analytic~central"]
    before = replace(before, comparisons={**before.comparisons, "autograd~central": other})
    problem, _ = closed_problem(stepped(), None, {"x": claims}, x=np.ones(2))
    found, _ = settled_by_iteration(problem, noise_of(1e-12), {"x": before})
    after = found["x"].comparisons
    assert [one.codes.tolist() for one in after.values()] == [[PASS] * 2] * 2 + [[FAIL, PASS]]


def test_several_parameters_are_settled_together_or_not_at_all() -> None:
    def loss(x: Any, y: Any) -> float:
        return stepped()(x) + float(y.sum())

    for off, codes_ in ((5e-6, [PASS, PASS]), (5e-5, [FAIL, FAIL]), (5e-4, [FAIL, FAIL])):
        claims = {"x": np.array([1.0 + 5e-6]), "y": np.array([1.0 + off])}
        problem, _ = closed_problem(loss, None, claims, x=np.ones(1), y=np.ones(1))
        parameters = {name: judged_by(one, central=central([1.0])) for name, one in claims.items()}
        found, said = settled_by_iteration(problem, noise_of(1e-12), parameters)
        assert [found[name].combined.codes[0] for name in "xy"] == codes_
        assert said == ()


@pytest.mark.parametrize(("reach", "code"), [(0.2, PASS), (0.6, FAIL)])
def test_the_number_of_rounds_has_to_change_within_half_of_a_parameter(
    reach: float, code: int
) -> None:
    assert codes([8 * JUMP, 0.0], stepped(reach=reach)) == [code, PASS]


@pytest.mark.parametrize(("budget", "looked"), [(42, False), (43, True), (None, True)])
def test_a_direction_is_affordable_where_all_its_evaluations_are(
    budget: int | None, looked: bool
) -> None:
    found, _, looks = settled([8 * JUMP, 0.0], budget=budget)
    assert bool(looks) is looked
    assert found.combined.codes[0] == (PASS if looked else FAIL)


def test_where_the_first_jump_is_far_too_small_no_others_are_looked_for() -> None:
    few = settled([12 * 16 * JUMP / 100, 0.0], stepped(JUMP / 100))[2]
    more = settled([8 * 16 * JUMP / 100, 0.0], stepped(JUMP / 100))[2]
    assert few < 0.5 * more
