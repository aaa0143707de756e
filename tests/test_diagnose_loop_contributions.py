"""Loops that read one array several times: what overwrites what, and what is taken of each pass."""

import numpy as np
import pytest
from test_diagnose_repeated import asked, readings

from gradcheck.diagnose import repeated
from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.repeated import overwritten, overwritten_results, stale_in_loop
from gradcheck.tracing import trace

generator = np.random.default_rng(29)
U = generator.normal(size=3)
F, H = generator.uniform(0.5, 2.0, size=(2, 3, 3))
S, G = generator.normal(size=(2, 3, 3, 3))
W = generator.normal(size=(3, 3))
M = generator.uniform(0.5, 2.0, size=(3, 3, 3))
E = generator.normal(size=(4, 2))


# What overwrites in the gradients of results


def changes(loss, made="sin"):
    """What comes in addition for one result, by the operation that is said to read it."""
    traced = trace(loss, (), {"U": U}, {"U": U})
    graph = graph_of(traced)
    index = next(o.index for o in traced.operations if o.name == made)
    found = overwritten_results(traced, graph, traced.cotangents())
    return [
        (operation.name, operation.index, extra[index])
        for operation, extra in found
        if index in extra
    ], traced


def several(U):
    z, total = np.sin(U), 0.0
    total = total + np.sum(np.exp(z))
    for k in range(3):
        total = total + np.sum(z * F[k]) + np.sum(z / H[k])
    return total


def test_contributions_to_a_result_overwrite_each_other_by_expression_and_by_pass():
    found, traced = changes(several)
    products = [o.index for o in traced.operations if o.name == "multiply"]
    quotients = [o.index for o in traced.operations if o.name == "divide"]
    by_product, by_quotient = -F[0] - F[1], -1 / H[0] - 1 / H[1]
    expected = [
        ("multiply", products[0], by_product), ("divide", quotients[0], by_quotient),
        ("sin", 0, by_product + by_quotient),
    ]  # fmt: skip
    assert [one[:2] for one in found] == [one[:2] for one in expected]
    for (*_, extra), (*_, wanted) in zip(found, expected, strict=True):
        np.testing.assert_allclose(extra, wanted)


def test_one_expression_or_as_many_runs_as_not_make_no_pass():
    def once(U):
        z, total = np.sin(U), 0.0
        for k in range(3):
            total = total + np.sum(z * F[k])
        return total + np.sum(z * 2.0)

    def unequal(U):
        z, total = np.sin(U), 0.0
        for k in range(3):
            total = total + np.sum(z * F[k])
            if k:
                total = total + np.sum(z / H[k])
        return total

    assert [name for name, *_ in changes(once)[0]] == ["multiply"]
    assert [name for name, *_ in changes(unequal)[0]] == ["multiply", "divide"]


def test_what_is_read_once_in_each_run_or_out_of_loops_is_not_overwritten():
    def chained(U):
        z = U * 1.0
        for k in range(3):
            z = np.sin(z) * F[k]
        return np.sum(z)

    def apart(U):
        z = np.sin(U)
        return np.sum(z * F[0]) + np.sum(z / H[0])

    for loss in (chained, apart):
        traced = trace(loss, (), {"U": U}, {"U": U})
        graph = graph_of(traced)
        assert list(overwritten_results(traced, graph, traced.cotangents())) == []


def test_a_read_without_a_part_in_the_loss_does_not_count():
    def loss(U):
        z, total = np.sin(U), 0.0
        for k in range(3):
            total = total + np.sum(z * F[k])
            np.exp(z)
        return total

    ((name, _, extra),) = changes(loss)[0]
    assert name == "multiply"
    np.testing.assert_allclose(extra, -F[0] - F[1])


def test_results_are_looked_at_while_there_is_room(monkeypatch):
    traced = trace(several, (), {"U": U}, {"U": U})
    graph = graph_of(traced)
    spent = sum(
        len(graph.consumers.get(o.index, ())) * int(np.prod(o.output_shape))
        for o in graph.operations
    )
    for most, count in ((spent, 3), (spent - 1, 0)):
        monkeypatch.setattr(repeated, "MOST_ENTRIES", most)
        assert len(list(overwritten_results(traced, graph, traced.cotangents()))) == count


# Look-ups


def test_a_look_up_of_nothing_is_one_row_of_none():
    nothing = np.array([], dtype=int)
    assert readings(lambda E: np.sum(E[nothing]) + np.sum(E[[1, 1]]), "E", E=E) == [
        ("duplicate_indices", [2]), ("duplicate_indices", [2]),
    ]  # fmt: skip


def test_look_ups_lose_what_they_name_twice_whichever_comes_last():
    index = np.array([2, 0, 2])
    rows = np.cos(E[index]) * np.array([[1.0], [2.0], [3.0]])

    def loss(E):
        return np.sum(np.sin(E[index]) * np.array([[1.0], [2.0], [3.0]]))

    for kept in (0, 2):
        claimed = np.zeros_like(E)
        claimed[0], claimed[2] = rows[1], rows[kept]
        found = asked(overwritten, loss, "E", claimed, E=E)
        assert found.evidence == {"operation": "getitem", "index": 0}
        assert (found.cause, found.confidence) == ("duplicate_indices", "exact")
    claimed[2] = 0.0
    assert asked(overwritten, loss, "E", claimed, E=E) is None


