"""Every wrong rule for a product hands on what its words say: powers, values, transposes."""

from dataclasses import replace

import numpy as np
import pytest
from handed_rules import G, M, N, V, Z, by_words, handed, same

from gradcheck.diagnose.wrong_products import (
    summed_to,
    wrong_matrix_products,
    wrong_products,
)


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
