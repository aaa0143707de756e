"""What does not apply to a target, what had nothing to do, and what a limit left out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gradcheck.oracles.estimate import smooth_estimate
from gradcheck.report import Notice
from gradcheck.settings import Settings
from gradcheck.verdict.applicable import inapplicable, needless, refusals, without_effect
from gradcheck.verdict.compare import UNCHECKED, judge, thresholds_for
from gradcheck.verdict.judging import ParameterFindings
from gradcheck.verdict.non_finite import non_finite_gradients
from gradcheck.verdict.unchecked import cut_short, left_by_limits, limit_notices, no_oracle
from gradcheck.verdict.verdicts import Combined


def target(kind="numpy", spread=0.0, *, second=None, batches=False):
    return SimpleNamespace(
        kind=kind,
        facts=SimpleNamespace(spread=spread),
        hessian_product=second,
        evaluator=SimpleNamespace(in_batches=batches),
    )


@pytest.mark.parametrize(
    ("kind", "spread", "expected"),
    [
        ("numpy", 0.0, {"forward": "torch targets"}),
        ("torch", 0.0, {"complex": "NumPy targets", "autograd": "on trial"}),
        ("numpy", 1e-9, {"forward": "torch targets", "complex": "call to call"}),
        (
            "torch",
            1e-9,
            {"complex": "NumPy targets", "autograd": "on trial", "forward": "call to call"},
        ),
    ],
)
def test_which_oracles_cannot_speak_for_a_target(kind, spread, expected):
    found = inapplicable(target(kind, spread))
    assert set(found) == set(expected)
    assert all(words in found[oracle] for oracle, words in expected.items())


def test_an_oracle_that_was_asked_for_in_vain_is_named():
    settings = Settings(oracles=("central", "forward"))
    (notice,) = refusals(target(), settings)
    assert notice.key == "oracle_not_applicable"
    assert notice.message.startswith("the oracle forward does not apply: it is for torch targets")
    assert refusals(target("torch"), settings) == ()
    assert refusals(target(), Settings()) == ()


def test_what_was_asked_for_and_does_not_exist_has_no_effect():
    assert without_effect(target(), Settings()) == []
    (audit,) = without_effect(target(), Settings(audit=True))
    assert "leave it out" in audit
    assert without_effect(target("torch"), Settings(audit=True)) == []
    (order,) = without_effect(target(), Settings(order=2))
    assert "hess=" in order
    (order,) = without_effect(target("torch"), Settings(order=2))
    assert "double backward" in order
    assert without_effect(target(second=lambda v: v), Settings(order=2)) == []
    assert len(without_effect(target(), Settings(order=2, audit=True))) == 2


@pytest.mark.parametrize(
    ("options", "spread", "batches", "told"),
    [
        ({}, 0.0, True, []),
        ({"repeats": 8}, 0.0, False, ["repeats"]),
        ({"confidence": 0.9}, 0.0, False, ["repeats"]),
        ({"repeats": 8}, 1e-3, False, []),
        ({"workers": 2}, 0.0, True, ["workers"]),
        ({"workers": 1}, 0.0, True, []),
        ({"workers": 2}, 0.0, False, []),
        ({"workers": 2, "repeats": 8}, 0.0, True, ["repeats", "workers"]),
    ],
)
def test_options_that_had_nothing_to_do_are_named(options, spread, batches, told):
    found = needless(target(spread=spread, batches=batches), Settings(**options))
    assert [notice.key for notice in found] == ["option_without_effect"] * len(told)
    assert all(one.message.startswith(word) for one, word in zip(found, told, strict=True))


# What a limit left out


def findings(values, *, ran=True, uncertainty=1e-9):
    values = np.asarray(values, dtype=float)
    one = smooth_estimate("central", values, np.full(values.shape, uncertainty))
    limits = thresholds_for(np.dtype(float))
    judged = judge(np.ones(values.shape), np.zeros(values.shape), one, limits, typical=1.0)
    comparisons = {"analytic~central": judged} if ran else {}
    codes = judged.codes if ran else np.full(values.shape, UNCHECKED, dtype=np.int8)
    combined = Combined(codes, "central" if ran else None, np.zeros(values.shape, dtype=bool))
    return ParameterFindings({"central": one} if ran else {}, comparisons, combined)


def limited(exhausted=True, interrupted=None, budget=9, deadline=None):
    evaluator = SimpleNamespace(
        exhausted=exhausted, interrupted=interrupted, budget=budget, deadline=deadline
    )
    return SimpleNamespace(evaluator=evaluator, facts=SimpleNamespace(spread=0.0))


SOME, ALL, NONE = [1.0, np.nan, 1.0], [1.0, 1.0, 1.0], [np.nan, np.nan, np.nan]


@pytest.mark.parametrize(
    ("values", "exhausted", "expected"),
    [
        (SOME, True, True),
        (NONE, True, True),
        (ALL, True, False),
        (SOME, False, False),
        (NONE, False, False),
    ],
)
def test_a_parameter_is_cut_short_where_a_limit_left_some_of_it_out(values, exhausted, expected):
    assert cut_short(limited(exhausted), findings(values)) is expected
    assert cut_short(limited(exhausted), findings(values, ran=False)) is exhausted


def left(problem, **parameters):
    found = left_by_limits(problem, parameters)
    return None if found is None else found[0]


def test_how_far_a_check_came_is_told_with_what_to_do():
    found = left(limited(), W=findings(SOME), b=findings(ALL))
    assert (found.cause, found.parameter) == ("not_checked", "W")
    assert "limit on evaluations was reached before W was checked in full" in found.message
    assert "2 of 3 entries" in found.message
    assert found.remedy == "Raise --budget."
    late = left(limited(budget=None, deadline=1.0), W=findings(SOME))
    assert "limit on time was reached" in late.message
    assert late.remedy == "Raise --time."
    assert left(limited(deadline=1.0), W=findings(SOME)).remedy == "Raise --budget or --time."
    stopped = left(limited(interrupted=KeyboardInterrupt()), W=findings(SOME))
    assert "The check was interrupted before W" in stopped.message
    assert "--checkpoint" in stopped.remedy
    assert left(limited(), W=findings(ALL)) is None
    none = left(limited(), W=findings(SOME, ran=False))
    assert "0 of 3 entries" in none.message


def test_several_parameters_that_were_cut_short_are_told_together():
    found = left(limited(), W=findings(SOME), b=findings(NONE))
    assert found.parameter == "W, b"
    assert "before 2 parameters were checked in full" in found.message
    assert "W (2 of 3) and b (0 of 3)" in found.message
    many = left(limited(), **{f"p{k}": findings(NONE) for k in range(9)})
    assert many.parameter == ""
    assert "p5 (0 of 3) and 3 more" in many.message


def test_entries_in_doubt_that_a_limit_kept_from_a_second_look_are_told():
    wrong = findings(ALL, uncertainty=0.2)
    found = left(limited(), W=wrong, b=findings(ALL))
    assert found.parameter == "W"
    assert "before entries in doubt got a second look: 3 of W." in found.message
    assert left(limited(False), W=wrong) is None


def test_without_an_oracle_the_reasons_are_given():
    notices = [Notice("not_traceable", "no rule for f"), Notice("other", "beside the point")]
    found = no_oracle("W", findings(ALL, ran=False), notices)
    assert "could check W: no rule for f." in found.message
    assert "--oracle" in found.remedy
    assert "could check W: none ran." in no_oracle("W", findings(ALL, ran=False)).message
    assert no_oracle("W", findings(ALL)) is None


def test_parameters_that_were_cut_short_have_a_notice():
    both = {"a": findings(SOME), "b": findings(ALL), "c": findings(NONE)}
    (one,) = limit_notices(limited(), both)
    assert one.key == "not_checked"
    assert "a (2 of 3) and c (0 of 3)" in one.message
    assert limit_notices(limited(False), both) == ()


def test_gradients_that_are_no_numbers_are_counted_and_placed():
    bad = np.ones((2, 3))
    bad[1, 0], bad[1, 2] = np.nan, -np.inf
    found = non_finite_gradients({"a": np.ones(2), "W": bad, "c": np.array(np.inf)})
    assert [one.parameter for one in found] == ["W", "c"]
    assert "2 of 6 entries, first at [1, 0] (nan)" in found[0].message
    assert found[0].evidence == {"entries": 2, "first": [1, 0]}
    assert "1 of 1 entries, first at [] (inf)" in found[1].message
    assert (found[0].cause, found[0].confidence) == ("non_finite_gradient", "exact")
