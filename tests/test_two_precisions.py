"""The scatter of a gradient in low precision about the same code's in float64."""

from __future__ import annotations

import numpy as np

from gradcheck.calling import random_state
from gradcheck.calling.calls import bind_inputs
from gradcheck.calling.choose import choose
from gradcheck.numpy_target.first_call import Functions, first_call
from gradcheck.numpy_target.preflight import low_precision_rounding
from gradcheck.numpy_target.two_precisions import FEWEST, POINTS, pairs_of, scatter
from gradcheck.numpy_target.working_call import working_call

X = np.random.default_rng(3).normal(size=(30, 4)).astype(np.float32)
UNIT = float(np.finfo(np.float32).eps)


def pair(values):
    low = np.asarray(values, dtype=np.float32)
    return low, low.astype(np.float64)


def found(function, *, low, wide, others=()):
    """The scatter of ``function`` of the first array, and of the others."""
    pairs = [(low, wide), *others]
    return scatter(
        lambda: {"w": function(*(one for one, _ in pairs)).astype(np.float64)},
        lambda: {"w": function(*(two for _, two in pairs))},
        pairs,
    )


def test_it_is_some_units_in_the_last_place_of_the_terms():
    low, wide = pair(X)
    level = found(lambda x: x.sum(axis=0), low=low, wide=wide)["w"]
    assert (level > 0.3 * UNIT).all()
    assert (level < 300 * UNIT).all()


def test_a_difference_that_stays_is_no_scatter():
    low, wide = pair(X)

    def shifted(x):
        return x.sum(axis=0) * (1.0 if x.dtype == np.float64 else np.float32(1.01))

    level = found(shifted, low=low, wide=wide)["w"]
    plain = found(lambda x: x.sum(axis=0), low=low, wide=wide)["w"]
    assert (level < 2 * plain).all()


def test_a_jump_at_a_few_points_is_no_scatter():
    low, wide = pair(X)
    calls = iter(range(POINTS))

    def jumps(x):
        rare = x.dtype == np.float32 and next(calls) in (2, 7)
        return x.sum(axis=0) + (1.0 if rare else 0.0)

    assert (found(jumps, low=low, wide=wide)["w"] < 300 * UNIT).all()


def test_zeros_move_where_all_are_and_stay_among_others():
    seen = []
    for values in (np.zeros(4), [0.0, 1.0, 2.0, 0.0]):
        low, wide = pair(values)
        found(lambda x: seen.append(x.copy()) or x, low=low, wide=wide)
    moved = np.stack([one for one in seen if one.dtype == np.float32])
    assert (moved[:POINTS] != 0).any(axis=0).all()
    assert not moved[POINTS:, [0, 3]].any()
    assert (moved[POINTS:, 1:3] != [1.0, 2.0]).any(axis=0).all()


def test_points_outside_the_domain_do_not_count_and_too_few_tell_nothing():
    low, wide = pair(X)
    for left in (FEWEST, FEWEST - 1):
        calls = iter(range(POINTS))

        def refuses(x, calls=calls, left=left):
            if x.dtype == np.float32 and next(calls) >= left:
                raise ValueError("outside the domain")
            return x.sum(axis=0)

        assert set(found(refuses, low=low, wide=wide)) == ({"w"} if left == FEWEST else set())


def test_all_is_put_back():
    low, wide = pair(X)
    found(lambda x: x.sum(axis=0), low=low, wide=wide)
    np.testing.assert_array_equal(low, X)
    np.testing.assert_array_equal(wide, X)


def workings(function, inputs):
    functions, bound = Functions(function, None), bind_inputs(function, inputs)
    first = first_call(functions, bound, None, 0, random_state.snapshot())
    chosen = choose(bound, first.grads, wrt=["w"], live=None)
    return [
        working_call(functions, bound, chosen, first, None, None, upcast=upcast)
        for upcast in (False, True)
    ]


def test_parameters_and_data_in_low_precision_move_but_labels_stay():
    def target(w, X, y, count):
        return float(w.sum()), {"w": np.ones_like(w)}

    inputs = {"w": np.zeros(4, np.float32), "X": X, "y": np.ones(30, np.float32), "count": 3}
    low, wide = workings(target, inputs)
    pairs = pairs_of(low, wide)
    assert [one.shape for one, _ in pairs] == [(4,), X.shape]
    assert all(one.dtype == np.float32 and two.dtype == np.float64 for one, two in pairs)
    assert pairs[0][0] is low.values[0]


def test_a_parameter_that_is_a_number_moves_too():
    def target(w, X):
        return np.float32(w * X.sum()), {"w": X.sum()}

    low, wide = workings(target, {"w": np.float32(0.5), "X": X.astype(np.float64)})
    assert [one.shape for one, _ in pairs_of(low, wide)] == [()]


def rounding_of(own, reference, seen):
    """The rounding of a gradient, and whether its scatter was asked for."""
    asked = []

    def scattered():
        asked.append(True)
        return {"w": np.full(len(own), seen)}

    found = low_precision_rounding(
        {"w": np.array(own, dtype=np.float32)},
        lambda: {"w": np.array(reference)},
        upcast=True,
        scatter=scattered,
    )
    return found["w"], bool(asked)


def test_what_a_thousandth_explains_needs_no_scatter():
    rounding, asked = rounding_of([1.0, 2.0], [1.0005, 2.0], 1.0)
    assert not asked
    np.testing.assert_allclose(rounding, [5e-4, 0.0], rtol=2e-3, atol=1e-6)


def test_scatter_counts_for_the_entries_that_need_it():
    rounding, asked = rounding_of([1.0, 2.0], [1.01, 2.0], 0.02)
    assert asked
    np.testing.assert_allclose(rounding, [0.02 + 1.6e-3, 0.0], rtol=0.01, atol=1e-5)


def test_scatter_counts_for_all_entries_of_a_gradient_that_is_nothing_else():
    rounding, _ = rounding_of([1e-8, 2e-8], [3e-8, 2e-8], 1e-8)
    assert (rounding >= 1e-8).all()
