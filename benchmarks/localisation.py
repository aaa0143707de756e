"""What group testing finds, and in how many evaluations, up to ten million parameters.

    python benchmarks/localisation.py

Prints a table. Evaluations are held against the bound ``40 + 6 s log2(P)`` for ``s`` wrong entries.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.timing import table  # noqa: E402 - run from a checkout
from gradcheck.noise import loss_noise  # noqa: E402
from gradcheck.numpy_target.problem import numpy_problem  # noqa: E402
from gradcheck.sweep.localize import Localisation, localise  # noqa: E402

Gradients = dict[str, np.ndarray]
Damage = Callable[[Gradients], None]


def network(n_inputs: int, n_hidden: int, damage: Damage) -> object:
    """Return the problem of a two-layer network whose gradient is damaged on its way out."""
    draw = np.random.default_rng(0)
    X, Y = draw.normal(size=(16, n_inputs)), draw.normal(size=(16, 10))
    inputs = {
        "W1": draw.normal(size=(n_inputs, n_hidden)) / np.sqrt(n_inputs),
        "b1": 0.1 * draw.normal(size=n_hidden),
        "W2": draw.normal(size=(n_hidden, 10)) / np.sqrt(n_hidden),
        "b2": 0.1 * draw.normal(size=10),
    }

    def loss(W1: np.ndarray, b1: np.ndarray, W2: np.ndarray, b2: np.ndarray) -> object:
        hidden = np.tanh(X @ W1 + b1)
        residual = hidden @ W2 + b2 - Y
        d = residual / len(X)
        dz = (d @ W2.T) * (1 - hidden**2)
        grads = {"W1": X.T @ dz, "b1": dz.sum(0), "W2": hidden.T @ d, "b2": d.sum(0)}
        damage(grads)
        return 0.5 * float(np.sum(residual**2)) / len(X), grads

    return numpy_problem(loss, inputs)


def right(_: Gradients) -> None:
    """No error."""


def one_entry(grads: Gradients) -> None:
    """One entry off by 1%."""
    grads["W1"][3, 5] *= 1.01


def eight_entries(grads: Gradients) -> None:
    """Eight scattered entries of three parameters off by 50%."""
    places = np.random.default_rng(1).choice(grads["W1"].size, 6, replace=False)
    grads["W1"].reshape(-1)[places] *= 1.5
    grads["W2"][2, 3] *= 1.5
    grads["b1"][7] *= 1.5


def row(grads: Gradients) -> None:
    """A whole row doubled."""
    grads["W1"][4] *= 2


def column(grads: Gradients) -> None:
    """A whole column zero."""
    grads["W1"][:, 4] = 0


def parameter(grads: Gradients) -> None:
    """A whole parameter negated."""
    grads["W2"] *= -1


def describe(found: Localisation) -> str:
    """Say what was found in a few words."""
    if found.found_nothing:
        return "nothing wrong"
    if found.blocks:
        return ", ".join(f"{block.kind} of {block.parameter}" for block in found.blocks[:3])
    return f"{len(found.entries)} entries" + ("" if found.agreed else " (search not complete)")


def main() -> None:
    """Measure and print."""
    rows = []
    for n_inputs, n_hidden in ((100, 90), (1000, 1000), (3000, 3320)):
        n = n_inputs * n_hidden + 11 * n_hidden + 10
        wrong = {one_entry: 1, eight_entries: 8, row: n_hidden, column: n_inputs}
        for damage in (right, one_entry, eight_entries, row, column, parameter):
            problem = network(n_inputs, n_hidden, damage)
            generator = np.random.default_rng(0)
            noise = loss_noise(problem, generator)  # type: ignore[arg-type]
            began = time.perf_counter()
            found = localise(problem, noise, generator)  # type: ignore[arg-type]
            seconds = time.perf_counter() - began
            s = {**wrong, right: 0, parameter: 10 * n_hidden}[damage]
            rows.append(
                [
                    f"{n:,}",
                    (damage.__doc__ or "").rstrip("."),
                    describe(found),
                    str(found.evaluations),
                    f"{40 + 6 * s * math.log2(n):,.0f}",
                    f"{2 * n:,}",
                    f"{seconds:.1f} s",
                    f"{found.resolution['W1']:.0e}",
                ]
            )
    head = ("P", "error", "found", "evaluations", "bound", "full sweep", "time", "resolution")
    print(table(head, rows))
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
