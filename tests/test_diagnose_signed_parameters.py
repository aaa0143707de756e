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


@pytest.mark.parametrize("small", [1e-4, -1e-4, 1e-30, 0.0])
def test_an_entry_too_small_for_its_error_to_show_says_nothing(small):
    mostly = SIGNED.copy()
    mostly[1, 2] = small
    shown = np.abs(mostly) > 0.1
    every = [("reg_scale", "reg", "likely", "all entries")]
    assert told(mostly, shown, 0.3, unknown=1e-3, known=("reg",)) == every


@pytest.mark.parametrize(("times", "shows"), [(3.9, False), (4.1, True)])
def test_an_error_shows_from_four_uncertainties_on(times, shows):
    """One entry is right: it tells against the rest where an error of it would have shown."""
    unknown = 1e-4
    mostly = np.full((4, 5), 1.5)
    mostly[1, 2] = -times * unknown / 0.3
    found = told(mostly, mostly > 0.0, 0.3, unknown=unknown, known=("reg",))
    assert (found == []) is shows


def test_of_a_parameter_that_is_zero_where_it_is_wrong_no_multiple_is_meant():
    holes = np.where(np.arange(20).reshape(4, 5) < 10, 0.0, SIGNED)
    right = np.cos(SIGNED)
    known = Evidence(
        names=("v",), values={"v": holes}, analytic={"v": right + (holes == 0.0)},
        reference={"v": right}, uncertainty={"v": np.full((4, 5), 1e-12)},
        failing={"v": holes == 0.0}, scalars={"reg": 0.3},
    )  # fmt: skip
    assert regulariser(known) == ()
