"""Conventions of functions that a trace does not follow: refused, with the reason."""

import numpy as np
import pytest
import scipy.linalg
import scipy.signal
import scipy.spatial.distance as distance
import scipy.special as sp
from conventional_arrays import C, X

from gradcheck.tracing import NotTraceable, trace

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
