"""How many entries of the first axes an index array picks at a time, by the shapes alone."""

from types import SimpleNamespace

import numpy as np
import pytest

from gradcheck.diagnose.repeated import _rows


@pytest.mark.parametrize(
    ("taken", "read", "rows"),
    [
        ((4, 2, 3), (5, 2, 3), 4),
        ((4, 3), (5, 3), 4),
        ((4,), (5,), 4),
        ((2, 4, 3), (5, 3), 8),
        ((4, 2, 3), (5, 7, 3), 8),
        ((6, 2), (6, 2), 6),
    ],
)
def test_the_axes_at_the_end_that_both_share_are_not_picked(taken, read, rows):
    use = SimpleNamespace(cotangent=np.zeros(taken), contribution=np.zeros(read))
    assert _rows(use) == rows
