"""Norms, decompositions and solutions of linear systems, from NumPy and SciPy."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from gradcheck.tracing.errors import UnsupportedError
from gradcheck.tracing.operation import Context, Rule
from gradcheck.tracing.rules.products import both

_STACKS_VECTORS = np.lib.NumpyVersion(np.__version__) < "2.0.0"


def norm(context: Context, x: Any, ord: Any = None, axis: Any = None,
         keepdims: bool = False) -> Any:  # fmt: skip
    """Vector or matrix norm; where the 2-norm is 0, its derivative is 0."""
    tensor = context.tensor(x, context.dtype)
    linalg = context.torch.linalg
    if axis is None and ord is None:
        result = linalg.vector_norm(tensor)
        return result.reshape(context.value.shape)
    if axis is None:
        axis = 0 if tensor.ndim == 1 else (0, 1)
    if isinstance(axis, tuple | list) and len(axis) == 2:
        kind = "fro" if ord is None else ord
        if kind in (2, -2):  # matrix_norm's own derivative may be nan
            values = linalg.svdvals(tensor.movedim(tuple(axis), (-2, -1)))
            return (values[..., 0] if kind == 2 else values[..., -1]).reshape(context.value.shape)
        return linalg.matrix_norm(tensor, kind, tuple(axis), keepdims)
    return linalg.vector_norm(tensor, 2 if ord is None else ord, axis, keepdims)


def _scipy_norm(context: Context, a: Any, ord: Any = None, axis: Any = None,
                keepdims: bool = False, check_finite: Any = None) -> Any:  # fmt: skip
    return norm(context, a, ord, axis, keepdims)


def _symmetric_part_read(context: Context, tensor: Any, *, lower: bool) -> Any:
    """Return the symmetric matrix that a routine sees which reads only one triangle."""
    strict = tensor.tril(-1) if lower else tensor.triu(1)
    diagonal = context.torch.diag_embed(tensor.diagonal(dim1=-2, dim2=-1))
    return strict + strict.mT + diagonal


def cholesky(context: Context, a: Any, /, *, upper: bool = False) -> Any:
    """Cholesky factor; reads the lower triangle only, and so does its derivative."""
    seen = _symmetric_part_read(context, context.tensor(a, context.dtype), lower=not upper)
    return context.torch.linalg.cholesky(seen, upper=upper)


def _scipy_cholesky(context: Context, a: Any, lower: bool = False, overwrite_a: Any = None,
                    check_finite: Any = None) -> Any:  # fmt: skip
    return cholesky(context, a, upper=not lower)


def _cho_factor(context: Context, a: Any, lower: bool = False, overwrite_a: Any = None,
                check_finite: Any = None) -> Any:  # fmt: skip
    tensor = context.tensor(a)
    seen = _symmetric_part_read(context, tensor, lower=lower)
    factor = context.torch.linalg.cholesky(seen, upper=not lower)
    if _rest_is_zero():
        return factor, None
    other = tensor.triu(1) if lower else tensor.tril(-1)
    return factor + other, None


@functools.cache
def _rest_is_zero() -> bool:
    """Whether this SciPy clears the triangle that holds no factor, or leaves it as it was."""
    from scipy.linalg import cho_factor

    return bool(cho_factor(np.array([[1.0, 0.0], [0.5, 1.0]]))[0][1, 0] == 0)


def _cho_solve(context: Context, c_and_lower: Any, b: Any, overwrite_b: Any = None,
               check_finite: Any = None) -> Any:  # fmt: skip
    factor = context.tensor(c_and_lower[0], context.dtype)
    lower = bool(c_and_lower[1])
    right = context.tensor(b, context.dtype)
    triangle = factor.tril() if lower else factor.triu()
    columns = right.unsqueeze(-1) if right.ndim == 1 else right
    return context.torch.cholesky_solve(columns, triangle, not lower).reshape(right.shape)


def solve(context: Context, a: Any, b: Any) -> Any:
    """Solution of a linear system.

    To NumPy 1, right sides of one axis less than the matrices are a vector for each of them.
    """
    first, second = both(context, a, b)
    return _solved(
        context, first, second, vectors=_STACKS_VECTORS and second.ndim == first.ndim - 1
    )


def _solved(context: Context, first: Any, second: Any, *, vectors: bool = False) -> Any:
    if vectors or second.ndim == 1:
        return context.torch.linalg.solve(first, second.unsqueeze(-1)).squeeze(-1)
    # PyTorch would take one axis less for vectors where the sizes allow it.
    lead = [1] * (first.ndim - second.ndim)
    return context.torch.linalg.solve(first, second.reshape(*lead, *second.shape))


def _scipy_solve(context: Context, a: Any, b: Any, lower: bool = False, overwrite_a: Any = None,
                 overwrite_b: Any = None, check_finite: Any = None, assume_a: Any = None,
                 transposed: bool = False) -> Any:  # fmt: skip
    first = context.tensor(a, context.dtype)
    if assume_a in ("pos", "sym", "positive definite", "symmetric"):
        first = _symmetric_part_read(context, first, lower=lower)
    second = context.tensor(b, context.dtype)
    return _solved(context, first.mT if transposed else first, second)


def _solve_triangular(context: Context, a: Any, b: Any, trans: Any = 0, lower: bool = False,
                      unit_diagonal: bool = False, overwrite_b: Any = None,
                      check_finite: Any = None) -> Any:  # fmt: skip
    first, second = both(context, a, b)
    turned = trans in (1, 2, "T", "C")
    triangle = first.tril() if lower else first.triu()
    columns = second.unsqueeze(-1) if second.ndim == 1 else second
    result = context.torch.linalg.solve_triangular(
        triangle.mT if turned else triangle, columns, upper=lower == turned,
        unitriangular=unit_diagonal,
    )  # fmt: skip
    return result.reshape(second.shape)


def _slogdet(context: Context, a: Any) -> Any:
    sign, logarithm = context.torch.linalg.slogdet(context.tensor(a))
    return sign, logarithm


def _eigh(context: Context, a: Any, UPLO: str = "L") -> Any:
    tensor = context.tensor(a)
    seen = _symmetric_part_read(context, tensor, lower=UPLO.upper() == "L")
    return _oriented(context, *context.torch.linalg.eigh(seen))


def _oriented(context: Context, values: Any, vectors: Any) -> Any:
    """Give each eigenvector the sign that NumPy's has."""
    theirs = context.tensor(context.value[1])
    sign = (theirs * vectors.detach()).sum(-2, keepdim=True).sign()
    return values, vectors * sign


