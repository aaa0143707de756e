"""Where a guess of the gradient's rounding would hide much of it, the rounding is measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

import gradcheck

pytest.importorskip("torch")

X = np.random.default_rng(3).standard_normal((9, 4))
Y = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0])


def logistic(factor: float) -> Any:
    def loss_fn(w: Any, X: Any, Y: Any) -> Any:
        score = X @ w
        d = 1 / (1 + np.exp(-score)) - Y
        return np.mean(np.logaddexp(0, score) - Y * score), factor * (X.T @ d) / len(X)

    return loss_fn


TINY = {"w": np.full(4, 1e-12), "X": X, "Y": Y}


def test_weights_near_zero_hide_no_error_of_a_ten_thousandth() -> None:
    # Noise of the loss over the size of these weights is a thousandth of their gradient.
    report = gradcheck.check(logistic(1.0001), inputs=TINY, wrt="w")
    assert report.verdict == "fail"


def test_the_right_gradient_of_such_weights_passes_at_a_fine_resolution() -> None:
    report = gradcheck.check(logistic(1.0), inputs=TINY, wrt="w")
    assert report.verdict == "pass"
    assert report.parameters["w"].resolution < 1e-6


def test_a_gradient_that_really_is_rounded_so_coarsely_is_no_false_alarm() -> None:
    # Of 1 / (2 w) and 1 / w little is left but their rounding.
    def loss_fn(w: Any, X: Any, Y: Any) -> Any:
        score = X @ w
        d = 1 / (1 + np.exp(-score)) - Y
        terms = np.log(w * w * 3.0) - np.log(w * w * 7.0)
        rest = 2 * w * 3.0 / (w * w * 3.0) - 2 * w * 7.0 / (w * w * 7.0)
        return np.mean(np.logaddexp(0, score) - Y * score) + terms.sum(), X.T @ d / len(X) + rest

    for seed in range(8):
        w = 1e-12 * np.random.default_rng(seed).uniform(0.5, 2.0, 4)
        report = gradcheck.check(loss_fn, inputs={"w": w, "X": X, "Y": Y}, wrt="w")
        assert report.verdict != "fail"


def test_the_parameters_are_put_back_and_every_gradient_counts() -> None:
    w = np.full(4, 1e-12)
    calls = 0
    plain = logistic(1.0)

    def loss_fn(w: Any, X: Any, Y: Any) -> Any:
        nonlocal calls
        calls += 1
        return plain(w, X, Y)

    report = gradcheck.check(loss_fn, inputs=TINY | {"w": w}, wrt="w", autograd=False)
    assert (w == 1e-12).all()
    assert calls <= report.evaluations + 6  # the first calls tell what kind of target it is


def test_a_zero_gradient_fails_where_autograd_clearly_sees_one() -> None:
    def loss_fn(strong: Any, feeble: Any) -> Any:
        loss = np.sum(np.cosh(strong)) + 1e-13 * np.sum(np.sin(feeble) ** 2)
        return loss, {"strong": np.sinh(strong), "feeble": np.zeros_like(feeble)}

    inputs = {"strong": np.array([0.5, -1.2, 2.0]), "feeble": np.array([0.4, 1.9, -0.3])}
    assert gradcheck.check(loss_fn, inputs=inputs).verdict == "fail"


def test_a_gradient_of_which_rounding_leaves_little_is_not_called_wrong() -> None:
    # The loss computes 1 - 1: autograd of it gives 0 for the second entry, and 3e-17 is right.
    def loss_fn(s: Any) -> Any:
        p = special.expit(s)
        return 0.5 * np.sum(p**2), p * p * special.expit(-s)

    report = gradcheck.check(loss_fn, inputs={"s": np.array([36.0, 38.0])})
    assert report.verdict == "pass"


@pytest.mark.parametrize("zeroed", [("b",), ("W",), ("W", "b")])
def test_a_cache_that_hides_the_loss_from_autograd_hides_no_wrong_zero(zeroed: Any) -> None:
    # What is found by the parameters' bytes has no derivative: autograd of that is zero, too.
    known: dict[bytes, Any] = {}

    def loss_fn(W: Any, b: Any, X: Any) -> Any:
        key = W.tobytes() + b.tobytes()
        if key not in known:
            r = np.tanh(X @ W + b)
            d = 2 * r * (1 - r**2)
            gradient = {"W": X.T @ d, "b": d.sum(axis=0)}
            gradient |= {name: np.zeros_like(gradient[name]) for name in zeroed}
            known[key] = np.sum(r**2), gradient
        return known[key]

    draw = np.random.default_rng(0).normal
    inputs = {"W": draw(size=(4, 3)), "b": draw(size=3), "X": draw(size=(6, 4))}
    report = gradcheck.check(loss_fn, inputs=inputs)
    assert report.verdict == "fail"
    assert "trace_discarded" in {one.key for one in report.warnings}


def test_a_zero_gradient_of_a_loss_that_ignores_its_parameter_still_passes() -> None:
    def loss_fn(w: Any, unused: Any) -> Any:
        return np.sum(w**2), {"w": 2 * w, "unused": np.zeros_like(unused)}

    report = gradcheck.check(loss_fn, inputs={"w": np.arange(1.0, 4.0), "unused": np.ones(2)})
    assert report.verdict == "pass"


def test_a_solver_that_starts_where_it_last_ended_is_not_taken_for_a_constant() -> None:
    # Traced after its first call it converges at once, and no path leads to its parameter.
    state = {"x": np.zeros(3)}

    def loss_fn(b: Any, A: Any) -> Any:
        x = state["x"]
        for _ in range(500):
            r = b - A @ x
            if np.abs(r).max() < 1e-12:
                break
            x = x + 0.3 * r
        state["x"] = x
        return np.sum(x**2), {"b": 2 * np.linalg.solve(A.T, np.linalg.solve(A, b))}

    A = np.array([[2, 0.3, 0.1], [0.2, 1.5, 0.4], [0, 0.3, 1.8]])
    report = gradcheck.check(loss_fn, inputs={"b": np.array([1.0, -2.0, 0.5]), "A": A}, wrt="b")
    assert report.verdict == "pass"
    assert "trace_discarded" in {one.key for one in report.warnings}


def saturated(margin: float, spoil: float) -> Any:
    """Logistic regression on data far on the right side, whose p - 1 keeps few digits."""
    draw = np.random.default_rng(1)
    w = draw.normal(size=3)
    w /= np.linalg.norm(w)
    data = draw.normal(size=(30, 3))
    data += np.outer(margin + draw.uniform(0, 1, 30) - data @ w, w)

    def loss(w: Any, X: Any) -> Any:
        score = X @ w
        return np.mean(np.log1p(np.exp(-score))), X.T @ (
            (1 + spoil) * (1 / (1 + np.exp(-score)) - 1)
        ) / len(X)

    return gradcheck.check(loss, {"w": w, "X": data}, "w").verdict


@pytest.mark.parametrize("margin", [20, 23, 26])
def test_the_rounding_of_numbers_near_one_is_seen_in_what_they_leave(margin: float) -> None:
    # right to 5e-6: a rounding of the parameters changes no bit of 1 - p
    assert saturated(margin, 0.0) == "pass"
    assert saturated(margin, 2e-4) == "fail"


def test_jumps_of_a_gradient_are_no_rounding() -> None:
    def hinge(factor: float) -> Any:
        def loss(w: Any, X: Any) -> Any:
            active = X @ w < 1
            return np.sum(np.where(active, 1 - X @ w, 0.0)), -factor * X[active].sum(axis=0)

        return gradcheck.check(loss, {"w": np.ones(4), "X": data}, "w").verdict

    data = np.random.default_rng(0).normal(size=(40, 4))
    assert hinge(1.0) == "pass"
    assert hinge(1.0002) == "fail"


def test_the_rounding_of_one_entry_is_not_that_of_another() -> None:
    sizes = 10.0 ** np.arange(-9.0, 10.0, 3.0)

    def loss(w: Any) -> Any:
        return np.sum(0.5 * (w / sizes) ** 2), w / sizes**2

    found = gradcheck.check(loss, 0.7 * sizes, autograd=False)
    assert found.verdict == "pass"
    assert found.parameters["w"].resolution < 1e-6
