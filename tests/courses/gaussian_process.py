"""Gaussian process marginal likelihood and a logistic regression in 0/1 with yn in {-1,1}."""
import numpy as np


def neg_log_marginal(theta, X, y):
    ell, sf, sn = np.exp(theta)
    d2 = (X[:, None] - X[None, :]) ** 2
    K = sf ** 2 * np.exp(-0.5 * d2 / ell ** 2)
    Ky = K + sn ** 2 * np.eye(len(X))
    L = np.linalg.cholesky(Ky)
    alpha = np.linalg.solve(L.T, np.linalg.solve(L, y))
    nll = 0.5 * y @ alpha + np.log(np.diag(L)).sum() + 0.5 * len(X) * np.log(2 * np.pi)
    Kinv = np.linalg.inv(Ky)
    A = np.outer(alpha, alpha) - Kinv
    dK = [K * d2 / ell ** 2, 2 * K, 2 * sn ** 2 * np.eye(len(X))]
    g = np.array([-0.5 * np.sum(A * d) for d in dK])
    return nll, g
