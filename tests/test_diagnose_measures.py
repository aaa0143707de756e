"""The measures of a diagnosis, each by itself: what counts as changed, matched, telling, alike."""

import itertools

import numpy as np
import pytest
from test_diagnose_patterns import evidence

from gradcheck.diagnose.entries import isolated_entries
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.flat import loss_ignores_parameter
from gradcheck.diagnose.handed import _rows, _telling
from gradcheck.diagnose.handed_findings import best_of
from gradcheck.diagnose.pool import _aligned
from gradcheck.diagnose.probe import Use, explains, product
from gradcheck.diagnose.probes import _fits, _reductions
from gradcheck.diagnose.regulariser import is_all_of_the_loss, is_bias, is_regulariser
from gradcheck.diagnose.repeated import _assigned, _Piece
from gradcheck.diagnose.repeated import _rows as picked_rows
from gradcheck.diagnose.sketch import Sketch
from gradcheck.diagnose.space import Space, make_space
from gradcheck.diagnose.wrong_products import summed_to
from gradcheck.diagnose.wrong_shares import _sum_axes
from gradcheck.diagnose.wrong_sums import broadcast_axes
from gradcheck.report import Location
from gradcheck.tracing.contract import Operation, Site

generator = np.random.default_rng(17)
W, B = generator.normal(size=(3, 4)), generator.normal(size=4)


def space(residual, tolerance=1e-9, failing=("W",)):
    residual = np.asarray(residual, float)
    return Space(
        names=("W", "b"),
        slices={"W": slice(0, 3), "b": slice(3, 5)},
        scale=np.ones(5),
        known=np.ones(5, bool),
        residual=residual,
        tolerance=np.full(5, tolerance),
        failing=failing,
    )


# The space of gradients


def test_gradients_are_laid_out_each_on_its_own_scale():
    right = {"W": 10 * W, "b": 0.001 * B, "c": np.zeros(2)}
    wrong = {"W": 20 * W, "b": 0.001 * B, "c": np.zeros(2)}
    known = evidence(wrong, right, {"W": W, "b": B, "c": np.ones(2)})
    made = make_space(known, right)
    largest = np.abs(20 * W).max(), np.abs(0.001 * B).max(), 1.0
    assert (made.names, made.failing, made.wrong) == (("W", "b", "c"), ("W",), frozenset("W"))
    assert made.slices == {"W": slice(0, 12), "b": slice(12, 16), "c": slice(16, 18)}
    np.testing.assert_allclose(made.scale, np.repeat(largest, [12, 4, 2]), rtol=1e-15)
    np.testing.assert_allclose(made.residual[:12], (10 * W).ravel() / largest[0], rtol=1e-14)
    assert not made.residual[12:].any()
    assert (made.tolerance >= 1e-13).all()
    assert made.tolerance[-1] == 1e-13
    np.testing.assert_allclose(made.vector(right)[12:16], B / np.abs(B).max(), rtol=1e-15)
    np.testing.assert_array_equal(made.part(np.arange(18.0), "b"), np.arange(12.0, 16.0))
    assert made.shapes == {"W": (3, 4), "b": (4,), "c": (2,)}


def test_entries_that_are_not_known_are_nothing():
    right = {"W": np.where(W > 0, W, np.nan)}
    made = make_space(evidence({"W": 2 * W}, right, {"W": W}), {"W": W})
    np.testing.assert_array_equal(made.known, (W > 0).ravel())
    assert not made.residual[(W <= 0).ravel()].any()
    assert not made.vector({"W": W})[(W <= 0).ravel()].any()


def test_parameters_that_the_trace_does_not_know_are_left_out():
    known = evidence({"W": 2 * W, "b": 2 * B}, {"W": W, "b": B}, {"W": W, "b": B})
    made = make_space(known, {"b": B})
    assert (made.names, made.failing, made.residual.size) == (("b",), ("b",), 4)
    assert make_space(known, {}).residual.size == 0


def test_changed_and_matched_are_by_four_tolerances():
    here = space([1.0, 2.0, 3.0, 0.0, 0.0], 0.01)
    unit = np.eye(5)
    assert here.changed(0.041 * unit[1]) == {"W"}
    assert here.changed(-0.041 * unit[4]) == {"b"}
    assert here.changed(0.039 * unit[1] - 0.039 * unit[4]) == frozenset()
    assert here.matched(here.residual + 0.039 * unit[0]) == {"W", "b"}
    assert here.matched(here.residual - 0.041 * unit[2]) == {"b"}
    assert here.matched(0 * here.residual) == {"b"}


