"""Losses that draw random numbers: from the global generators, and from one of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.cases.changes import CHANGES, changed, family
from benchmarks.cases.contract import PowerCase, Target, Truth, exactly
from benchmarks.cases.networks import drawn

KEEP = 0.7


def _dropout(bug: str = "") -> Target:
    """A network with inverted dropout from NumPy's global generator."""

    def target(w1: Any, w2: Any, X: Any, Y: Any) -> tuple[Any, dict[str, Any]]:
        z = np.tanh(X @ w1)
        mask = (np.random.rand(*z.shape) < KEEP) / KEEP
        hidden = z * mask
        error = hidden @ w2 - Y
        d_hidden = error @ w2.T
        if bug == "mask_missing":
            d_z = d_hidden
        elif bug == "keep_missing":
            d_z = d_hidden * (mask > 0)
        elif bug == "drawn_again":
            d_z = d_hidden * (np.random.rand(*z.shape) < KEEP) / KEEP
        else:
            d_z = d_hidden * mask
        gradient = {"w1": X.T @ (d_z * (1 - z**2)), "w2": hidden.T @ error}
        return 0.5 * np.sum(error**2), gradient

    return target


def _dropout_truth(inputs: dict[str, Any]) -> Truth:
    import torch

    call = {key: torch.tensor(value) for key, value in inputs.items()}
    w1, w2 = call["w1"].requires_grad_(True), call["w2"].requires_grad_(True)
    z = torch.tanh(call["X"] @ w1)
    mask = torch.tensor(np.random.rand(*z.shape) < KEEP).double() / KEEP
    loss = 0.5 * (((z * mask) @ w2 - call["Y"]) ** 2).sum()
    slopes = torch.autograd.grad(loss, (w1, w2))
    bounds = {k: (g.numpy(), g.numpy()) for k, g in zip(("w1", "w2"), slopes, strict=True)}
    return Truth(bounds, float(loss.detach()))


def _reparameterised(bug: str = "") -> Target:
    """Evidence bound by the reparameterisation trick, draws from the global generator."""

    def target(mean: Any, log_sigma: Any) -> tuple[Any, dict[str, Any]]:
        draws = np.random.standard_normal((20, mean.size))
        sigma = np.exp(log_sigma)
        z = mean + sigma * draws
        loss = np.mean(np.sum((z**2 - 1) ** 2, axis=1)) - np.sum(log_sigma)
        d_z = 4 * z * (z**2 - 1) / len(draws)
        d_log_sigma = (d_z * draws).sum(axis=0) * (1.0 if bug == "sigma_missing" else sigma)
        if bug != "entropy_missing":
            d_log_sigma = d_log_sigma - 1
        return loss, {"mean": d_z.sum(axis=0), "log_sigma": d_log_sigma}

    return target


def _reparameterised_truth(inputs: dict[str, Any]) -> Truth:
    import torch

    mean = torch.tensor(inputs["mean"], requires_grad=True)
    log_sigma = torch.tensor(inputs["log_sigma"], requires_grad=True)
    draws = torch.tensor(np.random.standard_normal((20, len(mean))))
    z = mean + log_sigma.exp() * draws
    loss = ((z**2 - 1) ** 2).sum(1).mean() - log_sigma.sum()
    slopes = torch.autograd.grad(loss, (mean, log_sigma))
    names = ("mean", "log_sigma")
    bounds = {k: (g.numpy(), g.numpy()) for k, g in zip(names, slopes, strict=True)}
    return Truth(bounds, float(loss.detach()))


def _private(noise: float, kind: str) -> Target:
    """A loss with a private generator that no seeding reaches.

    ``value`` adds noise to the loss alone; ``batch`` evaluates loss and gradient on a random half.
    """
    generator = np.random.default_rng(123)

    def target(w: Any, X: Any, Y: Any) -> tuple[Any, dict[str, Any]]:
        if kind == "batch":
            rows = generator.permutation(len(X))[: len(X) // 2]
            X, Y = X[rows], Y[rows]
        residual = X @ w - Y
        loss = 0.5 * np.mean(residual**2)
        if kind == "value":
            loss += noise * generator.standard_normal()
        return loss, {"w": X.T @ residual / len(Y)}

    return target


def cases() -> Iterator[PowerCase]:
    """Yield the losses that draw."""
    yield from family(
        "dropout",
        "seeded draws",
        _dropout,
        drawn(121, w1=(4, 5), w2=(5, 2), X=(6, 4), Y=(6, 2)),
        wrt=("w1", "w2"),
        truth=_dropout_truth,
        bugs=("mask_missing", "keep_missing", "drawn_again"),
        changes={"factor_0.999": "w1", "row": "w2"},
    )
    yield from family(
        "reparameterised",
        "seeded draws",
        _reparameterised,
        lambda: {"mean": np.array([0.4, -0.9, 1.2]), "log_sigma": np.array([-0.5, 0.1, -1.0])},
        wrt=("mean", "log_sigma"),
        truth=_reparameterised_truth,
        bugs=("sigma_missing", "entropy_missing"),
        changes={"factor_1.0001": "mean", "largest_entry_1e-3": "log_sigma"},
    )
    draw = drawn(122, w=(3,), X=(10, 3), Y=(10,))

    def expected(w: Any, X: Any, Y: Any) -> dict[str, Any]:
        return {"w": X.T @ (X @ w - Y) / len(Y)}

    for kind, noise in (("value", 1e-10), ("value", 1e-6), ("value", 1e-3), ("batch", 0.0)):
        for label in ("right", "sign", "factor_2", "zero", "row"):
            target = _private(noise, kind)
            if label != "right":
                target = changed(target, "w", CHANGES[label])
            yield PowerCase(
                f"private_generator_{kind}_{noise:g}/{label}",
                "private draws",
                target,
                draw,
                ("w",),
                label == "right",
                exactly(expected),
                stochastic=True,
            )
