import numpy as np
from scipy.optimize import minimize


def fun(x, a, b):
    return (x[0] - a) ** 2 + b * (x[1] - x[0] ** 2) ** 2


def jac(x, a, b):
    return np.array([2 * (x[0] - a) - 4 * b * x[0] * (x[1] - x[0] ** 2),
                     b * (x[1] - x[0] ** 2)])


def objective(params, t, data):
    A, k, c = params
    r = A * np.exp(-k * t) + c - data
    return np.sum(r ** 2)


def objective_grad(params, t, data):
    A, k, c = params
    e = np.exp(-k * t)
    r = A * e + c - data
    return np.array([np.sum(2 * r * e), np.sum(-2 * r * A * t * e), np.sum(2 * r)])


if __name__ == "__main__":
    print(minimize(fun, [0.0, 0.0], args=(1.0, 100.0), jac=jac))