def test_an_error_that_is_mostly_within_the_tolerance_matches_nothing():
    clear = space([0.0, 0.0, 0.05, 0.0, 0.03], 0.01)
    assert clear.matched(clear.residual) == {"W", "b"}  # b is right
    assert space([0.0, 0.0, 0.039, 0.0, 0.0], 0.01).matched(np.zeros(5)) == {"b"}
    mixed = space([0.039, 0.0, 0.041, 0.0, 0.0], 0.01)
    assert mixed.matched(mixed.residual) == {"W", "b"}
    even = space([0.03, 0.039, 0.041, 0.0, 0.0], 0.01)
    assert even.matched(even.residual) == {"b"}


def test_nearly_is_99_percent_of_the_error_of_every_failing_parameter():
    here = space([3.0, 4.0, 0.0, 0.6, 0.8], failing=("W", "b"))
    near = here.residual * np.array([1, 1, 1, 0.9905, 0.9905])
    far = here.residual * np.array([1, 1, 1, 0.9895, 0.9895])
    assert here.nearly(here.residual)
    assert here.nearly(near)
    assert not here.nearly(far)
    assert space([3.0, 4.0, 0.0, 0.6, 0.8], failing=("W",)).nearly(far)


@pytest.mark.parametrize(("digits", "expected"), [(9.1, True), (8.9, False)])
def test_an_error_has_to_have_digits_enough(digits, expected):
    assert _telling(space([10.0 ** (digits - 9), 0, 0, 0, 0], 1e-9)) is expected
    half = 10.0 ** (digits / 2 - 9)
    assert _telling(space([half, 0, -half, 0, 0], 1e-9)) is expected
    assert not _telling(space([1e-10] * 5, 1e-9))


# Directions


def sketch(n_each=2, blocks=2, weights=None, residual=(), slack=(), n_wrong=1):
    names = tuple(frozenset({str(k)}) for k in range(blocks))
    return Sketch(
        flow=None, space=None, blocks=names, n_wrong=n_wrong, n_each=n_each,
        weights=np.asarray(weights), tangents=(), residual=np.asarray(residual),
        slack=np.asarray(slack),
    )  # fmt: skip


def test_directions_are_taken_block_by_block_or_together():
    np.testing.assert_array_equal(_rows(sketch(), None), [[1, 0, 1, 0], [0, 1, 0, 1]])
    np.testing.assert_array_equal(_rows(sketch(), 0), [[1, 0, 0, 0], [0, 1, 0, 0]])
    np.testing.assert_array_equal(_rows(sketch(), 1), [[0, 0, 1, 0], [0, 0, 0, 1]])


def test_a_change_explains_an_error_along_it():
    error = [3.0, 4.0, 7.0, 7.0]
    here = sketch(residual=error, slack=[0.0] * 4)
    for factor, by_factor, expected in (
        (1.0, False, True), (1.0, True, True), (-2.0, True, True), (-2.0, False, False),
        (1.0095, False, True), (1.0105, False, False), (0.0, True, False),
    ):  # fmt: skip
        change = factor * np.array([3.0, 4.0, 0.0, 0.0])
        assert here.explains(change, by_factor=by_factor) is expected
    # only the blocks of wrong parameters count
    assert not here.explains(np.array([0.0, 0.0, 7.0, 7.0]), by_factor=True)
    assert sketch(residual=error, slack=[0.0] * 4, n_wrong=2).explains(
        np.array([0.0, 0.0, 7.0, 7.0]), by_factor=True
    )
    beside = np.array([3.0, 4.0 + 0.1, 0.0, 0.0])
    assert not here.explains(beside, by_factor=False)
    assert sketch(residual=error, slack=[0.03, 0.03, 0, 0]).explains(beside, by_factor=False)
    assert not sketch(residual=error, slack=[0, 0, 1, 1]).explains(beside, by_factor=False)


# The best of rules that come to the same


def found(cause, parameters="W", alone=False, line=1, also=()):
    place = None if line is None else Location("f.py", line, "", "loss")
    others = tuple(Location("f.py", k, "", "loss") for k in also)
    return Finding(
        cause, tuple(parameters), "", "", "exact", 50, {"parameters_alone": alone}, place, others
    )


def test_the_likeliest_rule_is_named_with_the_lines_of_the_others():
    assert best_of([]) is None
    causes = ("activation_mask_missing", "wrong_axis", "transpose", "batch_divided_twice",
              "activation_derivative_wrong", "term_missing", "factor_missing", "extra_factor",
              "sign", "stale_value")  # fmt: skip
    for first, second in itertools.pairwise(causes):
        assert best_of([found(second), found(first)]).cause == first
    assert best_of([found("sign", alone=True), found("stale_value")]).cause == "stale_value"
    assert best_of([found("sign", "W"), found("stale_value", "WV")]).cause == "stale_value"
    best = best_of([found("sign", line=3, also=(5,)), found("stale_value", line=4),
                  found("stale_value", "V", line=9), found("stale_value", line=3)])  # fmt: skip
    assert (best.cause, best.location.line) == ("sign", 3)
    assert [place.line for place in best.also] == [5, 4]


