"""Rules judged by a few scalar products: which fit, which are looked at, and what they make."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_directions import after, of
from test_diagnose_judged import B, W, handing, known, off, rule
from test_diagnose_measures import found as told
from test_diagnose_measures import space

from gradcheck.diagnose import handed
from gradcheck.diagnose.flow import Handing
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.handed import _alterations, _behind, _dropped, _linear, _made, _others
from gradcheck.diagnose.wrong import Wrong
from gradcheck.tracing.contract import Alteration

ERROR = np.array([1.0, -2.0, 2.0, 0.0, 0.0])


def looked(monkeypatch, wrongs, *, wanted, here=None, slack=0.0, moved=1.0, left=9, beside=0.0):
    """The rules that are confirmed, where every number handed on wrongly moves the gradient."""
    made = []

    def make(_, wrong, *__):
        made.append(wrong.words)
        return told("sign") if wrong.words.startswith("found") else None

    monkeypatch.setattr(handed, "_wrongs", lambda *_: iter(wrongs))
    monkeypatch.setattr(handed, "_made", make)
    monkeypatch.setattr(handed, "_dropped", lambda *_: np.array([beside, 0.0]))
    sketch = SimpleNamespace(
        residual=np.array([wanted, 2 * wanted]), slack=np.array([slack, 99.0]),
        stacked=lambda _: np.full((2, 6), moved) * [[1.0], [2.0]],
        joined=lambda _, parts: np.ravel(parts),
    )  # fmt: skip
    passes = SimpleNamespace(left=left, ran_out=False)
    found = _linear(
        [handing() if here is None else here],
        None,
        sketch,
        np.eye(2),
        known(),
        space(ERROR),
        passes,
    )
    return made, found, passes.ran_out


@pytest.mark.parametrize(("slack", "bound"), [(0.0, 3.449e-9), (1e-6, 1.003449e-6)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_rule_that_fits_along_every_direction_is_confirmed(monkeypatch, slack, bound, sign):
    """One number is wrong by 1: the tolerance is 1e-9 of sqrt(6) and of what is wanted."""
    for share, confirmed in ((0.99, ["a"]), (1.01, [])):
        wanted = 1.0 + sign * share * bound
        assert looked(monkeypatch, [rule(off(1), words="a")], wanted=wanted, slack=slack) == (
            confirmed, None, False,
        )  # fmt: skip


def test_what_hands_on_no_number_or_moves_nothing_is_left_out(monkeypatch):
    a, nothing = rule(off(1), words="a"), rule(np.nan, words="nothing")
    assert looked(monkeypatch, [nothing, a], wanted=1.0)[0] == ["a"]
    assert looked(monkeypatch, [a], wanted=0.0, moved=0.0)[0] == []


def test_a_loop_that_meets_itself_is_not_linear(monkeypatch):
    a = rule(off(1), words="a")
    for sources, repeats, expected in (
        ((W, W, W), True, ["a"]),
        ((W, after(0), W), True, []),
        ((W, after(0), W), False, ["a"]),
    ):
        here = handing(sources=sources, repeats=repeats)
        assert looked(monkeypatch, [a], wanted=1.0, here=here)[0] == expected


def test_what_the_other_operands_do_not_get_counts_as_well(monkeypatch):
    plain, drops = rule(off(1), words="plain"), rule(off(1), words="drops", drops=True)
    assert looked(monkeypatch, [plain, drops], wanted=1.0, beside=0.5)[0] == ["plain"]
    assert looked(monkeypatch, [plain, drops], wanted=1.5, beside=0.5)[0] == ["drops"]


def test_the_likeliest_of_those_that_fit_is_told(monkeypatch):
    wrongs = [rule(off(1), words=words) for words in ("a", "found", "found too")]
    made, found, _ = looked(monkeypatch, wrongs, wanted=1.0)
    assert (made, found.cause) == (["a", "found", "found too"], "sign")


@pytest.mark.parametrize(
    ("how", "count", "more"),
    [
        ({"MOST_WORK": 18}, 3, False), ({"MOST_WORK": 17}, 2, True),
        ({"MOST_CONFIRMED": 3}, 3, False), ({"MOST_CONFIRMED": 2}, 2, True),
    ],
)  # fmt: skip
def test_the_work_is_bounded(monkeypatch, how, count, more):
    """Three rules for six numbers."""
    for name, value in how.items():
        monkeypatch.setattr(handed, name, value)
    wrongs = [rule(off(1), words=words) for words in ("found", "b", "c")]
    made, found, ran_out = looked(monkeypatch, wrongs, wanted=1.0)
    assert (len(made), ran_out) == (count, more)
    assert found.cause == "sign"


@pytest.mark.parametrize(("left", "count"), [(1, 1), (0, 0), (-1, 0)])
def test_without_passes_nothing_is_confirmed(monkeypatch, left, count):
    made, _, ran_out = looked(monkeypatch, [rule(off(1), words="a")], wanted=1.0, left=left)
    assert (len(made), ran_out) == (count, left <= 0)


# What a rule makes


def made(sources, extra, *, drops=False, others=(), monkeypatch=None, change=ERROR):
    calls = []

    def pulled(given, direct):
        calls.append(
            ({k: list(v) for k, v in given.items()}, {k: list(v) for k, v in direct.items()})
        )
        return change

    passes = SimpleNamespace(pulled=pulled, confirmed=lambda _: True)
    monkeypatch.setattr(handed, "_others", lambda _: iter(others))
    wrong = rule(1.0, drops=drops)
    found = _made(handing(sources=sources), wrong, extra, known(), space(ERROR), passes)
    return calls[0], found


def test_what_runs_hand_on_wrongly_is_added_up_for_each_source(monkeypatch):
    extra = np.array([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]])
    (given, direct), found = made((after(3), after(3), W), extra, monkeypatch=monkeypatch)
    assert (given, direct) == ({3: [11.0, 22.0]}, {"W": [100.0, 200.0]})
    assert found.parameters == ("W",)
    (given, direct), _ = made((W, B, W), extra, monkeypatch=monkeypatch)
    assert (given, direct) == ({}, {"W": [101.0, 202.0], "b": [10.0, 20.0]})
    others = [(after(5), np.array([7.0, 8.0])), (W, np.array([1.0, 1.0]))]
    for drops, more in ((False, {}), (True, {5: [-7.0, -8.0]})):
        (given, direct), _ = made(
            (W, B, W), extra, drops=drops, others=others, monkeypatch=monkeypatch
        )
        assert given == more
        assert direct["W"] == ([100.0, 201.0] if drops else [101.0, 202.0])


@pytest.mark.parametrize("change", [None, np.full(5, np.nan), 2 * ERROR])
def test_what_makes_another_gradient_is_no_finding(monkeypatch, change):
    assert made((W, W, W), off(1), monkeypatch=monkeypatch, change=change)[1] is None


def whole(sources, operands):
    """A handing of three runs of a product, to one operand; each hands on its operand's number."""
    inputs = [(source, B) for source in sources]
    graph = Graph(tuple(of(k, "multiply", *given) for k, given in enumerate(inputs)))
    flow = SimpleNamespace(
        graph=graph, local=lambda index, operand: np.array([10.0 * index + operand])
    )
    right = np.zeros((3, 1))
    return Handing(
        (0, 1, 2), operands, graph.operations[0], tuple(sources), right, right, False, flow
    )


