"""A verdict does not depend on whether its cause could be searched for."""

import numpy as np
import pytest

import gradcheck
from gradcheck.diagnose import ranking


def doubled(x):
    return np.sum(x**2), {"x": 4 * x}


def test_a_search_that_breaks_leaves_the_verdict_and_says_so(monkeypatch):
    def broken(evidence):
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr(ranking, "match_patterns", broken)
    check = gradcheck.check(doubled, {"x": np.array([1.0, 2.0])}, autograd=False)
    assert check.verdict is gradcheck.Verdict.FAIL
    assert check.diagnoses[0].cause == "unexplained"
    assert "ZeroDivisionError: no such luck" in check.diagnoses[0].message


@pytest.mark.parametrize("autograd", [True, False])
def test_a_search_that_works_names_the_cause(autograd):
    check = gradcheck.check(doubled, {"x": np.array([1.0, 2.0])}, autograd=autograd)
    assert check.diagnoses[0].cause != "unexplained"


@pytest.mark.parametrize("autograd", [True, False])
@pytest.mark.parametrize("factor", [0.5, 2.0, 3.0])
def test_a_square_that_is_all_of_the_loss_is_no_regulariser(autograd, factor):
    def loss(x):
        return np.sum(x**2), {"x": factor * 2 * x}

    check = gradcheck.check(loss, {"x": np.array([1.0, 2.0, 3.3, -0.7])}, autograd=autograd)
    assert check.diagnoses[0].cause == "scale"


def test_an_approximate_gradient_is_said_to_be_one_rather_than_hidden_by_noise():
    off = 1 + 6e-8
    found = gradcheck.check(lambda x: (np.sum(np.sin(x)), np.cos(x) * off), np.arange(1.0, 6.0))
    assert found.verdict is gradcheck.Verdict.INCONCLUSIVE
    (diagnosis,) = found.diagnoses
    assert diagnosis.cause == "precision_limited"
    assert "off by at most 6e-08 of its size at 5 of 5 entries" in diagnosis.message
    assert "jitters" not in diagnosis.message


@pytest.mark.parametrize("in_place", [True, False])
def test_a_torch_target_whose_operations_cannot_be_recorded_says_so(in_place):
    torch = pytest.importorskip("torch")

    class Tripled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 3 * x

        @staticmethod
        def backward(ctx, cotangent):
            return 2 * cotangent

    def loss(x):
        y = x * 1.5
        y = y.add_(1.0) if in_place else y + 1.0
        return torch.sum(Tripled.apply(y))

    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    check = gradcheck.check(loss, {"x": x})
    assert check.verdict is gradcheck.Verdict.FAIL
    said = [notice.message for notice in check.warnings if notice.key == "not_traceable"]
    assert len(said) == in_place
    assert all("changed in place" in text for text in said)
