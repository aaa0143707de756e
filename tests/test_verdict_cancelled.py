"""Gradients that are what is left of terms which cancel: how large these are, and what is dust."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from closed_problems import central, closed_problem, noise_of

from gradcheck.blocks import BLOCK
from gradcheck.settings import Settings
from gradcheck.verdict.analytic_rounding import with_rounding
from gradcheck.verdict.cancelled import rounded_as, terms_of, with_dust_settled
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS, Judged, Thresholds
from gradcheck.verdict.judging import judge_estimate

EPS = 2.0**-52
ONES = np.ones(4)
X = np.array([2.0, -3.0, 0.5])


def terms(gradient: Any, names: Any = ("x",), *, budget: int | None = None, **values: Any) -> Any:
    """What is found, and where the gradient was asked for."""
    values = values or {"x": X}
    zeros = {name: np.zeros(np.shape(one)) for name, one in values.items()}
    problem, looks = closed_problem(
        lambda **_: 0.0, gradient, zeros, budget=budget, value=0.0, **values
    )
    found = terms_of(problem, problem.gradient_at, names, np.random.default_rng(1))
    for one in problem.parameters:
        np.testing.assert_array_equal(one.value, values[one.name])
    assert problem.evaluator.count == (0 if budget == 7 else 8)
    return found, looks.gradients


# How large the terms are


def test_of_each_entry_by_itself_they_are_its_hessian_times_it() -> None:
    found, _ = terms(lambda x: {"x": np.array([3.0, 5.0, 0.0]) * (x - X)})
    np.testing.assert_allclose(found["x"], [6.0, 15.0, 0.0], rtol=1e-12)


def test_a_curve_counts_by_its_slope_to_both_sides() -> None:
    found, _ = terms(lambda x: {"x": 3.0 * (x / X) ** 2})
    np.testing.assert_allclose(found["x"], [6.0] * 3, rtol=1e-12)


def test_of_entries_that_share_terms_they_are_the_root_of_their_mean_square() -> None:
    found, looks = terms(lambda x: {"x": np.full(3, x.sum())})
    moves = np.array([(one["x"] - X) / X * 2.0**10 for one in looks])
    assert set(np.round(moves, 9).ravel()) == {-1.0, 1.0}
    np.testing.assert_allclose(moves[::2], -moves[1::2], rtol=1e-9)
    assert len({tuple(row) for row in np.round(moves).tolist()}) > 2
    expected = np.sqrt(np.mean((moves[::2] @ X) ** 2))
    np.testing.assert_allclose(found["x"], [expected] * 3, rtol=1e-9)


def test_all_parameters_move_and_some_are_asked_about() -> None:
    def gradient(x: Any, y: Any) -> Any:
        return {"x": x + y, "y": x - y}

    for names in (("x",), ("y",), ("y", "x")):
        found, looks = terms(gradient, names, x=np.array([2.0]), y=np.array([3.0]))
        assert tuple(found) == names
        assert all(one["x"] != 2.0 and one["y"] != 3.0 for one in looks)


def test_beyond_a_budget_or_off_the_domain_nothing_is_known() -> None:
    found, looks = terms(lambda x: {"x": x}, budget=7)
    assert (found, looks) == ({}, [])
    assert terms(lambda x: {"x": x}, budget=8)[0] != {}

    def edge(x: Any) -> Any:
        if x[0] < 2.0:
            raise ValueError("off the domain")
        return {"x": x}

    assert terms(edge)[0] == {}


def test_what_is_no_number_somewhere_has_no_terms() -> None:
    def gradient(x: Any, y: Any) -> Any:
        return {"x": np.where(x > 2.0, np.nan, x), "y": y}

    found, _ = terms(gradient, ("x", "y"), x=np.array([2.0, 1.0]), y=np.array([3.0]))
    assert list(found) == ["y"]


def test_thirty_two_units_in_the_last_place_of_the_terms_are_rounding() -> None:
    assert rounded_as(np.array([0.0, 1.0, 8.0])).tolist() == [0.0, 32 * EPS, 256 * EPS]


# What is dust beside them

T = 1e5
"""Size of the terms."""
DUST = 1e-11 * T


def settled(code: int, claim: float, value: float, allowed: float, kink: bool = False) -> Any:
    """Code and resolution of an entry, beside another that is dust."""
    each = [np.array([one, other]) for one, other in ((claim, 0.0), (value, 0.0), (allowed, 1e-9))]
    judged = Judged(
        "central",
        np.array([code, INCONCLUSIVE], dtype=np.int8),
        *each,
        np.zeros(2),
        np.full(2, 7.0),
        np.array([kink, False]),
    )
    found = with_dust_settled(judged, np.full(2, T), Thresholds())
    assert found.codes.dtype == np.int8
    assert (found.codes[1], found.resolution[1]) == (PASS, pytest.approx(1e-8))
    return int(found.codes[0]), float(found.resolution[0])


@pytest.mark.parametrize(
    ("claim", "value", "allowed", "passes"),
    [
        (0.99 * DUST, 0.0, DUST, True),
        (0.0, -0.99 * DUST, DUST, True),
        (1.01 * DUST, DUST, DUST, False),
        (DUST, -1.01 * DUST, 2 * DUST, False),
        # known to ten times that
        (0.0, 0.0, 9.9 * DUST, True),
        # on each of these bounds
        (DUST, 0.0, DUST, True),
        (0.0, 0.0, 10.0 * 1e-11 * T, True),
        (0.5 * DUST, 0.0, 0.25 * DUST, True),
        (0.0, 0.0, 10.1 * DUST, False),
        # and off by twice what is allowed
        (0.5 * DUST, 0.0, 0.26 * DUST, True),
        (0.5 * DUST, 0.0, 0.24 * DUST, False),
        (0.0, np.nan, DUST, False),
    ],
)
def test_dust_passes_that_agrees_within_its_rounding(
    claim: float, value: float, allowed: float, passes: bool
) -> None:
    code, resolution = settled(INCONCLUSIVE, claim, value, allowed)
    assert code == (PASS if passes else INCONCLUSIVE)
    known = max(allowed, abs(claim - value)) / (1e-3 * T)
    assert resolution == (pytest.approx(max(known, 1e-8)) if passes else 7.0)


@pytest.mark.parametrize(("code", "kink"), [(FAIL, False), (PASS, False), (INCONCLUSIVE, True)])
def test_what_fails_and_what_is_at_a_kink_stays_as_it_is(code: int, kink: bool) -> None:
    assert settled(code, 0.0, 0.0, DUST, kink) == (code, 7.0)


def test_where_nothing_is_dust_the_comparison_is_the_same() -> None:
    each = [np.zeros(1)] * 5
    judged = Judged("central", np.array([FAIL], dtype=np.int8), *each, np.zeros(1, dtype=bool))
    assert with_dust_settled(judged, np.ones(1), Thresholds()) is judged


def test_a_plain_threshold_knows_no_dust() -> None:
    problem, _ = closed_problem(lambda x: 1.0, None, {"x": np.full(2, 1e-7)}, x=np.ones(2))
    one, terms = central([1.1e-7, 1e-7], 2e-8), {"x": np.full(2, T)}
    for known, rtol, codes in (
        ({}, None, [INCONCLUSIVE] * 2),
        (terms, None, [PASS] * 2),
        (terms, 1e-3, [FAIL, PASS]),
    ):
        asked = replace(problem, gradient_terms=known)
        found = judge_estimate(asked, Settings(rtol=rtol), "x", one, noise_of(1e-18, 1.0), None)
        assert found.codes.tolist() == codes


# When they are looked for


def looked(gradient: Any, *, variation: float = 0.0, **values: Any) -> Any:
    """Terms by parameter, and the bounds, of a problem whose gradient is computed again."""
    values = values or {"x": ONES}
    problem, _ = closed_problem(lambda **_: 0.0, gradient, **values)
    noise = replace(noise_of(0.0, 1.0), variation=variation)
    found = with_rounding(problem, noise, np.random.default_rng(0))
    return found.gradient_terms, found.analytic_rounding


def steep(slope: float, size: float = 1.0) -> Any:
    """A gradient whose rounding is eight units in the last place of its slope."""
    return lambda x: {"x": np.asarray(size + slope * (x - 1.0), dtype=float)}


@pytest.mark.parametrize(("part", "asked"), [(0.9, False), (1.1, True)])
@pytest.mark.parametrize("small", [1.0, 1e-6])
def test_rounding_of_a_hundred_millionth_of_an_entry_may_be_that_of_terms(
    small: float, part: float, asked: bool
) -> None:
    # a small entry counts as a thousandth of what is typical, which is here of 3 entries of 4
    own = max(small, 1e-3 * np.sqrt(3.0 / 4.0 + 0.25 * small**2))
    slopes = np.array([part * 1e-8 * own / (8 * EPS), 0.0, 0.0, 0.0])
    sizes = np.array([small, 1.0, 1.0, 1.0])
    found, bounds = looked(steep(slopes, sizes))
    assert list(found) == ["x"] * asked
    if asked:
        np.testing.assert_allclose(found["x"], slopes, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(bounds["x"][0], 32 * EPS * slopes[0], rtol=1e-6)


@pytest.mark.parametrize(("part", "asked"), [(0.99, True), (1.01, False)])
@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_so_may_a_gradient_that_changes_the_loss_by_next_to_nothing(
    scale: float, part: float, asked: bool
) -> None:
    # over the scales of all entries it makes a millionth of what the loss varies by
    found, bounds = looked(
        lambda x: {"x": np.full(4, 3.0)}, variation=3.0 * scale * 2.0 / part * 1e6, x=scale * ONES
    )
    assert list(found) == ["x"] * asked
    assert (bounds["x"] < 1e-14).all()


def test_zeros_large_parameters_and_lower_precision_are_not_asked_about() -> None:
    assert looked(lambda x: {"x": np.zeros(4)}, variation=1.0)[0] == {}
    assert list(looked(steep(1e9), x=np.ones(BLOCK))[0]) == ["x"]
    assert looked(steep(1e9), x=np.ones(BLOCK + 1))[0] == {}
    assert looked(steep(1e9), x=np.ones(4, dtype=np.float32))[0] == {}
