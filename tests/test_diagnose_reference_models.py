"""Every faulty reference variant gets its declared cause first, and the forward line."""

import numpy as np
import pytest
from twin_gradient import loss_and_gradient

from gradcheck.diagnose import Evidence, diagnose
from gradcheck.report import Verdict
from gradcheck.tracing import trace
from reference_models import __gradcheck__ as CASES

LINES = {
    "spiral_softmax.undivided": "data_loss = np.mean(",
    "spiral_relu_net.mask_missing": "hidden = np.maximum(0, pre_activation)",
    "spiral_relu_net.reg_missing_w2": "penalty2 = 0.5 * reg * np.sum(W2 * W2)",
    "mnist_relu_net.published": "x[x < 0] = 0",
    "mnist_relu_net.published_784": "x[x < 0] = 0",
    "tanh_logistic_net.sigmoid_derivative_extra": "y = 1 / (1 + np.exp(-z))",
    "two_layer_net.half_loss_double_grad": "loss += 0.5 * reg *",
    "two_layer_net.full_loss_single_grad": "loss += reg * (",
    "two_layer_net.reg_missing": "loss += reg * (",
    "two_layer_net.reg_on_biases": "loss += reg * (",
    "sigmoid_net.published": None,
    "sigmoid_net.bias_regularised": "J = J + lam / (2 * m) * np.sum(weights[:, 1:] ** 2)",
    "random_relu_regression.mean_loss_sum_grad": "loss = np.sum(residual**2) / len(x)",
    "random_relu_regression.residual_sign": "residual = y - yhat",
    "softmax_columns.indicator_missing": "loss = -f[label] + np.log(total)",
}


def evidence_for(case):
    inputs = case.inputs() if callable(case.inputs) else dict(case.inputs)
    wrt = list(case.wrt) if case.wrt else None
    call = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in inputs.items()}
    _, analytic = case.target(**call)
    if isinstance(analytic, list):  # a list of matrices: theta[0], theta[1]
        (name,) = [k for k, v in inputs.items() if isinstance(v, list)]
        values = {f"{name}[{k}]": v for k, v in enumerate(inputs[name])}
        analytic = {f"{name}[{k}]": g for k, g in enumerate(analytic)}
        traced = trace(case.target, (), inputs, values, loss_of=lambda result: result[0])
        reference = traced.backward()
    else:
        names = wrt or list(analytic)
        for name in names:
            if isinstance(inputs[name], float):  # a Python float is traced by identity
                inputs[name] = float(np.float64(inputs[name]))
        values = {name: inputs[name] for name in names}
        traced = trace(case.target, (), inputs, values, loss_of=lambda result: result[0])
        arrays = {k: np.asarray(v) if k in names else v for k, v in inputs.items()}
        _, reference = loss_and_gradient(case.torch, arrays, names)
    sizes = [
        (n, f"{'the rows' if axis == 0 else 'the columns'} of {name}")
        for name, value in inputs.items()
        if isinstance(value, np.ndarray) and name not in values
        for axis, n in enumerate(value.shape)
    ]
    uncertainty = {k: np.full(np.shape(g), 1e-12 * np.abs(g).max()) for k, g in reference.items()}
    return Evidence(
        names=tuple(values),
        values={k: np.asarray(v, float) for k, v in values.items()},
        analytic=analytic,
        reference=reference,
        uncertainty=uncertainty,
        failing={
            k: np.abs(np.asarray(analytic[k]) - reference[k])
            > 1e-6 * np.maximum(np.abs(reference[k]), 1e-3 * np.abs(reference[k]).max())
            for k in values
        },
        scalars={k: v for k, v in inputs.items() if isinstance(v, float) and k not in values},
        sizes=tuple(sizes),
        integer_arrays={
            k: v for k, v in inputs.items() if isinstance(v, np.ndarray) and v.dtype.kind in "iu"
        },
        trace=traced,
    )


FAULTY = [case for case in CASES if case.expect and case.expect.verdict is Verdict.FAIL]


def test_every_faulty_variant_is_listed():
    assert {case.name for case in FAULTY} == set(LINES)


@pytest.mark.parametrize("case", FAULTY, ids=lambda case: case.name)
def test_cause_and_line(case):
    evidence = evidence_for(case)
    failing = {facts.name for facts in evidence.failing_facts}
    (first, *_) = diagnose(evidence)
    assert first.cause == case.expect.cause
    assert first.confidence == "exact"
    explained = set(first.parameter.split(", ")) if first.parameter else set(evidence.names)
    assert explained == failing
    text = LINES[case.name]
    if text is not None:
        assert first.location is not None
        assert first.location.source.strip().startswith(text)


RIGHT = [case for case in CASES if case.expect and case.expect.verdict is Verdict.PASS]


@pytest.mark.parametrize("name", ["spiral_relu_net.published", "two_layer_net.unscaled"])
def test_a_right_variant_gets_no_cause(name):
    (case,) = [case for case in RIGHT if case.name == name]
    assert diagnose(evidence_for(case)) == ()
