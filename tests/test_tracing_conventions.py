"""What each function does by itself, and told otherwise: axes, modes, triangles, orders, offsets.

Arrays of three different lengths, and matrices that are not symmetric, tell the axes apart. Each
traced gradient is held against central differences of the plain function.
"""

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import scipy.signal
import scipy.spatial.distance as distance
import scipy.special as sp
from test_tracing_operations import derivative_errors, trapezoid

from gradcheck.tracing import NotTraceable, trace

generator = np.random.default_rng(77)
A, B = generator.normal(size=(2, 3, 4)).round(3)
C = generator.normal(size=(2, 3, 4)).round(3)
D = generator.normal(size=(3, 4, 5)).round(3)
V, U = np.array([0.7, -1.4, 0.25, 1.8]), np.array([1.1, -0.3, 0.6])
S = generator.normal(size=(3, 3)).round(3) + 3 * np.eye(3)
P = np.abs(A) + 0.4
MASK = generator.random((2, 3, 4)) < 0.6
X = generator.normal(size=9).round(3)
POINTS, OTHERS = generator.normal(size=(4, 3)).round(3), generator.normal(size=(5, 3)).round(3) + 4


def stack(s):
    return np.stack([s, 2 * s + np.eye(3), s.T])


def missing(c):
    return np.where(MASK, c, np.nan)


def symmetric(s):
    return s @ s.T + np.diag([1.0, 5.0, 9.0])


