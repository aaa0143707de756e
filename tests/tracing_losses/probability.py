"""Likelihoods, Gaussian processes, mixtures, matrix factorisations."""

import math

import numpy as np
import scipy.linalg
import scipy.special as sp
import scipy.stats
from scipy.linalg import cho_factor, cho_solve, solve_triangular

generator = np.random.default_rng(13)


def draw(*shape, scale=0.7):
    return scale * generator.normal(size=shape)


def rbf_kernel(X, length, variance):
    sq = np.sum(X**2, 1).reshape(-1, 1) + np.sum(X**2, 1) - 2 * np.dot(X, X.T)
    return variance * np.exp(-0.5 / length**2 * sq)


def gp_cholesky(X, y, theta):
    length, variance, noise = np.exp(theta)
    K = rbf_kernel(X, length, variance) + noise * np.eye(len(X))
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, y))
    return 0.5 * y.dot(alpha) + np.log(np.diag(L)).sum() + 0.5 * len(X) * np.log(2 * np.pi)


def gp_slogdet(X, y, theta):
    K = rbf_kernel(X, np.exp(theta[0]), np.exp(theta[1])) + np.exp(theta[2]) * np.identity(len(y))
    sign, logdet = np.linalg.slogdet(K)
    assert sign > 0
    return 0.5 * (y @ np.linalg.inv(K) @ y + logdet)


def gp_scipy(X, y, theta):
    diff = X[:, None, :] - X[None, :, :]
    K = np.exp(-0.5 * np.sum(diff**2, axis=-1) / math.exp(theta[0]))
    K[np.diag_indices_from(K)] += 0.1 + theta[1] ** 2
    c, low = cho_factor(K, lower=True)
    alpha = cho_solve((c, low), y)
    z = solve_triangular(np.tril(c), y, lower=True)
    return 0.5 * float(z @ z) + 0.5 * y @ alpha + np.sum(np.log(np.diagonal(c)))


def gaussian_mixture(X, means, log_scales, logits):
    log_weights = logits - sp.logsumexp(logits)
    components = []
    for k in range(len(means)):
        z = (X - means[k]) / np.exp(log_scales[k])
        log_density = -0.5 * np.sum(z**2 + np.log(2 * np.pi), axis=1) - log_scales[k].sum()
        components.append(log_weights[k] + log_density)
    return -sp.logsumexp(np.array(components), axis=0).mean()


def logistic_regression(w, X, t):
    z = X @ w
    return np.mean(np.logaddexp(0, z) - t * z) + 0.05 * np.linalg.norm(w) ** 2


def logistic_clipped(w, X, t):
    y = 1 / (1 + np.exp(-X.dot(w)))
    y = np.clip(y, 1e-12, 1 - 1e-12)
    return -(t * np.log(y) + (1 - t) * np.log(1 - y)).mean()


def poisson_regression(w, X, counts):
    rate = np.exp(X @ w)
    return np.sum(rate - sp.xlogy(counts, rate) + sp.gammaln(counts + 1))


def student_t(x, log_nu, mu):
    nu = np.exp(log_nu)
    constant = sp.gammaln((nu + 1) / 2) - sp.gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
    return -np.sum(constant - (nu + 1) / 2 * np.log1p((x - mu) ** 2 / nu))


def probit(w, X, t):
    z = X @ w
    phi = 0.5 * (1 + sp.erf(z / np.sqrt(2)))
    return -np.sum(np.where(t == 1, np.log(phi), np.log1p(-phi)))


def normal_logpdf(mu, log_sigma, x):
    return -scipy.stats.norm.logpdf(x, loc=mu, scale=np.exp(log_sigma)).sum()


def multivariate_normal(x, mu, A):
    Sigma = A @ A.T + np.eye(len(mu))
    d = x - mu
    maha = np.sum(d * np.linalg.solve(Sigma, d.T).T, axis=1)
    return 0.5 * (maha + np.log(np.linalg.det(2 * np.pi * Sigma))).sum()


def kl_of_gaussians(mu, logvar):
    return -0.5 * np.sum(1 + logvar - np.square(mu) - np.exp(logvar))


def vae(x, W_enc, W_dec, noise):
    h = x @ W_enc
    mu, logvar = np.split(h, 2, axis=1)
    z = mu + np.exp(0.5 * logvar) * noise
    p = sp.expit(z @ W_dec)
    bce = -(x * np.log(p) + (1 - x) * np.log1p(-p)).sum(axis=1)
    return np.mean(bce + -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=-1))


def matrix_factorisation(U, V, ratings, lam=0.1):
    total = 0.0
    for i, j, r in ratings:
        total += (r - np.dot(U[int(i)], V[int(j)])) ** 2
    return total + lam * (np.linalg.norm(U, "fro") ** 2 + np.sum(np.linalg.norm(V, axis=1) ** 2))


def masked_matrix(U, V, R):
    known = ~np.isnan(R)
    E = (U @ V.T)[known] - R[known]
    return float((E**2).sum())


def ridge_closed_form(X, y, log_lam):
    A = X.T @ X + np.exp(log_lam) * np.eye(X.shape[1])
    w = scipy.linalg.solve(A, X.T @ y, assume_a="pos")
    return ((X @ w - y) ** 2).sum()


def pca_spectrum(X):
    C = np.cov(X, rowvar=False)
    values = np.linalg.eigvalsh(C)
    return np.sum(np.log(values + 0.1))


def low_rank(X):
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    return np.sum(s[:2]) + (U[:, 0] ** 4).sum()


def contrastive(a, b, temperature=0.5):
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b / np.sqrt((b**2).sum(axis=1))[:, None]
    logits = a @ b.T / temperature
    labels = np.eye(len(a))
    return -(labels * sp.log_softmax(logits, axis=1)).sum() / len(a)


