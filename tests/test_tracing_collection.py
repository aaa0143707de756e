"""Whole losses, as people write them, trace without change; so do the reference models."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest

from gradcheck.calling.calls import bind_inputs
from gradcheck.calling.tree import leaves
from gradcheck.tracing import NotTraceable, trace
from tests.tracing_losses import COLLECTION, layers
from tests.twin_gradient import loss_and_gradient


def parameters_of(inputs, names):
    """Return the float arrays among the named inputs, or among all trees if none is named."""
    return {
        leaf.path: leaf.value
        for name, value in inputs.items()
        for leaf in leaves(value, name)
        if isinstance(leaf.value, np.ndarray)
        and leaf.value.dtype.kind == "f"
        and (name in names or not isinstance(value, np.ndarray))
    }


def relative_error(function, inputs, array, gradient, direction, step=1e-4):
    """Compare a directional derivative with a five-point central difference."""
    start = array.copy()

    def at(k):
        array[...] = start + k * step * direction
        value = float(function(**inputs))
        array[...] = start
        return value

    numeric = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)
    traced = float(np.sum(gradient * direction))
    return abs(numeric - traced) / max(abs(numeric), abs(traced), 1e-3)


@pytest.mark.parametrize("name", COLLECTION)
def test_loss_traces_and_its_gradient_is_right(name):
    function, inputs, names = COLLECTION[name]
    inputs = copy.deepcopy(inputs)
    parameters = parameters_of(inputs, names)
    assert parameters
    plain = float(function(**inputs))
    traced = trace(function, (), inputs, parameters)
    gradient = traced.backward()
    generator = np.random.default_rng(0)
    assert traced.loss == plain
    assert any(np.any(part) for part in gradient.values())
    for path, array in parameters.items():
        assert gradient[path].shape == array.shape
        direction = generator.normal(size=array.shape)
        assert relative_error(function, inputs, array, gradient[path], direction) < 1e-7


def test_collection_is_large_enough():
    assert len(COLLECTION) >= 60


def test_parameters_of_a_bound_method_are_found_where_they_live():
    net = layers.TwoLayerNet(4, 6, 3)
    X, y = np.random.default_rng(0).normal(size=(5, 4)), np.array([0, 2, 1, 1, 0])
    before = {name: value.copy() for name, value in net.params.items()}
    traced = trace(net.loss, (X, y), {}, net.params, loss_of=lambda result: result[0])
    gradient = traced.backward()
    for name, array in net.params.items():
        assert type(array) is np.ndarray
        assert np.array_equal(array, before[name])
        direction = np.ones_like(array)
        error = relative_error(lambda: net.loss(X, y)[0], {}, array, gradient[name], direction)
        assert error < 1e-7


def reference_cases():
    import reference_models

    return [
        case
        for case in reference_models.__gradcheck__
        if not isinstance(case.target, str)
        and not case.name.startswith(("quadratic_regression.raw", "quadratic_regression.norm"))
        and "saturated" not in case.name
        and "overflow" not in case.name
        and "int_params" not in case.name
    ]


def loss_in(result):
    if not isinstance(result, tuple):
        return result
    return result[1] if isinstance(result[0], dict | list | tuple) else result[0]


@pytest.mark.parametrize("case", reference_cases(), ids=lambda case: case.name)
def test_reference_model_traces(case):
    inputs = case.inputs() if callable(case.inputs) else case.inputs
    bound = copy.deepcopy(bind_inputs(case.target, inputs))
    trees = [*bound.items()]
    if case.params is not None:
        trees.append(("params", case.params))
    parameters = {
        leaf.path: leaf.value
        for label, value in trees
        for leaf in leaves(value, label)
        if isinstance(leaf.value, np.ndarray) and leaf.value.dtype.kind == "f"
    }

    try:
        traced = trace(case.target, bound.args, bound.kwargs, parameters, loss_of=loss_in)
    except NotTraceable as error:
        pytest.fail(str(error))
    plain = float(loss_in(case.target(*bound.args, **bound.kwargs)))
    assert traced.loss == plain
    assert all(site.file.endswith(".py") for site in {op.site for op in traced.operations})
    assert any(np.any(part) for part in traced.backward().values())


def test_table_in_the_docs_is_the_registry():
    from gradcheck.tracing.coverage import coverage

    page = (Path(__file__).parent.parent / "docs" / "traceable.md").read_text()
    if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
        assert page == coverage(), "python -m gradcheck.tracing.coverage > docs/traceable.md"
    else:
        # Older libraries have fewer functions, and one of them had another name.
        here, there = (set(re.findall(r"`([\w.]+)`", text)) for text in (coverage(), page))
        assert here - there == {"trapz"}
        assert len(here) > 0.95 * len(there)


def cases_with_twins():
    return [
        case
        for case in reference_cases()
        if callable(case.torch)
        and callable(case.inputs)
        and case.params is None
        and "bound_method" not in case.name
        and isinstance(case.inputs(), dict)
        and not any(isinstance(value, list) for value in case.inputs().values())
        and "wrong_twin" not in case.name
        and "kink" not in case.name
    ]


@pytest.mark.parametrize("case", cases_with_twins(), ids=lambda case: case.name)
def test_traced_gradient_is_that_of_the_twin(case):
    inputs = case.inputs()
    parameters = {
        name: value
        for name, value in inputs.items()
        if isinstance(value, np.ndarray) and value.dtype == np.float64
    }
    traced = trace(case.target, (), inputs, parameters, loss_of=loss_in).backward()
    _, expected = loss_and_gradient(case.torch, inputs, list(parameters))
    for name, gradient in expected.items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(traced[name], gradient, rtol=1e-12, atol=1e-12 * scale)
