"""The options of covered functions, and what is chosen where equals tie."""

import math

import numpy as np
import pytest
import scipy.linalg
from traced_derivatives import derivative_errors, trapezoid

from gradcheck.tracing import NotTraceable, trace

A = np.array([[0.3, -1.2, 0.7, 2.1], [1.5, 0.4, -0.6, 0.9], [-0.8, 1.1, 0.2, -1.7]])
B = np.array([[1.3, 0.6, -0.9, 0.5], [-0.4, 2.2, 1.6, -1.1], [0.8, -0.3, 1.9, 0.1]])
C = np.random.default_rng(1).normal(size=(2, 3, 4))
V = np.array([0.7, -1.4, 0.25, 1.8])
SQUARE = A @ A.T + 2 * np.eye(3)
SKEW = SQUARE + np.triu(np.arange(9.0).reshape(3, 3), 1) / 10
MASK = A > 0
FAR_FROM_MULTIPLES = A / np.array(
    [[1.4, -2.6, 0.3, 3.5], [-1.7, 0.6, 4.4, 2.3], [5.6, -3.3, 0.7, 1.5]]
)


def missing(a):
    return np.where(a > 1, np.nan, a)


def permuted_unpivoted(s, v):
    return scipy.linalg.cho_solve(scipy.linalg.cho_factor(s, lower=True), v[:3])


