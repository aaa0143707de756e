"""What a torch twin is called with, and what is made of its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcheck.oracles.torch_twin import evaluate_twin, resolve_twin


def seen_by(args, names=None, kwargs=None, live=None, live_names=None):
    """Return what a twin that sums its parameters was given."""
    given = {}

    def twin(*args, **kwargs):
        given["args"], given["kwargs"] = args, kwargs
        found = [one for one in args if isinstance(one, torch.Tensor) and one.requires_grad]
        found += [one for one in (kwargs.get("params") or {}).values() if one.requires_grad]
        return sum(one.sum() * (k + 2) for k, one in enumerate(found))

    loss, gradients = evaluate_twin(twin, args, kwargs or {}, names or {}, live, live_names or {})
    return given, loss, gradients


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.ones(2, dtype=np.float32), "float64"),
        (np.arange(3, dtype=np.int32), "int64"),
        (np.arange(3, dtype=np.uint8), "int64"),
        (np.array([True, False]), "bool"),
        (np.arange(6.0).reshape(2, 3).T, "float64"),
    ],
)
def test_arrays_come_as_tensors_of_their_kind(value, dtype):
    given, _, _ = seen_by((np.ones(2), value), {0: "x"})
    got = given["args"][1]
    assert got.dtype == getattr(torch, dtype)
    assert not got.requires_grad
    np.testing.assert_array_equal(got.numpy(), value)


def test_other_values_come_as_they_are():
    words = np.array(["a", "b"])
    given, _, _ = seen_by((np.ones(2), 3, "text", None, words), {0: "x"}, {"flag": True})
    assert given["args"][1:4] == (3, "text", None)
    assert given["args"][4] is words
    assert given["kwargs"] == {"flag": True}


def test_parameters_are_leaves_and_their_gradients_come_by_name():
    given, loss, gradients = seen_by((np.ones(2), np.full((1, 3), 5.0)), {0: "x", 1: "y"})
    assert all(one.requires_grad and one.dtype == torch.float64 for one in given["args"])
    assert loss == 2 * 2.0 + 3 * 15.0
    assert gradients["x"].tolist() == [2.0, 2.0]
    assert gradients["y"].tolist() == [[3.0, 3.0, 3.0]]


def test_a_parameter_that_the_twin_leaves_out_has_a_gradient_of_zeros():
    _, gradients = evaluate_twin(
        lambda x, y: x.sum(), (np.ones(2), np.ones((2, 2))), {}, {0: "x", 1: "y"}, None, {}
    )
    assert gradients["y"].tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_parameters_that_live_elsewhere_come_as_params():
    live = {"W": np.ones(2), "b": np.zeros(1)}
    given, loss, gradients = seen_by((), live=live, live_names={id(live["W"]): "W"})
    params = given["kwargs"]["params"]
    assert params["W"].requires_grad
    assert not params["b"].requires_grad
    assert (loss, gradients["W"].tolist()) == (4.0, [2.0, 2.0])


def test_a_twin_by_name_may_lie_within_a_class():
    assert resolve_twin("fractions:Fraction.from_float").__name__ == "from_float"
    assert resolve_twin(len) is len
