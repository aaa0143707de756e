"""Group testing finds the wrong entries of a large gradient in few evaluations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcheck.calling.quiet import quiet
from gradcheck.noise import loss_noise
from gradcheck.numpy_target.problem import Limits, numpy_problem
from gradcheck.problem import Problem
from gradcheck.sweep.localize import Localisation, localise

Gradients = dict[str, NDArray[np.float64]]
Damage = Callable[[Gradients], None]

SIZES = {"W1": (60, 40), "b1": (40,), "W2": (40, 10), "b2": (10,)}
P = sum(math.prod(shape) for shape in SIZES.values())


def nothing(_: Gradients) -> None:
    """Leave the gradient as it is: right."""


def network(damage: Damage = nothing, *, relu: bool = False, dtype=np.float64, **limits) -> Problem:
    """Two layers with a squared error, whose gradient is damaged on its way out."""
    draw = np.random.default_rng(5)
    X, Y = draw.normal(size=(20, 60)), draw.normal(size=(20, 10))
    inputs = {name: draw.normal(size=shape) / 6 for name, shape in SIZES.items()}

    def loss(W1, b1, W2, b2):
        z = X @ W1 + b1
        hidden = np.maximum(z, 0) if relu else np.tanh(z)
        slope = (z > 0) if relu else 1 - hidden**2
        residual = hidden @ W2 + b2 - Y
        d = residual / len(X)
        dz = (d @ W2.T) * slope
        grads = {"W1": X.T @ dz, "b1": dz.sum(0), "W2": hidden.T @ d, "b2": d.sum(0)}
        damage(grads)
        return 0.5 * np.sum(residual**2) / len(X), grads

    low = {name: value.astype(dtype) for name, value in inputs.items()}
    return numpy_problem(loss, low, limits=Limits(**limits))


def search(problem: Problem, seed: int = 0, **options: int) -> Localisation:
    generator = np.random.default_rng(seed)
    with quiet():
        return localise(problem, loss_noise(problem, generator), generator, **options)


def allowed(wrong: int, size: int = P) -> float:
    return 40 + 6 * wrong * math.log2(size)


@pytest.mark.parametrize("seed", range(8))
def test_a_right_gradient_is_seen_to_agree_in_few_evaluations(seed: int) -> None:
    found = search(network(), seed)
    assert found.found_nothing
    assert found.complete
    assert found.evaluations <= 16
    assert set(found.resolution) == set(SIZES)
    assert all(0 < value < 1e-5 for value in found.resolution.values())


@pytest.mark.parametrize("error", [-2.0, -1.0, 0.1, 1e-4])
def test_one_wrong_entry_is_found(error: float) -> None:
    def damage(grads: Gradients) -> None:
        grads["W1"][37, 11] *= 1 + error

    found = search(network(damage))
    assert found.entries == (("W1", 37 * 40 + 11),)
    assert not found.blocks
    assert found.agreed
    assert not found.found_nothing
    assert found.evaluations <= allowed(1)


def test_an_error_below_the_resolution_is_not_made_up() -> None:
    def damage(grads: Gradients) -> None:
        grads["W1"][37, 11] *= 1 + 1e-13

    assert search(network(damage)).found_nothing


@pytest.mark.parametrize("wrong", [2, 5, 20])
def test_scattered_entries_of_several_parameters_are_found_exactly(wrong: int) -> None:
    flat = np.random.default_rng(wrong).choice(P, wrong, replace=False)
    ends = np.cumsum([math.prod(shape) for shape in SIZES.values()])
    names = list(SIZES)
    places = set()
    for position in flat.tolist():
        k = int(np.searchsorted(ends, position, side="right"))
        places.add((names[k], position - (int(ends[k - 1]) if k else 0)))

    def damage(grads: Gradients) -> None:
        for name, index in places:
            grads[name].reshape(-1)[index] *= 1.5

    found = search(network(damage))
    assert set(found.entries) == places
    assert found.agreed
    assert found.evaluations <= allowed(wrong)


def test_two_equal_and_opposite_errors_do_not_hide_each_other() -> None:
    def damage(grads: Gradients) -> None:
        grads["b1"][3] += 0.1
        grads["b1"][4] -= 0.1

    assert {flat for _, flat in search(network(damage)).entries} == {3, 4}


def damage_row(grads: Gradients) -> None:
    grads["W1"][7] *= 2


def damage_rows(grads: Gradients) -> None:
    grads["W1"][20:27] *= 2


def damage_column(grads: Gradients) -> None:
    grads["W1"][:, 9] = 0


def damage_matrix(grads: Gradients) -> None:
    grads["W2"] *= -1


def damage_bias(grads: Gradients) -> None:
    grads["b2"] *= 0.5


@pytest.mark.parametrize(
    ("damage", "parameter", "kind", "box", "wrong"),
    [
        (damage_row, "W1", "row", ((7, 8), (0, 40)), 40),
        (damage_rows, "W1", "rows", ((20, 27), (0, 40)), 280),
        (damage_column, "W1", "column", ((0, 60), (9, 10)), 60),
        (damage_matrix, "W2", "parameter", ((0, 40), (0, 10)), 400),
        (damage_bias, "b2", "parameter", ((0, 10),), 10),
    ],
)
def test_rows_columns_and_whole_parameters_are_found_as_such(
    damage: Damage, parameter: str, kind: str, box: tuple[tuple[int, int], ...], wrong: int
) -> None:
    found = search(network(damage))
    assert [(one.parameter, one.kind, one.box) for one in found.blocks] == [(parameter, kind, box)]
    assert found.blocks[0].wrong == found.blocks[0].probed >= 5
    assert found.blocks[0].size == wrong
    assert {name for name, _ in found.entries} == {parameter}
    assert found.agreed
    assert found.evaluations <= allowed(wrong)
    assert found.evaluations < 200


def test_a_parameter_wrong_in_every_other_entry_is_said_to_be_partly_wrong() -> None:
    def damage(grads: Gradients) -> None:
        grads["W1"].reshape(-1)[::2] = 0

    (block,) = search(network(damage)).blocks
    assert block.kind == "parameter"
    assert 0 < block.wrong < block.probed


def test_everything_wrong_is_four_wrong_parameters() -> None:
    def damage(grads: Gradients) -> None:
        for gradient in grads.values():
            gradient *= 2

    found = search(network(damage))
    assert [(one.parameter, one.kind) for one in found.blocks] == [
        (name, "parameter") for name in SIZES
    ]


def test_an_error_spread_too_thin_to_see_in_one_entry_is_not_called_right() -> None:
    def damage(grads: Gradients) -> None:
        grads["W1"] *= 1 + 3e-9

    found = search(network(damage))
    assert found.unresolved
    assert not found.found_nothing


def test_kinks_of_a_relu_network_are_not_taken_for_errors() -> None:
    assert search(network(relu=True)).found_nothing

    def damage(grads: Gradients) -> None:
        grads["W1"][37, 11] += 0.1

    assert search(network(damage, relu=True)).entries == (("W1", 37 * 40 + 11),)


def test_float32_gradients_are_judged_by_their_own_rounding() -> None:
    assert search(network(dtype=np.float32)).found_nothing
    found = search(network(damage_row, dtype=np.float32))
    assert [(one.kind, one.box[0]) for one in found.blocks] == [("row", (7, 8))]


def test_the_limit_holds_and_an_unfinished_search_says_so() -> None:
    found = search(network(damage_row), max_evaluations=30)
    assert found.evaluations <= 30
    assert not found.complete
    assert not found.agreed
    assert not found.found_nothing

    problem = network(damage_row, budget=50)
    assert not search(problem).complete
    assert problem.evaluator.count <= 50


def test_the_parameters_come_back_bit_for_bit() -> None:
    problem = network(damage_column)
    before = [parameter.value.copy() for parameter in problem.parameters]
    search(problem)
    for parameter, value in zip(problem.parameters, before, strict=True):
        assert np.array_equal(parameter.value, value)


def test_entries_that_are_not_numbers_do_not_end_the_search() -> None:
    def damage(grads: Gradients) -> None:
        grads["W2"][1, 1] = np.nan
        grads["W2"][5, 5] *= 2

    assert search(network(damage)).entries == (("W2", 55),)


def test_scalars_and_arrays_of_many_axes() -> None:
    def loss(a, T):
        gradient = 2 * T * a
        gradient[1, 2, 3] += 1
        return a * np.sum(T**2), {"a": np.sum(T**2), "T": gradient}

    T = np.random.default_rng(0).normal(size=(3, 4, 5))
    found = search(numpy_problem(loss, {"a": 0.7, "T": T}))
    assert found.entries == (("T", int(np.ravel_multi_index((1, 2, 3), T.shape))),)


@pytest.mark.slow
def test_ten_million_parameters() -> None:
    size = 10_000_000
    x = np.linspace(0.5, 1.5, size)

    def loss(x):
        gradient = x.copy()
        gradient[[17, 6_543_210]] *= 1.01
        return 0.5 * float(x @ x), gradient

    found = search(numpy_problem(loss, {"x": x}))
    assert found.entries == (("x", 17), ("x", 6_543_210))
    assert found.evaluations <= allowed(2, size)
