"""When claims are looked for among the gradients nearby, at how many points, and what follows."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from closed_problems import Meeting, central, closed_problem, judged_by, noise_of

from gradcheck.calling.quiet import quiet
from gradcheck.verdict.clarke import with_subgradients
from gradcheck.verdict.compare import INCONCLUSIVE, PASS

RADIUS, STEP = 2.0**-20, 2.0**-27
"""How far the points lie, and over which steps slopes are taken there."""


def settled(
    claim: Any, *, seen: Any = 0.0, level: float = 0.0, jumps: Any = None, **options: Any
) -> Any:
    """What becomes of a claim that fails, and at how many points the loss was evaluated.

    As many pieces meet, unless a loss is given, as there are entries: in each, one has a slope.
    """
    claim = np.asarray(claim, dtype=float)
    max_ = Meeting(np.eye(claim.size))
    given = {"loss": max_.loss, "gradient": max_.gradient, "x": np.zeros(claim.size), **options}
    problem, looks = closed_problem(claims={"x": claim, **given.pop("others", {})}, **given)
    parameters = {"x": judged_by(claim, central=central(np.broadcast_to(seen, claim.shape)))}
    noise = replace(noise_of(level), jumps=jumps)
    with quiet():
        found = with_subgradients(problem, noise, parameters)
    return found, len(looks.losses) // 3


def codes(found: Any) -> list[int]:
    return found["x"].combined.codes.tolist()


# How many points are looked at


def test_a_claim_among_the_pieces_passes_at_the_first_look() -> None:
    found, points = settled([0.25, 0.75])
    assert codes(found) == [PASS, PASS]
    assert points == 8


@pytest.mark.parametrize(("n", "points"), [(2, 104), (13, 104), (14, 112), (20, 160)])
def test_one_that_is_none_fails_after_thirteen_rounds_or_one_for_each_entry_that_changes(
    n: int, points: int
) -> None:
    assert settled(np.full(n, 1.01 / n)) == ({}, points)


def test_no_more_than_fifty_rounds_are_made() -> None:
    found, points = settled(np.full(60, 1.01 / 60))
    assert points == 400
    assert found == {}


def test_a_gradient_that_is_wrong_nearby_costs_one_point() -> None:
    assert settled([0.5, 0.5], gradient=lambda x: {"x": np.array([3.0, 0.0])}) == ({}, 1)


def line(x: Any) -> Any:
    return x.sum()


def slopes_of_a_line(x: Any) -> Any:
    return {"x": np.ones(x.size)}


def test_where_no_pieces_meet_three_rounds_are_enough() -> None:
    line_ = {"loss": line, "gradient": slopes_of_a_line}
    assert settled([0.5, 1.0], seen=1.0, **line_) == ({}, 24)


@pytest.mark.parametrize(("outside", "points"), [(0, 24), (1, 32), (8, 32), (9, 40)])
def test_points_off_the_domain_do_not_count(outside: int, points: int) -> None:
    calls = []

    def gradient(x: Any) -> Any:
        calls.append(1)
        if len(calls) <= outside:
            raise ValueError("off the domain")
        return slopes_of_a_line(x)

    found = settled([0.5, 1.0], seen=1.0, loss=line, gradient=gradient)
    assert found == ({}, points - outside)
    assert len(calls) == outside + 2 * (points - outside)


@pytest.mark.parametrize("kind", ["kink", "nan", "overflow"])
def test_where_every_point_says_nothing_it_fails_in_the_end(kind: str) -> None:
    calls = []

    def loss(x: Any, y: Any) -> Any:
        calls.append(1)
        return x.sum() + (1.0 if kind == "kink" and len(calls) % 3 == 0 else 0.0)

    def gradient(x: Any, y: Any) -> Any:
        entry = {"kink": 0.0, "nan": np.nan, "overflow": 1e308}[kind]
        return {"x": np.ones(2), "y": np.array([entry])}

    found = settled(
        [0.5, 1.0], seen=1.0, loss=loss, gradient=gradient, y=[100.0], others={"y": [0.0]}
    )
    assert found == ({}, 24)


def test_one_that_says_something_is_waited_for_then() -> None:
    calls = []

    def gradient(x: Any) -> Any:
        calls.append(1)
        return {"x": np.array([1.0, np.nan if len(calls) > 2 else 1.0])}

    given = {"seen": 1.0, "loss": line, "gradient": gradient}
    assert settled([0.5, 1.0], **given) == ({}, 400)


@pytest.mark.parametrize(("part", "points"), [(0.9e-5, 1), (1.1e-5, 24)])
@pytest.mark.parametrize("largest", [-1.0, 50.0])
def test_a_gradient_that_changes_on_the_way_to_the_point_is_of_no_piece(
    largest: float, part: float, points: int
) -> None:
    calls = []

    def gradient(x: Any) -> Any:
        calls.append(1)  # wrong by far, halfway and there
        return {"x": largest * np.array([0.5, -1.0, part * (len(calls) % 2)])}

    given = {"seen": 1.0, "loss": lambda x: largest * x[0], "gradient": gradient}
    assert settled([0.5, 1.0, 1.0], **given) == ({}, points)


def test_limits_end_the_search_with_what_was_seen() -> None:
    # of three pieces enough are seen in eight rounds, of sixty not in three
    found, points = settled([0.5, 0.5, 0.1], budget=5 * 64)
    assert (found, points) == ({}, 64)
    found, points = settled(np.full(60, 1 / 60), budget=5 * 24)
    assert codes(found) == [INCONCLUSIVE] * 60
    assert points == 24


# Where the points are


def test_points_lie_close_by_and_slopes_are_taken_over_a_part_of_that_along_what_fails() -> None:
    x = np.zeros(40)
    claim = np.r_[np.full(30, 0.5), np.ones(10)]
    problem, looks = closed_problem(line, slopes_of_a_line, {"x": claim}, x=x)
    found = judged_by(claim, central=central(np.ones(40)))
    assert with_subgradients(problem, noise_of(0.0), {"x": found}) == {}
    reach = max(np.abs(one["x"]).max() for one in looks.gradients)
    assert 0.98 * RADIUS < reach <= RADIUS
    for k in range(0, len(looks.losses), 3):
        down, here, up = (one["x"] for one in looks.losses[k : k + 3])
        np.testing.assert_allclose(np.abs(up - here)[:30], STEP, rtol=1e-6)
        np.testing.assert_allclose(up - here, here - down, atol=1e-20)
        assert not (up - here)[30:].any()


@pytest.mark.parametrize(
    ("dtypes", "part"),
    [(("f8", "f8"), 2.0**-13), (("f8", ">f8"), 2.0**-13), (("f4", "f8"), 0.5), (("f8", "f4"), 0.5)],
)
def test_on_the_way_to_them_the_gradient_is_asked_far_nearer_where_digits_allow(
    dtypes: tuple[str, str], part: float
) -> None:
    x, y = (np.zeros(2, dtype) for dtype in dtypes)
    problem, looks = closed_problem(
        lambda x, y: 0.0,
        lambda x, y: {"x": np.ones(2), "y": np.ones(2)},
        {"x": np.full(2, 2.0), "y": np.ones(2)},
        x=x,
        y=y,
    )
    found = {"x": judged_by([2.0, 2.0], central=central([0.0, 0.0]))}
    assert with_subgradients(problem, noise_of(0.0), found) == {}
    near, far = looks.gradients[:2]
    for name in "xy":
        np.testing.assert_allclose(near[name], part * far[name], rtol=1e-6)


@pytest.mark.parametrize(("part", "points"), [(0.9e-6, 24), (1.1e-6, 1)])
def test_a_millionth_of_the_slopes_nearby_is_no_mistake(part: float, points: int) -> None:
    def gradient(x: Any) -> Any:
        return {"x": np.ones(4) + np.array([2.0 * part, 0, 0, 0])}

    found = settled([0.5, 0.5, 0.5, 0.5], seen=1.0, loss=line, gradient=gradient)
    assert found == ({}, points)


LEVEL = 1e-4 * STEP / 8.0
"""Noise that leaves a ten-thousandth of a slope of 1 in doubt over the step."""


@pytest.mark.parametrize(("part", "points"), [(0.9, 24), (1.1, 1)])
def test_nor_is_what_noise_may_make(part: float, points: int) -> None:
    def gradient(x: Any) -> Any:
        return {"x": np.array([1.0 + part * 0.5e-4])}

    given = {"seen": 1.0, "loss": line, "gradient": gradient}
    assert settled([2.0], level=0.5 * LEVEL, **given) == ({}, points)


# When it is looked at all


@pytest.mark.parametrize(("part", "points"), [(0.98, 1), (1.02, 0)])
@pytest.mark.parametrize("missed", [0.01, 5.0])
def test_noise_has_to_leave_room_for_what_seemed_wrong(
    missed: float, part: float, points: int
) -> None:
    wrong = {"seen": 0.0, "loss": line, "gradient": lambda x: {"x": 0 * x}, "x": [8.0, 0.0]}
    level = part * 8.0 * missed * LEVEL  # of an entry of size 8
    assert settled([missed, 0.0], level=level, **wrong) == ({}, points)


def test_what_is_missed_most_in_any_parameter_counts() -> None:
    for order in ("xyz", "zyx"):
        claims = {"x": np.array([0.5]), "y": np.array([2.0]), "z": np.array([0.0])}
        problem, looks = closed_problem(
            lambda **_: 0.0,
            lambda **_: {name: np.ones(1) for name in "xyz"},
            claims,
            **{name: np.zeros(1) for name in order},
        )
        parameters = {name: judged_by(claims[name], central=central([0.0])) for name in order}
        assert with_subgradients(problem, noise_of(1.9 * LEVEL), parameters) == {}
        assert len(looks.losses) == 3


def nothing(x: Any) -> Any:
    return {"x": np.zeros(x.size)}


@pytest.mark.parametrize(
    "options",
    [
        {"spread": 0.5},
        {"jumps": SimpleNamespace()},
        {"gradient": None},
        {"claim": [1.0, 0.0]},
        {"claim": [1.0, np.inf]},
        {"claim": [1.0, np.nan]},
        {"seen": [1.0, np.nan]},
    ],
    ids=str,
)
def test_nothing_is_looked_at_where_nothing_would_follow(options: dict[str, Any]) -> None:
    given = {"claim": [1.0, 2.0], "seen": [1.0, 0.0], "gradient": nothing, "loss": line, **options}
    assert settled(**given) == ({}, 0)


def test_it_would_be_looked_at_else() -> None:
    assert settled([1.0, 2.0], seen=[1.0, 0.0], gradient=nothing, loss=line) == ({}, 1)


def test_nor_is_a_gradient_of_the_wrong_form() -> None:
    problem, looks = closed_problem(line, nothing, {"x": np.ones(2)}, x=np.zeros(2))
    problem = replace(problem, gradient_problems=(SimpleNamespace(),))
    found = judged_by(np.ones(2), central=central(np.zeros(2)))
    assert with_subgradients(problem, noise_of(0.0), {"x": found}) == {}
    assert not looks.gradients


def test_nor_one_of_which_central_differences_say_nothing() -> None:
    problem, looks = closed_problem(line, nothing, {"x": np.ones(2)}, x=np.zeros(2))
    found = judged_by(np.ones(2), autograd=replace(central(np.zeros(2)), oracle="autograd"))
    assert with_subgradients(problem, noise_of(0.0), {"x": found}) == {}
    assert not looks.gradients


@pytest.mark.parametrize(("n", "points"), [(5000, 1), (5001, 0)])
def test_large_problems_are_left_alone(n: int, points: int) -> None:
    given = {"loss": lambda x, y: x.sum(), "gradient": lambda x, y: {"x": 0 * x, "y": 0 * y}}
    others = {"y": np.zeros(n - 2)}
    found = settled([1.0, 1.0], **given, y=np.zeros(n - 2), others=others)
    assert found == ({}, points)


def test_a_claim_that_is_no_number_fails_beside_one_that_is_a_slope() -> None:
    def tie(a: Any) -> Any:
        gradient = 1.0 * (np.arange(a.size) == np.argmax(a))
        return np.where(gradient * (np.ptp(a) == 0), np.nan, gradient)

    problem, _ = closed_problem(
        lambda x, y: x.max() + y.max(),
        lambda x, y: {"x": tie(x), "y": tie(y)},
        {"x": np.array([np.nan, 0.0]), "y": np.array([0.5, 0.5])},
        x=np.zeros(2),
        y=np.zeros(2),
    )
    parameters = {
        name: judged_by(problem.analytic[name], central=central([0.0, 0.0])) for name in "xy"
    }
    assert with_subgradients(problem, noise_of(0.0), parameters) == {}
