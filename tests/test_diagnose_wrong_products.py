"""Every wrong rule for a product hands on what its words say: powers, values, transposes."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from handed_rules import G, M, N, V, Z, by_words, handed, same

from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.wrong_products import (
    summed_to,
    wrong_matrix_products,
    wrong_products,
)
from gradcheck.tracing import trace


def test_a_factor_to_another_power():
    here, pool = handed(lambda W: np.sum(W * N * G), "multiply", {"W": Z})
    found = by_words(wrong_products(here, pool))
    for words, power in {
        "its square root": 0.5, "its square": 2, "its third power": 3, "its inverse": -1,
    }.items():  # fmt: skip
        same(found[f"is multiplied by {words} in place of the other factor"], here, G * N**power)
    assert "is multiplied by 1 in place of the other factor" not in found
    causes = [w.cause for w in found.values()][:4]
    assert causes == ["factor_missing", "extra_factor", "extra_factor", "stale_value"]


def test_a_negative_factor_has_no_root_and_a_broadcast_one_may_be_left_out():
    here, pool = handed(lambda W: np.sum(W * V * G), "multiply", {"W": Z})
    assert not any("square root" in words for words in by_words(wrong_products(here, pool)))
    here, pool = handed(lambda b: np.sum(b * Z * G), "multiply", {"b": V})
    found = by_words(wrong_products(here, pool))
    same(found["is multiplied by 1 in place of the other factor"], here, G.sum(0))
    same(found["is multiplied by its square in place of the other factor"], here, (G * Z**2).sum(0))


def test_another_value_in_place_of_a_factor_or_a_divisor():
    here, pool = handed(lambda W: np.sum(W * N * G), "multiply", {"W": Z}, data={"X": G})
    found = by_words(wrong_products(here, pool))
    same(found["is multiplied by X itself in place of the other factor"], here, G * G)
    here, pool = handed(lambda W: np.sum(W / N * G), "divide", {"W": Z}, data={"X": G})
    found = by_words(wrong_products(here, pool))
    same(found["is divided by X itself in place of the divisor"], here, np.ones((3, 4)))
    same(found["is divided by its square in place of the divisor"], here, G / N**2)
    same(found["is divided by its inverse in place of the divisor"], here, G * N)
    here, pool = handed(lambda D: np.sum(G / D), "divide", {"D": N}, operand=1, data={"X": Z})
    found = by_words(wrong_products(here, pool))
    same(found["is multiplied by X itself in place of the numerator"], here, -Z / N**2)


def test_one_number_in_every_entry_is_no_factor_to_raise():
    here, pool = handed(lambda W: np.sum(W * np.full((3, 4), 2.0) * G), "multiply", {"W": Z})
    assert not any("square" in words for words in by_words(wrong_products(here, pool)))


@pytest.mark.parametrize(
    ("parameter", "operand", "loss", "right"),
    [
        (Z, 0, lambda W: np.sum((W @ M) * G), lambda F: G @ F.T),
        (M, 1, lambda W: np.sum((Z @ W) * G), lambda F: F.T @ G),
        (V, 1, lambda W: np.sum((Z @ W) * U), lambda F: F.T @ U),
        (U0 := np.array([0.4, -1.1, 0.8]), 0, lambda W: np.sum((W @ Z) * V), lambda F: F @ V),
    ],
)
def test_another_matrix_in_place_of_the_factor_of_a_product(parameter, operand, loss, right):
    here, pool = handed(loss, "matmul", {"W": parameter}, operand)
    factor = here.operands[1 - operand][0]
    found = by_words(wrong_matrix_products(here, pool))
    same(
        found["is multiplied by the squares of the entries of the other factor of the product"],
        here,
        right(factor**2),
    )
    same(
        found[
            "is multiplied by the absolute values of the entries of the other factor of the product"
        ],
        here,
        right(np.abs(factor)),
    )
    turned = "is multiplied by the transpose of the other factor of the product"
    assert (turned in found) == (factor.shape[0] == factor.shape[1])
    if turned in found:
        same(found[turned], here, right(factor.T))
        assert found[turned].cause == "transpose"


U = np.array([0.9, 0.2, -0.7])


def test_another_vector_in_place_of_the_factor_of_a_scalar_product():
    here, pool = handed(lambda W: 3.0 * (W @ V), "matmul", {"W": Z[0].copy()}, data={"X": Z[1]})
    found = by_words(wrong_matrix_products(here, pool))
    same(found["is multiplied by X itself in place of the other factor"], here, 3.0 * Z[1])


def test_the_gradient_of_a_square_product_transposed():
    here, pool = handed(lambda W: np.sum((M @ W) * M), "matmul", {"W": M.T.copy()}, 1)
    found = by_words(wrong_matrix_products(here, pool))
    same(found["is used transposed"], here, M.T @ M.T)


def test_the_numerator_itself_is_no_other_value():
    here, pool = handed(
        lambda D: np.sum(N / D * G), "divide", {"D": N + 1.0}, operand=1, data={"N": N, "X": Z}
    )
    found = by_words(wrong_products(here, pool))
    assert "is multiplied by N itself in place of the numerator" not in found
    same(found["is multiplied by X itself in place of the numerator"], here, -G * Z / (N + 1) ** 2)
    assert {wrong.cause for wrong in found.values()} == {"stale_value"}


def test_a_square_has_no_other_factor_and_a_product_of_three_is_not_looked_at():
    here, pool = handed(lambda W: np.sum(W * W * G), "multiply", {"W": Z}, data={"X": N})
    assert not any("in place" in words and "X itself" in words
                   for words in by_words(wrong_products(here, pool)))  # fmt: skip
    here, pool = handed(lambda W: np.sum((W + G) * G), "add", {"W": Z}, data={"X": N})
    assert list(wrong_products(here, pool)) == []


def test_values_that_are_factors_elsewhere_are_tried_first():
    def loss(W):
        s, t = np.sin(W), np.exp(W)
        return np.sum(s * N * G) + np.sum(t * G) + np.sum(np.cos(W))

    here, pool = handed(loss, "multiply", {"W": Z})
    ranks = {
        w.words.split("`")[1]: w.rank for w in wrong_products(here, pool) if w.other is not None
    }
    assert ranks["exp"] == ranks["sin"] == 1
    assert ranks["cos"] == 2


@pytest.mark.parametrize(
    ("array", "shape", "expected"),
    [((2, 3, 4), (3, 4), (2, 3, 4)), ((2, 3, 4), (1, 4), (2, 1, 4)), ((2, 3, 4), (4,), (2, 4)),
     ((2, 3, 4), (), (2,)), ((2, 1, 4), (1, 1), (2, 1, 1))],
)  # fmt: skip
def test_what_was_broadcast_is_summed(array, shape, expected):
    ones = np.ones(array)
    found = summed_to(ones, shape)
    assert found.shape == expected
    assert (found == ones.size / found.size).all()


def test_the_root_of_a_factor_that_has_one():
    for factor, roots in ((np.abs(M), True), (M, False)):
        here, pool = handed(lambda W, F=factor: np.sum((W @ F) * G), "matmul", {"W": Z})
        found = by_words(wrong_matrix_products(here, pool))
        words = (
            "is multiplied by the square roots of the entries of the other factor of the product"
        )
        assert (words in found) is roots
        if roots:
            same(found[words], here, G @ np.sqrt(factor).T)
            assert found[words].cause == "factor_missing"


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize(
    ("name", "loss", "parameter", "same_shape"),
    [
        ("multiply", lambda W: np.sum((W * 2.0) * G), Z, True),
        ("divide", lambda W: np.sum((W / 2.0) * G), Z, True),
        ("multiply", lambda W: np.sum((W * np.full((3, 4), 2.0)) * G), V, False),
    ],
)
def test_a_constant_number_may_be_left_out_of_each_pass(name, loss, parameter, same_shape, repeats):
    here, pool = handed(loss, name, {"W": parameter})
    found = by_words(wrong_products(replace(here, repeats=repeats), pool))
    assert ("passes without the factor" in found) is (repeats and same_shape)
    if repeats and same_shape:
        same(found["passes without the factor"], here, G)
        assert found["passes without the factor"].rank == 0


def offered(loss, name, operand=0, data=None, **values):
    """The words of what is used in place of another value, of one operand of a product."""
    here, pool = handed(loss, name, values, operand, data=data)
    rules = wrong_matrix_products if name in ("matmul", "dot") else wrong_products
    return {wrong.words for wrong in rules(here, pool) if wrong.cause == "stale_value"}


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("multiply", lambda W, U: np.sum(np.sin(W) * np.cos(U) * 2.0)),
        ("divide", lambda W, U: np.sum(np.sin(W) / np.cos(U))),
        ("matmul", lambda W, U: np.sum(np.sin(W) @ np.cos(U))),
    ],
)
def test_the_factor_itself_is_no_other_value(name, loss):
    rules = wrong_matrix_products if name == "matmul" else wrong_products
    for operand, own, other in ((0, "cos", "sin"), (1, "sin", "cos")):
        if name == "divide" and operand == 1:
            continue  # what the divisor gets is multiplied by another numerator
        here, pool = handed(loss, name, {"W": M, "U": N4}, operand)
        graph = here.flow.graph
        names = {graph.by_index[w.other].name for w in rules(here, pool) if w.other is not None}
        assert other in names
        assert own not in names


N4 = np.abs(M) + 0.4


@pytest.mark.parametrize(
    ("factor", "names"),
    [(V, {"X itself", "v itself"}), (V[:1], set()), (N, {"X itself"})],
)
def test_a_value_of_the_results_shape_may_stand_for_a_factor_that_is_broadcast(factor, names):
    data = {"X": N, "v": V + 1}
    words = offered(lambda W: np.sum((W * factor) * G), "multiply", W=Z, data=data)
    assert {name for name in ("X itself", "v itself") if any(name in w for w in words)} == names


def test_zero_has_a_root_and_a_square_quotient_has_two_sides():
    zeros = np.where(N > 0.8, 0.0, N)
    assert (zeros == 0).any()
    here, pool = handed(lambda W: np.sum(W * zeros * G), "multiply", {"W": Z})
    root = by_words(wrong_products(here, pool))[
        "is multiplied by its square root in place of the other factor"
    ]
    same(root, here, G * np.sqrt(zeros))
    words = offered(lambda W: np.sum(W / W * G), "divide", W=N, data={"X": Z})
    assert "is divided by X itself in place of the divisor" in words


def test_a_constant_that_differs_from_run_to_run_is_a_factor():
    def loss(W):
        total = 0.0
        for k in range(2):
            total = total + np.sum(W * np.full((3, 4), 2.0 + k) * G)
        return total

    traced = trace(loss, (), {"W": Z}, {"W": Z})
    runs = [h for h in Flow(traced, graph_of(traced)).handings() if h.operation.name == "multiply"]
    square = "is multiplied by its square in place of the other factor"
    nothing = SimpleNamespace(of_shape=lambda *_: ())
    said = {
        len(here.runs): square in by_words(wrong_products(here, nothing))
        for here in runs
        if here.operation.inputs[1][0] == "constant" and here.sources[0][0] == "parameter"
    }
    assert said == {2: True, 1: False}


def test_products_of_many_matrices_or_by_a_number_are_not_looked_at():
    stack = np.stack([M, M + 1])
    here, pool = handed(lambda W: np.sum((stack @ W) * stack), "matmul", {"W": M}, 1)
    assert list(wrong_matrix_products(here, pool)) == []
    here, pool = handed(lambda W: np.sum(np.dot(W, 2.0) * G), "dot", {"W": Z})
    assert list(wrong_matrix_products(here, pool)) == []
    here, pool = handed(lambda W: np.sum((W * N) * G), "multiply", {"W": Z})
    assert list(wrong_matrix_products(here, pool)) == []
    here, pool = handed(lambda W: np.sum((W @ M) * G), "matmul", {"W": Z})
    einsum = replace(here, operation=replace(here.operation, name="einsum"))
    assert list(wrong_matrix_products(einsum, pool)) == []
    assert list(wrong_products(here, pool)) == []


def test_only_a_square_gradient_or_factor_is_transposed():
    words = "is used transposed"
    here, pool = handed(lambda W: np.sum((W @ M) * G), "matmul", {"W": Z})
    assert words not in by_words(wrong_matrix_products(here, pool))
    here, pool = handed(lambda W: np.sum((M @ W) * V), "matmul", {"W": V + 1}, 1)
    assert words not in by_words(wrong_matrix_products(here, pool))
    found = by_words(wrong_matrix_products(here, pool))
    assert "is multiplied by the transpose of the other factor of the product" in found
    here, pool = handed(lambda W: np.sum((Z @ W) * G), "matmul", {"W": M}, 1)
    found = by_words(wrong_matrix_products(here, pool))
    assert "is multiplied by the transpose of the other factor of the product" not in found


def test_a_matrix_of_zeros_has_roots():
    zeros = np.where(M > 0, M, 0.0)
    here, pool = handed(lambda W: np.sum((W @ zeros) * G), "matmul", {"W": Z})
    words = "is multiplied by the square roots of the entries of the other factor of the product"
    same(by_words(wrong_matrix_products(here, pool))[words], here, G @ np.sqrt(zeros).T)


@pytest.mark.parametrize("name", ["matmul", "multiply"])
def test_another_value_at_hand_is_as_likely_as_it_is_a_factor_itself(name):
    def loss(W, U):
        s, t = np.sin(U), np.cos(U)
        product = W @ M if name == "matmul" else W * M
        return np.sum(product) + np.sum(M @ s) + np.sum(t)

    here, pool = handed(loss, name, {"W": M + 1, "U": N4}, data={"X": M * 2})
    rules = wrong_matrix_products if name == "matmul" else wrong_products
    graph = here.flow.graph
    ranks = {
        "input" if w.other is None else graph.by_index[w.other].name: w.rank
        for w in rules(here, pool)
        if w.cause == "stale_value" and "inverse" not in w.words
    }
    assert (ranks["sin"], ranks["cos"], ranks["input"]) == (1, 2, 2)
