"""Targets with bad manners: their gradients are judged all the same, and what they did is said."""

from __future__ import annotations

import dataclasses
import random
import warnings
from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck import Verdict
from gradcheck.calling.random_state import state_of

GENERATOR = np.random.default_rng(0)
W = GENERATOR.normal(size=(3, 2))
B = GENERATOR.normal(size=2)
X = GENERATOR.normal(size=(5, 3))


def check(target, inputs=None, wrt=None, **options):
    return gradcheck.check(target, inputs, wrt, autograd=False, **options)


def keys(result):
    return [notice.key for notice in result.warnings]


def loss_of(W, X=X, b=0.0):
    """The loss of a layer of hyperbolic tangents, with its gradients by W and b."""
    h = np.tanh(X @ W + b)
    d = h * (1 - h * h)
    return 0.5 * float(np.sum(h * h)), X.T @ d, d.sum(axis=0)


# Changed inputs


def overwrites_data(scale, W, X):
    loss, gradient, _ = loss_of(W, X)
    X -= 0.1
    return loss, {"W": scale * gradient}


def trains(scale, W, X):
    loss, gradient, _ = loss_of(W, X)
    W -= 0.1 * gradient
    return loss, {"W": scale * gradient}


def caches(scale, params, X):
    loss, gradient, _ = loss_of(params["W"], X)
    params["cache"] = X @ params["W"]
    return loss, {"W": scale * gradient}


def caches_once(scale, params, X):
    if "cache" not in params:
        params["cache"] = loss_of(params["W"], X)
    loss, gradient, _ = params["cache"]
    return loss, {"W": scale * gradient}


def takes_out(scale, params, X):
    loss, gradient, _ = loss_of(params.pop("W"), X)
    return loss, {"W": scale * gradient}


def replaces(scale, params, X):
    loss, gradient, _ = loss_of(params["W"], X)
    params["W"] = params["W"] - 0.1 * gradient
    return loss, {"W": scale * gradient}


