"""What is looked at along a few directions, in a sample of the entries, and in runs together."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_measures import space
from test_diagnose_patterns import evidence
from test_diagnose_places import operation, recurrence

from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.plan import (
    Trial,
    _half_of_a_square,
    shifts,
    trials,
    unary_chains,
)
from gradcheck.diagnose.sketch import make_sketch, wider
from gradcheck.diagnose.space import _sample, make_space
from gradcheck.tracing.contract import Alteration

W, ARRAY = ("parameter", "W"), ("constant", "array")


def of(index, name, *inputs, shape=(3,), output=None, line=None):
    place = index + 1 if line is None else line
    return operation(index, name, inputs, [shape] * len(inputs), output or shape, place)


def after(index):
    return ("operation", index)


# Shifts, squares, chains


def shift(name="max", user="subtract"):
    return Graph((of(0, "exp", W), of(1, name, after(0)), of(2, user, after(0), after(1))))


@pytest.mark.parametrize("name", ["max", "min", "maximum_reduce", "reduce"])
def test_a_maximum_that_is_subtracted_is_a_shift(name):
    assert list(shifts(shift(name))) == [(1, None)]


@pytest.mark.parametrize(("name", "user"), [("max", "divide"), ("mean", "subtract"),
                                            ("exp", "subtract")])  # fmt: skip
def test_other_statistics_and_other_uses_are_no_shift(name, user):
    assert list(shifts(shift(name, user))) == []


@pytest.mark.parametrize(
    ("name", "inputs", "operand", "half"),
    [
        ("multiply", (W, W), 0, True),
        ("multiply", (W, W), 1, True),
        ("multiply", (W, W), None, False),
        ("multiply", (W, ("parameter", "b")), 0, False),
        ("multiply", (W, W, W), 0, False),
        ("add", (W, W), 0, False),
    ],
)
def test_one_of_two_equal_factors_is_half_of_a_square(name, inputs, operand, half):
    assert _half_of_a_square(Graph((of(0, name, *inputs),)), (0, operand)) is half


def chain(*names, shape=(3,), wide=None):
    made = [of(0, names[0], W, shape=shape)]
    for k, name in enumerate(names[1:], 1):
        made.append(of(k, name, after(k - 1), shape=shape, output=wide))
    return Graph(tuple(made))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("negative", "exp"), [[0, 1]]),
        (("negative", "exp", "add"), [[0, 1], [0, 1, 2], [1, 2]]),
        (("negative", "positive"), []),
        (("negative", "sum"), []),
        (("maximum", "negative"), [[0, 1]]),
        (("exp",), []),
    ],
)
def test_elementwise_operations_of_one_variable_make_chains(names, expected):
    assert list(unary_chains(chain(*names))) == expected


def test_a_chain_ends_where_the_shape_changes_or_another_variable_comes_in():
    assert list(unary_chains(chain("exp", "multiply", shape=(3,), wide=(4, 3)))) == []
    assert list(unary_chains(chain("exp", "multiply", shape=(3,), wide=(2,)))) == []
    two = Graph((of(0, "exp", W), of(1, "multiply", after(0), ("parameter", "b"))))
    assert list(unary_chains(two)) == []
    used_twice = Graph((of(0, "exp", W), of(1, "tanh", after(0)), of(2, "sum", after(0))))
    assert list(unary_chains(used_twice)) == []
    constant = Graph((of(0, "exp", W), of(1, "multiply", ARRAY, after(0))))
    assert list(unary_chains(constant)) == [[0, 1]]


def test_the_longest_chain():
    found = list(unary_chains(chain(*["exp"] * 8)))
    assert max(map(len, found)) == 6
    # those that begin inside another end where that ends
    assert sorted(one for one in found if one[0] > 1) == [
        list(range(start, 8)) for start in range(2, 7)
    ]


def repeated(name, runs, *inputs, long=8):
    return [of(k, name, *inputs, line=long) for k in range(runs)]


def test_the_chains_of_one_expression_are_altered_together():
    def made(runs):
        both = []
        for k in range(runs):
            both.append(of(2 * k, "negative", W, line=1))
            both.append(of(2 * k + 1, "exp", after(2 * k), line=2))
        return [
            (one.kind, sorted(one.alterations), one.sites, one.runs, one.n_runs)
            for one in trials(Graph(tuple(both)))
            if len(one.alterations) > 1 and one.sites == (1, 0)
        ]

    assert made(1) == [(kind, [0, 1], (1, 0), "", 1) for kind in ("identity", "twice")]
    every = [(kind, [0, 1, 2, 3], (1, 0), "every", 2) for kind in ("identity", "twice")]
    assert made(2) == every


@pytest.mark.parametrize("runs", [4, 5])
def test_few_runs_are_looked_at_one_by_one(runs):
    found = [
        (next(iter(one.alterations)), one.runs)
        for one in trials(Graph(tuple(repeated("exp", runs, W))))
        if one.kind == "identity" and len(one.alterations) == 1
    ]
    each = [(0, "first"), (1, "one"), (2, "one"), (3, "last")]
    assert found == (each if runs == 4 else [])


def loop(runs):
    return Graph((*repeated("exp", runs, W), of(runs, "sum", after(runs - 1), line=9)))


def test_long_and_very_long_loops():
    for runs, is_long, very in (
        (3, False, False),
        (4, True, False),
        (100, True, False),
        (101, True, True),
    ):
        graph = loop(runs)
        assert graph.in_loop == frozenset(range(runs))
        assert graph.in_long_loop == (graph.in_loop if is_long else frozenset())
        assert graph.in_very_long_loop == (graph.in_loop if very else frozenset())
        single = [one for one in trials(graph) if one.kind == "cut" and one.runs == "one"]
        assert bool(single) is not very
        # the sum behind the loop is cut in any case
        assert any(one.kind == "cut" and one.sites[0] == runs for one in trials(graph))
    two = [of(200, "tanh", W, line=20), of(201, "tanh", W, line=20)]
    behind = Graph((*loop(101).operations, *two))
    single = [one.sites[0] for one in trials(behind) if one.kind == "cut" and one.runs == "one"]
    assert single == [200, 201]


def test_two_runs_have_no_run_between():
    def parts(runs):
        found = {one.runs for one in trials(loop(runs)) if one.kind == "cut"}
        return found & {"all but the first", "all but the last"}

    assert parts(2) == set()
    assert parts(3) == {"all but the first", "all but the last"}


# What depends on what


def test_one_operation_depends_on_another():
    graph = recurrence()
    assert graph.reaches(0, 1)
    assert graph.reaches(0, 8)
    assert not graph.reaches(2, 1)
    assert not graph.reaches(1, 1)
    apart = Graph((of(0, "exp", W), of(1, "exp", W), of(2, "add", after(0), after(1))))
    assert not apart.reaches(0, 1)
    assert graph.reached_from(5) == {6, 7, 8}
    assert graph.reached_from(8) == frozenset()


def test_whether_runs_follow_one_another_is_asked_of_the_first_few():
    flow = Flow(SimpleNamespace(), recurrence(6))
    assert flow.depend((0, 2))
    assert not flow.depend((0,))
    apart = [of(k, "exp", W, line=8) for k in range(4)]
    late = [*apart, of(4, "exp", after(3), line=8)]
    assert Flow(SimpleNamespace(), Graph(tuple(late))).depend(range(5))
    later = [*apart, of(4, "exp", W, line=8), of(5, "exp", after(4), line=8)]
    assert not Flow(SimpleNamespace(), Graph(tuple(later))).depend(range(6))


@pytest.mark.parametrize(("largest", "runs", "fits"), [(None, 99, True), (12, 2, True),
                                                       (11, 2, False), (6, 1, True)])  # fmt: skip
def test_what_is_small_enough_to_be_looked_at(largest, runs, fits):
    graph = Graph((operation(0, "sum", [W], [(2, 3)], ()),))
    flow = Flow(SimpleNamespace(), graph, largest)
    assert flow.fits(graph.operations[0], runs) is fits


# Directions


class Still:
    """A trace in which every result moves as its index says."""

    def __init__(self, graph):
        self.graph = graph

    def tangents(self, moves, background):
        return [
            {o.index: np.full(o.output_shape, o.index + 1.0) for o in self.graph.operations}
            for _ in moves
        ]

    def n_results(self, index):
        return 2 if self.graph.by_index[index].name == "divmod" else 1


def many(n):
    """A space of ``n`` parameters of one entry, of which all but the last are wrong."""
    names = tuple(f"p{k}" for k in range(n))
    return replace(
        space(np.ones(5)), names=names,
        slices={name: slice(k, k + 1) for k, name in enumerate(names)},
        scale=np.ones(n), known=np.ones(n, bool), residual=np.ones(n), tolerance=np.full(n, 1e-9),
        failing=names[:-1], shapes=dict.fromkeys(names, (1,)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("n", "blocks", "each"), [(2, 2, 3), (3, 3, 3), (4, 4, 2), (9, 9, 2), (12, 9, 2)]
)
def test_each_wrong_parameter_has_directions_of_its_own(n, blocks, each):
    graph = Graph((of(0, "exp", ("parameter", "p0")),))
    here = many(n)
    made = make_sketch(Flow(Still(graph), graph), here, {})
    assert (len(made.blocks), made.n_wrong, made.n_each) == (blocks, blocks - 1, each)
    assert made.weights.shape == (blocks * each, n)
    assert frozenset().union(*made.blocks) == frozenset(here.names)
    assert made.blocks[-1] == {f"p{n - 1}"}
    assert len(made.blocks[-2]) == max(1, n - 8)
    for block, rows in zip(made.blocks, made.weights.reshape(blocks, each, n), strict=True):
        used = [here.names[k] in block for k in range(n)]
        assert ((rows != 0) == used).all()
    np.testing.assert_allclose(made.residual, made.weights.sum(1))
    np.testing.assert_allclose(made.slack, 4e-9 * np.linalg.norm(made.weights, axis=1))
    more = wider(made, here, {})
    assert (more.weights.shape, more.n_wrong, len(more.blocks)) == ((8, n), 1, 1)
    assert (more.weights != 0).all()


def test_where_all_are_wrong_no_direction_is_of_the_others():
    graph = Graph((of(0, "exp", ("parameter", "p0")),))
    here = replace(many(3), failing=("p0", "p1", "p2"))
    made = make_sketch(Flow(Still(graph), graph), here, {})
    assert (len(made.blocks), made.n_wrong, made.n_each) == (3, 3, 3)


@pytest.mark.parametrize(("most", "fits"), [(18, True), (17, False)])
def test_tangents_have_room_or_are_not_made(most, fits):
    """Two blocks of three directions, and three numbers."""
    graph = Graph((of(0, "exp", ("parameter", "p0")),))
    made = make_sketch(Flow(Still(graph), graph), many(2), {}, most_stored=most)
    assert (made is not None) is fits


class Square(Still):
    """Every operation squares its operand, whose value is 3; the loss is the sum."""

    def cotangents(self):
        return {o.index: np.full(o.output_shape, 5.0) for o in self.graph.operations}

    def local(self, index, c):
        given = self.graph.by_index[index]
        parts = [np.full(shape, 6.0) * c.mean() for shape in given.input_shapes]
        kinds = [kind for kind, _ in given.inputs]
        return tuple(
            None if kind == "constant" else part for kind, part in zip(kinds, parts, strict=True)
        )


def sketched(*operations):
    graph = Graph(tuple(operations))
    names = ("W", "b")
    here = replace(
        many(2), names=names, slices={"W": slice(0, 1), "b": slice(1, 2)}, failing=("W",),
        shapes={"W": (1,), "b": (1,)},
    )  # fmt: skip
    return make_sketch(Flow(Square(graph), graph), here, {})


def altered(kind, *indices, operand=None):
    changes = dict.fromkeys(indices, Alteration(kind, operand=operand))
    return Trial("cut", changes, indices, operand)


def test_what_an_alteration_changes_is_foreseen():
    made = sketched(
        of(0, "square", W, shape=(1,)), of(1, "square", after(0), shape=(1,)),
        of(2, "square", after(0), ARRAY, shape=(1,)),
    )  # fmt: skip
    ones = np.ones(6)
    # every result's cotangent is 5, its slope 6, and it moves by its index and one
    np.testing.assert_allclose(made.predicted(altered("constant", 1)), -5.0 * 2 * ones)
    np.testing.assert_allclose(made.predicted(altered("drop_operand", 1, operand=0)), -30.0 * ones)
    np.testing.assert_allclose(made.predicted(altered("identity", 1)), (5.0 - 30.0) * ones)
    np.testing.assert_allclose(made.predicted(altered("twice", 1)), (180.0 - 30.0) * ones)
    np.testing.assert_allclose(made.predicted(altered("identity", 2, operand=0)), -25.0 * ones)
    both = made.predicted(altered("constant", 1, 2))
    np.testing.assert_allclose(both, -5.0 * (2 + 3) * ones)
    # along the parameter it is the direction itself that moves
    np.testing.assert_allclose(
        made.predicted(altered("drop_operand", 0, operand=0)), -30.0 * made.weights[:, 0]
    )


def test_what_only_a_pass_can_tell_is_not_foreseen():
    made = sketched(
        of(0, "square", W, shape=(1,)), of(1, "square", after(0), shape=(1,)),
        of(2, "add", W, after(1), shape=(1,)), of(3, "divmod", W, shape=(1,)),
        of(4, "add", after(3), shape=(1,)), of(5, "sum", after(2), shape=(1,), output=(2,)),
    )  # fmt: skip
    assert made.predicted(altered("constant", 0, 1)) is None  # one lies on the other's path
    assert made.predicted(altered("drop_operand", 0, 2, operand=0)) is not None  # both read W
    assert made.predicted(altered("drop_operand", 0, 1, operand=0)) is None
    assert made.predicted(altered("identity", 2)) is None  # of which operand?
    assert made.predicted(altered("identity", 2, operand=0)) is not None
    assert made.predicted(altered("constant", 3)) is None  # of several results
    assert made.predicted(altered("drop_operand", 4, operand=0)) is None
    assert made.predicted(altered("identity", 5)) is None  # of another shape
    assert made.predicted(altered("transpose_operand", 0, operand=0)) is None
    assert made.predicted(altered("drop_operand", 0)) is None
    del made.flow.cotangents[1]
    assert made.predicted(altered("constant", 1)) is None


def test_a_change_that_is_just_as_far_off_as_may_be_explains():
    made = sketched(of(0, "square", W, shape=(1,)))
    error = np.array([3.0, 4.0, 0.0])
    here = replace(made, residual=np.tile(error, 2), slack=np.full(6, 1.0 / 6))
    off = np.array([0.0, 0.0, 1.0])
    for far, expected in ((0.54, True), (0.56, False)):
        found = np.concatenate([error + far * off, np.zeros(3)])
        assert here.explains(found, by_factor=False) is expected


# A sample of the entries


def facts(n, wrong):
    right = np.linspace(1.0, 2.0, n)
    claimed = right.copy()
    claimed[:wrong] += 1.0
    return evidence({"v": claimed}, {"v": right}, {"v": right})


def test_of_a_large_parameter_some_entries_stand_for_all():
    here = facts(40, 4)
    assert make_space(here, {"v"}).picks == {}
    assert make_space(here, {"v"}, sampled=40).picks == {}
    assert 0 < make_space(here, {"v"}, sampled=39).picks["v"].size <= 39


@pytest.mark.parametrize(("wrong", "taken"), [(4, 4), (10, 5), (11, 6), (20, 7), (400, 10)])
def test_wrong_entries_are_half_of_the_sample_at_most(wrong, taken):
    n, size = 20, 4000
    picks = _sample(facts(size, wrong).facts["v"], n)
    evenly = np.arange(0, wrong, 1 + 2 * wrong // n)
    assert evenly.size == taken <= n // 2
    assert set(evenly) <= set(picks)
    assert (np.diff(picks) > 0).all()
    assert n - 2 <= picks.size <= n  # two draws may agree


def test_a_move_of_the_sample_is_one_of_the_whole():
    here = replace(
        space([1.0, 2.0, 3.0, 4.0, 5.0]), scale=np.array([2.0, 2.0, 2.0, 4.0, 4.0]),
        shapes={"W": (2, 3), "b": (2,)}, picks={"W": np.array([0, 2, 5])},
    )  # fmt: skip
    moved = here.moved(np.array([2.0, 4.0, 6.0, 8.0, 4.0]))
    np.testing.assert_array_equal(moved["W"], [[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]])
    np.testing.assert_array_equal(moved["b"], [2.0, 1.0])
    np.testing.assert_array_equal(here.pick("W", np.arange(6.0).reshape(2, 3)), [0, 2, 5])
