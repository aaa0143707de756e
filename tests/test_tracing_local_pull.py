"""What one operation hands on is what autograd of torch says, at the cost of the operation."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from gradcheck.tracing.local_pull import MOST_NODES, local_pull

F64 = torch.float64

tells = pytest.mark.skipif(
    not hasattr(torch.ones(1, requires_grad=True).exp().grad_fn, "_input_metadata"),
    reason="this torch does not say what a node of the graph expects",
)


def leaf(*shape, dtype=F64):
    generator = torch.Generator().manual_seed(len(shape))
    return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()


def edge(tensor):
    return tensor.view_as(tensor)


OPERATIONS = {
    "product": lambda a, b: a * b,
    "broadcast": lambda a, b: a * b.sum(0),
    "broadcast from a number": lambda a, b: a * b[0, 0],
    "matrix product": lambda a, b: a @ b.T,
    "quotient": lambda a, b: a / (b * b + 1),
    "the same twice": lambda a, b: a * a + b,
    "one of several results": lambda a, b: torch.unbind(a * b)[1],
    "one of two operands": lambda a, b: torch.sin(a),
    "other dtype": lambda a, b: (a.float() * b.float()).double(),
    "complex": lambda a, b: torch.fft.fft(a * b).abs(),
    "solution": lambda a, b: torch.linalg.solve(a[:, :3] @ a[:, :3].T + 9 * torch.eye(3), b[:, 0]),
}


@tells
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_it_is_what_autograd_makes_of_the_cotangent(operation):
    parameters = leaf(3, 4), leaf(3, 4).detach().cos().requires_grad_()
    edges = [edge(torch.sinh(one)) for one in parameters]
    torch.set_default_dtype(F64)
    try:
        output = operation(*edges)
    finally:
        torch.set_default_dtype(torch.float32)
    cotangent = torch.randn_like(output)
    found = local_pull(torch, output, edges, cotangent)
    wanted = torch.autograd.grad(output, edges, cotangent, retain_graph=True, allow_unused=True)
    assert found is not None
    for one, other in zip(found, wanted, strict=True):
        if other is None:
            assert one is None
        else:
            assert one.dtype == other.dtype
            assert one.shape == other.shape
            assert torch.equal(one, other)
            assert not one.requires_grad
    # The graph is as it was: all of it can be gone through once more.
    assert torch.autograd.grad(output.sum(), parameters, allow_unused=True)[0] is not None


def test_a_node_written_in_python_is_left_to_autograd():
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, cotangent):
            return 2 * cotangent

    x = edge(leaf(3))
    assert local_pull(torch, Doubled.apply(x), [x], torch.ones(3, dtype=F64)) is None
    assert local_pull(torch, torch.sin(Doubled.apply(x)), [x], torch.ones(3, dtype=F64)) is None


def test_so_is_an_operation_that_reaches_far_beside_its_operands():
    long, x = leaf(3), edge(leaf(3))
    for _ in range(MOST_NODES):
        long = torch.sin(long)
    assert local_pull(torch, x * long, [x], torch.ones(3, dtype=F64)) is None
    assert local_pull(torch, x * edge(long), [x, edge(long)], torch.ones(3, dtype=F64)) is None


class Node:
    """A node of a graph that hands on what it is told to, once it is given anything."""

    def __init__(self, hands, *further):
        self.hands, self.next_functions = hands, tuple((one, 0) for one in further)
        self._input_metadata = [SimpleNamespace(shape=torch.Size([2]), dtype=F64)]

    def __call__(self, given):
        return self.hands(given)


def test_a_node_that_is_handed_nothing_hands_on_nothing_and_the_others_do():
    ends = [Node(None), Node(None)]
    left, right = (Node(lambda c: 2 * c, end) for end in ends)
    for parts, wanted in (((1, 0), [2, None]), ((0, 1), [None, 2]), ((1, 1), [2, 2])):

        def hands(c, parts=parts):
            return tuple(c if part else None for part in parts)

        output = SimpleNamespace(grad_fn=Node(hands, left, right), output_nr=0)
        edges = [SimpleNamespace(grad_fn=end, output_nr=0) for end in ends]
        found = local_pull(torch, output, edges, torch.ones(2, dtype=F64))
        assert [None if one is None else one[0].item() for one in found] == wanted


@tells
@pytest.mark.parametrize(("n", "many"), [(MOST_NODES - 1, False), (MOST_NODES, True)])
def test_sixty_four_nodes_are_not_many(n, many):
    long, x = leaf(3), edge(leaf(3))
    for _ in range(n):
        long = torch.sin(long)
    found = local_pull(torch, x * long, [x], torch.ones(3, dtype=F64))
    assert found is None if many else torch.equal(found[0], long)


@tells
def test_tensors_that_are_not_asked_for_get_no_gradient():
    weight, x = leaf(3), edge(leaf(3))
    for output in (x * weight, x * torch.sin(weight)):
        assert local_pull(torch, output, [x], torch.ones(3, dtype=F64)) is not None
        assert weight.grad is None


@tells
def test_what_was_computed_before_is_not_looked_at():
    long, x = leaf(3), edge(leaf(3))
    for _ in range(10 * MOST_NODES):
        long = torch.sin(long)
    end = edge(long)
    by_x, by_long = local_pull(torch, x * end, [x, end], torch.ones(3, dtype=F64))
    assert torch.equal(by_x, end)
    assert torch.equal(by_long, x)
