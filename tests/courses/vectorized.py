import numpy as np

softplus = np.vectorize(lambda v: np.log1p(np.exp(v)))
dsoftplus = np.vectorize(lambda v: 1 / (1 + np.exp(-v)))


def loss(x):
    return softplus(x).sum()


def grad(x):
    return dsoftplus(x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sigmoid_derivative(x):
    return x * (1 - x)
