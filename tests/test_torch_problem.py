"""Torch targets: the backward pass of some tensors is on trial, at any precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch_squares import Affine, Square, WrongSquare, leaf

import gradcheck
from gradcheck.errors import TargetError, UsageError
from gradcheck.torch_target.problem import is_torch_target, torch_problem
from reference_models import quadratic_regression


def verdicts(check):
    return {name: str(result.verdict) for name, result in check.parameters.items()}


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