# Loops, shapes, axes


def test_runs_of_another_loop_go_with_passes():
    def pairs(length, n):
        return [tuple(run) for run in _aligned(tuple(range(length)), n)]

    assert pairs(4, 4) == [(0, 1, 2, 3)]
    assert pairs(5, 4) == [(0, 1, 2, 3), (1, 2, 3, 4)]
    assert pairs(4, 3) == [(0, 1, 2), (1, 2, 3)]
    assert pairs(3, 2) == [(0, 1), (1, 2)]
    assert pairs(2, 1) == []
    assert pairs(6, 3) == [(0, 2, 4), (1, 3, 5)]
    assert pairs(6, 4) == []
    assert pairs(3, 1) == []


def test_shapes_and_axes():
    assert _fits((4,), (3, 4))
    assert _fits((3, 1), (3, 4))
    assert not _fits((3, 4), (4,))
    assert not _fits((3,), (3, 4))
    assert broadcast_axes((4,), (3, 4)) == (0,)
    assert broadcast_axes((3, 1), (3, 4)) == (1,)
    assert broadcast_axes((3, 4), (3, 4)) == ()
    assert broadcast_axes((), (3, 4)) == (0, 1)
    assert _sum_axes(None, 2) == (1, 2)
    assert _sum_axes(1, 2) == (2,)
    assert _sum_axes(-2, 3) == (2,)
    assert _sum_axes((0, -1), 3) == (1, 3)
    stacked = generator.normal(size=(2, 3, 4))
    np.testing.assert_array_equal(summed_to(stacked, (4,)), stacked.sum(1))
    np.testing.assert_array_equal(summed_to(stacked, (3, 1)), stacked.sum(2, keepdims=True))
    np.testing.assert_array_equal(summed_to(stacked, ()), stacked.sum((1, 2)))
    np.testing.assert_array_equal(summed_to(stacked, (3, 4)), stacked)


def test_the_ways_to_reduce_a_gradient_to_a_shape():
    cube = generator.normal(size=(3, 4, 3))
    found = {words: reduce(cube, axes) for axes, reduce, words in _reductions((3, 4, 3), (3,))}
    assert len(found) == 8
    np.testing.assert_array_equal(found["summed over axis 0 and 1"], cube.sum((0, 1)))
    np.testing.assert_array_equal(found["averaged over axis 1 and 2"], cube.mean((1, 2)))
    np.testing.assert_array_equal(
        found["taken from the last index of axis 0 and 1 alone"], cube[-1, -1]
    )
    np.testing.assert_array_equal(
        found["taken from the first index of axis 1 and 2 alone"], cube[:, 0, 0]
    )
    assert {axes for axes, _, _ in _reductions((2, 3), (3,))} == {(0,)}
    assert list(_reductions((2, 3), (5,))) == []


def used(name, operand, cotangent, contribution):
    operation = Operation(0, name, Site("", 1, ""), (), (), (), {})
    return Use(operation, operand, cotangent, contribution)


def test_a_contribution_with_another_factor():
    X, G = generator.normal(size=(5, 3)), generator.normal(size=(5, 4))
    np.testing.assert_allclose(product(X, used("matmul", 1, G, W)), X.T @ G)
    np.testing.assert_allclose(product(W, used("dot", 0, G, X)), G @ W.T)
    assert product(X[:, 0], used("matmul", 1, G, W)) is None
    assert product(W, used("matmul", 0, G[0], X)) is None
    assert product(W, used("matmul", 1, G[None], X)) is None
    np.testing.assert_allclose(product(G, used("multiply", 0, G, G)), G * G)
    np.testing.assert_allclose(product(G, used("multiply", 0, G, B)), (G * G).sum(0))
    column = generator.normal(size=(5, 1))
    np.testing.assert_allclose(
        product(G, used("multiply", 0, G, column)), (G * G).sum(1, keepdims=True)
    )


def test_how_many_rows_a_look_up_takes():
    def rows(taken, read):
        return picked_rows(used("getitem", 0, np.zeros(taken), np.zeros(read)))

    assert rows((5, 3), (6, 3)) == 5
    assert rows((2, 5, 3), (6, 3)) == 10
    assert rows((5,), (6,)) == 5
    assert rows((3,), (6, 3)) == 1
    assert rows((), (6,)) == 1


def test_an_assignment_keeps_the_last_of_what_overlaps():
    first = _Piece(np.array([1.0, 2.0, 3.0]), np.array([True, True, False]))
    second = _Piece(np.array([4.0, 5.0, 6.0]), np.array([False, True, False]))
    np.testing.assert_array_equal(_assigned([first, second], (3,)), [1.0, 5.0, 0.0])
    np.testing.assert_array_equal(_assigned([second, first], (3,)), [1.0, 2.0, 0.0])
    np.testing.assert_array_equal(_assigned([], (3,)), np.zeros(3))


