"""The search for a cause: in which order it looks, what it takes as explained, where it ends."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_measures import space
from test_diagnose_patterns import evidence
from test_diagnose_places import CUT, number, operation, recurrence, trial

from gradcheck.diagnose import counterfactual
from gradcheck.diagnose.counterfactual import (
    _factors_shown,
    _further,
    _is_unlikely,
    _judged,
    _may_regularise,
    _scaled,
    _Tried,
    explain,
    regularised,
)
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.limits import Limits
from gradcheck.diagnose.passes import Passes
from gradcheck.diagnose.plan import Trial
from gradcheck.tracing.contract import Alteration

VALUES = {"W": np.array([1.0, 2.0, -3.0]), "b": np.array([0.5, 4.0])}
RIGHT = {"W": np.array([0.3, 1.0, 0.7]), "b": np.array([1.0, 0.2])}
CLAIMED = {"W": np.array([1.3, -1.0, 2.7]), "b": np.array([1.0, 0.2])}
ERROR = np.array([1.0, -2.0, 2.0, 0.0, 0.0])
PICKS = {"W": np.array([0, 1, 2])}


def known(**more):
    return evidence(CLAIMED, RIGHT, VALUES, **more)


# One look after the other, as long as something is left

LOOKS = ("cotangent_findings", "handed_findings", "_try_all", "_behind_ties", "probe_findings",
         "_beside", "pair_findings")  # fmt: skip


def looked(monkeypatch, *, explaining=None, confidence="exact", names="W", before=()):
    """The looks that are made where one of them explains parameters."""
    made = []

    def look(name):
        found = [Finding(name, tuple(names), "", "", confidence, 1)] if name == explaining else []

        def run(*arguments, **_):
            made.append(name)
            if name == "_try_all":
                return _Tried([], [], [], [])
            return (found, False) if name == "probe_findings" else found

        return run

    for name in LOOKS:
        monkeypatch.setattr(counterfactual, name, look(name))
    monkeypatch.setattr(counterfactual, "findings_from", lambda *_: look("_try_all") and [])
    tried = _Tried([], [], [], [])
    passes = SimpleNamespace(limits=Limits(), ran_out=False, sketch=None)
    found = _further(list(before), tried, known(), space(ERROR), Graph(()), passes)
    return made, [one.cause for one in found]


def test_every_look_is_taken_while_nothing_explains(monkeypatch):
    assert looked(monkeypatch) == (list(LOOKS), [])


@pytest.mark.parametrize("explaining", [name for name in LOOKS if name != "_try_all"])
def test_the_search_ends_with_what_explains_exactly(monkeypatch, explaining):
    made, found = looked(monkeypatch, explaining=explaining)
    assert made == list(LOOKS[: LOOKS.index(explaining) + 1])
    assert found == [explaining]
    made, found = looked(monkeypatch, explaining=explaining, confidence="likely")
    assert (made, found) == (list(LOOKS), [explaining])
    made, found = looked(monkeypatch, explaining=explaining, names="b")
    assert (made, found) == (list(LOOKS), [explaining])


def test_what_was_found_before_counts(monkeypatch):
    exact = Finding("sign", ("W",), "", "", "exact", 1)
    assert looked(monkeypatch, before=[exact]) == ([], [])
    assert looked(monkeypatch, before=[replace(exact, confidence="likely")])[0] == list(LOOKS)


@pytest.mark.parametrize(("before", "now"), [(False, True), (True, False), (False, False)])
def test_that_there_was_more_to_try_is_kept(monkeypatch, before, now):
    for name in LOOKS:
        monkeypatch.setattr(counterfactual, name, lambda *_, **__: [])
    monkeypatch.setattr(counterfactual, "probe_findings", lambda *_, **__: ([], now))
    monkeypatch.setattr(counterfactual, "_try_all", lambda *_, **__: _Tried([], [], [], []))
    monkeypatch.setattr(counterfactual, "findings_from", lambda *_: [])
    passes = SimpleNamespace(limits=Limits(), ran_out=before, sketch=None)
    _further([], _Tried([], [], [], []), known(), space(ERROR), Graph(()), passes)
    assert passes.ran_out is (before or now)


# What waits, what may be a regulariser


def factor_trial(value):
    return Trial("factor", {0: Alteration("scale", factor=value)}, (0,), None, "every", 4)


def test_what_waits_for_its_turn():
    graph = recurrence()
    assert not _is_unlikely(factor_trial(-1.0), graph)
    assert _is_unlikely(factor_trial(2.0), graph)
    state = trial(2, operand=1, altered=(2, 4, 6), runs="all but the first", n_runs=4)
    weights = trial(2, operand=0, altered=(2, 4, 6), runs="all but the first", n_runs=4)
    assert not _is_unlikely(state, graph)
    assert _is_unlikely(weights, graph)
    assert _is_unlikely(trial(0, runs="all but the last"), graph)
    for runs in ("", "every", "last", "first"):
        assert not _is_unlikely(trial(0, runs=runs), graph)


def test_a_regulariser_is_a_term_of_one_parameter():
    graph = Graph(
        (
            operation(0, "square", [("parameter", "W")], [(3,)], (3,)),
            operation(1, "exp", [("parameter", "b")], [(2,)], (2,)),
            operation(2, "add", [("operation", 0), ("operation", 1)], [(3,), (2,)], (3,)),
        )
    )
    assert _may_regularise(trial(0), graph)
    assert not _may_regularise(trial(2), graph)
    assert _may_regularise(trial(2, 0, altered=(2,)), graph)
    assert not _may_regularise(trial(0, 1), graph)  # two places at once
    steps = recurrence()
    assert not _may_regularise(trial(0), steps)  # a loop of four steps
    assert _may_regularise(trial(0), recurrence(3))


def test_a_cut_in_proportion_to_one_parameter():
    here = space(ERROR)
    along = np.array([0.2, 0.4, -0.6, 0.0, 0.0])
    assert regularised(along, known(), here) == "W"
    assert regularised(along + np.array([0, 0, 0, 0.1, 0.8]), known(), here) is None
    assert regularised(along * np.array([1, 1, 2, 0, 0]), known(), here) is None
    assert regularised(0 * along, known(), here) is None


# The factors that an error shows


def shown(change, residual, **more):
    found = _factors_shown("W", np.asarray(change), known(**more), space(residual))
    return [(factor.kind, round(factor.value, 9)) for factor in found]


ALONG = np.array([1.0, -2.0, 2.0, 0.0, 0.0])
ACROSS = np.array([2.0, 1.0, 0.0, 0.0, 0.0])


def test_a_factor_is_shown_by_a_residual_along_the_change():
    assert shown(ALONG, ALONG) == [("cut", 0.0), ("unnamed", 0.0)]
    assert shown(ALONG, 2 * ALONG) == [("sign", -1.0), ("unnamed", -1.0)]
    assert shown(ALONG, 0.7 * ALONG)[-1] == ("unnamed", 0.3)
    assert shown(ALONG, -6 * ALONG, sizes=((7, "rows"),))[0] == ("size", 7.0)
    # an error across the change is explained by no factor
    assert shown(ALONG, ALONG + 0.9e-3 * 3 / np.sqrt(5) * ACROSS)
    assert not shown(ALONG, ALONG + 1.1e-3 * 3 / np.sqrt(5) * ACROSS)
    # nothing but a cut is a cut
    assert ("cut", 0.0) in shown(ALONG, (1 - 0.9e-3) * ALONG)
    assert ("cut", 0.0) not in shown(ALONG, (1 - 1.1e-3) * ALONG)
    assert ("cut", 0.0) in shown(ALONG, (1 + 0.9e-3) * ALONG)
    assert ("cut", 0.0) not in shown(ALONG, (1 + 1.1e-3) * ALONG)


def test_a_factor_without_a_name_needs_three_entries():
    two = ALONG * np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    assert shown(two, 0.7 * two) == []
    assert shown(two, two) == [("cut", 0.0)]
    for third, entries in ((1.9e-9, 0), (2.1e-9, 1)):
        nearly = two + np.array([0.0, 0.0, third, 0.0, 0.0])
        assert len(shown(nearly, 0.7 * nearly)) == entries


# What a trial explains


def passing(here, *, confirmed=True, made=None):
    """Passes that confirm all or nothing, and make the change that they are given."""
    calls = []

    def change(alterations):
        calls.append(alterations)
        return made

    return SimpleNamespace(
        space=here, confirmed=lambda _: confirmed, change=change, calls=calls, picks={}
    )


def judged(change, *, residual=ERROR, factor=None, confirmed=True, failing=("W",), tolerance=1e-9):
    here = space(residual, tolerance, failing)
    found = _judged(trial(0), factor, np.asarray(change), here, passing(here, confirmed=confirmed))
    return None if found is None else (set(found.parameters), found.alone, found.confidence)


def test_a_change_explains_what_it_changes_and_matches():
    beside = np.array([0.0, 0.0, 0.0, 1.0, 0.0])
    assert judged(ERROR) == ({"W"}, False, "exact")
    assert judged(ERROR + beside) == ({"W"}, True, "exact")
    assert judged(0 * ERROR) is None
    assert judged(2 * ERROR) is None
    assert judged(0.995 * ERROR) == ({"W"}, False, "possible")
    assert judged(0.995 * ERROR + beside) is None
    assert judged(ERROR, confirmed=False) == ({"W"}, False, "possible")
    # what is wrong in both, and matched in one
    both = ERROR + beside
    assert judged(ERROR, residual=both, failing=("W", "b")) == ({"W"}, False, "exact")
    assert judged(both, residual=both, failing=("W", "b")) == ({"W", "b"}, False, "exact")
    half = ERROR + 0.5 * beside
    assert judged(half, residual=both, failing=("W", "b")) == ({"W"}, False, "exact")
    # within the tolerance nothing is changed
    assert judged(np.full(5, 3e-3), residual=np.full(5, 3e-3), tolerance=1e-3) is None


@pytest.mark.parametrize("picks", [{}, PICKS])
@pytest.mark.parametrize(
    ("value", "operand", "n", "passed"),
    [(0.0, None, 1, None), (0.0, None, 2, None), (0.25, None, 1, None), (0.25, None, 2, "scale"),
     (0.25, 1, 2, "scale_operand")],
)  # fmt: skip
def test_the_change_of_a_factor(value, operand, n, passed, picks):
    """That of one place follows from the cut; that of several, and of a sample, takes a pass."""
    here = replace(space(ERROR), picks=picks)
    made = np.arange(5.0)
    passes = passing(here, made=made)
    of = trial(*range(n), operand=operand)
    found = _scaled(of, number(value), ERROR, passes)
    if passed is None and not picks:
        np.testing.assert_array_equal(found, (1.0 - value) * ERROR)
        assert passes.calls == []
        return
    assert found is made
    (altered,) = passes.calls
    if value == 0.0:
        assert altered == of.alterations
    else:
        kind = "scale" if operand is None else "scale_operand"
        assert altered == dict.fromkeys(range(n), Alteration(kind, operand=operand, factor=value))


def explanations(of, change, *, residual=ERROR, failing=("W",), made=None, claimed=CLAIMED):
    here = space(residual, failing=failing)
    found = explain(of, np.asarray(change), known(), here, passing(here, made=made))
    return [(e.factor and e.factor.kind, set(e.parameters)) for e in found]


def test_a_cut_explains_with_each_factor_that_parameters_show():
    whole = np.array([1.0, -2.0, 2.0, 3.0, 1.0])
    assert explanations(trial(0), ERROR) == [("cut", {"W"})]
    assert explanations(trial(0), ERROR / 2) == [("sign", {"W"})]
    both = {"residual": whole, "failing": ("W", "b")}
    assert explanations(trial(0), whole, **both) == [("cut", {"W", "b"})]
    other = whole * np.array([1, 1, 1, 0.5, 0.5])
    assert explanations(trial(0), other, **both) == [("cut", {"W"}), ("sign", {"b"})]
    # parameters that are right show none
    assert explanations(trial(0), other, residual=whole) == [("cut", {"W"})]
    assert explanations(trial(0), whole * np.array([0, 0, 0, 1, 1])) == []


def test_other_trials_explain_as_they_are():
    identity = Trial("identity", {0: CUT}, (0,))
    assert explanations(identity, ERROR) == [(None, {"W"})]
    assert explanations(identity, ERROR / 2) == []
    assert explanations(factor_trial(2.0), ERROR) == [("plain", {"W"})]
    assert explanations(factor_trial(2.3456), ERROR) == [("unnamed", {"W"})]


# Passes, counted


class Linear:
    """A trace whose gradient is that of W alone, and changes by what an operation is worth."""

    operations = ()

    def __init__(self, worth):
        self.worth, self.seen = worth, []

    def backward(self, alterations=None):
        self.seen.append(dict(alterations or {}))
        if "refused" in {a.kind for a in (alterations or {}).values()}:
            raise ValueError("not this one")
        total = sum(self.worth.get(index, 0.0) for index in alterations or {})
        return {"W": RIGHT["W"] + total, "b": RIGHT["b"]}


def passes_over(worth, passes=10, picks=None):
    here = replace(space(ERROR), picks=picks or {}, shapes={"W": (3,), "b": (2,)})
    trace = Linear(worth)
    return Passes(known(), trace, here, Limits(passes=passes), here.vector(RIGHT)), trace


def test_passes_are_counted_until_none_is_left():
    passes, _ = passes_over({1: 0.5}, 2)
    assert (passes.left, passes.reserved, passes.ran_out, passes.unsketched) == (2, 0, False, False)
    np.testing.assert_allclose(passes.change({1: CUT}), [0.5, 0.5, 0.5, 0, 0], atol=1e-15)
    assert passes.change({0: Alteration("refused")}) is None
    assert (passes.left, passes.ran_out) == (0, False)
    assert passes.change({1: CUT}) is None
    assert (passes.left, passes.ran_out) == (0, True)
    assert passes_over({}, 11)[0].reserved == 4
    assert passes_over({1: np.inf})[0].change({1: CUT}) is None


def test_shifts_without_a_part_in_the_gradient_are_cut_from_then_on():
    passes, trace = passes_over({2: 0.5, 3: 3e-9, 4: 5e-9})
    passes.detach_shifts([(1, None), (2, None), (3, 1), (4, None)])
    assert passes.background == {1: CUT, 3: Alteration("drop_operand", operand=1)}
    passes.change({5: CUT})
    assert set(trace.seen[-1]) == {1, 3, 5}


def test_what_is_taken_as_made_is_taken_back():
    passes, trace = passes_over({1: 0.5, 2: 0.25})
    passes.background, passes.sketch = {7: CUT}, "drawn"
    before, whole = passes.base, passes.space
    made = passes.change({1: CUT})
    rest = replace(passes.space, residual=ERROR - made)
    passes.take_as_made({1: CUT}, made, rest)
    assert (passes.space, passes.sketch, set(passes.background)) == (rest, None, {7, 1})
    np.testing.assert_allclose(passes.change({2: CUT}), [0.25, 0.25, 0.25, 0, 0], atol=1e-15)
    passes.take_back(whole)
    assert (passes.base is before, passes.space, passes.sketch) == (True, whole, "drawn")
    assert set(passes.background) == {7}
    assert set(trace.seen[-1]) == {7, 1, 2}


def test_a_pass_confirms_the_entries_of_a_large_parameter():
    passes, _ = passes_over({1: CLAIMED["W"] - RIGHT["W"], 2: 0.5}, picks=PICKS)
    passes.change({1: CUT})
    assert passes.confirmed(["W", "b"])
    passes.change({2: CUT})
    assert not passes.confirmed(["W"])
    assert passes.confirmed(["b"])
    small, _ = passes_over({2: 0.5})
    small.change({2: CUT})
    assert small.confirmed(["W"])  # its entries were compared before


class Drawn:
    """A trace that hands out everything, and tangents of nothing."""

    operations = ()
    value = cotangents = pull = local = None

    def tangents(self, moves, background):
        return [{} for _ in moves]

    def n_results(self, index):
        return 1


@pytest.mark.parametrize(("passes", "left"), [(12, 12), (13, 6)])
def test_directions_are_drawn_where_they_cost_less_than_half(passes, left):
    """Two blocks of three: W, which is wrong, and b."""
    made, _ = passes_over({}, passes)
    made.trace = Drawn()
    made.draw_sketch(Graph(()))
    assert made.left == left
    assert (made.sketch is None) is (left == passes)
    assert made.unsketched is (left == passes)


def test_a_trace_without_tangents_is_not_one_of_which_rules_were_left_out():
    made, _ = passes_over({})
    made.draw_sketch(Graph(()))
    assert (made.sketch, made.unsketched, made.left) == (None, False, 10)


class Pulling(Drawn):
    """A trace that pulls ten times a cotangent back to W, a hundred less where it is altered."""

    def pull(self, cotangents, made):
        return {"W": sum(10.0 * c for c in cotangents.values()) - 100.0 * len(made)}


def test_what_cotangents_add_to_a_gradient():
    made, _ = passes_over({}, 9)
    made.trace, made.background = Pulling(), {7: CUT}
    along, beside = np.array([1.0, 2.0, 3.0]), np.array([5.0, 6.0])
    np.testing.assert_allclose(
        made.pulled({0: along, 1: along}, {"b": beside}, background={}), [20, 40, 60, 5, 6]
    )
    np.testing.assert_allclose(made.pulled({0: along}, {"W": along}), [-89, -78, -67, 0, 0])
    np.testing.assert_allclose(made.pulled({}, {"W": along}), [1, 2, 3, 0, 0])
    assert (made.left, made.ran_out) == (6, False)
    made.left = 0
    assert made.pulled({0: along}, {}) is None
    assert made.ran_out
    plain, _ = passes_over({}, 9)
    assert plain.pulled({0: along}, {}) is None  # this trace hands out nothing


def test_what_is_pulled_is_confirmed_at_all_entries():
    made, _ = passes_over({}, 9, picks=PICKS)
    made.trace = Pulling()
    made.pulled({0: ERROR[:3] / 10}, {})
    assert made.confirmed(["W"])
    made.pulled({0: ERROR[:3] / 9}, {})
    assert not made.confirmed(["W"])
