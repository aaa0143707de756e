"""Linear algebra on stacks of matrices, and distances between rows, of which each changes some.

Those that an evaluation does not change are not factorised, or held against each other, again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.crossing import among
from gradcheck.torch_target.varied.scattered import Part
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
    leading = _shape(given[0])[:-2]
    # Beside a stack of matrices, vectors are told by their shape.
    if any(_shape(one) != _shape(given[0])[:-1] and _shape(one)[:-2] != leading for one in given):
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


def _shape(one: Varied | Tensor) -> Sequence[int]:
    return one.base.shape if isinstance(one, Varied) else one.shape


def distances(function: Any, a: Any, b: Any, *args: Any) -> Part | None:
    """``cdist`` of the rows of two matrices, of which one stays, or which are the same.

    ``args`` are the order and how it is computed, but for Euclidean distances by a product.
    """
    one, other = (a, b) if isinstance(a, Varied) else (b, a)
    if len(one.base.shape) != 2 or len(_shape(other)) != 2:
        return None
    if args and not args[1]:
        # As torch chooses for these matrices, however many evaluations there are.
        args = (args[0], 1 if max(len(one.base), _shape(other)[0]) > MANY else 2)
    if isinstance(other, Varied):
        return among(function, one, other, *args)
    kept = one.loosened([0])
    if not kept.places:
        return None
    base = function(a.base if a is one else a, b.base if b is one else b, *args)
    values = function(kept.values, other, *args)
    return one.new(base, values, {0 if a is one else 1: kept.places[0]})
