"""Which trials cost a backward pass: by place, by what directions foresee, by what is left."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_directions import after, of
from test_diagnose_measures import space
from test_diagnose_places import CUT
from test_diagnose_search import CLAIMED, ERROR, RIGHT, VALUES, Linear, known

from gradcheck.diagnose import counterfactual
from gradcheck.diagnose.counterfactual import (
    Counterfactuals,
    _seen,
    _try_all,
    match_counterfactuals,
)
from gradcheck.diagnose.evidence import Evidence
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.limits import Limits
from gradcheck.diagnose.pairs import Column
from gradcheck.diagnose.plan import Trial
from gradcheck.diagnose.sketch import WIDER
from gradcheck.tracing.contract import Alteration

W, B = ("parameter", "W"), ("parameter", "b")
GRAPH = Graph((of(0, "sin", W), of(1, "exp", B), of(2, "add", after(0), after(1)),
               of(3, "cos", W)))  # fmt: skip
NOTHING = 0 * ERROR


def cut(*indices, runs="", kind="cut", factor=None):
    alteration = CUT if factor is None else Alteration("scale", factor=factor)
    return Trial(kind, dict.fromkeys(indices, alteration), indices, None, runs, 4)


class Counting:
    """Passes of which each makes what its first operation is worth, None for what is unknown."""

    def __init__(self, worth, *, left=99, reserved=0, sketch=None, stored=10**6):
        self.worth, self.left, self.reserved, self.sketch = worth, left, reserved, sketch
        self.limits, self.ran_out, self.made, self.picks = Limits(stored=stored), False, [], {}

    space = space(ERROR)

    def change(self, alterations):
        self.made.append(tuple(alterations))
        self.left -= 1
        return self.worth.get(next(iter(alterations)))

    def confirmed(self, _):
        return True


def tried(*trials, worth=None, residual=ERROR, **how):
    postpone = how.pop("postpone", True)
    passes = Counting({0: ERROR, 1: ERROR, 2: ERROR, 3: ERROR} if worth is None else worth, **how)
    found = _try_all(trials, known(), space(residual), GRAPH, passes, postpone=postpone)
    return passes, found


def foreseeing(values, *, explaining=()):
    """A sketch that foresees these components, of which some may explain the error."""
    asked = []

    def explains(found, *, by_factor):
        asked.append(by_factor)
        return found[0] in explaining

    return SimpleNamespace(
        predicted=lambda trial: values.get(next(iter(trial.alterations))),
        explains=explains, asked=asked,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("runs", "reserved"),
    [("", False), ("every", False), ("last", False), ("first", True), ("one", True),
     ("all but the last", True), ("all but the first", True)],
)  # fmt: skip
def test_some_runs_alone_leave_passes_for_other_looks(runs, reserved):
    for left, spent in ((3, reserved), (4, False)):
        passes, _ = tried(cut(0, runs=runs), cut(3), left=left, reserved=3)
        assert passes.made == ([(3,)] if spent else [(0,), (3,)])
        assert passes.ran_out is spent


def test_what_has_no_wrong_parameter_behind_is_tried_as_a_cut_of_one_place_alone():
    """Cuts of single places tell where the regularisers are."""
    trials = [cut(1), cut(1, kind="identity"), cut(1, runs="every"), cut(2, kind="identity")]
    assert tried(*trials)[0].made == [(1,), (2,)]


def test_what_is_foreseen_to_explain_nothing_costs_no_pass():
    values = {0: np.array([1.0, 2.0]), 2: np.array([5.0, 0.0]), 3: np.array([0.0, 0.0])}
    sketch = foreseeing(values, explaining=(5.0,))
    trials = [cut(2, kind="identity"), cut(0, kind="identity"), cut(3, kind="identity")]
    passes, found = tried(*trials, sketch=sketch)
    assert passes.made == [(2,)]
    assert sketch.asked == [False, False, False]
    # those that change something are kept for pairs, the one that was made with its change
    assert [(c.trial.sites, c.change is None) for c in found.columns] == [((2,), False),
                                                                          ((0,), True)]  # fmt: skip
    passes, _ = tried(cut(2, runs="every"), sketch=foreseeing(values))
    assert passes.made == []


def test_what_may_be_a_regulariser_is_cut_whatever_is_foreseen():
    values = dict.fromkeys(range(4), np.array([1.0, 2.0]))
    sketch = foreseeing(values)
    passes, found = tried(cut(0), cut(2), cut(3, kind="identity"), sketch=sketch)
    assert passes.made == [(0,)]
    assert sketch.asked == [True, False]
    assert [column.trial.sites for column in found.columns] == [(0,), (2,), (3,)]


def test_what_is_unlikely_and_not_foreseen_waits():
    unlikely = cut(0, kind="factor", factor=2.0, runs="every")
    likely = cut(0, kind="factor", factor=-1.0, runs="every")
    sketch = foreseeing({})
    passes, found = tried(unlikely, likely, sketch=sketch)
    assert (len(passes.made), found.postponed) == (1, [unlikely])
    for how in ({"sketch": sketch, "postpone": False}, {"sketch": None}):
        passes, found = tried(unlikely, likely, **how)
        assert (len(passes.made), found.postponed) == (2, [])
    # what is foreseen is judged by that
    passes, found = tried(unlikely, sketch=foreseeing({0: ERROR}, explaining=(1.0,)))
    assert (len(passes.made), found.postponed) == (1, [])


def test_what_cannot_be_made_or_changes_nothing_is_passed_over_until_no_pass_is_left():
    worth = {0: None, 2: NOTHING, 3: ERROR}
    passes, found = tried(cut(0), cut(2), cut(3), worth=worth)
    assert (len(passes.made), len(found.explanations), len(found.columns)) == (3, 1, 1)
    passes, _ = tried(cut(0), cut(3), worth=worth, left=1)
    assert passes.made == [(0,)]
    passes, _ = tried(cut(0), cut(3), worth=worth, left=2)
    assert passes.made == [(0,), (3,)]
    # the last pass counts, and what is known without a pass after it
    passes, found = tried(cut(3), cut(2), worth=worth, left=1)
    assert (len(passes.made), len(found.explanations)) == (2, 1)


def test_regularisers_are_named_with_their_operations():
    theta = np.array([1.0, 2.0, -3.0, 0.0, 0.0])
    _, found = tried(cut(0, 3), worth={0: 0.1 * theta})
    assert [(name, op.index) for name, op in found.regularisers] == [("W", 0), ("W", 3)]
    for kind in ("identity", "twice"):
        assert tried(cut(0, kind=kind), worth={0: 0.1 * theta})[1].regularisers == []
    assert tried(cut(0), worth={0: ERROR})[1].regularisers == []


@pytest.mark.parametrize(("stored", "count"), [(15, 3), (14, 2), (10, 2), (9, 1), (4, 0)])
def test_changes_are_kept_while_there_is_room(stored, count):
    """Each has five numbers."""
    _, found = tried(cut(0), cut(2), cut(3), stored=stored)
    assert (len(found.columns), len(found.explanations)) == (count, 3)
    for column in found.columns:
        np.testing.assert_array_equal(column.change, ERROR)


# More directions, for pairs


def seen(monkeypatch, *, left=WIDER + 1, stored=10**6, sketch=True):
    """What is known of three columns: one with its change, one foreseen, one not."""
    more = SimpleNamespace(
        predicted=lambda trial: np.array([7.0]) if trial.sites == (2,) else None,
        of=lambda change: change[:1] * 3.0, residual=np.array([9.0]),
    )  # fmt: skip
    monkeypatch.setattr(counterfactual, "wider", lambda *_: more)
    columns = [Column(cut(0), ERROR), Column(cut(2), None), Column(cut(3), None)]
    first = SimpleNamespace(flow=SimpleNamespace(graph=GRAPH)) if sketch else None
    passes = SimpleNamespace(
        sketch=first, left=left, limits=Limits(stored=stored), space=None, background={}
    )
    found = _seen(columns, passes)
    known_components = [None if c.components is None else c.components[0] for c in found]
    return [c.trial.sites[0] for c in found], known_components, passes.left, found


def test_columns_are_seen_along_more_directions_where_passes_and_room_are_left(monkeypatch):
    numbers = 4 * 3
    sites, components, left, found = seen(monkeypatch, stored=WIDER * numbers)
    assert (sites, components, left) == ([0, 2], [3.0, 7.0], 0)
    assert [column.error[0] for column in found] == [9.0, 9.0]
    for how in ({"left": WIDER}, {"stored": WIDER * numbers - 1}, {"sketch": False}):
        sites, components, left, _ = seen(monkeypatch, **how)
        assert (sites, components) == ([0], [None])
        assert left == how.get("left", WIDER + 1)


# Whether there is anything to try


def given(trace, **change):
    parts = {
        "names": ("W", "b"), "values": VALUES, "analytic": CLAIMED, "reference": RIGHT,
        "uncertainty": {k: np.full(v.shape, 1e-9) for k, v in VALUES.items()},
        "failing": {"W": np.ones(3, bool)}, "trace": trace,
    }  # fmt: skip
    return Evidence(**(parts | change))


def test_without_a_trace_operations_or_a_wrong_parameter_nothing_is_tried():
    assert match_counterfactuals(given(None), max_passes=9) == Counterfactuals()
    empty = Linear({})
    assert match_counterfactuals(given(empty), max_passes=9) == Counterfactuals()
    assert empty.seen == [{}]
    right = Linear({})
    right.operations = GRAPH.operations
    assert match_counterfactuals(given(right, failing={}), max_passes=9) == Counterfactuals()
    assert right.seen == [{}]


def test_the_alterations_of_a_trace_are_tried():
    trace = Linear({0: 1.0, 3: CLAIMED["W"] - RIGHT["W"]})
    trace.operations = GRAPH.operations
    found = match_counterfactuals(given(trace), max_passes=50)
    assert found.findings[0].parameters == ("W",)
    assert found.untried == ""
    assert 1 < len(trace.seen) <= 51
    assert match_counterfactuals(given(trace), max_passes=1).untried
