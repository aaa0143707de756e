"""Inputs for Hypothesis: shapes that fit together, values that shrink to something readable."""

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck.errors import UsageError
from gradcheck.strategies import inputs

PLAIN = settings(max_examples=300, database=None, deadline=None, derandomize=True)


@settings(PLAIN, max_examples=50)
@given(inputs(X="randn(N, D)", W="0.1 * randn(D, K)", y="integers(K, size=N)", reg="0.5"))
def test_sizes_are_shared_and_labels_fit(drawn):
    n, d = drawn["X"].shape
    assert drawn["W"].shape[0] == d
    assert drawn["y"].shape == (n,)
    assert (drawn["y"] < drawn["W"].shape[1]).all()
    assert drawn["reg"] == 0.5


@pytest.mark.parametrize(
    "special",
    [
        lambda d: d["X"].shape[0] == 1,
        lambda d: d["X"].shape[0] == d["X"].shape[1] > 1,
        lambda d: d["X"].shape[0] != d["X"].shape[1],
        lambda d: len(set(d["y"])) < len(d["y"]),
        lambda d: (d["X"] < 0).all() and d["X"].size > 1,
    ],
    ids=["one row", "square", "not square", "repeated labels", "all negative"],
)
def test_the_cases_that_break_gradients_occur(special):
    strategy = inputs(X="randn(N, D)", y="integers(3, size=N)")
    find(strategy, special, settings=PLAIN)


def test_what_is_found_shrinks_to_ones():
    found = find(inputs(X="randn(N, D)"), lambda d: d["X"].size >= 2, settings=PLAIN)
    assert found["X"].tolist() in ([[1.0], [1.0]], [[1.0, 1.0]])


def test_bound_sizes_and_the_largest_size():
    strategy = inputs(X="randn(N, D)", sizes={"N": 9}, max_size=2)

    @settings(PLAIN, max_examples=20)
    @given(strategy)
    def within(drawn):
        assert drawn["X"].shape[0] == 9
        assert drawn["X"].shape[1] <= 2

    within()


@pytest.mark.parametrize(
    ("spec", "low", "high"),
    [
        ("uniform(-1, 1, size=4)", -1, 1),
        ("rand(4)", 0, 1),
        ("beta(2, 3, size=4)", 1e-9, 1),
        ("exponential(2.0, size=4)", 1e-9, np.inf),
        ("poisson(2.0, size=4)", 0, 7),
        ("binomial(3, 0.5, size=4)", 0, 4),
        ("integers(-2, 3, size=4)", -2, 3),
        ("permutation(4)", 0, 4),
        ("normal(100, 1, size=4)", 90, 110),
    ],
)
def test_values_stay_within_the_distribution(spec, low, high):
    @settings(PLAIN, max_examples=30)
    @given(inputs(x=spec))
    def within(drawn):
        assert drawn["x"].shape == (4,)
        assert ((drawn["x"] >= low) & (drawn["x"] < high)).all()

    within()


def test_values_that_are_no_specs():
    strategy = inputs(x="randn(N)", rate=st.sampled_from([1.0, 2.0]), fixed=np.arange(3))
    found = find(strategy, lambda d: d["rate"] == 2.0, settings=PLAIN)
    assert found["fixed"].tolist() == [0, 1, 2]


def test_from_the_annotations_of_a_function():
    def loss(W: "Float[np.ndarray, 'D K']", X: "Float[np.ndarray, 'N D']", reg=0.1): ...

    @settings(PLAIN, max_examples=20)
    @given(inputs(loss))
    def fits(drawn):
        assert drawn["X"].shape[1] == drawn["W"].shape[0]
        assert set(drawn) == {"W", "X"}

    fits()


def test_specs_win_over_annotations():
    def loss(W: "Float[np.ndarray, '3']", X: "Float[np.ndarray, '4']"): ...

    found = find(inputs(loss, W="randn(6)"), lambda _: True, settings=PLAIN)
    assert (found["W"].shape, found["X"].shape) == ((6,), (4,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: inputs(), "nothing to draw"),
        (lambda: inputs(x=3.0), "nothing to draw"),
        (lambda: inputs(x="rndn(3)"), "did you mean 'randn'"),
        (lambda: inputs(x="randn(N)", max_size=0), "at least 1"),
        (lambda: inputs(lambda a: a), "a is missing"),
    ],
)
def test_what_cannot_be_drawn_is_said(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def right(w, x):
    return float(np.sum((x @ w) ** 2)), {"w": 2 * x.T @ (x @ w)}


@settings(PLAIN, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(inputs(w="randn(D)", x="randn(N, D)"))
def test_a_right_gradient_passes_wherever_it_is_drawn(drawn):
    assert gradcheck.check(right, drawn, autograd=False).verdict == "pass"
