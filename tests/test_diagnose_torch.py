"""A wrong ``autograd.Function`` is explained by the composition of its own forward."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gradcheck.diagnose import Evidence, diagnose
from gradcheck.diagnose.torch_trace import trace_torch
from gradcheck.tracing import NotTraceable

SOURCE = Path(__file__).read_text().splitlines()


class LinearReLU(torch.autograd.Function):
    """ReLU of a linear layer, its backward without the mask."""

    @staticmethod
    def forward(ctx, x, w):
        z = x @ w
        ctx.save_for_backward(x, w)
        return torch.relu(z)

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g @ w.T, x.T @ g


class Scaled(torch.autograd.Function):
    """Twice the sine, in the form with a context of its own; the 2 is forgotten."""

    @staticmethod
    def forward(x):
        return 2 * torch.sin(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * torch.cos(x)


class Opaque(torch.autograd.Function):
    """A forward that leaves torch."""

    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(np.sin(x.detach().numpy()))

    @staticmethod
    def backward(ctx, g):
        return -g


def layer(x, w):
    return (LinearReLU.apply(x, w) ** 2).sum()


def scaled(w):
    return Scaled.apply(w).pow(3).sum()


def explain(loss, parameters, reference, *, traced=True):
    """Diagnose autograd's gradient of ``loss``, given the right one."""
    leaves = [p.clone().requires_grad_(True) for p in parameters.values()]
    claimed = torch.autograd.grad(loss(*leaves), leaves)
    analytic = {k: g.numpy() for k, g in zip(parameters, claimed, strict=True)}
    trace = trace_torch(loss, tuple(parameters.values()), {}, parameters)
    return diagnose(
        Evidence(
            names=tuple(parameters),
            values={k: p.numpy() for k, p in parameters.items()},
            analytic=analytic,
            reference=reference,
            uncertainty={k: 1e-9 * np.abs(g).max() + 0 * g for k, g in reference.items()},
            failing={k: np.abs(analytic[k] - g) > 1e-6 * np.abs(g) for k, g in reference.items()},
            trace=trace,
        )
    )


X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
W = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def right_layer():
    x, w = X.clone().requires_grad_(True), W.clone().requires_grad_(True)
    gx, gw = torch.autograd.grad((torch.relu(x @ w) ** 2).sum(), (x, w))
    return {"x": gx.numpy(), "w": gw.numpy()}


def test_the_trace_differentiates_the_composition_of_the_forward():
    gradient = trace_torch(layer, (X, W), {}, {"x": X, "w": W}).backward()
    for name, right in right_layer().items():
        np.testing.assert_allclose(gradient[name], right, rtol=1e-12)


def test_a_squared_relu_hides_its_missing_mask_and_gets_no_cause():
    # the square's derivative is 0 where the ReLU is: this backward is right here
    assert explain(layer, {"x": X, "w": W}, right_layer()) == ()


def shifted(x, w):
    return ((LinearReLU.apply(x, w) - 1) ** 2).sum()


def test_a_missing_mask_in_a_custom_backward():
    x, w = X.clone().requires_grad_(True), W.clone().requires_grad_(True)
    gx, gw = torch.autograd.grad(((torch.relu(x @ w) - 1) ** 2).sum(), (x, w))
    (found,) = explain(shifted, {"x": X, "w": W}, {"x": gx.numpy(), "w": gw.numpy()})
    assert (found.cause, found.confidence) == ("activation_mask_missing", "exact")
    assert found.location.source.strip() == "return torch.relu(z)"
    assert found.location.function.endswith("LinearReLU.forward")


def test_a_forgotten_factor_in_a_function_with_setup_context():
    w = W.clone().requires_grad_(True)
    (right,) = torch.autograd.grad((2 * torch.sin(w)).pow(3).sum(), w)
    (found,) = explain(scaled, {"w": W}, {"w": right.numpy()})
    assert (found.cause, found.confidence) == ("scale", "exact")
    lines = [place.source.strip() for place in (found.location, *found.also)]
    assert "return 2 * torch.sin(x)" in lines


def test_a_forward_that_leaves_torch_is_not_believed():
    (found,) = explain(
        lambda w: Opaque.apply(w).sum() + (w * w).sum(),
        {"w": W},
        {"w": (torch.cos(W) + 2 * W).numpy()},
    )
    assert found.location is None


def test_apply_is_put_back_also_after_an_exception():
    before = torch.autograd.Function.__dict__["apply"]

    def failing(w):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        trace_torch(failing, (W,), {}, {"w": W})
    assert torch.autograd.Function.__dict__["apply"] is before


def test_a_loss_that_is_no_scalar_is_refused():
    with pytest.raises(NotTraceable, match="scalar"):
        trace_torch(lambda w: w * 2, (W,), {}, {"w": W})
    with pytest.raises(NotTraceable, match="scalar"):
        trace_torch(lambda w: w.reshape(-1)[:0], (W,), {}, {"w": W})


def test_a_tensor_changed_in_place_is_refused():
    def inplace(w):
        z = w * 2
        z.mul_(3)
        return z.sum()

    with pytest.raises(NotTraceable, match="in place"):
        trace_torch(inplace, (W,), {}, {"w": W})
