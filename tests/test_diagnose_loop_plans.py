"""Which alterations of loops are tried, and what flows through calls of a helper."""

import numpy as np
import pytest
from handed_rules import generator
from test_diagnose_directions import after, of
from test_diagnose_places import CUT, operation, recurrence

from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import Graph, graph_of
from gradcheck.diagnose.plan import (
    _loop_cuts,
    _loop_factors,
    _operands_of_run,
    _partial_loops,
    _recurrences,
    _whole_loops,
    trials,
)
from gradcheck.tracing import trace
from gradcheck.tracing.contract import Alteration

W, B, ARRAY = ("parameter", "W"), ("parameter", "b"), ("constant", "array")


def sums(runs, *, following, first=ARRAY):
    """``h = W + h`` (or ``h = W + array``), starting from ``first``."""
    made, state = [], first
    for k in range(runs):
        made.append(of(k, "add", W, state, line=7))
        state = after(k) if following else state
    return Graph((*made, of(runs, "sum", after(runs - 1), line=8)))


def operands(graph):
    return list(_operands_of_run(graph, graph.loops[0]))


def test_the_operands_at_which_a_loop_may_be_cut():
    assert operands(sums(3, following=True, first=B)) == [None, 0, 1]
    # the state before the first step is a constant
    assert operands(sums(3, following=True)) == [None, 0, 1]
    assert operands(sums(3, following=False)) == [None]
    middle = Graph((of(0, "add", W, B, line=7), of(1, "add", W, ARRAY, line=7),
                    of(2, "add", W, B, line=7)))  # fmt: skip
    assert operands(middle) == [None, 0]
    late = Graph((of(0, "add", W, ARRAY, line=7), of(1, "add", W, ARRAY, line=7),
                  of(2, "add", W, B, line=7)))  # fmt: skip
    assert operands(late) == [None, 0]


def cuts(graph):
    return [(one.run, one.operand, one.sites) for one in _loop_cuts(graph)]


def test_cuts_of_whole_loops_that_come_to_the_same_are_one():
    assert cuts(sums(3, following=True, first=B)) == [
        ((0, 1, 2), None, (0,)), ((0, 1, 2), 0, (0,)), ((0, 1, 2), 1, (0,)),
    ]  # fmt: skip
    # what is made and used once, in each run, is cut where it is made
    both = []
    for k in range(3):
        both += [of(2 * k, "exp", W, line=4), of(2 * k + 1, "tanh", after(2 * k), line=5)]
    assert cuts(Graph(tuple(both))) == [((0, 2, 4), None, (0, 1))]
    # half of a square is no term
    squares = Graph(tuple(of(k, "multiply", W, W, line=4) for k in range(3)))
    assert cuts(squares) == [((0, 1, 2), None, (0,))]


def planned(found):
    return [(one.kind, sorted(one.alterations), one.operand, one.runs) for one in found]


def test_parts_of_a_loop():
    loops = _loop_cuts(sums(4, following=False))
    assert planned(_partial_loops(loops)) == [
        ("cut", [3], None, "last"),
        ("cut", [1, 2, 3], None, "all but the first"),
        ("cut", [0, 1, 2], None, "all but the last"),
        ("cut", [0], None, "first"),
    ]
    two = planned(_partial_loops(_loop_cuts(sums(2, following=False))))
    assert two == [("cut", [1], None, "last"), ("cut", [0], None, "first")]
    assert {one.n_runs for one in _partial_loops(loops)} == {4}


def test_factors_are_tried_where_runs_follow_one_another():
    graph = sums(3, following=True)
    loops = _loop_cuts(graph)
    found = list(_loop_factors(graph, loops, (-1.0, 2.0)))
    assert [(one.operand, set(one.alterations.values())) for one in found] == [
        (operand, {Alteration("scale" if operand is None else "scale_operand", operand=operand,
                              factor=factor)})
        for operand in (None, 0, 1) for factor in (-1.0, 2.0)
    ]  # fmt: skip
    assert [sorted(one.alterations) for one in found[::2]] == [[0, 1, 2], [0, 1, 2], [1, 2]]
    assert {(one.runs, one.n_runs) for one in found} == {("every", 3)}
    # the last run follows the first, or it does not
    for reads, tried in ((ARRAY, 0), (after(1), 1)):
        some = Graph((of(0, "exp", W, line=7), of(1, "exp", after(0), line=7),
                      of(2, "exp", reads, line=7)))  # fmt: skip
        assert len(list(_loop_factors(some, _loop_cuts(some), (-1.0,)))) == tried
    apart = sums(3, following=False)
    assert list(_loop_factors(apart, _loop_cuts(apart), (-1.0,))) == []


