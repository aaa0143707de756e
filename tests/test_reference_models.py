"""The reference models as a whole: every variant is there, declared, and as right or wrong as said.

Each analytic gradient is compared with PyTorch's derivative of the independent twin, without the
harness: what the harness is judged by must not rest on the harness.
"""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradcheck.case import Case
from gradcheck.report import Verdict
from reference_models import __gradcheck__, __gradcheck_stories__, __gradcheck_traces__

NAMES = """
spiral_softmax: mean_early mean_late sum undivided aliased unshifted unshifted_overflow
spiral_relu_net: published mask_missing reg_missing_w2 bias_broadcast initial_point at_kink
mnist_relu_net: published corrected no_output_relu no_return published_784 corrected_784
tanh_logistic_net: naive naive_saturated stable stable_saturated
tanh_logistic_net: sigmoid_derivative_extra grads_first
quadratic_regression: raw normalised raw_numpy normalised_numpy int_params
two_layer_net: unscaled scaled half_loss_double_grad full_loss_single_grad reg_missing reg_on_biases
two_layer_net: published_scale bound_method
sigmoid_net: published corrected_loop corrected_vectorised bias_regularised
random_relu_regression: published mean_loss_sum_grad residual_sign
softmax_columns: loops vectorised indicator_missing inplace_bug wrong_twin
"""

FAULTY = {
    "spiral_softmax.undivided": ("batch_not_divided", {"W", "b"}),
    "spiral_relu_net.mask_missing": ("activation_mask_missing", {"W", "b"}),
    "spiral_relu_net.reg_missing_w2": ("reg_missing", {"W2"}),
    "mnist_relu_net.published": ("activation_mask_missing", {"W1", "b1", "W2", "b2"}),
    "mnist_relu_net.published_784": ("activation_mask_missing", {"W1", "b1", "W2", "b2"}),
    "tanh_logistic_net.sigmoid_derivative_extra": (
        "extra_activation_derivative",
        {"U", "b", "W", "c"},
    ),
    "two_layer_net.half_loss_double_grad": ("reg_scale", {"W1", "W2"}),
    "two_layer_net.full_loss_single_grad": ("reg_scale", {"W1", "W2"}),
    "two_layer_net.reg_missing": ("reg_missing", {"W1", "W2"}),
    "two_layer_net.reg_on_biases": ("reg_extra", {"b1", "b2"}),
    "sigmoid_net.published": ("loss_ignores_parameter", {"theta[0]", "theta[1]"}),
    "sigmoid_net.bias_regularised": ("reg_extra", {"theta[0]", "theta[1]"}),
    "random_relu_regression.mean_loss_sum_grad": ("batch_not_divided", {"w1", "w2"}),
    "random_relu_regression.residual_sign": ("sign", {"w1", "w2"}),
    "softmax_columns.indicator_missing": ("term_missing", {"W"}),
}

ERRORS = {
    "spiral_softmax.unshifted_overflow": "non_finite_loss",
    "mnist_relu_net.no_return": "missing_gradient",
    "tanh_logistic_net.naive_saturated": "non_finite_loss",
}

# logaddexp takes no complex numbers; at a kink the complex step sees one side of it
NO_COMPLEX_STEP = {
    "tanh_logistic_net.stable",
    "tanh_logistic_net.stable_saturated",
    "spiral_relu_net.initial_point",
    "spiral_relu_net.at_kink",
}

BY_NAME = {case.name: case for case in __gradcheck__}
WITH_TWIN = [
    case.name
    for case in __gradcheck__
    if case.torch is not None and case.expect is not None and case.expect.verdict != Verdict.ERROR
]


def specified_names() -> list[str]:
    rows = (line.split(": ") for line in NAMES.strip().splitlines())
    return [f"{family}.{variant}" for family, variants in rows for variant in variants.split()]


def split(result: tuple[Any, Any]) -> tuple[float, Any]:
    """The loss and the gradients, in whichever order they came."""
    first, second = result
    if isinstance(first, dict):
        return float(second), first
    return float(first), second


