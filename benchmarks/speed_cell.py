"""One checker on one loss, in a process of its own: prints a line of JSON.

    python benchmarks/speed_cell.py CASE CHECKER

The right gradient is timed; then the same checker sees one whose largest entry is wrong by 1%, and
one of which a small entry is wrong by 1e-4 (``speed_cases.spoiled_entry``).
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.speed_cases import CASES, SpeedCase  # noqa: E402 - run from a checkout

Checker = Callable[[SpeedCase], str]


def gradcheck_default(case: SpeedCase) -> str:
    """``gradcheck.check`` as it comes: traced autograd where it traces, else as below."""
    import gradcheck

    return str(gradcheck.check(case, tuple(case.start), list(range(len(case.start)))).verdict)


def gradcheck_numeric(case: SpeedCase) -> str:
    """Without autograd: a full sweep, or group testing where that would take half a minute."""
    import gradcheck

    wrt = list(range(len(case.start)))
    return str(gradcheck.check(case, tuple(case.start), wrt, autograd=False).verdict)


def bare_loop(case: SpeedCase) -> str:
    """Two evaluations an entry and nothing else."""
    x = case.vector
    parts, claimed = case.split(x), case.flat_gradient(x)
    slopes = np.empty(x.size)
    k = 0
    for part in parts:
        flat = part.reshape(-1)
        for i in range(flat.size):
            before = flat[i]
            flat[i] = before + 1e-5
            up = case(*parts)[0]
            flat[i] = before - 1e-5
            slopes[k] = (up - case(*parts)[0]) / 2e-5
            flat[i] = before
            k += 1
    return _by_ratio(claimed, slopes)


def _by_ratio(claimed: np.ndarray, slopes: np.ndarray) -> str:
    """The course notes' rule: largest relative error below 1e-5."""
    size = np.maximum(1e-8, np.abs(claimed) + np.abs(slopes))
    return "pass" if float(np.max(np.abs(claimed - slopes) / size)) < 1e-5 else "fail"


def scipy_check_grad(case: SpeedCase) -> str:
    """Its documentation leaves the threshold to the reader; here 1e-4 of the gradient's norm."""
    from scipy.optimize import check_grad

    error = check_grad(case.flat_loss, case.flat_gradient, case.vector)
    return "pass" if error < 1e-4 * np.linalg.norm(case.flat_gradient(case.vector)) else "fail"


def scipy_approx_derivative(case: SpeedCase) -> str:
    """Central differences of ``scipy.optimize._numdiff``, judged by the course notes' rule."""
    from scipy.optimize._numdiff import approx_derivative

    slopes = approx_derivative(case.flat_loss, case.vector, method="3-point")
    return _by_ratio(case.flat_gradient(case.vector), np.ravel(slopes))


def numdifftools_gradient(case: SpeedCase) -> str:
    """``numdifftools.Gradient`` with its defaults, judged by the course notes' rule."""
    import numdifftools

    slopes = numdifftools.Gradient(case.flat_loss)(case.vector)
    return _by_ratio(case.flat_gradient(case.vector), np.ravel(slopes))


def _torch(case: SpeedCase, *, fast: bool) -> str:
    import torch

    class Wrapped(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *parts: Any) -> Any:
            loss, grads = case(*[part.detach().numpy() for part in parts])
            ctx.grads = [torch.from_numpy(grad) for grad in grads]
            return torch.tensor(loss, dtype=torch.float64)

        @staticmethod
        def backward(ctx: Any, cotangent: Any) -> Any:
            return tuple(cotangent * grad for grad in ctx.grads)

    leaves = tuple(torch.tensor(part).requires_grad_(True) for part in case.start)
    good = torch.autograd.gradcheck(Wrapped.apply, leaves, fast_mode=fast, raise_exception=False)
    return "pass" if good else "fail"


def torch_slow(case: SpeedCase) -> str:
    """``torch.autograd.gradcheck``; the loss as an ``autograd.Function``."""
    return _torch(case, fast=False)


def torch_fast(case: SpeedCase) -> str:
    """The same in fast mode."""
    return _torch(case, fast=True)


def autograd_check_grads(case: SpeedCase) -> str:
    """``autograd.test_util.check_grads``, the loss a primitive with the claimed gradient."""
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    loss = primitive(case.flat_loss)
    defvjp(loss, lambda _, x: lambda cotangent: cotangent * case.flat_gradient(x))
    try:
        check_grads(loss, modes=["rev"], order=1)(case.vector)
    except AssertionError:
        return "fail"
    return "pass"


def jax_check_grads(case: SpeedCase) -> str:
    """``jax.test_util.check_grads`` in float64, the loss a callback with the claimed gradient."""
    import jax
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)
    x = case.vector
    scalar, vector = jax.ShapeDtypeStruct((), x.dtype), jax.ShapeDtypeStruct(x.shape, x.dtype)

    @jax.custom_vjp
    def loss(x: Any) -> Any:
        return jax.pure_callback(lambda v: np.float64(case.flat_loss(np.asarray(v))), scalar, x)

    def backward(x: Any, cotangent: Any) -> Any:
        gradient = jax.pure_callback(lambda v: case.flat_gradient(np.asarray(v)), vector, x)
        return (cotangent * gradient,)

    loss.defvjp(lambda x: (loss(x), x), backward)
    try:
        check_grads(loss, (x,), order=1, modes=["rev"])
    except AssertionError:
        return "fail"
    return "pass"


CHECKERS: dict[str, Checker] = {
    "gradcheck": gradcheck_default,
    "gradcheck, no autograd": gradcheck_numeric,
    "bare loop": bare_loop,
    "scipy check_grad": scipy_check_grad,
    "scipy approx_derivative": scipy_approx_derivative,
    "numdifftools": numdifftools_gradient,
    "torch gradcheck slow": torch_slow,
    "torch gradcheck fast": torch_fast,
    "autograd check_grads": autograd_check_grads,
    "jax check_grads": jax_check_grads,
}


def main(name: str, checker: str) -> None:
    """Run one cell and print it."""
    cases: dict[str, Any] = CASES
    checkers: dict[str, Any] = CHECKERS
    small = "sized_100"
    if name.startswith("torch_"):
        import torch

        from benchmarks.speed_torch import TORCH_CASES, TORCH_CHECKERS

        torch.set_num_threads(1)
        cases, checkers, small = TORCH_CASES, TORCH_CHECKERS, "torch_mlp_100"
    run = checkers[checker]
    warnings.simplefilter("ignore")
    run(cases[small]())  # imports and first calls are not what is timed
    case = cases[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    right = run(case)
    seconds, calls = time.process_time() - began, case.calls
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    found = {"seconds": seconds, "calls": calls, "megabytes": peak / 1024, "right": right}
    print(json.dumps(found), flush=True)
    for wrong in ("large", "small"):
        case.wrong = wrong
        found[wrong] = run(case)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
