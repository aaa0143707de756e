"""What is exactly at a bound: numbers that the computer holds without rounding."""

from dataclasses import replace

import numpy as np
import pytest
from test_diagnose_flat import TOLERANCE, told
from test_diagnose_judged import handing, off
from test_diagnose_measures import space
from test_diagnose_patterns import evidence
from test_diagnose_told import left

from gradcheck.diagnose import handed
from gradcheck.diagnose.curvature import Curvature, largest_curvature
from gradcheck.diagnose.entries import _shows, isolated_entries
from gradcheck.diagnose.evidence import Evidence
from gradcheck.diagnose.factors import name_coefficient, name_factor
from gradcheck.diagnose.handed import _distinct, _telling
from gradcheck.diagnose.handed_findings import _concerned
from gradcheck.diagnose.wrong import Wrong


def facts_of(claimed, right, tolerance, failing=False):
    claimed, right = np.asarray(claimed, float), np.asarray(right, float)
    given = np.broadcast_to(np.asarray(tolerance, float), right.shape)
    return Evidence(
        names=("v",), values={"v": right}, analytic={"v": claimed}, reference={"v": right},
        uncertainty={"v": given}, failing={"v": np.full(right.shape, failing)},
    ).facts["v"]  # fmt: skip


# What is known of a parameter


def test_an_entry_off_by_its_uncertainty_is_not_off():
    known = facts_of([0.25, -0.25, 0.26, -0.26, 0.0], np.zeros(5), 0.25)
    assert known.support.tolist() == [False, False, True, True, False]
    assert facts_of([0.0, 0.0], np.zeros(2), 0.25, failing=True).support.all()


def test_an_entry_of_its_uncertainty_does_not_show():
    known = facts_of([0.25, 0.0, 0.0, 0.5, 0.0], [0.0, -0.25, 0.0, 0.0, -0.5], 0.25)
    assert _shows(known).tolist() == [False, False, False, True, True]
    assert not _shows(facts_of([np.nan, 1.0], [1.0, np.inf], 0.25)).any()


@pytest.mark.parametrize("given", [np.nan, 1e-20])
def test_no_uncertainty_is_below_what_a_sum_costs(given):
    """Of one for all entries as well; the largest entry is 4."""
    floor = 4.0 * 1e-12
    assert facts_of([1.0, 4.0], [1.0, 2.0], given).tolerance.tolist() == [floor, floor]
    each = facts_of([1.0, 4.0], [1.0, 2.0], [given, 0.5]).tolerance
    assert each.tolist() == [floor, 0.5]
    assert each.flags.writeable
    assert facts_of(np.zeros((0, 2)), np.zeros((0, 2)), given).tolerance.shape == (0, 2)
    assert facts_of(3.0, 4.0, given).tolerance.shape == ()


def test_the_uncertainty_of_many_entries_keeps_its_own_type(monkeypatch):
    monkeypatch.setattr("gradcheck.diagnose.evidence.MANY", 4)
    for size, dtype in ((4, np.float64), (5, np.float32)):
        given = np.linspace(0.5, 1.0, size).astype(np.float32)
        known = Evidence(
            names=("v",), values={"v": given}, analytic={"v": given}, reference={"v": given},
            uncertainty={"v": given}, failing={},
        ).facts["v"]  # fmt: skip
        assert known.tolerance.dtype == dtype
        np.testing.assert_array_equal(known.tolerance, given)


# Flat losses and isolated entries


def test_a_loss_is_flat_to_exactly_its_uncertainty():
    right = np.zeros((4, 5))
    right[1, 2] = TOLERANCE
    assert told(right)
    assert told(-right)


@pytest.mark.parametrize(("claim", "flat"), [(0.01, True), (0.00999, False)])
def test_a_thousandth_of_the_claim_is_known_well_enough(claim, flat):
    assert TOLERANCE == 1e-3 * 0.01
    assert bool(told(np.zeros((4, 5)), claimed=np.full((4, 5), claim))) is flat


@pytest.mark.parametrize(("n", "found"), [(35, True), (34, False)])
def test_a_fifth_of_the_entries_is_isolated(n, found):
    """Seven scattered ones."""
    right = np.ones(n)
    claimed = right.copy()
    claimed[np.arange(7) * 4] += 1.0
    assert bool(isolated_entries(evidence({"v": claimed}, {"v": right}, {"v": right}))) is found


@pytest.mark.parametrize(("error", "slight"), [(1e-4, False), (0.99e-4, True)])
def test_an_error_of_a_ten_thousandth_is_not_slight(error, slight):
    found = left([1.0, 0.0], np.array([0.0, error]))
    assert ("An iteration inside" in found.message) is slight


# Names of numbers


@pytest.mark.parametrize(("value", "named"), [(1001.0, True), (999.0, True), (1001.01, False),
                                              (998.99, False)])  # fmt: skip
def test_a_number_is_named_up_to_a_thousandth(value, named):
    right = {"v": np.ones(3)}
    known = evidence(right, right, right, sizes=((1000, "the rows of X"),), scalars={"c": 500.0})
    said = [factor.words for factor in name_factor(value, known)]
    assert said == (["1000, the rows of X"] if named else [])
    assert name_coefficient(value, known) == ((1000.0, "2 c") if named else None)
    assert name_coefficient(-value, known) == ((-1000.0, "-2 c") if named else None)


# Rules, digits, curvature


@pytest.mark.parametrize(("error", "telling"), [(1e9, True), (-1e9, True), (0.99e9, False)])
def test_nine_digits_are_enough(error, telling):
    assert _telling(space([error, 0.5, 0, 0, 0], 1.0)) is telling


def test_what_hands_on_nothing_has_no_rounding(monkeypatch):
    """Where what is right is nothing, any number is wrong, and nothing is not."""

    def hands(given, words):
        return Wrong("sign", words, "", lambda _, runs: given[runs], None, 1, False)

    wrong, nothing = hands(off(1, size=1e-30), "a little"), hands(off(), "nothing")
    here = replace(handing(), right=np.zeros((3, 2)))
    assert _concerned(here, wrong).runs == (1,)
    assert _concerned(here, nothing) is here
    monkeypatch.setattr(handed, "_wrongs", lambda *_: iter([nothing, wrong, nothing, wrong]))
    assert [one.words for one in _distinct(here, None, rank=1)] == ["a little"]


def test_one_direction_stands_still_exactly():
    found = largest_curvature(lambda v: 3.0 * v, 1, rtol=0.0)
    assert found == Curvature(3.0, 2, converged=True)
    found = largest_curvature(lambda v: -3.0 * v, 1, rtol=0.0)
    assert found == Curvature(-3.0, 3, converged=True)


@pytest.mark.parametrize("most", [0, -1])
def test_no_products_are_no_curvature(most):
    found = largest_curvature(lambda v: pytest.fail("a product was made"), 2, max_products=most)
    assert (np.isnan(found.value), found.n_products, found.converged) == (True, 0, False)
