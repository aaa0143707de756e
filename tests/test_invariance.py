"""Verdicts do not depend on units or order: rescaling and permuting change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from closed_forms import SMOOTH
from hypothesis import given, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck import Verdict

FORMS = {form.name: form for form in SMOOTH}
POWERS = st.integers(-20, 20)


def verdict(target, x):
    return gradcheck.check(target, x, autograd=False).verdict


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(FORMS)),
    seed=st.integers(0, 1000),
    loss_power=POWERS,
    parameter_power=POWERS,
    factor=st.sampled_from([1.0, 1.001, 0.5, -1.0]),
)
def test_units_do_not_matter(name, seed, loss_power, parameter_power, factor):
    form = FORMS[name]
    x = form.draw(np.random.default_rng(seed))
    c, d = 2.0**loss_power, 2.0**parameter_power

    def plain(x):
        return form.loss(x), factor * form.gradient(x)

    def rescaled(x):
        return c * form.loss(x / d), (c / d) * factor * form.gradient(x / d)

    expected = Verdict.PASS if factor == 1.0 else Verdict.FAIL
    assert verdict(plain, x) is expected
    assert verdict(rescaled, d * x) is expected


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(sorted(FORMS)),
    seed=st.integers(0, 1000),
    order=st.permutations(range(5)),
    position=st.integers(0, 4),
    factor=st.sampled_from([1.0, 1.01]),
)
def test_order_does_not_matter(name, seed, order, position, factor):
    form = FORMS[name]
    x = form.draw(np.random.default_rng(seed))
    order = np.array(order)
    inverse = np.argsort(order)
    # One entry is wrong: the largest but ``position``.
    wrong = np.ones(5)
    wrong[np.argsort(-np.abs(form.gradient(x)))[min(position, 1)]] = factor

    def plain(x):
        return form.loss(x), wrong * form.gradient(x)

    def permuted(z):
        return form.loss(z[inverse]), (wrong * form.gradient(z[inverse]))[order]

    assert verdict(plain, x) is verdict(permuted, x[order])


@pytest.mark.parametrize("shape", [(12,), (3, 4), (4, 3), (2, 3, 2), (1, 12), (12, 1, 1)])
def test_shape_does_not_matter(shape):
    x = np.random.default_rng(0).normal(size=12)
    flat = gradcheck.check(lambda x: (np.sum(np.sin(x)), np.cos(x)), x, autograd=False)
    shaped = gradcheck.check(
        lambda x: (np.sum(np.sin(x)), np.cos(x)), x.reshape(shape), autograd=False
    )
    assert flat.verdict is shaped.verdict is Verdict.PASS
    assert flat.parameters["x"].resolution == pytest.approx(shaped.parameters["x"].resolution, 0.1)


def test_the_same_seed_gives_the_same_check_and_another_the_same_verdict():
    x = np.random.default_rng(0).normal(size=(3, 4))

    def loss(x):
        return np.sum(np.sin(x)), np.cos(x) * 1.001

    first = gradcheck.check(loss, x, autograd=False, seed=3)
    again = gradcheck.check(loss, x, autograd=False, seed=3)
    other = gradcheck.check(loss, x, autograd=False, seed=4)
    assert first.to_dict() == again.to_dict()
    assert other.verdict is first.verdict is Verdict.FAIL
