"""Linear algebra on stacks of matrices, and distances between rows, of which each changes some.

Those that an evaluation does not change are not factorised, or held against each other, again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.tensor import Varied, taken

if TYPE_CHECKING:
    from torch import Tensor

ON_MATRICES = tuple(
    f"aten::{name}"
    for name in (
        *("_linalg_solve_ex", "linalg_solve_triangular", "linalg_inv_ex", "linalg_cholesky_ex"),
        *("_linalg_det", "_linalg_slogdet", "_linalg_eigh", "_linalg_svd", "linalg_qr"),
        *("linalg_matrix_exp", "linalg_lu_factor_ex", "cholesky_solve"),
    )
)
"""Operations on each matrix of a stack by itself, or on each of two of them."""
MANY = 25
"""Rows above which torch computes Euclidean distances by a product of matrices."""


def on_matrices(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Evaluate an operation on the matrices of stacks that change; None for what it is not for."""
    import torch

    given = [one for one in args if isinstance(one, Varied | torch.Tensor)]
    leading = _stack(given[0])
    if any(_stack(one) != leading for one in given):
        return None
    varied = [one for one in given if isinstance(one, Varied)]
    kept = {
        d: at
        for d, at in varied[0].places.items()
        if d < len(leading) and all(one.places.get(d) is at for one in varied)
    }

    def part(one: Any) -> Any:
        if isinstance(one, Varied):
            return one.loosened(kept).values
        if isinstance(one, torch.Tensor):
            return taken(one, kept) if kept else one.expand(varied[0].tally.rows, *one.shape)
        return one

    bases = function(*(one.base if isinstance(one, Varied) else one for one in args), **kwargs)
    many = function(*map(part, args), **kwargs)
    if isinstance(bases, torch.Tensor):
        return varied[0].new(bases, many, kept)
    return tuple(varied[0].new(*pair, kept) for pair in zip(bases, many, strict=True))


def _stack(one: Any) -> Any:
    """Return the leading dimensions of a stack of matrices."""
    base = one.base if isinstance(one, Varied) else one
    return base.shape[:-2] if base.dim() > 1 else None


def distances(function: Any, a: Any, b: Any, order: float, mode: int | None) -> Varied | None:
    """``cdist`` of the rows of two matrices, of which one stays."""
    if isinstance(a, Varied) and isinstance(b, Varied):
        return None
    one, other = (a, b) if isinstance(a, Varied) else (b, a)
    kept = one.loosened([0])
    if one.base.dim() != 2 or other.dim() != 2 or not kept.places:
        return None
    if not mode:
        # As torch chooses for these matrices, however many evaluations there are.
        mode = 1 if max(len(one.base), len(other)) > MANY else 2
    base: Tensor = function(a.base if a is one else a, b.base if b is one else b, order, mode)
    values = function(kept.values, other, order, mode)
    return one.new(base, values, {0 if a is one else 1: kept.places[0]})
