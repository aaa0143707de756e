"""Corners of single rules: options alone and together, ends of ranges.

Derivatives are compared with central differences of the function itself.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import scipy.ndimage
import scipy.signal
import scipy.spatial.distance as distance
import scipy.special
from traced_derivatives import derivative_errors, trapezoid

from gradcheck.tracing import trace

pytest.importorskip("torch")

generator = np.random.default_rng(8)
A = np.array([[0.3, -1.2, 0.7, 2.1], [1.5, 0.4, -0.6, 0.9], [-0.8, 1.1, 0.2, -1.7]])
B = np.array([[1.3, 0.6, -0.9, 0.5], [-0.4, 2.2, 1.6, -1.1], [0.8, -0.3, 1.9, 0.1]])
C = generator.normal(size=(2, 3, 3))
V = np.array([0.7, -1.4, 0.25, 1.8])
SKEW = np.array([[4.0, 0.7, -0.4], [0.1, 5.0, 0.5], [0.6, -0.2, 6.0]])
STACK = C @ C.transpose(0, 2, 1) + 3 * np.eye(3)
MASK = A > 0


def sublists(a: Any, b: Any) -> Any:
    return (
        np.einsum(a, [0, 1], b, [2, 1]),
        np.einsum(a, [0, 1], b, [0, 1], [1]),
        np.einsum(a, [Ellipsis, 1], b, [Ellipsis, 1], b, [0, 1], [Ellipsis]),
    )


def convolved(a: Any, v: Any) -> Any:
    found = []
    for mode in ("full", "same", "valid"):
        for n in (1, 2, 3, 4):
            found += [np.convolve(a[0, :n], v, mode), np.correlate(a[1, :n], v, mode)]
            found += [np.convolve(v, a[0, :n], mode), np.correlate(v, a[1, :n], mode)]
    return found


def triangular(s: Any, v: Any) -> Any:
    return [
        scipy.linalg.solve_triangular(s, b, trans, lower, unit_diagonal=unit)
        for trans in (0, 1, 2, "N", "T", "C")
        for lower in (False, True)
        for unit, b in ((False, v[:3]), (True, np.outer(v[:3], [1.0, 2.0])))
    ]


def in_two_dimensions(a: Any, b: Any) -> Any:
    found = []
    for mode in ("full", "same", "valid"):
        for first, second in ((a, b[:2, :2]), (a[:2, :3], b[:, :4])):
            if mode != "valid" or first.shape > second.shape:
                found += [
                    scipy.signal.convolve2d(first, second, mode),
                    scipy.signal.correlate2d(first, second, mode),
                    scipy.signal.convolve(first, second, mode=mode),
                    scipy.signal.correlate(first, second, mode),
                ]
    return found


FOLLOWED: dict[str, tuple[Any, ...]] = {
    "norms": (
        lambda a: (
            np.linalg.norm(a, axis=(0,)), np.linalg.norm(a, np.inf), np.linalg.norm(a, -np.inf),
            np.linalg.norm(a, 1), np.linalg.norm(a, 2), np.linalg.norm(a, 2, axis=(1, 0)),
            np.linalg.norm(a, 1, 0), np.linalg.norm(a, "nuc"), np.linalg.norm(a, 3, axis=1),
            np.linalg.norm(a[0]), np.linalg.norm(a[0], 1), np.linalg.norm(a, keepdims=True),
            np.linalg.norm(a, 2, keepdims=True), np.linalg.norm(a, 2, 1, True),
        ),
        A,
    ),
    "norms of a stack": (
        lambda c: (
            np.linalg.norm(c, 2, axis=(1, 2)), np.linalg.norm(c, axis=(0, 2)), np.linalg.norm(c),
            np.linalg.norm(c, axis=1), np.linalg.norm(c, 1, (-2, -1), keepdims=True),
            np.linalg.norm(c, -2, axis=(2, 0)),
        ),
        C,
    ),
    "halves of a matrix by either letter": (
        lambda s: [
            part
            for letter in "LlUu"
            for part in (np.linalg.eigvalsh(s, letter), np.linalg.eigh(s, letter)[1][:, 0] ** 2)
        ],
        SKEW,
    ),
    "matrices in a stack": (
        lambda c: (
            np.linalg.eigvalsh(c), np.linalg.cholesky(c), np.linalg.inv(c), np.linalg.det(c),
            np.linalg.slogdet(c)[1], np.linalg.solve(c, c[:, :, :2]), np.linalg.solve(c, c[:1]),
            np.linalg.solve(c[0], c), np.linalg.eigh(c)[1] ** 2, np.linalg.svd(c)[1],
        ),
        STACK,
    ),
    "triangular systems": (triangular, SKEW, V),
    "systems": (
        lambda s, v: (
            scipy.linalg.solve(s, v[:3], transposed=True),
            scipy.linalg.solve(s, v[:3], lower=True, assume_a="sym"),
            scipy.linalg.solve(s, v[:3], assume_a="pos"),
            scipy.linalg.cho_solve(scipy.linalg.cho_factor(s), v[:3]),
            scipy.linalg.cho_solve(scipy.linalg.cho_factor(s, lower=True), np.outer(v[:3], v)),
            scipy.linalg.cholesky(s), scipy.linalg.cholesky(s, lower=True),
            np.linalg.lstsq(s[:, :2], v[:3], rcond=None)[0],
        ),
        SKEW, V,
    ),
    "products of any number of axes": (
        lambda a, c: (
            np.dot(c, a[:, 0]), np.dot(c, a), np.dot(a.T, c), np.dot(a[0], 2.0), np.dot(3.0, a),
            np.dot(a[:, 0], c), np.inner(c, a.T), np.inner(a, 2.0), np.inner(a[0], a[1]),
            np.tensordot(c, a, (2, 0)), np.tensordot(c, c, ([0, 2], [0, 1])), np.tensordot(c, a, 1),
            np.outer(a[0], c[0, 0]), np.trace(c), np.trace(c, 1, 1, 2), np.trace(c, axis1=2),
            np.trace(a, -1),
        ),
        A, C,
    ),
    "sums by lists of axes": (sublists, A, B),
    "convolutions": (convolved, A, V[:3]),
    "convolutions in two dimensions": (in_two_dimensions, A, B),
    "a list as a signal": (
        lambda v: (scipy.signal.convolve([1.0, 2.0], v), scipy.signal.correlate(v, [1.0, 2.0])),
        V,
    ),
    "between points and beyond them": (
        lambda v, a: np.interp(v, [-1.0, 0.5, 1.0, 1.5], a[0]), V, A,
    ),
    "integrals": (
        lambda a, b: (
            trapezoid(a), trapezoid(a, axis=0), trapezoid(a, dx=0.5), trapezoid(a, b),
            trapezoid(a, b, axis=0), trapezoid(a, b[0]), trapezoid(a, b[:, 1], axis=0),
        ),
        A, B,
    ),
    "differences": (
        lambda a: (
            np.diff(a), np.diff(a, 2), np.diff(a, axis=0), np.diff(a, prepend=2.0),
            np.diff(a, axis=0, append=a[:1]), np.diff(a, 1, 0, a[0, 0]),
        ),
        A,
    ),
    "means with weights": (
        lambda a, b: (
            np.average(a, weights=b**2), np.average(a, 1, b[0] ** 2),
            np.average(a, 0, b[:, 0] ** 2),
            np.average(a, axis=1), np.average(a, 1, b**2, keepdims=True), np.average(a),
            np.average(a, 0, b**2, True),
        ),
        A, B,
    ),
    "shares": (
        lambda a: (
            np.median(a), np.median(a, 1), np.percentile(a, 30), np.percentile(a, [10, 80], 0),
            np.quantile(a, 0.4, keepdims=True), np.quantile(a, 0.3, 1, method="lower"),
            np.quantile(a, 0.3, 1, method="higher"), np.ptp(a, 1), np.ptp(a), np.sort(a),
            np.sort(a, 0), np.sort(a, None),
        ),
        A,
    ),
    "running sums and products": (
        lambda a: (np.cumsum(a), np.cumsum(a, 1), np.cumprod(a, 0), np.cumprod(a), a.cumsum(0)), A,
    ),
    "numbers evenly spaced": (
        lambda v: (
            np.linspace(v[0], v[1]), np.linspace(v[0], v[1], 1), np.linspace(v[0], 2.0, 5, False),
            np.linspace(v[:2], v[2:], 3), np.linspace(v, 1.0, 2),
            np.logspace(v[0], v[2]), np.logspace(v[0], v[2], 3, base=2.0),
            np.geomspace(v[0] ** 2, v[3]), np.geomspace(v[0] ** 2, v[3], 4, endpoint=False),
            np.arange(v[0], 5.0), np.arange(v[2] * 10), np.arange(v[0], 5.0, v[3]),
            np.full((2, 3), v[0]), np.full_like(v, v[1]), np.full((2, 4), v),
            np.bincount([0, 2, 2, 1], v), np.bincount([0, 2, 2, 1], v, 6),
        ),
        V,
    ),
    "row by row": (
        lambda a: (
            np.apply_along_axis(np.cumsum, 1, a[:1]), np.apply_along_axis(np.prod, 0, a),
            np.apply_along_axis(lambda x: np.outer(x, x[:2]), 0, a),
            np.apply_along_axis(lambda x, k: x[k:] * 2.0, -2, a, 1),
            np.vectorize(lambda x, y: x * y)(a, a[0]),
            [x * (i + 2 * j) for (i, j), x in np.ndenumerate(a)],
        ),
        A,
    ),
    "elements by place": (
        lambda a: (
            a.item(2), a.item(-1), a.item(1, 2), a.item((2, 0)), a[1, 1:2].item(), a[0].item(3),
            a[:1, :1].item(),
        ),
        A,
    ),
    "axes in another order": (
        lambda a, v: (np.transpose(v, 0), np.transpose(a, (1, 0)), a.transpose(1, 0), a.T), A, V,
    ),
    "orders of memory": (
        lambda a: (
            np.ravel(a, "F"), np.ravel(a, order="F"), a.ravel("F"), np.reshape(a, (2, 6), "F"),
            a.reshape((6, 2), order="F"), a.flatten("F"), np.ravel(a, "C"),
        ),
        A,
    ),
    "joined": (
        lambda a, b: (
            np.concatenate([a, b]), np.concatenate((a, b[:, :1]), 1), np.concatenate([a, b], None),
            np.concatenate([a, np.ones((1, 4))], axis=0), np.stack([a, b], -1), np.stack([a, b]),
        ),
        A, B,
    ),
    "padded": (
        lambda a: (
            np.pad(a, 1), np.pad(a, 1, constant_values=3.0), np.pad(a, ((1, 0), (0, 2)), "edge"),
            np.pad(a, 1, "reflect"), np.pad(a, 2, "wrap"), np.pad(a, 1, mode="symmetric"),
        ),
        A,
    ),
    "distances": (
        lambda a, b: [
            part
            for name in ("euclidean", "sqeuclidean", "cityblock", "chebyshev", "canberra",
                         "braycurtis", "cosine", "correlation", "minkowski")
            for part in (distance.cdist(a, b, name), distance.pdist(a, name))
        ],
        A, B + 0.03,
    ),
    "distances of other powers": (
        lambda a, b: (
            distance.cdist(a, b, "minkowski", p=1.5), distance.pdist(a, "minkowski", p=3),
            distance.cdist(a, b, "minkowski", p=2), distance.squareform(distance.pdist(b)),
            distance.squareform(distance.squareform(distance.pdist(a))), distance.cdist(a, b),
        ),
        A, B,
    ),
    "special functions": (
        lambda v: (
            scipy.special.exprel(v), scipy.special.j0(v), scipy.special.j1(v),
            scipy.special.cosm1(v), scipy.special.cbrt(v), scipy.special.exp10(v),
            scipy.special.huber(0.5, v), scipy.special.radian(v, v * 3, v * 7),
            scipy.special.gamma(v**2), scipy.special.beta(v**2, 1.5),
            scipy.special.betaln(2.0, v**2),
            scipy.special.boxcox(v**2, 1.5), scipy.special.rel_entr(v**2, 0.7),
            scipy.special.kl_div(v**2, v**2 + 1), scipy.special.log_expit(v),
            scipy.special.zeta(2.5, v**2), scipy.special.entr(v**2),
        ),
        V,
    ),
    "sums of exponentials": (
        lambda a, b: (
            scipy.special.logsumexp(a), scipy.special.logsumexp(a, 1), scipy.special.softmax(a),
            scipy.special.logsumexp(a, (0, 1), keepdims=True), scipy.special.softmax(a, 0),
            scipy.special.logsumexp(a, 1, b**2), scipy.special.logsumexp(a, b=b**2, keepdims=True),
            scipy.special.log_softmax(a, 1), scipy.special.log_softmax(a),
        ),
        A, B,
    ),
    "Fourier transforms": (
        lambda c: [
            abs(z)
            for z in (
                np.fft.fft2(c), np.fft.fftn(c), scipy.fft.fftn(c, (2, 4)),
                np.fft.fftn(c, axes=(0, 1)),
                np.fft.rfft2(c), np.fft.fft(c, 5), np.fft.fft(c, axis=0), scipy.fft.rfftn(c, (2,)),
                np.fft.ifft2(c, (4, 2), (0, 1)), np.fft.fft(c, norm="ortho"),
                scipy.fft.fftn(c, axes=1), scipy.fft.rfft(c, 4, 1),
            )
        ],
        C,
    ),
    "filters": (
        lambda a: (
            scipy.signal.lfilter([0.5, 0.2], [1.0, -0.3, 0.1], a),
            scipy.signal.lfilter([0.5, 0.2, 0.4, 0.1, 0.7], [2.0, -0.3], a, 0),
            scipy.fft.dct(a, axis=0), scipy.fft.idct(a), scipy.ndimage.gaussian_filter1d(a, 1.0, 0),
            scipy.signal.detrend(a, axis=0), scipy.ndimage.uniform_filter1d(a, 3),
        ),
        A,
    ),
    "filters by their coefficients": (
        lambda v: scipy.signal.lfilter(v[:2], np.stack([2.0, v[0], v[2]]), A), V,
    ),
    "lists of numbers": (
        lambda v: (
            np.fromiter((x * x for x in v), float), np.fromiter(iter(v), float, 2),
            np.fromiter(v, dtype=float, count=3), math.hypot(*v), math.dist(v[:2], v[2:]),
            math.prod(v), math.prod(v, start=v[0]), math.fsum(v), math.log(v[3], 3.0),
            v[0] * (1.0 + np.fromiter(v, float, 0).size),
        ),
        V,
    ),
    "running sums along the first axis by default": (
        lambda a: (np.logaddexp.accumulate(a), np.add.accumulate(a), np.multiply.accumulate(a)), A,
    ),
    "angles": (lambda v: (np.degrees(v), np.rad2deg(v), np.radians(v), np.deg2rad(v)), V),
    "pairs that are taken apart": (
        lambda a: [
            *(x * y for x, y in a[:, :2]),
            *(x * y + z for (x, y), z in zip(a[:, 1:3], a[:, 0], strict=True)),
        ],
        A,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLLOWED)
def test_derivatives_are_those_of_the_function(name: str) -> None:
    function, *arrays = FOLLOWED[name]
    assert derivative_errors(function, [array.copy() for array in arrays]) < 1e-7


def traced(loss: Any, value: Any = V) -> Any:
    x = np.array(value)
    return trace(lambda x: np.sum(loss(x)), (x,), {}, {"x": x})


@pytest.mark.parametrize("name", ["hstack", "vstack", "dstack", "column_stack", "block", "stack"])
def test_what_joins_arrays_is_one_operation(name: str) -> None:
    found = traced(lambda v: getattr(np, name)([v, v * 2.0]))
    assert [operation.name for operation in found.operations] == ["multiply", name, "sum"]


@pytest.mark.skipif(not hasattr(np, "vecdot"), reason="since NumPy 2")
def test_a_product_of_rows_is_one_operation() -> None:
    def rows(a: Any, b: Any) -> Any:
        return np.vecdot(a, b[0])

    assert derivative_errors(rows, [A.copy(), B.copy()]) < 1e-7
    found = traced(lambda a: rows(a, B), A)
    assert [operation.name for operation in found.operations] == ["vecdot", "sum"]


# kinks and ends


def test_at_a_point_of_an_interpolation_the_slope_is_that_of_the_next_piece() -> None:
    values = [0.0, 1.0, 4.0, 9.0]
    x = np.array([-1.0, 0.0, 1.0, 2.0, 3.0, 5.0])
    found = traced(lambda x: np.interp(x, [0.0, 1.0, 2.0, 3.0], values), x).backward()["x"]
    # beyond the ends it is 0, and at the ends half of each
    assert found.tolist() == [0.0, 0.5, 3.0, 5.0, 2.5, 0.0]


def test_of_rows_with_and_without_equals_half_goes_to_each_equal() -> None:
    x = np.array([[2.0, 2.0, 1.0], [0.0, 5.0, 3.0]])
    found = list(traced(lambda x: np.max(x, axis=1), x).subgradients())
    first, low, high, half = (gradient["x"].tolist() for gradient in found)
    assert first == low == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert high == [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    assert half == [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]


def test_distances_of_a_point_to_itself_have_slope_0() -> None:
    points = np.array([[1.0, 2.0], [1.0, 2.0], [4.0, 6.0]])
    for settings in ({}, {"metric": "minkowski", "p": 3}):
        found = traced(lambda x, s=settings: distance.pdist(x, **s), points).backward()["x"]
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0] + found[1], -found[2])


def test_special_functions_at_0() -> None:
    x = np.zeros(1)
    for function, slope in (
        (scipy.special.exprel, 0.5), (scipy.special.j1, 0.5), (scipy.special.j0, 0.0),
        (lambda x: scipy.special.rel_entr(2.0, 1.0 + x), -2.0),
    ):  # fmt: skip
        assert traced(function, x).backward()["x"].tolist() == [slope]


@pytest.mark.parametrize("part", ["real", "imag"])
def test_parts_of_complex_numbers_cannot_be_written_to(part: str) -> None:
    def loss(v: Any) -> Any:
        half = getattr(v * (1 + 2j), part)
        half[0] = 1.0
        return half

    with pytest.raises(ValueError, match="read-only"):
        traced(loss)


def test_eigenvalues_can_be_written_to() -> None:
    def loss(v: Any) -> Any:
        values = np.linalg.eigvals(np.diag(v))
        values[0] = 5.0
        return values

    assert sorted(traced(loss).backward()["x"].tolist()) == [0.0, 1.0, 1.0, 1.0]
