"""How well a gradient fits, which factors it shows, and what is known of it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_patterns import DW, W, evidence, only
from test_diagnose_words import graded

from gradcheck.diagnose import Evidence, matching, ranking
from gradcheck.diagnose.evidence import largest_of
from gradcheck.diagnose.factors import name_factor
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.matching import agrees, fit, quality
from gradcheck.diagnose.proportional import constant_factor, data_term_factor
from gradcheck.diagnose.ranking import explained, sharpened

draw = np.random.default_rng(53).normal


# How well it fits


@pytest.mark.parametrize(("tolerance", "grade"), [(0.37, "likely"), (0.38, None)])
def test_what_is_known_is_a_quarter_of_the_error(tolerance, grade):
    assert graded(1.5, tolerance, 0.0) == grade


def test_a_gradient_agrees_where_every_known_entry_does():
    right = np.array([1.0, 2.0, np.nan])
    facts = evidence({"v": np.array([1.0, 2.0, 5.0])}, {"v": right}, {"v": right}).facts["v"]
    unit = float(facts.tolerance[0])
    assert agrees(facts, np.array([1.0 + 3.9 * unit, 2.0 - 3.9 * unit, 7.0]))
    assert not agrees(facts, np.array([1.0 + 4.1 * unit, 2.0, 5.0]))
    assert not agrees(facts, np.array([1.0, 2.0 - 4.1 * unit, 5.0]))


def test_what_is_not_known_has_no_part_in_the_grade():
    right = np.where(np.arange(40) < 4, 1.0, np.nan)
    known = Evidence(
        names=("v",), values={"v": right}, analytic={"v": np.full(40, 2.0)},
        reference={"v": right}, uncertainty={"v": np.full(40, 1e-9)}, failing={},
    )  # fmt: skip
    facts = known.facts["v"]
    assert quality(facts, 2 * right) == "exact"
    assert quality(facts, 2 * right, np.where(facts.known, 1e-9, 9.0)) == "exact"
    assert quality(facts, 2 * right, np.where(facts.known, 9.0, 1e-9)) is None


def test_a_coefficient_of_many_entries_takes_some_of_them(monkeypatch):
    monkeypatch.setattr(matching, "MANY", 10)
    right = draw(size=35)
    facts = evidence({"v": 3 * right}, {"v": right}, {"v": right}).facts["v"]
    found = fit(facts, facts.analytic, facts.reference)
    assert found.coefficients == pytest.approx((3.0,), rel=1e-12)
    taken = matching._some(facts.known, (facts.analytic,))
    np.testing.assert_array_equal(np.flatnonzero(taken), np.arange(0, 35, 4))
    # zeros of all arrays tell nothing, and neither does what is not known
    zeros = np.where(np.arange(35) % 2 == 0, 0.0, right)
    np.testing.assert_array_equal(
        np.flatnonzero(matching._some(facts.known, (zeros, 0 * zeros))), np.arange(1, 35, 4)
    )
    known = np.arange(35) >= 20
    np.testing.assert_array_equal(
        np.flatnonzero(matching._some(known, (right,))), np.arange(20, 35, 2)
    )


def test_entries_are_taken_evenly_across_parts(monkeypatch):
    monkeypatch.setattr(matching, "MANY", 10)
    monkeypatch.setattr(
        matching, "parts", lambda size: (slice(k, min(k + 6, size)) for k in range(0, size, 6))
    )
    taken = matching._some(np.ones(35, bool), (np.ones(35),))
    np.testing.assert_array_equal(np.flatnonzero(taken), np.arange(0, 35, 4))


# Factors


def test_an_array_of_one_is_no_factor_of_another():
    for sizes in (((1, "the rows of y"), (7, "the columns of W")),
                  ((7, "the columns of W"), (1, "the rows of y"))):  # fmt: skip
        known = evidence({"W": 2 * DW}, {"W": DW}, sizes=sizes)
        assert [one.words for one in name_factor(7.0, known)] == ["7, the columns of W"]
    sizes = ((2, "the rows of y"), (7, "the columns of W"))
    known = evidence({"W": 2 * DW}, {"W": DW}, sizes=sizes)
    assert [one.words for one in name_factor(14.0, known)] == [
        "14, the rows of y times the columns of W"
    ]


def test_a_factor_on_all_is_none_on_the_data_term_alone():
    assert data_term_factor(evidence({"W": 2 * DW}, {"W": DW}, {"W": W})) == ()
    beside = 2 * (DW - 0.3 * W) + 0.3 * W
    known = evidence(
        {"W": beside, "b": 2 * DW[0]}, {"W": DW, "b": DW[0]}, {"W": W, "b": W[0]},
        scalars={"reg": 0.3},
    )  # fmt: skip
    assert only(data_term_factor(known)).parameters == ("W", "b")


@pytest.mark.parametrize(
    ("factor", "words"), [(1 + 1e-8, "1.00000001"), (0.25, "1/4"), (0.2468, "0.2468")]
)
def test_a_factor_has_its_words(factor, words):
    found = only(constant_factor(evidence({"W": factor * DW}, {"W": DW}, relative=1e-15)))
    assert found.evidence["words"] == words
    by_name = {"1.00000001": 20, "1/4": 40, "0.2468": 20}
    assert found.specificity == by_name[words]


def test_factors_that_are_nearly_the_same_are_one_finding():
    right = {"W": DW, "b": DW[0]}
    for beside, count in ((1 + 0.9e-6, 1), (1 + 1.1e-6, 2)):
        claimed = {"W": 1.2345 * DW, "b": 1.2345 * beside * DW[0]}
        found = constant_factor(evidence(claimed, right, relative=1e-12))
        assert len(found) == count
        assert found[0].evidence["factor"] == pytest.approx(1.2345, rel=1e-9)  # that of the first


def test_a_gradient_of_nearly_nothing_is_no_factor():
    assert constant_factor(evidence({"W": 0.9e-9 * DW}, {"W": DW}, relative=1e-16)) == ()
    assert constant_factor(evidence({"W": 1.1e-9 * DW}, {"W": DW}, relative=1e-16))


@pytest.mark.parametrize(("beside", "count"), [(0.5e-9, 0), (1.5e-9, 1)])
def test_a_factor_of_one_explains_nothing(beside, count):
    claimed = {"W": (1 + beside) * DW}
    assert len(constant_factor(evidence(claimed, {"W": DW}, relative=1e-16))) == count


# What is known


def test_what_is_known_of_an_entry():
    claimed, right = np.array([1.0, np.nan, 3.0, 2.0]), np.array([1.0, 2.0, np.inf, 2.5])
    known = Evidence(
        names=("v", "w"), values={"v": claimed, "w": claimed},
        analytic={"v": claimed, "w": claimed}, reference={"v": right, "w": claimed},
        uncertainty={"v": np.array([0.1, 0.1, 0.1, np.nan]), "w": np.broadcast_to(0.25, 4)},
        failing={"v": np.array([False, True, False, True])},
    )  # fmt: skip
    facts, other = known.facts["v"], known.facts["w"]
    np.testing.assert_array_equal(facts.known, [True, False, False, True])
    np.testing.assert_array_equal(facts.failing, [False, False, False, True])
    np.testing.assert_array_equal(facts.residual, [0, 0, 0, -0.5])
    np.testing.assert_array_equal(facts.support, [False, False, False, True])
    assert facts.error == 0.5
    # no less than a sum in another order costs, relative to the largest known entry
    np.testing.assert_allclose(facts.tolerance, [0.1, 0.1, 0.1, 2.5e-12], rtol=1e-15)
    assert other.tolerance.strides == (0,)
    assert other.tolerance[3] == 0.25
    assert known.failing_facts == (facts,)
    assert largest_of(right, facts.known) == 2.5
    assert largest_of(-right, facts.known) == 2.5
    assert largest_of(right, ~facts.known & False) == 0.0


def traced(gradient, *, reference=None, dtype=None, tolerance=1e-3):
    right = np.ones(20) if reference is None else reference
    known = Evidence(
        names=("v",), values={"v": right}, analytic={"v": 2 * right}, reference={"v": right},
        uncertainty={"v": np.full(20, tolerance)}, failing={"v": np.ones(20, bool)},
        analytic_dtype={} if dtype is None else {"v": dtype},
        trace=SimpleNamespace(backward=lambda: {} if gradient is None else {"v": gradient}),
    )  # fmt: skip
    return known, sharpened(known)


@pytest.mark.parametrize(
    ("dtype", "relative"),
    [(None, 1e-12), ("float64", 1e-12), ("float32", 64 * 2.0**-23), ("float16", 64 * 2.0**-10)],
)
def test_the_traced_gradient_is_right_to_rounding(dtype, relative):
    gradient = np.linspace(0.9999, 1.0001, 20)
    _, sharp = traced(gradient, dtype=dtype)
    np.testing.assert_array_equal(sharp.reference["v"], gradient)
    np.testing.assert_allclose(sharp.uncertainty["v"], 1.0001 * relative, rtol=1e-12)
    assert sharp.uncertainty["v"].strides == (0,)


@pytest.mark.parametrize(("apart", "kept"), [(0, True), (2, True), (3, False)])
def test_a_trace_that_contradicts_more_than_a_tenth_is_dropped(apart, kept):
    gradient = np.ones(20)
    gradient[:apart] += 8.1e-3
    gradient[apart:] += 7.9e-3
    known, sharp = traced(gradient)
    assert (sharp.trace is not None) is kept
    if not kept:
        assert sharp.reference is known.reference
        return
    assert np.isfinite(gradient).all()  # the trace's own
    assert np.isnan(sharp.reference["v"]).sum() == apart
    assert np.isnan(sharp.reference["v"][:apart]).all()


@pytest.mark.parametrize(("of_trace", "names"), [({}, ()), ({"v": 1.0}, ("v",))])
def test_the_evidence_knows_whether_all_of_a_traced_gradient_is_in_it(of_trace, names):
    other = {"w": np.ones(20)}
    known, sharp = traced(np.ones(20) if of_trace else None)
    assert known.of_trace == ()
    assert sharp.of_trace == names
    more = replace(known, trace=SimpleNamespace(backward=lambda: {"v": np.ones(20)} | other))
    assert sharpened(more).of_trace == ()


def test_what_was_not_estimated_is_taken_from_the_trace():
    gradient, right = np.full(20, 1.0), np.ones(20)
    right[5:] = np.nan
    _, sharp = traced(gradient, reference=right)
    assert sharp.trace is not None
    np.testing.assert_array_equal(sharp.reference["v"], gradient)
    known, sharp = traced(None)
    np.testing.assert_array_equal(sharp.reference["v"], known.reference["v"])


# From findings to answers


def answered(monkeypatch, *findings, untried="", failing=("a", "b")):
    from gradcheck.diagnose import counterfactual

    right = {name: np.ones(3) for name in "abcde"}
    claimed = {name: right[name] + (name in failing) for name in right}
    known = evidence(claimed, right, right, trace=SimpleNamespace(backward=lambda: right))
    made = counterfactual.Counterfactuals(tuple(findings), (), untried)
    monkeypatch.setattr(ranking, "match_patterns", lambda _: ())
    monkeypatch.setattr(counterfactual, "match_counterfactuals", lambda *_, **__: made)
    monkeypatch.setattr("gradcheck.diagnose.locating.locate", lambda finding, *_: finding)
    found = explained(known)
    return [one.cause for one in found.diagnoses], found.untried


def finding(cause, names, confidence="exact"):
    return Finding(cause, tuple(names), "", "", confidence, 50)


def test_what_nothing_explains_is_said_and_what_was_left_out(monkeypatch):
    a, b = finding("sign", "a"), finding("scale", "b")
    how = {"untried": "much"}
    assert answered(monkeypatch, a, b, **how) == (["sign", "scale"], "")
    assert answered(monkeypatch, a, **how) == (["sign", "unexplained"], "much")
    unsure = finding("scale", "b", "likely")
    assert answered(monkeypatch, a, unsure, **how) == (["sign", "scale"], "much")
    assert answered(monkeypatch, a, b, failing=(), **how) == ([], "")
    each = [finding(f"cause {name}", name) for name in "abc"]
    three = [f"cause {name}" for name in "abc"]
    assert answered(monkeypatch, *each, failing="abcd", **how) == (three, "much")
    two = answered(monkeypatch, *each[:2], failing="abcd", **how)
    assert two == ([*three[:2], "unexplained"], "much")
