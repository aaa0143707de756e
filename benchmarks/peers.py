"""The checkers that people use instead, each with the defaults that its documentation gives.

Every peer sees what its user would hand over: the loss as a function of the parameters, and the
claimed gradient. Nothing is seeded and nothing is upcast for it, as nothing is for gradcheck.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.cases.contract import PowerCase, leaves, parameters


@dataclass(frozen=True)
class Outcome:
    """What a checker said: ``pass``, ``fail``, ``inconclusive`` or ``error``, and at what cost."""

    verdict: str
    evaluations: int
    detail: str = ""
    worst_resolution: float = float("nan")


class Flat:
    """One case as functions of one flat vector, with the loss evaluations counted.

    The data stay the same objects from call to call, as in a user's closure.
    """

    def __init__(self, case: PowerCase) -> None:
        self.case = case
        self.inputs = case.inputs()
        self.paths = list(parameters(self.inputs, case.wrt))
        self.start = [_array(leaf) for leaf in parameters(self.inputs, case.wrt).values()]
        self.evaluations = 0

    @property
    def vector(self) -> np.ndarray:
        """The parameters in one vector of the widest of their types, native byte order."""
        flat = np.concatenate([np.ravel(part) for part in self.start])
        return flat.astype(flat.dtype.newbyteorder("="))

    def call(self, parts: list[np.ndarray]) -> dict[str, Any]:
        """Return the inputs with the parameters replaced by copies of ``parts``."""
        new = {path: np.array(part) for path, part in zip(self.paths, parts, strict=True)}
        return {
            name: _replaced(value, name, new) if name in self.case.wrt else value
            for name, value in self.inputs.items()
        }

    def split(self, x: Any) -> list[np.ndarray]:
        """Return the parts of a flat vector in the parameters' shapes."""
        ends = np.cumsum([part.size for part in self.start])
        pieces = np.split(np.asarray(x), ends[:-1])
        return [piece.reshape(part.shape) for piece, part in zip(pieces, self.start, strict=True)]

    def loss(self, x: Any) -> float:
        """Return the loss at a flat vector."""
        return self.loss_of(self.split(x))

    def loss_of(self, parts: list[np.ndarray]) -> float:
        """Return the loss at the given parameters."""
        self.evaluations += 1
        return self.case.loss_only(**self.call(parts))

    def gradient_of(self, parts: list[np.ndarray]) -> list[np.ndarray]:
        """Return the claimed gradient at the given parameters."""
        found = self.case.grad_only(**self.call(parts))
        return [np.array(found[path], dtype=np.float64) for path in self.paths]

    def gradient(self, x: Any) -> np.ndarray:
        """Return the claimed gradient at a flat vector."""
        return np.concatenate([part.ravel() for part in self.gradient_of(self.split(x))])


def _array(leaf: Any) -> np.ndarray:
    if hasattr(leaf, "detach"):
        return leaf.detach().double().numpy()
    return np.array(leaf)