def analytic_gradients(case: Case, inputs: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """The loss, and the claimed gradient by parameter name."""
    loss, grads = split(case.target(**inputs))
    if isinstance(grads, dict):
        return loss, grads
    (group,) = case.wrt or ()
    return loss, {f"{group}[{i}]": grad for i, grad in enumerate(grads)}


def twin_gradients(case: Case, inputs: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """The twin's loss, and its derivative by PyTorch under the same names."""
    import torch

    leaves: dict[str, Any] = {}

    def tensor(name: str, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [tensor(f"{name}[{i}]", item) for i, item in enumerate(value)]
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
            return torch.tensor(value.astype(np.int64))
        if isinstance(value, np.ndarray | float) or name == "c":
            leaves[name] = torch.tensor(value, dtype=torch.float64, requires_grad=True)
            return leaves[name]
        return value

    arguments = {name: tensor(name, value) for name, value in inputs.items()}
    if case.params is not None:
        arguments["params"] = {name: tensor(name, value) for name, value in case.params.items()}
    loss = case.torch(**arguments)
    grads = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    return loss.item(), dict(zip(leaves, (grad.numpy() for grad in grads), strict=True))


def relative_errors(a: Any, r: Any) -> np.ndarray:
    """|a - r| / max(|a|, |r|) on the entries above 1e-8 of the largest."""
    a, r = np.asarray(a), np.asarray(r)
    scale = np.maximum(abs(a), abs(r))
    counts = scale > 1e-8 * scale.max()
    return (abs(a - r) / np.where(counts, scale, 1))[counts]


def complex_slope(case: Case, parameter: str, index: tuple[Any, ...]) -> float:
    """The derivative of the loss by one entry, from a complex step in this parameter alone."""
    h = 1e-30
    inputs = case.inputs()
    group, _, position = parameter.rstrip("]").partition("[")
    tree, key = (inputs[group], int(position)) if position else (inputs, group)
    tree = tree if case.params is None else case.params
    real = tree[key]
    tree[key] = np.array(real, dtype=complex)
    tree[key][index] += 1j * h
    try:
        first, second = case.target(**inputs)
    finally:
        tree[key] = real
    loss = second if isinstance(first, dict) else first
    return float(loss.imag / h)


def arrays_of(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from arrays_of(item)


def test_every_specified_variant_is_there_in_order():
    assert [case.name for case in __gradcheck__] == specified_names()


def test_every_variant_declares_what_is_expected_and_where_it_was_published():
    for case in __gradcheck__:
        assert case.expect is not None, case.name
        assert case.source, case.name


def test_faulty_variants_name_their_cause_and_their_parameters():
    declared = {
        case.name: (case.expect.cause, set(case.expect.parameters))
        for case in __gradcheck__
        if case.expect.verdict is Verdict.FAIL
    }
    assert declared == FAULTY


def test_erroneous_variants_name_their_cause():
    declared = {
        case.name: case.expect.cause
        for case in __gradcheck__
        if case.expect.verdict is Verdict.ERROR and case.name != "quadratic_regression.int_params"
    }
    assert declared == ERRORS


def test_only_the_wrong_twin_is_expected_to_stay_inconclusive():
    inconclusive = [
        case.name for case in __gradcheck__ if case.expect.verdict is Verdict.INCONCLUSIVE
    ]
    assert inconclusive == ["softmax_columns.wrong_twin"]


def test_stories_are_about_variants_and_every_faulty_family_has_one():
    told = {story.check for story in __gradcheck_stories__}
    assert told <= set(BY_NAME)
    families = {name.partition(".")[0] for name in told}
    assert {name.partition(".")[0] for name in FAULTY} <= families


@pytest.mark.parametrize("name", WITH_TWIN)
def test_the_gradient_is_as_right_or_as_wrong_as_declared(name: str):
    case = BY_NAME[name]
    loss, analytic = analytic_gradients(case, case.inputs())
    twin_loss, reference = twin_gradients(case, case.inputs())
    if name == "softmax_columns.wrong_twin":
        assert abs(loss - twin_loss) > 0.01 * loss
        assert relative_errors(analytic["W"], reference["W"]).max() > 0.1
        return
    assert twin_loss == pytest.approx(loss, rel=1e-12)
    differing = {
        parameter
        for parameter, grad in analytic.items()
        if relative_errors(grad, reference[parameter]).max(initial=0) > 1e-9
    }
    assert differing == set(case.expect.parameters)
    for parameter in differing:
        assert relative_errors(analytic[parameter], reference[parameter]).max() > 1e-3


@pytest.mark.parametrize("name", sorted(set(WITH_TWIN) - NO_COMPLEX_STEP))
def test_a_complex_step_goes_through_and_differentiates_the_loss(name: str):
    case = BY_NAME[name]
    _, reference = twin_gradients(case, case.inputs())
    if name == "softmax_columns.wrong_twin":
        _, reference = analytic_gradients(case, case.inputs())
    _, analytic = analytic_gradients(case, case.inputs())
    for parameter in analytic:
        true = np.asarray(reference[parameter])
        steepest = np.unravel_index(abs(true).argmax(), true.shape)
        slope = complex_slope(case, parameter, steepest)
        assert slope == pytest.approx(true[steepest], rel=1e-10)


@pytest.mark.parametrize("name", list(BY_NAME))
def test_a_call_leaves_its_inputs_alone(name: str):
    case = BY_NAME[name]
    assert callable(case.inputs), "inputs are made afresh by a function"
    inputs = case.inputs()
    before = copy.deepcopy((inputs, case.params))
    with np.errstate(all="ignore"):
        case.target(**inputs)
    pairs = zip(arrays_of(before), arrays_of((inputs, case.params)), strict=True)
    changed = [not np.array_equal(old, new) for old, new in pairs]
    assert any(changed) == (name == "softmax_columns.inplace_bug")


@pytest.mark.parametrize("name", list(BY_NAME))
def test_inputs_are_the_same_each_time_and_shared_with_nobody(name: str):
    first, second = list(arrays_of(BY_NAME[name].inputs())), list(arrays_of(BY_NAME[name].inputs()))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    writable = [a for a in first if np.issubdtype(a.dtype, np.floating)]
    assert not any(np.shares_memory(a, b) for a in writable for b in second)


def test_importing_the_models_imports_numpy_only():
    code = (
        "import sys, reference_models\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'pandas', 'matplotlib', 'hypothesis'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "import scipy\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    ).stdout.splitlines()
    assert output == ["[]", "['scipy']"]


def test_the_training_curves_pass_through_the_published_points():
    traces = __gradcheck_traces__()
    assert {trace.family for trace in traces} == {
        "spiral_softmax",
        "spiral_relu_net",
        "tanh_logistic_net",
        "quadratic_regression",
    }
    for trace in traces:
        reproduced = dict(trace.reproduced)
        for step, loss in trace.published:
            assert reproduced[step] == pytest.approx(loss, rel=1e-4, abs=5e-3)
