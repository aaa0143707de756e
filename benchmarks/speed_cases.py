"""The losses on which checkers are timed: name, parameters, and a function of them.

Each returns the loss and its gradient, a list in the order of the parameters, so that every checker
can be given it in its own form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Arrays = list[np.ndarray]
Wrong = Literal["", "large", "small"]
"""What is wrong: nothing, the largest entry by 1%, or a small one by 1e-4 of itself."""


def spoiled_entry(sizes: np.ndarray, wrong: Wrong) -> tuple[int, float]:
    """Return which entry of a gradient is wrong, and the factor that makes it so.

    The small one is the smallest above a thousandth of the gradient's rms: with 1e-4 the least
    that ``benchmarks/power.py`` calls wrong.
    """
    if wrong == "large":
        return int(np.argmax(sizes)), 1.01
    above = np.where(sizes > 1e-3 * np.sqrt(np.mean(sizes**2)), sizes, np.inf)
    return int(np.argmin(above)), 1.0001


@dataclass
class SpeedCase:
    """One loss; ``wrong`` makes an entry of the first gradient wrong, ``calls`` counts.

    Which entry that is, its first call decides: to look for it takes longer than the loss.
    """

    call: Callable[[Arrays], tuple[float, Arrays]]
    start: Arrays
    wrong: Wrong = ""
    calls: int = 0
    spoiled: dict[str, tuple[int, float]] = field(default_factory=dict, repr=False)

    def __call__(self, *parameters: np.ndarray) -> tuple[float, Arrays]:
        """Return loss and gradient."""
        self.calls += 1
        loss, grads = self.call(list(parameters))
        if self.wrong:
            flat = grads[0].reshape(-1)
            if self.wrong not in self.spoiled:
                self.spoiled[self.wrong] = spoiled_entry(np.abs(flat), self.wrong)
            entry, factor = self.spoiled[self.wrong]
            flat[entry] *= factor
        return float(loss), grads

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(part.size for part in self.start)

    def split(self, x: np.ndarray) -> Arrays:
        """Return the parts of a flat vector in the parameters' shapes."""
        ends = np.cumsum([part.size for part in self.start])[:-1]
        pieces = np.split(np.asarray(x, dtype=np.float64), ends)
        return [p.reshape(s.shape) for p, s in zip(pieces, self.start, strict=True)]

    def flat_loss(self, x: np.ndarray) -> float:
        """Return the loss at a flat vector."""
        return self(*self.split(x))[0]

    def flat_gradient(self, x: np.ndarray) -> np.ndarray:
        """Return the gradient at a flat vector."""
        return np.concatenate([part.ravel() for part in self(*self.split(x))[1]])

    @property
    def vector(self) -> np.ndarray:
        """The parameters in one vector."""
        return np.concatenate([part.ravel() for part in self.start])


def two_layer_net() -> SpeedCase:
    """ReLU and softmax, 90-99-10."""
    from reference_models.two_layer_net import unscaled

    draw = np.random.default_rng(0)
    X, y = draw.normal(size=(20, 90)), draw.integers(10, size=20)
    shapes = ((90, 99), (99,), (99, 10), (10,))
    start = [0.3 * draw.normal(size=shape) for shape in shapes]

    def call(parts: Arrays) -> tuple[float, Arrays]:
        loss, grads = unscaled(*parts, X, y, 0.1)
        return loss, [grads[name] for name in ("W1", "b1", "W2", "b2")]

    return SpeedCase(call, start)


def sigmoid_net() -> SpeedCase:
    """Sigmoid layers 400-25-10 with one pass of a Python loop for each of five examples."""
    from reference_models.sigmoid_net import corrected_loop, initial_theta

    draw = np.random.default_rng(0)
    X, y = draw.random((5, 400)), draw.integers(10, size=5)
    start = initial_theta((400, 25, 10), draw)
    return SpeedCase(lambda parts: corrected_loop(parts, X, y, 1.0), start)


def random_relu_regression() -> SpeedCase:
    """ReLU regression 1000-100-10 on random numbers."""
    from reference_models.random_relu_regression import published, published_point

    point = published_point()

    def call(parts: Arrays) -> tuple[float, Arrays]:
        loss, grads = published(point["x"], point["y"], *parts)
        return loss, [grads["w1"], grads["w2"]]

    return SpeedCase(call, [point["w1"], point["w2"]])


def ten_million() -> SpeedCase:
    """A separable quartic of ten million parameters."""
    x = np.linspace(0.5, 1.5, 10_000_000)

    def call(parts: Arrays) -> tuple[float, Arrays]:
        square = parts[0] * parts[0]
        return float(square @ square) / 4, [square * parts[0]]

    return SpeedCase(call, [x])


def sized(n: int) -> SpeedCase:
    """Two tanh layers with about ``n`` parameters in all."""
    width = max(2, round(np.sqrt(n)))
    draw = np.random.default_rng(0)
    X = draw.normal(size=(4, width)) / np.sqrt(width)
    W, v = draw.normal(size=(width, width)), draw.normal(size=width)

    def call(parts: Arrays) -> tuple[float, Arrays]:
        W, v = parts
        hidden = np.tanh(X @ W)
        out = hidden @ v
        d = np.outer(2 * out, v) * (1 - hidden**2)
        return float(out @ out), [X.T @ d, hidden.T @ (2 * out)]

    return SpeedCase(call, [W, v])


CASES: dict[str, Callable[[], SpeedCase]] = {
    "two_layer_net": two_layer_net,
    "sigmoid_net": sigmoid_net,
    "random_relu_regression": random_relu_regression,
    "ten_million": ten_million,
    **{f"sized_{n}": (lambda n=n: sized(n)) for n in (10**k for k in range(2, 8))},
}
