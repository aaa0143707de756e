"""Products and distances of the rows of one matrix: of one row that changes, with all others.

What is computed for each pair of rows changes where one of the two is the row: in a row and in a
column of the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.scattered import Scattered
from gradcheck.torch_target.varied.tensor import Varied, is_few

if TYPE_CHECKING:
    from torch import Tensor


def crossed(a: Any, b: Any) -> Scattered | None:
    """Multiply a matrix of which a row changes by one of which a column does; None for others."""
    if not isinstance(a, Varied) or not isinstance(b, Varied):
        return None
    rows, columns = len(a.base), b.base.shape[1]
    if 0 not in a.places or 1 not in b.places or not is_few(rows + columns, rows * columns):
        return None
    column = b.places[1]
    left, right = a.loosened([0]).values, b.loosened([1]).values
    along, down = left @ b.base, right @ a.base.T
    along.scatter_(1, column.unsqueeze(1), (left * right).sum(1, keepdim=True))
    return _cross(a.base @ b.base, a, a.places[0], column, along, down)


def among(function: Any, a: Varied, b: Varied, *args: Any) -> Scattered | None:
    """``cdist`` of the rows of a matrix and its own; None for two that are not the same.

    A row's distance from itself stays.
    """
    import torch

    count = len(a.base)
    alike = a.places.keys() == b.places.keys() and all(b.places[d] is a.places[d] for d in a.places)
    if not alike or 0 not in a.places or a.base.dim() != 2 or not is_few(2 * count, count**2):
        return None
    if not torch.equal(a.base, b.base):
        return None
    row, base = a.places[0], function(a.base, b.base, *args)
    found = function(a.loosened([0]).values, b.base, *args)
    found.scatter_(1, row.unsqueeze(1), base.diagonal()[row].unsqueeze(1))
    return _cross(base, a, row, row, found, found)


def _cross(
    base: Tensor, like: Varied, row: Tensor, column: Tensor, along: Tensor, down: Tensor
) -> Scattered:
    """Return a matrix that changes in a row and a column; where they meet, ``along`` has it."""
    import torch

    def places() -> Tensor:
        rows, columns = base.shape
        across = row.unsqueeze(1) * columns + torch.arange(columns, device=base.device)
        others = torch.arange(rows, device=base.device)
        below = others * columns + column.unsqueeze(1)
        return torch.cat([across, below.where(others != row.unsqueeze(1), base.numel())], 1)

    found = like.tally.kept(("cross", id(row), id(column), base.shape), places, row, column)
    return _scattered(base, found, torch.cat([along, down], 1), like)


def pairs(function: Any, one: Varied, order: float = 2.0) -> Scattered | None:
    """``pdist``: the distances of the rows of a matrix, each pair once."""
    import torch

    count = len(one.base)
    if 0 not in one.places or not is_few(count, count * (count - 1) // 2):
        return None
    row, direct = one.places[0], "donot_use_mm_for_euclid_dist"
    found = torch.cdist(one.loosened([0]).values, one.base, p=order, compute_mode=direct)

    def places() -> Tensor:
        others, own = torch.arange(count, device=row.device), row.unsqueeze(1)
        low, high = torch.minimum(others, own), torch.maximum(others, own)
        number = low * count - low * (low + 1) // 2 + high - low - 1
        return number.where(others != own, count * (count - 1) // 2)

    kept = one.tally.kept(("pairs", id(row), count), places, row)
    return _scattered(function(one.base, order), kept, found, one)


def _scattered(base: Tensor, places: Tensor, values: Tensor, like: Varied) -> Scattered:
    like.tally.count(values.numel() * (values.element_size() + places.element_size()))
    return Scattered(base, places, values, like.tally)
