"""A wrong gradient of one result, a mistake beside another, and where a finding belongs."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_directions import after, of
from test_diagnose_measures import space
from test_diagnose_patterns import evidence
from test_diagnose_places import CUT

from gradcheck.diagnose import cotangents, counterfactual
from gradcheck.diagnose.causes import Explanation
from gradcheck.diagnose.cotangents import _Attempt, cotangent_findings
from gradcheck.diagnose.counterfactual import _behind_ties, _beside, _Tried
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.limits import Limits
from gradcheck.diagnose.locating import locate
from gradcheck.diagnose.plan import Trial
from gradcheck.report import Location

VALUES = {"W": np.array([1.0, 2.0, -3.0]), "b": np.array([0.5, 4.0])}
RIGHT = {"W": np.array([0.3, 1.0, 0.7]), "b": np.array([1.0, 0.2])}
CLAIMED = {"W": np.array([1.3, -1.0, 2.7]), "b": np.array([1.0, 0.2])}
ERROR = np.array([1.0, -2.0, 2.0, 0.0, 0.0])
BESIDE = np.array([0.0, 0.0, 0.0, 1.0, 0.0])
W, B = ("parameter", "W"), ("parameter", "b")


def known(**more):
    return evidence(CLAIMED, RIGHT, VALUES, **more)


# A wrong gradient of one result


def attempt(index, cause="transpose"):
    return _Attempt(cause, of(index, "exp", W), {index: np.ones(3)}, "is turned", "")


def attempted(monkeypatch, changes, *, left=20, failing=("W",), confirmed=True, behind=()):
    """Attempts at results of W, or of W and b, in order, and what each changes."""
    inputs = [(W, B) if k in behind else (W,) for k in range(len(changes))]
    graph = Graph(tuple(of(k, "exp", *given) for k, given in enumerate(inputs)))
    monkeypatch.setattr(
        cotangents, "_attempts", lambda *_: [attempt(k) for k in range(len(changes))]
    )
    monkeypatch.setattr(cotangents, "detailed", lambda _: SimpleNamespace(cotangents=dict))
    tried = []

    def pulled(extra, direct, *, background):
        (index,) = extra
        tried.append(index)
        assert (direct, background) == ({}, {})
        return changes[index]

    passes = SimpleNamespace(
        limits=Limits(), sketch=None, left=left, pulled=pulled, confirmed=lambda _: confirmed
    )
    residual = ERROR + BESIDE if len(failing) > 1 else ERROR
    found = cotangent_findings(known(), space(residual, failing=failing), graph, passes)
    return tried, [one.evidence["index"] for one in found]


def test_wrong_gradients_of_results_are_tried_until_one_explains_all(monkeypatch):
    bad = (None, np.full(5, np.nan), 0 * ERROR, 2 * ERROR, ERROR + BESIDE)
    assert attempted(monkeypatch, [*bad, ERROR, ERROR]) == ([0, 1, 2, 3, 4, 5], [5])
    assert attempted(monkeypatch, [ERROR, ERROR], confirmed=False) == ([0, 1], [])
    two = {"failing": ("W", "b"), "behind": (0, 1)}
    assert attempted(monkeypatch, [ERROR, ERROR + BESIDE], **two) == ([0, 1], [1])


def test_those_that_change_just_what_is_wrong_come_first(monkeypatch):
    nothing = 0 * ERROR
    assert attempted(monkeypatch, [nothing] * 4, behind=(0, 2)) == ([1, 3, 0, 2], [])
    # those that do not reach all that is wrong are left out
    tried, _ = attempted(monkeypatch, [nothing] * 4, behind=(0, 2), failing=("W", "b"))
    assert tried == [0, 2]


@pytest.mark.parametrize(("left", "count"), [(20, 6), (9, 4), (2, 1), (1, 0)])
def test_half_of_the_passes_is_left_for_pairs(monkeypatch, left, count):
    assert len(attempted(monkeypatch, [0 * ERROR] * 6, left=left)[0]) == count


# A mistake beside another


class Taking:
    """Passes that write down what was taken as made."""

    sketch = None

    def __init__(self, change=None):
        self.given, self.log = change, []

    def change(self, alterations):
        self.log.append("change")
        return self.given

    def take_as_made(self, alterations, change, here):
        self.log.append(("made", tuple(alterations)))
        self.here = here

    def take_back(self, here):
        self.log.append("back")


def second_look(monkeypatch):
    kinds = []

    def try_all(wanted, *_, **__):
        kinds.extend({trial.kind for trial in wanted})
        return _Tried(["found"], [], [], [])

    monkeypatch.setattr(counterfactual, "_try_all", try_all)
    monkeypatch.setattr(counterfactual, "findings_from", lambda explanations, *_: explanations)
    return kinds


NET = Graph((of(0, "tanh", W), of(1, "max", after(0)), of(2, "exp", B)))


@pytest.mark.parametrize(
    ("shared", "change", "expected"),
    [({1: CUT}, 0 * ERROR, True), ({}, 0 * ERROR, False), ({1: CUT}, ERROR, False),
     ({1: CUT}, None, False)],
)  # fmt: skip
def test_a_mask_is_looked_for_behind_ties_that_make_no_difference(
    monkeypatch, shared, change, expected
):
    kinds = second_look(monkeypatch)
    monkeypatch.setattr(counterfactual, "to_all_that_share", lambda *_: shared)
    monkeypatch.setattr(counterfactual, "detailed", lambda trace: trace)
    passes, here = Taking(change), space(ERROR)
    found = _behind_ties(replace(known(), trace="trace"), here, NET, passes)
    assert bool(found) is expected
    assert kinds == (["identity"] if expected else [])
    if expected:
        assert passes.log == ["change", ("made", (1,)), "back"]
    assert not _behind_ties(known(), here, NET, Taking(change))  # there is no trace


def explained(kind="identity", *, alone=False, confidence="exact", factor=None, index=0):
    change = np.array([1.0, -2.0, 2.0, 0.0, 0.0])
    made = Trial(kind, {index: CUT}, (index,))
    return Explanation(made, factor, change, frozenset("W"), alone, confidence)


@pytest.mark.parametrize(
    ("candidates", "taken"),
    [
        ([explained(index=1)], 1),
        ([explained(alone=True), explained(confidence="possible"), explained(index=2)], 2),
        ([explained("cut", factor=0.5), explained(index=1), explained(index=2)], 1),
        ([explained(alone=True)], None),
        ([explained(confidence="possible")], None),
        ([explained("cut", factor=0.5)], None),
        ([], None),
    ],
)
def test_what_explains_some_is_taken_as_made_and_the_rest_looked_at(monkeypatch, candidates, taken):
    second_look(monkeypatch)
    whole = space(ERROR + BESIDE, failing=("W", "b"))
    passes = Taking()
    tried = _Tried(candidates, [], [], [])
    found = _beside(tried, frozenset("b"), known(), whole, NET, passes)
    if taken is None:
        assert (found, passes.log) == ((), [])
        return
    assert found == ["found"]
    assert passes.log == [("made", (taken,)), "back"]
    np.testing.assert_array_equal(passes.here.residual, BESIDE)
    assert passes.here.failing == ("b",)


# Where a finding without a place belongs


def one(cause, *names):
    return Finding(cause, names, "", "", "exact", 50)


def located(cause, operations, *, regularisers=(), names=("W",), place=None):
    trace = SimpleNamespace(operations=tuple(operations))
    given = replace(one(cause, *names), location=place)
    ops = {o.index: o for o in operations}
    found = locate(given, known(trace=trace), [(name, ops[index]) for name, index in regularisers])
    lines = tuple(other.line for other in found.also)
    return (None if found.location is None else found.location.line), lines


LINES = [of(0, "exp", B), of(1, "square", W), of(2, "sum", after(1)), of(3, "tanh", W),
         of(4, "square", B)]  # fmt: skip


def test_a_finding_is_about_where_its_parameters_are_first_read():
    assert located("scale", LINES) == (2, ())
    assert located("scale", LINES, names=("b", "W")) == (1, (2,))
    assert located("scale", LINES, names=("W", "b")) == (2, (1,))
    assert located("scale", LINES, names=("c",)) == (None, ())
    there = Location("f.py", 77, "", "loss")
    assert located("scale", LINES, place=there) == (77, ())
    same_line = [of(0, "exp", W, line=6), of(1, "exp", B, line=6)]
    assert located("scale", same_line, names=("W", "b")) == (6, ())
    for cause in ("unexplained", "isolated_entries", "low_precision_accumulation"):
        assert located(cause, LINES) == (None, ())


def test_a_regulariser_is_named_for_a_mistake_about_it():
    both = (("b", 4), ("W", 2), ("W", 1))
    assert located("reg_missing", LINES, regularisers=both) == (2, ())  # the square, not the sum
    assert located("reg_missing", LINES, regularisers=both[:2]) == (3, ())
    assert located("reg_extra", LINES, regularisers=both, names=("c",)) == (5, (2,))
    assert located("reg_extra", LINES, regularisers=both[1:] + both[:1], names=("c",)) == (2, (5,))
    assert located("scale", LINES, regularisers=both) == (2, ())
    assert located("reg_missing", LINES) == (2, ())
    twice = [of(0, "square", W, line=4), of(1, "multiply", W, line=4), of(2, "power", W, line=3)]
    each = (("W", 0), ("W", 1), ("W", 2))
    assert located("reg_missing", twice, regularisers=each) == (4, (3,))


def test_repeated_indices_are_about_look_ups_of_the_parameter():
    looks = [of(0, "exp", W), of(1, "getitem", W), of(2, "take", after(0)), of(3, "getitem", B),
             of(4, "add", after(1), after(3)), of(5, "getitem", after(4))]  # fmt: skip
    assert located("duplicate_indices", looks) == (2, (3,))
    assert located("duplicate_indices", looks, names=("W", "b")) == (2, (3, 4, 6))
    assert located("scale", looks) == (1, ())
    loop = [of(0, "getitem", W), of(1, "getitem", W, line=9), of(2, "getitem", W, line=9)]
    assert located("duplicate_indices", loop) == (9, (1,))
