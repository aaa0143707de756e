"""Which wrong gradients of intermediate results are tried, in which order, and what counts."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_directions import after, of
from test_diagnose_judged import rule
from test_diagnose_judged import said as said_of_rule
from test_diagnose_measures import space
from test_diagnose_patterns import evidence
from test_diagnose_results import said, transposed

from gradcheck.diagnose import cotangents
from gradcheck.diagnose.cotangents import _Attempt, cotangent_findings
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.limits import Limits

W, B = ("parameter", "W"), ("parameter", "b")
ERROR = np.array([1.0, -2.0, 2.0, 0.0, 0.0])
BESIDE = np.array([0.0, 0.0, 0.0, 1.0, 0.0])
GRAPH = Graph((of(0, "exp", W), of(1, "exp", B), of(2, "add", after(0), after(1)),
               of(3, "tanh", W)))  # fmt: skip
ONES = {"W": np.ones(3), "b": np.ones(2)}


class Trace:
    """A trace of results of one, two, three and four numbers."""

    operations = GRAPH.operations
    value = pull = local = None

    def cotangents(self):
        return {k: np.ones(k + 1) for k in range(4)}


def tried(monkeypatch, *worth, left=20, confirmed=True, residual=ERROR, failing=("W",), **how):
    """The operations tried, in order, and those found: each with the change that it makes."""
    made, given = [], []

    def attempts(trace, graph, kept):
        given.append(sorted(kept))
        for index, _ in worth:
            extra = {index: np.array([float(index)])}
            yield _Attempt("transpose", GRAPH.by_index[index], extra, "is turned", "Turn it.")

    def pulled(extra, direct, background):
        (index,) = extra
        made.append(index)
        assert (direct, background, extra[index].tolist()) == ({}, {}, [index])
        return dict(worth)[index]

    monkeypatch.setattr(cotangents, "_attempts", attempts)
    passes = SimpleNamespace(
        left=left, pulled=pulled, confirmed=lambda _: confirmed, sketch=how.pop("sketch", None),
        limits=Limits(largest=how.pop("largest", None)),
    )  # fmt: skip
    known = evidence(ONES, ONES, ONES, trace=how.pop("trace", Trace()))
    found = cotangent_findings(known, space(residual, 1e-9, failing), GRAPH, passes)
    return made, [one.evidence["index"] for one in found], given


def test_first_where_just_the_wrong_parameters_lie_behind(monkeypatch):
    made, found, _ = tried(monkeypatch, (1, ERROR), (2, 0 * ERROR), (0, None), (3, ERROR))
    assert (made, found) == ([0, 3], [3])
    made, found, _ = tried(monkeypatch, (1, ERROR), (2, ERROR), (0, None), (3, 2 * ERROR))
    assert (made, found) == ([0, 3, 2], [2])  # then where others do as well, and never elsewhere


@pytest.mark.parametrize(("left", "made"), [(4, [0, 3]), (3, [0]), (2, [0]), (1, [])])
def test_half_of_the_passes_may_be_spent(monkeypatch, left, made):
    assert tried(monkeypatch, (0, None), (3, None), (2, None), left=left)[0] == made


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (ERROR, True), (ERROR + BESIDE, False), (0 * ERROR, False), (None, False),
        (ERROR * np.nan, False), (0.5 * ERROR, False), (ERROR * [1, 1, np.inf, 1, 1], False),
        (ERROR + 3e-9 * BESIDE, True), (ERROR + 5e-9 * BESIDE, False),
    ],
)  # fmt: skip
def test_all_that_is_wrong_and_nothing_else_is_to_be_explained(monkeypatch, change, found):
    assert tried(monkeypatch, (0, change))[1] == [0] * found
    assert tried(monkeypatch, (0, change), confirmed=False)[1] == []


def test_one_of_two_wrong_parameters_is_not_enough(monkeypatch):
    both = {"residual": ERROR + BESIDE, "failing": ("W", "b")}
    assert tried(monkeypatch, (2, ERROR), **both)[1] == []
    assert tried(monkeypatch, (2, ERROR + BESIDE), **both)[1] == [2]
    assert tried(monkeypatch, (0, ERROR + BESIDE), **both)[0] == []  # b does not lie behind


def test_one_is_found_at_most(monkeypatch):
    made, found, _ = tried(monkeypatch, (0, ERROR), (3, ERROR))
    assert (made, found) == ([0], [0])


@pytest.mark.parametrize(("largest", "kept"), [(None, [0, 1, 2, 3]), (3, [0, 1, 2]), (0, [])])
def test_large_results_are_left_out(monkeypatch, largest, kept):
    assert tried(monkeypatch, largest=largest)[2][-1] == kept


def test_a_trace_that_hands_out_no_cotangents_tells_nothing(monkeypatch):
    plain = SimpleNamespace(operations=GRAPH.operations)
    assert tried(monkeypatch, (0, ERROR), trace=plain) == ([], [], [])


def test_what_is_foreseen_to_explain_nothing_costs_no_pass(monkeypatch):
    sketch = SimpleNamespace(
        given=lambda sources, parts: parts[0], explains=lambda found, by_factor: found[0] == 3.0
    )
    assert tried(monkeypatch, (0, ERROR), (3, ERROR), sketch=sketch)[:2] == ([3], [3])


@pytest.mark.parametrize(("shape", "turned"), [((3, 3), 1), ((3, 2), 0), ((2, 3), 0), ((1, 1), 1),
                                               ((2, 2, 1), 0), ((3,), 0)])  # fmt: skip
def test_only_a_square_gradient_can_be_transposed(shape, turned):
    found = transposed(of(0, "exp", W), cotangents={0: np.arange(np.prod(shape)).reshape(shape)})
    assert found == [(0, False, [0])] * turned


def test_how_much_it_says_beside_other_answers():
    """Less than a result that is transposed itself (68); a rule on the way to some says less."""
    assert said().specificity == 66
    assert said_of_rule(rule(1.0)).specificity == 64
    assert said_of_rule(rule(1.0), alone=True).specificity == 54
