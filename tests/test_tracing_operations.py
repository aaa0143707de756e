"""Operations that compute: the traced gradient against central differences of the function."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.special as sp
from traced_derivatives import POSITIVE, SQUARE, A, B, V, derivative_errors, trapezoid

EXPRESSIONS = {
    "add": (lambda a, b: a + b + 1 + np.add(a, [1, 2, 3, 4]), A, B),
    "broadcast": (lambda a, v: a * v - v / (3 + a) + np.sin(v)[None], A, V),
    "reflected": (lambda a: 1 - a + 2 / (a + 5) + 2.0**a + (3 - a) ** 2, A),
    "floor": (lambda a: a // 0.73 + a % 0.73 + np.fmod(a, 0.67) + np.floor(a) * a, A),
    "power": (lambda a, b: a**b + np.power(a, 3) + np.float_power(a, 0.5), POSITIVE, B),
    "powers of negatives": (lambda a: a**2 + a**3 + a**0 + np.square(a) + a**-1.0, A),
    "exponentials": (lambda a: np.exp(a) + np.expm1(a) + np.exp2(a) + np.cosh(a) + np.sinh(a), A),
    "logarithms": (lambda a: np.log(a) + np.log2(a) + np.log10(a) + np.log1p(a), POSITIVE),
    "roots": (lambda a: np.sqrt(a) + np.cbrt(a) + np.reciprocal(a) + 1 / a, POSITIVE),
    "trigonometry": (lambda a: np.sin(a) + np.cos(a) * np.tan(a / 3) + np.sinc(a), A),
    "inverse trigonometry": (
        lambda a: (
            np.arcsin(a / 3)
            + np.arccos(a / 4)
            + np.arctan(a)
            + np.arcsinh(a)
            + np.arctanh(a / 3)
            + np.arccosh(a**2 + 1.5)
        ),
        A,
    ),
    "angles": (
        lambda a, b: np.arctan2(a, b) + np.deg2rad(a) + np.degrees(b) + np.hypot(a, b),
        A,
        B,
    ),
    "tanh": (lambda a: np.tanh(a), A),
    "logaddexp": (lambda a, b: np.logaddexp(a, b) + np.logaddexp2(a, b), A, B),
    "extremes of two": (
        lambda a, b: np.maximum(a, b) + 2 * np.minimum(a, b) + np.fmax(a, 0.35) + np.fmin(a, b),
        A,
        B,
    ),
    "absolute": (lambda a: np.abs(a) + abs(a) + np.fabs(a) + np.sign(a) * a + np.copysign(a, 1), A),
    "clip": (
        lambda a: np.clip(a, -0.5, 0.8) + a.clip(0) + np.clip(a, None, 1.0) + a.clip(max=1),
        A,
    ),
    "rounding": (
        lambda a: np.round(a + 0.01, 1) * a + np.rint(a + 0.13) + np.trunc(a) + np.ceil(a) * 2,
        A,
    ),
    "sum": (lambda a: (a.sum(), a.sum(0), np.sum(a, axis=(0, 1), keepdims=True), a.sum(-1)), A),
    "sum where": (lambda a: (np.sum(a, where=a > 0), a.sum(1, initial=2.0), sum(a[0], 3.0)), A),
    "mean": (lambda a: (np.mean(a), a.mean(1, keepdims=True), a.mean((0, 1)), np.mean(a, 0)), A),
    "var": (lambda a: (np.var(a), a.var(0), np.var(a, axis=1, ddof=1), a.std(axis=0, ddof=1)), A),
    "prod": (lambda a: (np.prod(a), a.prod(0), np.prod(a, axis=(0, 1)), math.prod(a[0])), A),
    "max": (lambda a: (a.max(), np.max(a, 0), a.max(axis=(0, 1), keepdims=True), np.amin(a, 1)), A),
    "max with initial": (lambda a: (np.max(a, 1, initial=0.5), a.min(0, initial=-0.7)), A),
    "ptp": (lambda a: (np.ptp(a), np.ptp(a, axis=0)), A),
    "cumulative": (lambda a: (np.cumsum(a), a.cumsum(1), np.cumprod(a, axis=0), np.diff(a)), A),
    "differences": (lambda a: (np.diff(a, 2, axis=1), np.diff(a, axis=0), np.ediff1d(a)), A),
    "gradient": (lambda a: (np.gradient(a[0]), np.gradient(a, axis=0)), A),
    "sort": (lambda a: (np.sort(a), np.sort(a, axis=None), np.sort(a, 0), np.partition(a, 2)), A),
    "median": (lambda a: (np.median(a), np.median(a, axis=0), np.quantile(a, 0.3)), A),
    "percentiles": (lambda a: (np.percentile(a, [20, 70]), np.quantile(a, 0.4, axis=1)), A),
    "nan functions": (
        lambda a: (
            np.nansum(np.where(a > 1, np.nan, a)),
            np.nanmean(np.where(a > 1, np.nan, a), 0),
            np.nanmax(a, 1),
            np.nan_to_num(a),
        ),
        A,
    ),
    "average": (lambda a, v: (np.average(a, axis=1, weights=v + 3), np.average(a)), A, V),
    "trapezoid": (
        lambda a: (trapezoid(a), trapezoid(a, x=[0, 1, 3, 4]), trapezoid(a, axis=0)),
        A,
    ),
    "matmul": (lambda a, b, v: (a @ b.T, a @ v, v @ b.T, v @ v), A, B, V),
    "batched matmul": (lambda a, b: a.reshape(1, 3, 4) @ np.stack([b.T, 2 * b.T]), A, B),
    "dot": (
        lambda a, b, v: (a.dot(b.T), np.dot(a, v), v.dot(v), np.dot(2.0, a), np.inner(a, b)),
        A,
        B,
        V,
    ),
    "dot of a plain array": (lambda v: (B.dot(v), np.dot(B, v), B @ v, v.dot(B.T)), V),
    "outer": (
        lambda v: (np.outer(v, v**2), np.multiply.outer(v, v), np.subtract.outer(v, [1.0, 2])),
        V,
    ),
    "einsum": (
        lambda a, b, v: (
            np.einsum("ij,ij->i", a, b),
            np.einsum("ij,j", a, v),
            np.einsum("ij->ji", a),
            np.einsum("ij,kj->ik", a, b, optimize=True),
            np.einsum(a, [0, 1], v, [1]),
        ),
        A,
        B,
        V,
    ),
    "einsum diagonal": (lambda s: (np.einsum("ii", s), np.einsum("ii->i", s)), SQUARE),
    "tensordot": (lambda a, b: (np.tensordot(a, b, axes=2), np.tensordot(a, b, axes=(1, 1))), A, B),
    "kron cross trace": (
        lambda a, b: (np.kron(a, b[:2, :2]), np.cross(a[:, :3], b[:, :3]), np.trace(a)),
        A,
        B,
    ),
    "convolve": (
        lambda a, v: (
            [np.convolve(a[0], v[:3], m) for m in ("full", "same", "valid")]
            + [np.correlate(v[:2], a[1], m) for m in ("full", "same", "valid")]
        ),
        A,
        V,
    ),
    "interp": (lambda v: np.interp(v, [-1.5, 0.0, 1.0, 2.0], v * 2), V),
    "norms": (
        lambda a, v: (
            np.linalg.norm(a),
            np.linalg.norm(v, 1),
            np.linalg.norm(a, axis=0),
            np.linalg.norm(v, np.inf),
            np.linalg.norm(a, "fro"),
            np.linalg.norm(a, 2),
        ),
        A,
        V,
    ),
    "solve": (
        lambda s, v: (np.linalg.solve(s, v[:3]), np.linalg.inv(s), np.linalg.det(s)),
        SQUARE,
        V,
    ),
    "slogdet": (lambda s: (np.linalg.slogdet(s)[1], np.linalg.slogdet(s).logabsdet), SQUARE),
    "cholesky": (lambda s: (np.linalg.cholesky(s), scipy.linalg.cholesky(s, lower=True)), SQUARE),
    "eigh": (
        lambda s: (np.linalg.eigvalsh(s), np.linalg.eigh(s)[0], np.linalg.eigh(s).eigenvectors),
        SQUARE,
    ),
    "svd qr pinv": (
        lambda a: (
            np.linalg.svd(a, compute_uv=False),
            np.linalg.qr(a.T),
            np.linalg.pinv(a),
            np.linalg.svd(a, full_matrices=False),
        ),
        A,
    ),
    "lstsq": (lambda a, v: np.linalg.lstsq(a.T, v, rcond=None)[0], A, V),
    "matrix power": (
        lambda s: (np.linalg.matrix_power(s, 3), np.linalg.multi_dot([s, s, s])),
        SQUARE,
    ),
    "scipy.linalg": (
        lambda s, v: (
            scipy.linalg.solve(s, v[:3]),
            scipy.linalg.inv(s),
            scipy.linalg.det(s),
            scipy.linalg.solve_triangular(s, v[:3], lower=True),
            scipy.linalg.expm(s / 10),
            scipy.linalg.cho_solve(scipy.linalg.cho_factor(s), v[:3]),
        ),
        SQUARE,
        V,
    ),
    "reductions by ufunc": (
        lambda a: (
            np.add.reduce(a),
            np.multiply.reduce(a, axis=1),
            np.maximum.reduce(a),
            np.minimum.reduce(a, axis=(0, 1)),
            np.logaddexp.reduce(a),
            np.add.accumulate(a, axis=1),
            np.maximum.accumulate(a, axis=1),
            np.add.reduceat(a, [0, 2]),
            np.logaddexp.reduce(a, axis=1),
        ),
        A,
    ),
    "statistics": (
        lambda a, b: (
            np.cov(a),
            np.corrcoef(a[0], b[0]),
            np.vander(a[0], 3),
            np.polyval(a[0], 0.5),
            np.polyval([1.0, 2], b),
        ),
        A,
        B,
    ),
    "math": (
        lambda a: (
            [
                f(a[0, 0])
                for f in (
                    math.exp,
                    math.sin,
                    math.tanh,
                    math.sqrt,
                    math.log,
                    math.erf,
                    math.lgamma,
                    math.atan,
                    math.log1p,
                    math.cosh,
                    float,
                )
            ]
            + [
                math.pow(a[0, 1], 2.5),
                math.atan2(a[0, 0], a[0, 1]),
                math.hypot(a[0, 0], a[0, 1]),
                math.fsum(a[0]),
                math.log(a[0, 2], 3),
                abs(a[1, 1]),
                pow(a[0, 0], 2),
                math.dist(a[0], a[1]),
            ]
        ),
        POSITIVE,
    ),
    "special": (
        lambda a, b: (
            sp.expit(b),
            sp.logit(a / 9),
            sp.erf(b),
            sp.erfc(b),
            sp.gammaln(a),
            sp.digamma(a),
            sp.xlogy(a, a),
            sp.xlog1py(a, a),
            sp.log_expit(b),
            sp.ndtr(b),
            sp.log_ndtr(b),
            sp.entr(a),
            sp.rel_entr(a, a + 1),
            sp.kl_div(a, a * 2),
            sp.huber(0.7, b),
            sp.betaln(a, a + 1),
            sp.beta(a, 2.0),
            sp.gamma(a),
            sp.i0(b),
            sp.exprel(b),
            sp.boxcox(a, 0.3),
            sp.softplus(b) if hasattr(sp, "softplus") else b,
        ),
        POSITIVE,
        B,
    ),
    "log-sum-exp": (
        lambda a, b: (
            sp.logsumexp(a),
            sp.logsumexp(a, axis=1),
            sp.logsumexp(a, axis=0, b=b**2, keepdims=True),
            sp.softmax(a, axis=1),
            sp.log_softmax(a, axis=0),
        ),
        A,
        B,
    ),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_traced_derivatives_are_those_of_the_function(name):
    function, *arrays = EXPRESSIONS[name]
    assert derivative_errors(function, [array.copy() for array in arrays]) < 1e-8
