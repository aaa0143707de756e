"""The complex step must prove itself: how large a lost imaginary part is noticed, and where."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradcheck.noise import POINTS, Noise, table_noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles import complex_step as complex_module
from gradcheck.oracles.complex_step import complex_step
from gradcheck.oracles.estimate import smooth_estimate

X = np.array([0.3, -1.2, 2.0])
ALL = {"x": np.arange(3)}


def off_by(error, real=0.0):
    """A loss whose imaginary part is wrong by a factor, and its real part by so much."""

    def loss(x):
        value = np.sum(np.exp(x))
        return value if np.isrealobj(x) else value.real + real + 1j * value.imag * (1 + error)

    return loss


def found_of(loss, *, x=X, level=1e-15, variation=1.0, central=None, selection=None):
    problem = numpy_problem(lambda x: (loss(x), np.exp(x)), x.copy())
    noise = Noise(level, problem.facts.value, np.dtype(float), variation)
    before = problem.evaluator.count
    found = complex_step(problem, selection=selection or ALL, central=central or {}, noise=noise)
    return found, problem.evaluator.count - before


def test_it_takes_an_evaluation_an_entry_and_eleven_along_a_line():
    found, spent = found_of(off_by(0.0))
    assert spent == 3 + 11
    np.testing.assert_allclose(found.estimates["x"].value, np.exp(X), rtol=1e-14)
    _, spent = found_of(off_by(0.0), selection={"x": np.array([1])})
    assert spent == 1 + 11
    found, spent = found_of(off_by(0.0), selection={"x": np.array([], dtype=np.intp)})
    assert (found.estimates, spent) == ({}, 11)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_order_of_memory_makes_no_difference(order):
    weights = np.arange(1.0, 7.0).reshape(2, 3)
    x = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], order=order)
    problem = numpy_problem(lambda x: (np.sum(weights * x), weights), x)
    noise = Noise(1e-15, problem.facts.value, np.dtype(float), 1.0)
    found = complex_step(problem, selection={"x": np.arange(6)}, central={}, noise=noise)
    np.testing.assert_allclose(found.estimates["x"].value, weights, rtol=1e-14)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_the_step_is_a_tiny_part_of_each_entry(size):
    steps = []

    def loss(x):
        if np.iscomplexobj(x):
            steps.append(np.abs(x.imag))
        return np.sum(x**2)

    problem = numpy_problem(lambda x: (loss(x), 2 * x), size * X)
    noise = Noise(1e-15 * size**2, problem.facts.value, np.dtype(float), size**2)
    complex_step(problem, selection=ALL, central={}, noise=noise)
    lengths = np.maximum(np.abs(size * X), size * np.sqrt(np.mean(X**2)))
    moved = np.array(steps[-3:])
    np.testing.assert_allclose(np.diag(moved), 1e-30 * lengths, rtol=1e-12)
    assert np.count_nonzero(moved) == 3
    np.testing.assert_allclose(steps[-4], 1e-30 * lengths, rtol=1e-12)  # along the line


def test_the_line_goes_from_a_hundred_thousandth_to_a_tenth_of_the_scales_on_both_sides():
    places = []

    def loss(x):
        if np.isrealobj(x):
            places.append(x - X)
        return np.sum(np.exp(x))

    problem = numpy_problem(lambda x: (loss(x), np.exp(x)), X.copy())
    places.clear()
    noise = Noise(1e-15, problem.facts.value, np.dtype(float), 1.0)
    complex_step(problem, selection=ALL, central={}, noise=noise)
    lengths = np.maximum(np.abs(X), np.sqrt(np.mean(X**2)))
    along = np.array(places) / lengths
    np.testing.assert_allclose(along[0::2], -along[1::2], rtol=1e-9)
    steps = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    np.testing.assert_allclose(np.abs(along[0::2]), np.outer(steps, np.ones(3)), rtol=1e-9)


@pytest.mark.parametrize(
    ("error", "proved"), [(0.04, True), (-0.04, True), (0.06, False), (-0.06, False), (-1.0, False)]
)
def test_a_twentieth_of_the_slope_along_a_line_is_proof_enough(error, proved):
    found, _ = found_of(off_by(error))
    assert bool(found.estimates) is proved
    if not proved:
        assert found.refusal == "it does not agree with a central difference along a line"


def test_noise_that_hides_the_slope_proves_nothing():
    # Along the line the slope is that of all entries together; the steps reach a tenth.
    slope = abs(found_of(off_by(0.0))[0].estimates["x"].value).max()
    assert found_of(off_by(0.0), level=1e-4 * slope)[0].refusal is None
    refused, _ = found_of(off_by(0.0), level=slope, variation=0.0)
    assert "along a line" in refused.refusal


@pytest.mark.parametrize(("share", "proved"), [(0.99, True), (1.01, False)])
def test_a_slope_shows_where_four_deviations_of_noise_are_a_twentieth_of_it(share, proved):
    # of a slope of 1, over the longest step, which is a tenth
    level = share * 0.05 * 0.1 / 4
    problem = numpy_problem(lambda x: (np.sum(x), np.ones(1)), np.ones(1))
    noise = Noise(level, problem.facts.value, np.dtype(float), 0.0)
    found = complex_step(problem, selection={"x": np.arange(1)}, central={}, noise=noise)
    assert (found.refusal is None) is proved


@pytest.mark.parametrize(("variation", "proved"), [(1.0, True), (0.0, False)])
def test_a_slope_of_zero_is_measured_against_what_the_loss_does_elsewhere(variation, proved):
    def loss(x):
        return np.sum(x**2)  # even about the point

    problem = numpy_problem(lambda x: (loss(x), 2 * x), np.zeros(3))
    noise = Noise(1e-15, 0.0, np.dtype(float), variation)
    found = complex_step(problem, selection=ALL, central={}, noise=noise)
    assert (found.refusal is None) is proved
    if proved:
        assert found.estimates["x"].value.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("times", "same"), [(0.997, True), (-0.997, True), (1.003, False), (-1.003, False)]
)
def test_the_value_itself_must_be_the_same_but_for_rounding(times, same):
    value = float(np.sum(np.exp(X)))
    for level in (1e-15, 1e-11):
        allowed = 64 * level + 1e-10 * value
        found, _ = found_of(off_by(0.0, real=times * allowed), level=level)
        assert (found.refusal is None) is same
        if not same:
            assert found.refusal == "the loss has another value with complex parameters"


def reference(bound, **changes):
    one = smooth_estimate("central", np.exp(X), np.full(3, bound))
    return {"x": replace(one, **changes)}


@pytest.mark.parametrize(("share", "agrees"), [(0.45, False), (0.55, True)])
def test_it_may_differ_from_central_differences_by_twice_what_both_leave_open(share, agrees):
    error = 1e-6
    found, _ = found_of(off_by(error), central=reference(share * error * np.exp(2.0)))
    assert bool(found.estimates) is agrees
    if not agrees:
        assert "it disagrees with central differences on 1 of 3 entries of x" in found.refusal


def test_entries_that_central_differences_do_not_know_do_not_contradict_it():
    wrong = {"value": np.exp(X) * np.array([1.0, 2.0, 1.0])}
    assert "on 1 of 3 entries" in found_of(off_by(0.0), central=reference(1e-9, **wrong))[0].refusal
    kink = wrong | {"kinks": np.array([False, True, False])}
    assert found_of(off_by(0.0), central=reference(1e-9, **kink))[0].refusal is None
    open_ = wrong | {"uncertainty": np.array([1e-9, np.nan, 1e-9])}
    assert found_of(off_by(0.0), central=reference(1e-9, **open_))[0].refusal is None
    chosen, _ = found_of(
        off_by(0.0), central=reference(1e-9, **wrong), selection={"x": np.array([0, 2])}
    )
    assert chosen.refusal is None


def test_an_entry_at_which_it_gives_no_number_is_left_to_the_others():
    def loss(x):
        value = np.sum(np.exp(x))
        broken = np.iscomplexobj(x) and x[1].imag != 0 and x[0].imag == 0
        return value * np.nan if broken else value

    found, _ = found_of(loss, central=reference(1e-9))
    assert found.refusal is None
    assert found.estimates["x"].checked.tolist() == [True, False, True]


def test_the_uncertainty_is_sixty_four_roundings_of_the_entry_and_the_typical_one():
    problem = numpy_problem(lambda x: (np.sum(np.exp(x)), np.exp(x)), X.copy())
    noise = Noise(0.0, problem.facts.value, np.dtype(float), 1.0)
    found = complex_step(problem, selection=ALL, central={}, noise=noise)
    value = found.estimates["x"].value
    expected = 64 * 2.0**-52 * (np.abs(value) + np.sqrt(np.mean(value**2)))
    np.testing.assert_allclose(found.estimates["x"].uncertainty, expected, rtol=1e-12)


def test_a_target_that_takes_no_complex_numbers_is_refused_in_its_own_words():
    def loss(x):
        if np.iscomplexobj(x):
            raise TypeError("floats only\nplease")
        return np.sum(np.exp(x))

    assert found_of(loss)[0].refusal == "TypeError: floats only"

    def silent(x):
        if np.iscomplexobj(x):
            raise KeyError
        return np.sum(np.exp(x))

    assert found_of(silent)[0].refusal == "KeyError"
    problem = numpy_problem(lambda x: (np.sum(np.exp(x)), np.exp(x)), X.copy())
    problem = replace(problem, complex_loss=None)
    noise = Noise(1e-15, problem.facts.value, np.dtype(float))
    found = complex_step(problem, selection=ALL, central={}, noise=noise)
    assert found.refusal == "the target cannot be called with complex parameters"


def of_two(selection, central):
    def loss(u, v):
        return np.sum(u**2) + np.sum(np.exp(v)), {"u": 2 * u, "v": np.exp(v)}

    problem = numpy_problem(loss, {"u": X.copy(), "v": X.copy()})
    noise = Noise(1e-14, problem.facts.value, np.dtype(float), 1.0)
    return complex_step(problem, selection=selection, central=central, noise=noise)


@pytest.mark.parametrize("first", [{}, {"u": np.array([], dtype=np.intp)}])
def test_parameters_of_which_no_entry_was_chosen_are_passed_over(first):
    found = of_two(first | {"v": np.arange(3)}, {})
    assert list(found.estimates) == ["v"]
    assert found.estimates["v"].checked.all()


def test_a_parameter_without_central_differences_is_not_held_against_any():
    both = {"u": np.arange(3), "v": np.arange(3)}
    wrong = smooth_estimate("central", 2 * np.exp(X), np.full(3, 1e-9))
    found = of_two(both, {"v": wrong})
    assert "on 3 of 3 entries of v" in found.refusal
    assert (
        of_two(both, {"v": smooth_estimate("central", np.exp(X), np.full(3, 1e-9))}).refusal is None
    )


def survival(p, t, dead, factor=1.0):
    """Weibull survival times: a censored one has ``log(1 - F)``, with ``F`` next to 1."""
    k, size = np.exp(p)
    h = (t / size) ** k
    died = np.log(k / size) + (k - 1) * np.log(t / size) - h
    loss = -np.sum(dead * died + (1 - dead) * np.log(1 - (1 - np.exp(-h))))
    late = np.sum(dead * (1 + k * np.log(t / size)) - h * k * np.log(t / size))
    return loss, -factor * np.array([late, k * np.sum(h - dead)])


def of_survival(factor=1.0):
    draw = np.random.default_rng(175)
    inputs = np.log([1.3, 1.2]), draw.weibull(1.2, 60) * 5, (draw.random(60) < 0.6).astype(float)
    problem = numpy_problem(survival, (*inputs, factor), [0])
    noise = Noise(1e-14, problem.facts.value, np.dtype(float), 1.0)
    before = problem.evaluator.count
    found = complex_step(problem, selection={"p": np.arange(2)}, central={}, noise=noise)
    return found.estimates["p"], survival(*inputs)[1], problem.evaluator.count - before


@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_digits_that_a_real_part_loses_inside_count_where_the_claim_is_contradicted(factor):
    estimate, exact, spent = of_survival(factor)
    apart = np.abs(estimate.value - exact)
    assert apart.max() > 1e-7 * np.abs(exact).max()
    assert (apart <= estimate.uncertainty).all()
    assert (estimate.uncertainty < 1e-4 * np.abs(exact)).all()
    assert spent == 2 + 11 + POINTS * 2


def test_no_more_than_twenty_contradictions_are_looked_at():
    x = np.linspace(-1.0, 1.0, 70)
    problem = numpy_problem(lambda x: (np.sum(np.exp(x)), 1.1 * np.exp(x)), x)
    noise = Noise(1e-15, problem.facts.value, np.dtype(float), 1.0)
    before = problem.evaluator.count
    found = complex_step(problem, selection={"x": np.arange(70)}, central={}, noise=noise)
    assert problem.evaluator.count - before == 70 + 11 + 20 * POINTS
    assert (found.estimates["x"].uncertainty < 1e-11).all()


def test_a_kink_nearby_is_no_noise():
    def loss(x):
        return np.sum(np.where(np.abs(x.real) > 1.2015, 3.0, 1.0) * x**2)

    problem = numpy_problem(lambda x: (loss(x), 2.2 * x), np.array([1.2, -1.2]))
    noise = Noise(1e-15, problem.facts.value, np.dtype(float), 1.0)
    found = complex_step(problem, selection={"x": np.arange(2)}, central={}, noise=noise)
    np.testing.assert_allclose(found.estimates["x"].value, [2.4, -2.4], rtol=1e-12)
    assert (found.estimates["x"].uncertainty < 1e-12).all()


def test_where_the_points_about_leave_the_domain_the_slopes_stay_what_they_are():
    def loss(x):
        if (np.abs(x.real) > 1.2005).any() and np.iscomplexobj(x) and x.imag.any():
            raise ValueError("outside the domain")
        return np.sum(x**2)

    problem = numpy_problem(lambda x: (loss(x), 2.2 * x), np.array([1.2, -1.2]))
    noise = Noise(1e-15, problem.facts.value, np.dtype(float), 1.0)
    found = complex_step(problem, selection={"x": np.arange(2)}, central={}, noise=noise)
    assert found.refusal is None
    assert (found.estimates["x"].uncertainty < 1e-12).all()


def with_noise(monkeypatch, rows, claims, *, shape=(2,)):
    """What is added to bounds of 0.125, where slopes nearby are these rows, entry by entry."""
    rows = np.array(rows)
    asked = []

    def slopes(problem, values, number, entries):
        asked.append((np.array(values[0]), entries.tolist()))
        return rows[entries, len(asked) - 1]

    monkeypatch.setattr(complex_module, "_slopes", slopes)
    value = rows[:, 0].reshape(shape)
    problem = numpy_problem(lambda x: (1.0, np.reshape(claims, shape)), np.ones(shape))
    problem = replace(problem, analytic_rounding={"x": np.full(shape, 0.25)})
    own = smooth_estimate("complex", value, np.full(shape, 0.125))
    found = complex_module._with_noise(problem, [np.full(shape, 2.0 + 0j)], 0, own)
    return (found.uncertainty - 0.125).reshape(-1), asked


@pytest.mark.parametrize(("level", "share"), [(1e-6, 8.0), (5.7e-4, 8.0), (6.3e-4, 0.0)])
def test_eight_deviations_of_a_slopes_noise_count_up_to_a_ten_thousandth_of_it(
    monkeypatch, level, share
):
    row = 10.0 + level * np.random.default_rng(0).normal(size=POINTS)
    noise = table_noise(row.tolist())
    assert bool(8 * noise <= 1e-4 * row[0]) is bool(share)
    added, asked = with_noise(monkeypatch, [row, row], [10.0, 11.0])
    assert added == pytest.approx([0.0, share * noise])  # the first agrees with its claim
    assert [entries for _, entries in asked] == [[1]] * POINTS
    moves = np.array([values / 2.0 - 1.0 for values, _ in asked]).real
    np.testing.assert_allclose(np.abs(moves), 1e-3 * np.arange(POINTS)[:, None] * [1, 1], atol=1e-9)


@pytest.mark.parametrize(("off", "doubted"), [(0.37, False), (0.38, True), (-0.38, True)])
def test_slopes_that_contradict_the_claim_beyond_both_bounds_are_doubted(monkeypatch, off, doubted):
    row = 10.0 + 1e-6 * np.random.default_rng(0).normal(size=POINTS)
    _, asked = with_noise(monkeypatch, [row, row], [row[0], row[0] + off])
    assert bool(asked) is doubted


def test_twenty_of_them_are_looked_at(monkeypatch):
    row = 10.0 + 1e-6 * np.random.default_rng(0).normal(size=POINTS)
    added, asked = with_noise(monkeypatch, [row] * 30, [11.0] * 30, shape=(5, 6))
    assert asked[0][1] == list(range(20))
    assert (added > 0).tolist() == [True] * 20 + [False] * 10


def test_slopes_that_do_not_change_or_are_lost_nearby_have_no_noise(monkeypatch):
    flat, lost = np.full(POINTS, 10.0), np.full(POINTS, 10.0)
    lost[3] = np.nan
    added, _ = with_noise(monkeypatch, [flat, lost], [11.0, 11.0])
    assert added.tolist() == [0.0, 0.0]
