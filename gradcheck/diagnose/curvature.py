"""The largest curvature of a loss, and whether a step is too long for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.report import Notice


@dataclass(frozen=True)
class Curvature:
    """The largest eigenvalue of the Hessian.

    ``value`` is the Rayleigh quotient of the last iterate, which approaches a positive eigenvalue
    from below; ``converged`` says whether it stood still, within ``n_products`` products.
    """

    value: float
    n_products: int
    converged: bool


def largest_curvature(
    hessian_product: Callable[[Array], Array],
    size: int,
    *,
    seed: int = 0,
    max_products: int = 100,
    rtol: float = 1e-4,
) -> Curvature:
    """Estimate the largest eigenvalue of the Hessian by power iteration.

    Args:
        hessian_product: maps a vector ``v (size,)`` to the Hessian times ``v``, for instance
            ``difference_of_gradients`` or torch's double backward.
        size: number of parameter entries.
        seed: of the random start.
        max_products: at most this many Hessian-vector products.
        rtol: relative change of the Rayleigh quotient below which it has converged.

    Returns:
        The curvature; NaN, not converged, where a product is not finite.
    """
    found = _dominant(hessian_product, size, seed, max_products, rtol)
    if not found.value < 0.0:
        return found
    # The largest magnitude belongs to a negative eigenvalue: look above it.
    shift = found.value
    above = _dominant(
        lambda v: hessian_product(v) - shift * v, size, seed, max_products - found.n_products, rtol
    )
    n_products = found.n_products + above.n_products
    return Curvature(above.value + shift, n_products, found.converged and above.converged)


def _dominant(
    product: Callable[[Array], Array], size: int, seed: int, max_products: int, rtol: float
) -> Curvature:
    """Return the eigenvalue of largest magnitude, by power iteration."""
    vector = np.random.default_rng(seed).standard_normal(size)
    vector /= np.linalg.norm(vector)
    value = np.nan
    for count in range(1, max_products + 1):
        image = np.asarray(product(vector), dtype=np.float64)
        length = float(np.linalg.norm(image))
        if not np.isfinite(length):
            return Curvature(float("nan"), count, converged=False)
        if not length:
            return Curvature(0.0, count, converged=True)
        previous, value = value, float(vector @ image)
        if abs(value - previous) <= rtol * abs(value):
            return Curvature(value, count, converged=True)
        vector = image / length
    return Curvature(value, max(max_products, 0), converged=False)


def difference_of_gradients(
    gradient: Callable[[Array], Array], point: Array, *, step: float | None = None
) -> Callable[[Array], Array]:
    """Return Hessian-vector products as central differences of a gradient at ``point (size,)``.

    The default step is the cube root of the rounding unit, times the scale of the point.
    """
    scale = max(1.0, float(np.max(np.abs(point), initial=0.0)))
    h = float(np.finfo(np.float64).eps ** (1 / 3)) * scale if step is None else step

    def product(vector: Array) -> Array:
        length = float(np.linalg.norm(vector))
        if not length:
            return np.zeros_like(vector)
        along = vector * (h / length)
        forward, backward = gradient(point + along), gradient(point - along)
        return (np.asarray(forward) - np.asarray(backward)) * (length / (2.0 * h))

    return product


def step_too_long(curvature: Curvature, learning_rate: float) -> Notice | None:
    """Return a notice if gradient descent with this step diverges along the largest curvature.

    The quadratic model shrinks along an eigenvector with curvature ``c > 0`` only for steps below
    ``2 / c``. The estimate approaches the largest eigenvalue from below, so that a warning holds
    also where it has not converged.
    """
    if not learning_rate * curvature.value > 2.0:  # also where it is NaN
        return None
    limit = 2.0 / curvature.value
    at_least = "" if curvature.converged else "at least "
    return Notice(
        "step_too_long",
        f"The gradient descent step {learning_rate:g} is longer than {limit:.5g}, which is 2 over "
        f"the largest curvature ({at_least}{curvature.value:.6g}) of the loss here: training "
        "diverges along that direction although the gradient may be right. Take a step below "
        f"{limit:.3g}, or scale the inputs.",
    )
