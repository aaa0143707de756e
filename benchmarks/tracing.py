"""What autograd of traced NumPy code costs, in evaluations of the target's loss and gradient.

    python benchmarks/tracing.py

Prints a table of ratios; exits with status 1 if one exceeds its bound. PyTorch is imported before
the clock starts; the first trace, which compiles the target anew, is counted by itself. Processor
time counts, of the fastest of several runs: what else the machine does only ever slows a run down.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import gradcheck
from gradcheck.tracing import Alteration, trace
from gradcheck.tracing.registry import registry
from reference_models import random_relu_regression as model

EVALUATIONS = 60
COSTS = 200.0
ALTERED_SECONDS = 0.5


def fastest(function: Callable[[], Any], rounds: int) -> float:
    """Return the shortest of ``rounds`` processor times, in seconds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return best


def inputs() -> dict[str, Any]:
    """Return the inputs of the model with 101,000 parameters."""
    case = next(c for c in model.CASES if c.name.endswith(".published"))
    found: dict[str, Any] = case.inputs() if callable(case.inputs) else case.inputs
    return found


def chain(w: np.ndarray) -> Any:
    """A loss of 49 operations, in a loop."""
    for _ in range(16):
        w = np.tanh(w) * 1.1 + 0.1
    return np.sum(w)


def main() -> int:
    """Measure, print and judge."""
    import torch  # noqa: F401  (what follows is measured without its import)

    registry()
    given = inputs()
    weights = {"w1": given["w1"], "w2": given["w2"]}

    def traced() -> Any:
        return trace(model.published, (), given, weights, loss_of=lambda result: result[0])

    first = fastest(traced, 1)
    unit = fastest(lambda: model.published(**given), 30)
    once = fastest(traced, 10)
    found = traced()
    back = fastest(found.backward, 30)
    checks: list[Any] = []
    whole = fastest(
        lambda: checks.append(gradcheck.check(model.published, given, wrt=["w1", "w2"])), 3
    )
    check = checks[-1]
    w = np.ones((10, 10))
    altered = trace(chain, (w,), {}, {"w": w})
    count = len(altered.operations)

    def alter() -> None:
        for k in range(200):
            altered.backward({k % count: Alteration("constant")})

    alterations = fastest(alter, 3)
    print("random_relu_regression, 101,000 parameters; unit: one evaluation of loss and gradient")
    print(f"  first trace, compiling the target  {first / unit:8.1f}")
    print(f"  trace                              {once / unit:8.1f}")
    print(f"  backward pass                      {back / unit:8.1f}")
    print(f"  whole check                        {whole / unit:8.1f}   (bound {COSTS:.0f})")
    print(f"  evaluations in the check           {check.evaluations:8d}   (bound {EVALUATIONS})")
    print(f"  oracles: {', '.join(check.oracles)}; verdict: {check.verdict}")
    print(f"200 altered backward passes over {count} operations: {alterations:.3f} s "
          f"(bound {ALTERED_SECONDS} s)")  # fmt: skip
    good = (
        whole / unit <= COSTS
        and check.evaluations <= EVALUATIONS
        and alterations <= ALTERED_SECONDS
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
