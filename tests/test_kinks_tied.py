"""Values that are tied: the derivative may go to any of the equals, and to nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradcheck

BOTH = pytest.mark.parametrize("autograd", [True, False], ids=["traced", "differences"])


def verdict(target: Any, x: Any, autograd: bool) -> str:
    return gradcheck.check(target, {"x": np.array(x)}, autograd=autograd).verdict


def picks(
    value: Callable[[Any], Any], place: Callable[[Any, Any], int], factor: float = 1.0
) -> Any:
    """A loss that is one entry of its argument; the gradient goes to the one at ``place``."""

    def loss_fn(x: Any) -> Any:
        gradient = np.zeros_like(x)
        gradient[place(x, value(x))] = factor
        return value(x), {"x": gradient}

    return loss_fn


def first(x: Any, value: Any) -> int:
    return int(np.argmin(np.abs(x - value)))


def last(x: Any, value: Any) -> int:
    return len(x) - 1 - int(np.argmin(np.abs(x[::-1] - value)))


PICKED = {
    "sort, the largest": (lambda x: np.sort(x)[-1], [1.0, 1.0, 0.3]),
    "sort, the smallest": (lambda x: np.sort(x)[0], [1.0, 1.0, 1.3]),
    "sort, the middle": (lambda x: np.sort(x)[2], [1.0, 1.0, 0.5, 2.0, 3.0]),
    "partition": (lambda x: np.partition(x, 1)[1], [1.0, 1.0, 1.3, 0.2]),
    "median": (lambda x: np.median(x), [1.0, 1.0, 0.5, 2.0, 0.7]),
    "quantile": (lambda x: np.quantile(x, 0.5), [1.0, 1.0, 0.5, 2.0, 0.7]),
    "order": (lambda x: x[np.argsort(x, kind="stable")][-1], [1.0, 1.0, 0.3]),
    "max": (lambda x: x.max(), [1.0, 1.0, 0.3]),
    "min": (lambda x: np.min(x), [1.0, 1.0, 1.3]),
}


@BOTH
@pytest.mark.parametrize("place", [first, last])
@pytest.mark.parametrize("name", PICKED)
def test_the_slope_may_go_to_any_of_the_equals(name: str, place: Any, autograd: bool) -> None:
    value, x = PICKED[name]
    assert verdict(picks(value, place), x, autograd) == "pass"


@BOTH
@pytest.mark.parametrize("name", PICKED)
def test_more_than_the_slope_of_one_is_not_right(name: str, autograd: bool) -> None:
    value, x = PICKED[name]
    assert verdict(picks(value, first, factor=1.5), x, autograd) == "fail"


@BOTH
@pytest.mark.parametrize("name", PICKED)
def test_the_slope_of_another_value_is_wrong(name: str, autograd: bool) -> None:
    value, x = PICKED[name]

    def elsewhere(x: Any, value: Any) -> int:
        return int(np.argmax(np.abs(x - value)))

    assert verdict(picks(value, elsewhere), x, autograd) == "fail"


@BOTH
def test_the_square_of_the_largest_two_of_which_three_are_tied(autograd: bool) -> None:
    def loss_fn(x: Any) -> Any:
        top = np.argsort(-x, kind="stable")[:2]
        gradient = np.zeros_like(x)
        gradient[top] = 2 * x[top]
        return np.sum(np.sort(x)[-2:] ** 2), {"x": gradient}

    assert verdict(loss_fn, [3.0, 1.0, 1.0, 0.5], autograd) == "pass"
    assert verdict(loss_fn, [1.0, 3.0, 1.0, 1.0], autograd) == "pass"


def test_a_target_that_raises_beside_the_point_is_judged_all_the_same() -> None:
    def largest(x: Any) -> Any:
        gradient = np.zeros_like(x)
        gradient[np.flatnonzero(x == 1.0)[-1]] = 1.0  # nowhere, where neither is 1
        return np.sort(x)[-1], {"x": gradient}

    assert verdict(largest, [1.0, 1.0, 0.3], autograd=True) == "pass"


@BOTH
def test_where_a_norm_has_no_derivative_zero_is_right(autograd: bool) -> None:
    """Autograd of it is not a number there, which says nothing against the claim."""

    def norm(x: Any) -> Any:
        length = np.sqrt(np.sum(x * x))
        return length, {"x": x / length if length > 0 else np.zeros_like(x)}

    assert verdict(norm, [0.0, 0.0, 0.0], autograd) == "pass"
