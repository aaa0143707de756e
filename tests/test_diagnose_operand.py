"""A mistake on the way of one operand is told of that operand, not of the operation."""

import numpy as np

import gradcheck


def said(loss, **parameters):
    (diagnosis,) = gradcheck.check(loss, parameters).diagnoses
    return diagnosis


def test_the_phase_of_a_wave_is_the_operand_with_the_wrong_sign():
    t, rng = np.linspace(0, 3, 12), np.random.default_rng(0)
    signal = rng.normal(size=t.size)

    def loss(p):
        amplitude, rate, phase = p
        angle = rate * t + phase
        off = amplitude * np.cos(angle) - signal
        slope = -2 * off @ (amplitude * np.sin(angle) * t)
        shift = 2 * off @ (amplitude * np.sin(angle))  # not negated
        return off @ off, np.array([2 * off @ np.cos(angle), slope, shift])

    found = said(loss, p=np.array([2.0, 1.5, 0.3]))
    assert found.cause == "sign"
    assert "through the second operand of the `add`" in found.message
    assert "angle = rate * t + phase" in found.location.source


def test_one_factor_of_a_squared_length_is_not_the_regulariser():
    rng = np.random.default_rng(1)
    target = rng.normal(size=9)

    def ridge(p):
        w = p["w"]
        loss = ((w - target) ** 2).sum() + 0.15 * w @ w
        return loss, {"w": 2 * (w - target) + 0.6 * w}

    found = said(ridge, w=rng.normal(size=9))
    assert found.cause == "reg_scale"
    assert "the regulariser in the `matmul`" in found.message
    assert "counts 2 times" in found.message


def test_a_chain_of_operations_is_named_by_all_of_them():
    rng = np.random.default_rng(2)
    rest = np.full(6, 1.2) + 0.1 * rng.normal(size=6)

    def springs(x):
        length = np.sqrt(np.sum(x**2, axis=1))
        loss = np.sum((length - rest) ** 2)
        return loss, 2 * (length - rest)[:, None] * x  # not divided by the length

    found = said(springs, x=rng.normal(size=(6, 3)))
    assert "the chain of `sqrt` and `subtract` that ends in line" in found.message
    lines = [found.location.source, *(place.source for place in found.also)]
    assert any("np.sqrt" in line for line in lines)
    assert found.remedy == "Multiply by the derivatives of all operations of the chain."
