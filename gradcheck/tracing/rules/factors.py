"""LU factors, the systems solved with them, and eigenvalues of general matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradcheck.tracing.errors import UnsupportedError
from gradcheck.tracing.operation import Context, Rule


def _lu_factor(context: Context, a: Any, overwrite_a: Any = None, check_finite: Any = None) -> Any:
    factors, _ = context.torch.linalg.lu_factor(
        context.tensor(a, context.dtype_of(context.value[0]))
    )
    return factors, None


def _lu_solve(
    context: Context, lu_and_piv: Any, b: Any, trans: int = 0, overwrite_b: Any = None,
    check_finite: Any = None,
) -> Any:  # fmt: skip
    factors = context.tensor(lu_and_piv[0], context.dtype)
    # LAPACK's pivots count from 1 in torch, from 0 in SciPy
    pivots = context.torch.from_numpy(np.asarray(lu_and_piv[1]).astype(np.int32) + 1)
    right = context.tensor(b, context.dtype)
    columns = right.reshape(right.shape[0], -1)
    if trans:
        lower, upper = _triangles(context, factors)
        permutation = _permutation(np.asarray(lu_and_piv[1]))
        solve = context.torch.linalg.solve_triangular
        inner = solve(upper.mT, columns, upper=False)
        inner = solve(lower.mT, inner, upper=True, unitriangular=True)
        result = inner[context.torch.from_numpy(np.argsort(permutation))]
    else:
        result = context.torch.linalg.lu_solve(factors, pivots, columns)
    return result.reshape(right.shape)


def _triangles(context: Context, factors: Any) -> tuple[Any, Any]:
    n = factors.shape[0]
    return factors.tril(-1) + context.torch.eye(n, dtype=factors.dtype), factors.triu()


def _permutation(pivots: Any) -> Any:
    """Return the order of rows that a series of exchanges leaves."""
    order = np.arange(len(pivots))
    for row, other in enumerate(pivots):
        order[[row, other]] = order[[other, row]]
    return order


def _lu(
    context: Context, a: Any, permute_l: bool = False, overwrite_a: Any = None,
    check_finite: Any = None, p_indices: Any = None,
) -> Any:  # fmt: skip
    permutation, lower, upper = context.torch.linalg.lu(context.tensor(a))
    if permute_l:
        return permutation.to(lower.dtype) @ lower, upper
    return None, lower, upper


def _eigvals(context: Context, a: Any) -> Any:
    values = context.torch.linalg.eigvals(context.tensor(a))
    if np.iscomplexobj(context.value):
        return values
    if bool((values.imag != 0).any()):
        raise UnsupportedError("torch finds complex eigenvalues where NumPy finds real ones")
    return values.real.clone()


FUNCTIONS: dict[Any, Rule] = {np.linalg.eigvals: _eigvals}


def scipy_rules() -> dict[Any, Rule]:
    """Return the rules of ``scipy.linalg``; imports it."""
    from scipy import linalg

    return {linalg.lu_factor: _lu_factor, linalg.lu_solve: _lu_solve, linalg.lu: _lu}