TRACED = {
    "trace": (
        lambda d: (np.trace(d), np.trace(d, 1), np.trace(d, offset=-1, axis1=2), d.trace()),
        D,
    ),
    "trace of other axes": (lambda d: (np.trace(d, 0, 1, 2), d.trace(-2, 0, 2)), D),
    "diagonal": (
        lambda d: (np.diagonal(d), d.diagonal(1, 1, 2), np.diagonal(d, axis1=2, axis2=0)),
        D,
    ),
    "sums": (
        lambda c: (
            *(np.sum(c), np.sum(c, 1), c.sum((0, -1)), c.sum(2, None, None, True)),
            np.sum(c, axis=0, where=MASK, initial=0.5),
            np.sum(c, where=MASK[:, :1]),
            np.sum(c, axis=(), initial=1.5),
        ),
        C,
    ),
    "means": (
        lambda c: (
            *(c.mean(), c.mean(1), c.mean((0, 2), keepdims=True), np.mean(c, axis=())),
            np.mean(c, (1, 2), where=MASK),
            np.mean(c, 1, keepdims=True, where=MASK),
        ),
        C,
    ),
    "variances": (
        lambda c: (
            *(c.var(), c.var(1), np.var(c, (0, 2)), np.var(c, axis=2, ddof=1, keepdims=True)),
            np.var(c, axis=(1, 2), where=MASK),
            np.var(c, axis=2, where=MASK | (C > 0), ddof=0.5, keepdims=True),
            np.std(c, axis=0),
            c.std(ddof=1),
        ),
        C,
    ),
    "variance about a given mean": (
        lambda c: np.var(c, axis=1, mean=np.mean(c, axis=1, keepdims=True)),
        C,
    ),
    "variance with a correction": (lambda c: np.var(c, axis=1, correction=1), C),
    "deviations of equal numbers": (lambda v: np.std(np.stack([v, v * 1.0])[:, :2], axis=1), V + 2),
    "products": (
        lambda c: (
            *(c.prod(0), np.prod(c, (0, 2)), np.prod(c, axis=(1, 2), keepdims=True)),
            np.prod(c, axis=1, initial=2.0, where=MASK),
            np.prod(c, where=MASK),
        ),
        C,
    ),
    "extremes": (
        lambda c: (
            *(c.max(0), c.min((0, 2)), np.max(c, (2, 1), keepdims=True), np.min(c, axis=-2)),
            np.max(c, axis=1, initial=-0.1, where=MASK),
            np.min(c, axis=(0, 1), initial=0.1),
        ),
        C,
    ),
    "spreads": (lambda c: (np.ptp(c), np.ptp(c, 1), np.ptp(c, (0, 2), keepdims=True)), C),
    "averages": (
        lambda c, v: (
            *(np.average(c), np.average(c, 1), np.average(c, (0, 2), keepdims=True)),
            *np.average(c, axis=2, weights=v**2 + 1, returned=True),
            np.average(c, axis=-1, weights=v**2 + 1, keepdims=True),
            np.average(c, axis=1, weights=c**2 + 1),
            np.average(c, axis=1, returned=True)[0],
        ),
        C,
        V,
    ),
    "running": (
        lambda c: (
            *(np.cumsum(c), c.cumsum(1), np.cumprod(c), np.cumprod(c, -2), np.sort(c, None)),
            *(np.sort(c), np.sort(c, 0), np.cumsum(c, axis=-1)),
        ),
        C,
    ),
    "differences": (
        lambda c: (
            *(np.diff(c), np.diff(c, 2), np.diff(c, axis=1), np.diff(c, 2, 1, prepend=0.5)),
            np.diff(c, axis=0, append=c[:1] ** 2, prepend=1.0),
            np.diff(c[0, 0], append=c[1, 0, :2], prepend=c[0, 1, 0]),
        ),
        C,
    ),
    "quantiles": (
        lambda c: (
            *(np.median(c), np.median(c, 1), np.median(c, axis=-1, keepdims=True)),
            *(np.quantile(c, 0.3, 1), np.percentile(c, 30, axis=1, keepdims=True)),
            *(np.percentile(c, 30), np.quantile(c, [0.1, 0.45], axis=0, method="midpoint")),
        ),
        C,
    ),
    "trapezoids": (
        lambda c, v: (
            *(trapezoid(c), trapezoid(c, axis=1), trapezoid(c, dx=0.3, axis=0)),
            trapezoid(c, np.cumsum(v**2)),
            trapezoid(c, x=np.cumsum(c**2, axis=1), axis=1),
        ),
        C,
        V,
    ),
    "missing numbers": (
        lambda c: (
            *(
                np.nansum(missing(c), 1),
                np.nanprod(missing(c), (0, 1)),
                np.nanmax(missing(c), (0, 2)),
            ),
            *(np.nanmin(missing(c)), np.nanmean(missing(c), (0, 1)), np.nanstd(missing(c), (1, 2))),
            np.nanvar(missing(c), axis=(1, 2), ddof=1, keepdims=True),
        ),
        C,
    ),
    "dot products": (
        lambda c, d, v: (
            *(np.dot(c, v), np.dot(c, d), c.dot(3.0), np.dot(v[0], c), np.dot(c[0], d[0])),
            *(np.inner(c, v), np.inner(c, c[0]), np.inner(c, 2.0), np.inner(v[1], v)),
            *(np.vdot(c[0], c[1]), np.outer(c[0], v), np.outer(v, [1.0, 2.0])),
        ),
        C,
        generator.normal(size=(2, 4, 2)).round(3),
        V,
    ),
    "contractions": (
        lambda c, d: (
            *(
                np.tensordot(c, d),
                np.tensordot(c, d.swapaxes(0, 1), 1),
                np.tensordot(c, d, 0)[0, 1, 2],
            ),
            *(np.tensordot(c, d, ([1, 2], [0, 1])), np.tensordot(c, d, axes=(1, 0))),
            np.tensordot(c, d, axes=([2], 1)),
        ),
        C,
        generator.normal(size=(3, 4, 2)).round(3),
    ),
    "sums over letters": (
        lambda c, v: (
            *(
                np.einsum("ijk, k -> ij", c, v),
                np.einsum("ijk->kji", c),
                np.einsum("ijj", c[:, :, :3]),
            ),
            *(np.einsum("i,i", v, v), np.einsum("...k,k", c, v), np.einsum(c, [0, 1, 2], [2, 0])),
            np.einsum(c, [Ellipsis, 3], v, [3], [Ellipsis]),
            np.einsum(v, [25], v, [24], [24, 25]),
        ),
        C,
        V,
    ),
    "crossed": (
        lambda a, d: (
            *(np.cross(a.T, a.T[::-1] ** 2), np.cross(a, a**2, axis=0)),
            np.cross(a.T, a[:, 1] ** 2),
        ),
        A,
        U,
    ),
    "convolved": (
        lambda x, u, v: (
            *(np.convolve(x, u), np.convolve(u, x, "same"), np.convolve(x, v, "same")),
            *(
                np.convolve(u, x, "valid"),
                np.convolve(x, v, mode="valid"),
                np.convolve(v, v, "same"),
            ),
            *(np.correlate(x, u), np.correlate(u, x), np.correlate(x, v, "same")),
            *(np.correlate(v, x, "same"), np.correlate(u, x, "full"), np.correlate(x, v, "full")),
            *(np.correlate(u, v, "same"), np.correlate(v, u, "same"), np.correlate(v, v, "valid")),
        ),
        X,
        U,
        V,
    ),
    "interpolated": (
        lambda x, v: (
            np.interp(x, [-1.2, -0.3, 0.4, 1.1], v),
            np.interp(0.1, np.cumsum(v**2) - 1.0, v),
            np.interp([-9.0, 0.05, 9.0], [-1.0, 0.0, 0.5, 2.0], v),
        ),
        X,
        V,
    ),
    "norms of vectors": (
        lambda v, c: (
            *(
                np.linalg.norm(v),
                np.linalg.norm(v, 3),
                np.linalg.norm(v, -np.inf),
                np.linalg.norm(c),
            ),
            *(
                np.linalg.norm(c, axis=1),
                np.linalg.norm(c, 1, 2),
                np.linalg.norm(c, axis=-1, keepdims=True),
            ),
            *(np.linalg.norm(v, keepdims=True), np.linalg.norm(v, 2, keepdims=True)),
            np.linalg.norm(c, 4, axis=(1,)),
        ),
        V,
        C,
    ),
    "norms of matrices": (
        lambda a, c: (
            *(np.linalg.norm(a, o) for o in ("fro", "nuc", 1, -1, np.inf, -np.inf, 2)),
            *(np.linalg.norm(c, axis=(0, 1)), np.linalg.norm(c, 1, axis=(2, 0))),
            *(np.linalg.norm(c, "fro", (1, 2), keepdims=True), np.linalg.norm(a, 2, keepdims=True)),
            np.linalg.norm(a, np.inf, keepdims=True),
            scipy.linalg.norm(a, 1, keepdims=True),
        ),
        A,
        C,
    ),
    "factors of one triangle": (
        lambda s: (
            *(np.linalg.cholesky(s), np.linalg.cholesky(stack(s) + 9 * np.eye(3))),
            *(
                scipy.linalg.cholesky(s),
                scipy.linalg.cholesky(s, True),
                scipy.linalg.cholesky(s, lower=False),
            ),
        ),
        S + 2 * np.eye(3),
    ),
    "solved by a factor": (
        lambda s, a: (
            scipy.linalg.cho_solve((np.tril(s), True), a),
            scipy.linalg.cho_solve((s, True), a[:, 0]),
            scipy.linalg.cho_solve((np.triu(s), False), a[:, 1]),
            scipy.linalg.cho_solve((s, False), a),
            np.triu(scipy.linalg.cho_factor(s)[0]),
            np.tril(scipy.linalg.cho_factor(s, lower=True)[0]),
        ),
        S + 2 * np.eye(3),
        A,
    ),
    "triangular": (
        lambda s, a: (
            *(
                scipy.linalg.solve_triangular(s, a),
                scipy.linalg.solve_triangular(s, a[:, 0], 0, True),
            ),
            *(scipy.linalg.solve_triangular(s, a, trans=t) for t in (1, 2, "T", "C", "N")),
            *(scipy.linalg.solve_triangular(s, a, t, lower=True) for t in (0, 1, "T")),
            scipy.linalg.solve_triangular(s / 4, a, unit_diagonal=True),
            scipy.linalg.solve_triangular(s / 4, a[:, 2], 1, True, True),
        ),
        S,
        A,
    ),
    "systems": (
        lambda s, a: (
            *(
                np.linalg.solve(s, a),
                np.linalg.solve(s, a[:, 0]),
                np.linalg.solve(stack(s), a[None]),
            ),
            *(scipy.linalg.solve(s, a), scipy.linalg.solve(s, a[:, 1], transposed=True)),
            *(scipy.linalg.solve(symmetric(s) + s, a, assume_a=k) for k in ("sym", "pos")),
            scipy.linalg.solve(symmetric(s) + s, a, lower=True, assume_a="pos"),
            scipy.linalg.solve(s, a, lower=True),
        ),
        S,
        A,
    ),
    "stacks of systems": (
        lambda s: (
            np.linalg.solve(stack(s), s),
            np.linalg.solve(stack(s), s[:, :1]),
            np.linalg.solve(s, stack(s)),
            np.linalg.solve(stack(s)[:, None], np.stack([s[:, :2], s[:, 1:]])),
        ),
        S,
    ),
    "systems by their long names": (
        lambda s, a: (
            scipy.linalg.solve(symmetric(s) + s, a, assume_a="symmetric"),
            scipy.linalg.solve(symmetric(s) + s, a, lower=True, assume_a="positive definite"),
        ),
        S,
        A,
    ),
    "determinants and inverses": (
        lambda s: (
            *(np.linalg.det(stack(s)), np.linalg.inv(stack(s)), np.linalg.slogdet(stack(s))),
            *(
                np.linalg.matrix_power(s / 3, 3),
                np.linalg.matrix_power(s, -2),
                np.linalg.pinv(s[:2]),
            ),
            *(np.linalg.multi_dot([s, s.T, s[0]]), scipy.linalg.det(s), scipy.linalg.inv(s)),
            scipy.linalg.expm(s / 6),
        ),
        S,
    ),
    "spectra": (
        lambda s: (
            *(np.linalg.eigvalsh(symmetric(s) + s), np.linalg.eigvalsh(symmetric(s) + s, "U")),
            *(np.linalg.eigh(symmetric(s) + s), np.linalg.eigh(symmetric(s) + s, UPLO="U")),
            scipy.linalg.eigvalsh(symmetric(s) + s),
            scipy.linalg.eigvalsh(symmetric(s) + s, lower=False),
            scipy.linalg.eigh(symmetric(s) + s, eigvals_only=True),
            scipy.linalg.eigh(symmetric(s) + s, lower=False)[0],
            [part**2 for part in scipy.linalg.eigh(symmetric(s) + s, lower=False)],
        ),
        S / 4,
    ),
    "singular values": (
        lambda a: (
            *(np.linalg.svd(a, False), np.linalg.svd(a, compute_uv=False)),
            np.linalg.svd(a.T, full_matrices=False)[2],
            np.linalg.svd(a[:, :3]),
            np.linalg.qr(a.T),
            np.linalg.qr(a[:, :3]).R,
            np.linalg.qr(np.stack([a.T, 2 * a.T + 1])).Q,
        ),
        A,
    ),
    "least squares": (
        lambda a, v: (
            np.linalg.lstsq(a.T, v, rcond=None)[0],
            np.linalg.lstsq(a.T, np.stack([v, v**2], axis=1), rcond=None)[0],
        ),
        A,
        V,
    ),
    "least squares to machine precision": (lambda a, v: np.linalg.lstsq(a.T, v)[0], A, V),
    "LU": (
        lambda s, a: (
            scipy.linalg.lu_solve(scipy.linalg.lu_factor(s[[2, 0, 1]]), a),
            scipy.linalg.lu_solve(scipy.linalg.lu_factor(s[[2, 0, 1]]), a[:, 0], 1),
            scipy.linalg.lu_solve(scipy.linalg.lu_factor(s[[1, 2, 0]]), a, trans=2),
            scipy.linalg.lu(s[[1, 2, 0]], permute_l=True)[0],
            scipy.linalg.lu(s[[1, 2, 0]], p_indices=True)[1:],
        ),
        S,
        A,
    ),
    "ranges": (
        lambda v: (
            *(
                np.linspace(v[0], v[3], 5),
                np.linspace(v[0], 3.0, 4, False),
                np.linspace(1.0, v[:2], 3),
            ),
            *(np.linspace(v[0], v[1])[-3:], np.linspace(v[0], v[1], 1), np.logspace(v[0], v[2], 3)),
            *(np.logspace(v[0], v[2], 4, False, 2.0), np.logspace(0.1, v[2])[40:]),
            *(
                np.geomspace(v[0], v[3], 4),
                np.geomspace(v[3], v[0], 4, False),
                np.geomspace(v[0], 9.0)[7:9],
            ),
            *(
                np.arange(v[3], 4.0),
                np.arange(v[0], v[3], 0.3),
                np.arange(0.5, v[3]) * v[0],
                np.arange(v[3] + 2) * v[1],
            ),
            *(np.arange(0.0, 3.0, v[0]), np.full(3, v[1]), np.full_like(v, v[2])),
        ),
        V,
    ),
    "counted": (
        lambda v: (np.bincount([3, 1, 1, 0], v), np.bincount([0, 0, 2, 1], weights=v, minlength=6)),
        V,
    ),
    "special functions of two": (
        lambda p, a: (
            *(sp.huber(0.5, a), sp.huber(1.5, a), sp.kl_div(p, p[::-1] + 1), sp.rel_entr(p, p + 2)),
            *(sp.xlogy(a, p), sp.xlog1py(a, p), sp.beta(p, p[::-1]), sp.betaln(p, 2.0)),
            *(sp.boxcox(p, a), sp.exprel(a), sp.exprel(a * 1e-7), sp.cosm1(a), sp.entr(p)),
            *(sp.cbrt(a), sp.exp10(a / 3), sp.gamma(p), sp.j0(a), sp.j1(a), sp.log_expit(a)),
            *(sp.radian(a, 5.0, 10.0), sp.radian(10.0, a, 30.0), sp.radian(1.0, 2.0, a)),
            sp.zeta(2.5, p),
        ),
        P,
        A,
    ),
    "Bessel functions at 0": (lambda v: (sp.j1(v * 0.0 + v - v), sp.j0(v - v) * v), V),
    "nothing of nothing": (lambda p, v: (sp.rel_entr(v * 0.0, p[0] + v**2), sp.entr(p)), P, V),
    "log-sum-exp": (
        lambda c, v: (
            *(sp.logsumexp(c), sp.logsumexp(c, 1), sp.logsumexp(c, axis=(0, 2), keepdims=True)),
            *(sp.logsumexp(c, axis=2, b=v**2), sp.logsumexp(c, axis=2, b=v**2 + 1, keepdims=True)),
            *(sp.logsumexp(c, b=2.0), sp.softmax(c), sp.softmax(c, 1), sp.softmax(c, axis=(0, 2))),
            *(sp.log_softmax(c), sp.log_softmax(c, axis=-2), sp.logsumexp(c + 700, axis=1)),
        ),
        C,
        V,
    ),
    "distances": (
        lambda x, y: (
            *(distance.cdist(x, y), distance.pdist(x), distance.squareform(distance.pdist(x))),
            *(distance.cdist(x, y, "minkowski"), distance.cdist(x, y, "minkowski", p=3)),
            *(distance.pdist(x, "minkowski", p=1.5), distance.pdist(x, metric="minkowski", p=2)),
            *(distance.cdist(x, y, m) for m in ("canberra", "braycurtis", "cosine", "correlation")),
            *(distance.cdist(x, y, m) for m in ("sqeuclidean", "cityblock", "chebyshev")),
            distance.squareform(distance.squareform(distance.pdist(x) ** 2)),
        ),
        POINTS,
        OTHERS,
    ),
    "distances of a point to itself": (
        lambda x: (distance.cdist(x, x) ** 3, distance.cdist(x, x, "minkowski", p=3) ** 4),
        POINTS,
    ),
    "filters": (
        lambda x, u: (
            *(scipy.signal.lfilter(u, [2.0, 0.3], x), scipy.signal.lfilter([1.0], u, x)),
            *(scipy.signal.lfilter([0.5, 1.0], 2.0, x.reshape(3, 3), axis=0),),
            *(scipy.signal.convolve(x, u, m) for m in ("full", "same", "valid")),
            *(scipy.signal.correlate(x, u[:2], m) for m in ("full", "same", "valid")),
            *(scipy.signal.fftconvolve(u, x, m) for m in ("full", "same", "valid")),
            scipy.signal.detrend(x.reshape(3, 3), axis=0),
            scipy.fft.dct(x.reshape(3, 3), axis=0),
        ),
        X,
        U,
    ),
    "pictures": (
        lambda c, a: (
            *(scipy.signal.convolve2d(a, a[:2, :2], m) for m in ("full", "same", "valid")),
            *(scipy.signal.correlate2d(a, a[:2, :3], m) for m in ("full", "same", "valid")),
            *(scipy.signal.correlate2d(a, a[:3, :2], m) for m in ("same",)),
            *(scipy.signal.convolve(c, c[:1, :2, :3], m) for m in ("full", "same", "valid")),
        ),
        C,
        A,
    ),
    "spectra of parts": (
        lambda c: [
            part
            for z in (
                *(np.fft.fft(c), np.fft.fft(c, 3), np.fft.fft(c, axis=1), np.fft.ifft(c, 6, 0)),
                *(
                    np.fft.fft2(c),
                    np.fft.fft2(c, (2, 5)),
                    np.fft.fftn(c),
                    scipy.fft.fftn(c, (2, 2)),
                ),
                *(np.fft.ifftn(c, axes=(0, 2)), np.fft.rfftn(c, axes=(1, 0)), np.fft.ihfft(c)),
                *(np.fft.rfft(c, norm="ortho"), np.fft.ifft2(c, None, (0, 1), "forward")),
                scipy.fft.fftn(c, axes=1),
            )
            for part in (z.real * 1.0, z.imag * 2.0)
        ],
        C,
    ),
    "replaced": (
        lambda v: (
            np.nan_to_num(np.where(V > 1, np.inf, v), posinf=2.0, neginf=3.0) * v,
            np.nan_to_num(np.where(V > 1, -np.inf, v), False, 0.0, 2.0, 3.0) * v,
            np.nan_to_num(np.where(V > 1, np.nan, v)) * v,
            np.nan_to_num(np.where(V > 1, np.nan, v), True, 4.0) * v,
            *(np.clip(v, -1.0, 1.0), v.clip(max=0.5), np.clip(v, V - 1, None), v.clip(0.3)),
            *(np.sinc(v), np.heaviside(v, 0.5) * v),
            np.ldexp(v, np.array([1, -2, 3, 0])),
            np.heaviside(np.array([0.0, 1.0, -1.0, 0.0]), v),
        ),
        V,
    ),
    "clipped by name": (lambda v: (np.clip(v, max=1.0, min=0.0), np.clip(v, min=0.5)), V),
    "padded": (
        lambda a: (
            *(np.pad(a, 2), np.pad(a, (1, 2)), np.pad(a, ((1, 0), (2, 3)), constant_values=7.0)),
            *(np.pad(a, 2, m) for m in ("edge", "reflect", "symmetric", "wrap")),
        ),
        A,
    ),
    "chosen": (
        lambda a, b: (
            *(np.select([a > 1, b > 0], [a * b, b]), np.select([a > 0.5], [a], b**2)),
            *(np.choose([[0], [1], [0]], [a, b]), np.where(A > 0, a, 1.0), np.where(A > 0, 2, b)),
            np.where([True, False, True, False], a, b[:1]),
        ),
        A,
        B,
    ),
    "reshaped": (
        lambda c: (
            *(c.reshape(6, 4), c.reshape((4, -1)), np.reshape(c, 24), c.reshape(2, 12, order="F")),
            *(
                np.ravel(c, "F"),
                c.ravel(order="C"),
                c.flatten("F"),
                np.reshape(c, (3, 8), order="F"),
            ),
            *(c.T.ravel("F"), c.transpose(), c.transpose(1, 2, 0), c.transpose((0, 2, 1))),
            *(c.transpose(None), np.transpose(c, [2, 1, 0]), c.swapaxes(1, 2), c[0].T),
            *(
                np.squeeze(c[:1]),
                np.expand_dims(c, (0, 2)),
                np.rollaxis(c, 2),
                np.moveaxis(c, 0, -1),
            ),
            *(c.item(5), c.item(1, 2, 3), c.item((0, 1, 2)), c.item(-1), c[0, 0, :1].item()),
            *(np.atleast_2d(c[0, 0]), np.atleast_1d(c[0, 0, 0]), np.atleast_3d(c[0])),
        ),
        C,
    ),
    "matrices on their sides": (lambda c: (c.mT, np.matrix_transpose(c) * 2.0), C),
    "joined": (
        lambda a, v: (
            *(np.concatenate([a, v[None]]), np.concatenate((a, a[:, :1]), axis=-1)),
            *(np.concatenate([a, v], axis=None), np.stack([v, v**2]), np.stack((v, v), axis=-1)),
            *(np.insert(a, 1, v, axis=0), np.append(v, [1.0, 2.0]), np.delete(a, [0, 2], 1)),
            *np.broadcast_arrays(a, v),
            *np.meshgrid(v, v[:2] ** 2, indexing="ij"),
        ),
        A,
        V,
    ),
}


