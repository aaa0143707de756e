"""Float32 targets are evaluated in float64, wherever their data and constants come from."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

import gradcheck


def drawn(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=dtype)


def network(*layers):
    torch.manual_seed(0)
    return nn.Sequential(*layers)


class HalfTanh(torch.autograd.Function):
    """A hyperbolic tangent whose backward pass forgets the square; reads data besides."""

    @staticmethod
    def forward(ctx, x, data):
        y = x.tanh()
        ctx.save_for_backward(y, data)
        return y * data.sum()

    @staticmethod
    def backward(ctx, cotangent):
        y, data = ctx.saved_tensors
        return cotangent * (1 - y) * data.sum(), None


DATA = drawn(8, 6)
LABELS = torch.arange(8) % 3
MODEL = network(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 3))


def of_globals():
    return functional.cross_entropy(MODEL(DATA), LABELS)


def of_closure():
    data, model = drawn(8, 6), network(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 3))
    return lambda: functional.cross_entropy(model(data), LABELS)


def of_an_object():
    class Task:
        def __init__(self):
            self.data = {"x": [drawn(8, 6)]}

        def __call__(self, w):
            return (self.data["x"][0] @ w).relu().square().sum()

    return Task()


def of_tensors_made_on_the_way():
    def loss(w):
        rows = torch.zeros(8, 4)
        rows[:, 1:] += DATA[:, 1:4] @ w[:3]
        scales = torch.tensor([0.5, 2.0, 1.0, 3.0]) + torch.ones(4, dtype=torch.float32)
        return (rows * scales).softmax(-1, dtype=torch.float32)[:, 0].sum()

    return loss


def of_casts():
    return lambda w: (DATA @ w.float()).to(torch.float32).tanh().sum()


@pytest.mark.parametrize(
    ("target", "inputs"),
    [
        (of_globals, None),
        (of_closure(), None),
        (of_an_object(), {"w": drawn(6, 4)}),
        (of_tensors_made_on_the_way(), {"w": drawn(6, 3)}),
        (of_casts(), {"w": drawn(6, 3)}),
    ],
)
def test_a_right_gradient_is_known_to_the_digits_of_float32(target, inputs):
    check = gradcheck.check(target, inputs)
    assert check.verdict == "pass"
    for parameter in check.parameters.values():
        assert parameter.max_relative_error < 1e-3
        assert parameter.resolution < 1e-3


def test_an_error_of_a_thousandth_is_seen():
    class Off(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, cotangent):
            return cotangent * 1.001

    check = gradcheck.check(lambda w: (DATA @ Off.apply(w)).tanh().sum(), {"w": drawn(6, 3)})
    assert check.verdict == "fail"
    assert {one.cause for one in check.diagnoses} == {"scale"}


def test_the_cause_of_a_wrong_backward_pass_is_found():
    check = gradcheck.check(lambda w: HalfTanh.apply(DATA @ w, DATA).sum(), {"w": drawn(6, 3)})
    assert check.verdict == "fail"
    (found,) = check.diagnoses
    assert found.cause == "activation_derivative_wrong"
    assert found.location.function.endswith("HalfTanh.forward")


def test_nothing_of_the_user_s_changes():
    before = [one.detach().clone() for one in (DATA, *MODEL.parameters())]
    gradcheck.check(of_globals)
    after = [DATA, *MODEL.parameters()]
    assert all(one.dtype == torch.float32 for one in after)
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    assert all(one.grad is None for one in MODEL.parameters())


def copied(kept, value):
    kept.copy_(value)


def first_row_set(kept, value):
    kept[0] = value[0]


def assignments_are_seen():
    """Whether this torch tells of ``tensor[0] = value``, as 2.2 does not."""
    seen = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            seen.append(function.__name__)
            return function(*args, **(kwargs or {}))

    kept = torch.zeros(2)
    with Watch():
        kept[0] = 1.0
    return "__setitem__" in seen


@pytest.mark.parametrize("write", [copied, *([first_row_set] if assignments_are_seen() else [])])
def test_a_target_that_writes_to_a_tensor_of_its_own_is_left_as_it_is(write):
    kept = torch.zeros(8, 3)

    def loss(w):
        scores = DATA @ w
        write(kept, scores.detach())
        return (scores * kept.sum() * 0.01).tanh().sum() + scores.square().sum()

    check = gradcheck.check(loss, {"w": drawn(6, 3)})
    assert check.verdict != "pass"  # the gradient leaves out what is kept, which the loss sees
    assert kept.dtype == torch.float32


def test_a_network_with_kinks_everywhere_passes():
    model = network(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 30), nn.ReLU()
    )
    pictures = drawn(4, 1, 8, 8)
    check = gradcheck.check(lambda: model(pictures).square().mean().sqrt())
    assert check.verdict == "pass"


def test_attention_has_forward_mode_and_a_cause():
    def loss(w):
        x = (DATA[None, None] @ w).relu()
        return functional.scaled_dot_product_attention(x, x.sin(), x.cos()).square().sum()

    check = gradcheck.check(loss, {"w": drawn(6, 4)})
    assert check.verdict == "pass"
    assert "analytic~forward" in check.parameters["w"].comparisons

    def wrong(w):
        x = HalfTanh.apply(DATA[None, None] @ w, DATA)
        return functional.scaled_dot_product_attention(x, x.sin(), x.cos()).square().sum()

    (found,) = gradcheck.check(wrong, {"w": drawn(6, 4)}).diagnoses
    assert found.cause == "activation_derivative_wrong"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_cause_is_found_where_the_parameter_is_closed_over(dtype):
    w = drawn(6, 3, dtype=dtype).requires_grad_()
    (found,) = gradcheck.check(
        lambda: HalfTanh.apply(DATA.to(dtype) @ w, DATA).sum(), wrt=["w"]
    ).diagnoses
    assert found.cause == "activation_derivative_wrong"


@pytest.mark.parametrize("held", [False, True])
def test_a_gradient_that_is_what_rounding_leaves_of_cancelling_terms_does_not_fail(held):
    w = drawn(6, 5).requires_grad_()

    def loss(w):  # normalised over the rows, so that the sum is 0 whatever w is
        return functional.batch_norm(DATA @ w, None, None, training=True).sum()

    check = gradcheck.check((lambda: loss(w)) if held else loss, None if held else {"w": w})
    assert check.verdict != "fail"
    assert w.dtype == torch.float32
    assert w.grad is None


@pytest.mark.parametrize("held", [False, True])
def test_an_error_of_a_hundredth_is_no_rounding(held):
    class Off(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, cotangent):
            return cotangent * torch.linspace(1.0, 1.01, cotangent.numel()).view_as(cotangent)

    w = drawn(6, 5).requires_grad_()

    def loss(w):
        return functional.layer_norm(DATA @ Off.apply(w), (5,)).square().tanh().sum()

    check = gradcheck.check((lambda: loss(w)) if held else loss, None if held else {"w": w})
    assert check.verdict == "fail"
