"""Operators, indices and ufuncs: what goes on being known, and what is lost, in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck.tracing import NotTraceable, trace

pytest.importorskip("torch")

V = np.array([0.7, 1.3])


def traced(loss: Any) -> Any:
    v = V.copy()
    found = trace(loss, (v,), {}, {"v": v})
    assert found.loss == float(loss(V.copy()))
    return found


def slopes(loss: Any) -> list[float]:
    return list(traced(loss).backward()["v"])


def names(loss: Any) -> list[str]:
    return [operation.name for operation in traced(loss).operations]


# in place


def test_what_is_rounded_in_place_is_a_constant() -> None:
    def loss(v: Any) -> Any:
        y, z = v * 4.0, v * 4.0
        y //= 1.0
        np.floor(z, out=z)
        return np.sum(y * v) + np.sum(z)

    assert slopes(loss) == [2.0, 5.0]


def test_whole_numbers_may_be_counted_in_place() -> None:
    def loss(v: Any) -> Any:
        count = np.array([3, 5])
        count += 1
        count[v > 1] *= 2
        return np.sum(count * v)

    assert slopes(loss) == [4.0, 12.0]


def test_arithmetic_on_objects_is_lost() -> None:
    def in_place(v: Any) -> Any:
        y = np.array([1.0, 2.0], dtype=object)
        y += v
        return y[0] * 1.0

    with pytest.raises(NotTraceable, match="results of dtype object have no derivative here"):
        traced(in_place)


def test_objects_that_are_only_kept_are_known() -> None:
    def loss(v: Any) -> Any:
        box = np.empty(3, dtype=object)
        box[0] = v[0] * 2.0
        box[1] = 3.0
        box[2] = v
        return box[0] * box[1] * box[2][1]

    np.testing.assert_allclose(slopes(loss), [6.0 * V[1], 6.0 * V[0]], rtol=1e-15)


def test_what_was_overwritten_by_constants_hands_on_constants() -> None:
    def loss(v: Any) -> Any:
        y, z = v * 2.0, v * 3.0
        y[...] = 5.0
        np.multiply(y, 2.0, out=z)
        return np.sum(z * v)

    assert slopes(loss) == [10.0, 10.0]


def test_each_of_several_arrays_is_broadcast_by_an_operation() -> None:
    def loss(v: Any) -> Any:
        _, wide = np.broadcast_arrays(np.ones((3, 2)), v)
        return np.sum(wide * 2.0)

    assert names(loss) == ["broadcast_arrays", "multiply", "sum"]
    assert slopes(loss) == [6.0, 6.0]


# indices


def test_an_element_that_was_written_is_read_as_it_is() -> None:
    def loss(v: Any) -> Any:
        y = np.zeros(3)
        y[1] = v[0] * 2.0
        y[np.array(2)] = v[1] * 5.0
        return y[1] * y[2]

    assert [name for name in names(loss) if name in ("getitem", "assemble")] == ["getitem"] * 2
    np.testing.assert_allclose(slopes(loss), [10.0 * V[1], 10.0 * V[0]], rtol=1e-15)


def test_a_row_that_was_written_is_read_as_it_is() -> None:
    def loss(v: Any) -> Any:
        y = np.zeros((3, 2))
        y[1] = v * 2.0
        return np.sum(y[1] * y[1])

    assert names(loss) == ["multiply", "setitem", "multiply", "sum"]


@pytest.mark.parametrize(
    "index",
    [
        slice(None, None, -1),
        slice(None, None, -2),
        slice(1, None),
        slice(None, None, 2),
        (None, slice(None, None, -1)),
        [1, 0],
        1,
    ],
)
def test_a_part_is_an_operation_whatever_its_step(index: Any) -> None:
    def loss(v: Any) -> Any:
        return np.sum(v[index] * 3.0)

    assert names(loss) == ["getitem", "multiply", "sum"]
    assert slopes(loss) == [3.0 * float(k in np.ravel(np.arange(2)[index])) for k in range(2)]


def test_a_truth_value_adds_an_axis() -> None:
    def loss(v: Any) -> Any:
        y = np.zeros(2)
        y[True] = v * 3.0
        y[False] = v
        return np.sum(y) + np.sum(v[True] * [[1.0, 10.0]]) + np.sum(v[np.False_])

    assert slopes(loss) == [4.0, 13.0]


def test_small_whole_numbers_pick_elements() -> None:
    def loss(v: Any) -> Any:
        places = np.array([1, 0, 1], np.uint8)
        return np.sum(v[places] * [1.0, 10.0, 100.0]) + np.sum(v[np.uint8(1)])

    assert slopes(loss) == [10.0, 102.0]


def test_a_write_of_elements_seen_as_another_dtype_is_lost() -> None:
    def loss(v: Any) -> Any:
        y = np.zeros(4)
        y.view(complex)[[0, 1]] = v * (1 + 0j)
        return np.sum(y)

    with pytest.raises(NotTraceable, match="memory is written as another dtype"):
        traced(loss)


def test_nothing_may_be_written_nowhere() -> None:
    def loss(v: Any) -> Any:
        y = v * 2.0
        y[[]] = v[:0]
        y[v > 5.0] = v[0]
        return np.sum(y)

    assert slopes(loss) == [2.0, 2.0]


def test_a_number_cannot_be_iterated_over() -> None:
    with pytest.raises(TypeError, match="iteration over a 0-d array"):
        traced(lambda v: sum(np.sum(v, keepdims=True).reshape(())))


def test_flat_iterators_hand_out_elements() -> None:
    def loss(v: Any) -> Any:
        square, ones = np.outer(v, [1.0, 10.0]), np.ones(2)
        first, *_, last = square.flat
        return first + last + square.flat[2] + sum(ones.flat) * ones.flat[1] * v[0]

    assert slopes(loss) == [3.0, 11.0]


# ufuncs


def test_a_sign_of_real_numbers_is_a_constant() -> None:
    def loss(v: Any) -> Any:
        return np.sum(np.sign(v - 1.0) * v)

    assert names(loss) == ["multiply", "sum"]
    assert slopes(loss) == [-1.0, 1.0]


def test_what_is_written_into_may_be_named_in_a_tuple() -> None:
    def loss(v: Any) -> Any:
        y, z = v * 2.0, np.outer(v, v)
        before = np.sum(y[:1]) + np.sum(z[0, :1])
        np.multiply(v, 3.0, out=(y,))
        np.add.reduce(np.outer([1.0, 10.0], v), out=(z[0],))
        return np.sum(y[:1]) + np.sum(z[0, :1]) - before

    np.testing.assert_allclose(slopes(loss), [3.0 + 11.0 - 2.0 - 2.0 * V[0], 0.0], rtol=1e-14)


def test_a_vector_has_no_diagonal_to_fill() -> None:
    with pytest.raises(ValueError, match="at least 2-d"):
        traced(lambda v: np.fill_diagonal(v * 2.0, v[0]))


def test_two_results_written_elsewhere_are_lost() -> None:
    def in_a_tuple(v: Any) -> Any:
        whole, rest = np.zeros(2), np.zeros(2)
        np.divmod(v, 0.3, out=(whole, rest))
        return np.sum(rest)

    def by_place(v: Any) -> Any:
        whole, rest = np.zeros(2), np.zeros(2)
        np.modf(v, rest, whole)
        return np.sum(rest)

    def handed_out(v: Any) -> Any:
        return np.sum(np.modf(v, dtype=float)[0])

    for loss, name in ((in_a_tuple, "divmod"), (by_place, "modf"), (handed_out, "modf")):
        with pytest.raises(NotTraceable, match=rf"numpy\.{name}: its derivative is not known"):
            traced(loss)


def test_two_results_handed_out_are_followed() -> None:
    def loss(v: Any) -> Any:
        whole, rest = np.divmod(v, v[0])
        return np.sum(rest) + np.sum(whole) + 10.0 * np.sum(np.modf(v * 2.0)[0])

    assert slopes(loss) == [-1.0 + 20.0, 1.0 + 20.0]


def test_two_results_of_constants_are_constants_wherever_they_are_written() -> None:
    def loss(v: Any) -> Any:
        y, z = v * 2.0, v * 3.0
        np.divmod(np.array([7.5, 8.0]), 2.0, out=(y, z))
        return np.sum((y + z) * v)

    assert slopes(loss) == [4.5, 4.0]


def test_an_unknown_ufunc_loses_what_it_overwrites() -> None:
    def loss(v: Any) -> Any:
        y = v * 2.0
        np.nextafter(y, 1.0, out=y)
        return np.sum(y)

    with pytest.raises(NotTraceable, match=r"numpy\.nextafter: its derivative is not known"):
        traced(loss)


def test_a_ufunc_at_places_that_has_no_rule_is_lost() -> None:
    def loss(v: Any) -> Any:
        y = v * 2.0
        np.negative.at(y, [0])
        return np.sum(y)

    with pytest.raises(NotTraceable, match=r"negative\.at: its derivative is not known"):
        traced(loss)


@pytest.mark.parametrize(
    ("values", "weights", "expected"),
    [([3.0, 1.0, 4.0, 4.0], [1, 10, 100, 1000], [11, 0, 100, 1000]),
     ([1.0, 1.0, 0.0, 2.0], [1, 10, 100, 1000], [1, 110, 0, 1000])],
)  # fmt: skip
def test_a_running_extreme_is_that_of_the_last_that_won(
    values: Any, weights: Any, expected: Any
) -> None:
    x = np.array(values)
    for sign, extreme in ((1.0, np.maximum), (-1.0, np.minimum)):

        def loss(x: Any, sign: float = sign, extreme: Any = extreme) -> Any:
            return np.sum(sign * extreme.accumulate(sign * x) * weights)

        assert trace(loss, (x,), {}, {"x": x}).backward()["x"].tolist() == expected


def test_running_extremes_along_an_axis() -> None:
    x = np.array([[1.0, 5.0, 3.0], [2.0, 4.0, 6.0]])
    weights = np.array([[1.0, 10.0, 100.0], [1e3, 1e4, 1e5]])

    def along(axis: int) -> Any:
        def loss(x: Any) -> Any:
            return np.sum(np.maximum.accumulate(x, axis) * weights)

        return trace(loss, (x,), {}, {"x": x}).backward()["x"].tolist()

    assert along(0) == [[1.0, 10010.0, 100.0], [1e3, 0.0, 1e5]]
    assert along(1) == along(-1) == [[1.0, 110.0, 0.0], [1e3, 1e4, 1e5]]
