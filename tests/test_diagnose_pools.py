"""Pairs of mistakes, limits of the search, extremes that are shared, and values of a shape."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_directions import after, of, repeated
from test_diagnose_measures import space
from test_diagnose_patterns import evidence
from test_diagnose_places import operation

from gradcheck.blocks import MANY
from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.limits import (
    EACH,
    FEWEST_PASSES,
    LARGEST_OF_MANY,
    LEAST_OF_EACH,
    MOST_MOVED,
    MOST_PROBED,
    MOST_STORED,
    SAMPLE,
    STORED_OF_MANY,
    Limits,
    limits_for,
    untried,
)
from gradcheck.diagnose.pairs import (
    MOST_COLUMNS,
    MOST_VERIFIED,
    Column,
    _alteration,
    _combined,
    _promising,
    _ranked,
    pair_findings,
)
from gradcheck.diagnose.plan import (
    Trial,
)
from gradcheck.diagnose.pool import Pool
from gradcheck.diagnose.tied import to_all_that_share
from gradcheck.tracing.contract import Alteration

W, ARRAY = ("parameter", "W"), ("constant", "array")
PLAIN = np.random.default_rng(11).normal(size=5)


# Pairs


def column(index, kind="cut", operand=None, change=None, n=1):
    how = Alteration("constant") if operand is None else Alteration("drop_operand", operand=operand)
    how = how if kind == "cut" else Alteration(kind)
    altered = {index + k: how for k in range(n)}
    return Column(Trial(kind, altered, tuple(altered), operand), change)


def known():
    right = {"W": PLAIN[:3], "b": PLAIN[3:]}
    values = {"W": np.array([1.0, 2.0, -3.0]), "b": np.array([0.5, 4.0])}
    return evidence({"W": PLAIN[:3] + 1, "b": PLAIN[3:]}, right, values)


@pytest.mark.parametrize(
    ("strength", "operand", "expected"),
    [
        (1.0, None, Alteration("constant")),
        (1.0 + 0.9e-6, None, Alteration("constant")),
        (2.0, None, Alteration("scale", factor=-1.0)),
        (2.0, 1, Alteration("scale_operand", operand=1, factor=-1.0)),
        (0.5, None, Alteration("scale", factor=0.5)),
        (0.5 + 0.4e-3, None, Alteration("scale", factor=0.5)),
        (0.5 + 0.6e-3, None, None),
        (1.0 + 1.1e-6, None, None),
    ],
)
def test_the_alteration_at_a_strength(strength, operand, expected):
    assert _alteration(column(0, operand=operand).trial, strength, known()) == expected
    identity = column(0, "identity")
    assert _alteration(identity.trial, strength, known()) == Alteration("identity")


def test_two_alterations_are_combined_at_two_operations():
    one, other = column(1).trial, column(2).trial
    (found,) = _combined(one, other, 1.0, 2.0, known())
    assert found == {1: Alteration("constant"), 2: Alteration("scale", factor=-1.0)}
    assert list(_combined(one, one, 1.0, 2.0, known())) == []
    assert list(_combined(one, other, 1.0, 0.4321, known())) == []
    assert list(_combined(one, other, 0.4321, 1.0, known())) == []


def promising(columns, residual):
    found = _promising(columns, known(), space(residual, failing=("W", "b")))
    return [tuple(sorted(alterations)) for _, _, alterations in found]


def test_pairs_are_tried_the_best_first_and_no_more_than_so_many():
    unit = np.eye(5)
    columns = [column(k, change=unit[k]) for k in range(5)]
    assert promising(columns, unit[1] + unit[3])[0] == (1, 3)
    assert promising(columns[:1], unit[0]) == []
    assert promising([], unit[0]) == []
    # a tenth is left beside the pair, less than a fifth; then a quarter, which is more
    some = unit[1] + unit[3] + np.sqrt(2 / 9) * unit[0]
    assert (1, 3) in promising(columns, some)
    assert (1, 3) not in promising(columns, unit[1] + unit[3] + np.sqrt(2 / 3) * unit[0])
    alike = [column(k, "identity", change=unit[0] + 1e-3 * k * unit[1 + k % 4]) for k in range(9)]
    assert len(promising(alike, unit[0])) == MOST_VERIFIED


def test_components_take_the_place_of_changes_where_all_are_known():
    unit = np.eye(5)
    columns = [replace(column(k), components=unit[k], error=unit[0] + unit[2]) for k in range(4)]
    assert promising(columns, unit[1] + unit[3])[0] == (0, 2)
    known_too = [replace(c, change=unit[k]) for k, c in enumerate(columns)]
    partly = [*known_too[:3], replace(known_too[3], components=None)]
    assert promising(partly, unit[1] + unit[3])[0] == (1, 3)


class Adding:
    """Passes that add up what alterations are worth, and refuse some operations."""

    def __init__(self, worth, refused=()):
        self.worth, self.refused, self.base, self.tried = worth, set(refused), np.zeros(5), []

    def change(self, alterations):
        self.tried.append(tuple(sorted(alterations)))
        if self.refused & set(alterations):
            return None
        return np.sum([self.worth[index] for index in alterations], axis=0)

    def confirmed(self, names):
        return True


GRAPH = Graph(tuple(of(k, "exp", W) for k in range(12)))


def pair(columns, passes, residual):
    here = space(residual, failing=("W",))
    return pair_findings(columns, known(), here, GRAPH, passes)


def test_the_first_pair_that_makes_the_whole_error_is_told():
    unit = np.eye(5)
    worth = {0: unit[0], 1: unit[1], 2: unit[2], 3: unit[0] * 1.001}
    columns = [column(k, change=worth[k]) for k in range(4)]
    (found,) = pair(columns, Adding(worth), unit[0] + unit[1])
    assert sorted(found.evidence["lines"]) == [1, 2]
    assert (found.confidence, found.n_sites, found.parameters) == ("exact", 2, ("W",))
    assert pair(columns, Adding(worth), unit[0] + unit[4]) == []
    # one that cannot be made is passed over: the next is tried
    passes = Adding(worth | {3: unit[0]}, refused=[0])
    alike = [column(0, change=unit[0]), *columns[1:3], column(3, change=unit[0])]
    (found,) = pair(alike, passes, unit[0] + unit[1])
    assert sorted(found.evidence["lines"]) == [2, 4]
    assert passes.tried[0] == (0, 1)


def test_a_pair_known_by_components_alone_is_made_to_be_told():
    unit = np.eye(5)
    worth = {0: unit[0], 1: unit[1], 2: unit[2]}
    error = unit[0] + unit[1]
    columns = [replace(column(k), components=unit[k], error=error) for k in range(3)]
    passes = Adding(worth)
    (found,) = pair(columns, passes, error)
    assert sorted(found.evidence["lines"]) == [1, 2]
    assert passes.tried == [(0, 1), (0,), (1,)]


def test_pairs_are_of_single_alterations_and_of_so_many():
    unit = np.eye(5)
    worth = {k: unit[k % 5] for k in range(12)}
    columns = [column(0, change=unit[0]), column(1, change=unit[1])]
    error = unit[0] + unit[1]
    assert pair(columns, Adding(worth), error)
    assert pair([column(0, change=unit[0], n=2), columns[1]], Adding(worth), error) == []
    filler = [column(2, change=unit[2])] * (MOST_COLUMNS - 1)
    assert pair([columns[0], *filler, columns[1]], Adding(worth), error) == []
    assert pair([columns[0], *filler[1:], columns[1]], Adding(worth), error)


# Limits


def test_many_entries_are_sampled_and_few_are_not():
    few, many = limits_for(MANY, 2, 0), limits_for(MANY + 1, 2, 0)
    assert (few.sampled, few.largest, few.probed, few.stored) == (None, None, None, MOST_STORED)
    assert (many.sampled, many.largest) == (SAMPLE // 2, LARGEST_OF_MANY)
    assert (many.probed, many.stored) == (MOST_PROBED, STORED_OF_MANY)
    assert limits_for(MANY + 1, 1, 0).sampled == SAMPLE
    assert limits_for(MANY + 1, 10**6, 0).sampled == LEAST_OF_EACH


def test_how_many_passes_a_size_affords():
    assert limits_for(10, 1, 90).passes == 200
    assert limits_for(MOST_MOVED // 100, 1, 0, max_passes=500).passes == 100
    assert limits_for(0, 1, MOST_MOVED // 50, max_passes=500).passes == 50
    assert limits_for(0, 1, 0, MOST_MOVED // (50 * EACH), max_passes=500).passes == 50
    assert limits_for(10, 1, MOST_MOVED).passes == FEWEST_PASSES
    assert limits_for(0, 0, 0).passes == 200
    assert limits_for(10, 1, MOST_MOVED, max_passes=5).passes == 5


def left_out(largest=None, shape=(3,), **how):
    how = {"ran_out": False, "unsketched": False} | how
    return untried(Limits(largest=largest), [of(0, "exp", W, shape=shape)], 7, **how)


def test_what_was_left_out_is_said():
    assert left_out() == ""
    assert left_out(3) == ""
    assert "at most 2 numbers" in left_out(2)
    assert "200 altered backward passes" in left_out(ran_out=True)
    assert "wrong rules" not in left_out(ran_out=True)
    assert "were not tried" in left_out(unsketched=True)
    assert "at most 2" not in left_out(2, unsketched=True)
    assert " and wrong rules" in left_out(ran_out=True, unsketched=True)
    assert left_out(LARGEST_OF_MANY, (LARGEST_OF_MANY,)) == ""
    assert "with 7 entries of the gradient, and 3 numbers in 1 traced" in left_out(2)


# Extremes that entries share


class Taken:
    ties = (0, 1, 2, 3)

    def __init__(self, value, result):
        self.given, self.result = np.asarray(value, float), np.asarray(result, float)

    def operand_values(self, index):
        return (self.given,)

    def value(self, index):
        return self.result


def shared(value, result, *, name="max", index=0, inputs=(W,), **keywords):
    made = replace(of(index, name, *inputs), keywords=keywords)
    return to_all_that_share(Taken(value, result), Graph((made,)))


def test_each_entry_that_shares_an_extreme_gets_the_whole():
    table = [[1.0, 3.0, 3.0], [2.0, 2.0, 0.0]]
    for result, keywords in (([3.0, 2.0], {"axis": 1}),
                             ([[3.0], [2.0]], {"axis": 1, "keepdims": True})):  # fmt: skip
        (alteration,) = shared(table, result, **keywords).values()
        assert (alteration.kind, alteration.operand) == ("rule", 0)
        handed = alteration.rule(np.array([10.0, 20.0]).reshape(np.shape(result)))
        np.testing.assert_array_equal(handed, [[0, 10, 10], [20, 20, 0]])
    (whole,) = shared(table, 3.0).values()
    np.testing.assert_array_equal(whole.rule(np.array(7.0)), [[0, 7, 7], [0, 0, 0]])


def test_other_operations_and_extremes_of_one_entry_are_left_alone():
    for how in ({"name": "sum"}, {"index": 4}, {"name": "exp", "index": 4},
                {"inputs": (W, after(9))}, {"inputs": (ARRAY,)}):  # fmt: skip
        assert shared([1.0, 1.0], 1.0, **how) == {}


# Values that could have been used


class Values:
    """A trace whose results are full of their index."""

    def __init__(self, graph):
        self.graph = graph

    def value(self, index):
        return np.full(self.graph.by_index[index].output_shape, float(index))

    def operand_values(self, index):
        return tuple(
            np.arange(float(np.prod(shape))).reshape(shape)
            for shape in self.graph.by_index[index].input_shapes
        )


def pool(*operations, largest=None, integers=None, **values):
    graph = Graph(tuple(operations))
    gradients = {name: np.ones(np.shape(value)) for name, value in values.items()}
    seen = evidence(gradients, gradients, values, integer_arrays=integers or {})
    return Pool(Flow(Values(graph), graph, largest), seen)


def offered(made, shape, *runs):
    return [
        (other.index, other.values.shape, other.words)
        for other in made.of_shape(shape, SimpleNamespace(runs=runs))
    ]


def test_results_and_inputs_of_a_shape_are_offered():
    made = pool(of(0, "exp", W), of(1, "tanh", after(0)), W=np.ones(3), M=np.ones((2, 3)))
    found = offered(made, (3,), 0)
    assert [index for index, _, _ in found] == [0, 1, None]
    assert {shape for _, shape, _ in found} == {(1, 3)}
    assert found[2][2] == "W itself"
    assert [words for _, _, words in offered(made, (2, 3), 0)] == ["M itself"]
    assert [words for _, _, words in offered(made, (3, 2), 0)] == ["the transpose of M"]


@pytest.mark.parametrize(("largest", "words"), [(6, ["M itself"]), (5, [])])
def test_what_is_too_large_is_not_offered(largest, words):
    made = pool(of(0, "exp", W, shape=(2, 3)), largest=largest, M=np.ones((2, 3)))
    found = offered(made, (2, 3), 0)
    assert [said for index, _, said in found if index is None] == words
    assert [index for index, _, _ in found if index is not None] == ([0] if words else [])
    small = pool(of(0, "exp", W, shape=(2,)), largest=6, v=np.ones(2))
    assert len(offered(small, (2,), 0)) == 2


def test_in_a_loop_the_results_of_its_own_runs_are_offered():
    runs = repeated("exp", 4, W, long=8)
    others = [of(4 + k, "tanh", W, line=9) for k in range(4)]
    made = pool(*runs, *others, of(8, "sin", W, line=10), v=np.zeros(3))
    found = offered(made, (3,), 0, 1, 2, 3)
    assert [(index, shape) for index, shape, _ in found] == [
        (8, (4, 3)), (None, (4, 3)), (0, (4, 3)), (4, (4, 3)),
    ]  # fmt: skip
    # two runs are no long loop: single values stand in the pool, but not for both runs
    made = pool(*runs[:2], of(2, "sin", W, line=10))
    assert [index for index, _, _ in offered(made, (3,), 0, 1)] == [2, 0]
    assert [index for index, _, _ in offered(made, (3,), 0)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("indices", "offers"),
    [([0, 4, 1], True), ([-5, 0, 1], True), ([0, 5, 1], False), ([-6, 0, 1], False),
     ([[0, 4, 1]], False), ([], False)],
)  # fmt: skip
@pytest.mark.parametrize("name", ["getitem", "take", "exp"])
def test_another_look_up_is_offered_where_its_indices_fit(name, indices, offers):
    look = operation(0, name, [W], [(5, 2)], (3, 2))
    made = pool(look, integers={"labels": np.array(indices, int)}, W=np.zeros((5, 2)))
    shape = (np.size(indices), 2)
    words = [said for _, _, said in offered(made, shape, 0)]
    assert ("the rows that labels names" in words) is (offers and name != "exp")


def test_look_ups_in_long_loops_and_of_large_tables_are_passed_over():
    def look(index, shape=(5, 2), line=None):
        return operation(index, "getitem", [W], [shape], (3, 2), line or index + 1)

    def words(*looks, **how):
        made = pool(*looks, integers={"labels": np.array([0, 4, 1])}, **how)
        return [said for _, _, said in offered(made, (3, 2), 0) if "labels" in said]

    loop = [look(k, line=7) for k in range(4)]
    assert words(*loop) == []
    assert words(*loop, look(4, (6, 2))) == ["the rows that labels names"]
    assert words(look(0, (9, 2)), look(1), largest=12) == ["the rows that labels names"]
    assert words(look(0), look(1)) == ["the rows that labels names"]  # one table
    assert len(words(look(0), look(1, (6, 2)))) == 2


def test_four_times_as_many_pairs_are_ranked_as_are_tried():
    """Of some no factor has a name, and others are two alterations of one operation."""
    alike = np.eye(5)[0] + 1e-3 * np.random.default_rng(3).normal(size=(12, 5))
    ranked = _ranked(alike @ alike.T, alike[:, 0], 1.0)
    assert len(ranked) == 4 * MOST_VERIFIED
    pairs = {(i, j) for i, j, _, _ in ranked}
    assert len(pairs) == len(ranked)
    assert all(i < j for i, j in pairs)
