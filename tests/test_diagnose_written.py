"""A long trace is written down as numbers: altered passes give what the trace itself gives."""

import numpy as np
import pytest
from conftest import needs_torch

from gradcheck.diagnose import jacobians, passes, writing
from gradcheck.diagnose.graph import Graph, graph_of
from gradcheck.diagnose.jacobians import probed
from gradcheck.diagnose.passes import quick
from gradcheck.diagnose.plan import trials
from gradcheck.diagnose.writing import written
from gradcheck.tracing import trace
from gradcheck.tracing.contract import Alteration, Operation, Site

pytestmark = needs_torch
DRAW = np.random.default_rng(3)
X = DRAW.normal(size=(5, 3))
LABELS = np.array([0, 2, 1, 1, 0])


def recurrent(W, v):
    """A loop whose every step hands its state to the next."""
    h = np.zeros(3)
    for x in X[:3]:
        h = np.tanh(W @ h + v * x) + 0.1 * h
    return np.sum(h * h) / len(X)


def classifier(W, v):
    """A masked layer, a stable softmax, a loss of picked entries and a penalty."""
    hidden = np.maximum(X @ W + v, 0.0)
    scores = hidden @ W.T
    scores = scores - scores.max(axis=1, keepdims=True)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return -np.mean(np.log(p[np.arange(5), LABELS])) + 0.05 * np.sum(W**2)


def gathered(W, v):
    """Look-ups with indices that occur twice, slices, cumulative sums, and lists of numbers."""
    picked = v[np.array([0, 2, 2, 1])]
    running = np.cumsum(picked) / 3.0
    table = np.array([v[0] * v[1], 2.0, W[1, 2]]) - W[::-1, 0]
    both = np.concatenate([running[1:], table, np.einsum("ij,j->i", W.T, v)])
    return np.sqrt(np.sum(both**2)) + np.linalg.norm(np.linalg.solve(W + 4.0 * np.eye(3), v))


def written_in_place(W, v):
    """Results that are written into an array, and one that is read through views of views."""
    out = np.zeros((3, 3))
    for i in range(3):
        out[i] = W[i] * v[i]
    turned = out.T.reshape(-1)[2:8].reshape(2, 3)
    return np.sum(np.where(turned > 0, turned, 0.1 * turned) ** 3)


LOSSES = [recurrent, classifier, gathered, written_in_place]


def traced(loss, dtype=np.float64):
    parameters = {
        "W": DRAW.normal(size=(3, 3)).astype(dtype),
        "v": DRAW.normal(size=3).astype(dtype),
    }
    return trace(loss, tuple(parameters.values()), {}, parameters)


def both_ways(loss):
    original = traced(loss)
    found = written(original, original.backward())
    assert found is not None
    return original, found


def close(one, other):
    assert one.keys() == other.keys()
    size = max(np.abs(part).max() for part in other.values())
    for key, part in other.items():
        np.testing.assert_allclose(one[key], part, rtol=1e-10, atol=1e-12 * (size + 1.0))


def made(trace_, alterations):
    try:
        return trace_.backward(alterations)
    except ValueError as error:
        return str(type(error))


@pytest.mark.parametrize("loss", LOSSES)
def test_every_trial_changes_the_gradient_as_in_the_trace_itself(loss):
    original, found = both_ways(loss)
    n = 0
    for trial in trials(graph_of(original)):
        expected, got = made(original, trial.alterations), made(found, trial.alterations)
        if isinstance(expected, str):
            assert got == expected
            continue
        close(got, expected)
        n += 1
    assert n > 20


