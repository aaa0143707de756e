"""Each covered operation: the traced gradient against central differences of the plain function."""

import math
import operator
from functools import reduce

import numpy as np
import pytest
import scipy.linalg
import scipy.special as sp

from gradcheck.tracing import trace

A = np.array([[0.3, -1.2, 0.7, 2.1], [1.5, 0.4, -0.6, 0.9], [-0.8, 1.1, 0.2, -1.7]])
B = np.array([[1.3, 0.6, -0.9, 0.5], [-0.4, 2.2, 1.6, -1.1], [0.8, -0.3, 1.9, 0.1]])
POSITIVE = np.abs(A) + 0.5
V = np.array([0.7, -1.4, 0.25, 1.8])
SQUARE = A @ A.T + 2 * np.eye(3)
WEIGHTS = np.random.default_rng(5).normal(size=1000)
# of NumPy 2, and of NumPy 1
trapezoid = getattr(np, "trapezoid", None) or getattr(np, "trapz")  # noqa: B009


def weighted(result):
    """One number from any result, by fixed weights."""
    if isinstance(result, list | tuple):
        total = 0.0
        for k, part in enumerate(result):
            total = total + (k + 1) * weighted(part)
        return total
    flat = np.ravel(result)
    return np.sum(flat * WEIGHTS[: flat.size])


def derivative_errors(function, arrays, step=1e-3):
    """Return the differences between traced and numeric derivative along each entry."""
    plain = float(weighted(function(*arrays)))
    found = trace(function, arrays, {}, {str(i): a for i, a in enumerate(arrays)}, loss_of=weighted)
    assert found.loss == plain
    gradient = found.backward()
    errors = []
    for number, array in enumerate(arrays):
        for index in np.ndindex(array.shape):
            values = {}
            old = array[index]
            for k in (-2, -1, 1, 2):
                array[index] = old + k * step
                values[k] = float(weighted(function(*arrays)))
            array[index] = old
            numeric = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * step)
            scale = max(1.0, abs(numeric))
            errors.append(abs(gradient[str(number)][index] - numeric) / scale)
    return max(errors)


def in_place(function):
    """Make an expression of a function that writes into (a copy of) its argument."""

    def run(a, *others):
        copy = a.copy()
        result = function(copy, *others)
        return copy if result is None else (copy, result)

    return run


def scattered(a, b):
    a[[0, 2], [1, 3]] = b[:2, 0]
    a[a > 1.2] *= 3
    a[1:, ::2] -= b[:2, :2]
    a[..., -1] = 2.0
    a[0] += a[1]
    a[:, 1], a[:, 2] = a[:, 2] * 2, a[:, 1].copy()


def one_by_one(a, b):
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            a[i, j] = a[i, j] * b[i, j] + (a[i, j - 1] if j else 0.0)


def overlapping(a):
    a[1:] = a[:-1]
    a[:, 1:] += a[:, :-1]


def added_at(a, v):
    np.add.at(a, (np.array([0, 0, 2]), np.array([1, 1, 3])), v[:3])
    np.subtract.at(a, 1, v)
    np.multiply.at(a, ([1, 2], [0, 0]), v[:2])


def written(a, b):
    np.copyto(a, b, where=b > 0.55)
    np.put(a, [0, 5], b[0, :2])
    np.putmask(a, b < -0.5, 3.3 * a)
    np.fill_diagonal(a[:, :3], b[0, 0])
    np.put_along_axis(a, np.array([[0], [1], [2]]), b[:, :1], axis=1)
    a.flat[7] = b[1, 1] * 2
    a[2].fill(b[2, 2])
    a[0].sort()


def sorted_in_place(a):
    a.sort(axis=0)
    a.T.sort()


def swapped_views(a):
    b = a[::-1]
    c = a.T
    b[0, 0] = 5 * c[1, 1]
    c[2] *= b[1, 0]
    return c @ b


def fortran(a):
    f = np.asfortranarray(a * 2)
    f[1] = f[0] * f[2]
    g = f.reshape(-1, order="F")
    return g[::2] * 3, f.ravel("F"), np.zeros_like(f) + f.T.copy(order="F").T


