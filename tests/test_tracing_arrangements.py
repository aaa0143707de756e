"""Operations that move, join and pick elements: the traced gradient against central differences."""

import operator
from functools import reduce

import numpy as np
import pytest
from traced_derivatives import A, B, derivative_errors

EXPRESSIONS = {
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
    "along an axis": (
        lambda a: (
            np.apply_along_axis(lambda r: r * r.sum(), 1, a),
            np.vectorize(lambda x, y: x * y if x > 0 else y)(a, 2.0),
        ),
        A,
    ),
    "piecewise": (lambda a: np.piecewise(a, [a < 0, a >= 0], [lambda x: -x, lambda x: x**2]), A),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_traced_derivatives_are_those_of_the_function(name):
    function, *arrays = EXPRESSIONS[name]
    assert derivative_errors(function, [array.copy() for array in arrays]) < 1e-8
