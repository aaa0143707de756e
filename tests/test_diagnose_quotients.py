"""Quotients that look like a normalisation, and are none."""

import numpy as np
from handed_rules import G, Z, handed

from gradcheck.diagnose.wrong_shares import wrong_normalisations


def test_a_column_over_a_row_of_its_sums_is_no_normalisation():
    """Without ``keepdims`` each entry is divided by every sum."""

    def loss(W):
        E = np.exp(W)
        return np.sum(E / E.sum(axis=1) * G[:, :3])

    here, pool = handed(loss, "divide", {"W": Z[:, :1]})
    assert (here.right.shape, here.cotangent.shape) == ((1, 3, 1), (1, 3, 3))
    assert list(wrong_normalisations(here, pool)) == []
