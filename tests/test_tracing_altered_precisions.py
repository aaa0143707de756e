"""Altered derivatives where precisions meet: a float32 operand gets a float32 cotangent."""

import numpy as np
import pytest

pytest.importorskip("torch")

from gradcheck.tracing import Alteration, trace

SCALE = np.full(3, np.sqrt(2.0))
SQUARE = np.random.default_rng(3).normal(size=(3, 3))
WEIGHTS = np.random.default_rng(4).normal(size=(3, 3))


def backward(loss, name, kind, operand):
    values = {"W": WEIGHTS.copy()}
    traced = trace(loss, (), values, values)
    (index,) = [op.index for op in traced.operations if op.name == name]
    return traced.backward({index: Alteration(kind, operand=operand)})["W"]


def test_a_factor_in_double_precision_applied_twice():
    def loss(W):
        return np.sum(W.astype(np.float32) / SCALE)

    found = backward(loss, "divide", "twice", 0)
    np.testing.assert_allclose(found, np.full((3, 3), 0.5), rtol=1e-6)


def test_another_factor_in_double_precision_transposed():
    def loss(W):
        return np.sum(np.square(W.astype(np.float32) @ SQUARE))

    result = 2 * WEIGHTS @ SQUARE
    found = backward(loss, "matmul", "transpose_operand", 0)
    np.testing.assert_allclose(found, result @ SQUARE, rtol=1e-5)

    def turned(W):
        return np.sum(np.square(SQUARE @ W.astype(np.float32)))

    result = 2 * SQUARE @ WEIGHTS
    found = backward(turned, "matmul", "transpose_operand", 1)
    np.testing.assert_allclose(found, SQUARE @ result, rtol=1e-5)
