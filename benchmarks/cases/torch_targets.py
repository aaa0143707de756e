"""PyTorch functions whose backward pass is on trial, in every floating-point type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.cases.contract import PowerCase, by_autograd

CATEGORY = "torch targets"


def distorted(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return an identity whose backward pass changes the gradient that comes through it."""
    import torch

    class Distorted(torch.autograd.Function):
        @staticmethod
        def forward(_ctx: Any, x: Any) -> Any:
            return x.clone()

        @staticmethod
        def backward(_ctx: Any, upstream: Any) -> Any:
            return change(upstream.clone())

    return Distorted.apply


def _one(change_of_one: float) -> Callable[[Any], Any]:
    def change(g: Any) -> Any:
        flat = g.reshape(-1)
        flat[int(flat.abs().argmax())] *= change_of_one
        return flat.reshape(g.shape)

    return change


def _half_row(g: Any) -> Any:
    if g.ndim:
        g[int(g.abs().reshape(len(g), -1).sum(1).argmax())] *= 0.5
    return g


FINE: dict[str, Callable[[Any], Any]] = {
    "sign": lambda g: -g,
    "factor_1.0002": lambda g: g * 1.0002,
    "one_entry_1e-3": _one(1.001),
    "half_row": _half_row,
}
SINGLE: dict[str, Callable[[Any], Any]] = {
    "sign": lambda g: -g,
    "factor_1.02": lambda g: g * 1.02,
    "one_entry_0.03": _one(1.03),
    "half_row": _half_row,
}
HALF: dict[str, Callable[[Any], Any]] = {
    "sign": lambda g: -g,
    "factor_1.3": lambda g: g * 1.3,
    "one_entry_0.5": _one(0.5),
    "half_row": _half_row,
}
BY_DTYPE = {"float64": FINE, "float32": SINGLE, "float16": HALF, "bfloat16": HALF}


def _network(w1: Any, b1: Any, w2: Any, X: Any, Y: Any) -> Any:
    import torch

    return ((torch.tanh(X @ w1 + b1) @ w2 - Y) ** 2).mean()


def _classifier(w1: Any, b1: Any, w2: Any, X: Any, Y: Any) -> Any:
    import torch

    scores = torch.nn.functional.gelu(X @ w1 + b1) @ w2
    return torch.nn.functional.cross_entropy(scores, Y.argmax(dim=1))


def _corners(w1: Any, b1: Any, w2: Any, X: Any, Y: Any) -> Any:
    import torch

    return torch.nn.functional.smooth_l1_loss(torch.relu(X @ w1 + b1) @ w2, Y)


def _normalised(w1: Any, b1: Any, w2: Any, X: Any, Y: Any) -> Any:
    import torch

    hidden = torch.nn.functional.layer_norm(X @ w1 + b1, (w1.shape[1],))
    return ((torch.sigmoid(hidden) @ w2 - Y) ** 2).mean()


MODELS = {
    "network": _network,
    "classifier": _classifier,
    "corners": _corners,
    "normalised": _normalised,
}


def _inputs(dtype: str, seed: int) -> Callable[[], dict[str, Any]]:
    def inputs() -> dict[str, Any]:
        import torch

        rng = np.random.default_rng(seed)
        shapes = {"w1": (4, 5), "b1": (5,), "w2": (5, 3), "X": (6, 4), "Y": (6, 3)}
        return {
            name: torch.tensor(rng.normal(size=shape) * 0.7).to(getattr(torch, dtype))
            for name, shape in shapes.items()
        } | {}

    def leaves() -> dict[str, Any]:
        found = inputs()
        return {
            name: value.requires_grad_(name in ("w1", "b1", "w2")) for name, value in found.items()
        }

    return leaves


def _wrong(model: Callable[..., Any], name: str, change: Callable[[Any], Any]) -> Any:
    distort = distorted(change)

    def target(w1: Any, b1: Any, w2: Any, X: Any, Y: Any) -> Any:
        call = {"w1": w1, "b1": b1, "w2": w2}
        call[name] = distort(call[name])
        return model(**call, X=X, Y=Y)

    return target


def _forced(model: Callable[..., Any], cast: str) -> Callable[..., Any]:
    """Return the model with its arithmetic in another type than its parameters."""

    def target(w1: Any, b1: Any, w2: Any, X: Any, Y: Any) -> Any:
        import torch

        call = {"w1": w1, "b1": b1, "w2": w2, "X": X, "Y": Y}
        return model(**{name: value.to(getattr(torch, cast)) for name, value in call.items()})

    return target