def test_a_change_explains_what_it_makes():
    facts = evidence({"W": W + 1.0}, {"W": W}, {"W": W}).facts["W"]
    assert explains(facts, np.ones((3, 4))) == "exact"
    assert explains(facts, np.full((3, 4), 0.995)) is None  # possible is not enough here
    assert explains(facts, np.zeros((3, 4))) is None


# Regularisers, biases


@pytest.mark.parametrize(
    ("shape", "bias"), [((4,), True), ((1, 4), True), ((4, 1), True), ((2, 2), False), ((), True)]
)
def test_a_bias_is_a_vector(shape, bias):
    value = np.ones(shape)
    assert is_bias(evidence({"b": value}, {"b": value}, {"b": value}).facts["b"]) is bias


def test_a_loss_that_is_the_square_of_its_parameter():
    def facts(value, right):
        return evidence({"W": 2 * right}, {"W": right}, {"W": value}).facts["W"]

    assert is_all_of_the_loss(facts(W, -3 * W))
    assert not is_all_of_the_loss(facts(W, 3 * W + 1e-3))
    assert not is_all_of_the_loss(facts(W, 0 * W))
    assert not is_all_of_the_loss(facts(0 * W, W))
    assert not is_all_of_the_loss(facts(np.ones(1), np.ones(1)))
    assert is_all_of_the_loss(facts(np.ones(2), np.ones(2)))
    assert not is_all_of_the_loss(facts(W, np.where(W > 0, W, np.nan)))


def test_a_change_in_proportion_to_a_parameter_is_a_regulariser():
    right = {"W": np.cos(W), "b": np.sin(B)}
    known = evidence({"W": right["W"] + 0.3 * W, "b": right["b"]}, right, {"W": W, "b": B})
    here = make_space(known, right)

    def judged(change, names=("W",)):
        whole = {"W": np.zeros((3, 4)), "b": np.zeros(4)} | change
        return is_regulariser(here.vector(whole), names, known, here)

    assert judged({"W": 0.3 * W})
    assert judged({"W": -2.0 * W})
    assert judged({"W": 0.3 * W * (np.arange(3) > 0)[:, None]})
    assert judged({"W": 0.3 * W, "b": 0.1 * B}, ("W", "b"))
    assert not judged({"W": 0.3 * W, "b": 0.1 * B + 0.01}, ("W", "b"))
    assert not judged({"W": 0.3 * W + 1e-7})
    assert judged({"W": 0.3 * W * (1 + 1e-12)})
    one = np.zeros((3, 4))
    one[1, 1] = W[1, 1]
    assert not judged({"W": one})  # any single number is a multiple of another
    one[1, 2] = W[1, 2]
    assert judged({"W": one})


def test_what_is_all_of_the_loss_is_no_regulariser():
    for right, expected in ((-2.0 * W, False), (np.cos(W), True)):
        known = evidence({"W": right + 0.3 * W}, {"W": right}, {"W": W})
        here = make_space(known, {"W": right})
        assert is_regulariser(here.vector({"W": 0.3 * W}), ("W",), known, here) is expected


# Thresholds of patterns


@pytest.mark.parametrize(("wrong", "expected"), [(6, True), (7, False)])
def test_at_most_a_fifth_scattered_is_isolated(wrong, expected):
    right = np.ones(34)
    off = right.copy()
    off[np.arange(wrong) * 4] += 1.0
    assert bool(isolated_entries(evidence({"v": off}, {"v": right}, {"v": right}))) is expected


@pytest.mark.parametrize(("rows", "expected"), [(4, True), (5, False)])
def test_at_most_half_in_rows_is_isolated(rows, expected):
    right = np.ones((8, 3))
    off = right.copy()
    off[:rows] += 1.0
    assert bool(isolated_entries(evidence({"V": off}, {"V": right}, {"V": right}))) is expected


@pytest.mark.parametrize(("relative", "expected"), [(0.9e-3, True), (1.1e-3, False)])
def test_a_loss_is_flat_as_far_as_the_noise_tells(relative, expected):
    claimed = np.ones((3, 4))
    known = evidence({"W": claimed}, {"W": 0 * claimed}, {"W": W})
    noise = {"W": np.full((3, 4), relative)}
    flat = type(known)(
        names=("W",), values={"W": W}, analytic={"W": claimed}, reference={"W": 0 * claimed},
        uncertainty=noise, failing={"W": claimed > 0},
    )  # fmt: skip
    assert bool(loss_ignores_parameter(flat)) is expected
