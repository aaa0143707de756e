"""Where noise asks for long steps, what kinks between them make of a slope is no contradiction."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import gradcheck
from gradcheck.noise import Noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles.companions import by_companions
from gradcheck.oracles.estimate import smooth_estimate
from gradcheck.oracles.walk import Slope, Walk
from gradcheck.sweep.moves import Block

SINGLE = Noise(1e-7, 1.0, np.dtype(np.float32))
DOUBLE = Noise(1e-16, 1.0, np.dtype(np.float64))


def widened(deviations, uncertainties):
    """Return what companions leave of the uncertainties of entries that far off the claim."""
    claimed = np.linspace(1.0, 2.0, len(deviations))
    problem = numpy_problem(lambda x: (1.0, {"x": claimed}), {"x": np.ones(len(deviations))})
    estimate = smooth_estimate("central", claimed + deviations, np.array(uncertainties))
    (found,) = by_companions(problem, {"x": estimate}).values()
    return found.uncertainty.tolist()


USUAL = [0.01] * 19


def test_an_entry_off_by_what_the_others_are_unsure_of_stays_open():
    assert widened([0.02, *[0.0] * 19], [0.001, *USUAL]) == pytest.approx([1.02, *USUAL])


@pytest.mark.parametrize(
    "deviations",
    [
        [0.5, *[0.0] * 19],  # more than chance makes of an uncertainty of 0.01
        [0.02] * 12 + [0.0] * 8,  # most of them
        [0.02, *[0.0] * 14],  # few entries
    ],
)
def test_but_not_what_chance_does_not_explain(deviations):
    given = [0.001, *USUAL][: len(deviations)]
    assert widened(deviations, given) == given


def test_a_loss_of_full_precision_asks_for_no_long_steps():
    assert SINGLE.coarse
    assert not DOUBLE.coarse


def test_neither_kinks_nor_edges_nor_what_was_not_looked_at_count():
    claimed = np.ones(18)
    problem = numpy_problem(lambda x: (1.0, {"x": claimed}), {"x": np.ones(18)})
    off = np.array([0.02, 0.0, np.nan, *[0.0] * 15])
    estimate = smooth_estimate("central", claimed + off, np.full(18, 0.01))
    kinks, edges = np.zeros((2, 18), dtype=bool)
    kinks[0] = edges[1] = True
    marked = dataclasses.replace(estimate, kinks=kinks, edges=edges)
    (found,) = by_companions(problem, {"x": marked}).values()
    assert found.uncertainty.tolist() == [0.01] * 18


def bent(near):
    """Return a loss in float32 of slope ``near`` up to 1e-3 on both sides, and 1 beyond."""

    def loss(x):
        at = float(x[0]) - 1.0
        outer = at - np.sign(at) * 1e-3
        value = near * at if abs(at) < 1e-3 else near * np.sign(at) * 1e-3 + outer
        return float(np.float32(1.0 + value)), {"x": np.array([near])}

    return numpy_problem(loss, {"x": np.ones(1)})


@pytest.mark.parametrize(
    ("claimed", "noise", "refuted"),
    [(1.2, SINGLE, True), (1.4, SINGLE, False), (1.0009, SINGLE, False), (1.2, DOUBLE, False)],
)
def test_a_shorter_step_that_agrees_with_a_claim_refutes_a_contradiction(claimed, noise, refuted):
    walk = Walk(bent(1.2), noise, [Block(0, (), np.ones(1))], base=4e-3)
    walk.look([0])
    seen = Slope(1.0, 1e-4, 4e-3, settled=True, noise_limited=True)
    assert walk.refutes(claimed, 0.0, seen) is refuted


def rectifiers(seed, rows=20, inputs=12, hidden=24, classes=4):
    """Two layers of rectifiers and a softmax, computed and differentiated by hand in float32."""
    draw, low = np.random.default_rng(seed), np.float32
    data, labels = draw.normal(size=(rows, inputs)).astype(low), draw.integers(0, classes, rows)
    sizes = {"A": (inputs, hidden), "B": (hidden, hidden), "C": (hidden, classes)}
    start = {k: (draw.normal(size=s) / s[0] ** 0.5).astype(low) for k, s in sizes.items()}

    def loss(A, B, C):
        A, B, C = (one.astype(low) for one in (A, B, C))
        first = data @ A
        second = np.maximum(first, 0) @ B
        scores = np.maximum(second, 0) @ C
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances = powers / powers.sum(axis=1, keepdims=True)
        value = -np.log(chances[np.arange(rows), labels]).mean()
        back = (chances - np.eye(classes, dtype=low)[labels]) / low(rows)
        inner = back @ C.T * (second > 0)
        outer = inner @ B.T * (first > 0)
        grads = {"A": data.T @ outer, "B": np.maximum(first, 0).T @ inner}
        return value, grads | {"C": np.maximum(second, 0).T @ back}

    return loss, start


@pytest.mark.slow
@pytest.mark.parametrize("autograd", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_right_network_of_rectifiers_in_single_precision_does_not_fail(seed, autograd):
    loss, start = rectifiers(seed)
    assert gradcheck.check(loss, start, autograd=autograd).verdict != "fail"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_wrong_one_does(seed):
    loss, start = rectifiers(seed)

    def wrong(A, B, C):
        value, grads = loss(A, B, C)
        return value, grads | {"B": 1.5 * grads["B"]}

    check = gradcheck.check(wrong, start, autograd=False)
    assert check.verdict == "fail"
    assert [name for name, one in check.parameters.items() if one.verdict == "fail"] == ["B"]
