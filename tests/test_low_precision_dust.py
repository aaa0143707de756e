"""Gradients in single precision of which the rounding of cancelling terms is all there is."""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck

SINGLE = np.float32
SEEDS = range(3)


def normalised(W, b, X, T, offset=0.0, factor=1.0):
    """A dense layer before batch normalisation: its bias has no influence."""
    z = X @ W + b
    scale = 1 / np.sqrt(z.var(0) + SINGLE(1e-5))
    h = (z - z.mean(0)) * scale
    r = np.tanh(h) - T
    dh = 2 * r * (1 - np.tanh(h) ** 2) / SINGLE(r.size)
    dz = scale * (dh - SINGLE(factor) * dh.mean(0) - h * (dh * h).mean(0))
    return (r * r).mean(), {"W": X.T @ dz, "b": dz.sum(0) + SINGLE(offset)}


def softmax(b, y, offset=0.0):
    """Logits of class frequencies."""
    p = np.exp(b - b.max())
    p /= p.sum()
    n = SINGLE(len(y))
    counts = np.bincount(y, minlength=len(b)).astype(SINGLE)
    return -np.log(p)[y].sum() / n, {"b": p - counts / n + SINGLE(offset)}


def ridge(w, X, y, weight=0.1, factor=1.0, offset=0.0):
    r = X @ w - y
    weight = SINGLE(weight)
    gradient = X.T @ r + SINGLE(factor) * weight * w + SINGLE(offset)
    return (r @ r + weight * (w @ w)) / SINGLE(2), {"w": gradient}


def logistic(w, b, X, y, offset=0.0):
    p = 1 / (1 + np.exp(-(X @ w + b)))
    d = (p - y) / SINGLE(len(y))
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    return loss, {"w": X.T @ d, "b": d.sum(keepdims=True) + SINGLE(offset)}


def attention(q, k, bias, v, t, offset=0.0):
    """A bias of all keys moves every row of the scores alike."""
    s = q @ (k + bias).T
    a = np.exp(s - s.max(1, keepdims=True))
    a /= a.sum(1, keepdims=True)
    r = a @ v - t
    da = r @ v.T
    ds = a * (da - (da * a).sum(1, keepdims=True))
    gradient = {"q": ds @ (k + bias), "k": ds.T @ q, "bias": (ds.T @ q).sum(0) + SINGLE(offset)}
    return SINGLE(0.5) * np.sum(r * r), gradient


def linear(w, X, offset=0.0):
    return (X @ w).sum() + SINGLE(1), {"w": X.sum(0) + SINGLE(offset)}


def before_normalisation(draw):
    names = {"W": (6, 4), "b": (4,), "X": (32, 6), "T": (32, 4)}
    return normalised, {name: draw.normal(size=shape) for name, shape in names.items()}, ["W", "b"]


def at_maximum_likelihood(draw):
    n = draw.integers(1, 60, size=5)
    return softmax, {"b": np.log(n / n.sum()), "y": np.repeat(np.arange(5), n)}, ["b"]


def at_the_optimum(draw):
    X, y = draw.normal(size=(40, 5)), draw.normal(size=40)
    w = np.linalg.solve(X.T @ X + 0.1 * np.eye(5), X.T @ y)
    return ridge, {"w": w, "X": X, "y": y}, ["w"]


def of_a_perfect_fit(draw):
    X, w = draw.normal(size=(40, 5)).astype(SINGLE), draw.normal(size=5).astype(SINGLE)
    return ridge, {"w": w, "X": X, "y": X @ w, "weight": 0.0}, ["w"]


def at_a_start_from_zero(draw):
    y = draw.permutation(np.repeat([0.0, 1.0], 15))
    inputs = {"w": np.zeros(4), "b": np.zeros(1), "X": draw.normal(size=(30, 4)), "y": y}
    return logistic, inputs, ["w", "b"]


def of_a_key_bias(draw):
    names = {"q": (6, 4), "k": (7, 4), "bias": (4,), "v": (7, 3), "t": (6, 3)}
    inputs = {name: draw.normal(size=shape) for name, shape in names.items()}
    return attention, inputs, ["q", "k", "bias"]


def of_centred_data(draw):
    X = draw.normal(size=(50, 4))
    return linear, {"w": draw.normal(size=4), "X": X - X.mean(0)}, ["w"]


PLACES = [
    before_normalisation,
    at_maximum_likelihood,
    at_the_optimum,
    of_a_perfect_fit,
    at_a_start_from_zero,
    of_a_key_bias,
    of_centred_data,
]


def single(inputs):
    return {
        name: value.astype(SINGLE)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f"
        else value
        for name, value in inputs.items()
    }


@pytest.mark.parametrize("place", PLACES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_right_gradient_that_is_rounding_passes_and_an_offset_fails(place, seed):
    target, inputs, wrt = place(np.random.default_rng(seed))
    inputs = single(inputs)
    assert gradcheck.check(target, inputs, wrt, autograd=False).verdict == "pass"
    wrong = inputs | {"offset": 1e-3}
    assert gradcheck.check(target, wrong, wrt, autograd=False).verdict == "fail"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_penalty_counted_a_little_too_often_fails_at_the_optimum(seed):
    target, inputs, wrt = at_the_optimum(np.random.default_rng(seed))
    wrong = single(inputs) | {"factor": 1.01}
    assert gradcheck.check(target, wrong, wrt, autograd=False).verdict == "fail"


@pytest.mark.parametrize("offset", [1e-4, 1e-5])
def test_an_offset_a_thousandth_of_the_terms_that_cancel_fails(offset):
    target, inputs, wrt = before_normalisation(np.random.default_rng(0))
    wrong = single(inputs) | {"offset": offset}
    assert gradcheck.check(target, wrong, wrt, autograd=False).verdict == "fail"


def mistaken_in_single(w, X, y):
    """A gradient that is right in double precision alone."""
    loss, gradient = ridge(w, X, y)
    extra = 0.0 if w.dtype == np.float64 else 1e-3
    return loss, {"w": gradient["w"] + SINGLE(extra)}


def test_what_single_precision_computes_wrongly_at_every_point_is_no_rounding():
    _, inputs, wrt = at_the_optimum(np.random.default_rng(0))
    check = gradcheck.check(mistaken_in_single, single(inputs), wrt, autograd=False)
    assert check.verdict == "fail"


def test_the_arrays_of_the_user_stay_what_they_are():
    target, inputs, wrt = at_the_optimum(np.random.default_rng(0))
    inputs = single(inputs)
    before = {name: value.copy() for name, value in inputs.items()}
    gradcheck.check(target, inputs, wrt, autograd=False)
    for name, value in inputs.items():
        np.testing.assert_array_equal(value, before[name])
