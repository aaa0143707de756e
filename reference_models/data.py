"""The data that several model families learn from: the spiral and the handwritten digits.

Everything is made here or bundled with scikit-learn; nothing is downloaded. Each function returns
``(X, y)``: the examples in the rows of ``X`` and their classes ``0 .. K-1`` in ``y``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.integer]


def spiral(
    generator: np.random.RandomState | None = None, *, n_per_class: int = 100, n_classes: int = 3
) -> tuple[Floats, Labels]:
    """Return interleaved spiral arms: ``X (n_per_class * n_classes, 2)`` and ``y`` as uint8.

    The first point of each arm is exactly ``(0, 0)``. ``generator`` is NumPy's legacy generator,
    because the published training traces go on drawing from it; without one, seed 0 is used.
    """
    generator = np.random.RandomState(0) if generator is None else generator
    radius = np.linspace(0, 1, n_per_class)
    arms = []
    for label in range(n_classes):
        sweep = np.linspace(4 * label, 4 * (label + 1), n_per_class)
        angle = sweep + 0.2 * generator.randn(n_per_class)
        arms.append(np.column_stack([radius * np.sin(angle), radius * np.cos(angle)]))
    labels = np.repeat(np.arange(n_classes, dtype=np.uint8), n_per_class)
    return np.concatenate(arms), labels


def digits() -> tuple[Floats, Labels]:
    """Return the 1797 handwritten digits of scikit-learn: ``X (1797, 64)`` in [0, 1], ``y``.

    The grey levels 0..16 of the 8x8 images are divided by 16.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return pixels / 16.0, labels


def digits_784() -> tuple[Floats, Labels]:
    """Return the same digits enlarged linearly to 28x28: ``X (1797, 784)`` and ``y``."""
    from scipy.ndimage import zoom

    pixels, labels = digits()
    images = pixels.reshape(-1, 8, 8)
    enlarged = zoom(images, (1, 3.5, 3.5), order=1)
    return enlarged.reshape(len(images), 784), labels