def triplet(anchor, positive, negative, margin=0.4):
    d_pos = np.sum((anchor - positive) ** 2, axis=-1)
    d_neg = np.sum((anchor - negative) ** 2, axis=-1)
    return np.maximum(d_pos - d_neg + margin, 0).mean()


def sinkhorn(cost, n_iterations=4):
    K = np.exp(-cost)
    u = np.ones(cost.shape[0]) / cost.shape[0]
    v = np.ones(cost.shape[1])
    for _ in range(n_iterations):
        v = (1 / cost.shape[1]) / (K.T @ u)
        u = (1 / cost.shape[0]) / (K @ v)
    plan = np.diag(u) @ K @ np.diag(v)
    return np.sum(plan * cost)


def tsne(Y, P):
    n = Y.shape[0]
    sum_Y = np.sum(np.square(Y), 1)
    num = -2.0 * np.dot(Y, Y.T)
    num = 1.0 / (1.0 + np.add(np.add(num, sum_Y).T, sum_Y))
    num[range(n), range(n)] = 0.0
    Q = num / np.sum(num)
    Q = np.maximum(Q, 1e-12)
    return np.sum(P * np.log(P / Q))


def policy_gradient(theta, states, actions, rewards):
    returns = np.zeros(len(rewards))
    running = 0.0
    for t in reversed(range(len(rewards))):
        running = rewards[t] + 0.9 * running
        returns[t] = running
    returns = (returns - returns.mean()) / (returns.std() + 1e-8)
    logp = sp.log_softmax(states @ theta, axis=1)
    return -np.mean(np.take_along_axis(logp, actions[:, None], axis=1)[:, 0] * returns)


_X = draw(5, 2)
_y = draw(5)
_theta = np.array([0.1, -0.2, -1.0])
_t = generator.integers(2, size=6)
_R = draw(3, 4)
_R[0, 1] = _R[2, 2] = np.nan
_P = generator.random((4, 4))
_P = (_P + _P.T) / (2 * _P.sum())

LOSSES = {
    "gp_cholesky": (gp_cholesky, {"X": _X, "y": _y, "theta": _theta}, ["X", "y", "theta"]),
    "gp_slogdet": (gp_slogdet, {"X": _X, "y": _y, "theta": _theta}, ["X", "y", "theta"]),
    "gp_scipy": (gp_scipy, {"X": _X, "y": _y, "theta": _theta}, ["X", "y", "theta"]),
    "gaussian_mixture": (
        gaussian_mixture,
        {"X": draw(6, 2), "means": draw(3, 2), "log_scales": draw(3, 2), "logits": draw(3)},
        ["means", "log_scales", "logits", "X"],
    ),
    "logistic_regression": (logistic_regression, {"w": draw(3), "X": draw(6, 3), "t": _t}, ["w"]),
    "logistic_clipped": (logistic_clipped, {"w": draw(3), "X": draw(6, 3), "t": _t}, ["w", "X"]),
    "poisson_regression": (
        poisson_regression,
        {"w": draw(3), "X": draw(6, 3), "counts": generator.poisson(2.0, size=6)},
        ["w"],
    ),
    "student_t": (
        student_t, {"x": draw(5), "log_nu": np.array(0.7), "mu": np.array(0.2)},
        ["x", "log_nu", "mu"],
    ),
    "probit": (probit, {"w": draw(3), "X": draw(6, 3), "t": _t}, ["w"]),
    "normal_logpdf": (
        normal_logpdf, {"mu": draw(4), "log_sigma": np.array(0.2), "x": draw(4)},
        ["mu", "log_sigma"],
    ),
    "multivariate_normal": (
        multivariate_normal, {"x": draw(4, 2), "mu": draw(2), "A": draw(2, 2)}, ["x", "mu", "A"],
    ),
    "kl_of_gaussians": (kl_of_gaussians, {"mu": draw(3, 2), "logvar": draw(3, 2)},
                        ["mu", "logvar"]),
    "vae": (
        vae,
        {"x": generator.random((4, 5)), "W_enc": draw(5, 4), "W_dec": draw(2, 5),
         "noise": draw(4, 2)},
        ["W_enc", "W_dec"],
    ),
    "matrix_factorisation": (
        matrix_factorisation,
        {"U": draw(3, 2), "V": draw(4, 2), "ratings": [(0, 1, 2.0), (2, 3, 1.0), (1, 0, 0.5)]},
        ["U", "V"],
    ),
    "masked_matrix": (masked_matrix, {"U": draw(3, 2), "V": draw(4, 2), "R": _R}, ["U", "V"]),
    "ridge_closed_form": (
        ridge_closed_form, {"X": draw(6, 3), "y": draw(6), "log_lam": np.array(-1.0)},
        ["X", "y", "log_lam"],
    ),
    "pca_spectrum": (pca_spectrum, {"X": draw(6, 3)}, ["X"]),
    "low_rank": (low_rank, {"X": draw(4, 3)}, ["X"]),
    "contrastive": (contrastive, {"a": draw(4, 3), "b": draw(4, 3)}, ["a", "b"]),
    "triplet": (
        triplet, {"anchor": draw(4, 3), "positive": draw(4, 3), "negative": draw(4, 3)},
        ["anchor", "positive", "negative"],
    ),
    "sinkhorn": (sinkhorn, {"cost": generator.random((3, 4))}, ["cost"]),
    "tsne": (tsne, {"Y": draw(4, 2), "P": _P}, ["Y"]),
    "policy_gradient": (
        policy_gradient,
        {"theta": draw(3, 2), "states": draw(4, 3), "actions": generator.integers(2, size=4),
         "rewards": draw(4)},
        ["theta"],
    ),
}  # fmt: skip
