"""A backward pass that works in the precision of its inputs alone is audited there."""

from __future__ import annotations

import pytest
import torch

import gradcheck
from gradcheck.audit import audit
from gradcheck.report import Diagnosis, Notice

Y = torch.tensor([0, 1, 2, 0])
ROWS = torch.arange(4)


class Hinge(torch.autograd.Function):
    """The mean multi-class hinge loss; its backward has a constant in torch's default dtype."""

    @staticmethod
    def forward(ctx, s):
        margins = (s - s.gather(1, Y[:, None]) + 1).clamp(min=0).scatter(1, Y[:, None], 0.0)
        ctx.save_for_backward(margins)
        return margins.sum(1)

    @staticmethod
    def backward(ctx, g):
        (margins,) = ctx.saved_tensors
        out = torch.zeros(margins.shape, dtype=LOW)
        given = g[:, None] * (margins > 0)
        out[margins > 0] = given[margins > 0]
        return out.index_put_((ROWS, Y), -given.sum(1))


class Mixed(torch.autograd.Function):
    """A product with a constant matrix; already its forward pass refuses float64."""

    @staticmethod
    def forward(ctx, s):
        return s @ torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=LOW))

    @staticmethod
    def backward(ctx, g):
        return g @ torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=LOW))


LOW = torch.float32


def scores(dtype=LOW):
    drawn = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return drawn.to(dtype).requires_grad_()


def broken(findings):
    return {one.cause for one in findings if isinstance(one, Diagnosis)}


@pytest.mark.parametrize("function", [Hinge, Mixed])
def test_a_right_one_keeps_the_contract_and_one_notice_says_how_it_was_tried(function):
    check = gradcheck.check(function, (scores(),))
    assert check.verdict == "pass"
    assert not check.diagnoses
    (notice,) = [one for one in audit(function, (scores(),)) if "float64" in one.message]
    assert isinstance(notice, Notice)
    assert notice.key == "contract_not_tried"
    assert "in the precision of the inputs" in notice.message
    assert "raises RuntimeError" in notice.message


def test_half_precision_is_tried_with_what_that_rounds(monkeypatch):
    monkeypatch.setitem(globals(), "LOW", torch.bfloat16)
    assert not broken(audit(Mixed, (scores(torch.bfloat16),)))


class Squared(Mixed):
    @staticmethod
    def backward(ctx, g):
        return Mixed.backward(ctx, g * g)


class Offset(Mixed):
    @staticmethod
    def backward(ctx, g):
        return Mixed.backward(ctx, g) + 0.1


class ByMemory(Mixed):
    """Takes the storage of the cotangent for the cotangent."""

    @staticmethod
    def backward(ctx, g):
        flat = torch.as_strided(g, (g.numel(),), (1,)) if g.stride() != (0, 0) else g.reshape(-1)
        return Mixed.backward(ctx, flat.reshape(g.shape))


@pytest.mark.parametrize(
    ("function", "cause"),
    [
        (Squared, "contract_nonlinear"),
        (Offset, "contract_zero_cotangent"),
        (ByMemory, "contract_transposed_cotangent"),
    ],
)
def test_a_broken_clause_is_found_there_too(function, cause):
    assert cause in broken(audit(function, (scores(),)))


class Raising(Mixed):
    @staticmethod
    def backward(ctx, g):
        raise RuntimeError("no backward pass was written")


def test_one_that_raises_in_every_precision_is_said_to_raise():
    found = [one for one in audit(Raising, (scores(),)) if isinstance(one, Diagnosis)]
    assert found
    assert all("no backward pass" in one.message or "same dtype" in one.message for one in found)