def _eigvalsh(context: Context, a: Any, UPLO: str = "L") -> Any:
    return context.torch.linalg.eigvalsh(
        _symmetric_part_read(context, context.tensor(a, context.dtype), lower=UPLO.upper() == "L")
    )


def _scipy_eigh(context: Context, a: Any, b: Any = None, *, lower: bool = True,
                eigvals_only: bool = False, **others: Any) -> Any:  # fmt: skip
    if b is not None or others.get("subset_by_index") or others.get("subset_by_value"):
        raise UnsupportedError("b and subsets are not covered")
    side = "L" if lower else "U"
    return _eigvalsh(context, a, side) if eigvals_only else _eigh(context, a, side)


def _svd(context: Context, a: Any, full_matrices: bool = True, compute_uv: bool = True,
         hermitian: Any = None) -> Any:  # fmt: skip
    tensor = context.tensor(a)
    if not compute_uv:
        return context.torch.linalg.svdvals(tensor)
    left, values, right = context.torch.linalg.svd(tensor, full_matrices=full_matrices)
    if full_matrices and tensor.shape[-1] != tensor.shape[-2]:
        raise UnsupportedError("full_matrices=True has no derivative; use full_matrices=False")
    sign = (context.tensor(context.value[0]) * left.detach()).sum(-2, keepdim=True).sign()
    return left * sign, values, right * sign.mT


def _qr(context: Context, a: Any, mode: str = "reduced") -> Any:
    if mode != "reduced":
        raise UnsupportedError(f"mode {mode!r} is not covered")
    left, right = context.torch.linalg.qr(context.tensor(a))
    sign = (context.tensor(context.value[0]) * left.detach()).sum(-2, keepdim=True).sign()
    return left * sign, right * sign.mT


def _lstsq(context: Context, a: Any, b: Any, rcond: Any = None) -> Any:
    solution = context.value[0]
    first, second = context.tensor(a), context.tensor(b)
    result = context.torch.linalg.pinv(first) @ second.to(first.dtype)
    return result.reshape(solution.shape), None, None, None


FUNCTIONS: dict[Any, Rule] = {
    np.linalg.norm: norm,
    np.linalg.cholesky: cholesky,
    np.linalg.solve: solve,
    np.linalg.inv: lambda c, a: c.torch.linalg.inv(c.tensor(a, c.dtype)),
    np.linalg.pinv: lambda c, a, **_: c.torch.linalg.pinv(c.tensor(a, c.dtype)),
    np.linalg.det: lambda c, a: c.torch.linalg.det(c.tensor(a, c.dtype)),
    np.linalg.slogdet: _slogdet,
    np.linalg.matrix_power: lambda c, a, n: c.torch.linalg.matrix_power(c.tensor(a, c.dtype), n),
    np.linalg.multi_dot: lambda c, arrays, **_: c.torch.linalg.multi_dot(
        [c.tensor(a, c.dtype) for a in arrays]
    ),
    np.linalg.eigh: _eigh,
    np.linalg.eigvalsh: _eigvalsh,
    np.linalg.svd: _svd,
    np.linalg.qr: _qr,
    np.linalg.lstsq: _lstsq,
}


def scipy_rules() -> dict[Any, Rule]:
    """Return the rules of ``scipy.linalg``; imports it."""
    from scipy import linalg

    return {
        linalg.cholesky: _scipy_cholesky,
        linalg.cho_factor: _cho_factor,
        linalg.cho_solve: _cho_solve,
        linalg.solve: _scipy_solve,
        linalg.solve_triangular: _solve_triangular,
        linalg.inv: lambda c, a, *_, **__: c.torch.linalg.inv(c.tensor(a, c.dtype)),
        linalg.det: lambda c, a, *_, **__: c.torch.linalg.det(c.tensor(a, c.dtype)),
        linalg.norm: _scipy_norm,
        linalg.eigh: _scipy_eigh,
        linalg.eigvalsh: lambda c, a, lower=True, **_: _eigvalsh(c, a, "L" if lower else "U"),
        linalg.expm: lambda c, a: c.torch.linalg.matrix_exp(c.tensor(a, c.dtype)),
    }
