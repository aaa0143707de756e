"""What the search for a cause is bounded by, and what it says that it left out."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_directions import of
from test_diagnose_measures import space
from test_diagnose_search import CLAIMED, ERROR, RIGHT, Linear, known
from test_diagnose_trying import GRAPH, W, given

from gradcheck.diagnose import counterfactual
from gradcheck.diagnose.counterfactual import _further, _Tried, match_counterfactuals
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.limits import Limits, limits_for, untried


class Traced(Linear):
    """A trace of four operations, of three numbers each, that knows a parameter more."""

    operations = GRAPH.operations

    def backward(self, alterations=None):
        return super().backward(alterations) | {"other": np.zeros(7)}


def bounded(monkeypatch, trace, *, quick=None, max_passes=50):
    """The arguments of the limits, and what came of the search."""
    asked = []

    def limits(*sizes, **more):
        asked.append((sizes, more))
        return limits_for(*sizes, **more)

    monkeypatch.setattr(counterfactual, "limits_for", limits)
    monkeypatch.setattr(counterfactual, "quick", lambda trace, _: quick or trace)
    found = match_counterfactuals(given(trace), max_passes=max_passes)
    return asked, found


CAUSE = {0: 1.0, 3: CLAIMED["W"] - RIGHT["W"]}


def test_entries_parameters_numbers_and_operations_bound_the_passes(monkeypatch):
    asked, found = bounded(monkeypatch, Traced(CAUSE))
    # of five entries that are checked; the trace has a parameter more
    assert asked == [((5, 3, 12, 4), {"max_passes": 50, "n_written": None})]
    assert (found.findings[0].parameters, found.untried) == (("W",), "")


def test_derivatives_that_are_written_down_take_the_place_of_the_trace(monkeypatch):
    original, written = Traced(CAUSE), Traced(CAUSE)
    written.n_numbers = 77
    asked, found = bounded(monkeypatch, original, quick=written)
    assert asked == [((5, 3, 12, 4), {"max_passes": 50, "n_written": 77})]
    assert original.seen == [{}]
    assert len(written.seen) > 1
    assert not any(made == {} for made in written.seen)
    assert found.findings[0].parameters == ("W",)


@pytest.mark.parametrize("quicker", [False, True])
def test_what_is_looked_at_is_the_trace_that_the_passes_are_made_in(monkeypatch, quicker):
    seen = []

    def further(findings, tried, evidence, *_):
        seen.append(evidence.trace)
        return []

    monkeypatch.setattr(counterfactual, "_further", further)
    original, written = Traced({}), Traced({})
    bounded(monkeypatch, original, quick=written if quicker else None)
    assert seen == [written if quicker else original]


@pytest.mark.parametrize("wrong", [True, False])
def test_of_very_many_operations_none_is_looked_at_by_itself(monkeypatch, wrong):
    """What waited has its turn, and rules were not tried if something is left."""
    calls = []

    def try_all(wanted, *_, postpone=True):
        calls.append((wanted, postpone))
        return _Tried(["late"], [], [], [])

    monkeypatch.setattr(counterfactual, "_try_all", try_all)
    monkeypatch.setattr(counterfactual, "findings_from", lambda found, *_: (*found, "worded"))
    passes = SimpleNamespace(limits=Limits(singly=False), unsketched=False)
    before = [] if wrong else [Finding("sign", ("W",), "", "", "exact", 1)]
    tried = _Tried([], [], [], ["waiting"])
    found = _further(before, tried, known(), space(ERROR), GRAPH, passes)
    assert found == ["late", "worded"]
    assert calls == [(["waiting"], False)]
    assert passes.unsketched is wrong
    passes.unsketched = True
    _further(before, tried, known(), space(ERROR), GRAPH, passes)
    assert passes.unsketched


def test_without_passes_nothing_is_altered(monkeypatch):
    trace = Traced(CAUSE)
    _, found = bounded(monkeypatch, trace, max_passes=0)
    assert (found.findings, found.regularisers, trace.seen) == ((), (), [{}])
    assert found.untried == (
        "with 5 entries of the gradient, and 12 numbers in 4 traced operations, no altered "
        "backward passes were made and wrong rules for what a single operation hands on were not "
        "tried"
    )


def said(*operations, largest=None, passes=9, ran_out=False, unsketched=False):
    limits = Limits(passes, largest=largest)
    return untried(limits, operations, 1234567, ran_out=ran_out, unsketched=unsketched)


def test_what_is_said_of_the_passes():
    op = of(0, "exp", W)
    start = "with 1,234,567 entries of the gradient, and 3 numbers in 1 traced operations, "
    assert said(op, ran_out=True) == (
        f"{start}no more than 9 altered backward passes could be made"
    )
    assert said(op, passes=0) == f"{start}no altered backward passes were made"
    assert said(op, passes=0, ran_out=True) == said(op, passes=0)
    assert said(op, unsketched=True) == (
        f"{start}wrong rules for what a single operation hands on were not tried"
    )
    both = said(op, ran_out=True, unsketched=True)
    assert both == f"{said(op, ran_out=True)} and {said(op, unsketched=True)[len(start) :]}"
    assert said() == ""


@pytest.mark.parametrize(
    ("operation", "largest"),
    [
        (of(0, "exp", W, shape=(4, 600)), 2400),
        (of(0, "sum", W, shape=(4, 600), output=()), 2400),
        (of(0, "repeat", W, shape=(4,), output=(4, 600)), 2400),
    ],
)
def test_large_arrays_are_those_that_go_in_or_come_out(operation, largest):
    assert said(operation, largest=largest) == ""
    told = said(operation, of(1, "exp", W), largest=largest - 1)
    assert told.endswith("were tried only where arrays have at most 2,399 numbers")
    assert "in 2 traced operations, wrong rules for what a single operation hands on" in told
    assert said(operation, largest=largest - 1, unsketched=True).endswith("were not tried")
