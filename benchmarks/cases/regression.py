"""Linear predictors under fifteen losses: smooth ones, and ones with corners."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special

from benchmarks.cases.changes import family, rotation
from benchmarks.cases.contract import PowerCase, Target

N, D = 12, 5
REG = 0.05


def _data(name: str, response: str) -> Callable[[], dict[str, Any]]:
    def inputs() -> dict[str, Any]:
        rng = np.random.default_rng(sum(map(ord, name)))
        x = rng.normal(size=(N, D))
        w, b = 0.6 * rng.normal(size=D), np.array([0.3])
        y = {
            "sign": lambda: rng.choice([-1.0, 1.0], size=N),
            "bit": lambda: rng.integers(0, 2, size=N).astype(float),
            "count": lambda: rng.poisson(2.0, size=N).astype(float),
            "positive": lambda: rng.gamma(2.0, size=N),
            "real": lambda: x @ rng.normal(size=D) + rng.normal(size=N),
        }[response]()
        return {"w": w, "b": b, "x": x, "y": y}

    return inputs


def _linear(loss: Callable[..., Any], slope: Callable[..., Any]) -> Callable[[str], Target]:
    """Return the maker of a regularised linear model under one pointwise loss."""

    def make(bug: str = "") -> Target:
        def target(w: Any, b: Any, x: Any, y: Any) -> tuple[Any, dict[str, Any]]:
            score = x @ w + b[0]
            value = np.mean(loss(score, y)) + 0.5 * REG * np.sum(w * w)
            upstream = slope(score, y)
            if bug != "mean_missing":
                upstream = upstream / len(y)
            dw = x.T @ upstream
            if bug == "reg_doubled":
                dw = dw + 2 * REG * w
            elif bug != "reg_missing":
                dw = dw + REG * w
            db = np.array([np.mean(upstream) if bug == "bias_mean" else np.sum(upstream)])
            return value, {"w": dw, "b": db}

        return target

    return make


def _twin(loss: Callable[..., Any]) -> Callable[..., Any]:
    def twin(w: Any, b: Any, x: Any, y: Any) -> Any:
        return loss(x @ w + b, y).mean() + 0.5 * REG * (w**2).sum()

    return twin


def _pointwise() -> dict[str, tuple[str, Any, Any, Any]]:
    """Losses by name: ``(response, loss, its derivative in the score, torch twin)``."""
    import torch
    from torch.nn import functional

    log2pi = np.log(2 * np.pi)
    return {
        "logistic": (
            "bit",
            lambda s, y: np.logaddexp(0, s) - y * s,
            lambda s, y: special.expit(s) - y,
            lambda s, y: functional.binary_cross_entropy_with_logits(s, y, reduction="none"),
        ),
        "poisson": (
            "count",
            lambda s, y: np.exp(s) - y * s,
            lambda s, y: np.exp(s) - y,
            lambda s, y: functional.poisson_nll_loss(s, y, reduction="none"),
        ),
        "gamma": (
            "positive",
            lambda s, y: s + y * np.exp(-s),
            lambda s, y: 1 - y * np.exp(-s),
            lambda s, y: s + y / torch.exp(s),
        ),
        "negative_binomial": (
            "count",
            lambda s, y: (y + 3.0) * np.log(3.0 + np.exp(s)) - y * s,
            lambda s, y: (y + 3.0) * np.exp(s) / (3.0 + np.exp(s)) - y,
            lambda s, y: -(y * s - (y + 3.0) * torch.log(3.0 + s.exp())),
        ),
        "probit": (
            "sign",
            lambda s, y: -special.log_ndtr(y * s),
            lambda s, y: -y * np.exp(-0.5 * s * s - 0.5 * log2pi - special.log_ndtr(y * s)),
            lambda s, y: -torch.special.log_ndtr(y * s),
        ),
        "exponential": (
            "sign",
            lambda s, y: np.exp(-y * s),
            lambda s, y: -y * np.exp(-y * s),
            lambda s, y: torch.exp(-(y * s)),
        ),
        "log_cosh": (
            "real",
            lambda s, y: np.log(np.cosh(s - y)),
            lambda s, y: np.tanh(s - y),
            lambda s, y: torch.logaddexp(s - y, y - s) - np.log(2.0),
        ),
        "cauchy": (
            "real",
            lambda s, y: np.log1p((s - y) ** 2),
            lambda s, y: 2 * (s - y) / (1 + (s - y) ** 2),
            lambda s, y: torch.log(1 + (s - y) ** 2),
        ),
        "squared": (
            "real",
            lambda s, y: 0.5 * (s - y) ** 2,
            lambda s, y: s - y,
            lambda s, y: 0.5 * functional.mse_loss(s, y, reduction="none"),
        ),
        "focal": (
            "bit",
            lambda s, y: (
                (1 - special.expit((2 * y - 1) * s)) ** 2 * -np.log(special.expit((2 * y - 1) * s))
            ),
            _focal_slope,
            lambda s, y: torch.sigmoid((1 - 2 * y) * s) ** 2 * functional.softplus((1 - 2 * y) * s),
        ),
        "huber": (
            "real",
            lambda s, y: np.where(np.abs(s - y) <= 1.0, 0.5 * (s - y) ** 2, np.abs(s - y) - 0.5),
            lambda s, y: np.clip(s - y, -1.0, 1.0),
            lambda s, y: functional.huber_loss(s, y, reduction="none", delta=1.0),
        ),
        "squared_hinge": (
            "sign",
            lambda s, y: np.maximum(0.0, 1 - y * s) ** 2,
            lambda s, y: -2 * y * np.maximum(0.0, 1 - y * s),
            lambda s, y: functional.relu(1 - y * s) ** 2,
        ),
        "hinge": (
            "sign",
            lambda s, y: np.maximum(0.0, 1 - y * s),
            lambda s, y: -y * (y * s < 1),
            lambda s, y: functional.relu(1 - y * s),
        ),
        "quantile": (
            "real",
            lambda s, y: np.maximum(0.8 * (y - s), -0.2 * (y - s)),
            lambda s, y: np.where(y > s, -0.8, 0.2),
            lambda s, y: torch.where(y > s, 0.8 * (y - s), 0.2 * (s - y)),
        ),
        "absolute": (
            "real",
            lambda s, y: np.abs(s - y),
            lambda s, y: np.sign(s - y),
            lambda s, y: functional.l1_loss(s, y, reduction="none"),
        ),
    }


def _focal_slope(s: Any, y: Any) -> Any:
    """Derivative of ``-(1 - p)^2 log p`` in the score, ``p`` the probability of the label."""
    sign = 2 * y - 1
    p = special.expit(sign * s)
    return sign * (2 * (1 - p) ** 2 * p * np.log(p) - (1 - p) ** 3)


CORNERED = ("hinge", "quantile", "absolute")


def cases() -> Iterator[PowerCase]:
    """Yield the linear models."""
    for k, (name, (response, loss, slope, twin)) in enumerate(_pointwise().items()):
        yield from family(
            name,
            "corners" if name in CORNERED else "smooth",
            _linear(loss, slope),
            _data(name, response),
            wrt=("w", "b"),
            twin=_twin(twin),
            bugs=("mean_missing", "reg_missing") if k % 2 else ("bias_mean", "reg_doubled"),
            changes=rotation(("w", "w", "b"), k, 3),
            smooth=name not in CORNERED,
        )
    yield from _heads()
    yield from _lasso()


def _gaussian(bug: str = "") -> Target:
    """Gaussian negative log-likelihood with a head each for mean and log variance."""

    def target(mean: Any, spread: Any, x: Any, y: Any) -> tuple[Any, dict[str, Any]]:
        residual = y - x @ mean
        log_variance = x @ spread
        precision = np.exp(-log_variance)
        loss = 0.5 * np.sum(log_variance + residual**2 * precision)
        d_mean = -x.T @ (residual * precision)
        if bug == "variance_detached":
            d_mean = -x.T @ residual
        d_spread = 0.5 * x.T @ (1 - residual**2 * precision)
        if bug == "half_missing":
            d_spread = 2 * d_spread
        if bug == "log_term_missing":
            d_spread = -0.5 * x.T @ (residual**2 * precision)
        return loss, {"mean": d_mean, "spread": d_spread}

    return target


def _heads() -> Iterator[PowerCase]:
    import torch

    def inputs() -> dict[str, Any]:
        rng = np.random.default_rng(11)
        x = rng.normal(size=(N, D))
        return {
            "mean": rng.normal(size=D),
            "spread": 0.3 * rng.normal(size=D),
            "x": x,
            "y": rng.normal(size=N),
        }

    def twin(mean: Any, spread: Any, x: Any, y: Any) -> Any:
        variance = torch.exp(x @ spread)
        return torch.nn.functional.gaussian_nll_loss(x @ mean, y, variance, reduction="sum")

    yield from family(
        "gaussian_nll",
        "smooth",
        _gaussian,
        inputs,
        wrt=("mean", "spread"),
        twin=twin,
        bugs=("variance_detached", "half_missing", "log_term_missing"),
        changes=rotation(("mean", "spread"), 3, 4),
    )


def _penalised(bug: str = "") -> Target:
    """Least squares with an L1 and a group penalty, some coefficients exactly zero."""

    def target(w: Any, x: Any, y: Any) -> tuple[Any, dict[str, Any]]:
        residual = x @ w - y
        group = np.sqrt(np.sum(w[:2] ** 2))
        loss = 0.5 * np.mean(residual**2) + 0.1 * np.sum(np.abs(w)) + 0.2 * group
        dw = x.T @ residual / len(y)
        if bug != "penalty_missing":
            dw = dw + 0.1 * (np.abs(w) if bug == "sign_missing" else np.sign(w))
        dw[:2] += 0.2 * w[:2] * (1.0 if bug == "group_norm_missing" else 1 / group)
        if bug == "outside_subgradient":
            dw[w == 0] += 0.15
        return loss, {"w": dw}

    return target


def _lasso() -> Iterator[PowerCase]:
    from benchmarks.cases.contract import between

    def inputs() -> dict[str, Any]:
        rng = np.random.default_rng(13)
        w = rng.normal(size=6)
        w[3:5] = 0.0
        return {"w": w, "x": rng.normal(size=(N, 6)), "y": rng.normal(size=N)}

    def bounds(w: Any, x: Any, y: Any) -> dict[str, Any]:
        smooth = x.T @ (x @ w - y) / len(y)
        smooth[:2] += 0.2 * w[:2] / np.hypot(*w[:2])
        low, high = np.where(w > 0, 0.1, -0.1), np.where(w < 0, -0.1, 0.1)
        return {"w": (smooth + low, smooth + high)}

    yield from family(
        "lasso",
        "corners",
        _penalised,
        inputs,
        wrt=("w",),
        truth=between(bounds),
        bugs=("penalty_missing", "sign_missing", "group_norm_missing", "outside_subgradient"),
        changes={"factor_1.0001": "w", "largest_entry_1e-3": "w"},
        smooth=False,
    )
