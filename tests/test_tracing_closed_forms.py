"""Derivatives at points where a rule changes branch, held against their closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.special as sp
from scipy.spatial import distance
from traced_derivatives import trapezoid

from gradcheck.tracing import NotTraceable, trace

EULER = 0.5772156649015329


def slopes(function: Any, x: Any) -> Any:
    """The derivative of the sum of a function's results by each entry of an array."""
    x = np.array(x, dtype=float)
    return trace(lambda x: np.sum(function(x)), (x,), {}, {"x": x}).backward()["x"]


SPECIAL = {
    "j0 at 0 and 1": (sp.j0, [0.0, 1.0], [0.0, -sp.j1(1.0)]),
    "j1 at 0 and 1": (sp.j1, [0.0, 1.0, 2.0], [0.5, sp.j0(1) - sp.j1(1), sp.j0(2) - sp.j1(2) / 2]),
    "exprel near 0": (sp.exprel, [0.0, 0.9e-6, -0.9e-6, 1e-2], [0.5, 0.5, 0.5, 0.50335]),
    "exprel at 1": (sp.exprel, [1.0], [1.0]),
    "huber by r": (lambda r: sp.huber(1.0, r), [0.5, -0.5, 2.0, -3.0], [0.5, -0.5, 1.0, -1.0]),
    "huber by delta": (lambda d: sp.huber(d, 3.0), [1.0, 2.5, 4.0], [2.0, 0.5, 0.0]),
    "relative entropy by x": (lambda x: sp.rel_entr(x, 2.0), [1.0, 4.0], [1 - math.log(2), 1.7]),
    "relative entropy by y": (lambda y: sp.rel_entr(np.array([0, 3.0]), y), [2.0, 2.0], [0, -1.5]),
    "divergence by y": (lambda y: sp.kl_div(np.array([0.0, 3.0]), y), [2.0, 2.0], [1.0, -0.5]),
    "divergence by x": (lambda x: sp.kl_div(x, 2.0), [1.0], [-math.log(2)]),
    "entropy": (sp.entr, [1.0, math.e], [-1.0, -2.0]),
    "gamma": (sp.gamma, [1.0, 2.0], [-EULER, 1.0 - EULER]),
    "beta": (lambda a: sp.beta(a, 1.0), [1.0, 2.0], [-1.0, -0.25]),
    "log beta": (lambda b: sp.betaln(1.0, b), [1.0, 2.0], [-1.0, -0.5]),
    "cosine less 1": (sp.cosm1, [0.0, math.pi / 2], [0.0, -1.0]),
    "Box and Cox by x": (lambda x: sp.boxcox(x, 3.0), [1.0, 2.0], [1.0, 4.0]),
    "Box and Cox by exponent": (lambda p: sp.boxcox(math.e, p), [1.0], [math.e - (math.e - 1)]),
    "cube root": (sp.cbrt, [8.0, -1.0], [1 / 12, 1 / 3]),
    "power of ten": (sp.exp10, [0.0, 1.0], [math.log(10), 10 * math.log(10)]),
    "degrees": (lambda d: sp.radian(d, 0.0, 0.0), [1.0], [math.pi / 180]),
    "minutes": (lambda m: sp.radian(0.0, m, 0.0), [1.0], [math.pi / 180 / 60]),
    "seconds": (lambda s: sp.radian(0.0, 0.0, s), [1.0], [math.pi / 180 / 3600]),
    "log of expit": (sp.log_expit, [0.0, 800.0, -800.0], [0.5, 0.0, 1.0]),
    "Hurwitz zeta": (lambda q: sp.zeta(2.0, q), [1.0], [-2 * sp.zeta(3.0)]),
    "incomplete gamma": (lambda x: sp.gammainc(1.0, x), [0.5], [math.exp(-0.5)]),
    "its complement": (lambda x: sp.gammaincc(1.0, x), [0.5], [-math.exp(-0.5)]),
    "log-sum-exp with factors": (
        lambda x: sp.logsumexp(x, b=np.array([1.0, 3.0])), [0.0, 0.0], [0.25, 0.75],
    ),
    "log-softmax": (lambda x: sp.log_softmax(x)[0] * 4.0, [1.0, 1.0], [2.0, -2.0]),
    "softmax": (lambda x: sp.softmax(x)[0] * 4.0, [1.0, 1.0], [1.0, -1.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", SPECIAL)
def test_special_functions(name: str) -> None:
    function, at, expected = SPECIAL[name]
    if name == "relative entropy by x":
        expected = [math.log(x / 2) + 1 for x in at]
    np.testing.assert_allclose(slopes(function, at), expected, rtol=1e-4, atol=1e-9)


ROWS = np.array([[1.0, 2.0], [3.0, 5.0]])
ARRAYS = {
    "standard deviation of equals": (lambda a: np.std(a, axis=0), [[1.0, 2.0], [1.0, 3.0]],
                                     [[0.0, -0.5], [0.0, 0.5]]),
    "2-norm of nothing": (np.linalg.norm, [0.0, 0.0], [0.0, 0.0]),
    "inner products of stacks": (
        lambda a: np.inner(np.array([1.0, 10.0]), a) * np.arange(1.0, 7.0).reshape(2, 3),
        np.ones((2, 3, 2)),
        np.multiply.outer(np.arange(1.0, 7.0).reshape(2, 3), [1.0, 10.0]),
    ),
    "dot products of stacks": (
        lambda a: np.dot(np.array([1.0, 10.0]), a) * np.arange(1.0, 7.0).reshape(2, 3),
        np.ones((2, 2, 3)),
        np.arange(1.0, 7.0).reshape(2, 1, 3) * np.array([[1.0], [10.0]]),
    ),
    "joined rows": (
        lambda a: np.concatenate((a, 2 * a[:1])) * np.arange(6.0).reshape(3, 2),
        ROWS, [[8.0, 11.0], [2.0, 3.0]],
    ),
    "stacked rows": (lambda a: np.stack((a, a[::-1])) * np.arange(8.0).reshape(2, 2, 2),
                     ROWS, [[6.0, 8.0], [6.0, 8.0]]),
    "sums between": (
        lambda a: np.add.reduceat(a, [0, 2, 1]) * [1.0, 10.0, 100.0],
        [1.0, 2.0, 3.0, 4.0], [1.0, 101.0, 110.0, 100.0],
    ),
    "sums between of one": (
        lambda a: np.add.reduceat(a, [2, 0, 0]) * [1.0, 10.0, 100.0],
        [1.0, 2.0, 3.0], [110.0, 100.0, 101.0],
    ),
    "trapezoids": (trapezoid, [1.0, 2.0, 3.0], [0.5, 1.0, 0.5]),
    "a weighted mean": (lambda a: np.average(a, weights=[1.0, 3.0]), [5.0, 7.0], [0.25, 0.75]),
    "by its weights": (lambda w: np.average(np.array([5.0, 7.0]), weights=w), [1.0, 3.0],
                       [(5 - 6.5) / 4, (7 - 6.5) / 4]),
}  # fmt: skip


@pytest.mark.parametrize("name", ARRAYS)
def test_functions_of_arrays(name: str) -> None:
    function, at, expected = ARRAYS[name]
    np.testing.assert_allclose(slopes(function, at), expected, rtol=1e-9, atol=1e-12)


# Distances


POINTS = [[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]]
"""Two of them in one place."""

FROM_ORIGIN = {
    "euclidean": ([0.6, 0.8], {}),
    "sqeuclidean": ([6.0, 8.0], {}),
    "cityblock": ([1.0, 1.0], {}),
    "chebyshev": ([0.0, 1.0], {}),
    "minkowski": ([0.6, 0.8], {"p": 2}),
}


@pytest.mark.parametrize("metric", FROM_ORIGIN)
def test_a_point_that_meets_another_hands_nothing_on(metric: str) -> None:
    expected, settings = FROM_ORIGIN[metric]
    found = slopes(lambda a: distance.pdist(a, metric, **settings), POINTS)
    np.testing.assert_allclose(found, np.array([np.multiply(-2, expected), expected, expected]))


def test_minkowski_of_another_power() -> None:
    at = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]])
    size = (3.0**3 + 4.0**3) ** (1 / 3)
    found = slopes(lambda a: distance.pdist(a, "minkowski", p=3), at)
    each = np.array([9.0, 16.0]) / size**2
    np.testing.assert_allclose(found, [2 * each, -each, -each])
    for p in (1, 0.5):
        with pytest.raises(NotTraceable, match="p= of 1 or less"):
            slopes(lambda a, p=p: distance.pdist(a, "minkowski", p=p), at)


