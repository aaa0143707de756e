"""Products, norms, factors and solutions of linear systems, with each of their conventions.

Each traced gradient is held against central differences of the plain function.
"""

import numpy as np
import pytest
import scipy.linalg
from conventional_arrays import A, C, S, U, V, generator, stack, symmetric
from traced_derivatives import derivative_errors

TRACED = {
    "dot products": (
        lambda c, d, v: (
            *(np.dot(c, v), np.dot(c, d), c.dot(3.0), np.dot(v[0], c), np.dot(c[0], d[0])),
            *(np.inner(c, v), np.inner(c, c[0]), np.inner(c, 2.0), np.inner(v[1], v)),
            *(np.vdot(c[0], c[1]), np.outer(c[0], v), np.outer(v, [1.0, 2.0])),
        ),
        C,
        generator.normal(size=(2, 4, 2)).round(3),
        V,
    ),
    "contractions": (
        lambda c, d: (
            *(
                np.tensordot(c, d),
                np.tensordot(c, d.swapaxes(0, 1), 1),
                np.tensordot(c, d, 0)[0, 1, 2],
            ),
            *(np.tensordot(c, d, ([1, 2], [0, 1])), np.tensordot(c, d, axes=(1, 0))),
            np.tensordot(c, d, axes=([2], 1)),
        ),
        C,
        generator.normal(size=(3, 4, 2)).round(3),
    ),
    "sums over letters": (
        lambda c, v: (
            *(
                np.einsum("ijk, k -> ij", c, v),
                np.einsum("ijk->kji", c),
                np.einsum("ijj", c[:, :, :3]),
            ),
            *(np.einsum("i,i", v, v), np.einsum("...k,k", c, v), np.einsum(c, [0, 1, 2], [2, 0])),
            np.einsum(c, [Ellipsis, 3], v, [3], [Ellipsis]),
            np.einsum(v, [25], v, [24], [24, 25]),
        ),
        C,
        V,
    ),
    "crossed": (
        lambda a, d: (
            *(np.cross(a.T, a.T[::-1] ** 2), np.cross(a, a**2, axis=0)),
            np.cross(a.T, a[:, 1] ** 2),
        ),
        A,
        U,
    ),
    "norms of vectors": (
        lambda v, c: (
            *(
                np.linalg.norm(v),
                np.linalg.norm(v, 3),
                np.linalg.norm(v, -np.inf),
                np.linalg.norm(c),
            ),
            *(
                np.linalg.norm(c, axis=1),
                np.linalg.norm(c, 1, 2),
                np.linalg.norm(c, axis=-1, keepdims=True),
            ),
            *(np.linalg.norm(v, keepdims=True), np.linalg.norm(v, 2, keepdims=True)),
            np.linalg.norm(c, 4, axis=(1,)),
        ),
        V,
        C,
    ),
    "norms of matrices": (
        lambda a, c: (
            *(np.linalg.norm(a, o) for o in ("fro", "nuc", 1, -1, np.inf, -np.inf, 2)),
            *(np.linalg.norm(c, axis=(0, 1)), np.linalg.norm(c, 1, axis=(2, 0))),
            *(np.linalg.norm(c, "fro", (1, 2), keepdims=True), np.linalg.norm(a, 2, keepdims=True)),
            np.linalg.norm(a, np.inf, keepdims=True),
            scipy.linalg.norm(a, 1, keepdims=True),
        ),
        A,
        C,
    ),
    "factors of one triangle": (
        lambda s: (
            *(np.linalg.cholesky(s), np.linalg.cholesky(stack(s) + 9 * np.eye(3))),
            *(
                scipy.linalg.cholesky(s),
                scipy.linalg.cholesky(s, True),
                scipy.linalg.cholesky(s, lower=False),
            ),
        ),
        S + 2 * np.eye(3),
    ),
    "solved by a factor": (
        lambda s, a: (
            scipy.linalg.cho_solve((np.tril(s), True), a),
            scipy.linalg.cho_solve((s, True), a[:, 0]),
            scipy.linalg.cho_solve((np.triu(s), False), a[:, 1]),
            scipy.linalg.cho_solve((s, False), a),
            np.triu(scipy.linalg.cho_factor(s)[0]),
            np.tril(scipy.linalg.cho_factor(s, lower=True)[0]),
        ),
        S + 2 * np.eye(3),
        A,
    ),
    "triangular": (
        lambda s, a: (
            *(
                scipy.linalg.solve_triangular(s, a),
                scipy.linalg.solve_triangular(s, a[:, 0], 0, True),
            ),
            *(scipy.linalg.solve_triangular(s, a, trans=t) for t in (1, 2, "T", "C", "N")),
            *(scipy.linalg.solve_triangular(s, a, t, lower=True) for t in (0, 1, "T")),
            scipy.linalg.solve_triangular(s / 4, a, unit_diagonal=True),
            scipy.linalg.solve_triangular(s / 4, a[:, 2], 1, True, True),
        ),
        S,
        A,
    ),
    "systems": (
        lambda s, a: (
            *(
                np.linalg.solve(s, a),
                np.linalg.solve(s, a[:, 0]),
                np.linalg.solve(stack(s), a[None]),
            ),
            *(scipy.linalg.solve(s, a), scipy.linalg.solve(s, a[:, 1], transposed=True)),
            *(scipy.linalg.solve(symmetric(s) + s, a, assume_a=k) for k in ("sym", "pos")),
            scipy.linalg.solve(symmetric(s) + s, a, lower=True, assume_a="pos"),
            scipy.linalg.solve(s, a, lower=True),
        ),
        S,
        A,
    ),
    "stacks of systems": (
        lambda s: (
            np.linalg.solve(stack(s), s),
            np.linalg.solve(stack(s), s[:, :1]),
            np.linalg.solve(s, stack(s)),
            np.linalg.solve(stack(s)[:, None], np.stack([s[:, :2], s[:, 1:]])),
        ),
        S,
    ),
    "systems by their long names": (
        lambda s, a: (
            scipy.linalg.solve(symmetric(s) + s, a, assume_a="symmetric"),
            scipy.linalg.solve(symmetric(s) + s, a, lower=True, assume_a="positive definite"),
        ),
        S,
        A,
    ),
    "determinants and inverses": (
        lambda s: (
            *(np.linalg.det(stack(s)), np.linalg.inv(stack(s)), np.linalg.slogdet(stack(s))),
            *(
                np.linalg.matrix_power(s / 3, 3),
                np.linalg.matrix_power(s, -2),
                np.linalg.pinv(s[:2]),
            ),
            *(np.linalg.multi_dot([s, s.T, s[0]]), scipy.linalg.det(s), scipy.linalg.inv(s)),
            scipy.linalg.expm(s / 6),
        ),
        S,
    ),
    "spectra": (
        lambda s: (
            *(np.linalg.eigvalsh(symmetric(s) + s), np.linalg.eigvalsh(symmetric(s) + s, "U")),
            *(np.linalg.eigh(symmetric(s) + s), np.linalg.eigh(symmetric(s) + s, UPLO="U")),
            scipy.linalg.eigvalsh(symmetric(s) + s),
            scipy.linalg.eigvalsh(symmetric(s) + s, lower=False),
            scipy.linalg.eigh(symmetric(s) + s, eigvals_only=True),
            scipy.linalg.eigh(symmetric(s) + s, lower=False)[0],
            [part**2 for part in scipy.linalg.eigh(symmetric(s) + s, lower=False)],
        ),
        S / 4,
    ),
    "singular values": (
        lambda a: (
            *(np.linalg.svd(a, False), np.linalg.svd(a, compute_uv=False)),
            np.linalg.svd(a.T, full_matrices=False)[2],
            np.linalg.svd(a[:, :3]),
            np.linalg.qr(a.T),
            np.linalg.qr(a[:, :3]).R,
            np.linalg.qr(np.stack([a.T, 2 * a.T + 1])).Q,
        ),
        A,
    ),
    "least squares": (
        lambda a, v: (
            np.linalg.lstsq(a.T, v, rcond=None)[0],
            np.linalg.lstsq(a.T, np.stack([v, v**2], axis=1), rcond=None)[0],
        ),
        A,
        V,
    ),
    "least squares to machine precision": (lambda a, v: np.linalg.lstsq(a.T, v)[0], A, V),
    "LU": (
        lambda s, a: (
            scipy.linalg.lu_solve(scipy.linalg.lu_factor(s[[2, 0, 1]]), a),
            scipy.linalg.lu_solve(scipy.linalg.lu_factor(s[[2, 0, 1]]), a[:, 0], 1),
            scipy.linalg.lu_solve(scipy.linalg.lu_factor(s[[1, 2, 0]]), a, trans=2),
            scipy.linalg.lu(s[[1, 2, 0]], permute_l=True)[0],
            scipy.linalg.lu(s[[1, 2, 0]], p_indices=True)[1:],
        ),
        S,
        A,
    ),
}


NEEDS = {
    "least squares to machine precision": "numpy 2.1",
    "stacks of systems": "numpy 2.1",
    "systems by their long names": "scipy 1.15",
}
"""Cases with functions, options or meanings that older versions do not have."""


@pytest.mark.parametrize("name", TRACED)
def test_each_convention_is_numpys(name):
    if name in NEEDS:
        pytest.importorskip(*NEEDS[name].split())
    function, *arrays = TRACED[name]
    assert derivative_errors(function, [array.copy() for array in arrays]) < 5e-7