def test_all_ways_on_which_a_result_enters_the_next_run():
    # one way into each next run is a cut of its own
    assert list(_recurrences(recurrence())) == []
    assert list(_recurrences(sums(4, following=False))) == []
    made = [of(0, "exp", W, line=4)]
    for k in range(1, 4):
        made.append(of(2 * k - 1, "multiply", after(2 * k - 2), after(2 * k - 2), line=5))
        made.append(of(2 * k, "exp", after(2 * k - 1), line=4))
    ways = [one for one in _recurrences(Graph(tuple(made))) if one.sites == (0,)]
    assert ways == []  # what reads a result twice is one way as well
    steps = []
    for k in range(4):
        state = ARRAY if k == 0 else after(3 * k - 1)
        steps += [of(3 * k, "exp", state if k else W, line=4),
                  of(3 * k + 1, "sin", state if k else W, line=5),
                  of(3 * k + 2, "add", after(3 * k), after(3 * k + 1), line=6)]  # fmt: skip
    both = [one for one in _recurrences(Graph(tuple(steps))) if one.sites == (2,)]
    assert [sorted(one.alterations) for one in both] == [[3, 4, 6, 7, 9, 10]]
    assert both[0].alterations[3] == Alteration("drop_operand", operand=0)


def test_every_run_is_altered_where_it_has_the_operand():
    graph = Graph((of(0, "multiply", W, ARRAY, line=7), of(1, "multiply", W, after(0), line=7),
                   of(2, "multiply", W, after(1), line=7)))  # fmt: skip
    found = [(one.kind, one.operand, sorted(one.alterations)) for one in _whole_loops(graph, ())]
    assert found == [
        ("identity", 0, [0, 1, 2]), ("identity", 1, [1, 2]),
        ("twice", 0, [0, 1, 2]), ("twice", 1, [1, 2]),
    ]  # fmt: skip


def test_the_order_of_what_is_tried():
    """Whole lines, whole loops, likely factors, parts of loops, runs, and the unlikely ones."""
    found = [(one.kind, one.runs) for one in trials(sums(3, following=True))]
    order = list(dict.fromkeys(found))
    assert order == [
        ("cut", ""), ("cut", "every"), ("factor", "every"), ("cut", "last"),
        ("cut", "all but the first"), ("cut", "all but the last"), ("cut", "first"), ("cut", "one"),
    ]  # fmt: skip
    factors = [
        next(iter(one.alterations.values())).factor
        for one in trials(sums(3, following=True)) if one.kind == "factor"
    ]  # fmt: skip
    assert list(dict.fromkeys(factors)) == [-1.0, 2.0, 0.5]
    assert factors == sorted(factors, key=lambda f: f != -1.0)


# Cuts that cannot be told apart


def classes(*operations):
    return [members for members in Graph(operations).cut_classes if len(members) > 1]


def test_cuts_of_the_only_use_and_of_the_only_operand_are_the_same():
    chain = (of(0, "exp", W), of(1, "tanh", after(0)))
    assert classes(*chain) == [((0, None), (0, 0), (1, None), (1, 0))]
    two = (of(0, "exp", W), of(1, "add", after(0), B))
    assert classes(*two) == [((0, None), (0, 0), (1, 0))]
    twice = (of(0, "exp", W), of(1, "add", after(0), after(0)))
    assert classes(*twice) == [((0, None), (0, 0))]


# What flows


def handings(loss, **values):
    traced = trace(loss, (), values, values)
    flow = Flow(traced, graph_of(traced))
    return flow, [(here.operation.name, len(here.runs), here.operand) for here in flow.handings()]


def layer(H, V):
    return np.tanh(H @ V)


def net(U, V, X):
    first = layer(X, U)
    second = layer(first, V)
    return np.sum(second * second)


def test_calls_of_a_helper_are_looked_at_together_and_one_by_one():
    values = {"U": generator.normal(size=(3, 3)), "V": generator.normal(size=(3, 3)),
              "X": generator.normal(size=(2, 3))}  # fmt: skip
    _, found = handings(net, **values)
    assert found.count(("tanh", 2, 0)) == 1
    assert found.count(("tanh", 1, 0)) == 2
    assert found.count(("matmul", 1, 1)) == 2


@pytest.mark.parametrize("count", [6, 7])
def test_what_gathers_many_values_only_hands_on(count):
    def loss(v):
        return np.sum(np.concatenate([np.sin(v) * k for k in range(1, count + 1)]) ** 2)

    _, found = handings(loss, v=generator.normal(size=2))
    assert any(name == "concatenate" for name, _, _ in found) is (count == 6)


def test_what_one_operation_hands_on_is_asked_once():
    values = {"v": generator.normal(size=3)}
    traced = trace(lambda v: np.sum(np.sin(v) * v), (), values, values)
    asked = []

    class Counting:
        def __getattr__(self, name):
            return getattr(traced, name)

        def local(self, index, c):
            asked.append(index)
            return traced.local(index, c)

    for largest, times in ((None, 1), (3, 1), (2, 2)):
        asked.clear()
        flow = Flow(Counting(), graph_of(traced), largest)
        for _ in range(2):
            flow.local(0, 0)
        assert len(asked) == times
    assert flow.value(0) is flow.value(0)
    assert flow.operands(0) is flow.operands(0)


def test_a_cut_has_its_alteration():
    graph = Graph((operation(0, "exp", [W], [(3,)], (3,)),))
    (cut,) = (one for one in trials(graph) if one.kind == "cut")
    assert cut.alterations == {0: CUT}
    assert (cut.sites, cut.operand, cut.runs, cut.n_runs) == ((0,), None, "", 1)
