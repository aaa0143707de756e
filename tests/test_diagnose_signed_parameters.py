"""An error that is a multiple of the parameter, where the parameter has entries of both signs."""

import numpy as np
import pytest
from test_diagnose_regularisers import ALL, MATRIX, told

from gradcheck.diagnose.evidence import Evidence
from gradcheck.diagnose.regulariser import regulariser

SIGNED = MATRIX * np.where(np.arange(20).reshape(4, 5) % 3 == 1, -1.0, 1.0)


def test_every_entry_that_is_not_zero_shows():
    every = [("reg_scale", "reg", "likely", "all entries")]
    assert told(SIGNED, ALL, 0.3, known=("reg",)) == every
    assert told(-SIGNED, ALL, 0.3, known=("reg",)) == every


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_is_right_in_the_entries_of_one_sign_is_no_regulariser(sign):
    signed = sign * SIGNED
    assert told(signed, signed > 0.0, 0.3, known=("reg",)) == []
    assert told(signed, signed < 0.0, 0.3, known=("reg",)) == []


@pytest.mark.parametrize("small", [0.01, -0.01, 1e-4, -1e-4, 1e-30, 0.0])
def test_an_entry_too_small_for_its_error_to_show_says_nothing(small):
    mostly = SIGNED.copy()
    mostly[1, 2] = small
    shown = np.abs(mostly) > 0.1
    every = [("reg_scale", "reg", "likely", "all entries")]
    assert told(mostly, shown, 0.3, unknown=1e-3, known=("reg",)) == every


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_rows_that_are_right_tell_by_entries_of_either_sign(sign):
    """Rows 1 and 2 are wrong; all others have the opposite sign."""
    rows = MATRIX * np.array([-sign, sign, sign, -sign])[:, None]
    found = told(rows, slice(1, 3), 0.3, known=("reg",))
    assert found == [("reg_extra", "reg", "exact", "rows 1 and 2")]


def test_of_a_parameter_that_is_zero_where_it_is_wrong_no_multiple_is_meant():
    holes = np.where(np.arange(20).reshape(4, 5) < 10, 0.0, SIGNED)
    right = np.cos(SIGNED)
    known = Evidence(
        names=("v",), values={"v": holes}, analytic={"v": right + (holes == 0.0)},
        reference={"v": right}, uncertainty={"v": np.full((4, 5), 1e-12)},
        failing={"v": holes == 0.0}, scalars={"reg": 0.3},
    )  # fmt: skip
    assert regulariser(known) == ()
