"""Arrays that tell the axes apart: of three different lengths, and matrices without symmetry."""

import numpy as np

generator = np.random.default_rng(77)
A, B = generator.normal(size=(2, 3, 4)).round(3)
C = generator.normal(size=(2, 3, 4)).round(3)
D = generator.normal(size=(3, 4, 5)).round(3)
V, U = np.array([0.7, -1.4, 0.25, 1.8]), np.array([1.1, -0.3, 0.6])
S = generator.normal(size=(3, 3)).round(3) + 3 * np.eye(3)
P = np.abs(A) + 0.4
MASK = generator.random((2, 3, 4)) < 0.6
X = generator.normal(size=9).round(3)
POINTS, OTHERS = generator.normal(size=(4, 3)).round(3), generator.normal(size=(5, 3)).round(3) + 4


def stack(s):
    return np.stack([s, 2 * s + np.eye(3), s.T])


def missing(c):
    return np.where(MASK, c, np.nan)


def symmetric(s):
    return s @ s.T + np.diag([1.0, 5.0, 9.0])
