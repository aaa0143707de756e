"""What the runs of an expression hand on, together and apart, and what is left out."""

from dataclasses import replace

import numpy as np
import pytest
from test_diagnose_directions import after, of

from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import Graph, graph_of
from gradcheck.tracing import trace

generator = np.random.default_rng(71)
W = generator.normal(size=(2, 3))
F, G = generator.uniform(0.5, 2.0, size=(2, 6, 2, 3))
PARAMETER = ("parameter", "W")


def flow_of(loss, largest=None, **values):
    traced = trace(loss, (), values, values)
    return Flow(traced, graph_of(traced), largest)


def sizes(found, name):
    """How many runs go together, of the operations of a name."""
    return sorted((len(here.runs) for here in found if here.operation.name == name), reverse=True)


# Activations


def logistic(runs):
    def loss(W):
        total = 0.0
        for k in range(runs):
            total = total + np.sum(G[k] / (1 + np.exp(-W * F[k])))
        return total

    return loss


def slope(k):
    value = 1 / (1 + np.exp(-W * F[k]))
    return value, value * (1 - value)


@pytest.mark.parametrize("runs", [1, 2, 4, 5])
def test_an_activation_of_several_operations_is_one(runs):
    found = [
        here
        for here in flow_of(logistic(runs), W=W).activations()
        if len(here.chains[0]) == 5 and here.operation.name == "divide"
    ]
    apart = [1] * runs if 1 < runs <= 4 else []
    assert sizes(found, "divide") == [runs, *apart]
    whole = next(here for here in found if len(here.runs) == runs)
    assert [chain[-1] for chain in whole.chains] == list(whole.runs)
    assert (whole.operand, whole.sources) == (0, (PARAMETER,) * runs)
    assert not whole.repeats
    for k in range(runs):
        value, derivative = slope(k)
        np.testing.assert_array_equal(whole.own[k], W)
        np.testing.assert_allclose(whole.result[k], G[k] * value)
        np.testing.assert_allclose(whole.cotangent[k], np.ones((2, 3)))
        np.testing.assert_allclose(whole.right[k], G[k] * derivative * F[k])
    assert len(whole.operands) == 1


def test_what_is_applied_to_its_own_result_repeats():
    def following(W):
        h = W
        for k in range(3):
            h = np.exp(-h) @ F[k].T @ W
        return np.sum(h)

    def beside(W):
        total = 0.0
        for k in range(3):
            total = total + np.sum(np.exp(-W) @ F[k].T)
        return total

    for loss, repeats in ((following, True), (beside, False)):
        flow = flow_of(loss, W=W)
        found = [here for here in (*flow.activations(), *flow.handings())
                 if here.operation.name == "exp"]  # fmt: skip
        assert {len(here.runs): here.repeats for here in found} == {3: repeats, 1: False}
        assert len(found) == 8


def test_an_activation_without_a_part_in_the_loss_hands_on_nothing():
    def loss(W):
        total = 0.0
        for k in range(2):
            h = np.exp(-W * F[k])
            if k == 0:
                total = total + np.sum(h)
        return total

    flow = flow_of(loss, W=W)
    assert sizes(flow.activations(), "exp") == [1]
    assert set(sizes(flow.handings(), "exp")) == {1}


@pytest.mark.parametrize(("largest", "together"), [(12, [2, 1, 1]), (11, [1, 1]), (5, [])])
def test_what_many_runs_hand_on_has_room_or_is_left_out(largest, together):
    """Two runs of six numbers."""

    def loss(W):
        total = 0.0
        for k in range(2):
            total = total + np.sum(np.exp(-W) * F[k])
        return total

    flow = flow_of(loss, largest, W=W)
    chains = [here for here in flow.activations() if len(here.chains[0]) == 2]
    assert sizes(chains, "exp") == together
    assert sizes(flow.handings(), "exp") == together


def test_activations_of_several_shapes_or_of_what_is_not_known_are_left_out():
    def loss(W):
        total = 0.0
        for rows in (1, 2):
            total = total + np.sum(np.exp(-W[:rows]))
        return total

    chains = [here for here in flow_of(loss, W=W).activations() if len(here.chains[0]) == 2]
    assert sizes(chains, "exp") == [1, 1]
    assert sizes(flow_of(loss, W=W).handings(), "exp") == [1, 1]


