"""The gradient of a PyTorch twin, and how far an analytic gradient is from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def loss_and_gradient(twin: Any, inputs: dict[str, Any], names: list[str]) -> tuple[float, dict]:
    """Call ``twin`` as the autograd oracle does and differentiate it by ``names``."""
    call = {name: _as_tensor(value, name in names) for name, value in inputs.items()}
    loss = twin(**call)
    assert loss.shape == ()
    gradients = torch.autograd.grad(loss, [call[name] for name in names])
    return loss.item(), {
        name: tensor.numpy() for name, tensor in zip(names, gradients, strict=True)
    }


def wrong_parameters(analytic: dict, true: dict, *, rtol: float = 1e-9) -> set[str]:
    """Return the parameters of which some entry is off by more than ``rtol`` of its true value.

    An entry below 1e-8 of its parameter's largest is held to ``rtol`` times that bound.
    """
    assert analytic.keys() == true.keys()
    wrong = set()
    for name, reference in true.items():
        assert analytic[name].shape == reference.shape
        scale = np.maximum(np.abs(reference), 1e-8 * np.abs(reference).max())
        if not np.all(np.abs(analytic[name] - reference) <= rtol * scale):
            wrong.add(name)
    return wrong


def assert_as_declared(case: Any) -> None:
    """The case's gradient differs from its twin's on just the parameters that it declares.

    The twin's loss is that of the case, and the call leaves its inputs as they were.
    """
    inputs = case.inputs()
    before = {name: np.array(value) for name, value in inputs.items()}
    loss, analytic = case.target(**inputs)
    for name, value in before.items():
        np.testing.assert_array_equal(inputs[name], value)

    twin_loss, true = loss_and_gradient(case.torch, inputs, list(analytic))
    assert abs(loss - twin_loss) <= 1e-12 * abs(loss)
    assert wrong_parameters(analytic, true) == set(case.expect.parameters)


def _as_tensor(value: Any, differentiated: bool) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    if np.issubdtype(value.dtype, np.integer):
        return torch.tensor(value.astype(np.int64))
    return torch.tensor(value, requires_grad=differentiated)
