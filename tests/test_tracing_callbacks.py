"""Functions that a library calls back: what it makes of traced values is no constant."""

from __future__ import annotations

import bisect
import functools
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
from conftest import needs_torch

import gradcheck
from gradcheck.tracing import NotTraceable, trace

V = np.array([0.3, 0.7])


def traced(loss: Any) -> Any:
    v = V.copy()
    return trace(loss, (v,), {}, {"v": v})


class Cubic:
    def __init__(self, value: Any) -> None:
        self.value = value

    def at(self, z: Any) -> Any:
        return z**3 - self.value

    def both(self, z: Any) -> Any:
        return [z**3 - self.value, 0.0]


def shifted(z: Any, value: Any = 1.0) -> Any:
    return z**3 - value


SOLVED = {
    "a root": lambda v: scipy.optimize.brentq(lambda z: z**3 - v[0], 0, 2),
    "a root of a method": lambda v: scipy.optimize.brentq(Cubic(v[0]).at, 0, 2),
    "a root of a partial": lambda v: scipy.optimize.brentq(
        functools.partial(shifted, value=v[0]), 0, 2
    ),
    "a root of several": lambda v: np.sum(scipy.optimize.fsolve(lambda z: z * z - v, [1.0, 1.0])),
    "an integral": lambda v: scipy.integrate.quad(lambda z: z * v[0], 0, 1)[0],
    "values in a list": lambda v: functools.reduce(
        max, scipy.optimize.fsolve(lambda z: [z[0] - v[0], z[1] - 2.0], [1.0, 1.0])
    ),
}


@pytest.mark.parametrize("name", SOLVED)
def test_what_a_solver_makes_of_traced_values_is_lost(name: str) -> None:
    with pytest.raises(NotTraceable, match="its derivative is not known"):
        traced(SOLVED[name])


def test_of_constants_it_is_a_constant() -> None:
    def loss(v: Any) -> Any:
        root = scipy.optimize.brentq(lambda z: z**3 - 8.0, 0, 3)
        area = scipy.integrate.quad(Cubic(1.0).at, 0, 1)[0]
        return np.sum(v) * root * area

    np.testing.assert_allclose(traced(loss).backward()["v"], [2 * -0.75] * 2)


def test_what_is_called_back_for_an_order_or_a_place_changes_no_number() -> None:
    def loss(v: Any) -> Any:
        places = sorted([0, 1], key=lambda k: -v[k])
        at = bisect.bisect([0.1, 0.2, 0.5], v[0], key=lambda one: one * v[1])
        return v[places[0]] * 2.0 + v[1] * at

    assert traced(loss).backward()["v"].tolist() == [0.0, 4.0]


def test_what_comes_back_as_it_was_is_known() -> None:
    held: list[Any] = []

    def loss(v: Any) -> Any:
        class Called:
            def __call__(self) -> Any:
                held.append(v[0] * 3.0)
                return held[-1]

        return next(iter(Called(), None))

    assert traced(loss).backward()["v"].tolist() == [3.0, 0.0]


@needs_torch
def test_a_loss_with_a_solver_inside_is_checked_by_differences() -> None:
    def loss(v: Any) -> Any:
        root = scipy.optimize.brentq(lambda z: z**3 - v[0], 0, 2, xtol=1e-15)
        return root + np.sum(v * v), np.array([root / (3 * v[0]), 0.0]) + 2 * v

    report = gradcheck.check(loss, V.copy())
    assert report.verdict == "pass"
    (notice,) = [one for one in report.warnings if one.key == "not_traceable"]
    assert "brentq" in notice.message


def test_a_function_of_single_numbers_takes_one_array_or_several() -> None:
    one = np.vectorize(lambda x: x * x)
    two = np.vectorize(lambda x, y: x * y)
    assert traced(lambda v: np.sum(one(v))).backward()["v"].tolist() == (2 * V).tolist()
    assert traced(lambda v: np.sum(two(v, [[2.0], [3.0]]))).backward()["v"].tolist() == [5.0, 5.0]
