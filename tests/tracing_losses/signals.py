"""Signals, images, numerical integration, robust statistics."""

import functools
import itertools
import math

import numpy as np

generator = np.random.default_rng(14)
# of NumPy 2, and of NumPy 1
trapezoid = getattr(np, "trapezoid", None) or getattr(np, "trapz")


def draw(*shape, scale=0.8):
    return scale * generator.normal(size=shape)


def total_variation(image, noisy, lam=0.3):
    dx = np.diff(image, axis=1)
    dy = image[1:, :] - image[:-1, :]
    return 0.5 * np.sum((image - noisy) ** 2) + lam * (
        np.sqrt(dx**2 + 1e-3).sum() + np.sum(np.sqrt(dy * dy + 1e-3))
    )


def deconvolution(signal, kernel, observed):
    return np.sum((np.convolve(signal, kernel, mode="same") - observed) ** 2)


def filter_fir(x, taps, target):
    y = np.zeros_like(target)
    for k, tap in enumerate(taps):
        y += tap * np.roll(x, k)
    return np.mean(np.abs(y - target))


def iir(x, a, b):
    y = np.zeros(len(x))
    for n in range(len(x)):
        y[n] = b[0] * x[n]
        if n >= 1:
            y[n] += b[1] * x[n - 1] - a[0] * y[n - 1]
        if n >= 2:
            y[n] -= a[1] * y[n - 2]
    return np.sum(y**2)


def euler_pendulum(state, params, steps=8, dt=0.1):
    theta, omega = state
    g, damping = params
    energy = 0.0
    for _ in range(steps):
        theta, omega = theta + dt * omega, omega - dt * (g * np.sin(theta) + damping * omega)
        energy += 0.5 * omega**2 + g * (1 - math.cos(theta))
    return energy


def runge_kutta(y0, A, target, h=0.2):
    def f(y):
        return np.tanh(A @ y)

    y = y0.copy()
    for _ in range(3):
        k1 = f(y)
        k2 = f(y + 0.5 * h * k1)
        k3 = f(y + h / 2 * k2)
        k4 = f(y + h * k3)
        y += h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return ((y - target) ** 2).sum()


def heat_equation(u, source):
    u = u.copy()
    for _ in range(4):
        u[1:-1] += 0.2 * (u[2:] - 2 * u[1:-1] + u[:-2]) + source[1:-1]
        u[0], u[-1] = 0.0, u[-2]
    return trapezoid(u**2, dx=0.1)


def gauss_seidel(u, f):
    u = np.array(u)
    for _ in range(2):
        for i in range(1, u.shape[0] - 1):
            for j in range(1, u.shape[1] - 1):
                u[i, j] = 0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1] - f[i, j])
    return (u**2).sum()


def huber(w, X, y, delta=0.5):
    r = np.abs(X @ w - y)
    quadratic = np.minimum(r, delta)
    return np.sum(0.5 * quadratic**2 + delta * (r - quadratic))


def quantile_loss(w, X, y, tau=0.3):
    e = y - X.dot(w)
    return np.mean(np.maximum(tau * e, (tau - 1) * e))


def sorted_losses(x, weights):
    ordered = np.sort(x)[::-1]
    return np.dot(ordered, weights) + np.median(x) + np.percentile(x, 30)


def top_k(x, w, k=2):
    best = np.argsort(x @ w)[-k:]
    return x[best].sum() + np.max(x @ w)


def soft_histogram(x, centres, width):
    d = np.subtract.outer(x, centres) / width
    h = np.exp(-(d**2)).sum(axis=0)
    h /= h.sum()
    return -np.sum(h * np.log(h))


def polynomial(coefficients, x, y):
    V = np.vander(x, len(coefficients))
    fit = V @ coefficients
    horner = functools.reduce(lambda total, c: total * x + c, coefficients)
    return np.sum((fit - y) ** 2) + np.sum(horner) + np.polyval(coefficients, 0.3)


def interpolation(values, at, knots):
    return np.sum(np.interp(at, knots, values) ** 3)


def bilinear_image(image, angle):
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.array([[c, -s], [s, c]])
    grid = np.stack(np.meshgrid(np.arange(1, 3), np.arange(1, 3), indexing="ij"), axis=-1) - 1.7
    where = grid.reshape(-1, 2) @ rotation + 1.7
    low = np.floor(where).astype(int)
    t = where - low
    low = np.clip(low, 0, 2)
    i, j = low[:, 0], low[:, 1]
    total = (1 - t[:, 0]) * image[i, j] + t[:, 0] * image[i + 1, j] + t[:, 1] * image[i, j + 1]
    return np.sum(total**2)


