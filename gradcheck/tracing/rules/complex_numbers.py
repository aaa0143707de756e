"""Complex numbers on the way to a real loss.

Most operations on them have the derivative that they have on real numbers. Those that have none
(the modulus, the conjugate, the parts) have rules here; any other operation is not taken for
right because its value is: it has to be named in ``COVERED``.
"""

from __future__ import annotations

import cmath
import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

from gradcheck.tracing.errors import UnsupportedError
from gradcheck.tracing.operation import Context, Rule
from gradcheck.tracing.rules import elementwise, linalg, movement, scalars

COVERED = frozenset(
    "add subtract multiply divide negative positive power square reciprocal exp expm1 log log10 "
    "sqrt sin cos tan sinh cosh tanh abs absolute complex conj conjugate sign real imag vdot norm "
    "matmul dot inner outer tensordot einsum kron trace sum mean prod cumsum diff trapezoid trapz "
    "add.reduce multiply.reduce getitem setitem item reshape ravel flatten transpose T mT "
    "swapaxes moveaxis squeeze expand_dims concatenate stack hstack vstack column_stack array "
    "asarray asanyarray ascontiguousarray copy astype flip roll repeat tile broadcast_to where "
    "diagonal diag take pad linspace solve inv det complex64 complex128 "
    "fft ifft rfft irfft hfft ihfft fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn".split()
)
"""Operations that may be given complex numbers, by name."""

_HAS_DIRECTIONS = np.lib.NumpyVersion(np.__version__) >= "2.0.0"
"""Whether NumPy's sign of a complex number is its direction."""


def refuse_unless_covered(name: str, operands: Iterable[Any]) -> None:
    """Raise for an operation on complex numbers whose derivative is not known to be right.

    Raises:
        UnsupportedError: one of the operands (tensors or arrays) is complex, and the operation is
            not among those that are covered.
    """
    if name not in COVERED and any(_is_complex(operand) for operand in operands):
        raise UnsupportedError("complex numbers are not covered here")


PARTIAL_VIEWS = frozenset({"real", "imag", "eigvals"})
"""Operations whose result may be a view of every other number in an array."""


def own_memory(name: str, value: Any) -> Any:
    """Return a view of parts of complex numbers, as operation ``name`` handed it out, as a copy.

    A write would go through to the complex numbers, and no tensor would know: it is refused, unless
    nobody else holds these.
    """
    base = value.base if isinstance(value, np.ndarray) else None
    if base is None or base.dtype == value.dtype:
        return value
    copy = value.copy(order="K")
    copy.flags.writeable = name == "eigvals"
    return copy


def _is_complex(value: Any) -> bool:
    dtype = value.dtype
    found: bool = dtype.kind == "c" if isinstance(dtype, np.dtype) else dtype.is_complex
    return found


def _or_real(rule: Rule, otherwise: Rule) -> Rule:
    """Return ``rule`` for complex numbers, ``otherwise`` for real ones."""

    @functools.wraps(otherwise)
    def either(context: Context, a: Any, *args: Any, **kwargs: Any) -> Any:
        tensor = context.tensor(a)
        chosen = rule if tensor.is_complex() else otherwise
        return chosen(context, tensor, *args, **kwargs)

    return either


def _modulus(context: Context, z: Any) -> Any:
    """Return the modulus; its derivative at 0 is 0."""
    return z.abs()


def _conjugate(context: Context, z: Any) -> Any:
    return z.conj().resolve_conj()


def _sign(context: Context, a: Any) -> Any:
    """Return the numbers over their moduli; to NumPy 1, the sign of the part that counts first."""
    z = context.tensor(a)
    if not z.is_complex() or _HAS_DIRECTIONS:
        return context.torch.sgn(z)
    real, imaginary = z.real.sign(), z.imag.sign()
    return context.torch.where(real != 0, real, imaginary).to(z.dtype)


def _real(context: Context, z: Any) -> Any:
    return z.real.clone()


def _imaginary(context: Context, z: Any) -> Any:
    return z.imag.resolve_neg().clone()


def _no_imaginary(context: Context, a: Any) -> Any:
    return a * 0.0


def _as_complex(context: Context, real: Any = 0.0, imag: Any = 0.0) -> Any:
    first, second = context.tensor(real, context.dtype), context.tensor(imag, context.dtype)
    return (first + 1j * second).reshape(np.shape(context.value))


def _vdot(context: Context, a: Any, b: Any) -> Any:
    first, second = context.tensor(a, context.dtype), context.tensor(b, context.dtype)
    return (first.conj().flatten() * second.flatten()).sum()


def _norm(
    context: Context, z: Any, ord: Any = None, axis: Any = None, keepdims: bool = False
) -> Any:
    matrix = z.ndim == 2 if axis is None else isinstance(axis, tuple | list)
    if matrix and ord not in (None, "fro"):
        raise UnsupportedError("this norm of complex matrices is not covered")
    return linalg.norm(context, z.abs(), ord, axis, keepdims)


PARTS: dict[str, Rule] = {
    "real": _or_real(_real, movement.copied),
    "imag": _or_real(_imaginary, _no_imaginary),
}
"""The attributes of an array that are its real and its imaginary part."""

UFUNCS: dict[Any, Rule] = {
    np.sign: _sign,
    np.absolute: _or_real(_modulus, elementwise.UFUNCS[np.absolute]),
    np.conjugate: _or_real(_conjugate, elementwise.UFUNCS[np.conjugate]),
}

FUNCTIONS: dict[Any, Rule] = {
    getattr(cmath, name): elementwise.UFUNCS[getattr(np, name)]
    for name in ("exp", "sqrt", "sin", "cos", "sinh", "cosh", "tan", "tanh")
}
FUNCTIONS |= {
    complex: _as_complex,
    np.complex128: _as_complex,
    np.complex64: _as_complex,
    abs: _or_real(_modulus, scalars.FUNCTIONS[abs]),
    np.real: PARTS["real"],
    np.imag: PARTS["imag"],
    np.vdot: _vdot,
    np.linalg.norm: _or_real(_norm, linalg.FUNCTIONS[np.linalg.norm]),
}

METHODS: dict[str, Rule] = {
    "conj": UFUNCS[np.conjugate],
    "conjugate": UFUNCS[np.conjugate],
}
