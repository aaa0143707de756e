"""What a case of the power study is, and how it is held to its label.

A case is one target with one claimed gradient, labelled right or wrong. The label is checked
against a truth that never comes from the program under study: PyTorch autograd of a separately
written twin in float64, mpmath at sixty digits, or a closed form. At a kink the truth is the
interval between the one-sided derivatives.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Bounds = Mapping[str, tuple[np.ndarray, np.ndarray]]
Target = Callable[..., Any]
Inputs = Callable[[], dict[str, Any]]

WRONG_BY = {"float64": 1e-4, "float32": 1e-2, "float16": 0.2, "bfloat16": 0.2}
"""A wrong gradient is off by at least this, relatively, in some entry that counts."""
DRAWS = 400
"""Gradients averaged to judge the label of a case that stays random."""
COUNTS_FROM = 1e-3
"""An entry counts from this fraction of its parameter's rms gradient."""
RIGHT_WITHIN = {
    "float64": (1e-8, 1e-9),
    "float32": (2e-4, 2e-5),
    "float16": (3e-2, 1e-2),
    "bfloat16": (8e-2, 3e-2),
}
"""A right gradient is within ``first * |truth| + second * rms(truth)`` everywhere."""


@dataclass(frozen=True)
class Truth:
    """The gradient by independent means: lower and upper bounds by path, and the twin's loss."""

    bounds: Bounds
    loss: float | None = None


@dataclass(frozen=True)
class PowerCase:
    """One target with one claimed gradient.

    Args:
        name: unique, such as ``"logistic/sign[w]"``.
        category: the row of the table by category.
        target: ``target(**inputs) -> (loss, grads)`` in NumPy, or a torch function returning the
            loss, whose backward pass is then on trial.
        inputs: makes fresh inputs; always the same ones.
        wrt: names of the parameters among the inputs.
        right: whether the claimed gradient is right.
        truth: the gradient by independent means.
        dtype: the arithmetic that decides how small an error counts as wrong.
        smooth: whether the loss is smooth near the point.
        stochastic: whether the loss stays random under a fixed global seed.
        beyond_arithmetic: whether the loss is known too coarsely to tell right from wrong here;
            then ``inconclusive`` is the only honest answer, and the case is tallied apart.
        torch_target: whether ``target`` is a torch function.
        options: further options of the check; normally none.
        floor: absolute error allowed to a right gradient (a true zero has no scale).
        note: what makes the case awkward.
    """

    name: str
    category: str
    target: Target
    inputs: Inputs
    wrt: tuple[str, ...]
    right: bool
    truth: Callable[[dict[str, Any]], Truth]
    dtype: str = "float64"
    smooth: bool = True
    stochastic: bool = False
    beyond_arithmetic: bool = False
    torch_target: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    floor: float = 0.0
    note: str = ""

    def loss_only(self, **inputs: Any) -> float:
        """Return the loss alone, as a Python float."""
        if self.torch_target:
            return float(self.target(**inputs).detach())
        return float(self.target(**inputs)[0])

    def grad_only(self, **inputs: Any) -> dict[str, np.ndarray]:
        """Return the claimed gradient by path, as NumPy arrays."""
        if self.torch_target:
            return torch_gradient(self.target, inputs, self.wrt)
        claimed = self.target(**inputs)[1]
        if len(self.wrt) == 1 and isinstance(inputs[self.wrt[0]], dict):
            claimed = {self.wrt[0]: claimed}
        keep = set(parameters(inputs, self.wrt))
        return {path: leaf for path, leaf in leaves(claimed) if path in keep}


def leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ``(path, array)`` of a tree of dicts; keys that start with ``_`` are caches."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if not str(key).startswith("_"):
                yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, tree


def parameters(inputs: Mapping[str, Any], wrt: tuple[str, ...]) -> dict[str, Any]:
    """Return the parameter arrays among ``inputs`` by path."""
    return dict(leaves({name: inputs[name] for name in wrt}))