def test_the_first_of_the_runs_is_named():
    def loss(W):
        total = 0.0
        for k in range(3):
            total = total + np.sum((W @ M[k]) * G[k])
        return total

    found = asked(overwritten, loss, "W", G[2] @ M[2].T, W=W)
    assert found.evidence == {"operation": "matmul", "index": 0}


# Values of the same pass


def test_a_factor_on_the_right_before_it_was_multiplied():
    def loss(W, v):
        total = np.sum(np.cos(W))
        for k in range(2):
            total = total + np.sum(v * H[k])
        for k in range(3):
            s = np.tanh(S[k] * v) * M[k]
            total = total + np.sum((W @ s) * G[k])
        return total

    early = sum(G[k] @ np.tanh(S[k] * U).T for k in range(3)) - np.sin(W)
    found = asked(stale_in_loop, loss, "W", early, W=W, v=U)
    assert (found.cause, found.confidence) == ("factor_missing", "exact")
    assert len(found.also) == 1
    other = sum(G[k] @ M[k].T for k in range(3)) - np.sin(W)
    assert asked(stale_in_loop, loss, "W", other, W=W, v=U).cause == "factor_missing"
    assert asked(stale_in_loop, loss, "W", other * 1.01, W=W, v=U) is None


@pytest.mark.parametrize("how", ["added", "on two lines", "divided"])
def test_a_factor_that_is_no_product_of_one_line_is_another_value_of_the_pass(how):
    def loss(W, v):
        total = 0.0
        for k in range(3):
            h = np.tanh(S[k] * v)
            if how == "added":
                s = h + F[k]
            elif how == "divided":
                s = h / F[k]
            elif k == 0:
                s = h * F[0]
            else:
                s = h * F[k]
            total = total + np.sum((W @ s) * G[k])
        return total

    early = sum(G[k] @ np.tanh(S[k] * U).T for k in range(3))
    found = asked(stale_in_loop, loss, "W", early, W=W, v=U)
    assert found.cause == ("factor_missing" if how == "divided" else "stale_value")


def test_a_number_before_the_factor_is_left_out_of_a_loop_of_two():
    """The product's first operand is no matrix, and the second is what was taken."""

    def loss(W, v):
        total = 0.0
        for k in range(2):
            total = total + np.sum((W @ ((k + 2.0) * np.tanh(S[k] * v))) * G[k])
        return total

    early = sum(G[k] @ np.tanh(S[k] * U).T for k in range(2))
    found = asked(stale_in_loop, loss, "W", early, W=W, v=U)
    assert (found.cause, found.confidence) == ("factor_missing", "exact")


def test_a_factor_that_is_constant_in_some_runs_has_no_maker():
    def loss(W, v):
        total = 0.0
        for k in range(3):
            s = np.tanh(S[k] * v) * M[k] if k < 2 else M[2]
            total = total + np.sum((W @ s) * G[k])
        return total

    early = sum(G[k] @ np.tanh(S[k] * U).T for k in range(2)) + G[2] @ M[2].T
    assert asked(stale_in_loop, loss, "W", early, W=W, v=U) is None


def test_factors_that_are_parameters_or_constants_or_none_have_no_maker():
    def of_parameters(W, v):
        total = 0.0
        for k in range(3):
            total = total + np.sum((W @ v) * G[k, 0])
        return total

    def of_constants(W, v):
        total = np.sum(v)
        for k in range(3):
            total = total + np.sum((W @ M[k]) * G[k])
        return total

    def of_none(W, v):
        total = np.sum(v)
        for k in range(3):
            total = total + np.sum(np.sin(W) * G[k])
        return total

    for loss in (of_parameters, of_constants, of_none):
        assert asked(stale_in_loop, loss, "W", np.ones((3, 3)), W=W, v=U) is None


def test_another_loop_of_as_many_passes_is_looked_at():
    """A loop of two stands before, and one whose results have another shape."""

    def loss(W, v):
        total = 0.0
        for k in range(2):
            total = total + np.sum(np.sin(v) * H[k])
        for k in range(3):
            s, t = np.tanh(S[k] * v), np.exp(S[k] * v)
            total = total + np.sum(t[:2]) + np.sum((W @ s) * G[k])
        return total

    taken = sum(G[k] @ np.exp(S[k] * U).T for k in range(3))
    found = asked(stale_in_loop, loss, "W", taken, W=W, v=U)
    assert (found.cause, found.parameters) == ("stale_value", ("W",))
    assert "with the result of the `exp`" in found.message or "np.exp" in found.message
    assert asked(stale_in_loop, loss, "W", taken + 1.0, W=W, v=U) is None


def test_the_gradient_by_another_result_of_the_same_pass():
    def loss(W, v):
        total = 0.0
        for k in range(3):
            total = total + np.sum(np.sin(W @ (S[k] * v)) * G[k])
        return total

    undone = sum(G[k] @ (S[k] * U).T for k in range(3))
    found = asked(stale_in_loop, loss, "W", undone, W=W, v=U)
    assert found.cause == "stale_value"
    assert "the gradient by the result of" in found.message