@pytest.mark.parametrize(
    ("target", "inputs"),
    [
        (overwrites_data, {"W": W, "X": X}),
        (trains, {"W": W, "X": X}),
        (caches, {"params": {"W": W}, "X": X}),
        (caches_once, {"params": {"W": W}, "X": X}),
        (takes_out, {"params": {"W": W}, "X": X}),
        (replaces, {"params": {"W": W}, "X": X}),
    ],
)
def test_a_target_that_changes_its_inputs_is_warned_of_and_judged(target, inputs):
    def right(**kwargs):
        return target(1.0, **kwargs)

    def wrong(**kwargs):
        return target(1.01, **kwargs)

    saved = (W.copy(), X.copy())
    good, bad = check(right, inputs), check(wrong, inputs)
    assert (good.verdict, bad.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert "mutates_input" in keys(good)
    np.testing.assert_array_equal(W, saved[0])
    np.testing.assert_array_equal(X, saved[1])
    assert "cache" not in inputs.get("params", {})


def test_a_target_that_leaves_its_inputs_alone_is_not_warned_of():
    assert keys(check(lambda W, X: loss_of(W, X)[:2], (W, X))) == []


# Parameters read from elsewhere


class Model:
    def __init__(self, *, scale=1.0):
        self.params = {"W": W.copy(), "b": B.copy()}
        self.scale = scale
        self.calls = 0

    def loss(self, X):
        loss, gradient, by_b = loss_of(self.params["W"], X, self.params["b"])
        return loss, {"W": self.scale * gradient, "b": by_b}

    def trains(self, X):
        loss, gradients = self.loss(X)
        self.params["W"] -= 0.1 * gradients["W"]
        return loss, gradients

    def replaces(self, X):
        loss, gradients = self.loss(X)
        self.params = {key: self.params[key] - 0.1 * gradients[key] for key in self.params}
        return loss, gradients

    def caches(self, X):
        loss, gradients = self.loss(X)
        self.params["last"] = gradients["W"]
        return loss, gradients

    def is_interrupted(self, X):
        self.calls += 1
        if self.calls > 9:
            raise KeyboardInterrupt
        return self.loss(X)

    def breaks(self, X):
        if self.calls or np.any(self.params["W"] != W):
            raise RuntimeError("this far and no further")
        return self.loss(X)

    def __call__(self, X):
        return self.loss(X)


def assert_as_before(model, arrays):
    assert list(model.params) == ["W", "b"]
    assert model.params["W"] is arrays[0]
    np.testing.assert_array_equal(model.params["W"], W)
    np.testing.assert_array_equal(model.params["b"], B)


@pytest.mark.parametrize("method", ["loss", "trains", "replaces", "caches", "__call__"])
@pytest.mark.parametrize(("scale", "verdict"), [(1.0, Verdict.PASS), (1.01, Verdict.FAIL)])
def test_a_method_s_own_parameters_are_checked_and_put_back(method, scale, verdict):
    model = Model(scale=scale)
    arrays = list(model.params.values())
    result = check(getattr(model, method), {"X": X})
    assert result.verdict is verdict
    assert {name for name, one in result.parameters.items() if one.verdict is verdict} >= {"W"}
    assert ("mutates_input" in keys(result)) is (method not in ("loss", "__call__"))
    assert_as_before(model, arrays)


def test_parameters_are_put_back_after_an_interrupt():
    model = Model()
    arrays = list(model.params.values())
    with pytest.raises(KeyboardInterrupt):
        check(model.is_interrupted, {"X": X})
    assert_as_before(model, arrays)


def test_an_exception_away_from_the_point_counts_as_outside_the_domain():
    model = Model()
    arrays = list(model.params.values())
    result = check(model.breaks, {"X": X}, ["W"])
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.diagnoses[0].cause == "domain_edge"
    assert "this far and no further" in result.diagnoses[0].message
    assert_as_before(model, arrays)


def test_an_exception_at_the_point_is_the_target_s_own():
    model = Model()
    model.calls = 100
    arrays = list(model.params.values())
    with pytest.raises(RuntimeError, match="no further"):
        check(model.breaks, {"X": X})
    assert_as_before(model, arrays)


def test_only_some_of_a_method_s_parameters_can_be_checked():
    result = check(Model().loss, {"X": X}, ["b"])
    assert list(result.parameters) == ["b"]
    assert result.verdict is Verdict.PASS


@pytest.mark.parametrize("memory", ["strided", "Fortran"])
def test_parameters_elsewhere_may_lie_in_memory_as_they_like(memory):
    whole = np.zeros((6, 4), order="F" if memory == "Fortran" else "C")
    part = whole[:3, :2] if memory == "Fortran" else whole[::2, ::2]
    part[...] = W
    before = whole.copy()

    def loss(X):
        return loss_of(part, X)[0], {"W": loss_of(part, X)[1]}

    assert check(loss, {"X": X}, params={"W": part}).verdict is Verdict.PASS
    np.testing.assert_array_equal(whole, before)


def test_read_only_parameters_elsewhere_are_refused():
    frozen = W.copy()
    frozen.flags.writeable = False
    with pytest.raises(gradcheck.UsageError, match="read-only"):
        check(lambda X: loss_of(frozen, X)[:2], {"X": X}, params={"W": frozen})


# Buffers


class Buffered:
    """Returns its loss and gradient in memory of its own."""

    def __init__(self, *, clears=True):
        self.clears = clears
        self.memory = np.zeros((4, 2))
        self.out = np.zeros(1)

    def loss(self, W, X):
        loss, gradient, _ = loss_of(W, X)
        self.out[0] = loss
        if self.clears:
            self.memory[...] = 0
        self.memory[:3] += gradient
        return self.out, {"W": self.memory[:3]}


def test_views_of_reused_buffers_are_no_trouble():
    result = check(Buffered().loss, {"W": W, "X": X})
    assert result.verdict is Verdict.PASS
    assert keys(result) == []


def test_a_buffer_that_is_never_cleared_accumulates():
    result = check(Buffered(clears=False).loss, {"W": W, "X": X})
    assert result.verdict is Verdict.FAIL
    assert result.diagnoses[0].cause == "accumulates"


# Memory layouts, aliases and kinds of numbers


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(W),
        np.repeat(np.repeat(W, 2, axis=0), 2, axis=1)[::2, ::2],
        W[::-1, ::-1],
        np.ascontiguousarray(W.T).T,
        np.broadcast_to(np.array([[1.5, -0.5]]), (3, 2)),
    ],
    ids=["Fortran", "strided", "reversed", "transposed", "broadcast"],
)
def test_inputs_may_lie_in_memory_as_they_like(array):
    array = array[...]
    array.flags.writeable = False
    result = check(lambda W, X: loss_of(W, X)[:2], (array, X))
    assert result.verdict is Verdict.PASS
    assert not array.flags.writeable


def test_a_numpy_matrix_stays_one_for_the_target():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        matrix = np.matrix(W)

        def loss(V, X):
            inner = X * V  # a matrix product, for a matrix alone
            return float(np.sum(np.square(inner))), 2 * X.T * inner

        result = check(loss, (matrix, np.matrix(X)), "V")
    assert result.verdict is Verdict.PASS


def test_one_array_given_twice_is_two_arguments():
    both = np.array([0.3, 0.5])
    right = {"a": np.cos(both) * both, "b": np.sin(both)}

    def loss(a, b):
        return np.sum(np.sin(a) * b), {"a": np.cos(a) * b, "b": np.sin(a)}

    assert check(loss, {"a": both, "b": both}).verdict is Verdict.PASS
    total = right["a"] + right["b"]
    wrong = check(lambda a, b: (loss(a, b)[0], total), (both, both), "a")
    assert wrong.verdict is Verdict.FAIL


