"""What each function does by itself, and told otherwise: axes, modes, triangles, orders, offsets.

Arrays of three different lengths, and matrices that are not symmetric, tell the axes apart. Each
traced gradient is held against central differences of the plain function.
"""

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import scipy.spatial.distance as distance
import scipy.special as sp
from conventional_arrays import MASK, OTHERS, POINTS, A, B, C, D, P, U, V, X, missing
from traced_derivatives import derivative_errors, trapezoid

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
    "clipped by name": "numpy 2.1",
}
"""Cases with functions, options or meanings that older versions do not have."""


@pytest.mark.parametrize("name", TRACED)
def test_each_convention_is_numpys(name):
    if name in NEEDS:
        pytest.importorskip(*NEEDS[name].split())
    function, *arrays = TRACED[name]
    assert derivative_errors(function, [array.copy() for array in arrays]) < 5e-7
