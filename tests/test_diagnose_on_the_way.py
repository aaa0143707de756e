"""What stands between an operation and the loss, or between the runs of a loop."""

import numpy as np
import pytest
from test_diagnose_places import operation, trial

from gradcheck.diagnose.graph import Graph, graph_of
from gradcheck.diagnose.places import is_recurrence
from gradcheck.diagnose.plan import _local
from gradcheck.diagnose.regulariser import adds_up
from gradcheck.tracing import trace

THREE = np.array([1.5, -0.5, 2.0])


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (lambda a, b: 0.5 * a, True),
        (lambda a, b: a / 2.0 - b, True),
        (lambda a, b: 3.0 + (b - a) * 0.1, True),
        (lambda a, b: a * b, False),
        (lambda a, b: b / a, False),
        (lambda a, b: np.exp(a) + b, False),
        (lambda a, b: np.dot(a, b), False),
        (lambda a, b: np.sqrt(a) + b, False),
    ],
)
def test_what_is_multiplied_by_what_varies_does_not_add_up(after, expected):
    def loss(W):
        return after(np.sum(W**2), np.cos(W[0]))

    graph = graph_of(trace(loss, (), {"W": THREE}, {"W": THREE}))
    (squares,) = (one.index for one in graph.operations if one.name == "sum")
    assert adds_up(squares, None, graph) is expected


def test_one_factor_of_a_product_does_not_add_up_where_all_of_it_does():
    def loss(W):
        return (0.5 * W) @ W + np.sum(W)

    graph = graph_of(trace(loss, (), {"W": THREE}, {"W": THREE}))
    (product,) = (one.index for one in graph.operations if one.name == "matmul")
    assert adds_up(product, None, graph)
    assert not adds_up(product, 0, graph)
    assert not adds_up(product, 1, graph)


def test_a_loop_over_what_was_there_before_it_hands_nothing_on():
    """Each run reads a result from outside the loop, and none of them another run's."""
    read = [operation(0, "exp", [("parameter", "W")], [(3,)], (3,), 6)]
    runs = [
        operation(k, "add", [("parameter", "W"), ("operation", 0)], [(3,), (3,)], (3,), 7)
        for k in (1, 2, 3)
    ]
    graph = Graph((*read, *runs))
    assert graph.loops == ((1, 2, 3),)
    assert not is_recurrence(trial(2, operand=1, altered=(2, 3), n_runs=3), graph)


@pytest.mark.parametrize("name", ["max", "sum", "matmul"])
def test_nothing_is_altered_where_nothing_is_handed_on(name):
    alone = operation(0, name, [("constant", "array")], [(3,)], ())
    assert list(_local(alone, Graph((alone,)))) == []
    read = operation(0, "max", [("parameter", "W")], [(3,)], ())
    assert [kind for kind, _ in _local(read, Graph((read,)))] == ["identity"]
