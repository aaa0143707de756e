"""Corners of the oracles: what is selected, refused, doubtful, or wrong nearly everywhere."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from test_localize import SIZES, network, search

from gradcheck.noise import Noise, loss_noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles.central import central_differences
from gradcheck.oracles.climb import is_wrong
from gradcheck.oracles.complex_step import complex_step
from gradcheck.oracles.directions import check_directions
from gradcheck.oracles.ladder import Reading
from gradcheck.oracles.torch_twin import resolve_twin
from gradcheck.problem import Problem

X = np.random.default_rng(0).normal(size=6)


def problem_of(loss, gradient, **inputs) -> Problem:
    return numpy_problem(lambda **named: (loss(**named), gradient(**named)), inputs)


# The complex step


def complex_estimates(problem: Problem, selection):
    generator = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        noise = loss_noise(problem, generator)
        central = central_differences(problem, noise, generator, selection=selection)
        before = problem.evaluator.count
        found = complex_step(problem, selection=selection, central=central, noise=noise)
    return found, problem.evaluator.count - before


def product(u, v):
    return np.sum(np.exp(u)) * np.sum(v**2)


def of_product(u, v):
    return {"u": np.exp(u) * np.sum(v**2), "v": 2 * v * np.sum(np.exp(u))}


def test_only_the_selected_entries_are_estimated_at_one_evaluation_each():
    problem = problem_of(product, of_product, u=X.copy(), v=X[:4].reshape(2, 2) + 1)
    selection = {"u": np.array([1, 4]), "v": np.array([], dtype=np.intp)}
    found, spent = complex_estimates(problem, selection)
    assert found.refusal is None
    assert list(found.estimates) == ["u"]
    checked = found.estimates["u"].checked
    assert np.flatnonzero(checked).tolist() == [1, 4]
    truth = of_product(X, X[:4] + 1)["u"]
    np.testing.assert_allclose(found.estimates["u"].value[checked], truth[[1, 4]], rtol=1e-13)
    assert spent <= 2 + 11  # and the line through all of them


def test_each_entry_s_uncertainty_is_some_roundings_of_it_and_of_the_others():
    problem = problem_of(product, of_product, u=X.copy(), v=X[:4] + 1)
    found, _ = complex_estimates(problem, {"u": np.arange(6), "v": np.arange(4)})
    for estimate in found.estimates.values():
        typical = np.sqrt(np.mean(estimate.value**2))
        least = 64 * 2.0**-52 * (np.abs(estimate.value) + typical)
        assert (estimate.uncertainty >= 0.999 * least).all()
        assert (estimate.uncertainty <= 100 * least).all()


@pytest.mark.parametrize(
    ("loss", "gradient", "refusal"),
    [
        (
            lambda x: np.sum(x**2) + (1e-3 if np.iscomplexobj(x) else 0),
            lambda x: {"x": 2 * x},
            "the loss has another value with complex parameters",
        ),
        (
            lambda x: np.sum(x**2) + (1e-16 if np.iscomplexobj(x) else 0),
            lambda x: {"x": 2 * x},
            None,
        ),
        (
            lambda x: np.sum(x**2) if np.isrealobj(x) else np.sum(x.real**2),
            lambda x: {"x": 2 * x},
            "it does not agree with a central difference along a line",
        ),
        (
            lambda x: np.sum(x**2) if np.isrealobj(x) else 1 / len([]),
            lambda x: {"x": 2 * x},
            "ZeroDivisionError: division by zero",
        ),
    ],
    ids=["another value", "within rounding", "imaginary part dropped", "raises"],
)
def test_why_the_complex_step_is_refused(loss, gradient, refusal):
    found, _ = complex_estimates(problem_of(loss, gradient, x=X.copy()), {"x": np.arange(6)})
    assert found.refusal == refusal
    assert bool(found.estimates) is (refusal is None)


def test_entries_that_disagree_are_counted():
    def loss(x):
        # analytic in all entries but two, whose share hides along the line
        return np.sum(np.exp(x)) + 1e-4 * np.sum(np.abs(x[:2]) ** 3)

    def gradient(x):
        slope = np.exp(x)
        slope[:2] += 3e-4 * x[:2] * np.abs(x[:2])
        return {"x": slope}

    found, _ = complex_estimates(problem_of(loss, gradient, x=X.copy()), {"x": np.arange(6)})
    assert found.estimates == {}
    assert "on 2 of 6 entries of x" in found.refusal


# Twins by name


@pytest.mark.parametrize(
    ("name", "told"),
    [("nothing", "nothing"), ("math:", "math"), ("math:no_such", "no_such"), ("math:pi", "pi")],
)
def test_a_twin_that_cannot_be_used_is_named(name, told):
    with pytest.raises(Exception, match=told):
        resolve_twin(name)


# Central differences beside an edge of the domain, and at a grain


def central_of(loss, gradient, x, noise=None, **options):
    problem = numpy_problem(lambda x: (loss(x), gradient(x)), x)
    with np.errstate(all="ignore"):
        noise = noise or loss_noise(problem, np.random.default_rng(0))
        selection = {"x": np.arange(x.size)}
        return central_differences(
            problem, noise, np.random.default_rng(0), selection=selection, **options
        )["x"]


@pytest.mark.parametrize("distance", [1e-3, 1e-7, 1e-11])
def test_steps_shrink_until_they_stay_in_the_domain(distance):
    x = np.array([distance, 0.5])
    found = central_of(lambda x: np.sum(x * np.log(x)), lambda x: np.log(x) + 1, x)
    truth = np.log(x) + 1
    assert (np.abs(found.value - truth) <= found.uncertainty).all()
    assert (found.uncertainty <= 2e-2 * np.abs(truth)).all()
    assert (found.steps < x).all()
    assert not found.edges.any()


@pytest.mark.parametrize(("grain", "wrong"), [(1e-9, False), (1e-9, True), (1e-6, False)])
def test_a_loss_in_steps_is_seen_over_larger_ones(grain, wrong):
    def loss(x):
        return float(np.round(np.sum(np.sin(x)) / grain) * grain)

    truth = np.cos(X)
    claimed = truth * (1.1 if wrong else 1.0)
    found = central_of(loss, lambda x: claimed, X.copy())
    assert (np.abs(found.value - truth) <= found.uncertainty + 1e-12).all()
    assert ((np.abs(found.value - claimed) > found.uncertainty) == wrong).all()


def test_a_loss_that_never_changes_is_flat_and_its_claim_wrong():
    found = central_of(lambda x: 1.0, lambda x: np.ones(6), X.copy())
    assert (found.value == 0).all()
    assert (np.abs(found.value - 1.0) > found.uncertainty).all()


@pytest.mark.parametrize(
    ("value", "uncertainty", "kink", "wrong"),
    [
        (1.0, 1e-9, False, False),
        (1.0 + 2.9e-3, 1e-3, False, False),
        (1.0 + 3.1e-3, 1e-3, False, True),
        (1.0 - 3.1e-3, 1e-3, False, True),
        (2.0, 1e-3, True, False),
        (2.0, np.inf, False, False),
        (2.0, np.nan, False, False),
    ],
)
def test_a_reading_contradicts_beyond_its_uncertainty_and_the_claim_s_rounding(
    value, uncertainty, kink, wrong
):
    reading = Reading(value, uncertainty, 1e-5, kink, value, value, True, False)
    claims = SimpleNamespace(claimed=np.array([0.0, 1.0]), rounding=np.array([9.0, 2e-3]))
    assert is_wrong(claims, 1, reading) is wrong


def test_an_oscillation_hidden_below_the_steps_is_no_derivative():
    x = np.array([0.3, 1.7])

    def loss(x):
        return np.sum(x**2 + 1e-9 * np.sin(1e9 * x))

    truth = 2 * x + np.cos(1e9 * x)
    found = central_of(loss, lambda x: 2 * x + np.cos(1e9 * x), x)
    inside = np.abs(found.value - truth) <= found.uncertainty
    assert (inside | ~np.isfinite(found.uncertainty)).all()


# Directions


def along(loss, gradient, x, n=1):
    problem = numpy_problem(lambda x: (loss(x), gradient(x)), x)
    generator = np.random.default_rng(0)
    noise = loss_noise(problem, generator)
    return check_directions(problem, noise, generator, n=n)


@pytest.mark.parametrize("scale", [1.0, 300.0, 1e-3])
def test_a_taylor_test_has_four_steps_each_four_times_the_one_before(scale):
    (found,) = along(
        lambda x: np.sum(np.exp(x / scale)), lambda x: np.exp(x / scale) / scale, scale * X
    )
    steps = np.array(found.steps)
    assert len(steps) == len(found.residuals) == 4
    assert (steps[1:] / steps[:-1] == 4.0).all()
    assert (np.log2(steps) == np.round(np.log2(steps))).all()
    assert steps[-1] <= 2.0**-3
    assert (np.diff(found.residuals) > 0).all()
    assert found.order == pytest.approx(2.0, abs=0.05)
    assert found.residuals[3] == pytest.approx(16 * found.residuals[2], rel=0.3)


def test_a_claim_between_what_is_seen_and_what_is_not_is_left_open():
    truth = np.exp(X)
    found = along(lambda x: np.sum(np.exp(x)), lambda x: truth, X.copy(), n=3)
    assert [one.agree for one in found] == [True] * 3
    for one in found:
        assert abs(one.claimed - one.numeric) <= one.uncertainty
        assert one.size > 0
        assert one.parameter == ""
    noisy = along(lambda x: np.round(np.sum(np.exp(x)), 3), lambda x: truth, X.copy(), n=3)
    assert {one.agree for one in noisy} <= {True, None}
    lost = along(lambda x: np.round(np.sum(np.exp(x))), lambda x: 1.5 * truth, X.copy(), n=3)
    assert {one.agree for one in lost} <= {False, None}


def test_the_residuals_of_a_straight_line_are_lost_in_noise():
    (found,) = along(lambda x: 3.0 * np.sum(x), lambda x: np.full(6, 3.0), X.copy())
    assert found.agree is True
    assert found.order is None


# Group testing where much is wrong


def test_hundreds_of_wrong_entries_are_found_where_they_are_or_as_a_whole():
    draw = np.random.default_rng(2)
    places = draw.choice(2400, 700, replace=False)

    factors = draw.uniform(1.5, 3.0, 700)

    def damage(grads):
        grads["W1"].reshape(-1)[places] *= factors

    found = search(network(damage))
    assert not found.found_nothing
    wrong = {flat for name, flat in found.entries if name == "W1"}
    assert wrong <= set(places.tolist())
    assert len(wrong) <= 300 or found.blocks


@pytest.mark.parametrize("share", [0.4, 0.6, 0.9])
def test_a_parameter_wrong_in_a_large_share_is_said_to_be_partly_wrong(share):
    draw = np.random.default_rng(3)
    mask = draw.random((60, 40)) < share

    def damage(grads):
        grads["W1"][mask] *= 2.0

    found = search(network(damage))
    assert not found.found_nothing
    for block in found.blocks:
        assert block.parameter == "W1"
        assert 0 < block.wrong <= block.probed <= block.size
    for name, flat in found.entries:
        assert name == "W1"
        assert mask.reshape(-1)[flat]


@pytest.mark.parametrize("size", [1e-9, 3e-9, 1e-8])
def test_what_only_shows_in_sum_is_unresolved(size):
    def damage(grads):
        grads["W2"] *= 1 + size
        grads["b1"] *= 1 + size

    found = search(network(damage))
    assert not found.found_nothing
    seen = {one.parameter for one in (*found.unresolved, *found.blocks)}
    assert seen | {name for name, _ in found.entries} <= {"W2", "b1"}
    assert seen or found.entries or not found.agreed


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ((1,), "row"),
        ((slice(None), slice(None), 2), "column"),
        ((slice(None), slice(None), slice(1, 3)), "columns"),
        ((slice(1, 3),), "rows"),
        ((slice(None), 1), "block"),
        ((slice(0, 2), slice(0, 2)), "block"),
        ((), "parameter"),
    ],
)
def test_boxes_of_three_axes_have_their_names(where, kind):
    T = np.random.default_rng(0).normal(size=(4, 6, 8)) + 3

    def loss(T):
        gradient = 2 * T
        gradient[where] *= 1.5
        return np.sum(T**2), {"T": gradient}

    found = search(numpy_problem(loss, {"T": T}))
    wrong = np.zeros(T.shape, bool)
    wrong[where] = True
    seen = np.zeros(T.shape, bool)
    seen.reshape(-1)[[flat for _, flat in found.entries]] = True
    for block in found.blocks:
        seen[tuple(slice(*one) for one in block.box)] = True
    assert (seen == wrong).all()
    assert {block.kind for block in found.blocks} <= {kind}
    assert found.agreed


def test_the_noise_of_a_search_counts_for_what_it_sees():
    problem = network()
    noise = Noise(1e-4, problem.facts.value, np.dtype(float), 1.0)
    from gradcheck.calling.quiet import quiet
    from gradcheck.sweep.localize import localise

    with quiet():
        found = localise(problem, noise, np.random.default_rng(0))
    assert found.found_nothing
    assert all(found.resolution[name] > 1e-4 for name in SIZES)
