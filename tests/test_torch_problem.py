"""Torch targets: the backward pass is on trial, and nothing of the user's is changed."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

import gradcheck
from gradcheck.errors import TargetError, UsageError
from gradcheck.torch_target.problem import is_torch_target, torch_problem
from gradcheck.torch_target.varied.carrier import varied_of
from reference_models import quadratic_regression

F64 = torch.float64


def leaf(*shape, seed=0, dtype=F64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=F64).to(dtype).requires_grad_()


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return 2 * g * ctx.saved_tensors[0]


class WrongSquare(Square):
    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]


class Affine(nn.Module):
    """Two layers, of which the second can be given a wrong backward."""

    def __init__(self, function=Square):
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Linear(4, 3, dtype=F64)
        self.second = nn.Linear(3, 2, dtype=F64)
        self.function = function

    def forward(self, x):
        return self.second(self.function.apply(self.first(x)))

    def loss(self, x):
        return self(x).square().mean()


def verdicts(check):
    return {name: str(result.verdict) for name, result in check.parameters.items()}


# --- what is right passes, what is wrong fails ---------------------------------------------------


@pytest.mark.parametrize("name", ["raw", "normalised"])
def test_reference_models_in_torch_pass_central_and_forward(name):
    case = next(c for c in quadratic_regression.CASES if c.name == f"quadratic_regression.{name}")
    check = gradcheck.check(case.target, case.inputs(), case.wrt)
    assert check.verdict == "pass"
    assert set(check.oracles) == {"central", "forward"}
    assert check.parameters["w"].comparisons["analytic~forward"].max_relative_error < 1e-9
    assert check.parameters["w"].comparisons["analytic~central"].max_relative_error < 1e-6


@pytest.mark.parametrize(("function", "verdict"), [(Square, "pass"), (WrongSquare, "fail")])
def test_an_autograd_function_is_a_target(function, verdict):
    check = gradcheck.check(function, (leaf(5),))
    assert check.verdict == verdict
    assert list(check.parameters) == ["x"]


def test_without_a_forward_formula_the_verdict_rests_on_central_differences():
    check = gradcheck.check(Square, (leaf(5),))
    assert check.oracles == ("central",)
    assert any(notice.key == "forward_refused" for notice in check.warnings)


@pytest.mark.parametrize(("function", "verdict"), [(Square, "pass"), (WrongSquare, "fail")])
def test_a_module_is_checked_in_its_parameters_and_inputs(function, verdict):
    check = gradcheck.check(Affine(function), {"x": leaf(6, 4)})
    found = verdicts(check)
    assert set(found) == {"first.weight", "first.bias", "second.weight", "second.bias", "x"}
    before = {found[name] for name in ("first.weight", "first.bias", "x")}
    assert before == {verdict}
    assert found["second.weight"] == found["second.bias"] == "pass"


def test_a_method_of_a_module_and_a_module_among_the_inputs_are_checked():
    net = Affine(WrongSquare)
    data = leaf(6, 4).detach()
    assert verdicts(gradcheck.check(net.loss, {"x": data}))["first.weight"] == "fail"

    def loss(model, x):
        return model(x).square().mean()

    found = verdicts(gradcheck.check(loss, {"model": net, "x": data}))
    assert found["model.first.weight"] == "fail"
    assert found["model.second.weight"] == "pass"


def test_parameters_that_a_closure_holds_are_found_and_put_back():
    net, scale, x = Affine(WrongSquare), leaf(2), leaf(6, 4).detach()
    before = [one.detach().clone() for one in (*net.parameters(), scale)]

    def loss(x):
        return (net(x) * scale).square().mean()

    found = verdicts(gradcheck.check(loss, (x,)))
    assert found["net.first.weight"] == "fail"
    assert found["net.second.weight"] == found["scale"] == "pass"
    after = [*net.parameters(), scale]
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    assert all(one.grad is None for one in after)


def test_params_names_what_the_target_reads_from_elsewhere():
    params = {"w": leaf(4).detach(), "b": leaf(1, seed=1).detach()}

    def loss(x):
        return (x @ params["w"] + params["b"]).square().sum()

    check = gradcheck.check(loss, (leaf(6, 4, seed=2).detach(),), params=params)
    assert verdicts(check) == {"w": "pass", "b": "pass"}
    assert not params["w"].requires_grad


# --- outputs ------------------------------------------------------------------------------------


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


# --- precision ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("function", "verdict"), [(Square, "pass"), (WrongSquare, "fail")])
def test_low_precision_targets_are_judged_in_float64(dtype, function, verdict):
    check = gradcheck.check(lambda x: function.apply(x).sum(), (leaf(5, dtype=dtype),))
    assert check.verdict == verdict
    assert check.parameters["x"].dtype == str(dtype).removeprefix("torch.")


def test_a_float32_module_passes_at_the_resolution_of_its_own_rounding():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    check = gradcheck.check(net, (torch.randn(5, 4),))
    assert check.verdict == "pass"
    assert {result.dtype for result in check.parameters.values()} == {"float32"}
    assert all(p.dtype is torch.float32 for p in net.parameters())


def test_a_target_that_computes_in_float32_inside_is_not_taken_for_wrong():
    check = gradcheck.check(lambda w: (w.float() ** 2).sum(), (leaf(4),))
    assert check.verdict in ("pass", "inconclusive")


# --- random draws, state, side effects ------------------------------------------------------------


def test_dropout_and_batch_norm_are_checked_in_training_mode_and_left_as_they_were():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(), nn.Linear(6, 1)).double()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    check = gradcheck.check(net, (leaf(7, 4),))
    assert check.verdict == "pass"
    assert not [n for n in check.warnings if n.key == "nondeterministic"]
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(state[0], torch.get_rng_state())
    assert state[1] == random.getstate()
    assert np.array_equal(state[2], np.random.get_state()[1])
    assert net.training


def test_the_inputs_are_unchanged_bit_for_bit_also_after_an_exception():
    x = leaf(4)
    x.grad = torch.ones(4, dtype=F64)
    before, grad = x.detach().clone(), x.grad

    def raises(x):
        raise ZeroDivisionError("mine")

    gradcheck.check(lambda x: x.square().sum(), (x,))
    with pytest.raises(ZeroDivisionError, match="mine"):
        gradcheck.check(raises, (x,))
    assert torch.equal(before, x.detach())
    assert x.grad is grad
    assert torch.equal(grad, torch.ones(4, dtype=F64))


def test_a_closure_is_put_back_after_an_exception():
    w = leaf(4, dtype=torch.float32)
    data = w.data

    def raises(x):
        raise ZeroDivisionError(str(w.sum()))

    with pytest.raises(ZeroDivisionError):
        gradcheck.check(raises, (torch.ones(4),), params=[w])
    assert w.dtype is torch.float32
    assert w.data.data_ptr() == data.data_ptr()


def test_a_target_that_changes_its_input_is_told_and_judged():
    def loss(w, x):
        x.mul_(2)
        return (w * x).sum()

    check = gradcheck.check(loss, {"w": leaf(3), "x": leaf(3, seed=1).detach()})
    assert check.verdict == "pass"
    assert "mutates_input" in [n.key for n in check.warnings]


def test_a_loss_with_a_derivative_of_the_model_inside_is_checked():
    def loss(w, x):
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad((w * x**3).sum(), x, create_graph=True)
        return slope.square().sum()

    check = gradcheck.check(loss, {"w": leaf(3), "x": leaf(3, seed=1).detach()})
    assert check.verdict == "pass"


def test_tied_weights_are_one_parameter():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode = nn.Linear(3, 3, bias=False, dtype=F64)
            self.decode = nn.Linear(3, 3, bias=False, dtype=F64)
            self.decode.weight = self.encode.weight

        def forward(self, x):
            return self.decode(self.encode(x).tanh())

    check = gradcheck.check(Tied(), (leaf(4, 3).detach(),))
    assert verdicts(check) == {"encode.weight": "pass"}


def test_a_recurrent_module_is_checked():
    torch.manual_seed(0)
    check = gradcheck.check(nn.LSTM(2, 3, dtype=F64), (leaf(4, 1, 2).detach(),))
    assert check.verdict == "pass"


def test_a_detached_path_fails():
    check = gradcheck.check(lambda w: (w * w.detach()).sum(), (leaf(4),))
    assert check.verdict == "fail"
    assert check.oracles == ("central",)  # forward mode is blind to it, and is not believed


def test_a_tensor_that_the_loss_does_not_use_passes_with_a_notice():
    check = gradcheck.check(lambda w, b: w.square().sum(), {"w": leaf(2), "b": leaf(2)})
    assert check.verdict != "fail"
    assert "gradient_none" in [n.key for n in check.warnings]


# --- wrt, and wrong use -------------------------------------------------------------------------


def test_data_is_not_perturbed_by_accident():
    inputs = {"w": leaf(3), "x": leaf(3, seed=1).detach()}
    assert list(gradcheck.check(lambda w, x: (w * x).sum(), inputs).parameters) == ["w"]


@pytest.mark.parametrize(
    ("wrt", "names"),
    [
        (["x"], ["x"]),
        (1, ["x"]),
        ("params", ["params.a", "params.b[0]"]),
        (["params['b'][0]"], ["params.b[0]"]),
    ],
)
def test_wrt_takes_names_positions_and_paths(wrt, names):
    inputs = {"params": {"a": leaf(2), "b": [leaf(2, seed=1)]}, "x": leaf(2, seed=2).detach()}
    check = gradcheck.check(lambda params, x: (params["a"] * params["b"][0] * x).sum(), inputs, wrt)
    assert list(check.parameters) == names


@pytest.mark.parametrize(
    ("target", "inputs", "wrt", "words"),
    [
        (lambda w: w.sum(), {"w": leaf(2)}, "v", "no input"),
        (lambda w, r: w.sum() * r, {"w": leaf(2), "r": 0.5}, "r", "torch.tensor"),
        (lambda a, b: (a * b).sum(), (torch.ones(2), torch.ones(2)), None, "requires_grad_"),
        (lambda a: a.to_dense().sum(), (torch.eye(2).to_sparse(),), None, "to_dense"),
        (nn.LazyLinear(2), (torch.ones(1, 2),), None, "call the module once"),
    ],
)
def test_wrong_use_says_what_to_write(target, inputs, wrt, words):
    with pytest.raises(UsageError, match=words):
        torch_problem(target, inputs, wrt)


@pytest.mark.parametrize(
    ("target", "inputs", "cause"),
    [
        (lambda w: w.sum().item(), (leaf(2),), "missing_gradient"),
        (lambda w: w.detach().sum(), (leaf(2),), "missing_gradient"),
        (lambda w: None, (leaf(2),), "loss_not_scalar"),
        (lambda w: (w * np.inf).sum(), (leaf(2),), "non_finite_loss"),
        (lambda w: w.sum(), {"w": torch.tensor([1, 2])}, "integer_parameter"),
    ],
)
def test_a_target_that_cannot_be_judged_is_an_error(target, inputs, cause):
    with pytest.raises(TargetError) as caught:
        torch_problem(target, inputs, "w")
    assert caught.value.cause == cause
    assert gradcheck.check(target, inputs, "w").verdict == "error"


def test_what_is_no_torch_target_is_left_to_numpy():
    assert not is_torch_target(lambda w: (w @ w, 2 * w), (np.ones(3),), None)
    assert is_torch_target(lambda w: w.sum(), (leaf(2),), None)
    assert is_torch_target(nn.Linear(2, 2), None, None)
    assert is_torch_target(Square, None, None)


# --- batches ------------------------------------------------------------------------------------


def counted(target, inputs, **options):
    """Return the check and how often the target was called by parts, by vmap, and singly."""
    calls = {"parts": 0, "vmap": 0, "single": 0}

    def counting(*args, **kwargs):
        tensors = (*args, *kwargs.values())
        parts = any(varied_of(one) is not None for one in tensors)
        vmap = any(torch._C._functorch.is_batchedtensor(one) for one in tensors)
        calls["parts" if parts else "vmap" if vmap else "single"] += 1
        return target(*args, **kwargs)

    return gradcheck.check(counting, inputs, oracles=("central",), **options), calls


def test_perturbations_are_evaluated_together_with_the_same_verdict():
    check, calls = counted(lambda w: (w.sin() * w.sum()).sum(), (leaf(200),))
    assert check.verdict == "pass"
    assert check.evaluations >= 400
    assert calls["single"] < 60


def test_a_wrong_entry_is_found_in_a_batch():
    class WrongAt(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x.sin()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            wrong = torch.ones_like(g)
            wrong[17] = 1.001
            return g * ctx.saved_tensors[0].cos() * wrong

    check, calls = counted(lambda w: WrongAt.apply(w).sum(), (leaf(60),))
    assert calls["parts"] > 0
    assert calls["single"] < 60
    comparison = check.parameters["argument_0"].comparisons["analytic~central"]
    assert comparison.failing_entries == 1
    assert comparison.worst[0].index == (17,)


def test_what_vmap_refuses_is_evaluated_singly():
    def loss(w):
        total = w.square().sum()
        return total if total.item() > 0 else -total

    check, calls = counted(loss, (leaf(40),))
    assert check.verdict == "pass"
    assert calls["single"] > 80


def test_a_batch_that_means_something_else_is_noticed():
    def loss(w):
        # What no target should do: tell a batch from a tensor, and compute something else.
        alone = type(w) is torch.Tensor and not torch._C._functorch.is_batchedtensor(w)
        raw = w.detach() if alone else w.detach() * 1.01
        return (w * raw).sum() * 0 + (raw**2).sum() + (w - w.detach()).sum()

    check, _ = counted(loss, (leaf(40),))
    assert check.verdict == "fail"
    _, calls = counted(loss, (leaf(40),))
    assert calls["single"] > 80


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("function", "verdict"), [(Square, "pass"), (WrongSquare, "fail")])
def test_the_same_on_a_cuda_device(function, verdict):
    net = Affine(function).cuda()
    check = gradcheck.check(net, (leaf(6, 4).detach().cuda(),))
    assert check.verdict == verdict
