"""What an audit takes for rounding, for a kink, or for a matter beyond the gradient asked about."""

import pytest

import gradcheck

torch = pytest.importorskip("torch")

from gradcheck.audit import audit  # noqa: E402 - needs torch
from gradcheck.report import Diagnosis  # noqa: E402

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def keys(findings):
    return [one.cause for one in findings if isinstance(one, Diagnosis)]


def leaf(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype, requires_grad=True)


class RootMeanSquare(torch.autograd.Function):
    """A normalisation that computes in float32 whatever it is given; ``factor`` spoils it."""

    factor = 1.0

    @staticmethod
    def forward(ctx, x, w):
        wide = x.float()
        r = (wide.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt()
        ctx.save_for_backward(x, w)
        return (wide * r).to(x.dtype) * w

    @classmethod
    def pulled(cls, ctx, cotangent):
        x, w = ctx.saved_tensors
        wide = x.float()
        r = (wide.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt()
        unit = wide * r
        g = cotangent.float() * w.float()
        dx = r * (g - cls.factor * unit * (g * unit).mean(-1, keepdim=True))
        return dx.to(x.dtype), (cotangent.float() * unit).sum(0).to(w.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, cotangent):
        return RootMeanSquare.pulled(ctx, cotangent)


class Clamped(RootMeanSquare):
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, cotangent):
        return RootMeanSquare.pulled(ctx, cotangent.clamp(-0.5, 0.5))


def rows(dtype):
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(5, 8, generator=draw).to(dtype).requires_grad_()
    return x, (1 + 0.1 * torch.randn(8, generator=draw)).to(dtype).requires_grad_()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_function_that_computes_in_float32_inside_rounds_there(dtype):
    check = gradcheck.check(RootMeanSquare, rows(dtype))
    assert (check.verdict, check.diagnoses) == ("pass", ())


def test_what_is_no_rounding_of_float32_is_found_in_such_a_function():
    assert "contract_nonlinear" in keys(audit(Clamped, rows(torch.float64)))


class HalfInBackward(torch.autograd.Function):
    """A square whose backward alone computes in float32; ``off`` is a relative error of it."""

    off = 0.0

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, cotangent):
        (x,) = ctx.saved_tensors
        return (2 * (1 + HalfInBackward.off) * cotangent * x.float().to(x.dtype)).to(x.dtype)


@pytest.mark.parametrize(("off", "verdict"), [(0.0, "pass"), (1e-4, "fail")])
def test_a_backward_in_float32_is_judged_as_float32(off, verdict, monkeypatch):
    monkeypatch.setattr(HalfInBackward, "off", off)
    x = torch.linspace(0.1, 1.7, 20, dtype=torch.float64, requires_grad=True)
    check = gradcheck.check(HalfInBackward, (x,))
    assert check.verdict == verdict


class MaskInFloat32(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0) ** 2

    @staticmethod
    def backward(ctx, cotangent):
        (x,) = ctx.saved_tensors
        return cotangent * (x > 0).float() * 2 * x * (1 + 3e-8)


def test_a_mask_in_float32_is_exact_and_lowers_no_bar():
    check = gradcheck.check(MaskInFloat32, (leaf(0.5, -1.0, 2.0),), audit=False)
    assert check.verdict != "pass"


class Huber(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        size = x.abs()
        return torch.where(size <= 0.5, 0.5 * size * size, 0.5 * (size - 0.25)).sum()

    @staticmethod
    def backward(ctx, cotangent):
        (x,) = ctx.saved_tensors
        return cotangent * x.clamp(-0.5, 0.5)


def test_at_a_kink_of_the_gradient_the_second_derivative_is_looked_at_beside_it():
    assert keys(audit(Huber, (leaf(-2.0, -0.5, 0.1, 0.5, 3.0),))) == []


class Sigmoid(torch.autograd.Function):
    """Right, but for the second derivative: the slope that it keeps is no part of the graph."""

    @staticmethod
    def forward(ctx, x):
        y = 1 / (1 + torch.exp(-x))
        ctx.save_for_backward(y * (1 - y))
        return y

    @staticmethod
    def backward(ctx, cotangent):
        (slope,) = ctx.saved_tensors
        return cotangent * slope


def test_a_wrong_second_derivative_is_a_warning_where_nobody_asked_for_an_audit():
    x = leaf(0.5, -1.0, 2.0)
    check = gradcheck.check(Sigmoid, (x,))
    assert check.verdict == "pass"
    (told,) = [one for one in check.warnings if one.key == "contract_double_backward"]
    assert "once_differentiable" in told.message
    asked = gradcheck.check(Sigmoid, (x,), audit=True)
    assert asked.verdict == "fail"
    assert [one.cause for one in asked.diagnoses] == ["contract_double_backward"]
    assert gradcheck.check(Sigmoid, (x,), order=2).verdict == "fail"


class Exponential(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = torch.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, cotangent):
        return cotangent * ctx.saved_tensors[0]


class LogSoftmax(torch.autograd.Function):
    """Not shifted: its outputs are off by as much as the backward pass in half precision."""

    @staticmethod
    def forward(ctx, x):
        y = x - torch.logsumexp(x, -1, keepdim=True)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, cotangent):
        (y,) = ctx.saved_tensors
        return cotangent - y.exp() * cotangent.sum(-1, keepdim=True)


@pytest.mark.parametrize(
    ("target", "x", "name"),
    [
        (Exponential, leaf(0.5, 3.0, 12.0), "float16"),
        (LogSoftmax, leaf(300.3, 301.1, 299.2, 300.9), "bfloat16"),
    ],
    ids=["overflow", "cancellation"],
)
def test_outputs_that_a_precision_does_not_hold_say_nothing_of_the_backward_pass(target, x, name):
    findings = audit(target, (x,))
    assert keys(findings) == []
    told = " ".join(one.message for one in findings)
    assert f"a run in {name} was not tried: " in told
    assert "its outputs are, by more than rounding, not what they are in float64" in told