@pytest.mark.parametrize("number", [2.0, 2, np.float64(2.0), np.float32(2.0), np.array(2.0)])
def test_a_number_can_be_the_parameter(number):
    assert check(lambda x: (x**3, 3 * x**2), number).verdict is Verdict.PASS
    wrong = check(lambda x: (x**3, 2 * x**2), number)
    assert wrong.verdict is Verdict.FAIL


def test_a_python_int_is_converted_with_a_notice_and_a_float_without():
    def loss(m, c):
        return (2 * m + c) ** 2, {"m": 4 * (2 * m + c), "c": 2 * (2 * m + c)}

    assert keys(check(loss, {"m": 1.5, "c": 0})) == ["integer_parameter"]
    assert keys(check(loss, {"m": 1.5, "c": 0.0})) == []


# Trees of parameters


@dataclasses.dataclass
class Layer:
    W: Any
    b: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    W: Any
    inner: dict[str, Any]


Pair = namedtuple("Pair", "W b")

TREES = {
    "dict": (lambda W, b: {"W": W, "b": b}, lambda p: (p["W"], p["b"])),
    "list": (lambda W, b: [W, b], lambda p: (p[0], p[1])),
    "tuple": (lambda W, b: (W, b), lambda p: (p[0], p[1])),
    "named tuple": (Pair, lambda p: (p.W, p.b)),
    "dataclass": (Layer, lambda p: (p.W, p.b)),
    "frozen": (lambda W, b: Frozen(W, {"b": b}), lambda p: (p.W, p.inner["b"])),
    "nested": (lambda W, b: {"l": (W, [{0: b}])}, lambda p: (p["l"][0], p["l"][1][0][0])),
}


@pytest.mark.parametrize(("make", "read"), TREES.values(), ids=TREES)
def test_parameters_and_gradients_may_be_any_tree(make, read):
    def loss(params, X, scale=1.0):
        value, by_w, by_b = loss_of(read(params)[0], X, read(params)[1])
        return value, make(by_w, scale * by_b)

    good = check(loss, {"params": make(W, B), "X": X}, "params")
    assert good.verdict is Verdict.PASS
    bad = check(loss, {"params": make(W, B), "X": X, "scale": 1.01}, "params")
    assert [one.verdict for one in bad.parameter_results] == [Verdict.PASS, Verdict.FAIL]


def test_a_flat_gradient_of_a_tree_is_understood():
    def loss(params, X):
        value, by_w, by_b = loss_of(params["W"], X, params["b"])
        return value, np.concatenate([by_w.ravel(), by_b])

    assert check(loss, ({"W": W, "b": B}, X)).verdict is Verdict.PASS


# Randomness


def dropout(scale, W, draw):
    keep = draw((5, 2)) > 0.5
    h = np.tanh(X @ W) * keep
    return float(np.sum(h)), {"W": scale * X.T @ (keep * (1 - np.tanh(X @ W) ** 2))}


def from_torch(shape):
    import torch

    return torch.rand(shape).numpy()


SOURCES = {
    "numpy": lambda shape: np.random.random(shape),
    "python": lambda shape: np.array([random.random() for _ in range(10)]).reshape(shape),
    "torch": from_torch,
}


@pytest.mark.parametrize("draw", SOURCES.values(), ids=SOURCES)
def test_global_generators_are_seeded_and_put_back(draw):
    np.random.seed(5)
    random.seed(5)
    expected = (np.random.random(), random.random())
    np.random.seed(5)
    random.seed(5)
    good = check(lambda W: dropout(1.0, W, draw), W)
    bad = check(lambda W: dropout(1.01, W, draw), W)
    assert (good.verdict, bad.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert keys(good) == []
    assert (np.random.random(), random.random()) == expected


@pytest.mark.parametrize(
    "make", [np.random.default_rng, np.random.RandomState, random.Random], ids=lambda m: m.__name__
)
def test_a_generator_among_the_inputs_draws_the_same_each_time(make):
    def loss(W, rng):
        factor = 1 + rng.random()
        return factor * np.sum(W**2), {"W": 2 * factor * W}

    generator = make(3)
    state = repr(state_of(generator))
    result = check(loss, {"W": W, "rng": generator})
    assert result.verdict is Verdict.PASS
    assert keys(result) == []
    assert repr(state_of(generator)) == state


def test_a_private_generator_leaves_the_loss_random_and_never_passes_a_wrong_gradient():
    generator = np.random.default_rng(1)

    def loss(W, sign):
        factor = 1 + 1e-4 * generator.normal()
        return factor * np.sum(W**2), {"W": sign * 2 * factor * W}

    good = check(loss, {"W": W, "sign": 1}, "W")
    assert good.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)
    assert "nondeterministic" in keys(good)
    assert check(loss, {"W": W, "sign": -1}, "W").verdict is not Verdict.PASS


def test_a_target_with_its_own_fixed_seed_is_deterministic():
    def loss(W):
        factor = np.random.default_rng(0).random()
        return factor * np.sum(W**2), 2 * factor * W

    result = check(loss, W)
    assert result.verdict is Verdict.PASS
    assert keys(result) == []
