"""Changes that are a column times a row: what is linear in them is not given whole matrices.

Every loss here is evaluated with entries of each parameter moved far, together and one at a time.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from gradcheck.torch_target import tangents
from gradcheck.torch_target.problem import torch_problem
from gradcheck.torch_target.varied import products
from gradcheck.torch_target.varied.carrier import carrier, varied_of
from gradcheck.torch_target.varied.products import Outer
from gradcheck.torch_target.varied.tensor import Tally, Varied, unravelled
from tests.moved_losses import drawn, moved_losses

X = drawn(6, 4, seed=3)
FIRST, SECOND = drawn(4, 5), drawn(5, 3, seed=1)
EDGES = drawn(6, 6, seed=2)
STARTS, ENDS = torch.tensor([0, 5, 2, 2, 1]), torch.tensor([1, 3, 3, 0, 5])
DENSE, COLUMN, ROW = drawn(6, 3, seed=5), drawn(6, 1, seed=6), drawn(3, seed=7)
ROWS = torch.tensor([[0, 1, 2], [3, 4, 5], [1, 1, 0], [2, 3, 4], [5, 5, 5], [0, 3, 2]])


def hidden(w, v):
    return (X @ w).tanh() @ v


STEPS = {
    "a product on either side": lambda z: EDGES @ z @ drawn(3, 2),
    "a bias and a product": lambda z: functional.linear(z, drawn(2, 3), drawn(2)),
    "rows": lambda z: z[STARTS],
    "columns": lambda z: z.index_select(1, torch.tensor([2, 0, 0, 1])),
    "rows that go to others": lambda z: torch.ones_like(z).index_add(0, ENDS, z[STARTS]),
    "rows in a matrix": lambda z: z[torch.tensor([[0, 1], [2, 2]])],
    "rows that are scattered": lambda z: DENSE.scatter_add(
        0, ENDS[:, None].expand(-1, 3), z[STARTS]
    ),
    "columns that go to others": lambda z: DENSE.index_add(1, torch.tensor([1, 1, 0]), z),
    "with themselves": lambda z: z.index_add(0, ENDS, z[STARTS]) + z - z[ROWS[:, 0]],
    "sums": lambda z: z.sum(0) * z.mean(1, keepdim=True) + z.sum(),
    "what stays": lambda z: DENSE - (z + ROW) + 2.0 - COLUMN,
    "factors that stay": lambda z: -(z * COLUMN / ROW * torch.tensor(2.0)) / 3 + 1,
    "turned": lambda z: z.T.clone().detach().view(3, 2, 3).permute(1, 0, 2).reshape(2, 3, 1, 3),
}
OTHERWISE = {
    "a factor as wide as both": lambda z: z * DENSE,
    "a quotient": lambda z: DENSE / z,
    "a rounded quotient": lambda z: torch.div(z, 0.3, rounding_mode="floor"),
    "two that have no factor in common": lambda z: z + EDGES @ z.roll(1, 1) - (z @ z.T @ z),
    "sums over both": lambda z: z.sum() * z,
    "a shape that mixes both": lambda z: z.reshape(2, 9).T @ z.reshape(2, 9),
    "rows that are scattered apart": lambda z: DENSE.scatter_add(0, ROWS, z),
    "an index of both": lambda z: z[torch.tensor([0, 1]), torch.tensor([1, 2])],
    "other numbers of a type": lambda z: z.float().double(),
    "twice as much of it": lambda z: torch.add(DENSE, z, alpha=2) - torch.sub(z, ROW, alpha=3),
    "wider": lambda z: z[:, None] + drawn(1, 2, 1),
}


def moved(loss, tensors, number, count=9):
    """Return what a function of tensors gives for changes of one."""
    tensor = tensors[number]
    flat = torch.arange(count) % tensor.numel()
    given = tensor.reshape(-1)[flat] + 1
    places = dict(enumerate(unravelled(flat, tensor.shape)))
    one = carrier(Varied(tensor, given, places, Tally(count)))
    with torch.no_grad():
        return varied_of(loss(*(one if k == number else t for k, t in enumerate(tensors))))


@pytest.mark.parametrize("name", [*STEPS, *OTHERWISE])
def test_losses_together_are_those_of_plain_calls(name):
    step = {**STEPS, **OTHERWISE}[name]
    rtol = 1e-5 if name == "other numbers of a type" else 1e-11

    def loss(w, v):
        return step(hidden(w, v)).sin().sum()

    for number in (0, 1):
        together, alone, _ = moved_losses(loss, (FIRST, SECOND), number)
        np.testing.assert_allclose(together, alone, rtol=rtol, atol=1e-11)


@pytest.mark.parametrize("name", STEPS)
def test_no_matrix_is_written_out(name):
    if name != "sums":
        assert isinstance(moved(lambda w: STEPS[name](hidden(w, SECOND)), [FIRST], 0), Outer)


@pytest.mark.parametrize("name", OTHERWISE)
def test_where_the_change_is_no_product_it_is_written_out(name):
    found = moved(lambda w: OTHERWISE[name](hidden(w, SECOND)), [FIRST], 0)
    assert type(found) is Varied


def test_a_row_of_the_second_factor_changes_a_product_by_a_column_times_a_row():
    def loss(u):
        return (EDGES @ (u @ FIRST)).tanh().sum()

    together, alone, _ = moved_losses(loss, [X], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-11)
    assert isinstance(moved(lambda u: EDGES @ (u @ FIRST), [X], 0), Outer)


def test_what_is_added_to_a_part_is_the_change_of_that_part():
    square = drawn(4, 4, seed=4)

    def residual(w):
        h = (X @ w).tanh()
        return (h + h @ square).cos().sum() + (h @ square - h).exp().mean()

    together, alone, _ = moved_losses(residual, [square], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-11)


def test_edges_of_a_graph_take_one_factor():
    starts, ends = (torch.arange(400) * step % 40 for step in (3, 7))
    nodes, w, v = drawn(40, 5), drawn(5, 9, seed=1), drawn(9, 8, seed=2)

    def loss(w):
        z = (nodes @ w).tanh() @ v
        return (z + torch.zeros_like(z).index_add(0, ends, z[starts])).relu().sum()

    together, alone, tally = moved_losses(loss, [w], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-11)
    # Of the 400 edges there are eight numbers each.
    assert tally.largest / tally.rows == 40 * 8 * 8


@pytest.mark.parametrize("name", ["a product on either side", "rows that go to others", "sums"])
def test_tangents_are_carried_so_too(name, monkeypatch):
    monkeypatch.setattr(tangents, "LEAST", 1)
    made, multiplied = [], products._multiplied

    def noted(*args):
        made.append(multiplied(*args))
        return made[-1]

    monkeypatch.setattr(products, "_multiplied", noted)
    given = tuple(one.clone().requires_grad_() for one in (FIRST, SECOND))
    problem = torch_problem(lambda w, v: STEPS[name](hidden(w, v)).sin().sum(), given)
    found = problem.forward_gradient.entries(0, np.arange(20))
    expected = problem.forward_gradient(0, np.eye(20).reshape(20, 4, 5))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert any(isinstance(one, Outer) for one in made)
    problem.cleanup()
