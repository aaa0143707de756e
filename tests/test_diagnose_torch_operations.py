"""What is recorded of a torch loss: names, operands, shapes, and what is left out."""

import threading

import numpy as np
import pytest
import torch

from gradcheck.diagnose.torch_trace import trace_torch
from gradcheck.tracing import Alteration, NotTraceable

W = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
V = torch.randn(3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def recorded(loss, **parameters):
    given = parameters or {"w": W}
    traced = trace_torch(loss, tuple(given.values()), {}, given)
    return traced, [(o.name, o.inputs, o.input_shapes) for o in traced.operations]


def right(loss, **parameters):
    leaves = {name: p.clone().requires_grad_(True) for name, p in parameters.items()}
    gradients = torch.autograd.grad(loss(*leaves.values()), list(leaves.values()))
    return dict(zip(leaves, gradients, strict=True))


P = ("parameter", "w")


@pytest.mark.parametrize(
    ("loss", "name", "inputs"),
    [
        (lambda w: (w * 2.0).sum(), "multiply", (P, ("constant", "2.0"))),
        (lambda w: (2.0 * w).sum(), "multiply", (P, ("constant", "2.0"))),
        (lambda w: (w - V).sum(), "subtract", (P, ("constant", "tensor"))),
        (lambda w: (w / 3).sum(), "divide", (P, ("constant", "3"))),
        (lambda w: (w @ V).sum(), "matmul", (P, ("constant", "tensor"))),
        (lambda w: torch.mm(w, W.T).sum(), "matmul", (P, ("constant", "tensor"))),
        (lambda w: (w**3).sum(), "power", (P, ("constant", "3"))),
        (lambda w: torch.relu(w).sum(), "maximum", (P,)),
        (lambda w: w.clamp(0.0).sum(), "clip", (P, ("constant", "0.0"))),
        (lambda w: (-w).sum(), "negative", (P,)),
        (lambda w: w.T.sum(), "transpose", (P,)),
        (lambda w: w.amax(0).sum(), "max", (P, ("constant", "0"))),
        (lambda w: torch.cat([w, w * 1.0]).sum(), "cat", (P, ("operation", 0))),
        (lambda w: torch.stack((w, w)).sum(), "stack", (P, P)),
    ],
)
def test_operations_have_their_names_and_operands(loss, name, inputs):
    traced, found = recorded(loss)
    (mine,) = [given for made, given, _ in found if made == name]
    assert tuple(mine) == inputs
    np.testing.assert_allclose(traced.backward()["w"], right(loss, w=W)["w"], rtol=1e-12)


def test_shapes_and_keywords_are_recorded():
    traced, found = recorded(lambda w, v: (w * v).sum(dim=1, keepdim=True).sum(), w=W, v=V)
    (name, inputs, shapes), *_ = found
    assert (name, list(inputs)) == ("multiply", [P, ("parameter", "v")])
    assert list(shapes) == [(4, 3), (3,)]
    summed = traced.operations[1]
    assert (summed.keywords["dim"], summed.keywords["keepdim"]) == (1, True)
    assert summed.output_shape == (4, 1)


def test_what_needs_no_gradient_is_not_recorded():
    def loss(w):
        mask = w > 0
        chosen = w.argmax(0)
        shifted = V + 1.0
        values, _ = w.max(dim=1)  # a pair of results: its first is read as a number
        return (w * mask).sum() + shifted.sum() + chosen.sum() * 0.0 + 0.0 * values.detach().sum()

    _, found = recorded(loss)
    assert [name for name, _, _ in found if name in ("gt", "argmax", "add")] == ["add"] * 3
    assert "multiply" in [name for name, _, _ in found]


def test_what_does_nothing_is_not_recorded_and_what_follows_is():
    traced, found = recorded(lambda w: (w.double().sin().double() * 2.0).double().sum())
    assert [name for name, _, _ in found] == ["sin", "multiply", "sum"]
    assert tuple(traced.operations[0].inputs) == (P,)
    assert traced.operations[1].inputs[0] == ("operation", 0)
    np.testing.assert_allclose(traced.backward()["w"], 2 * torch.cos(W), rtol=1e-12)
    without = traced.backward({0: Alteration("identity")})["w"]
    np.testing.assert_allclose(without, 2.0)


def test_a_list_of_results_is_no_operation():
    def loss(w):
        return sum(part.sin().sum() for part in w.detach().split(2)) + w.sum()

    traced, found = recorded(loss)
    assert "split" not in [name for name, _, _ in found]
    np.testing.assert_allclose(traced.backward()["w"], 1.0)


def test_an_operation_can_be_altered():
    traced, found = recorded(lambda w: torch.tanh(w).sum())
    (index,) = [k for k, (name, _, _) in enumerate(found) if name == "tanh"]
    np.testing.assert_allclose(traced.backward({index: Alteration("identity")})["w"], 1.0)


@pytest.mark.parametrize("loss", [lambda _: 3.0, lambda w: w, lambda w: w.reshape(-1)[:0]])
def test_what_is_no_scalar_tensor_is_no_loss(loss):
    with pytest.raises(NotTraceable, match="scalar"):
        trace_torch(loss, (W,), {}, {"w": W})


def test_one_number_in_a_row_is_a_loss():
    traced, _ = recorded(lambda w: w.sum().reshape(1, 1))
    assert traced.loss == pytest.approx(float(W.sum()))
    np.testing.assert_allclose(traced.backward()["w"], 1.0)


def test_parameters_by_keyword():
    traced = trace_torch(lambda w, scale: (w * scale).sum(), (W,), {"scale": V}, {"scale": V})
    np.testing.assert_allclose(traced.backward()["scale"], W.sum(0), rtol=1e-12)


class Kept(torch.autograd.Function):
    """A forward that reads what it keeps, and asks what needs a gradient."""

    seen: tuple[bool, ...] = ()

    @staticmethod
    def forward(ctx, x, factor):
        Kept.seen = ctx.needs_input_grad
        ctx.save_for_backward(x)
        ctx.mark_non_differentiable()
        ctx.set_materialize_grads(False)
        (kept,) = ctx.saved_tensors
        return torch.exp(kept) * factor

    @staticmethod
    def backward(ctx, g):
        return None, None


def test_a_forward_is_opened_with_a_context_that_keeps_nothing():
    traced, found = recorded(lambda w: Kept.apply(w, 2.0).sum())
    assert [name for name, _, _ in found] == ["exp", "multiply", "sum"]
    assert Kept.seen == (True, False)
    np.testing.assert_allclose(traced.backward()["w"], 2 * torch.exp(W), rtol=1e-12)


class Sevenfold(torch.autograd.Function):
    """The identity, whose backward says 7."""

    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def backward(ctx, g):
        return 7.0 * g


def test_functions_of_other_threads_are_left_alone():
    results = []

    def loss(w):
        def apply():
            leaf = V.clone().requires_grad_(True)
            Sevenfold.apply(leaf).sum().backward()
            results.append(leaf.grad)

        other = threading.Thread(target=apply)
        other.start()
        other.join()
        return Sevenfold.apply(w).sum()

    traced, found = recorded(loss)
    assert [name for name, _, _ in found] == ["multiply", "sum"]
    np.testing.assert_allclose(traced.backward()["w"], 1.0)
    (own,) = results
    np.testing.assert_allclose(own, 7.0)


@pytest.mark.parametrize(
    ("loss", "operand", "wrong"),
    [
        (lambda w, s: (w @ s * C).sum(), 0, lambda s: C @ s),
        (lambda w, s: torch.mm(s, w.T).T.mul(C).sum(), 1, lambda s: (s @ C.T).T),
    ],
)
def test_a_factor_of_a_matrix_product_is_transposed(loss, operand, wrong):
    """What arrives is multiplied by the other factor as it is, and not by its transpose."""
    traced, found = recorded(loss, w=W, s=SQUARE)
    (index,) = [k for k, (name, *_) in enumerate(found) if name == "matmul"]
    turned = {index: Alteration("transpose_operand", operand=operand)}
    np.testing.assert_allclose(traced.backward(turned)["w"], wrong(SQUARE), rtol=1e-12)
    np.testing.assert_allclose(
        traced.backward()["w"], right(loss, w=W, s=SQUARE)["w"], rtol=1e-12
    )  # fmt: skip


C = torch.randn(4, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
SQUARE = torch.randn(3, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
