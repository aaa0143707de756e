"""Operations that write into arrays: the traced gradient against central differences."""

import numpy as np
import pytest
from traced_derivatives import A, B, V, derivative_errors, in_place


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