def test_the_other_operands_of_the_runs():
    here = whole((W, after(7), W), 1)
    found = [(source, part[0]) for source, part in _others(here)]
    assert found == [(W, 0.0), (after(7), 10.0), (W, 20.0)]
    assert [source for source, _ in _others(whole((W, W, W), 0))] == [B, B, B]
    sketch = SimpleNamespace(given=lambda sources, parts: (sources, [part[0] for part in parts]))
    assert _dropped(here, sketch) == ([W, after(7), W], [-0.0, -10.0, -20.0])


def test_the_parameters_behind_what_is_handed_on():
    graph = Graph((of(0, "exp", W), of(1, "add", after(0), B), of(2, "exp", ("parameter", "c"))))
    for sources, names in (((W,), "W"), ((after(0),), "W"), ((after(1),), "Wb"), ((W, B), "Wb"),
                           ((after(2), W), "cW")):  # fmt: skip
        assert _behind(handing(sources=sources, graph=graph), graph) == set(names)


def test_a_rule_as_an_alteration_of_each_run():
    table = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    wrong = Wrong("sign", "", "", lambda c, runs: c * table[runs])
    plain = _alterations(handing(), wrong)
    assert sorted(plain) == [0, 1, 2]
    for index, alteration in plain.items():
        assert (alteration.kind, alteration.operand) == ("rule", 0)
        np.testing.assert_array_equal(
            alteration.rule(np.array([1.0, 10.0])), table[index] * [1, 10]
        )
    chains = ((10, 11, 0), (12, 1), (2,))
    activation = _alterations(handing(chains=chains), wrong)
    assert sorted(activation) == [0, 1, 2, 10, 11, 12]
    for index in (10, 11, 12):
        assert activation[index] == Alteration("identity")
    for index in (0, 1, 2):
        assert (activation[index].kind, activation[index].operand) == ("rule", None)
        np.testing.assert_array_equal(activation[index].rule(np.ones(2)), table[index])