NEEDS = {
    "variance about a given mean": "numpy 2.1",
    "variance with a correction": "numpy 2.1",
    "matrices on their sides": "numpy 2.1",
    "least squares to machine precision": "numpy 2.1",
    "clipped by name": "numpy 2.1",
    "stacks of systems": "numpy 2.1",
    "systems by their long names": "scipy 1.15",
}
"""Cases with functions, options or meanings that older versions do not have."""


@pytest.mark.parametrize("name", TRACED)
def test_each_convention_is_numpys(name):
    if name in NEEDS:
        pytest.importorskip(*NEEDS[name].split())
    function, *arrays = TRACED[name]
    assert derivative_errors(function, [array.copy() for array in arrays]) < 5e-7


REFUSED = {
    "several axes": lambda c: np.quantile(c, 0.5, axis=(0, 1)),
    "method 'weibull'": lambda c: np.quantile(c, 0.5, method="weibull"),
    "retstep and axis": lambda c: np.linspace(c[0], c[1], 3, axis=1),
    "ends that are not positive": lambda c: np.geomspace(-np.abs(c[0, 0, 0]), -5.0, 3),
    "axisa": lambda c: np.cross(c[0, :, :3], c[1, :, :3], axisb=0),
    "left, right and period": lambda c: np.interp(c[0, 0], [0.0, 1], [0.0, 2], period=2),
    "full_matrices=True": lambda c: np.linalg.svd(c[0])[0],
    "mode 'r'": lambda c: np.linalg.qr(c[0], mode="r"),
    "b and subsets": lambda c: scipy.linalg.eigh(c[0] @ c[0].T, b=np.eye(3))[0],
    "return_sign": lambda c: sp.logsumexp(c, return_sign=True)[0],
    "exponent 0": lambda c: sp.boxcox(c**2 + 1, 0.0),
    "arguments below 0": lambda c: sp.gamma(c),
    "w= and p= of 1": lambda c: distance.pdist(c[0], "minkowski", p=1),
    "metric='hamming'": lambda c: distance.pdist(c[0], "hamming"),
    "metric='seuclidean' with": lambda c: distance.pdist(c[0], "seuclidean", V=np.ones(4)),
    "axes= and boundary=": lambda c: scipy.signal.fftconvolve(c, c, axes=1),
    "with respect to": lambda c: scipy.signal.savgol_filter(X, 5, 2, delta=np.abs(c[0, 0, 0])),
    "order 'A' and 'K'": lambda c: np.ravel(c[:, ::2], "K"),
    "mode 'maximum'": lambda c: np.pad(c[0], 1, "maximum"),
    "mode 'symmetric' with": lambda c: np.pad(c[0], 1, "symmetric", reflect_type="odd"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_another_convention_is_refused_with_its_reason(reason):
    c = C.copy()
    with pytest.raises(NotTraceable) as caught:
        trace(lambda c: np.sum(REFUSED[reason](c)), (c,), {}, {"c": c})
    assert reason in str(caught.value)
