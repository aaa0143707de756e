"""Arrays that are filled piece by piece: where they are put together, and from which writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from gradcheck.tracing import trace

X = np.array([0.7, -1.4, 0.25, 1.8])


def traced(loss: Any) -> Any:
    x = X.copy()
    return trace(loss, (x,), {}, {"x": x})


def assembled(loss: Any) -> Any:
    """The operations that put an array together, each with the line of its site, from the def."""
    first = loss.__code__.co_firstlineno
    return [
        (op.site.line - first, op.inputs) for op in traced(loss).operations if op.name == "assemble"
    ]


def one_piece(x: Any) -> Any:
    y = np.zeros(3)
    y[0] = x[0] * 2.0

    return np.sum(y)


def two_pieces(x: Any) -> Any:
    y = np.zeros(4)
    y[0] = x[0] * 2.0
    y[1:3] = x[1:3]

    return np.sum(y * y)


def a_constant_last(x: Any) -> Any:
    y = x * 3.0
    y[1] = 5.0

    return np.sum(y * y)


def a_constant_first(x: Any) -> Any:
    y = x * 3.0
    y[1] = 5.0
    y[2] = x[0] * 1.0
    return np.sum(y * y)


@pytest.mark.parametrize(
    ("loss", "line"), [(one_piece, 2), (two_pieces, 3), (a_constant_last, 2), (a_constant_first, 3)]
)
def test_an_array_is_put_together_where_it_was_last_written(loss: Any, line: int) -> None:
    ((found, _),) = assembled(loss)
    assert found == line


def test_its_inputs_are_what_it_held_and_what_was_written() -> None:
    ((_, inputs),) = assembled(a_constant_first)
    multiplied, constant, written = inputs
    assert multiplied == ("operation", 0)
    assert constant == ("constant", "array")
    assert written[0] == "operation"
    ((_, inputs),) = assembled(one_piece)
    assert inputs[0] == ("constant", "array")


def repeated_between(x: Any) -> Any:
    y = np.zeros(6)
    y[::5] = x[:2]
    # as many elements as there are in between, of which it shows two, each three times
    total = np.sum(np.broadcast_to(y[::5], (3, 2)))
    y[0] = x[2]
    return total + np.sum(y * y)


def reversed_between(x: Any) -> Any:
    y = np.zeros(4)
    y[::-1] = x
    total = np.sum(y[::-1] * [1.0, 10.0, 100.0, 1000.0])
    y[1:3] = x[0]
    return total + np.sum(y * y)


def turned_between(x: Any) -> Any:
    y = np.zeros((2, 2))
    y.T[::-1] = x.reshape(2, 2)
    y[0, 1] = 3.0 * x[3]
    return np.sum(y * y) + y[1, 1] * 10.0


def one_number_everywhere(x: Any) -> Any:
    y = np.zeros(4)
    y[:] = x[0]
    every_other = as_strided(y, (2,), (16,))
    return np.sum(every_other * [1.0, 10.0]) + np.sum(y[1:])


def part_of_another(x: Any) -> Any:
    y = np.zeros(2)
    y[:] = x[1:3]
    twice = as_strided(y, (2, 2), (8, 0))
    return np.sum(twice * [[1.0, 10.0], [100.0, 1000.0]])


def every_other_of_another(x: Any) -> Any:
    y = np.zeros(2)
    y[:] = x[::2]
    twice = as_strided(y, (2, 2), (0, 8))
    return np.sum(twice * [[1.0, 10.0], [100.0, 1000.0]])


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [
        (one_piece, [2, 0, 0, 0]),
        (two_pieces, [8 * X[0], 2 * X[1], 2 * X[2], 0]),
        (a_constant_last, [18 * X[0], 0, 18 * X[2], 18 * X[3]]),
        (a_constant_first, [18 * X[0] + 2 * X[0], 0, 0, 18 * X[3]]),
        (repeated_between, [3, 3 + 2 * X[1], 2 * X[2], 0]),
        (one_number_everywhere, [14, 0, 0, 0]),
        (part_of_another, [0, 11, 1100, 0]),
        (every_other_of_another, [101, 0, 1010, 0]),
        (reversed_between, [1 + 6 * X[0], 10, 100, 1000 + 2 * X[3]]),
        # x = [y01, y11, y00, y10]
        (turned_between, [0, 2 * X[1] + 10, 2 * X[2], 2 * X[3] + 18 * X[3]]),
    ],
)
def test_each_write_counts_as_the_last_of_its_place(loss: Any, gradient: Any) -> None:
    np.testing.assert_allclose(traced(loss).backward()["x"], gradient, rtol=1e-14)


def filled_like(x: Any) -> Any:
    y = x * 2.0
    return np.sum(np.full_like(y, x[1]))


def test_what_has_no_influence_is_no_input() -> None:
    found = {op.name: op for op in traced(filled_like).operations}
    assert list(found) == ["getitem", "full_like", "sum"]
    assert found["full_like"].inputs == (
        ("constant", "no influence on the loss"),
        ("operation", 0),
    )
    assert traced(filled_like).backward()["x"].tolist() == [0, 4, 0, 0]
