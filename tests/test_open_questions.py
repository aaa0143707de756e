"""What an inconclusive check says hides the gradient is what does."""

from __future__ import annotations

import numpy as np
import pytest
from test_diagnose_patterns import evidence

import gradcheck
from gradcheck.diagnose.precision import low_precision
from gradcheck.report import Verdict


def layer(spoil):
    def loss(w, v, X):
        h = np.tanh(X @ w)
        residual = h @ v
        back = np.outer(2 * residual, v) * (1 - h**2)
        return np.sum(residual**2), {"w": spoil * (X.T @ back), "v": h.T @ (2 * residual)}

    return loss


def twin(stops, factor=1.0):
    torch = pytest.importorskip("torch")

    def loss(w, v, X):
        h = torch.tanh(X @ w)
        return factor * ((h.detach() if stops else h) @ v).square().sum()

    return loss


@pytest.fixture
def inputs():
    draw = np.random.default_rng(0)
    return {name: draw.normal(size=n) for name, n in (("w", (4, 3)), ("v", 3), ("X", (7, 4)))}


def test_a_twin_with_the_same_mistake_is_not_said_to_be_contradicted_by_the_gradient(inputs):
    found = gradcheck.check(layer(0.0), inputs, torch=twin(stops=True))
    assert found.verdict is Verdict.INCONCLUSIVE
    (diagnosis,) = found.diagnoses
    assert diagnosis.cause == "wrong_twin"
    assert "loss contradict the analytic gradient of w" in diagnosis.message
    assert "detach()" in diagnosis.remedy
    # near miss: the gradient is right, and the twin another loss
    found = gradcheck.check(layer(1.0), inputs, torch=twin(stops=False, factor=1.1))
    (diagnosis,) = found.diagnoses
    assert "The analytic gradient agrees with central differences" in diagnosis.message


def test_a_gradient_that_underflows_is_hidden_by_its_own_rounding():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    w, X = (torch.randn(size).to(torch.float16) for size in ((6,), (5, 6)))

    def loss(w, X):
        return torch.tanh(X @ w).mean() * 1e-5

    found = gradcheck.check(loss, {"w": w.requires_grad_(True), "X": X})
    assert found.verdict is Verdict.INCONCLUSIVE
    (diagnosis,) = found.diagnoses
    assert "rounding may have moved the analytic gradient, computed in float16" in diagnosis.message
    assert diagnosis.evidence["rounding"] > 1e-8


def test_a_loss_that_jitters_hides_a_gradient():
    def loss(w):
        return np.sum(np.sin(w)) * 1e-9 + 1e8, 1e-9 * np.cos(w)

    found = gradcheck.check(loss, np.linspace(0.1, 1, 5), autograd=False)
    assert found.verdict is Verdict.INCONCLUSIVE
    (diagnosis,) = found.diagnoses
    assert "the loss 1e+08 jitters by" in diagnosis.message


def test_a_gradient_kept_in_bfloat16_is_not_said_to_be_float16():
    draw = np.random.default_rng(1)
    right = draw.normal(size=(8, 3))
    for bits, name in ((16, "bfloat16"), (0, "float32")):
        kept = right.astype(np.float32).view(np.uint32) >> bits << bits
        claimed = kept.astype(np.uint32).view(np.float32).astype(float)
        (found,) = low_precision(evidence({"V": claimed}, {"V": right}, relative=1e-14))
        assert found.evidence["dtype"] == name


def test_what_cancels_near_one_is_not_said_to_be_single_precision():
    # multiples of 2^-53 are float32 numbers
    right = np.exp(-np.random.default_rng(1).uniform(25, 27, 12))
    claimed = 1.0 - (1.0 - right)
    assert (claimed == claimed.astype(np.float32)).all()
    assert low_precision(evidence({"V": claimed}, {"V": right}, relative=1e-14)) == ()


def random_loss(spread, factor=1.0):
    generator = np.random.default_rng(5)

    def loss(w):
        return float(np.sum(w * w) + spread * generator.normal()), 2 * factor * w

    return loss


def test_a_loss_that_stays_random_is_not_sent_to_float64():
    w = np.array([2.0, -1.0, 0.5])
    found = gradcheck.check(random_loss(0.5), w)
    (diagnosis,) = found.diagnoses
    assert (found.verdict, diagnosis.cause) == (Verdict.INCONCLUSIVE, "precision_limited")
    assert "is random: at one and the same point it spreads by 0.5" in diagnosis.message
    assert "float64" not in diagnosis.remedy
    assert "pass the generator or the draws as an input" in diagnosis.remedy
    assert "--repeats 100)" in diagnosis.remedy
    # What it names helps: a coarse mistake is told, and of the right one more is asked again.
    assert gradcheck.check(random_loss(0.5, -1.0), w, repeats=100).verdict is Verdict.FAIL
    (diagnosis,) = gradcheck.check(random_loss(0.5), w, repeats=100).diagnoses
    assert "the mean of 100 calls each time" in diagnosis.message
    assert "--repeats 1000)" in diagnosis.remedy


def test_passing_the_generator_makes_it_exact():
    def loss(w, generator):
        return float(np.sum(w * w) + 0.5 * generator.normal()), {"w": 2 * w}

    w = np.array([2.0, -1.0, 0.5])
    inputs = {"w": w, "generator": np.random.default_rng(5)}
    found = gradcheck.check(loss, inputs, autograd=False)
    assert found.verdict is Verdict.PASS
    assert not found.warnings
