"""How far a look through a trace goes: each operation once, and none beyond what is sought."""

import pytest
from test_diagnose_directions import after, of

from gradcheck.diagnose.graph import Graph, cut_alteration, detailed
from gradcheck.tracing.contract import Alteration

W, B = ("parameter", "W"), ("parameter", "b")
LAYERS = 40


class Counted(dict):
    """Consumers that count how often they are asked for."""

    def __init__(self, consumers):
        super().__init__(consumers)
        self.asked = []

    def get(self, key, default=()):
        self.asked.append(key)
        return super().get(key, default)


def counted(*operations):
    graph = Graph(tuple(operations))
    consumers = Counted(Graph.consumers.func(graph))
    graph.__dict__["consumers"] = consumers
    return graph, consumers.asked


def woven():
    """Layers of two operations that each use both of the layer before, and one more at the end."""
    made = [of(0, "exp", W), of(1, "exp", W)]
    for k in range(2, 2 * LAYERS):
        first = k - k % 2 - 2
        made.append(of(k, "add", after(first), after(first + 1)))
    return counted(*made, of(2 * LAYERS, "exp", B))


def test_each_operation_is_looked_at_once():
    """There are more ways through than could ever be counted."""
    graph, asked = woven()
    assert graph.reached_from(0) == frozenset(range(2, 2 * LAYERS))
    assert len(asked) == 2 * LAYERS - 1
    for look in (
        lambda: graph.reaches(0, 2 * LAYERS),
        lambda: graph.reaches_any(0, {2 * LAYERS - 1, 2 * LAYERS}),
        lambda: graph.reaches(0, 2 * LAYERS - 1),
        lambda: graph.reaches_any(1, {2 * LAYERS - 2}),
    ):
        asked.clear()
        look()
        assert len(set(asked)) == len(asked) <= 2 * LAYERS


def chain(n, *more):
    return counted(of(0, "exp", W), *(of(k, "exp", after(k - 1)) for k in range(1, n)), *more)


def test_whether_one_depends_on_another_is_asked_once():
    graph, asked = chain(30)
    assert graph.reaches(3, 20)
    assert asked == list(range(3, 20))
    assert graph.reaches(3, 20)
    assert len(asked) == 17
    assert not graph.reaches(20, 3)
    assert asked[17:] == [20]


@pytest.mark.parametrize("later", [12, 13, 29])
def test_what_ran_after_what_is_sought_is_not_looked_at(later):
    """Which does not depend on it."""
    operations = [of(k, "exp", after(k - 1)) if k and k != later else of(k, "exp", W)
                  for k in range(40)]  # fmt: skip
    graph, asked = counted(*operations)
    assert not graph.reaches(5, later)
    assert not graph.reaches_any(5, {later})
    assert max(asked, default=0) < later
    skipping = [*operations[: later + 1], of(40, "add", after(5), after(later))]
    graph, asked = counted(*skipping)
    assert not graph.reaches(5, later)
    assert 40 not in asked


def test_what_leads_farthest_is_looked_at_first():
    """From 0 on, a short way leads past many operations, and a long one through all of them."""
    long_way = [of(k, "exp", after(k - 1)) for k in range(1, 20)]
    short_way = [of(20, "exp", after(0)), of(21, "add", after(20), after(19)),
                 of(22, "exp", after(21))]  # fmt: skip
    graph, asked = counted(of(0, "exp", W), *long_way, *short_way)
    assert graph.reaches(0, 22)
    assert asked == [0, 20, 21]


def test_what_comes_next_is_looked_at_first_where_one_of_some_is_sought():
    near = [of(k, "exp", after(k - 1)) for k in range(1, 20)]
    graph, asked = counted(of(0, "exp", W), *near, of(20, "exp", after(0)),
                           of(21, "add", after(20), after(18)))  # fmt: skip
    assert graph.reaches_any(0, {12, 21})
    assert asked == list(range(12))


def test_where_little_lies_before_nothing_is_looked_through():
    graph, asked = chain(20, of(20, "exp", B))
    assert graph.reaches_any(2, {5, 20})
    assert graph.reaches_any(0, {8})
    assert not graph.reaches_any(6, {5, 20})
    assert asked == []
    assert not graph.reaches_any(15, {15})
    assert not graph.reaches_any(15, {14, 15, 20})
    assert asked == []
    assert graph.reaches_any(0, {9})
    assert asked == list(range(9))


# What is the same cut


def test_cuts_alike_are_in_order_with_the_whole_first():
    square = of(2, "multiply", after(1), after(1))
    graph = Graph((of(0, "exp", W), of(1, "add", after(0), B), square,
                   of(3, "sum", after(2), ("constant", "1"))))  # fmt: skip
    assert graph.cut_classes == (
        ((0, None), (0, 0), (1, 0)),
        ((1, None),),
        ((1, 1),),
        ((2, None), (3, None), (3, 0)),
        ((2, 0),),
        ((2, 1),),
    )
    assert cut_alteration((1, None)) == (1, Alteration("constant"))
    assert cut_alteration((2, 0)) == (2, Alteration("drop_operand", operand=0))


@pytest.mark.parametrize(("numbers", "varying"), [(("1", "1", "1"), False), (("1", "1", "2"), True),
                                                  (("1", "2", "3"), True)])  # fmt: skip
def test_a_loop_varies_where_a_number_does(numbers, varying):
    runs = [of(k, "multiply", W, ("constant", n), line=5) for k, n in enumerate(numbers)]
    graph = Graph((*runs, of(3, "add", after(0), ("constant", "7"))))
    assert graph.varying == (frozenset(range(3)) if varying else frozenset())
    other = [of(k, "multiply", ("parameter", n), ("constant", "1"), line=5)
             for k, n in enumerate(numbers)]  # fmt: skip
    assert Graph(tuple(other)).varying == frozenset()


def test_the_parameters_behind_operations():
    graph = Graph((of(0, "exp", W), of(1, "exp", B), of(2, "add", after(0), after(1), W),
                   of(3, "ones", ("constant", "3")), of(4, "add", after(2), after(3))))  # fmt: skip
    assert [sorted(graph.parameters_behind[k]) for k in range(5)] == [
        ["W"], ["b"], ["W", "b"], [], ["W", "b"]
    ]  # fmt: skip
    assert graph.behind_all([0, 3]) == {"W"}
    assert graph.behind_all([]) == frozenset()


def test_a_trace_hands_out_all_or_counts_as_one_that_does_not():
    assert detailed(None) is None
    offered = dict.fromkeys(("value", "cotangents", "pull", "local"))
    whole = type("Whole", (), offered)()
    assert detailed(whole) is whole
    for name in offered:
        part = type("Part", (), {n: None for n in offered if n != name})()
        assert detailed(part) is None
