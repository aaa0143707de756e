"""Ufuncs called in every way NumPy has: ``out``, ``where``, lists, and their methods."""

import numpy as np
import pytest
from traced_derivatives import derivative_errors, in_place

from gradcheck.tracing import NotTraceable, trace

generator = np.random.default_rng(9)
A, B = generator.normal(size=(2, 3, 4)).round(2)
C = generator.normal(size=(2, 3, 4)).round(2)
V = np.array([0.7, -1.4, 0.25, 1.8])
MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, True]])


def given_out(a, b):
    one, two, three = a * 2, b * 3, np.zeros((3, 4))
    np.add(a, b, one)
    np.exp(a, out=(two,))
    returned = np.multiply(one, two, out=three)
    assert returned is three
    np.negative(one, out=one)
    return one, two, three


def masked_out(a, b, v):
    kept = a * b
    np.multiply(a, b, out=kept, where=MASK)
    np.sin(a, out=kept, where=MASK[0])
    np.add(v, 1.5, out=kept, where=MASK[:, :1])
    np.power(np.abs(a[1:]) + 1, 2.0, out=kept[1:], where=MASK[1:])
    wide = np.ones((3, 4))
    np.multiply(v, 2.0, out=wide)
    np.log(np.abs(b), out=wide, where=np.abs(b) > 0.3)
    return kept, wide


def without_out(a):
    root = np.sqrt(np.abs(a), out=None, where=MASK)
    return root[MASK], np.log(a, out=None, where=a > 0)[a > 0]


def stepwise(a, b):
    kept, cut = a * 2, a * 3
    np.sign(b, out=kept, where=MASK)
    np.floor(b, out=cut)
    return kept, cut + a


def parts(a):
    fraction, whole = np.modf(a)
    quotient, rest = np.divmod(a, 0.7)
    return fraction * a, whole * a, quotient * a, rest * a


def added_at(a, v):
    np.add.at(a, (np.array([0, 0, 2]), np.array([1, 1, 3])), v[:3])
    np.subtract.at(a, (slice(None), 2), v[0])
    np.add.at(a, MASK, v[1] ** 2)
    np.multiply.at(a, ([0, 2], [3, 0]), v[2:])
    np.divide.at(a, (1,), v)
    np.add.at(a, 2, 1.5)


def scaled_at(v):
    w = v * 1.0
    np.multiply.at(w, [0, 2], v[1:3])
    np.divide.at(w, [3], v[0])
    np.subtract.at(w, [1, 1], [v[3], 2.0])
    return w