def test_other_distances() -> None:
    at = np.array([[1.0, 2.0], [2.0, -1.0]])
    canberra = slopes(lambda a: distance.pdist(a, "canberra"), at)
    np.testing.assert_allclose(canberra[0], [-(1 + 2 + 2 - 1) / 9, 0.0], atol=1e-15)
    curtis = slopes(lambda a: distance.pdist(a, "braycurtis"), at)
    # (1 + 3) / (3 + 1)
    np.testing.assert_allclose(curtis[0], [-1 / 4 - 4 / 16, 1 / 4 - 4 / 16])
    cosine = slopes(lambda a: distance.pdist(a, "cosine"), at)
    np.testing.assert_allclose(cosine[0], [-2 / 5, 1 / 5], atol=1e-15)
    with pytest.raises(NotTraceable, match="metric='jaccard'"):
        slopes(lambda a: distance.pdist(a, "jaccard"), at)


def test_distances_as_a_square() -> None:
    weights = np.arange(9.0).reshape(3, 3)
    found = slopes(lambda d: distance.squareform(d) * weights, [1.0, 2.0, 3.0])
    assert found.tolist() == [1 + 3, 2 + 6, 5 + 7]
    square = weights + weights.T - 2 * np.diag(np.diag(weights))
    found = slopes(lambda s: distance.squareform(s, checks=False) * [1.0, 10.0, 100.0], square)
    assert found.tolist() == [[0, 1, 10], [0, 0, 100], [0, 0, 0]]


def test_what_was_overwritten_with_constants_needs_no_derivative() -> None:
    def written(w: Any) -> Any:
        y = w * 1.0
        y[:] = 2.0
        return sp.zeta(y) * w

    np.testing.assert_allclose(slopes(written, [1.0, 5.0]), [math.pi**2 / 6] * 2)
    with pytest.raises(NotTraceable, match="by the first argument"):
        slopes(sp.zeta, [2.0, 3.0])


def test_code_that_is_not_followed_has_its_full_name() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(NotTraceable) as caught:
        slopes(lambda v: generator.normal(v), [1.0, 2.0])
    assert caught.value.operation.endswith("Generator.normal")  # NumPy 1 leaves its module out