def pairwise_energy(positions, charges):
    total = 0.0
    for i, j in itertools.combinations(range(len(positions)), 2):
        total += charges[i] * charges[j] / np.linalg.norm(positions[i] - positions[j])
    return total


def segment_sums(values, segments, scale):
    sums = np.zeros(segments.max() + 1)
    np.add.at(sums, segments, values * scale)
    return (sums**2).sum()


def graph_convolution(A, X, W):
    A_hat = A + np.eye(A.shape[0])
    D = np.diag(1 / np.sqrt(A_hat.sum(axis=1)))
    H = D.dot(A_hat).dot(D) @ X @ W
    return np.log(np.sum(np.exp(H), axis=1)).prod()


def kron_block(A, B):
    big = np.block([[A, np.zeros((2, 2))], [np.kron(np.eye(1), B), B.T]])
    return np.trace(big @ big) + big.ravel(order="F")[::3].sum()


def spherical(points):
    x, y, z = points.T
    r = np.hypot(np.hypot(x, y), z)
    return np.sum(np.arctan2(y, x) ** 2 + np.arccos(z / r)) + np.cross(points[0], points[1]).sum()


LOSSES = {
    "total_variation": (total_variation, {"image": draw(4, 5), "noisy": draw(4, 5)}, ["image"]),
    "deconvolution": (
        deconvolution, {"signal": draw(8), "kernel": draw(3), "observed": draw(8)},
        ["signal", "kernel"],
    ),
    "filter_fir": (filter_fir, {"x": draw(7), "taps": draw(3), "target": draw(7)}, ["x", "taps"]),
    "iir": (iir, {"x": draw(6), "a": draw(2), "b": draw(2)}, ["x", "a", "b"]),
    "euler_pendulum": (
        euler_pendulum, {"state": draw(2), "params": np.array([9.8, 0.1])}, ["state", "params"],
    ),
    "runge_kutta": (
        runge_kutta, {"y0": draw(3), "A": draw(3, 3), "target": draw(3)}, ["y0", "A"],
    ),
    "heat_equation": (heat_equation, {"u": draw(7), "source": draw(7)}, ["u", "source"]),
    "gauss_seidel": (gauss_seidel, {"u": draw(4, 4), "f": draw(4, 4)}, ["u", "f"]),
    "huber": (huber, {"w": draw(3), "X": draw(6, 3), "y": draw(6)}, ["w"]),
    "quantile_loss": (quantile_loss, {"w": draw(3), "X": draw(6, 3), "y": draw(6)}, ["w"]),
    "sorted_losses": (sorted_losses, {"x": draw(6), "weights": draw(6)}, ["x", "weights"]),
    "top_k": (top_k, {"x": draw(5, 3), "w": draw(3)}, ["x", "w"]),
    "soft_histogram": (
        soft_histogram, {"x": draw(7), "centres": np.linspace(-1, 1, 4), "width": np.array(0.7)},
        ["x", "centres", "width"],
    ),
    "polynomial": (
        polynomial, {"coefficients": draw(4), "x": draw(5), "y": draw(5)}, ["coefficients", "x"],
    ),
    "interpolation": (
        interpolation,
        {"values": draw(5), "at": np.array([0.3, 1.7, 3.2]), "knots": np.arange(5.0)},
        ["values", "at"],
    ),
    "bilinear_image": (
        bilinear_image, {"image": draw(4, 4), "angle": np.array(0.2)}, ["image", "angle"],
    ),
    "pairwise_energy": (
        pairwise_energy, {"positions": draw(4, 3), "charges": draw(4)}, ["positions", "charges"],
    ),
    "segment_sums": (
        segment_sums,
        {"values": draw(6), "segments": np.array([0, 2, 1, 0, 2, 2]), "scale": np.array(1.3)},
        ["values", "scale"],
    ),
    "graph_convolution": (
        graph_convolution,
        {"A": generator.random((4, 4)), "X": draw(4, 3), "W": draw(3, 2)},
        ["A", "X", "W"],
    ),
    "kron_block": (kron_block, {"A": draw(2, 2), "B": draw(2, 2)}, ["A", "B"]),
    "spherical": (spherical, {"points": draw(4, 3)}, ["points"]),
}  # fmt: skip
