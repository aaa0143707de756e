"""Regression on polynomial features: published traces, curvature, and right gradients."""

import numpy as np
import pytest
import torch
from twin_gradient import assert_as_declared, loss_and_gradient

from reference_models import quadratic_regression as model

NUMPY_CASES = [
    case for case in model.CASES if case.name.endswith("_numpy") and case.expect.verdict == "pass"
]


def autograd_float32(target):
    """``target`` with the gradient by PyTorch, in single precision as it was published."""

    def loss_and_gradient_of(x, y, **parameters):
        single = {name: value.astype(np.float32) for name, value in parameters.items()}
        return loss_and_gradient(target, {"x": x, "y": y, **single}, list(single))

    return loss_and_gradient_of


@pytest.mark.parametrize("target", [model.raw_numpy, autograd_float32(model.raw)])
def test_training_on_raw_features_reproduces_the_published_divergence(target):
    training = model.train(target, model.raw_start(), step=model.RAW_STEP)

    assert len(model.PUBLISHED_RAW) == 3
    for iteration, (loss, w) in model.PUBLISHED_RAW.items():
        assert training.losses[iteration] == pytest.approx(loss, rel=1e-5)
        reproduced = training.parameters[iteration]["w"].ravel()
        np.testing.assert_allclose(reproduced, w, rtol=2e-5)


@pytest.mark.parametrize("target", [model.normalised_numpy, autograd_float32(model.normalised)])
def test_training_on_standardised_features_reproduces_the_published_trace(target):
    training = model.train(target, model.normalised_start(), step=model.NORMALISED_STEP)

    assert len(model.PUBLISHED_NORMALISED) == 3
    for iteration, loss in model.PUBLISHED_NORMALISED.items():
        assert training.losses[iteration] == pytest.approx(loss, rel=5e-6)
    np.testing.assert_allclose(
        training.parameters[0]["w"].ravel(), model.PUBLISHED_NORMALISED_W, rtol=0, atol=1e-7
    )


def test_the_step_printed_in_the_text_does_not_give_the_published_trace():
    training = model.train(model.normalised_numpy, model.normalised_start(), step=0.02)

    assert training.losses[10] > 1.2 * model.PUBLISHED_NORMALISED[10]


@pytest.mark.parametrize(
    ("target", "inputs", "longest_step", "published_step_is_too_long"),
    [
        (model.raw, model.generic_raw, 0.0048355, True),
        (model.normalised, model.generic_normalised, 0.63, False),
    ],
)
def test_the_longest_step_follows_from_the_curvature(
    target, inputs, longest_step, published_step_is_too_long
):
    tensors = model.as_tensors(inputs())
    names = [name for name, tensor in tensors.items() if tensor.requires_grad]

    def loss_of(*parameters):
        return target(tensors["x"], tensors["y"], *parameters)

    blocks = torch.autograd.functional.hessian(loss_of, tuple(tensors[name] for name in names))
    rows = [
        torch.cat(
            [block.reshape(tensors[name].numel(), -1) for block in row],
            dim=1,
        )
        for name, row in zip(names, blocks, strict=True)
    ]
    limit = 2 / torch.linalg.eigvalsh(torch.cat(rows)).max().item()

    assert limit == pytest.approx(longest_step, rel=2e-3)
    (case,) = [case for case in model.CASES if case.target is target]
    assert (case.learning_rate > limit) is published_step_is_too_long


def test_data_are_integers_and_the_targets_a_column():
    data = model.data()

    assert {array.dtype.kind for array in data.values()} == {"i"}
    assert data["y"].ravel().tolist() == [1, 4, 9, 16, 25]
    assert data["y"].shape == (5, 1)


@pytest.mark.parametrize("case", NUMPY_CASES, ids=lambda case: case.name)
def test_the_hand_written_gradient_equals_autograd(case):
    assert_as_declared(case)


@pytest.mark.parametrize("name", ["raw", "normalised"])
def test_the_torch_loss_agrees_with_the_numpy_loss_and_leaves_its_inputs(name):
    (case,) = [c for c in model.CASES if c.name == f"quadratic_regression.{name}"]
    (numpy_case,) = [c for c in model.CASES if c.name == f"quadratic_regression.{name}_numpy"]
    tensors = case.inputs()
    before = {key: tensor.detach().clone() for key, tensor in tensors.items()}

    loss = case.target(**tensors)

    assert loss.item() == pytest.approx(numpy_case.target(**numpy_case.inputs())[0], rel=1e-12)
    assert [key for key, tensor in tensors.items() if tensor.requires_grad] == case.wrt
    for key, tensor in tensors.items():
        torch.testing.assert_close(tensor.detach(), before[key], rtol=0, atol=0)


def test_integer_weights_lose_a_small_step():
    w = model.integer_weights()["w"]
    before = w.copy()

    w[0, 0] += 1e-5

    np.testing.assert_array_equal(w, before)
    with pytest.raises(TypeError, match="Cannot cast"):
        w += 1e-5
