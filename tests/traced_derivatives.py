"""Traced derivatives against central differences of the plain function, and arrays to try."""

import numpy as np

from gradcheck.tracing import trace

A = np.array([[0.3, -1.2, 0.7, 2.1], [1.5, 0.4, -0.6, 0.9], [-0.8, 1.1, 0.2, -1.7]])
B = np.array([[1.3, 0.6, -0.9, 0.5], [-0.4, 2.2, 1.6, -1.1], [0.8, -0.3, 1.9, 0.1]])
POSITIVE = np.abs(A) + 0.5
V = np.array([0.7, -1.4, 0.25, 1.8])
SQUARE = A @ A.T + 2 * np.eye(3)
WEIGHTS = np.random.default_rng(5).normal(size=1000)
# of NumPy 2, and of NumPy 1
trapezoid = getattr(np, "trapezoid", None) or getattr(np, "trapz")  # noqa: B009


def weighted(result):
    """One number from any result, by fixed weights."""
    if isinstance(result, list | tuple):
        total = 0.0
        for k, part in enumerate(result):
            total = total + (k + 1) * weighted(part)
        return total
    flat = np.ravel(result)
    return np.sum(flat * WEIGHTS[: flat.size])


def derivative_errors(function, arrays, step=1e-3):
    """Return the differences between traced and numeric derivative along each entry."""
    plain = float(weighted(function(*arrays)))
    found = trace(function, arrays, {}, {str(i): a for i, a in enumerate(arrays)}, loss_of=weighted)
    assert found.loss == plain
    gradient = found.backward()
    errors = []
    for number, array in enumerate(arrays):
        for index in np.ndindex(array.shape):
            values = {}
            old = array[index]
            for k in (-2, -1, 1, 2):
                array[index] = old + k * step
                values[k] = float(weighted(function(*arrays)))
            array[index] = old
            numeric = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * step)
            scale = max(1.0, abs(numeric))
            errors.append(abs(gradient[str(number)][index] - numeric) / scale)
    return max(errors)


def in_place(function):
    """Make an expression of a function that writes into (a copy of) its argument."""

    def run(a, *others):
        copy = a.copy()
        result = function(copy, *others)
        return copy if result is None else (copy, result)

    return run
