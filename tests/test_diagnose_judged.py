"""How wrong rules are judged: which are tried, in which order, and what is said of them."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_directions import after, of
from test_diagnose_measures import space
from test_diagnose_patterns import evidence

from gradcheck.diagnose import handed
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.flow import Handing
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.handed import _distinct, _judged, _repeating, handed_findings
from gradcheck.diagnose.handed_findings import _concerned, finding_of
from gradcheck.diagnose.wrong import Wrong

VALUES = {"W": np.array([1.0, 2.0, -3.0]), "b": np.array([0.5, 4.0])}
RIGHT = {"W": np.array([0.3, 1.0, 0.7]), "b": np.array([1.0, 0.2])}
CLAIMED = {"W": np.array([1.3, -1.0, 2.7]), "b": np.array([1.0, 0.2])}
ERROR = np.array([1.0, -2.0, 2.0, 0.0, 0.0])
BESIDE = np.array([0.0, 0.0, 0.0, 1.0, 0.0])
W, B = ("parameter", "W"), ("parameter", "b")


def known(**more):
    return evidence(CLAIMED, RIGHT, VALUES, **more)


RUNS = Graph(tuple(of(k, "exp", W) for k in range(3)))
"""Three runs in lines 1, 2 and 3."""


def handing(*, chains=(), sources=(W, W, W), repeats=False, graph=RUNS, calls=None):
    flow = SimpleNamespace(graph=graph, called_at=lambda _: calls)
    right = np.array([[1.0, 2.0], [-4.0, 0.5], [3.0, 1.0]])
    return Handing(
        (0, 1, 2), 0, graph.operations[0], sources, right * 2, right, repeats, flow, chains
    )


def rule(off, *, words="is wrong", rank=1, drops=False, other=None):
    """A rule that hands on what is right, and something beside it."""
    here = handing()
    given = np.asarray(here.right + off)
    return Wrong("sign", words, "", lambda c, runs: given[runs], other, rank, drops)


# What a rule explains


def judged(change, *, residual=ERROR, failing=("W",), confirmed=True):
    here = space(residual, failing=failing)
    passes = SimpleNamespace(confirmed=lambda _: confirmed)
    found = _judged(handing(), rule(1.0), change, known(), here, passes)
    return None if found is None else (found.parameters, found.evidence["parameters_alone"])


def test_a_rule_explains_what_it_changes_and_matches():
    assert judged(ERROR) == (("W",), False)
    assert judged(ERROR + BESIDE) == (("W",), True)
    assert judged(0 * ERROR) is None
    assert judged(2 * ERROR) is None
    assert judged(ERROR, confirmed=False) is None


def test_a_rule_explains_all_that_is_wrong_of_what_it_changes():
    both = {"residual": ERROR + BESIDE, "failing": ("W", "b")}
    assert judged(ERROR + BESIDE, **both) == (("W", "b"), False)
    assert judged(ERROR, **both) == (("W",), False)
    assert judged(ERROR + 0.5 * BESIDE, **both) is None


# Which runs a rule is about


def off(*runs, size=1.0):
    beside = np.zeros((3, 2))
    beside[list(runs), 1] = size
    return beside


def test_only_the_runs_that_hand_on_something_wrong_are_meant():
    here = handing(chains=((0,), (1,), (2,)))
    for runs in ((1,), (0, 2), (2,)):
        meant = _concerned(here, rule(off(*runs)))
        assert meant.runs == runs
        assert meant.chains == tuple((k,) for k in runs)
        assert meant.operation.index == runs[0]
    for whole in (rule(off(0, 1, 2)), rule(off(1), drops=True), rule(off())):
        assert _concerned(here, whole) is here
    # the largest number handed on is 4
    assert _concerned(here, rule(off(1, size=4.4e-12))).runs == (1,)
    assert _concerned(here, rule(off(1, size=3.6e-12))) is here
    assert _concerned(here, rule(off(1, size=-4.4e-12))).runs == (1,)
    assert _concerned(handing(), rule(off(1))).chains == ()


def said(wrong, *, alone=False, explained="W", **how):
    return finding_of(handing(**how), wrong, frozenset(explained), known(), alone=alone)


def test_what_is_said_of_a_rule():
    whole = said(rule(off(0, 1, 2)))
    assert "(in each of its 3 runs), the gradient is wrong." in whole.message
    assert (whole.location.line, whole.parameters) == (1, ("W",))
    assert (whole.confidence, whole.cause) == ("exact", "sign")
    single = said(rule(off(1)))
    assert "runs" not in single.message
    assert (single.location.line, single.evidence["index"]) == (2, 1)
    two = said(rule(off(0, 2)))
    assert "(in each of its 2 runs)" in two.message
    assert said(rule(1.0), explained="Wb").parameters == ("W", "b")


def test_a_rule_on_the_way_to_some_alone_says_less():
    alone = said(rule(1.0), alone=True)
    assert "on the way to W alone" in alone.message
    assert "alone" not in said(rule(1.0)).message
    assert alone.specificity < said(rule(1.0)).specificity


def test_the_lines_that_a_rule_may_be_about():
    graph = Graph(
        (*RUNS.operations, of(3, "sum", after(0)), of(4, "tanh", W), of(5, "sum", after(1)))
    )
    found = said(rule(off(0), other=4), graph=graph)
    assert (found.location.line, [place.line for place in found.also]) == (1, [4, 5])
    called = said(rule(off(0)), graph=graph, calls=4)
    assert (called.location.line, [place.line for place in called.also]) == (5, [1, 4])


# Rules of loops that follow one another


def distinct(monkeypatch, *wrongs, rank=1):
    monkeypatch.setattr(handed, "_wrongs", lambda *_: iter(wrongs))
    return [wrong.words for wrong in _distinct(handing(), None, rank=rank)]


def test_rules_that_come_to_the_same_are_tried_once(monkeypatch):
    a, b = rule(off(1), words="a"), rule(off(2), words="b")
    same, right = rule(off(1, size=1 + 3.6e-12), words="same"), rule(off(), words="right")
    near, far = rule(off(1, size=1 + 4.4e-12), words="near"), rule(np.nan, words="far")
    late = rule(off(0), words="late", rank=2)
    assert distinct(monkeypatch, right, a, b, same, far, near, late) == ["a", "b", "near"]
    assert distinct(monkeypatch, same, a) == ["same"]
    assert distinct(monkeypatch, a, late, rank=2) == ["late"]


class Counted:
    """Passes that count, and find that rules change nothing but the one that explains."""

    def __init__(self, left, explaining=None, change=ERROR):
        self.left, self.ran_out, self.tried = left, False, []
        self.explaining, self.made = explaining, change

    def change(self, alterations):
        self.left -= 1
        (words,) = {a.kind for a in alterations.values()}
        self.tried.append(words)
        return None if words == "none" else self.made * (words == self.explaining)

    def confirmed(self, _):
        return True


def repeating(monkeypatch, wrongs, passes, *, failing=("W",), residual=ERROR):
    """The handings take turns; the likelier rules of each come first."""
    monkeypatch.setattr(handed, "_wrongs", lambda here, _: iter(wrongs[here.chains]))
    monkeypatch.setattr(
        handed, "_alterations", lambda _, wrong: {0: SimpleNamespace(kind=wrong.words)}
    )
    handings = [handing(chains=chains) for chains in wrongs]
    found = _repeating(handings, None, known(), space(residual, failing=failing), passes)
    return passes.tried, found


def test_rules_are_tried_in_turn_the_likelier_first(monkeypatch):
    names = {"": "abcd", "x": "ef"}
    ranks = {"a": 1, "b": 0, "c": 2, "d": 1, "e": 0, "f": 1}
    offs = {name: off(k % 3, size=k + 1.0) for k, name in enumerate("abcdef")}
    wrongs = {
        ((0,), (1,), (2,)) if key else (): [
            rule(offs[name], words=name, rank=ranks[name]) for name in of_each
        ]
        for key, of_each in names.items()
    }
    tried, found = repeating(monkeypatch, wrongs, Counted(100))
    assert (tried, found) == (["b", "e", "a", "f", "d", "c"], None)
    passes = Counted(100, "f")
    tried, found = repeating(monkeypatch, wrongs, passes)
    assert tried == ["b", "e", "a", "f"]
    assert found.parameters == ("W",)
    assert not passes.ran_out
    # what explains one of two wrong parameters is no end
    two = {"failing": ("W", "b"), "residual": ERROR + BESIDE}
    tried, found = repeating(monkeypatch, wrongs, Counted(100, "f"), **two)
    assert (len(tried), found) == (6, None)


@pytest.mark.parametrize(("left", "count"), [(1, 1), (3, 3), (5, 4), (6, 5), (7, 6), (8, 6)])
def test_a_fifth_of_the_passes_is_kept(monkeypatch, left, count):
    wrongs = {(): [rule(off(0, size=k + 1.0), words="none") for k in range(6)]}
    passes = Counted(left)
    tried, found = repeating(monkeypatch, wrongs, passes)
    assert (len(tried), found) == (count, None)
    assert passes.ran_out is (count < 6)


# All wrong parameters at once, loops, then each parameter


def looked_at(monkeypatch, *, found, left="Wb", failing=("W", "b"), wrong=True):
    """Which handings are judged: of all parameters, in loops, of W, and of b."""
    here = {
        "W": handing(sources=(W,)),
        "b": handing(sources=(B,)),
        "both": handing(sources=(W, B)),
        "loop": handing(sources=(W, B), repeats=True),
        "loop of W": handing(sources=(W,), repeats=True),
        "neither": handing(sources=(("parameter", "c"),)),
    }
    names = {id(one): name for name, one in here.items()}
    calls = []

    def linear(handings, _, __, rows, *___):
        calls.append([names[id(one)] for one in handings])
        return found.get(len(calls))

    def repeat(handings, *_):
        calls.append([names[id(one)] for one in handings])
        return found.get(len(calls))

    monkeypatch.setattr(handed, "_linear", linear)
    monkeypatch.setattr(handed, "_repeating", repeat)
    flow = SimpleNamespace(activations=lambda: [here["W"]], handings=lambda: [*here.values()][1:])
    blocks = tuple(frozenset(name) for name in (*failing, "c"))
    sketch = SimpleNamespace(flow=flow, n_wrong=len(failing), n_each=2, blocks=blocks)
    residual = ERROR + BESIDE if wrong else 0 * ERROR
    made = handed_findings(
        known(), space(residual, failing=failing), RUNS, SimpleNamespace(sketch=sketch),
        frozenset(left),
    )  # fmt: skip
    return calls, [one.cause for one in made]


def one(cause, *names):
    return Finding(cause, names, "", "", "exact", 50)


BEHIND = ["W", "b", "both", "loop", "loop of W"]


def test_rules_are_looked_for_of_all_then_in_loops_then_of_each(monkeypatch):
    of_w, of_b = ["W", "both", "loop", "loop of W"], ["b", "both", "loop"]
    calls, made = looked_at(monkeypatch, found={})
    assert (calls, made) == ([BEHIND, ["loop"], of_w, of_b], [])
    calls, made = looked_at(monkeypatch, found={1: one("sign", "W", "b")})
    assert (calls, made) == ([BEHIND], ["sign"])
    calls, made = looked_at(monkeypatch, found={2: one("sign", "W", "b")})
    assert (calls, made) == ([BEHIND, ["loop"]], ["sign"])
    calls, made = looked_at(monkeypatch, found={3: one("sign", "W"), 4: one("scale", "b")})
    assert (len(calls), made) == (4, ["sign", "scale"])
    # what is explained already is not looked for again
    calls, made = looked_at(monkeypatch, found={3: one("sign", "W", "b")})
    assert (calls, made) == ([BEHIND, ["loop"], of_w], ["sign"])
    calls, made = looked_at(monkeypatch, found={}, left="b")
    assert calls[2:] == [of_b]


def test_an_error_without_digits_is_not_looked_into(monkeypatch):
    assert looked_at(monkeypatch, found={}, wrong=False) == ([], [])