@pytest.mark.parametrize("loss", LOSSES)
def test_each_kind_of_alteration_of_each_operand(loss):
    original, found = both_ways(loss)
    for operation in original.operations:
        slope = np.full(operation.output_shape, 0.7)
        for operand, (kind, _) in enumerate(operation.inputs):
            if kind == "constant":
                continue
            shape = operation.input_shapes[operand]

            def affine(c, shape=shape):
                return np.full(shape, 0.3 * c.sum()) + 0.25

            def not_linear(c, shape=shape):
                return np.full(shape, np.abs(c).sum())

            for alteration in (
                Alteration("scale_operand", operand=operand, factor=-0.5),
                Alteration("drop_operand", operand=operand),
                Alteration("identity", operand=operand),
                Alteration("twice", operand=operand),
                Alteration("transpose_operand", operand=operand),
                Alteration("slope", operand=operand, slope=slope),
                Alteration("rule", operand=operand, rule=affine),
                Alteration("rule", operand=operand, rule=not_linear),
                Alteration("unheard_of", operand=operand),
            ):
                expected = made(original, {operation.index: alteration})
                got = made(found, {operation.index: alteration})
                if isinstance(expected, str):
                    assert got == expected
                else:
                    close(got, expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_flows_is_what_flows_in_the_trace(loss):
    original, found = both_ways(loss)
    close(found.backward(), original.backward())
    close(found.cotangents(), original.cotangents())
    directions = [
        {"W": DRAW.normal(size=(3, 3)), "v": DRAW.normal(size=3)},
        {"v": DRAW.normal(size=3)},
    ]
    for one, other in zip(found.tangents(directions), original.tangents(directions), strict=True):
        close(one, other)
    for operation in original.operations:
        c = DRAW.normal(size=operation.output_shape)
        pairs = zip(
            found.local(operation.index, c), original.local(operation.index, c), strict=True
        )
        for one, other in pairs:
            assert (one is None) == (other is None)
            if other is not None:
                np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    middle = original.operations[len(original.operations) // 2]
    given = {middle.index: DRAW.normal(size=middle.output_shape)}
    close(found.pull(given), original.pull(given))
    assert found.tangents([]) == []


def test_an_operation_or_operand_that_is_not_there_is_refused():
    _, found = both_ways(recurrent)
    with pytest.raises(ValueError, match="no operation"):
        found.backward({10_000: Alteration("constant")})
    with pytest.raises(ValueError, match="carries no gradient"):
        found.backward({0: Alteration("drop_operand", operand=7)})
    with pytest.raises(ValueError, match="needs an operand"):
        found.backward({0: Alteration("drop_operand")})


def test_float32_and_too_many_numbers_are_not_written_down(monkeypatch):
    low = traced(recurrent, np.float32)
    assert written(low, low.backward()) is None
    whole, found = both_ways(recurrent)
    monkeypatch.setattr(writing, "MOST_WRITTEN", found.values.size)
    assert written(whole, whole.backward()) is not None
    monkeypatch.setattr(writing, "MOST_WRITTEN", found.values.size - 1)
    assert written(whole, whole.backward()) is None


def test_what_does_not_give_the_gradient_is_not_used():
    original = traced(recurrent)
    wrong = {name: part.copy() for name, part in original.backward().items()}
    wrong["v"][1] *= 1.0 + 1e-6
    assert written(original, wrong) is None


def test_a_shortcut_that_is_wrong_is_given_up_for_what_the_operations_say(monkeypatch):
    monkeypatch.setattr(
        jacobians, "_slopes", lambda _trace, operation: (1.5,) * len(operation.inputs)
    )
    original, found = both_ways(recurrent)
    close(
        found.backward({3: Alteration("constant")}), original.backward({3: Alteration("constant")})
    )


def test_few_operations_are_passed_as_they_are(monkeypatch):
    original = traced(recurrent)
    assert quick(original, original.backward()) is original
    count = len(original.operations)
    for least, most, by_numbers in ((count, count, True), (1, count - 1, False)):
        monkeypatch.setattr(passes, "LEAST_WRITTEN", least)
        monkeypatch.setattr(passes, "MOST_OPERATIONS", most)
        assert (quick(original, original.backward()) is not original) is by_numbers


def test_a_map_that_is_not_linear_is_found_out():
    matrix = DRAW.normal(size=(4, 3))
    (block,) = probed(lambda c: (c @ matrix,), (4,))
    np.testing.assert_allclose(block.handed(np.arange(4.0), (3,)), np.arange(4.0) @ matrix)
    assert probed(lambda c: (np.abs(c) @ matrix,), (4,)) is None
    assert probed(lambda c: (np.cumsum(c),), (1000,)) is None  # linear, but it takes too much


def test_entries_that_feed_one_result_each_take_two_questions():
    asked = []

    def mean_of_rows(c):
        asked.append(c)
        return (np.repeat(c, 5) / 5.0, None)

    block, nothing = probed(mean_of_rows, (300,))
    assert len(asked) == 2
    assert nothing is None
    np.testing.assert_array_equal(block.out, np.repeat(np.arange(300), 5))


def chain_of(inputs):
    site = Site("f.py", 1, "f")
    return Graph(
        tuple(
            Operation(k, "add", site, tuple(one), ((),) * len(one), (), {})
            for k, one in enumerate(inputs)
        )
    )


def test_what_depends_on_what():
    parameter = ("parameter", "p")
    inputs = [[parameter]] + [[("operation", k)] for k in range(40)] + [[parameter], [parameter]]
    graph = chain_of(inputs)
    assert graph.reaches(0, 40)
    assert not graph.reaches(5, 5)
    assert not graph.reaches(40, 0)
    assert graph.reaches_any(3, {3, 39, 41})
    assert not graph.reaches_any(3, {3, 41, 42})
    assert not graph.reaches_any(40, {0, 1, 40})


def test_a_step_that_depends_on_the_parameters_alone_is_not_searched_for(monkeypatch):
    parameter = ("parameter", "p")
    inputs = [[parameter]] + [[("operation", k)] for k in range(400)] + [[parameter]]
    graph = chain_of(inputs)
    looked = []
    original = Graph.consumers.func(graph)

    class Counted(dict):
        def get(self, key, default=()):
            looked.append(key)
            return super().get(key, default)

    graph.__dict__["consumers"] = Counted(original)
    assert not graph.reaches_any(0, {401})
    assert looked == []
    assert graph.reaches_any(0, {300})
    assert len(looked) <= 301


def test_views_are_known_by_their_memory():
    original = traced(written_in_place)
    views = {o.name: original.selected(o.index) for o in original.operations}
    rows = [o for o in original.operations if o.name == "getitem" and o.inputs[0][1] == "W"]
    for i, operation in enumerate(rows):
        np.testing.assert_array_equal(original.selected(operation.index), 3 * i + np.arange(3))
    assert views["multiply"] is None
    assert views["sum"] is None


def test_the_gradient_itself_is_made_once_and_handed_out_as_copies(monkeypatch):
    original = traced(recurrent)
    first = original.backward()
    monkeypatch.setattr(type(original), "_gradient", lambda _: pytest.fail("made again"))
    first["v"][:] = 0.0
    assert original.backward()["v"].any()


def test_the_derivatives_of_a_matrix_product_stand_where_its_factors_do():
    A, B = DRAW.normal(size=(2, 3)), DRAW.normal(size=(3, 4))
    found = trace(lambda A, B: np.sum((A @ B) ** 2), (A, B), {}, {"A": A, "B": B})
    (product,) = [one for one in found.operations if one.name == "matmul"]
    by_first, by_second = jacobians._matrix_product(found, product)
    for block, size, expected in (
        (by_first, A.size, np.kron(np.eye(2), B.T)),
        (by_second, B.size, np.kron(A, np.eye(4))),
    ):
        dense = np.zeros((8, size))
        dense[block.out, block.into] += block.values
        np.testing.assert_allclose(dense, expected)