def _replaced(value: Any, path: str, new: dict[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        kept = dict(leaves(value))
        return {key: _replaced(value[key], f"{path}.{key}", new) for key in kept}
    if hasattr(value, "detach"):
        import torch

        return torch.tensor(new[path]).to(value.dtype).requires_grad_(True)
    return new[path]


def _central(flat: Flat, h: float) -> list[np.ndarray]:
    """Textbook central differences, each entry moved in the parameter's own type."""
    parts = [np.array(part) for part in flat.start]
    slopes = [np.zeros(part.shape) for part in parts]
    for part, slope in zip(parts, slopes, strict=True):
        for index in np.ndindex(part.shape):
            old = part[index].copy()
            part[index] = old + h
            above = flat.loss_of(parts)
            part[index] = old - h
            below = flat.loss_of(parts)
            part[index] = old
            slope[index] = (above - below) / (2 * h)
    return slopes


def _textbook(threshold: float) -> Callable[[PowerCase], Outcome]:
    """Return the course-notes recipe: h = 1e-5, largest relative error below ``threshold``."""

    def run(case: PowerCase) -> Outcome:
        flat = Flat(case)
        claimed = flat.gradient_of(flat.start)
        worst = 0.0
        for a, n in zip(claimed, _central(flat, 1e-5), strict=True):
            error = np.abs(a - n) / np.maximum(1e-8, np.abs(a) + np.abs(n))
            worst = max(worst, float(np.nan_to_num(error, nan=np.inf).max()))
        return Outcome("pass" if worst < threshold else "fail", flat.evaluations, f"{worst:.1e}")

    return run


def _norm_ratio(case: PowerCase) -> Outcome:
    """The online course's recipe: epsilon 1e-4, ratio of norms below 1e-9."""
    flat = Flat(case)
    a = np.concatenate([part.ravel() for part in flat.gradient_of(flat.start)])
    n = np.concatenate([part.ravel() for part in _central(flat, 1e-4)])
    size = np.linalg.norm(a) + np.linalg.norm(n)
    ratio = np.linalg.norm(a - n) / size if size else 0.0
    return Outcome("pass" if ratio < 1e-9 else "fail", flat.evaluations, f"{ratio:.1e}")


def _scipy(case: PowerCase) -> Outcome:
    """SciPy's check_grad; its documentation leaves the threshold to the reader: 1e-6 here."""
    from scipy.optimize import check_grad

    flat = Flat(case)
    error = float(check_grad(flat.loss, flat.gradient, flat.vector))
    return Outcome("pass" if error < 1e-6 else "fail", flat.evaluations, f"{error:.1e}")


def _torch(fast: bool) -> Callable[[PowerCase], Outcome]:
    """Return torch.autograd.gradcheck, slow or fast, in the parameters' own types."""

    def run(case: PowerCase) -> Outcome:
        import torch

        flat = Flat(case)
        function, leaves_ = _torch_function(case, flat)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            good = torch.autograd.gradcheck(
                function, leaves_, fast_mode=fast, raise_exception=False
            )
        return Outcome("pass" if good else "fail", flat.evaluations)

    return run


def _torch_function(case: PowerCase, flat: Flat) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    import torch

    if case.torch_target:

        def plain(*parts: Any) -> Any:
            flat.evaluations += 1
            return case.target(**{**flat.inputs, **dict(zip(case.wrt, parts, strict=True))})

        return plain, tuple(flat.inputs[name].detach().requires_grad_(True) for name in case.wrt)

    class Wrapped(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *parts: Any) -> Any:
            ctx.save_for_backward(*parts)
            loss = flat.loss_of([part.detach().numpy() for part in parts])
            return torch.tensor(loss, dtype=parts[0].dtype)

        @staticmethod
        def backward(ctx: Any, upstream: Any) -> Any:
            parts = [part.detach().numpy() for part in ctx.saved_tensors]
            slopes = flat.gradient_of(parts)
            return tuple(
                upstream * torch.tensor(slope).to(part.dtype)
                for slope, part in zip(slopes, ctx.saved_tensors, strict=True)
            )

    native = [part.astype(part.dtype.newbyteorder("=")) for part in flat.start]
    return Wrapped.apply, tuple(torch.tensor(part).requires_grad_(True) for part in native)


def _autograd(case: PowerCase) -> Outcome:
    """The autograd package's check_grads, the loss made a primitive with the claimed gradient."""
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    flat = Flat(case)
    loss = primitive(flat.loss)
    defvjp(loss, lambda _value, x: lambda upstream: upstream * flat.gradient(x))
    try:
        check_grads(loss, modes=["rev"], order=1)(flat.vector)
    except AssertionError as error:
        return Outcome("fail", flat.evaluations, str(error)[:80])
    return Outcome("pass", flat.evaluations)


def _jax(case: PowerCase) -> Outcome:
    """JAX's check_vjp: the reverse mode of its check_grads, given the claimed gradient directly.

    As a callback inside a custom VJP the loss could wait for ever on a single CPU thread.
    """
    import jax
    from jax.test_util import check_vjp

    jax.config.update("jax_enable_x64", True)
    flat = Flat(case)
    x = flat.vector

    def value(v: Any) -> Any:
        return np.asarray(flat.loss(v), x.dtype)

    def pullback(v: Any) -> tuple[Any, Callable[[Any], tuple[Any]]]:
        slope = flat.gradient(v).astype(x.dtype)
        return value(v), lambda upstream: (np.asarray(upstream) * slope,)

    try:
        check_vjp(value, pullback, (x,))
    except AssertionError as error:
        return Outcome("fail", flat.evaluations, str(error)[:80])
    return Outcome("pass", flat.evaluations)


def _gradcheck(**options: Any) -> Callable[[PowerCase], Outcome]:
    """Return this program, with the given options on top of the case's own."""

    def run(case: PowerCase) -> Outcome:
        import gradcheck

        found = gradcheck.check(
            case.target, case.inputs(), wrt=list(case.wrt), **{**case.options, **options}
        )
        rows = found.parameters.values()
        detail = "; ".join(
            f"{row.name} {row.verdict} max {row.max_relative_error:.1e} res {row.resolution:.1e}"
            for row in rows
            if row.verdict != "pass" or len(rows) == 1
        )
        keys = [f"{d.cause}: {d.message}" for d in found.diagnoses]
        keys += [f"[{warning.key}]" for warning in found.warnings]
        worst = max((row.resolution for row in rows), default=float("nan"))
        text = " | ".join([detail, *keys])
        return Outcome(str(found.verdict), found.evaluations, text, worst)

    return run


PEERS: dict[str, tuple[str, Callable[[PowerCase], Outcome]]] = {
    "gradcheck-central": ("gradcheck", _gradcheck(autograd=False)),
    "gradcheck": ("gradcheck", _gradcheck()),
    "torch-slow": ("torch", _torch(fast=False)),
    "torch-fast": ("torch", _torch(fast=True)),
    "scipy": ("scipy", _scipy),
    "autograd": ("autograd", _autograd),
    "jax": ("jax", _jax),
    "textbook-1e-7": ("numpy", _textbook(1e-7)),
    "textbook-1e-4": ("numpy", _textbook(1e-4)),
    "norm-ratio-1e-9": ("numpy", _norm_ratio),
}
"""Checkers by name: the package that each needs, and how it is run on a case."""


def available() -> list[str]:
    """Return the names of the checkers whose package is installed."""
    return [name for name, (package, _) in PEERS.items() if importlib.util.find_spec(package)]
