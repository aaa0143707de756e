"""Binding inputs to a target's arguments, and calling it on private copies."""

from __future__ import annotations

import threading
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest

from gradcheck.calling.calls import BoundInputs, Call, arrays_of, bind_inputs, copy_inputs, same
from gradcheck.calling.live import LiveState
from gradcheck.errors import UsageError

W, X = np.ones((2, 3)), np.ones((5, 2))


def two(W, X):
    return 0.0


def one(params):
    return 0.0


def optional(params, reg=0.1):
    return 0.0


def starred(*arrays, **options):
    return 0.0


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("target", "inputs", "names"),
    [
        (two, {"W": W, "X": X}, ["W", "X"]),
        (two, {"X": X, "W": W}, ["X", "W"]),
        (two, (W, X), ["W", "X"]),
        (one, W, ["params"]),
        (one, [W, X], ["params"]),
        (one, {"W": W, "b": X}, ["params"]),
        (one, {"params": W}, ["params"]),
        (one, {0: W}, ["params"]),
        (one, Point(1.0, 2.0), ["params"]),
        (one, (W,), ["params"]),
        (optional, {"params": W, "reg": 0.2}, ["params", "reg"]),
        (starred, (W, X), ["argument_0", "argument_1"]),
        (starred, {"W": W}, ["W"]),
        (lambda: 0.0, None, []),
        (np.sum, (W,), ["a"]),
    ],
)
def test_inputs_become_arguments_with_names(target, inputs, names):
    assert [name for name, _ in bind_inputs(target, inputs).items()] == names


@pytest.mark.parametrize(
    ("target", "inputs"), [(two, W), (two, {"W": W}), (two, (W, X, X)), (two, {"W": W, "V": X})]
)
def test_inputs_that_do_not_fit_are_refused_with_the_signature(target, inputs):
    with pytest.raises(UsageError, match=r"two\(W, X\).*dict.*tuple"):
        bind_inputs(target, inputs)


def test_copies_share_nothing_with_the_originals_but_among_themselves_what_these_do():
    bound = BoundInputs((W, W), {"more": [W, X]}, ("a", "b"))
    copied = copy_inputs(bound)
    assert copied.args[0] is copied.args[1] is copied.kwargs["more"][0]
    assert not any(np.shares_memory(a, b) for a in arrays_of(copied.args) for b in (W, X))


def test_copies_keep_the_memory_layout():
    fortran = np.asfortranarray(W)
    assert copy_inputs(BoundInputs((fortran,), {}, ("W",))).args[0].flags.f_contiguous


def test_what_cannot_be_copied_is_refused():
    with pytest.raises(UsageError, match="cannot be copied"):
        copy_inputs(BoundInputs((threading.Lock(),), {}, ("lock",)))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), True),
        (np.array([1.0]), np.array([1.0 + 1e-16]), True),
        (np.array([1.0]), np.array([1.0 + 3e-16]), False),
        (np.array([1.0]), np.array([[1.0]]), False),
        (np.array([1.0]), np.array([1]), False),
        (np.array(["a"]), np.array(["a"]), True),
    ],
)
def test_same_compares_values_shape_and_dtype(first, second, expected):
    assert same(first, second) is expected


def test_overwritten_arrays_and_containers_are_handed_out_fresh():
    data, other = np.ones(2), np.ones(2)

    def target(params):
        params["data"] += 1
        params["cache"] = 0
        return params["data"].sum(), params["other"] is other, len(params)

    inputs = BoundInputs(({"data": data, "other": other},), {}, ("params",))
    call = Call(target, inputs, overwritten=frozenset({id(data)}), rearranged=True)
    assert call() == call() == (4.0, True, 3)
    np.testing.assert_array_equal(data, 1.0)


def test_numbers_are_handed_out_as_the_kind_they_came_in():
    cells = {0: np.array(2.0), 1: np.array(3.0)}
    inputs = BoundInputs((1.0, np.float64(1.0)), {}, ("a", "b"))
    call = Call(lambda a, b: (a, b), inputs, scalars=cells)
    a, b = call()
    assert (a, type(a)) == (2.0, float)
    assert (b, type(b)) == (3.0, np.float64)
    cells[0][...] = 5.0
    assert call()[0] == 5.0


def test_generators_and_seeds_make_calls_repeat():
    generator = np.random.default_rng(0)
    inputs = BoundInputs((generator,), {}, ("rng",))
    call = Call(
        lambda rng: (rng.random(), np.random.rand()),
        inputs,
        generators=[(generator, generator.bit_generator.state)],
        seed=3,
    )
    state = np.random.get_state()
    assert call() == call()
    np.random.set_state(state)


# Parameters elsewhere


def test_live_state_is_put_back_whatever_was_done_to_it():
    inner = [np.zeros(2), np.ones(2)]
    tree = {"W": np.ones(3), "inner": inner}
    arrays = [tree["W"], *inner]
    live = LiveState(tree)
    tree["W"][0] = 7
    inner[0] = np.full(2, 9.0)
    inner.append(np.zeros(1))
    tree["cache"] = 1
    del tree["inner"]
    assert live.rearranged()
    assert list(live.overwritten()) == ["params['W']"]
    live.restore()
    assert not live.rearranged()
    assert not live.overwritten()
    assert list(tree) == ["W", "inner"]
    assert [id(tree["W"]), *map(id, tree["inner"])] == [id(array) for array in arrays]


def test_live_arrays_keep_their_present_values_over_a_call():
    tree = {"W": np.ones(3)}
    live = LiveState(tree)
    tree["W"][0] = 5.0  # a step of an oracle
    with live.kept([tree["W"]]):
        tree["W"] -= 1
        tree["W"] = np.zeros(3)
    np.testing.assert_array_equal(tree["W"], [5.0, 1.0, 1.0])


def test_an_owner_that_takes_another_tree_gets_its_own_back():
    tree = {"W": np.ones(2)}
    owner = SimpleNamespace(params=tree)
    live = LiveState(tree, owner)
    owner.params = {}
    assert live.rearranged()
    live.restore()
    assert owner.params is tree
