"""Options of single rules that are not covered: named, with the option, instead of guessed at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import scipy.signal
import scipy.spatial.distance as distance
import scipy.special

from gradcheck.tracing import NotTraceable, trace
from gradcheck.tracing.rules import filters

pytest.importorskip("torch")

A = np.array([[0.3, -1.2, 0.7, 2.1], [1.5, 0.4, -0.6, 0.9], [-0.8, 1.1, 0.2, -1.7]])
B = np.cos(A)
C = np.arange(18.0).reshape(2, 3, 3)
V = np.array([0.7, -1.4, 0.25, 1.8])


def traced(loss: Any, value: Any = V) -> Any:
    x = np.array(value)
    return trace(lambda x: np.sum(loss(x)), (x,), {}, {"x": x})


REFUSED = {
    "linspace, steps": (lambda v: np.linspace(v[0], 1.0, 3, retstep=True)[0], "retstep and axis"),
    "linspace, axis": (lambda v: np.linspace(v, 1.0, 3, axis=1), "retstep and axis"),
    "geomspace from below": (lambda v: np.geomspace(v[1], -2.0, 3), "not positive"),
    "geomspace from": (lambda v: np.geomspace(v[1] * 1j, 2.0, 3).real, "geomspace|complex"),
    "interp, left": (lambda v: np.interp(v, [0.0, 1.0], v[:2], left=0.0), "left, right and period"),
    "interp, right": (lambda v: np.interp(v, [0.0, 1.0], v[:2], right=0.0), "left, right"),
    "interp, period": (lambda v: np.interp(v, [0.0, 1.0], v[:2], period=2.0), "left, right"),
    "cross, first": (lambda v: np.cross(np.ones((3, 3)) * v[0], np.eye(3), 0), "axisa, axisb"),
    "cross, first, below": (
        lambda v: np.cross(np.ones((3, 3)) * v[0], np.eye(3), axisa=-2), "axisa, axisb",
    ),
    "svd, wide": (lambda v: np.linalg.svd(v[0] * A)[1], "full_matrices=True has no derivative"),
    "svd, tall": (lambda v: np.linalg.svd(v[0] * A.T)[1], "full_matrices=True has no derivative"),
    "qr": (lambda v: np.linalg.qr(v[0] * A, "complete")[1], "mode 'complete' is not covered"),
    "minkowski, 1": (
        lambda v: distance.pdist(v[:, None] * A[:1], "minkowski", p=1), "p= of 1 or less",
    ),
    "minkowski, weights": (
        lambda v: distance.pdist(v[:, None] * A[:1], "minkowski", p=2, w=[1, 2, 3, 4]), "w= and p=",
    ),
    "metric with settings": (
        lambda v: distance.pdist(v[:, None] * A[:1], "seuclidean", V=[1, 2, 3, 4]), "seuclidean",
    ),
    "metric that is a function": (
        lambda v: distance.pdist(v[:, None], lambda a, b: abs(a - b)[0]), "metric=",
    ),
    "gamma below 0": (lambda v: scipy.special.gamma(v[1]), "arguments below 0"),
    "gamma at 0": (lambda v: np.exp(-scipy.special.gamma(v[1] * 0.0)), "arguments below 0"),
    "boxcox": (lambda v: scipy.special.boxcox(v[3], v[0] * 0.0), "exponent 0 is not covered"),
    "gammainc": (lambda v: scipy.special.gammainc(v[0], 2.0), "derivative by the first argument"),
    "logsumexp": (
        lambda v: scipy.special.logsumexp(v, return_sign=True)[0], "return_sign=True is not",
    ),
    "orders A": (lambda v: np.ravel((v[0] * A)[:, ::2], "A"), "order 'A' and 'K'"),
    "orders K": (lambda v: np.ravel((v[0] * A)[:, ::2], order="K"), "order 'A' and 'K'"),
    "pad": (lambda v: np.pad(v, 1, "maximum"), "mode 'maximum' with"),
    "pad, further": (lambda v: np.pad(v, 1, "reflect", reflect_type="odd"), "reflect_type"),
    "quantile, method": (lambda v: np.quantile(v, 0.3, method="hazen"), "method 'hazen'"),
    "quantile, axes": (
        lambda v: np.quantile(v[0] * C, 0.3, axis=(0, 1)), "several axes are not covered",
    ),
    "lfilter, state": (
        lambda v: scipy.signal.lfilter([1.0, 2.0], [1.0], v, zi=[0.5])[0], "zi= is not covered",
    ),
    "filter, settings": (
        lambda v: scipy.ndimage.convolve1d(np.ones(5), v[:3]), "with respect to weights",
    ),
    "filter, output": (
        lambda v: scipy.ndimage.convolve1d(v, [1.0, 2.0, 3.0], output=np.zeros(4)),
        "output= is not",
    ),
    "convolve, axes": (
        lambda v: scipy.signal.fftconvolve(v[0] * A, B, axes=0), "axes= and boundary=",
    ),
    "convolve, boundary": (
        lambda v: scipy.signal.convolve2d(v[0] * A, B, "same", "wrap"), "axes= and boundary=",
    ),
    "convolve, boundary by name": (
        lambda v: scipy.signal.convolve2d(v[0] * A, B, boundary="symm"), "axes= and boundary=",
    ),
    "convolve, four dimensions": (
        lambda v: scipy.signal.convolve(v[0] * np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2))),
        "more than three dimensions",
    ),
    "norms of complex matrices": (
        lambda v: np.linalg.norm(v[0] * 1j * A, 1), "norm of complex matrices",
    ),
    "duplicates": (lambda v: scaled_twice(v), "duplicate indices are not covered"),
}  # fmt: skip


def scaled_twice(v: Any) -> Any:
    y = v * 1.0
    np.multiply.at(y, [0, 0], v[:2])
    return y


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_covered_is_named(name: str) -> None:
    loss, words = REFUSED[name]
    with pytest.raises(NotTraceable, match=words):
        traced(loss)


def test_long_signals_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "LONGEST", 4)
    losses = (scipy.fft.dct, lambda x: scipy.signal.lfilter([1.0, 2.0], [1.0], x))
    for loss in losses:
        traced(loss, np.ones(4))
        traced(loss, np.ones((2, 4)))
        with pytest.raises(NotTraceable, match="signals of more than 4 samples"):
            traced(loss, np.ones(5))


def test_too_few_items_are_refused_as_numpy_does() -> None:
    with pytest.raises(ValueError, match="too short"):
        traced(lambda v: np.fromiter(v, float, 5))
