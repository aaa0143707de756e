"""What is looked up once, and which loops of operations are tried by altered passes."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_directions import after, of
from test_diagnose_flow import Doubling
from test_diagnose_judged import ERROR, RUNS, B, W, handing, known
from test_diagnose_measures import space

from gradcheck.diagnose import handed
from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.handed import handed_findings


class Counting(Doubling):
    """A trace that counts what it is asked; results and operands are their operation's number."""

    def __init__(self, *operations):
        super().__init__(*operations)
        self.asked = []

    def local(self, index, c):
        self.asked.append(("local", index))
        return tuple(c * (2.0 + k) for k, _ in enumerate(self.operations[index].inputs))

    def value(self, index):
        self.asked.append(("value", index))
        return np.full(3, float(index))

    def operand_values(self, index):
        self.asked.append(("operands", index))
        return tuple(np.full(3, index + 0.5) for _ in self.operations[index].inputs)

    def cotangents(self):
        self.asked.append(("cotangents", None))
        return super().cotangents()


@pytest.mark.parametrize(("largest", "times"), [(None, 1), (3, 1), (2, 4)])
def test_what_an_operation_hands_on_is_kept_where_there_is_room(largest, times):
    """Three numbers in each array."""
    trace = Counting(of(0, "multiply", W, B), of(1, "exp", after(0)))
    flow = Flow(trace, Graph(trace.operations), largest)
    for _ in range(2):
        np.testing.assert_array_equal(flow.local(0, 0), np.full(3, 2.0))
        np.testing.assert_array_equal(flow.local(0, 1), np.full(3, 3.0))
    assert flow.local(0, 2) is None  # there are two operands
    assert flow.local(1, 1) is None
    assert trace.asked == [("cotangents", None)] + [("local", 0)] * times


def test_values_are_looked_up_once():
    trace = Counting(of(0, "multiply", W, B), of(1, "exp", after(0)))
    flow = Flow(trace, Graph(trace.operations))
    for _ in range(2):
        assert flow.value(1).tolist() == [1.0] * 3
        assert [one.tolist() for one in flow.operands(0)] == [[0.5] * 3] * 2
    assert trace.asked == [("value", 1), ("operands", 0)]


def test_the_longest_of_chains_with_one_end_is_the_activation():
    trace = Counting(of(0, "frexp", W), of(1, "negative", after(0)), of(2, "exp", after(1)),
                     of(3, "add", after(2), B))  # fmt: skip
    (chain,) = Flow(trace, Graph(trace.operations)).activations()
    assert chain.chains == ((1, 2),)
    assert (chain.sources, chain.own.tolist()) == ((after(0),), [[1.5] * 3])


# Loops whose passes follow one another


def tried(monkeypatch, *handings, blocks=("W", "b")):
    """How many handings are judged: all, in loops, and for each of the wrong parameters."""
    calls = []
    monkeypatch.setattr(handed, "_linear", lambda found, *_: calls.append(len(found)))
    monkeypatch.setattr(handed, "_repeating", lambda found, *_: calls.append([*found]))
    chains = [here for here in handings if here.chains]
    flow = SimpleNamespace(
        activations=lambda: chains, handings=lambda: [h for h in handings if not h.chains]
    )
    names = tuple(frozenset({name}) for name in blocks)
    sketch = SimpleNamespace(flow=flow, n_wrong=1, n_each=2, blocks=names)
    passes = SimpleNamespace(sketch=sketch)
    assert handed_findings(known(), space(ERROR), RUNS, passes, frozenset("W")) == []
    return calls


def test_an_operation_inside_an_activation_is_tried_as_a_part_of_that(monkeypatch):
    """In loops; the first run of a handing is 0."""
    inside = handing(chains=((5, 0), (6, 1), (7, 2)), repeats=True)
    beside = handing(chains=((5, 3), (6, 1), (7, 2)), repeats=True)
    single, plain = handing(repeats=True), handing()

    def in_loops(*handings):
        return [id(one) for one in tried(monkeypatch, *handings)[1]]

    assert in_loops(inside, single, plain) == [id(inside)]
    assert in_loops(beside, single, plain) == [id(beside), id(single)]
    assert in_loops(single) == [id(single)]
    assert in_loops(plain) == []
    not_looped = handing(chains=((5, 0), (6, 1), (7, 2)))
    assert in_loops(not_looped, single) == []
    other = handing(sources=(B, B, B), repeats=True)
    assert in_loops(other, single) == [id(single)]  # no wrong parameter behind


def test_one_parameter_alone_is_all_there_is(monkeypatch):
    here = handing()
    assert tried(monkeypatch, here, blocks=("W",)) == [1, []]
    assert tried(monkeypatch, here) == [1, [], 1]


def test_without_directions_no_rules_are_judged():
    passes = SimpleNamespace(sketch=None)
    assert handed_findings(known(), space(ERROR), RUNS, passes, frozenset("W")) == []
