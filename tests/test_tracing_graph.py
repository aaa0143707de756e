"""What a recorded graph tells of itself, and how operations of many nodes hand on a cotangent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck.tracing import Alteration, trace
from gradcheck.tracing.altered import fits, real_array, with_unit_axes

torch = pytest.importorskip("torch")

generator = np.random.default_rng(3)
V = generator.normal(size=6)
A = generator.normal(size=(3, 4))


def traced_of(loss: Any, **parameters: Any) -> Any:
    values = {name: np.array(value) for name, value in parameters.items()}
    return trace(loss, (), values, values)


def index_of(traced: Any, name: str) -> int:
    return next(operation.index for operation in traced.operations if operation.name == name)


# precision


def test_without_operations_all_is_in_doubles() -> None:
    traced = traced_of(lambda v: 2.0, v=V)
    assert traced.precision == np.float64
    assert traced.in_doubles


@pytest.mark.parametrize(
    ("loss", "precision", "in_doubles"),
    [
        (lambda v: np.sum(v * v), "float64", True),
        (lambda v: np.sum(v.astype(np.float32) ** 2), "float32", False),
        (lambda v: np.sum(np.sum(v.astype(np.float32)).astype(np.float16)), "float16", False),
        (lambda v: np.sum(np.abs(v * 1j)), "float64", False),
        (lambda v: np.float64(np.sum(v)), "float64", True),
    ],
)
def test_the_precision_is_the_lowest_of_all_results(
    loss: Any, precision: str, in_doubles: bool
) -> None:
    traced = traced_of(loss, v=V)
    assert traced.precision == np.dtype(precision)
    assert traced.in_doubles is in_doubles


def test_the_dtype_of_a_parameter_counts_too() -> None:
    traced = traced_of(lambda v: np.sum(v.astype(float)), v=V.astype(np.float32))
    assert traced.precision == np.float64
    assert not traced.in_doubles


@pytest.mark.parametrize(("size", "kept"), [(1 << 16, True), ((1 << 16) + 1, False)])
def test_a_small_gradient_is_computed_once(size: int, kept: bool) -> None:
    traced = traced_of(lambda v: np.sum(v), v=np.zeros(size))
    first = traced.backward()["v"]
    first[...] = 5.0
    assert traced.backward()["v"].tolist() == [1.0] * size
    assert ("_kept" in vars(traced)) is kept


# what is selected


@pytest.mark.parametrize(
    "pick",
    [
        lambda a: a[1:],
        lambda a: a[1],
        lambda a: a[2, 3],
        lambda a: a[:, 1],
        lambda a: a[1:, ::2],
        lambda a: a.T,
        lambda a: a[None, :, 1:3],
        lambda a: a.reshape(2, 6),
        lambda a: np.broadcast_to(a[:1], (2, 1, 4)),
        lambda a: np.broadcast_to(a[1], (3, 4)),
    ],
)
def test_which_entries_a_view_shows(pick: Any) -> None:
    traced = traced_of(lambda a: np.sum(pick(a) * 2.0), a=A)
    last = index_of(traced, "multiply") - 1
    (inputs,) = traced.operations[last].input_shapes
    numbers = np.arange(12.0).reshape(3, 4)
    operand = numbers if inputs == (3, 4) else numbers[:1] if inputs == (1, 4) else numbers[1]
    shown = pick(numbers) - operand.ravel()[0]
    found = traced.selected(last)
    assert found.shape == (np.size(shown),)
    assert found.tolist() == np.ravel(shown).tolist()


@pytest.mark.parametrize(
    "pick",
    [
        lambda a: a[[0, 2]],
        lambda a: a[::-1],
        lambda a: a * 3.0,
        lambda a: a.copy(),
        lambda a: np.diagonal(a),
        lambda a: np.exp(a),
        lambda a: np.concatenate([a, a]),
        lambda a: a + a,
        lambda a: 3.0 * a,
    ],
)
def test_what_is_no_view_of_one_operand_selects_nothing(pick: Any) -> None:
    traced = traced_of(lambda a: np.sum(pick(a)), a=A)
    assert traced.selected(0) is None


def test_of_an_operand_with_gaps_nothing_is_said() -> None:
    traced = traced_of(lambda a: np.sum(a.T[1:]), a=A)
    assert traced.selected(index_of(traced, "transpose")) is not None
    assert traced.selected(index_of(traced, "getitem")) is None


# no operations


def test_a_loss_that_is_the_parameter_itself() -> None:
    traced = traced_of(lambda v: v, v=[3.0])
    assert traced.loss == 3.0
    assert traced.cotangents() == {}
    assert traced.backward()["v"].tolist() == [1.0]
    assert traced.pull({})["v"].tolist() == [0.0]


# operations of many nodes


def filled(v: Any, scale: complex = 2.0) -> Any:
    """An array of two columns, put together from its first content and many rows."""
    y = v * scale
    for place in range(1, len(v)):
        y[place : place + 1] = v[place : place + 1] * 3.0 + v[0]
    return np.sum(np.real(y) * np.arange(1.0, 2 * len(v) + 1).reshape(-1, 2))


@pytest.mark.parametrize("count", [4, 70])
def test_an_array_of_many_writes_hands_each_its_cotangent(count: int) -> None:
    traced = traced_of(filled, v=np.linspace(-1.0, 1.0, 2 * count).reshape(-1, 2))
    cotangent = np.arange(10.0, 10.0 + 2 * count).reshape(-1, 2)
    base, *pieces = traced.local(index_of(traced, "assemble"), cotangent)
    np.testing.assert_array_equal(base.reshape(-1, 2), [cotangent[0], *np.zeros((count - 1, 2))])
    np.testing.assert_array_equal(np.concatenate(pieces), cotangent[1:])


@pytest.mark.parametrize("count", [4, 70])
@pytest.mark.parametrize("scale", [2.0, 2.0 + 1.0j])
def test_its_slope_is_1_where_nothing_was_written(count: int, scale: complex) -> None:
    def loss(v: Any) -> Any:
        return filled(v, scale)

    traced = traced_of(loss, v=np.linspace(-1.0, 1.0, 2 * count).reshape(-1, 2))
    weights = np.arange(1.0, 2 * count + 1).reshape(-1, 2)
    expected = np.array([2.0 * weights[0] + weights[1:].sum(0), *(3.0 * weights[1:])])
    plain = traced.backward()["v"]
    np.testing.assert_allclose(plain, expected, rtol=1e-14)
    index = index_of(traced, "assemble")
    twice = traced.backward({index: Alteration("twice", operand=0)})["v"]
    np.testing.assert_allclose(twice, expected, rtol=1e-14)


# alterations


@pytest.mark.parametrize(
    ("small", "large", "expected"),
    [
        ((), (2, 3), True),
        ((3,), (2, 3), True),
        ((1, 3), (2, 3), True),
        ((2, 3), (2, 3), True),
        ((2, 3), (3,), False),
        ((3,), (1,), False),
        ((3, 1), (3,), False),
        ((2,), (2, 3), False),
        ((4, 1), (1, 5), False),
    ],
)
def test_what_fits_is_broadcast_to_just_that_shape(small: Any, large: Any, expected: bool) -> None:
    assert fits(small, large) is expected


@pytest.mark.parametrize(
    ("result", "shape", "axis", "expected"),
    [
        ((2, 1, 4), (2, 3, 4), 1, (2, 1, 4)),
        ((), (2, 3), None, (1, 1)),
        ((), (), None, ()),
        ((), (2, 3), 0, (1, 1)),
        ((2, 4), (2, 3, 4), 1, (2, 1, 4)),
        ((2, 3), (2, 3, 4), -1, (2, 3, 1)),
        ((3,), (2, 3, 4), (0, -1), (1, 3, 1)),
        ((3,), (2, 3, 4), [2, 0], (1, 3, 1)),
        ((2, 4), (2, 3, 4), None, None),
        ((2,), (2, 3, 4), 1, None),
        ((2, 3), (2, 3, 4), (0, 1), None),
    ],
)
def test_reduced_axes_are_put_back_where_there_is_one_way(
    result: Any, shape: Any, axis: Any, expected: Any
) -> None:
    assert with_unit_axes(result, shape, axis) == expected


@pytest.mark.parametrize(
    "kind", ["", "a", "dropped", "ident", "roll", "rules", "scaling", "slopes", "t", "two", "z"]
)
def test_no_other_alteration_is_taken_for_one(kind: str) -> None:
    traced = traced_of(lambda v: np.sum(np.tanh(v)), v=V)
    alteration = Alteration(kind, operand=0, slope=np.ones(6), rule=lambda cotangent: cotangent)
    with pytest.raises(ValueError, match=f"there is no alteration '{kind}'"):
        traced.backward({0: alteration})


@pytest.mark.parametrize(
    ("slope", "operand"), [(np.ones(6), 1), (np.ones((3, 6)), 0), (np.ones((3, 6)), 1)]
)
def test_a_slope_has_the_shape_of_operand_and_result(slope: Any, operand: int) -> None:
    rows = np.ones((3, 6))
    traced = traced_of(lambda v, w: np.sum(v + w), v=V, w=rows)
    alteration = Alteration("slope", operand=operand, slope=slope)
    if operand == 1 and slope.shape == rows.shape:
        assert traced.backward({0: alteration})["w"].tolist() == rows.tolist()
        return
    with pytest.raises(ValueError, match="add is not elementwise in this operand"):
        traced.backward({0: alteration})


def test_a_slope_is_not_summed_over_what_was_broadcast() -> None:
    traced = traced_of(lambda v, w: np.sum(v + w), v=V[None], w=np.ones((3, 6)))
    alteration = Alteration("slope", operand=0, slope=np.ones((3, 6)))
    with pytest.raises(ValueError, match="add is not elementwise in this operand"):
        traced.backward({0: alteration})


def test_complex_slopes_and_rules_keep_the_dtype_of_the_gradient() -> None:
    def loss(v: Any) -> Any:
        return np.real(np.sum(np.exp(v * 1j)))

    traced = traced_of(loss, v=V)
    index = index_of(traced, "exp")
    one = traced.backward({index: Alteration("identity")})["v"]
    np.testing.assert_allclose(one, np.zeros(6), atol=1e-15)
    twice = traced.backward({index: Alteration("twice")})["v"]
    assert twice.dtype == np.float64
    assert np.isfinite(twice).all()


@pytest.mark.parametrize(
    "value",
    [
        np.array([1.0 + 2.0j, 3.0]),
        torch.tensor([1.0 + 2.0j, 3.0]),
        torch.tensor([1.0 + 2.0j, 3.0]).conj(),
        torch.tensor([2.0 + 1.0j, 3.0j]).conj().imag * -1,
        torch.tensor([2.0 - 1.0j, -3.0j]).conj().imag,
        torch.tensor([1.0, 3.0], dtype=torch.float16, requires_grad=True),
        np.array([1, 3]),
    ],
)
def test_values_are_handed_out_as_real_doubles(value: Any) -> None:
    found = real_array(value)
    assert found.dtype == np.float64
    assert found.tolist() == [1.0, 3.0]
