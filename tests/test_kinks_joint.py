"""Kinks that several entries share: slopes valid each alone may contradict the loss together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import needs_torch

import gradcheck

BOTH = pytest.mark.parametrize("autograd", [True, False], ids=["traced", "differences"])


def check(target: Any, inputs: dict[str, Any], autograd: bool) -> Any:
    return gradcheck.check(target, inputs, autograd=autograd)


def pooled(share: Any) -> Any:
    """The sum of the largest of each row; ``share`` tells what goes to the equals of a row."""

    def loss_fn(x: Any) -> Any:
        top = x.max(1, keepdims=True)
        return np.sum(np.sin(top)), {"x": np.cos(top) * share(x == top)}

    return loss_fn


def to_each(equal: Any) -> Any:
    return equal.astype(float)


def to_first(equal: Any) -> Any:
    return (equal & (np.cumsum(equal, 1) == 1)).astype(float)


def in_shares(equal: Any) -> Any:
    return equal / equal.sum(1, keepdims=True)


TIED = {
    "two equals": [[1.0, 1.0], [0.3, 0.9]],
    "three equals": [[1.0, 1.0, 1.0, 0.2], [0.3, 0.9, 0.1, -2.0]],
    "equals in every row": [[0.0, 0.0, -1.0]] * 6,
    "zeros": [[0.0] * 4] * 5,
}


@BOTH
@pytest.mark.parametrize("x", TIED.values(), ids=TIED)
def test_a_maximum_that_hands_all_to_each_of_its_equals_is_wrong(x: Any, autograd: bool) -> None:
    result = check(pooled(to_each), {"x": np.array(x)}, autograd)
    assert result.verdict == "fail"
    assert result.diagnoses[0].cause == "kink"
    assert "not of them together" in result.diagnoses[0].message


@BOTH
@pytest.mark.parametrize("share", [to_first, in_shares])
@pytest.mark.parametrize("x", TIED.values(), ids=TIED)
def test_one_of_the_equals_or_shares_are_right(x: Any, share: Any, autograd: bool) -> None:
    assert check(pooled(share), {"x": np.array(x)}, autograd).verdict == "pass"


def test_only_the_entries_of_the_tie_are_wrong() -> None:
    x = np.array([[0.5, 0.2], [1.0, 1.0], [0.3, 0.9]])
    b = np.zeros(4)

    def loss_fn(x: Any, b: Any) -> Any:
        top = x.max(1, keepdims=True)
        gradient = {"x": 1.0 * (x == top), "b": 1.0 * (b > 0)}
        return np.sum(top) + np.sum(np.maximum(b, 0.0)), gradient

    result = gradcheck.check(loss_fn, {"x": x, "b": b})
    assert result.parameters["b"].verdict == "pass"
    comparison = result.parameters["x"].comparisons["analytic~central"]
    assert comparison.failing_entries == 2
    assert {entry.index for entry in comparison.worst[:2]} == {(1, 0), (1, 1)}
    assert (result.diagnoses[0].evidence["claimed"]) == pytest.approx(2.0)
    assert (result.diagnoses[0].evidence["upper"]) == pytest.approx(1.0)


def apart(at_zero: tuple[float, float], weight: float = 1.0) -> Any:
    """The distance of ``weight * u`` from ``v``, with these slopes where they meet."""

    def loss_fn(u: Any, v: Any) -> Any:
        z = weight * u - v
        by_u = np.where(z == 0, at_zero[0], weight * np.sign(z))
        by_v = np.where(z == 0, at_zero[1], -np.sign(z))
        return np.sum(np.abs(z)), {"u": by_u, "v": by_v}

    return loss_fn


@BOTH
@pytest.mark.parametrize(
    ("slopes", "right"),
    [
        ((1.0, 1.0), False),
        ((-1.0, -1.0), False),
        ((1.0, 0.0), False),
        ((0.5, 0.5), False),
        ((0.0, 0.0), True),
        ((1.0, -1.0), True),
        ((-0.3, 0.3), True),
    ],
)
def test_a_distance_has_opposite_slopes_by_its_ends(
    slopes: tuple[float, float], right: bool, autograd: bool
) -> None:
    inputs = {"u": np.array([1.0, 2.0]), "v": np.array([1.0, 2.0])}
    result = check(apart(slopes), inputs, autograd)
    assert result.verdict == ("pass" if right else "fail")


@BOTH
@pytest.mark.parametrize(("slopes", "right"), [((2.0, 1.0), False), ((2.0, -1.0), True)])
def test_entries_that_count_differently_are_moved_by_as_much_less(
    slopes: tuple[float, float], right: bool, autograd: bool
) -> None:
    inputs = {"u": np.array([1.0, 0.7]), "v": np.array([2.0, 0.3])}
    result = check(apart(slopes, weight=2.0), inputs, autograd)
    assert result.verdict == ("pass" if right else "fail")


@BOTH
@pytest.mark.parametrize("size", [2, 3, 10, 100])
@pytest.mark.parametrize(("at_zero", "right"), [(0.0, True), (0.05, True), (1.0, False)])
def test_a_norm_has_no_slope_longer_than_one(
    at_zero: float, right: bool, size: int, autograd: bool
) -> None:
    def norm(x: Any) -> Any:
        length = np.sqrt(np.sum(x * x))
        return length, {"x": x / length if length > 0 else np.full(len(x), at_zero)}

    result = check(norm, {"x": np.zeros(size)}, autograd)
    assert result.verdict == ("pass" if right else "fail")
    if not right and size <= 3:
        assert f"that {size} entries of x share" in result.diagnoses[0].message


@BOTH
@pytest.mark.parametrize("mask", [np.greater, np.greater_equal])
@pytest.mark.parametrize("size", [2, 3, 8, 60])
def test_rectifiers_at_zero_pass_whatever_signs_they_count_with(
    size: int, mask: Any, autograd: bool
) -> None:
    """Along a direction the loss may be smooth, and the claim another: no contradiction."""
    sign = np.where(np.arange(size) % 2 == 0, 1.0, -1.0)

    def loss_fn(x: Any) -> Any:
        return np.sum(sign * np.maximum(x, 0.0)), {"x": sign * mask(x, 0.0)}

    assert check(loss_fn, {"x": np.zeros(size)}, autograd).verdict == "pass"


@BOTH
def test_absolute_values_of_either_sign_may_take_any_slope(autograd: bool) -> None:
    sign, slopes = np.array([1.0, -1.0, 1.0, -1.0]), np.array([1.0, 1.0, -1.0, -1.0])

    def loss_fn(x: Any) -> Any:
        return np.sum(sign * np.abs(x)), {"x": sign * np.where(x == 0, slopes, np.sign(x))}

    assert check(loss_fn, {"x": np.zeros(4)}, autograd).verdict == "pass"


@needs_torch
@pytest.mark.parametrize("slope", [0.0, 0.1, 0.5, 1.0])
def test_what_each_operation_chooses_is_right_together_too(slope: float) -> None:
    def leaky(x: Any) -> Any:
        gradient = np.where(x > 0, 1.0, np.where(x < 0, 0.1, slope))
        return np.sum(np.maximum(x, 0) - 0.1 * np.maximum(-x, 0)), {"x": gradient}

    assert gradcheck.check(leaky, {"x": np.zeros(4)}).verdict == "pass"


@pytest.mark.parametrize("seed", range(4))
def test_a_layer_of_zeros_passes_by_the_choice_of_its_rectifiers(seed: int) -> None:
    generator = np.random.default_rng(seed)
    X, w = generator.normal(size=(6, 3)), generator.normal(size=4)

    def network(W: Any, X: Any, w: Any) -> Any:
        z = X @ W
        return np.sum(np.maximum(z, 0.0) @ w), {"W": X.T @ ((z > 0) * w)}

    assert gradcheck.check(network, {"W": np.zeros((3, 4)), "X": X, "w": w}, "W").verdict == "pass"
    blind = gradcheck.check(network, {"W": np.zeros((3, 4)), "X": X, "w": w}, "W", autograd=False)
    assert blind.verdict != "fail"


@BOTH
def test_a_row_that_is_nearly_tied_has_one_largest(autograd: bool) -> None:
    x = np.array([[1.0, 1.0 - 1e-9], [0.3, 0.9]])
    assert check(pooled(to_each), {"x": x}, autograd).verdict == "pass"
    assert check(pooled(in_shares), {"x": x}, autograd).verdict == "pass"


@BOTH
@pytest.mark.parametrize(("share", "right"), [(to_each, False), (to_first, True)])
@pytest.mark.parametrize("beside", ["steep", "curved", "offset"])
def test_what_stands_beside_a_tie_hides_nothing(
    beside: str, share: Any, right: bool, autograd: bool
) -> None:
    def loss_fn(x: Any) -> Any:
        gradient = share(x == x.max(1, keepdims=True))
        if beside == "steep":
            return np.sum(x.max(1)) + 1e4 * np.sum(x), {"x": gradient + 1e4}
        if beside == "curved":
            return np.sum(x.max(1)) + 1e3 * np.sum(x * x), {"x": gradient + 2e3 * x}
        return np.sum(x.max(1)) + 1e6, {"x": gradient}

    result = check(loss_fn, {"x": np.array([[1.0, 1.0, 0.2]])}, autograd)
    assert result.verdict == ("pass" if right else "fail")


def test_a_tie_in_a_large_parameter_is_found() -> None:
    x = np.random.default_rng(0).normal(size=16500)
    x[16400:16402] = 0.5

    def loss_fn(x: Any, to_second: float) -> Any:
        gradient, pair = x.copy(), x[16400:16402]
        first = pair[0] >= pair[1]
        gradient[16400:16402] += (first, to_second if first and pair[0] == pair[1] else not first)
        return np.max(pair) + 0.5 * x @ x, {"x": gradient}

    wrong = gradcheck.check(loss_fn, {"x": x, "to_second": 1.0}, "x", entries="all")
    assert wrong.verdict == "fail"
    comparison = wrong.parameters["x"].comparisons["analytic~central"]
    assert comparison.failing_entries == 2
    assert {entry.index for entry in comparison.worst[:2]} == {(16400,), (16401,)}
    right = gradcheck.check(loss_fn, {"x": x, "to_second": 0.0}, "x", entries="all")
    assert right.verdict == "pass"
