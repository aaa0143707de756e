"""Quotients: what only looks like a normalisation, and what stands over the divisor."""

import numpy as np
from handed_rules import G, N, V, Z, by_words, handed

from gradcheck.diagnose.wrong_products import wrong_products
from gradcheck.diagnose.wrong_shares import wrong_normalisations


def test_a_column_over_a_row_of_its_sums_is_no_normalisation():
    """Without ``keepdims`` each entry is divided by every sum."""

    def loss(W):
        E = np.exp(W)
        return np.sum(E / E.sum(axis=1) * G[:, :3])

    here, pool = handed(loss, "divide", {"W": Z[:, :1]})
    assert (here.right.shape, here.cotangent.shape) == ((1, 3, 1), (1, 3, 3))
    assert list(wrong_normalisations(here, pool)) == []


def test_a_numerator_that_was_broadcast_is_no_other_one():
    def loss(W):
        return np.sum(V / W * G)

    here, pool = handed(loss, "divide", {"W": N}, operand=1, data={"Q": np.tile(V, (3, 1)), "R": Z})
    words = by_words(wrong_products(here, pool))
    assert "is multiplied by R itself in place of the numerator" in words
    assert "is multiplied by Q itself in place of the numerator" not in words