def torch_gradient(
    target: Target, inputs: Mapping[str, Any], wrt: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Return what torch's backward pass of ``target`` claims, as float64 arrays."""
    import torch

    call = {
        name: value.detach().clone().requires_grad_(name in wrt)
        if isinstance(value, torch.Tensor)
        else value
        for name, value in inputs.items()
    }
    wanted = [call[name] for name in wrt]
    found = torch.autograd.grad(target(**call), wanted, allow_unused=True)
    return {
        name: np.zeros(tuple(leaf.shape)) if slope is None else slope.double().numpy()
        for name, leaf, slope in zip(wrt, wanted, found, strict=True)
    }


def by_autograd(
    twin: Callable[..., Any], wrt: tuple[str, ...]
) -> Callable[[dict[str, Any]], Truth]:
    """Return the truth by PyTorch autograd, in float64, of a separately written twin."""

    def truth(inputs: dict[str, Any]) -> Truth:
        import torch

        def tensor(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: tensor(item) for key, item in value.items()}
            if isinstance(value, torch.Tensor):
                return value.detach().double() if value.is_floating_point() else value
            array = np.asarray(value)
            if array.dtype.kind == "f":
                return torch.tensor(array.astype(np.float64))
            if array.dtype.kind in "iu":
                return torch.tensor(array.astype(np.int64)) if array.ndim else value
            return value

        call = {name: tensor(value) for name, value in inputs.items()}
        found = parameters(call, wrt)
        for leaf in found.values():
            leaf.requires_grad_(True)
        loss = twin(**call)
        slopes = torch.autograd.grad(loss, list(found.values()), allow_unused=True)
        bounds = {}
        for (path, leaf), slope in zip(found.items(), slopes, strict=True):
            exact = (torch.zeros_like(leaf) if slope is None else slope).numpy()
            bounds[path] = (exact, exact)
        return Truth(bounds, float(loss.detach()))

    return truth


def exactly(gradient: Callable[..., Mapping[str, Any]]) -> Callable[[dict[str, Any]], Truth]:
    """Return the truth from a closed form: ``gradient(**inputs) -> {path: array}``."""

    def truth(inputs: dict[str, Any]) -> Truth:
        found = {path: np.asarray(g, np.float64) for path, g in gradient(**inputs).items()}
        return Truth({path: (exact, exact) for path, exact in found.items()})

    return truth


def between(bounds: Callable[..., Mapping[str, Any]]) -> Callable[[dict[str, Any]], Truth]:
    """Return the truth as intervals: ``bounds(**inputs) -> {path: (one side, other side)}``."""

    def truth(inputs: dict[str, Any]) -> Truth:
        found = {}
        for path, (one, other) in bounds(**inputs).items():
            one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
            found[path] = (np.minimum(one, other), np.maximum(one, other))
        return Truth(found)

    return truth


def fresh(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a deep copy that keeps memory order and flags out of the way of the target."""
    return {name: copy.deepcopy(value) for name, value in inputs.items()}


@dataclass(frozen=True)
class Deviation:
    """How far a claimed gradient is from the truth.

    ``relative`` is the largest relative error over the entries that count; ``excess`` the largest
    ratio of an entry's error to what a right gradient is allowed.
    """

    relative: float
    excess: float
    loss_error: float


def deviation(case: PowerCase, seed: int = 7) -> Deviation:
    """Measure a case's claimed gradient against its truth, at the case's own inputs."""
    seed_generators(case, seed)
    draws = [case.grad_only(**case.inputs()) for _ in range(DRAWS if case.stochastic else 1)]
    claimed = {path: np.mean([d[path] for d in draws], axis=0) for path in draws[0]}
    spread = {path: np.std([d[path] for d in draws], axis=0) for path in draws[0]}
    seed_generators(case, seed)
    truth = case.truth(case.inputs())
    if set(claimed) != set(truth.bounds):
        raise AssertionError(f"{case.name}: {sorted(claimed)} against {sorted(truth.bounds)}")
    relative, excess = 0.0, 0.0
    first, second = RIGHT_WITHIN[case.dtype]
    for path, (low, high) in truth.bounds.items():
        slope = np.asarray(claimed[path], np.float64)
        if slope.shape != low.shape:
            raise AssertionError(f"{case.name}: {path} has shape {slope.shape}, not {low.shape}")
        nearest = np.clip(slope, low, high)
        error = np.abs(slope - nearest)
        typical = np.sqrt(np.mean(nearest**2))
        scale = np.maximum(np.abs(slope), np.abs(nearest))
        counted = (scale > COUNTS_FROM * typical) & (scale > case.floor)
        if counted.any():
            relative = max(relative, float((error[counted] / scale[counted]).max()))
        allowed = first * np.abs(nearest) + second * typical + case.floor
        allowed = allowed + 6 * spread[path] / np.sqrt(len(draws))
        allowed = np.where(allowed == 0.0, np.finfo(float).tiny, allowed)
        excess = max(excess, float((error / allowed).max()))
    return Deviation(relative, excess, _loss_error(case, truth, seed))


def _loss_error(case: PowerCase, truth: Truth, seed: int) -> float:
    """Relative difference between the loss and its twin's, 0 without a twin."""
    if truth.loss is None or case.stochastic:
        return 0.0
    seed_generators(case, seed)
    loss = case.loss_only(**case.inputs())
    return abs(loss - truth.loss) / max(abs(loss), abs(truth.loss), 1e-300)


def seed_generators(case: PowerCase, seed: int) -> None:
    """Seed the global generators, so that a drawing target and its twin see the same draws."""
    np.random.seed(seed)
    if case.torch_target:
        import torch

        torch.manual_seed(seed)


def mislabelled(case: PowerCase) -> str:
    """Say why a case does not bear its label, or return the empty string."""
    found = deviation(case)
    if found.loss_error > {"float64": 1e-7, "float32": 1e-3}.get(case.dtype, 5e-2):
        return f"{case.name}: loss differs from its twin's by {found.loss_error:.1e}"
    if not np.isfinite([found.relative, found.excess]).all():
        return f"{case.name}: not finite"
    if case.right and found.excess > 1.0:
        return f"{case.name}: right, but {found.excess:.1e} times the allowed error"
    if not case.right and found.relative < WRONG_BY[case.dtype]:
        return f"{case.name}: wrong, but off by {found.relative:.1e} only"
    return ""
