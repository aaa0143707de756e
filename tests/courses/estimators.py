"""Objectives of estimators, as libraries write them."""
import numpy as np
from scipy import special


def logistic_loss(w, X, y, alpha, sample_weight=None):
    """The intercept is the last entry of w."""
    n_samples, n_features = X.shape
    grad = np.empty_like(w)
    c = w[-1]
    coef = w[:-1]
    z = X @ coef + c
    yz = y * z
    if sample_weight is None:
        sample_weight = np.ones(n_samples)
    out = -np.sum(sample_weight * -np.logaddexp(0, -yz)) + 0.5 * alpha * np.dot(coef, coef)
    z = special.expit(yz)
    z0 = sample_weight * (z - 1) * y
    grad[:n_features] = X.T @ z0 + alpha * coef
    grad[-1] = z0.sum()
    return out, grad


def huber_loss_and_gradient(w, X, y, epsilon, alpha, sample_weight=None):
    n, p = X.shape
    if sample_weight is None:
        sample_weight = np.ones(n)
    intercept = w[-2] if p + 2 == w.shape[0] else 0
    sigma = w[-1]
    r = y - X @ w[:p] - intercept
    out = np.abs(r) > epsilon * sigma
    loss = n * sigma
    loss += np.sum(2 * epsilon * np.abs(r[out]) - sigma * epsilon ** 2)
    loss += np.sum(r[~out] ** 2) / sigma + alpha * w[:p] @ w[:p]
    grad = np.zeros_like(w)
    grad[:p] = -2 / sigma * X[~out].T @ r[~out] - 2 * epsilon * X[out].T @ np.sign(r[out]) + 2 * alpha * w[:p]
    grad[-1] = n - out.sum() * epsilon ** 2 - np.sum(r[~out] ** 2) / sigma ** 2
    if p + 2 == w.shape[0]:
        grad[-2] = -2 * np.sum(r[~out]) / sigma - 2 * epsilon * np.sum(np.sign(r[out]))
    return loss, grad


def nca_loss(transformation, X, same_class_mask, sign=1.0):
    transformation = transformation.reshape(-1, X.shape[1])
    Z = X @ transformation.T
    d = ((Z[:, None] - Z[None]) ** 2).sum(-1)
    np.fill_diagonal(d, np.inf)
    p = np.exp(-d - special.logsumexp(-d, axis=1)[:, None])
    masked = p * same_class_mask
    pi = masked.sum(axis=1, keepdims=True)
    loss = pi.sum()
    W = masked - p * pi
    Ws = W + W.T
    np.fill_diagonal(Ws, -W.sum(axis=0))
    gradient = 2 * Z.T @ Ws @ X
    return sign * loss, sign * gradient.ravel()


def kalman_nll(params, y):
    q, r = np.exp(params)
    m, P, nll = 0.0, 1.0, 0.0
    for v in y:
        P = P + q
        S = P + r
        e = v - m
        nll += 0.5 * (np.log(S) + e * e / S)
        K = P / S
        m, P = m + K * e, (1 - K) * P
    return nll


def kalman_nll_grad(params, y):
    q, r = np.exp(params)
    m, P = 0.0, 1.0
    dm, dP, g = np.zeros(2), np.zeros(2), np.zeros(2)
    dq, dr = np.array([q, 0]), np.array([0, r])
    for v in y:
        P, dP = P + q, dP + dq
        S, dS = P + r, dP + dr
        e, de = v - m, -dm
        g += 0.5 * (dS / S + 2 * e * de / S - e * e * dS / S ** 2)
        K, dK = P / S, dP / S - P * dS / S ** 2
        m, dm = m + K * e, dm + dK * e + K * de
        P, dP = (1 - K) * P, -dK * P + (1 - K) * dP
    return g


def cost_and_gradient(theta, args):
    X, y, lam = args["X"], args["y"], args["lam"]
    r = X @ theta - y
    return r @ r + lam * theta @ theta, 2 * X.T @ r + lam * theta


args = {"X": np.arange(15.0).reshape(5, 3), "y": np.arange(5.0), "lam": 0.3}