FOLLOWED = {
    "out": (given_out, A, B),
    "out and where": (masked_out, A, B, V),
    "where alone": (without_out, A),
    "piecewise constant": (stepwise, A, B),
    "two results": (parts, A),
    "lists": (
        lambda v: (
            *(np.add([1.0, 2, 3, 4], v), np.maximum([v[0], 2.0, v[1], 0.1], v * 0.9)),
            np.multiply((v[0], v[1]), (2.0, 3.0)),
            np.subtract([[v[0], 1.0], (2.0, v[1])], v[2:]),
            np.hypot([1.0, 2.0], 3.0) * v[0],
        ),
        V,
    ),
    "reduce": (
        lambda c: (
            *(np.add.reduce(c), np.add.reduce(c, 1), np.add.reduce(c, axis=(0, 2), keepdims=True)),
            *(np.add.reduce(c, axis=None), np.add.reduce(c, -1, initial=2.0, where=c > 0)),
            *(np.multiply.reduce(c), np.multiply.reduce(c, axis=None, keepdims=True)),
            *(np.maximum.reduce(c), np.maximum.reduce(c, axis=(1, 2), keepdims=True)),
            *(np.minimum.reduce(c, axis=2), np.minimum.reduce(c, 1, initial=0.1)),
            *(np.logaddexp.reduce(c), np.logaddexp.reduce(c, axis=1, keepdims=True)),
            *(np.logaddexp.reduce(c, axis=None), np.logaddexp.reduce(c, axis=None, keepdims=True)),
        ),
        C,
    ),
    "reduce with out": (
        lambda c: [
            np.add.reduce(c, axis=0, out=np.zeros((3, 4))),
            np.maximum.reduce(c, axis=1, out=(np.zeros((2, 4)),)),
        ],
        C,
    ),
    "accumulate": (
        lambda c: (
            *(np.add.accumulate(c), np.add.accumulate(c, axis=1), np.multiply.accumulate(c, -1)),
            *(np.maximum.accumulate(c), np.maximum.accumulate(c, axis=2)),
            *(np.minimum.accumulate(c, -2), np.minimum.accumulate(c[0, 0])),
            *(np.logaddexp.accumulate(c), np.logaddexp.accumulate(c, axis=2)),
        ),
        C,
    ),
    "accumulate with equals": (
        lambda v: np.maximum.accumulate(np.concatenate([v, v[::-1] * 0.5, v + 0.1])),
        V,
    ),
    "outer": (
        lambda a, v: (
            *(np.add.outer(v, v[:2]), np.subtract.outer(a, v[:2]), np.multiply.outer(v[0], a)),
            *(np.power.outer(np.abs(v), [2.0, 0.5]), np.maximum.outer(v[:3], a[0])),
            np.divide.outer([1.0, 2.0], v),
        ),
        A,
        V,
    ),
    "reduceat": (
        lambda a: (
            *(np.add.reduceat(a, [0, 2]), np.add.reduceat(a, [0, 2, 1], axis=1)),
            *(np.add.reduceat(a, [1], axis=-1), np.add.reduceat(a, [2, 0, 0])),
        ),
        A,
    ),
    "at": (in_place(added_at), A, V),
    "at, scaled": (scaled_at, V),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_ufunc_is_followed_however_it_is_called(name):
    function, *arrays = FOLLOWED[name]
    assert derivative_errors(function, [array.copy() for array in arrays]) < 1e-7


def cut_by_a_constant(v):
    w = v * 2
    np.floor(v, out=w)
    return np.sum(w * v)


def kept_outside(v):
    w = v * 2
    np.sign(v, out=w, where=np.array([True, False, True, False]))
    return np.sum(w)


def overwritten(v):
    w = v * 2
    np.add([1.0, 2.0, 3.0, 4.0], 1.0, out=w)
    return np.sum(w * v)


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [
        (cut_by_a_constant, np.floor(V)),
        (kept_outside, [0.0, 2.0, 0.0, 2.0]),
        (overwritten, [2.0, 3.0, 4.0, 5.0]),
    ],
)
def test_what_is_written_over_with_constants_hands_nothing_on(loss, gradient):
    v = V.copy()
    np.testing.assert_array_equal(trace(loss, (v,), {}, {"v": v}).backward()["v"], gradient)


REFUSED = {
    "hypot.reduce": lambda v: np.hypot.reduce(v),
    "arctan2.accumulate": lambda v: np.arctan2.accumulate(v)[2],
    "maximum.reduceat": lambda v: np.maximum.reduceat(v, [0, 2])[0],
    "nextafter.outer": lambda v: np.sum(np.nextafter.outer(v, v)),
    "numpy.nextafter": lambda v: np.sum(np.nextafter(v, 2.0)),
    "maximum.at": lambda v: at_written(np.maximum, v),
    "exp.at": lambda v: at_written(np.exp, v, several=False),
    "multiply.at: duplicate": lambda v: at_written(np.multiply, v),
    "divide.at: duplicate": lambda v: at_written(np.divide, v),
}


def at_written(ufunc, v, *, several=True):
    w = np.abs(v)
    ufunc.at(w, [0, 0], *([v[1:3]] if several else []))
    return np.sum(w)


@pytest.mark.parametrize("name", REFUSED)
def test_a_ufunc_without_a_known_derivative_is_refused_by_name(name):
    v = V.copy()
    with pytest.raises(NotTraceable) as caught:
        trace(lambda v: REFUSED[name](v), (v,), {}, {"v": v})
    assert str(caught.value).startswith(name)
    assert "not known" in str(caught.value) or "duplicate indices" in str(caught.value)
