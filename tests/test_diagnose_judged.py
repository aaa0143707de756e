"""How wrong rules are judged: which are tried, in which order, and what is said of them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from handed_rules import G, Z, by_words
from handed_rules import handed as traced_handing
from test_diagnose_directions import after, of
from test_diagnose_measures import space
from test_diagnose_patterns import evidence
from test_diagnose_places import CUT

from gradcheck.diagnose import cotangents, counterfactual, handed
from gradcheck.diagnose.causes import Explanation
from gradcheck.diagnose.cotangents import _Attempt, cotangent_findings
from gradcheck.diagnose.counterfactual import _behind_ties, _beside, _Tried
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.flow import Handing
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.handed import _distinct, _judged, _repeating, handed_findings
from gradcheck.diagnose.handed_findings import _concerned, finding_of
from gradcheck.diagnose.limits import Limits
from gradcheck.diagnose.locating import locate
from gradcheck.diagnose.plan import Trial
from gradcheck.diagnose.wrong import Wrong, wrong_slopes
from gradcheck.report import Location

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


# The derivative at another value


@pytest.mark.parametrize("shown", [G, G * (Z > 0)], ids=["everywhere", "where something arrives"])
def test_a_formula_that_is_right_is_taken_at_another_value(shown):
    """``arctan`` has no form of its own: the one that fits is looked up."""
    other = Z * 0.5 + 1.0
    here, pool = traced_handing(
        lambda W: np.sum(np.arctan(W) * shown), "arctan", {"W": Z}, data={"M": other}
    )
    found = [
        w for w in wrong_slopes(here, pool) if w.words.endswith("derivative, taken at M itself")
    ]
    (wrong,) = found
    np.testing.assert_allclose(wrong.rule(here.cotangent, slice(None))[0], shown / (1 + other**2))
    sine, pool = traced_handing(
        lambda W: np.sum(np.sinh(W) * G), "sinh", {"W": Z}, data={"M": other}
    )
    assert not [w for w in by_words(wrong_slopes(sine, pool)) if "taken at M itself" in w]


@pytest.mark.parametrize("shift", [lambda W: W - 0.5, lambda W: 0.5 + W, lambda W: W * 1.5])
def test_a_square_at_its_value_before_a_shift_lacks_a_term(shift):
    """At any other value it is merely a stale one, and so it is where nothing was shifted."""
    here, pool = traced_handing(
        lambda W: np.sum(shift(W) ** 2 * G), "power", {"W": Z}, data={"X": G, "Y": Z[:, :1]}
    )
    causes = {wrong.words: wrong.cause for wrong in wrong_slopes(here, pool)}
    before = causes["is multiplied by its derivative, taken at W itself"]
    assert before == ("stale_value" if shift(2.0) == 3.0 else "term_missing")
    assert causes["is multiplied by its derivative, taken at X itself"] == "stale_value"
