"""Draws and npz arrays become tensors for targets that take tensors, and for no others."""

import numpy as np
import pytest

import gradcheck
from gradcheck.errors import UsageError
from gradcheck.targets.input_sources import load_inputs, plan_inputs

torch = pytest.importorskip("torch")


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, cotangent):
        (x,) = ctx.saved_tensors
        return 2 * x * cotangent


def through_a_function(x):
    return Square.apply(x).sum()


def through_torch(x):
    return torch.sum(x**2)


def annotated(x: torch.Tensor):
    return (x**2).sum()


def with_both(x):
    return torch.sum(torch.from_numpy(np.asarray(x)))


def of_numpy(x):
    return np.sum(x**2), 2 * x


def of_neither(x):
    return (x**2).sum(), 2 * x


layer = torch.nn.Linear(5, 2)


@pytest.mark.parametrize("target", [Square, through_a_function, through_torch, annotated, layer])
def test_torch_targets_are_given_tensors_that_require_gradients(target):
    name = "input" if target is layer else "x"
    inputs = plan_inputs(target, args=[f"{name}=randn(3,5)"]).draw(0)
    (drawn,) = inputs if isinstance(inputs, tuple) else inputs.values()
    assert isinstance(drawn, torch.Tensor)
    assert drawn.requires_grad
    assert gradcheck.check(target, inputs).verdict == "pass"


@pytest.mark.parametrize("target", [with_both, of_numpy, of_neither])
def test_targets_that_may_take_arrays_are_given_arrays(target):
    assert isinstance(plan_inputs(target, args=["x=randn(3)"]).draw(0)["x"], np.ndarray)


def test_a_draw_has_the_precision_of_the_modules_weights():
    single = plan_inputs(layer, args=["input=randn(3,5)"]).draw(0)["input"]
    double = plan_inputs(torch.nn.Linear(5, 2).double(), args=["input=randn(3,5)"]).draw(0)["input"]
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)


def test_scalars_and_integers_stay_what_they_are():
    def loss(x, y, power):
        return torch.sum(x[y] ** power)

    inputs = plan_inputs(loss, args=["x=randn(3)", "y=integers(3, size=4)", "power=2"]).draw(0)
    assert inputs["power"] == 2
    assert isinstance(inputs["power"], int)
    assert inputs["y"].dtype == torch.int64


def test_the_arrays_of_an_npz(tmp_path):
    np.savez(tmp_path / "point.npz", x=np.ones(3))
    path = str(tmp_path / "point.npz")
    assert isinstance(load_inputs(path, target=Square)["x"], torch.Tensor)
    assert isinstance(load_inputs(path, target=of_numpy)["x"], np.ndarray)


def test_the_stub_for_missing_inputs_gives_tensors():
    with pytest.raises(UsageError) as caught:
        plan_inputs(Square)
    stub = str(caught.value).partition("module:\n\n")[2]
    module = type(np)("pasted")
    exec("if True:\n" + stub, module.__dict__)
    assert gradcheck.check(Square, plan_inputs(Square, module=module).draw(0)).verdict == "pass"


class Model:
    def loss(self, x):
        return np.sum(x**2), 2 * x


def test_a_method_without_its_object_is_named():
    with pytest.raises(UsageError, match=r"model = Model\(\.\.\.\), and name m:model\.loss"):
        plan_inputs(Model.loss, name="m:Model.loss")
