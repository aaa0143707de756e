"""Likelihoods, latent-variable models and metric losses with hand-derived gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import special

from benchmarks.cases.changes import family, rotation
from benchmarks.cases.contract import PowerCase, Target
from benchmarks.cases.networks import drawn


def _cox(bug: str = "") -> Target:
    """Cox partial log-likelihood, times sorted from the latest: risk sets are prefixes."""

    def target(beta: Any, X: Any, event: Any) -> Any:
        score = X @ beta
        hazard = np.exp(score)
        at_risk = np.cumsum(hazard)
        loss = -np.sum(event * (score - np.log(at_risk)))
        weighted = np.cumsum(hazard[:, None] * X, axis=0)
        mean = weighted / (hazard.sum() if bug == "whole_sample" else at_risk[:, None])
        if bug == "own_missing":
            mean = (weighted - hazard[:, None] * X) / at_risk[:, None]
        counted = np.ones_like(event) if bug == "censoring_ignored" else event
        return loss, {"beta": -(counted[:, None] * (X - mean)).sum(axis=0)}

    return target


def _cox_twin(beta: Any, X: Any, event: Any) -> Any:
    import torch

    score = X @ beta
    return -(event * (score - torch.logcumsumexp(score, 0))).sum()


def _gaussian_process(bug: str = "") -> Target:
    """Marginal likelihood of a Gaussian process: log length scale, amplitude and noise."""

    def target(theta: Any, x: Any, y: Any) -> Any:
        length, amplitude, noise = np.exp(theta)
        gap = (x[:, None] - x[None, :]) ** 2
        signal = amplitude * np.exp(-0.5 * gap / length**2)
        k = signal + noise * np.eye(len(x))
        inverse = np.linalg.inv(k)
        alpha = inverse @ y
        loss = 0.5 * (y @ alpha + np.linalg.slogdet(k)[1] + len(x) * np.log(2 * np.pi))
        outer = np.outer(alpha, alpha) - inverse
        if bug == "determinant_missing":
            outer = np.outer(alpha, alpha)
        d_length = signal * gap / length**2
        if bug == "chain_rule_missing":
            d_length = d_length / length
        slopes = [d_length, signal, noise * np.eye(len(x))]
        sign = 1.0 if bug == "likelihood_not_loss" else -1.0
        factor = 1.0 if bug == "half_missing" else 0.5
        return loss, {"theta": sign * factor * np.array([np.sum(outer * s) for s in slopes])}

    return target


def _gaussian_process_twin(theta: Any, x: Any, y: Any) -> Any:
    import torch

    length, amplitude, noise = theta.exp()
    k = amplitude * torch.exp(-0.5 * ((x[:, None] - x) / length) ** 2)
    k = k + noise * torch.eye(len(x), dtype=k.dtype)
    normal = torch.distributions.MultivariateNormal(torch.zeros_like(y), k)
    return -normal.log_prob(y)


def _factorisation(bug: str = "") -> Target:
    """Matrix factorisation on observed cells, with decay on both factors."""

    def target(u: Any, v: Any, R: Any, mask: Any) -> Any:
        residual = mask * (u @ v.T - R)
        loss = 0.5 * np.sum(residual**2) + 0.05 * (np.sum(u**2) + np.sum(v**2))
        if bug == "mask_missing":
            residual = u @ v.T - R
        d_u = residual @ v + 0.1 * u
        d_v = residual.T @ (d_u if bug == "stale_factor" else u)
        return loss, {"u": d_u, "v": d_v if bug == "decay_missing" else d_v + 0.1 * v}

    return target


def _contrastive(bug: str = "") -> Target:
    """Normalised-temperature cross-entropy between two views of a batch."""

    def target(a: Any, b: Any) -> Any:
        temperature = 0.5
        na, nb = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        ua, ub = a / na[:, None], b / nb[:, None]
        similarity = ua @ ub.T / temperature
        p = special.softmax(similarity, axis=1)
        loss = -np.mean(np.diag(special.log_softmax(similarity, axis=1)))
        d_s = (p - np.eye(len(a))) / len(a)
        if bug != "temperature_missing":
            d_s = d_s / temperature
        d_ua, d_ub = d_s @ ub, (d_s if bug == "not_transposed" else d_s.T) @ ua
        if bug == "norm_constant":
            return loss, {"a": d_ua / na[:, None], "b": d_ub / nb[:, None]}
        d_a = (d_ua - ua * (ua * d_ua).sum(axis=1, keepdims=True)) / na[:, None]
        d_b = (d_ub - ub * (ub * d_ub).sum(axis=1, keepdims=True)) / nb[:, None]
        return loss, {"a": d_a, "b": d_b}

    return target


def _contrastive_twin(a: Any, b: Any) -> Any:
    import torch
    from torch.nn import functional

    similarity = functional.cosine_similarity(a[:, None], b[None], dim=-1) / 0.5
    return functional.cross_entropy(similarity, torch.arange(len(a)))


def _triplet(bug: str = "") -> Target:
    def target(w: Any, A: Any, P: Any, M: Any) -> Any:
        near, far = (A - P) @ w, (A - M) @ w
        slack = (near**2).sum(axis=1) - (far**2).sum(axis=1) + 1.0
        loss = np.mean(np.maximum(slack, 0))
        on = np.ones(len(A)) if bug == "margin_ignored" else (slack > 0).astype(float)
        d_near, d_far = 2 * near * on[:, None], 2 * far * on[:, None]
        sign = -1.0 if bug == "far_sign" else 1.0
        d_w = ((A - P).T @ d_near - sign * (A - M).T @ d_far) / len(A)
        return loss, {"w": d_w}

    return target


def _triplet_twin(w: Any, A: Any, P: Any, M: Any) -> Any:
    import torch

    a, p, n = A @ w, P @ w, M @ w
    gap = ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1)
    return torch.clamp(gap + 1, min=0).mean()


def _autoencoder(bug: str = "") -> Target:
    """Variational autoencoder with fixed draws: Bernoulli likelihood and Gaussian divergence."""

    def target(enc: Any, spread: Any, dec: Any, X: Any, E: Any) -> Any:
        mean, log_var = X @ enc, X @ spread
        sigma = np.exp(0.5 * log_var)
        z = mean + sigma * E
        logits = z @ dec
        bits = (X > 0).astype(float)
        likelihood = np.sum(np.logaddexp(0, logits) - bits * logits)
        divergence = -0.5 * np.sum(1 + log_var - mean**2 - np.exp(log_var))
        d_logits = special.expit(logits) - bits
        d_z = d_logits @ dec.T
        d_mean = d_z if bug == "divergence_missing" else d_z + mean
        d_log_var = d_z * E * sigma * (1.0 if bug == "half_missing" else 0.5)
        d_log_var = d_log_var + 0.5 * (np.exp(log_var) - 1)
        if bug == "divergence_sign":
            d_log_var = d_log_var - (np.exp(log_var) - 1)
        if bug == "draw_detached":
            d_log_var = 0.5 * (np.exp(log_var) - 1)
        gradient = {"enc": X.T @ d_mean, "spread": X.T @ d_log_var, "dec": z.T @ d_logits}
        return (likelihood + divergence) / len(X), {k: g / len(X) for k, g in gradient.items()}

    return target


def _autoencoder_twin(enc: Any, spread: Any, dec: Any, X: Any, E: Any) -> Any:
    import torch
    from torch.distributions import Normal, kl_divergence
    from torch.nn import functional

    mean, sigma = X @ enc, torch.exp(X @ spread / 2)
    fit = functional.binary_cross_entropy_with_logits(
        (mean + sigma * E) @ dec, (X > 0).double(), reduction="sum"
    )
    return (fit + kl_divergence(Normal(mean, sigma), Normal(0.0, 1.0)).sum()) / len(X)


def _mixture(bug: str = "") -> Target:
    """Mixture of spherical Gaussians: logits of the weights, means, log scales."""

    def target(logits: Any, means: Any, scales: Any, X: Any) -> Any:
        gap = X[:, None, :] - means[None]
        distance = (gap**2).sum(axis=2)
        precision = np.exp(-2 * scales)
        log_joint = special.log_softmax(logits) - 2 * scales - 0.5 * distance * precision
        loss = -np.mean(special.logsumexp(log_joint, axis=1)) + np.log(2 * np.pi)
        r = special.softmax(log_joint, axis=1)
        n = len(X)
        d_means = -np.einsum("nk,nkd->kd", r * precision, gap) / n
        if bug == "precision_missing":
            d_means = -np.einsum("nk,nkd->kd", r, gap) / n
        d_logits = (special.softmax(logits) if bug != "softmax_missing" else 0) - r.mean(axis=0)
        d_scales = -(r * (distance * precision - 2)).mean(axis=0)
        if bug == "normaliser_missing":
            d_scales = -(r * distance * precision).mean(axis=0)
        if bug == "hard_assignment":
            hard = np.eye(len(logits))[r.argmax(axis=1)]
            d_means = -np.einsum("nk,nkd->kd", hard * precision, gap) / n
        return loss, {"logits": d_logits, "means": d_means, "scales": d_scales}

    return target


def _mixture_twin(logits: Any, means: Any, scales: Any, X: Any) -> Any:
    from torch import distributions as dist

    parts = dist.Independent(dist.Normal(means, scales.exp()[:, None]), 1)
    mixture = dist.MixtureSameFamily(dist.Categorical(logits=logits), parts)
    return -mixture.log_prob(X).mean()


def _kalman(bug: str = "") -> Target:
    """Likelihood of a scalar random walk seen in noise, differentiated along with the filter."""

    def target(theta: Any, Y: Any) -> Any:
        q, r = np.exp(theta)
        mean, var, loss = 0.0, 1.0, 0.0
        d_mean, d_var, d_loss = np.zeros(2), np.zeros(2), np.zeros(2)
        dq, dr = np.array([q, 0.0]), np.array([0.0, r])
        for y in Y:
            var, d_var = var + q, d_var + dq
            s, d_s = var + r, d_var + dr
            error, d_error = y - mean, -d_mean
            loss += 0.5 * (np.log(s) + error**2 / s)
            d_loss = d_loss + 0.5 * (d_s / s + 2 * error * d_error / s - error**2 * d_s / s**2)
            gain = var / s
            d_gain = d_var / s - var * d_s / s**2
            if bug == "gain_constant":
                d_gain = np.zeros(2)
            mean, d_mean = mean + gain * error, d_mean + d_gain * error + gain * d_error
            if bug == "innovation_constant":
                d_mean = d_mean - gain * d_error
            var, d_var = (1 - gain) * var, (1 - gain) * d_var - d_gain * var
        return loss, {"theta": d_loss}

    return target


def _kalman_twin(theta: Any, Y: Any) -> Any:
    import torch

    q, r = theta.exp()
    n = len(Y)
    steps = torch.arange(1, n + 1, dtype=torch.float64)
    cov = 1.0 + q * torch.minimum(steps[:, None], steps) + r * torch.eye(n, dtype=torch.float64)
    normal = torch.distributions.MultivariateNormal(torch.zeros_like(Y), cov)
    return -normal.log_prob(Y) - 0.5 * n * np.log(2 * np.pi)


def cases() -> Iterator[PowerCase]:
    """Yield the likelihoods and metric losses."""
    cox_data = drawn(51, beta=(4,), X=(14, 4))
    yield from family(
        "cox",
        "smooth",
        _cox,
        lambda: {**cox_data(), "event": (np.arange(14) % 3 != 0).astype(float)},
        wrt=("beta",),
        twin=_cox_twin,
        bugs=("whole_sample", "own_missing", "censoring_ignored"),
        changes=rotation(("beta",), 1, 4),
    )
    yield from family(
        "gaussian_process",
        "smooth",
        _gaussian_process,
        lambda: {
            "theta": np.log([0.8, 1.5, 0.2]),
            "x": np.linspace(0, 3, 9),
            "y": np.sin(np.linspace(0, 5, 9)),
        },
        wrt=("theta",),
        twin=_gaussian_process_twin,
        bugs=("determinant_missing", "chain_rule_missing", "likelihood_not_loss", "half_missing"),
        changes=rotation(("theta",), 2, 3),
    )
    cells = (np.random.default_rng(52).random((6, 5)) < 0.6).astype(float)
    factor_data = drawn(53, u=(6, 3), v=(5, 3), R=(6, 5))
    yield from family(
        "matrix_factorisation",
        "smooth",
        _factorisation,
        lambda: {**factor_data(), "mask": cells.copy()},
        wrt=("u", "v"),
        twin=lambda u, v, R, mask: (
            0.5 * (mask * (u @ v.T - R)).square().sum()
            + 0.05 * (u.square().sum() + v.square().sum())
        ),
        bugs=("mask_missing", "stale_factor", "decay_missing"),
        changes=rotation(("u", "v"), 3, 4),
    )
    yield from family(
        "contrastive",
        "smooth",
        _contrastive,
        drawn(54, a=(5, 4), b=(5, 4)),
        wrt=("a", "b"),
        twin=_contrastive_twin,
        bugs=("temperature_missing", "not_transposed", "norm_constant"),
        changes=rotation(("a", "b"), 4, 4),
    )
    yield from family(
        "triplet",
        "corners",
        _triplet,
        drawn(55, w=(4, 3), A=(8, 4), P=(8, 4), M=(8, 4)),
        wrt=("w",),
        twin=_triplet_twin,
        bugs=("margin_ignored", "far_sign"),
        changes=rotation(("w",), 5, 3),
        smooth=False,
    )
    yield from family(
        "variational_autoencoder",
        "smooth",
        _autoencoder,
        drawn(56, enc=(5, 2), spread=(5, 2), dec=(2, 5), X=(6, 5), E=(6, 2)),
        wrt=("enc", "spread", "dec"),
        twin=_autoencoder_twin,
        bugs=("divergence_missing", "half_missing", "divergence_sign", "draw_detached"),
        changes=rotation(("enc", "spread", "dec"), 6, 4),
    )
    yield from family(
        "mixture",
        "smooth",
        _mixture,
        drawn(57, logits=(3,), means=(3, 2), scales=(3,), X=(10, 2)),
        wrt=("logits", "means", "scales"),
        twin=_mixture_twin,
        bugs=("precision_missing", "softmax_missing", "normaliser_missing", "hard_assignment"),
        changes=rotation(("logits", "means", "scales"), 7, 4),
    )
    yield from family(
        "kalman",
        "smooth",
        _kalman,
        lambda: {
            "theta": np.array([-1.0, 0.5]),
            "Y": np.random.default_rng(58).normal(size=12).cumsum(),
        },
        wrt=("theta",),
        twin=_kalman_twin,
        bugs=("gain_constant", "innovation_constant"),
        changes=rotation(("theta",), 8, 3),
    )
