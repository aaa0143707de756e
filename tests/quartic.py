"""A loss of four parameters with its right gradient, and what is read from a check of it."""

import numpy as np

X4 = np.random.default_rng(5).normal(size=4)


def quartic(x):
    return np.sum(x**4), 4 * x**3


def keys(result):
    return [notice.key for notice in result.warnings]


def causes(result):
    return [one.cause for one in result.diagnoses]
