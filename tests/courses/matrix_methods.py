import numpy as np


def matrix_factorization_loss(U, V, R, lam=0.1):
    mask = R > 0
    E = (U @ V.T - R) * mask
    return 0.5 * np.sum(E ** 2) + 0.5 * lam * (np.sum(U ** 2) + np.sum(V ** 2))


def matrix_factorization_grad(U, V, R, lam=0.1):
    mask = R > 0
    E = (U @ V.T - R) * mask
    return E @ V + lam * U, E.T @ U + lam * V


def kl_divergence(Y, P):
    """t-SNE"""
    d = np.sum((Y[:, None] - Y[None]) ** 2, axis=2)
    num = 1 / (1 + d)
    np.fill_diagonal(num, 0)
    Q = np.maximum(num / num.sum(), 1e-12)
    C = np.sum(P * np.log(np.maximum(P, 1e-12) / Q))
    PQ = (P - Q) * num
    grad = 4 * (np.diag(PQ.sum(axis=1)) - PQ) @ Y
    return C, grad


def attention(Q, K, V):
    S = Q @ K.T / np.sqrt(Q.shape[1])
    A = np.exp(S - S.max(axis=1, keepdims=True))
    A /= A.sum(axis=1, keepdims=True)
    return A @ V, (Q, K, V, A)


def attention_backward(dO, cache):
    Q, K, V, A = cache
    dV = A.T @ dO
    dA = dO @ V.T
    dS = A * (dA - np.sum(dA * A, axis=1, keepdims=True))
    return dS @ K, dS.T @ Q, dV


P = np.full((7, 7), 1 / 42)
np.fill_diagonal(P, 0)
