"""Alterations that must change the gradient alike share one backward pass over a large trace."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import needs_torch
from test_diagnose_patterns import evidence

from gradcheck.diagnose.alike import key_of
from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.limits import Limits
from gradcheck.diagnose.passes import Passes
from gradcheck.diagnose.space import make_space
from gradcheck.tracing.contract import Alteration

pytestmark = needs_torch

X = np.array([1.5, -0.5, 2.0, 0.25])
SQUARE = np.array([[1.5, -0.5], [2.0, 0.25]])
KINDS = ("constant", "scale", "identity", "drop_operand", "scale_operand", "twice")


def quartic(x):
    square = x * x
    return (square @ square) / 4


def used_twice(x):
    once = np.tanh(x)
    return np.sum(once * np.sin(once)) + np.sum(once + once)


def split(x):
    one, two = np.split(np.exp(x), 2)
    return np.sum(one * two) + np.sum(two * two)


def matrices(x):
    return np.sum(np.cos(x @ x)) + np.vdot(x[0], x[0])


def traced(loss: Any, x: np.ndarray) -> Any:
    from gradcheck.tracing import trace

    return trace(loss, (), {"x": x}, {"x": x})


def altered(trace: Any) -> dict[Any, list[tuple[tuple[int, str, int | None], np.ndarray]]]:
    """The gradients of all alterations of single operations, by what is the same of them."""
    found: dict[Any, list[Any]] = {}
    for operation in trace.operations:
        for kind in KINDS:
            for operand in (None, *range(len(operation.inputs))):
                changes = {operation.index: Alteration(kind, operand=operand, factor=3.0)}
                key = key_of(changes, graph_of(trace), trace)
                try:
                    gradient = trace.backward(changes)["x"]
                except ValueError:
                    continue
                if key is not None:
                    found.setdefault(key, []).append(((operation.index, kind, operand), gradient))
    return found


@pytest.mark.parametrize(
    ("loss", "x"), [(quartic, X), (used_twice, X), (split, X), (matrices, SQUARE)]
)
def test_what_counts_as_alike_gives_the_same_gradient(loss, x):
    groups = altered(traced(loss, x))
    assert any(len(members) > 1 for members in groups.values())
    for members in groups.values():
        for _, gradient in members:
            np.testing.assert_allclose(gradient, members[0][1], rtol=1e-12, atol=1e-12)


def test_equal_operands_count_as_one_and_so_do_operations_in_a_row():
    groups = {frozenset(where for where, _ in m) for m in altered(traced(quartic, X)).values()}
    product = traced(quartic, X).operations[1].index
    assert {(0, "identity", 0), (0, "identity", 1)} in groups
    assert {(product, "drop_operand", 0), (product, "drop_operand", 1)} in groups
    assert any({(0, "constant", None), (product, "constant", None)} <= group for group in groups)


@pytest.mark.parametrize(("loss", "x", "name"), [(split, X, "multiply"), (matrices, SQUARE, "dot")])
def test_operands_that_may_be_different_are_looked_at_each(loss, x, name):
    """Two results of one operation, and the factors of a product of matrices."""
    trace = traced(loss, x)
    keys = {
        key_of({one.index: Alteration("drop_operand", operand=k)}, graph_of(trace), trace)
        for one in trace.operations
        if one.name in (name, "matmul") and len(one.input_shapes[0]) == len(x.shape)
        for k in (0, 1)
    }
    assert any(key is not None and key[2] == 1 for key in keys)


def test_of_several_alterations_and_of_rules_nothing_is_known():
    trace = traced(quartic, X)
    graph = graph_of(trace)
    cut = Alteration("constant")
    assert key_of({0: cut, 1: cut}, graph, trace) is None
    assert key_of({0: Alteration("rule", operand=0, rule=np.sin)}, graph, trace) is None
    assert key_of({99: cut}, graph, trace) is None


class Counted:
    """A trace that counts its backward passes."""

    def __init__(self, trace: Any) -> None:
        self._trace, self.passes = trace, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trace, name)

    def backward(self, alterations: Any = None) -> Any:
        self.passes += 1
        return self._trace.backward(alterations)


def passes_over(claimed: Any, *, large: bool = True) -> tuple[Passes, Counted]:
    trace = Counted(traced(quartic, X))
    right = trace.backward()
    known = evidence({"x": claimed(right["x"])}, right, {"x": X}, trace=trace)
    here = make_space(known, right)
    if large:
        here = replace(here, picks={"x": np.arange(4)})
    trace.passes = 0
    return Passes(known, trace, here, Limits(passes=3), here.vector(right)), trace


def test_over_a_large_trace_one_pass_stands_for_all_that_are_alike():
    passes, trace = passes_over(lambda right: 2 * right)
    first = passes.change({0: Alteration("identity", operand=0)})
    again = passes.change({0: Alteration("identity", operand=1)})
    assert (trace.passes, passes.left) == (1, 2)
    np.testing.assert_array_equal(first, again)
    small, other = passes_over(lambda right: 2 * right, large=False)
    for operand in (0, 1):
        small.change({0: Alteration("identity", operand=operand)})
    assert (other.passes, small.left) == (2, 1)


def test_what_was_not_made_last_is_made_again_to_confirm_it():
    passes, trace = passes_over(lambda right: 0 * right)
    cut, other = Alteration("constant"), Alteration("twice", operand=0)
    passes.change({0: cut})
    assert passes.confirmed(["x"])
    passes.change({0: other})
    assert not passes.confirmed(["x"])
    assert trace.passes == 2
    passes.change({1: cut})  # as before: what was confirmed once need not be again
    assert passes.confirmed(["x"])
    assert (trace.passes, passes.left) == (2, 1)
    unsure, trace = passes_over(lambda right: 0 * right)
    unsure.change({0: cut})
    unsure.change({0: other})
    unsure.change({1: cut})
    assert trace.passes == 2
    assert unsure.confirmed(["x"])
    assert (trace.passes, unsure.left) == (3, 0)


def test_with_other_alterations_in_the_background_every_pass_is_made():
    passes, trace = passes_over(lambda right: 2 * right)
    passes.background[0] = Alteration("scale", factor=0.5)
    for operand in (0, 1):
        passes.change({1: Alteration("drop_operand", operand=operand)})
    assert trace.passes == 2
