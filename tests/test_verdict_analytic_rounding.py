"""The rounding of an analytic gradient: in which arithmetic, and at which points it is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from closed_problems import closed_problem, noise_of

import gradcheck
from gradcheck.blocks import BLOCK
from gradcheck.verdict.analytic_rounding import with_rounding

DOUBLE, SINGLE = (float(np.finfo(kind).eps) for kind in (np.float64, np.float32))
ONES = np.ones(4)
OWN = 10.0 * DOUBLE
"""Bound of an entry of 1, beside others of 1, that does not change."""


def rounded(problem: Any, noise: Any = None) -> Any:
    """The bounds that a problem comes back with."""
    found = with_rounding(problem, noise or noise_of(0.0, 1.0), np.random.default_rng(0))
    return found.analytic_rounding


def smooth(x: Any) -> Any:
    return {"x": np.asarray(2 * x, dtype=float)}


# Whether, and in which arithmetic


def test_what_its_arithmetic_may_have_made_is_added_to_what_is_known() -> None:
    problem, looks = closed_problem(lambda x: 0.0, smooth, x=ONES)
    alone = rounded(problem)["x"]
    assert (alone > 2 * OWN).all()
    assert len(looks.gradients) == problem.evaluator.count == 5
    known = np.array([0.0, 1e-15, 1e-3, 2.0])
    both = rounded(replace(problem, analytic_rounding={"x": known}))["x"]
    np.testing.assert_allclose(both, alone + known, rtol=1e-12)


def test_a_parameter_of_which_no_gradient_comes_again_keeps_what_is_known() -> None:
    claims = {"x": 2 * ONES, "y": ONES}
    problem, _ = closed_problem(lambda x, y: 0.0, lambda x, y: smooth(x), claims, x=ONES, y=ONES)
    found = rounded(replace(problem, analytic_rounding={"x": 0 * ONES, "y": 3 * ONES}))
    assert found["y"].tolist() == [3.0] * 4
    assert found["x"].any()


@pytest.mark.parametrize("what", ["no gradient", "nothing claimed", "drawn", "budget"])
def test_where_it_cannot_be_computed_again_the_problem_stays_as_it_is(what: str) -> None:
    options: dict[str, Any] = {"drawn": {"spread": 1.0}, "budget": {"budget": 4}}.get(what, {})
    problem, looks = closed_problem(lambda x: 0.0, smooth, x=ONES, **options)
    if what == "no gradient":
        problem = replace(problem, gradient_at=None)
    if what == "nothing claimed":
        problem = replace(problem, analytic={}, analytic_rounding={})
    assert with_rounding(problem, noise_of(0.0, 1.0), np.random.default_rng(0)) is problem
    assert not looks.gradients


def test_a_budget_of_five_is_enough() -> None:
    problem, looks = closed_problem(lambda x: 0.0, smooth, x=ONES, budget=5)
    assert rounded(problem)["x"].any()
    assert len(looks.gradients) == 5


@pytest.mark.parametrize(
    ("options", "unit"),
    [
        ({}, DOUBLE),
        ({"x": ONES.astype(">f8")}, DOUBLE),
        ({"x": ONES.astype(np.float32)}, SINGLE),
        ({"inside": np.float64}, DOUBLE),
        ({"inside": np.float32}, SINGLE),
        ({"inside": np.float16}, SINGLE),
        ({"loss": np.longdouble}, DOUBLE),
        ({"loss": np.float32}, SINGLE),
        ({"loss": np.float16}, SINGLE),
        ({"level": 1e-8}, SINGLE),
        ({"level": 1e-8, "slope": 2.1}, DOUBLE),
        ({"level": 1e-10}, DOUBLE),
    ],
    ids=str,
)
def test_it_is_moved_by_a_rounding_of_the_arithmetic_behind(options: Any, unit: float) -> None:
    slope = options.get("slope", 2.0)
    x = options.get("x", ONES)
    problem, looks = closed_problem(
        lambda x: 0.0, lambda x: {"x": slope * x.astype(float)}, {"x": slope * ONES}, x=x
    )
    if "inside" in options:
        problem = replace(problem, precision_inside=np.dtype(options["inside"]))
    # a loss of 8, so that its terms of this noise leave much less in a gradient of 2
    rounded(problem, noise_of(options.get("level", 0.0), 8.0, options.get("loss", float)))
    moves = [np.abs(one["x"].astype(float) - 1.0) for one in looks.gradients[:5]]
    wanted = [0.0, unit, 2 * unit, unit, 2 * unit]
    np.testing.assert_allclose([one.max() for one in moves], wanted, atol=0.6 * DOUBLE)


@pytest.mark.parametrize("longer", ["loss", "parameter"])
def test_what_has_no_fewer_digits_than_float64_is_judged_as_such(longer: str) -> None:
    def loss(x: Any) -> Any:
        value = np.sum(x**2)
        return np.longdouble(value) if longer == "loss" else value, {"x": 2 * x * (1 + 3e-6)}

    x = np.array([1.1, 2.3, -0.7])
    x = x.astype(">f8") if longer == "parameter" else x
    assert gradcheck.check(loss, {"x": x}, autograd=False).verdict == "fail"


# Gradients that jump at the point alone


class Jumping:
    """A gradient that is another one with every call; by how much depends on how far away it is."""

    def __init__(self, near: Any, far: Any, raises: bool = False, lost: bool = False) -> None:
        self.near, self.far, self.raises, self.lost = near, far, raises, lost
        self.calls = 0

    def __call__(self, **values: Any) -> Any:
        """What it is at these values, as the calls alternate."""
        self.calls += 1
        distance = np.abs(values["x"].reshape(-1)[0] - 1.0)
        away = distance > 100 * DOUBLE
        if away and self.raises:
            raise ValueError("off the domain")
        part = self.far if away else self.near
        found = {
            name: 1.0 + (self.calls % 2) * np.asarray(part.get(name, 0.0)) + 0 * one
            for name, one in values.items()
        }
        if away and self.lost:
            del found["x"]
        return found


def jumping(near: Any, far: Any, *, n: int = 4, budget: int | None = None, **how: Any) -> Any:
    """The bounds of x and y, and the gradient that was asked for them."""
    gradient = Jumping(near, far, **how)
    values = {"x": np.ones(n), "y": ONES}
    problem, looks = closed_problem(
        lambda x, y: 0.0,
        gradient,
        {name: np.ones(one.size) for name, one in values.items()},
        budget=budget,
        **values,
    )
    found = rounded(problem)
    # roundings away, and not where the noise of what does not jump is measured
    steps = [max(np.abs(one[name] - 1.0).max() for name in "xy") for one in looks.gradients]
    return found, [at for at, step in zip(looks.gradients, steps, strict=True) if step < 1e-9]


@pytest.mark.parametrize(("part", "looks"), [(0.049, 5), (0.051, 10)])
def test_one_that_may_hide_a_twentieth_is_looked_at_beside_the_point(
    part: float, looks: int
) -> None:
    found, gradients = jumping({"x": part / 8.0 * np.eye(4)[1]}, {})
    assert len(gradients) == looks
    bound = found["x"][1]
    assert bound == pytest.approx(part if looks == 5 else OWN, rel=1e-3)


def test_that_point_lies_hundreds_of_roundings_away() -> None:
    _, gradients = jumping({"x": 1.0}, {})
    for name in ("x", "y"):
        moves = np.array([np.abs(one[name] - 1.0) for one in gradients[5:]]) / DOUBLE
        np.testing.assert_allclose(moves[0], 512.0, atol=0.6)
        np.testing.assert_allclose(moves, 512.0, atol=3.1)


@pytest.mark.parametrize(("part", "replaced"), [(0.0098, True), (0.0102, False)])
def test_what_is_less_than_a_hundredth_there_is_of_rounding(part: float, replaced: bool) -> None:
    found, _ = jumping({"x": np.array([1.0, 2.0, 0, 0])}, {"x": np.array([part, 2.0, 0, 0])})
    wanted = [8 * part if replaced else 8.0, 16.0, 0.0, 0.0]
    np.testing.assert_allclose(found["x"], wanted, rtol=1e-3, atol=2 * OWN)


def test_a_parameter_that_nothing_hides_keeps_its_bounds() -> None:
    found, _ = jumping({"x": 1.0, "y": 0.04 / 8}, {})
    np.testing.assert_allclose(found["x"], OWN, rtol=1e-3)
    np.testing.assert_allclose(found["y"], 0.04, rtol=1e-3)


@pytest.mark.parametrize("how", [{"raises": True}, {"lost": True}])
def test_off_its_domain_the_bounds_of_the_point_stay(how: Any) -> None:
    found, _ = jumping({"x": 1.0, "y": 1.0}, {}, **how)
    np.testing.assert_allclose(found["x"], 8.0, rtol=1e-3)
    np.testing.assert_allclose(found["y"], 8.0 if "raises" in how else OWN, rtol=1e-3)


@pytest.mark.parametrize(("budget", "looks"), [(9, 5), (10, 10)])
def test_nor_is_it_looked_at_beyond_a_budget(budget: int, looks: int) -> None:
    found, gradients = jumping({"x": 1.0}, {}, budget=budget)
    assert len(gradients) == looks
    np.testing.assert_allclose(found["x"], 8.0 if looks == 5 else OWN, rtol=1e-3)


@pytest.mark.parametrize(("n", "looks"), [(BLOCK, 10), (BLOCK + 1, 5)])
def test_nor_beside_a_large_parameter_that_jumps(n: int, looks: int) -> None:
    assert len(jumping({"x": 1.0}, {}, n=n)[1]) == looks
