"""All pairs of a matrix's rows at many single-entry changes at once: those of one row change.

Every loss here is evaluated with entries of the parameter moved far, together and one at a time.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcheck.torch_target import tangents
from gradcheck.torch_target.problem import torch_problem
from gradcheck.torch_target.varied.carrier import carrier, varied_of
from gradcheck.torch_target.varied.scattered import Scattered
from gradcheck.torch_target.varied.tensor import Tally, Varied, unravelled
from tests.moved_losses import drawn, moved_losses

ROWS, MANY, FEW, WIDE = drawn(20, 3), drawn(30, 2), drawn(6, 3), drawn(20, 20)
APART = 1 - torch.eye(30, dtype=torch.float64)
FACTOR = drawn(3, 20, seed=1)

CROSSED = {
    "products of rows": (lambda x: x @ x.T, ROWS),
    "products of rows with the next": (lambda x: x @ x.roll(1, 0).T, ROWS),
    "products of columns": (lambda x: x.T @ x, WIDE),
    "products of rows that are multiplied": (
        lambda x: (x @ FACTOR[:, :4]) @ (x @ FACTOR[:, 4:8]).T,
        ROWS,
    ),
    "products with a part": (lambda x: x @ x[1:].T, ROWS),
    "distances": (lambda x: torch.cdist(x, x), ROWS),
    "distances of another order": (lambda x: torch.cdist(x, x, p=1), ROWS),
    "distances by a product": (lambda x: torch.cdist(x, x) * APART, MANY),
    "each pair once": (torch.pdist, ROWS),
    "each pair once, of another order": (lambda x: torch.pdist(x, 3), ROWS),
}
WHOLE = {
    "of few rows": (lambda x: x @ x.T, FEW),
    "distances of few rows": (lambda x: torch.cdist(x, x) + torch.pdist(x).sum(), FEW),
    "of rows that all change": (lambda x: (WIDE @ x) @ (WIDE @ x).T, ROWS),
    "a matrix and its function": (lambda x: (x @ FACTOR) @ (x @ FACTOR), ROWS),
    "distances from others": (lambda x: torch.cdist(x, x.flip(0)), ROWS),
    "distances from moved ones": (lambda x: torch.cdist(x, x + 1), ROWS),
    "of stacks": (lambda x: torch.cdist(x.view(2, 10, 3), x.view(2, 10, 3)), ROWS),
}


@pytest.mark.parametrize("name", [*CROSSED, *WHOLE])
def test_losses_together_are_those_of_plain_calls(name):
    step, tensor = {**CROSSED, **WHOLE}[name]
    together, alone, _ = moved_losses(lambda x: step(x).sin().sum(), [tensor], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-11)


def moved(step, tensor):
    flat = torch.arange(7) * 5 % tensor.numel()
    places = dict(enumerate(unravelled(flat, tensor.shape)))
    varied = Varied(tensor, tensor.reshape(-1)[flat] + 1, places, Tally(7))
    with torch.no_grad():
        return varied_of(step(carrier(varied)))


@pytest.mark.parametrize("name", CROSSED)
def test_a_row_and_a_column_change(name):
    step, tensor = CROSSED[name]
    found = moved(step, tensor)
    assert isinstance(found, Scattered)
    assert found.places.shape[1] <= 2 * len(tensor)


@pytest.mark.parametrize("name", WHOLE)
def test_what_no_row_and_column_are_known_of_changes_as_a_whole(name):
    assert isinstance(moved(*WHOLE[name]), Varied)


def test_what_is_computed_of_all_pairs_is_computed_of_those_that_change():
    def energy(x):
        return (torch.pdist(x) - 1).square().mean() + (x @ x.T).tanh().mean()

    together, alone, tally = moved_losses(energy, [drawn(60, 2)], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-11)
    assert tally.largest / tally.rows <= 2 * 60 * 16


def test_a_factorisation_of_products_is_that_of_plain_calls():
    eye = torch.eye(20, dtype=torch.float64)

    def loss(x):
        return torch.linalg.cholesky(x @ x.T + 9 * eye).diagonal().log().sum()

    together, alone, _ = moved_losses(loss, [WIDE], 0)
    np.testing.assert_allclose(together, alone, rtol=1e-11)


@pytest.mark.parametrize("name", ["products of rows", "products of columns"])
def test_tangents_are_carried_so_too(name, monkeypatch):
    monkeypatch.setattr(tangents, "LEAST", 1)
    step, tensor = CROSSED[name]
    size = tensor.numel()
    given = (tensor.clone().requires_grad_(),)
    problem = torch_problem(lambda x: step(x).sin().sum(), given)
    found = problem.forward_gradient.entries(0, np.arange(size))
    expected = problem.forward_gradient(0, np.eye(size).reshape(size, *tensor.shape))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    problem.cleanup()
