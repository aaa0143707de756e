"""What group testing found is said in words that lead to the place."""

from __future__ import annotations

import numpy as np
import pytest

import gradcheck
from gradcheck.sweep.localize import Localisation
from gradcheck.sweep.selection import _outcome
from gradcheck.sweep.wrong_blocks import WrongBlock, kind_of


@pytest.mark.parametrize(
    ("box", "place"),
    [
        (((5, 6), (0, 80)), "row 5 of W"),
        (((5, 8), (0, 80)), "rows 5 to 7 of W"),
        (((0, 80), (7, 8)), "column 7 of W"),
        (((0, 80), (2, 4)), "columns 2 to 3 of W"),
        (((0, 80), (0, 80)), "all of W"),
        (((5, 6), (0, 17)), "block [5, 0:17] of W"),
    ],
)
def test_a_block_that_is_wrong_is_named_with_its_numbers(box, place) -> None:
    assert WrongBlock("W", kind_of(box, (80, 80)), box, 6, 6).place == place


def found(entries=(), blocks=()) -> str:
    search = Localisation(
        *(tuple(entries), tuple(blocks), ()),
        evaluations=70,
        resolution={"W": 1e-7},
        agreed=True,
        complete=True,
    )
    return _outcome(search)


def test_rows_and_single_entries_are_told_by_number() -> None:
    rows = [WrongBlock("W", "row", ((k, k + 1), (0, 80)), 6, 6) for k in range(3, 9)]
    assert "wrong as wholes: row 3 of W, row 4 of W;" in found(blocks=rows[:2])
    assert "row 7 of W and 1 more;" in found(blocks=rows)
    assert found(entries=[("W", 3)]).startswith("Found: 1 wrong entry;")
    assert found().startswith("Found: 0 wrong entries;")


def test_a_search_that_a_limit_kept_from_beginning_claims_nothing() -> None:
    inputs = {"W": np.linspace(0.1, 1.4, 6000)}
    check = gradcheck.check(
        lambda W: (np.sum(np.sin(W)), np.cos(W)), inputs, autograd=False, budget=5
    )
    (said,) = (one.message for one in check.warnings if one.key == "located")
    assert "a limit was reached before" in said
    assert "nan" not in said
    assert "would have been seen" not in said
