"""What a torch target may return: views of its inputs, indices beside values, zeros."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gradcheck

F64 = torch.float64


def leaf(*shape, seed=0, dtype=F64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()


@pytest.mark.parametrize(
    ("function", "x"),
    [
        (lambda x: x[0, 2], leaf(5, 3)),
        (lambda x: torch.linalg.diagonal(x, offset=2), leaf(5, 3)),
        (lambda x: x.select(0, 1), leaf(5)),
        (lambda x: x.real[0], leaf(5, dtype=torch.complex128)),
    ],
)
def test_a_loss_that_is_a_view_of_a_parameter_is_read_before_it_is_put_back(function, x):
    assert gradcheck.check(function, (x,)).verdict == "pass"


def test_a_wrong_gradient_of_a_view_fails():
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, cotangent):
            return 2 * cotangent

    assert gradcheck.check(lambda x: Wrong.apply(x)[0, 2], (leaf(5, 3),)).verdict == "fail"


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.max(x, 0),
        lambda x: torch.sort(x),
        lambda x: torch.frexp(x),
        lambda x: torch.topk(x, 1),
    ],
)
def test_indices_beside_a_single_value_are_not_taken_for_its_gradient(function):
    assert gradcheck.check(function, (leaf(),)).verdict == "pass"


def test_a_gradient_of_floats_beside_the_loss_still_is_the_one_on_trial():
    right = gradcheck.check(lambda x: (x**2, (2 * x).detach()), (leaf(),))
    wrong = gradcheck.check(lambda x: (x**2, x.detach()), (leaf(),))
    assert (right.verdict, wrong.verdict) == ("pass", "fail")
    assert [one.key for one in wrong.warnings if one.key.startswith("gradient")] == [
        "gradient_returned"
    ]


def test_a_gradient_returned_with_a_loss_of_no_graph_needs_no_mention():
    def loss(x):
        x = x.detach()
        return (x**2).sum(), 2 * x

    check = gradcheck.check(loss, (leaf(3),))
    assert check.verdict == "pass"
    assert "gradient_returned" not in [one.key for one in check.warnings]


@pytest.mark.parametrize("function", [torch.sgn, torch.sign])
def test_a_gradient_of_zeros_without_memory_is_a_gradient_of_zeros(function):
    check = gradcheck.check(function, (leaf(4),))
    assert check.verdict == "pass"
    assert np.array_equal([entry.analytic for entry in worst(check)], np.zeros(4))


def worst(check):
    return next(iter(check.parameters.values())).comparisons["analytic~central"].worst


class Halves(torch.autograd.Function):
    """Both halves of a vector; where the first is not used, the second's cotangent is lost."""

    careless = True

    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        return x[:2].clone(), x[2:].clone()

    @classmethod
    def backward(cls, ctx, first, second):
        (x,) = ctx.saved_tensors
        if first is None and cls.careless:
            return None
        found = torch.zeros_like(x)
        if first is not None:
            found[:2] = first
        if second is not None:
            found[2:] = second
        return found


class CarefulHalves(Halves):
    careless = False


@pytest.mark.parametrize(("function", "verdict"), [(Halves, "fail"), (CarefulHalves, "pass")])
def test_each_output_alone_has_the_gradient_that_it_has_among_all(function, verdict):
    check = gradcheck.check(lambda x: function.apply(x), (leaf(4),))
    assert check.verdict == verdict
    causes = [diagnosis.cause for diagnosis in check.diagnoses]
    assert causes == (["contract_undefined_cotangent"] if verdict == "fail" else [])


def test_outputs_alone_are_not_looked_at_where_the_audit_is_declined():
    check = gradcheck.check(lambda x: Halves.apply(x), (leaf(4),), audit=False)
    assert check.verdict == "pass"
