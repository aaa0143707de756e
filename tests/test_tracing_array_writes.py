"""Functions that write into an array: what they write, where, and what is lost of it.

Each is linear in the parameter, so that its values at the unit vectors are its gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck.tracing import NotTraceable, trace

X = np.array([0.7, -1.4, 0.25, 1.8])
WEIGHTS = np.cos(np.arange(12.0))


def into(write: Any, shape: tuple[int, ...] = (3, 4)) -> Any:
    """The loss of an array that depends on the parameter, once something was written into it."""

    def loss(x: Any) -> Any:
        a = np.arange(float(np.prod(shape))).reshape(shape) * x[0]
        write(a, x)
        return np.sum(a * WEIGHTS[: a.size].reshape(shape))

    return loss


def put_into(*args: Any, **kwargs: Any) -> Any:
    return lambda a, x: np.put(a, args[0], args[1](x), *args[2:], **kwargs)


def along(indices: Any, axis: int) -> Any:
    places = np.array(indices)
    return lambda a, x: np.put_along_axis(a, places, x[1], axis)


WRITES = {
    "put": put_into([1, 5, 2], lambda x: x[:3]),
    "put, of a method": lambda a, x: a.put([1, 5, 2], x[:3]),
    "put, from the end": put_into([-1, 0, -12], lambda x: x[:3]),
    "put, one number": put_into([[3, 4], [5, 6]], lambda x: x[1]),
    "put, one number in a list": put_into([3, 4], lambda x: x[1:2]),
    "put, too few": put_into([0, 1, 2, 3, 4], lambda x: x[:2]),
    "put, too many": put_into([7, 8], lambda x: x),
    "put, a matrix": put_into([0, 1, 2, 3], lambda x: x.reshape(2, 2)),
    "put, twice in one place": put_into([4, 4], lambda x: x[:2]),
    "put, round and round": put_into([13, -1, 5], lambda x: x[:3], "wrap"),
    "put, up to the ends": put_into([100, -7, 5], lambda x: x[:3], mode="clip"),
    "put, nowhere": put_into(np.zeros(0, dtype=int), lambda x: x),
    "put, nothing": put_into([1, 2], lambda x: x[:0]),
    "along rows": along([[0], [2], [1]], 1),
    "along the last axis": lambda a, x: np.put_along_axis(a, np.array([[3], [0], [1]]), x[1], -1),
    "along columns": along([[0, 2, 1, 1]], 0),
    "along rows, one index for all": along([[2]], 1),
    "along columns, one index for all": along([[1]], 0),
    "along all": lambda a, x: np.put_along_axis(a, np.array([7, 2, 11]), x[1:], None),
    "a diagonal": lambda a, x: np.fill_diagonal(a, x[1]),
    "a diagonal of several": lambda a, x: np.fill_diagonal(a, x[1:]),
    "a mask": lambda a, x: np.place(a, a > 100.0 * x[0], x[1]),
    "a mask of as many": lambda a, x: np.place(a, np.eye(3, 4), x[1:]),
    "a mask of one": lambda a, x: np.place(a, np.eye(3, 4), x[3:]),
    "where a mask is": lambda a, x: np.putmask(a, np.eye(3, 4, dtype=bool), a * 3.0),
    "a number where a mask is": lambda a, x: np.putmask(a, np.eye(3, 4, dtype=bool), x[2]),
    "copied": lambda a, x: np.copyto(a, x),
    "copied where": lambda a, x: np.copyto(a, x, where=np.eye(3, 4, dtype=bool)),
    "copied where a row is": lambda a, x: np.copyto(a, x[1], where=[True, False, True, False]),
    "filled": lambda a, x: a.fill(x[2]),
    "sorted": lambda a, x: a.sort(),
    "sorted columns": lambda a, x: a[::-1].sort(axis=0),
    "parted": lambda a, x: a.partition(2),
    "parted columns": lambda a, x: a[::-1].partition(1, axis=0),
    "parted columns, in place": lambda a, x: a[::-1].partition(1, 0),
}


@pytest.mark.parametrize("name", WRITES)
def test_what_is_written_is_what_numpy_writes(name: str) -> None:
    loss, x = into(WRITES[name]), X.copy()
    expected = [loss(unit) - loss(0 * X) for unit in np.eye(4)]
    if "sort" in name or "part" in name:  # of positive multiples alone
        expected = [loss(X) / X[0], 0.0, 0.0, 0.0]
    traced = trace(loss, (x,), {}, {"x": x})
    assert traced.loss == float(loss(X))
    np.testing.assert_allclose(traced.backward()["x"], expected, rtol=1e-12, atol=1e-12)


LOST = {
    "numpy.place": lambda a, x: np.place(a, np.eye(3, 4), x[:2]),
    "numpy.place, of a matrix": lambda a, x: np.place(a, np.ones(12)[:, None] > 0, x[None, :3]),
    "numpy.putmask": lambda a, x: np.putmask(a, np.eye(3, 4, dtype=bool), x),
    "numpy.fill_diagonal": lambda a, x: np.fill_diagonal(a, x[:2]),
    "numpy.fill_diagonal, of many": lambda a, x: np.fill_diagonal(a, x),
    "numpy.fill_diagonal, of a matrix": lambda a, x: np.fill_diagonal(a, x[None, 1:]),
    "numpy.fill_diagonal, wrapped": lambda a, x: np.fill_diagonal(a, x[1], wrap=True),
}


@pytest.mark.parametrize("name", LOST)
def test_values_that_begin_again_are_lost_but_written_as_they_are(name: str) -> None:
    shape = (4, 3) if "wrapped" in name else (12, 1) if "place, of" in name else (3, 4)
    x = X.copy()
    with pytest.raises(NotTraceable, match=name.partition(",")[0].replace(".", r"\.")):
        trace(into(LOST[name], shape), (x,), {}, {"x": x})


@pytest.mark.parametrize("wrap", [False, True])
def test_of_constants_nothing_is_lost(wrap: bool) -> None:
    def loss(x: Any) -> Any:
        a = np.zeros((7, 3))
        np.fill_diagonal(a, [1.0, 2.0, 3.0], wrap)
        np.fill_diagonal(a[:, 1:], 5.0, wrap=wrap)
        b = np.zeros(4)
        np.place(b, [True, True, False, True], [1.0, 2.0])
        np.putmask(b, [False, False, True, False], [[7.0, 8.0]])
        return np.sum(a) * np.sum(b) * x[0]

    x = X.copy()
    traced = trace(loss, (x,), {}, {"x": x})
    assert traced.loss == loss(X)
    np.testing.assert_allclose(traced.backward()["x"][0], loss(X) / X[0])


def test_places_off_an_array_are_refused_as_by_numpy() -> None:
    x = X.copy()
    with pytest.raises(IndexError):
        trace(into(put_into([12], lambda x: x[:1])), (x,), {}, {"x": x})
    with pytest.raises(IndexError):
        trace(into(put_into([-13], lambda x: x[:1])), (x,), {}, {"x": x})
