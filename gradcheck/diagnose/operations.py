"""What is known of the recorded operations by their NumPy name."""

from __future__ import annotations

import numpy as np

from gradcheck.tracing.contract import Operation

MASKING = {
    "maximum": "1 where its input is above the bound, 0 elsewhere",
    "minimum": "1 where its input is below the bound, 0 elsewhere",
    "fmax": "1 where its input is above the bound, 0 elsewhere",
    "fmin": "1 where its input is below the bound, 0 elsewhere",
    "clip": "1 inside the bounds, 0 outside",
    "where": "the condition's mask",
    "absolute": "the sign of its input",
    "abs": "the sign of its input",
    "fabs": "the sign of its input",
    "assemble": "0 where a constant was written over the value, 1 elsewhere",
    "setitem": "0 where a constant was written over the value, 1 elsewhere",
    "putmask": "0 where a constant was written over the value, 1 elsewhere",
    "place": "0 where a constant was written over the value, 1 elsewhere",
    "copyto": "0 where a constant was written over the value, 1 elsewhere",
}
"""Elementwise operations whose derivative is a mask, with the mask in words."""

CURVED = {
    "tanh": "1 - tanh(z)**2",
    "expit": "y * (1 - y) with y = expit(z)",
    "sigmoid": "y * (1 - y) with y = sigmoid(z)",
    "exp": "exp(z)",
    "exp2": "log(2) * exp2(z)",
    "expm1": "exp(z)",
    "log": "1 / z",
    "log1p": "1 / (1 + z)",
    "log2": "1 / (z log(2))",
    "log10": "1 / (z log(10))",
    "sqrt": "1 / (2 sqrt(z))",
    "cbrt": "cbrt(z) / (3 z)",
    "square": "2 z",
    "power": "p z**(p - 1)",
    "float_power": "p z**(p - 1)",
    "reciprocal": "-1 / z**2",
    "sin": "cos(z)",
    "cos": "-sin(z)",
    "tan": "1 + tan(z)**2",
    "sinh": "cosh(z)",
    "cosh": "sinh(z)",
    "arctan": "1 / (1 + z**2)",
    "arcsin": "1 / sqrt(1 - z**2)",
    "arccos": "-1 / sqrt(1 - z**2)",
    "arctanh": "1 / (1 - z**2)",
    "erf": "2 / sqrt(pi) * exp(-z**2)",
    "gammaln": "digamma(z)",
    "log_expit": "expit(-z)",
    "logaddexp": "exp(z) / (exp(z) + exp(other))",
}
"""Elementwise operations with a smooth derivative, and that derivative in words."""

PRODUCTS = frozenset({"multiply", "divide", "true_divide"})
MATRIX_PRODUCTS = frozenset({"matmul", "dot", "inner", "outer", "einsum", "tensordot", "vdot"})
LINEAR = frozenset({"add", "subtract", "negative", "positive", "multiply", "divide", "true_divide"})
"""What may stand between the parts of an activation such as 1 / (1 + exp(-z))."""

MEANS = frozenset({"mean", "average", "nanmean"})
WRITES = frozenset({"assemble", "setitem", "putmask", "place", "copyto"})
"""Operations that write into an array; the first operand is what the array held before."""

SELECTIONS = frozenset({"getitem", "take", "take_along_axis", "setitem", "choose", "compress"})
EXTREMES = frozenset({"max", "amax", "min", "amin"})
"""Reductions whose derivative is a mask: 1 at the entry that they take, 0 at all others."""

STATISTICS = frozenset(
    {"mean", "var", "std", "max", "amax", "min", "amin", "sum", "norm", "logsumexp", "sqrt"}
    | {"softmax", "log_softmax", "median", "prod", "average", "logaddexp", "reduce"}
)
"""Operations whose result is often taken for a constant by mistake."""


def is_elementwise(operation: Operation, *, varies: bool = False) -> bool:
    """Say whether the operation has a derivative that could be forgotten, entry by entry.

    A constant number as a factor is a matter of scale, unless it varies from run to run of a loop.
    """
    if operation.name in MASKING or operation.name in CURVED:
        return True
    return operation.name in PRODUCTS and (varies or not _by_scalar(operation))


def own_factor(operation: Operation) -> float | None:
    """Return the constant number that an operation multiplies by, if it does that."""
    if operation.name not in ("multiply", "divide"):
        return None
    for place, (kind, what) in enumerate(operation.inputs):
        number = _number(str(what)) if kind == "constant" else None
        if number is not None and operation.name == "multiply":
            return number
        if number and place == 1:
            return 1.0 / number
    return None


def _number(text: str) -> float | None:
    """Read a number as ``repr`` writes it, also NumPy's."""
    try:
        return float(text.removeprefix("np.float64(").rstrip(")"))
    except ValueError:
        return None


def derivative_in_words(operation: Operation) -> str:
    """Return what the gradient has to be multiplied by in this operation's backward pass."""
    if operation.name in MASKING:
        return MASKING[operation.name]
    if operation.name in CURVED:
        return CURVED[operation.name]
    if operation.name == "multiply":
        return "the other factor"
    return "1 over the divisor"


def _by_scalar(operation: Operation) -> bool:
    """Say whether one factor is a constant number: a constant factor, not a forgotten one."""
    sizes = [int(np.prod(shape)) for shape in operation.input_shapes]
    kinds = [kind for kind, _ in operation.inputs]
    return any(kind == "constant" and size == 1 for kind, size in zip(kinds, sizes, strict=True))
