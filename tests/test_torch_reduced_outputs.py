"""Outputs of torch targets that are no loss become one, by a fixed cotangent."""

from __future__ import annotations

import pytest
import torch
from torch_squares import leaf

import gradcheck


def verdicts(check):
    return {name: str(result.verdict) for name, result in check.parameters.items()}


def outputs_tensor(x):
    return torch.sin(x) * x.sum()


def outputs_tuple(x):
    return torch.sin(x), (x**2).sum(), torch.argmax(x)


def outputs_dict(x):
    return {"loss": (x**3).sum(), "more": [x.exp()]}


def outputs_complex(x):
    return torch.fft.fft(x)


@pytest.mark.parametrize("target", [outputs_tensor, outputs_tuple, outputs_dict, outputs_complex])
def test_outputs_are_reduced_with_a_fixed_cotangent(target):
    one = gradcheck.check(target, (leaf(5),))
    assert one.verdict == "pass"
    assert one.loss == gradcheck.check(target, (leaf(5),)).loss


def test_each_of_several_outputs_counts():
    class TwoOutputs(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 1.0, x.sin()

        @staticmethod
        def backward(ctx, first, second):
            return first

    assert gradcheck.check(TwoOutputs, (leaf(5),)).verdict == "fail"


def test_a_detached_output_is_left_out_and_said_so():
    check = gradcheck.check(lambda x: ((x**2).sum(), (x**2).sum().detach()), (leaf(4),))
    assert check.verdict == "pass"
    assert [n.key for n in check.warnings if n.key.startswith("output")] == ["output_without_graph"]


def test_complex_parameters_count_as_real_and_imaginary_parts():
    z = leaf(3, dtype=torch.complex128)
    check = gradcheck.check(lambda z: (z * z.conj()).real.sum() + z.imag.sum(), (z,))
    assert check.verdict == "pass"
    assert check.parameters["z"].shape == (3, 2)

    class WrongConjugate(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return z * z

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0]

    assert (
        gradcheck.check(WrongConjugate, (leaf(3, dtype=torch.complex128) + 1j,)).verdict == "fail"
    )


def test_a_gradient_that_the_target_returns_is_the_one_on_trial():
    def right(w, x):
        return (w * x).square().sum(), {"w": 2 * w * x * x}

    def wrong(w, x):
        return (w * x).square().sum(), {"w": w * x * x}

    inputs = {"w": leaf(4).detach(), "x": leaf(4, seed=1).detach()}
    assert verdicts(gradcheck.check(right, inputs)) == {"w": "pass"}
    assert verdicts(gradcheck.check(wrong, inputs)) == {"w": "fail"}
    loss_alone = gradcheck.check(
        lambda w, x: right(w, x)[0].item(), inputs, "w", grad=lambda w, x: wrong(w, x)[1]
    )
    assert verdicts(loss_alone) == {"w": "fail"}
    found_by_key = gradcheck.check(
        lambda w, x: right(w, x)[0], inputs, grad=lambda w, x: right(w, x)[1]
    )
    assert verdicts(found_by_key) == {"w": "pass"}