def _functions() -> Iterator[PowerCase]:
    """Yield custom autograd functions with a backward of their own, right and mis-derived."""
    import torch

    def square_root(scale: float) -> Any:
        class SignedRoot(torch.autograd.Function):
            """``sign(x) sqrt(|x|)``."""

            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                out = x.sign() * x.abs().sqrt()
                ctx.save_for_backward(out)
                return out

            @staticmethod
            def backward(ctx: Any, upstream: Any) -> Any:
                (out,) = ctx.saved_tensors
                return scale * upstream / out.abs()

        return SignedRoot.apply

    def log_det(bug: bool) -> Any:
        class LogDeterminant(torch.autograd.Function):
            """Logarithm of the absolute determinant."""

            @staticmethod
            def forward(ctx: Any, a: Any) -> Any:
                ctx.save_for_backward(a)
                return torch.linalg.slogdet(a)[1]

            @staticmethod
            def backward(ctx: Any, upstream: Any) -> Any:
                (a,) = ctx.saved_tensors
                inverse = torch.linalg.inv(a)
                return upstream * (inverse if bug else inverse.T)

        return LogDeterminant.apply

    def cumulative(bug: bool) -> Any:
        class CumulativeSum(torch.autograd.Function):
            """Cumulative sum along the last axis."""

            @staticmethod
            def forward(_ctx: Any, x: Any) -> Any:
                return torch.cumsum(x, -1)

            @staticmethod
            def backward(_ctx: Any, upstream: Any) -> Any:
                if bug:
                    return torch.cumsum(upstream, -1)
                return torch.cumsum(upstream.flip(-1), -1).flip(-1)

        return CumulativeSum.apply

    def square(seed: int) -> Callable[[], dict[str, Any]]:
        def inputs() -> dict[str, Any]:
            rng = np.random.default_rng(seed)
            values = rng.normal(size=(4, 4)) + 1.5 * np.eye(4)
            return {"x": torch.tensor(values, requires_grad=True)}

        return inputs

    weight = torch.linspace(-1, 1, 16, dtype=torch.float64).reshape(4, 4)
    plans = {
        "signed_root": (
            {"right": square_root(0.5), "half_missing": square_root(1.0)},
            lambda f, x: (f(x) * weight).sum(),
            lambda x: x.sign() * x.abs().sqrt(),
        ),
        "log_determinant": (
            {"right": log_det(False), "not_transposed": log_det(True)},
            lambda f, x: f(x),
            lambda x: torch.log(torch.abs(torch.det(x))),
        ),
        "cumulative_sum": (
            {"right": cumulative(False), "not_reversed": cumulative(True)},
            lambda f, x: (torch.sin(f(x)) * weight).sum(),
            lambda x: x @ torch.triu(torch.ones(4, 4, dtype=torch.float64)),
        ),
    }
    for k, (name, (versions, loss, plain)) in enumerate(plans.items()):
        for label, function in versions.items():
            yield PowerCase(
                f"function_{name}/{label}",
                CATEGORY,
                lambda x, f=function, loss=loss: loss(f, x),
                square(171 + k),
                ("x",),
                label == "right",
                by_autograd(lambda x, p=plain, loss=loss: loss(p, x), ("x",)),
                torch_target=True,
            )


def _dropout() -> Iterator[PowerCase]:
    """Yield torch's own dropout, drawing from torch's global generator."""

    def target(w1: Any, b1: Any, w2: Any, X: Any, Y: Any) -> Any:
        import torch

        hidden = torch.nn.functional.dropout(torch.tanh(X @ w1 + b1), 0.3)
        return ((hidden @ w2 - Y) ** 2).mean()

    for label, model in {
        "right": target,
        "half_row": _wrong(target, "w1", _half_row),
        "factor_1.0002": _wrong(target, "w2", FINE["factor_1.0002"]),
    }.items():
        yield PowerCase(
            f"torch_dropout/{label}",
            "seeded draws",
            model,
            _inputs("float64", 175),
            ("w1", "b1", "w2"),
            label == "right",
            by_autograd(target, ("w1", "b1", "w2")),
            torch_target=True,
        )


def cases() -> Iterator[PowerCase]:
    """Yield the torch targets."""
    wrt = ("w1", "b1", "w2")
    for k, (name, model) in enumerate(MODELS.items()):
        for dtype, changes in BY_DTYPE.items():
            half = "16" in dtype
            common: dict[str, Any] = {
                "inputs": _inputs(dtype, 161 + k),
                "wrt": wrt,
                "truth": by_autograd(model, wrt),
                "dtype": dtype,
                "smooth": name != "corners",
                "torch_target": True,
            }
            category = "half precision" if half else CATEGORY
            yield PowerCase(f"torch_{name}_{dtype}/right", category, model, right=True, **common)
            for j, (label, change) in enumerate(changes.items()):
                where = wrt[(j + k) % 3]
                yield PowerCase(
                    f"torch_{name}_{dtype}/{label}[{where}]",
                    category,
                    _wrong(model, where, change),
                    right=False,
                    **common,
                )
        for parameters, cast in (("float64", "float32"), ("float32", "bfloat16")):
            dtype = cast
            changes = BY_DTYPE[cast]
            common = {
                "inputs": _inputs(parameters, 161 + k),
                "wrt": wrt,
                "truth": by_autograd(model, wrt),
                "dtype": dtype,
                "smooth": name != "corners",
                "torch_target": True,
                # A loss of eight bits cannot resolve the smaller entries.
                "beyond_arithmetic": cast == "bfloat16",
            }
            category = "half precision" if "16" in cast else "single precision forced"
            yield PowerCase(
                f"torch_{name}_{parameters}_in_{cast}/right",
                category,
                _forced(model, cast),
                right=True,
                **common,
            )
            yield PowerCase(
                f"torch_{name}_{parameters}_in_{cast}/sign[w1]",
                category,
                _wrong(_forced(model, cast), "w1", changes["sign"]),
                right=False,
                **common,
            )
    yield from _functions()
    yield from _dropout()