EXPRESSIONS = {
    "sum": (
        lambda a: (
            np.sum(a, axis=1, keepdims=True, where=MASK, initial=0.5),
            a.sum(axis=-1, where=MASK[0]),
            np.sum(a, axis=()),
            np.sum(a, axis=[0, 1][0], keepdims=True),
        ),
        A,
    ),
    "mean": (
        lambda a: (
            np.mean(a, where=MASK),
            np.mean(a, axis=1, where=MASK, keepdims=True),
            np.mean(a, axis=0, where=MASK),
            np.mean(a, axis=()),
        ),
        A,
    ),
    "var": (
        lambda a: (
            np.var(a, axis=0, where=MASK | (B > 0), ddof=1),
            np.var(a, axis=1, where=MASK, keepdims=True),
            np.std(a, keepdims=True),
            np.var(a, where=MASK),
            np.var(a, axis=(0, 1), ddof=2, keepdims=True),
        ),
        A,
    ),
    "prod": (
        lambda a: (
            np.prod(a, axis=1, where=MASK, keepdims=True, initial=3.0),
            a.prod(where=MASK),
            np.prod(a, axis=-2, keepdims=True),
            np.prod(a),
        ),
        A,
    ),
    "max": (
        lambda a: (
            np.max(a, axis=0, where=MASK, initial=-5.0, keepdims=True),
            np.min(a, where=MASK, initial=9.0),
            np.max(a, axis=1, initial=1.0),
            np.min(a, axis=-1, keepdims=True),
        ),
        A,
    ),
    "max over some axes": (
        lambda c: (c.max(axis=1), c.min(axis=(0, 2)), c.max(axis=(2, 0), keepdims=True), c.min(0)),
        C,
    ),
    "max beside infinity": (
        lambda a: np.max(np.where(a > 1, -np.inf, a), axis=1) + np.min(np.where(a < 0, np.inf, a)),
        A,
    ),
    "ptp": (lambda a: (np.ptp(a, axis=1, keepdims=True), np.ptp(a, axis=(0, 1))), A),
    "average": (
        lambda a, v: (
            np.average(a, axis=0, keepdims=True),
            np.average(a, axis=1, weights=v + 3, returned=True),
            np.average(a, returned=True)[0],
            np.average(a, weights=a**2 + 1),
            np.average(a, axis=1, weights=a**2 + 1, keepdims=True),
        ),
        A,
        V,
    ),
    "cumulative": (lambda a: (np.cumsum(a, axis=0), np.cumprod(a), np.cumprod(a, axis=1)), A),
    "diff": (
        lambda a, v: (
            np.diff(a, prepend=0.5, append=v[0]),
            np.diff(a, n=2, axis=0, append=v[None]),
            np.diff(a, axis=0, prepend=v[None] * 2),
        ),
        A,
        V,
    ),
    "quantiles": (
        lambda a: (
            np.quantile(a, [0.2, 0.7], axis=1, keepdims=True),
            *(np.quantile(a, 0.35, 0, method=m) for m in ("lower", "higher", "nearest")),
            np.percentile(a, 35, axis=0, keepdims=True, method="midpoint"),
            np.median(a, axis=1, keepdims=True),
        ),
        A,
    ),
    "trapezoid": (
        lambda a, v: (
            trapezoid(a, dx=0.3),
            trapezoid(a, x=np.cumsum(a**2, axis=0), axis=0),
            trapezoid(a, v, axis=-1),
        ),
        A,
        V,
    ),
    "missing values": (
        lambda a: (
            np.nanprod(missing(a), axis=1),
            np.nanmean(missing(a)),
            np.nanvar(missing(a), axis=1),
            np.nanstd(missing(a), axis=1, ddof=1, keepdims=True),
            np.nanmin(missing(a), axis=0),
            np.nanmax(missing(a)),
            np.nan_to_num(missing(a), nan=2.0),
            np.nan_to_num(np.where(a > 1, np.inf, a), posinf=3.0) * a,
            np.nan_to_num(np.where(a > 1, -np.inf, a), neginf=-3.0) * a,
        ),
        A,
    ),
    "ufunc.reduce": (
        lambda c: (
            np.add.reduce(c, axis=1, keepdims=True),
            np.add.reduce(c),
            np.multiply.reduce(c, axis=None),
            np.minimum.reduce(c, axis=2),
            np.add.accumulate(c),
            np.multiply.accumulate(c, axis=2),
        ),
        C,
    ),
    "products of stacks": (
        lambda c, a, v: (
            np.dot(c, a.T),
            np.dot(c, v),
            np.dot(c, np.stack([a.T, 2 * a.T])),
            np.dot(c[0, 0, 0], c),
            np.inner(c, a),
            np.inner(c, 2.0),
            np.vdot(c[0], a),
        ),
        C,
        A,
        V,
    ),
    "tensordot": (
        lambda c, a: (
            np.tensordot(c, a, axes=([1, 2], [0, 1])),
            np.tensordot(c, c, axes=3),
            np.tensordot(a, a, axes=0),
            np.tensordot(c, a, axes=(2, 1)),
        ),
        C,
        A,
    ),
    "einsum": (
        lambda c, a, v: (
            np.einsum("bij, j", c, v),
            np.einsum("...ij,ij->...", c, a),
            np.einsum(c, [Ellipsis, 0], v, [0], [Ellipsis]),
            np.einsum(a, [1, 0], a, [1, 2], [0, 2]),
        ),
        C,
        A,
        V,
    ),
    "trace": (
        lambda c: (
            np.trace(c, offset=1, axis1=1, axis2=2),
            np.trace(c[0], -1),
            np.trace(c, 0, 2, 1),
        ),
        C,
    ),
    "cross": (
        lambda a, b: (np.cross(a.T, b.T), np.cross(a, b, axis=0), np.cross(a.T, b[:, 0])),
        A,
        B,
    ),
    "convolve": (
        lambda a, v: (
            *(np.convolve(v[:2], a[1], m) for m in ("full", "same", "valid")),
            *(np.correlate(a[1], v[:2], m) for m in ("full", "same", "valid")),
            *(np.correlate(v[:3], a[0], m) for m in ("same", "valid")),
            np.convolve(v, v),
            np.correlate(v, v),
        ),
        A,
        V,
    ),
    "interp": (
        lambda a, v: (
            np.interp(np.sort(a[0]), np.cumsum(v**2), v) + np.interp(0.9, [0.0, 1, 2], v[:3])
        ),
        A,
        V,
    ),
    "norms": (
        lambda a, c: (
            np.linalg.norm(a, axis=1, keepdims=True),
            np.linalg.norm(a, ord=1),
            np.linalg.norm(a, ord=np.inf, axis=0),
            np.linalg.norm(a, ord=3, axis=1),
            np.linalg.norm(a, "nuc"),
            np.linalg.norm(c, axis=(1, 2)),
            np.linalg.norm(c, ord=1, axis=(0, 2), keepdims=True),
            np.linalg.norm(c),
            scipy.linalg.norm(a, axis=0),
            np.linalg.norm(c[:, 0], 2, axis=(0, 1)),
        ),
        A,
        C,
    ),
    "one triangle": (
        lambda s: (
            np.linalg.cholesky(s),
            np.linalg.eigvalsh(s),
            np.linalg.eigvalsh(s, "U"),
            np.linalg.eigh(s, "U")[1],
            scipy.linalg.cholesky(s),
            [part**2 for part in scipy.linalg.eigh(s)],  # of either sign
            scipy.linalg.eigh(s, lower=False, eigvals_only=True),
            scipy.linalg.eigvalsh(s, lower=False),
            scipy.linalg.cho_factor(s)[0],
            scipy.linalg.cho_factor(s, lower=True)[0],
        ),
        SKEW,
    ),
    "stacked systems": (
        lambda s, a: (
            np.linalg.solve(np.stack([s, 2 * s]), a[None, :, :2]),
            np.linalg.solve(s, a),
            np.linalg.inv(np.stack([s, s.T])),
            np.linalg.det(np.stack([s, 2 * s])),
            np.linalg.eigvalsh(np.stack([s, 2 * s])),
            np.linalg.svd(s)[1],
            np.linalg.svd(np.stack([s, 3 * s]), full_matrices=False)[0],
            np.linalg.svd(np.stack([s, 3 * s]))[2],
        ),
        SQUARE,
        A,
    ),
    "scipy.linalg": (
        lambda s, a: (
            scipy.linalg.solve(s, a, assume_a="pos"),
            scipy.linalg.solve(s, a[:, 0], assume_a="sym", lower=True),
            scipy.linalg.solve(s, a[:, 0], transposed=True),
            scipy.linalg.solve_triangular(s, a),
            scipy.linalg.solve_triangular(s, a[:, 1], trans=1),
            scipy.linalg.solve_triangular(s, a, lower=True, trans="T"),
            scipy.linalg.solve_triangular(s / 3, a, lower=True, unit_diagonal=True),
            permuted_unpivoted(s, a[:, 0]),
            scipy.linalg.cho_solve((scipy.linalg.cholesky(s), False), a),
        ),
        SKEW,
        A,
    ),
    "remainders": (lambda a, b: (a % b, np.fmod(a, b), np.remainder(-a, b)), A, FAR_FROM_MULTIPLES),
    "extremes of missing values": (
        lambda a, b: np.nansum(np.fmax(missing(a), b) + np.fmin(b, missing(a)) * a),
        A,
        B,
    ),
    "clip between arrays": (
        lambda a, b: (
            np.clip(a, b - 1.03, b + 1),
            np.clip(a, a_min=-0.5, a_max=None),
            a.clip(min=b),
            np.clip(a, None, b),
            np.clip(2 * a, a_min=b - 0.3, a_max=1.1),
        ),
        A,
        B,
    ),
    "squeezing": (
        lambda c: (
            np.squeeze(c[:, :1], axis=1),
            np.atleast_3d(c[0, 0]),
            np.atleast_2d(c[0, 0], c[0]),
            np.atleast_1d(c[0, 0, 0], c[0]),
            np.transpose(c, (2, 0, 1)),
            c.transpose(2, 0, 1),
            c.swapaxes(0, -1),
            np.moveaxis(c, [0, 1], [-1, 0]),
        ),
        C,
    ),
    "joining": (
        lambda a, c: (
            np.concatenate([a, a**2], axis=None),
            np.concatenate((c, c), 1),
            np.stack([c, c * 2], axis=2),
            np.insert(a, [1, 2], a[0, :2], axis=1),
            np.append(a, a[:1] * 3, axis=0),
            np.compress([True, False, True, True], a, axis=1),
        ),
        A,
        C,
    ),
    "padding": (
        lambda a: (np.pad(a, ((1, 2), (0, 1)), mode="symmetric"), np.pad(a[0], 2, "reflect")),
        A,
    ),
    "ranges": (
        lambda a: (
            np.linspace(a[0, 0], a[0, 3], 1),
            np.linspace(a[0], a[1], 3, endpoint=False),
            np.logspace(a[0, 0], a[1, 1], 3, base=2.0, endpoint=False),
            np.full((2, 4), a[0]),
            np.bincount([0, 2, 2, 1], weights=a[0], minlength=5),
        ),
        A,
    ),
    "nothing at all": (
        lambda a: (np.sum(a[:0]), np.concatenate([a[:0], a]), np.sum(a[:, :0] ** 2, axis=1), a * 2),
        A,
    ),
    "views backwards": (
        lambda a: (a[::-1][1], a[:, ::-1][0, 1:], a[2:0:-1, ::2] * a[:2, 1::2]),
        A,
    ),
    "math": (
        lambda a: (
            *(math.prod([a[0, 0], a[1, 1], 2.0]), math.log(a[0, 2], 3), math.copysign(a[0, 1], 1)),
            *(math.exp2(a[0, 0]), math.fabs(a[0, 1]), math.degrees(a[0, 0]), math.cbrt(a[1, 0])),
            *(round(a[1, 1] + 0.01, 1) * a[1, 1], -a[0, 0], +a[0, 1]),
        ),
        A,
    ),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_options_are_followed(name):
    function, *arrays = EXPRESSIONS[name]
    assert derivative_errors(function, [array.copy() for array in arrays]) < 1e-8


REFUSED = {
    "interp": lambda v: np.interp(v, [0.0, 1, 2], v[:3], left=0.0),
    "cross": lambda v: np.cross(v[:3], v[1:], axisc=0),
    "svd": lambda v: np.linalg.svd(np.outer(v, v[:3]) + np.eye(4, 3))[0],
    "qr": lambda v: np.linalg.qr(np.outer(v, v) + np.eye(4), mode="complete")[1],
    "quantile": lambda v: np.quantile(v, 0.3, method="hazen"),
    "several axes": lambda v: np.median(np.outer(v, v), axis=(0, 1)),
    "pad": lambda v: np.pad(v, 1, mode="linear_ramp"),
    "eigh": lambda v: scipy.linalg.eigh(np.outer(v, v) + np.eye(4), subset_by_index=[0, 1])[0],
    "linspace": lambda v: np.linspace(v[0], v[1], 3, retstep=True)[0],
    "geomspace": lambda v: np.geomspace(v[:2] ** 2, v[2:], 3, axis=1),
    "divmod": lambda v: divmod(v[0], 0.4)[1],
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_option_that_is_not_covered_is_refused_by_name(name):
    v = V.copy()
    with pytest.raises(NotTraceable, match=name):
        trace(lambda v: np.sum(REFUSED[name](v)), (v,), {}, {"v": v})


# Ties


def subgradients(loss, v):
    traced = trace(loss, (v,), {}, {"v": v})
    found = {tuple(np.round(g["v"], 12).tolist()) for g in traced.subgradients()}
    return tuple(traced.backward()["v"].tolist()), found


@pytest.mark.parametrize(
    ("loss", "v", "own", "others"),
    [
        (lambda v: np.sum(np.maximum(v, 0)), [0.0, 2], (0, 1), {(0, 1), (0.5, 1), (1, 1)}),
        (lambda v: np.sum(np.maximum(0, v)), [0.0, 2], (0, 1), {(0, 1), (0.5, 1), (1, 1)}),
        (lambda v: np.sum(np.minimum(v, 0)), [0.0, -2], (0, 1), {(0, 1), (0.5, 1), (1, 1)}),
        (lambda v: np.maximum(v[0], v[1]), [1.0, 1], (0.5, 0.5), {(1, 0), (0, 1), (0.5, 0.5)}),
        (lambda v: np.fmin(v[0], v[1]), [1.0, 1], (0.5, 0.5), {(1, 0), (0, 1), (0.5, 0.5)}),
        (lambda v: np.sum(np.abs(v)), [0.0, -2], (0, -1), {(-1, -1), (0, -1), (1, -1)}),
        (lambda v: np.max(v), [1.0, 1], (1, 0), {(1, 0), (0, 1), (0.5, 0.5)}),
        (
            lambda v: v.min(),
            [2.0, 1, 1, 1],
            (0, 1, 0, 0),
            {(0, 1, 0, 0), (0, 0, 0, 1), (0, 1 / 3, 1 / 3, 1 / 3)},
        ),
    ],
)
def test_of_equals_each_choice_is_offered(loss, v, own, others):
    found = subgradients(loss, np.array(v))
    assert found[0] == pytest.approx(own)
    rounded = {tuple(np.round(np.array(one, float), 12).tolist()) for one in others}
    assert found[1] | {tuple(map(float, own))} == rounded | {tuple(map(float, own))}


@pytest.mark.parametrize("function", [np.maximum, np.minimum, np.fmax, np.fmin])
def test_without_equals_nothing_is_chosen(function):
    v = np.array([0.3, -0.2])
    traced = trace(lambda v: np.sum(function(v, 0)), (v,), {}, {"v": v})
    assert not traced.ties