def with_out(a, b):
    out = np.zeros((3, 4))
    np.sum(a * b, axis=0, out=out[0])
    np.dot(a, b.T @ a, out=out[1:2] if False else None)
    np.maximum(a, b, out=out[:], where=b > 0)
    np.multiply(out, a, out)
    a.mean(axis=1, out=out[:, 0])
    np.clip(out, -0.4, 0.9, out=out)
    np.cumsum(a, axis=1, out=out[:, :])
    return out * b


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
    "reshape": (
        lambda a: (
            a.reshape(4, 3),
            np.reshape(a, (2, -1)),
            a.ravel(),
            a.flatten(),
            a.reshape(-1, order="F"),
            a.T.reshape(6, 2),
            np.ravel(a.T),
        ),
        A,
    ),
    "transpose": (
        lambda a: (
            a.T,
            a.transpose(1, 0),
            np.transpose(a),
            np.swapaxes(a, 0, 1),
            np.moveaxis(a, 0, 1),
            np.rollaxis(a, 1),
        ),
        A,
    ),
    "axes": (
        lambda a: (
            a[None],
            np.expand_dims(a, 1),
            np.squeeze(a[:1]),
            np.atleast_2d(a[0]),
            a[:, np.newaxis, :],
            np.atleast_1d(a[0, 0]),
        ),
        A,
    ),
    "joining": (
        lambda a, b: (
            np.concatenate([a, b], axis=1),
            np.vstack([a, b]),
            np.hstack((a, b)),
            np.stack([a, b], -1),
            np.dstack([a, b]),
            np.column_stack([a[0], b[0]]),
            np.append(a, b),
            np.block([[a, b], [b, a]]),
            np.r_[a, b],
            np.c_[a, b],
        ),
        A,
        B,
    ),
    "splitting": (lambda a: (np.split(a, 2, axis=1), np.array_split(a, 2), np.hsplit(a, 2)), A),
    "repeating": (
        lambda a: (
            np.repeat(a, 2, axis=0),
            a.repeat(2),
            np.tile(a, (2, 1)),
            np.broadcast_to(a, (2, 3, 4)),
            np.resize(a, (2, 3)),
        ),
        A,
    ),
    "turning": (
        lambda a: (
            np.flip(a),
            np.fliplr(a),
            np.flipud(a),
            np.roll(a, 1),
            np.roll(a, 1, 0),
            np.rot90(a),
            a[::-1, ::-2],
        ),
        A,
    ),
    "triangles": (
        lambda a: (
            np.tril(a),
            np.triu(a, 1),
            np.diag(a),
            np.diagonal(a, 1),
            a.diagonal(),
            np.diag(a[0]),
            np.diagflat(a[0], 1),
            a[np.triu_indices(3)],
        ),
        A,
    ),
    "padding": (
        lambda a: (
            np.pad(a, 1),
            np.pad(a, ((1, 0), (2, 1)), constant_values=3.0),
            np.pad(a, 1, mode="edge"),
            np.pad(a, 1, "reflect"),
            np.pad(a, 1, "wrap"),
        ),
        A,
    ),
    "indexing": (
        lambda a: (
            a[0],
            a[0, 1],
            a[1:, ::2],
            a[[0, 2]],
            a[:, [1, 1, 0]],
            a[a > 0],
            a[np.arange(3), [0, 1, 2]],
            a[..., 0],
            a[-1][-1],
            a[[0, 1]][:, 1:],
            a[np.ix_([0, 1], [2, 3])],
            a[0][None, ::-1],
        ),
        A,
    ),
    "mixed indexing": (
        lambda a: (
            a.reshape(3, 2, 2)[0, :, [0, 1]],
            a.reshape(3, 2, 2)[:, [0, 1], [1, 0]],
            a[np.array([True, False, True])],
            a[np.array(1)],
        ),
        A,
    ),
    "taking": (
        lambda a: (
            np.take(a, [0, 5]),
            a.take([1, 1], axis=1),
            np.take_along_axis(a, np.argsort(a, axis=1), axis=1),
            np.compress([1, 0, 1], a, axis=0),
            np.extract(a > 0, a),
            np.delete(a, 1, axis=0),
            np.insert(a, 1, 5.0, axis=1),
        ),
        A,
    ),
    "choosing": (
        lambda a, b: (
            np.where(a > b, a, b * 2),
            np.where(a > 0, 1.0, b),
            np.select([a > 1, a > 0], [a, b], 7.0),
            np.choose([0, 1, 0, 1], [a[0], b[0]]),
        ),
        A,
        B,
    ),
    "arrays of numbers": (
        lambda a: (
            np.array([a[0, 0], 2.0, a[1, 1] * 3]),
            np.array([a[0], a[1]]),
            np.asarray([[x, 2 * x] for x in a[0]]),
            np.array(a, copy=True),
            np.array([a[0, 0] ** 2]),
        ),
        A,
    ),
    "filled arrays": (
        lambda a: (
            np.full((2,), a[0, 0]),
            np.full_like(a, a[1, 2]),
            np.ones_like(a) * a,
            np.linspace(a[0, 0], a[0, 1], 4),
            np.arange(3) * a[0, 0],
            np.eye(4)[[0, 1, 2]] * a,
            np.meshgrid(a[0], a[1]),
        ),
        A,
    ),
    "counting": (
        lambda a: (
            np.bincount([0, 2, 2, 1], weights=a[0]),
            np.arange(a[0, 0], 3.0),
            np.arange(1.0, a[0, 3] + 2, a[1, 1]),
            np.logspace(a[0, 0], a[0, 1], 3),
            np.geomspace(a[0, 0], a[1, 1], 3),
        ),
        A,
    ),
    "iterating": (
        lambda a: (
            [x * 2 for row in a for x in row],
            [p * q for p, q in zip(a[0], a[1], strict=True)],
            [i * x for i, x in enumerate(a[0])],
            list(map(np.sin, a[0])),
            max(a[0]),
            min(a[1, 0], 0.9),
            sum(v for v in a[0] if v > 0),
            reduce(operator.mul, a[0]),
            list(a.flat)[3],
            a.tolist()[1][2],
            [*a[0]][1],
            [v for _, v in np.ndenumerate(a)][5],
        ),
        A,
    ),
    "windows": (
        lambda a: (
            np.lib.stride_tricks.sliding_window_view(a, (2, 2)).sum((2, 3)),
            np.lib.stride_tricks.as_strided(a, (2, 3), (8, 16)) * 2,
        ),
        A,
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
    "along an axis": (
        lambda a: (
            np.apply_along_axis(lambda r: r * r.sum(), 1, a),
            np.vectorize(lambda x, y: x * y if x > 0 else y)(a, 2.0),
        ),
        A,
    ),
    "piecewise": (lambda a: np.piecewise(a, [a < 0, a >= 0], [lambda x: -x, lambda x: x**2]), A),
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
    "written in place": (in_place(scattered), A, B),
    "element by element": (in_place(one_by_one), A, B),
    "overlapping": (in_place(overlapping), A),
    "added at": (in_place(added_at), A, V),
    "copied into": (in_place(written), A, B),
    "sorted in place": (in_place(sorted_in_place), A),
    "two views": (in_place(swapped_views), A),
    "Fortran order": (fortran, A),
    "out and where": (with_out, A, B),
    "np.modf": (lambda a: np.modf(a)[0] * 2, A),
    "copies": (
        lambda a: (a.copy(), np.copy(a), a.astype(float), np.ascontiguousarray(a.T), a.view()),
        A,
    ),
    "zero-dimensional": (
        lambda a: np.asarray(a.sum()) * np.array(2.0) + a[0, 0].item() + a.sum().item(),
        A,
    ),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_traced_derivatives_are_those_of_the_function(name):
    function, *arrays = EXPRESSIONS[name]
    assert derivative_errors(function, [array.copy() for array in arrays]) < 1e-8