class Doubling:
    """A trace whose operations hand on twice what arrives, and of which some have two results."""

    def __init__(self, *operations, several=(), handed=2.0):
        self.operations, self.several, self.handed = operations, several, handed

    def cotangents(self):
        return {o.index: np.ones(o.output_shape) for o in self.operations}

    def local(self, index, c):
        (operation,) = [o for o in self.operations if o.index == index]
        return tuple(None if self.handed is None else c * self.handed for _ in operation.inputs)

    def n_results(self, index):
        return 2 if index in self.several else 1


def doubling(*operations, **how):
    return Flow(Doubling(*operations, **how), Graph(tuple(operations)))


CHAIN = (of(0, "frexp", PARAMETER), of(1, "negative", after(0)), of(2, "exp", after(1)))


@pytest.mark.parametrize(
    ("several", "chains", "handings"),
    [((), [(1, 2)], [0, 1, 2]), ((0,), [], [2]), ((1,), [(1, 2)], [0]), ((2,), [(1, 2)], [0, 1])],
)
def test_of_several_results_only_the_first_is_known(several, chains, handings):
    flow = doubling(*CHAIN, several=several)
    assert [here.chains[0] for here in flow.activations()] == chains
    assert [here.runs[0] for here in flow.handings()] == handings
    known = [flow.is_known(after(k)) for k in range(3)]
    assert known == [k not in several for k in range(3)]
    assert flow.is_known(PARAMETER)
    assert not flow.is_known(("constant", 0))


def test_what_is_handed_on_along_no_path_is_left_out():
    flow = doubling(*CHAIN, handed=None)
    assert list(flow.activations()) == []
    assert list(flow.handings()) == []
    flow = doubling(*CHAIN)
    (chain,) = flow.activations()
    np.testing.assert_array_equal(chain.right, np.full((1, 3), 4.0))
    np.testing.assert_array_equal(chain.cotangent, np.ones((1, 3)))


# Runs together, by where they are used, and one by one


def inside(index, name, source, line):
    """An operation of a helper."""
    one = of(index, name, source, line=line)
    return replace(one, site=replace(one.site, function="helper"))


def used_at(*lines):
    """Runs of one expression of a helper whose results are used in these lines of the loss."""
    made = [inside(k, "exp", PARAMETER, 1) for k in range(len(lines))]
    users = [of(10 + k, "sum", after(k), line=line) for k, line in enumerate(lines)]
    return doubling(*made, *users)


@pytest.mark.parametrize(
    ("lines", "groups"),
    [
        ((20, 20, 30), [(0, 1, 2), (0, 1), (2,), (0,), (1,)]),
        ((20, 30, 20, 30), [(0, 1, 2, 3), (0, 2), (1, 3), (0,), (1,), (2,), (3,)]),
        ((20, 20, 20, 20, 30), [(0, 1, 2, 3, 4), (0, 1, 2, 3), (4,)]),
        ((20,), [(0,)]),
    ],
)
def test_runs_go_together_by_where_their_results_are_used(lines, groups):
    found = [here.runs for here in used_at(*lines).handings() if here.operation.name == "exp"]
    assert found == groups


def test_what_is_used_within_the_helper_is_used_where_that_ends_up():
    """``exp`` and ``sin`` stand in the helper, their sums in two lines of the loss."""
    operations = []
    for k in (0, 3):
        operations += [inside(k, "exp", PARAMETER, 1), inside(k + 1, "sin", after(k), 2)]
        operations.append(of(k + 2, "sum", after(k + 1), line=20 + k))
    flow = doubling(*operations)
    exps = [here.runs for here in flow.handings() if here.operation.name == "exp"]
    assert exps == [(0, 3), (0,), (3,)]
    assert flow._used_at(0) == flow._used_at(1) == {flow.graph.expression(2)}
    assert flow._used_at(3) == {flow.graph.expression(5)}


@pytest.mark.parametrize(("name", "count"), [("setitem", 0), ("assemble", 0), ("stack", 1)])
def test_what_is_written_only_hands_on(name, count):
    flow = doubling(of(0, name, PARAMETER))
    assert len(list(flow.handings())) == count
