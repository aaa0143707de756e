import math


def f(x):
    """x: list of floats"""
    return sum((xi - i) ** 2 for i, xi in enumerate(x)) + math.exp(x[0])


def df(x):
    g = [2 * (xi - i) for i, xi in enumerate(x)]
    g[0] += math.exp(x[0])
    return g


def cost(w, b, xs, ys):
    m = len(xs)
    return sum((w * x + b - y) ** 2 for x, y in zip(xs, ys)) / (2 * m)


def compute_gradient(w, b, xs, ys):
    m = len(xs)
    dj_dw = dj_db = 0.0
    for x, y in zip(xs, ys):
        e = w * x + b - y
        dj_dw += e * x
        dj_db += e
    return dj_dw / m, dj_db / m


xs = [1.0, 2.0, 3.5]
ys = [300.0, 500.0, 700.0]
