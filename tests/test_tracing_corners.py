"""Corners of a trace: what counts as a plain argument, defaults of SciPy, lists in themselves."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from traced_derivatives import derivative_errors

import gradcheck
from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.plan import shifts
from gradcheck.tracing import trace
from gradcheck.tracing.operands import plain_keywords

pytest.importorskip("torch")


def test_arguments_that_are_plain_data_are_kept_by_name() -> None:
    array = np.ones(2)
    names = ("a", "axis", "dtype", "where", "shape")
    args = (array, 1, None, array, (2, "left", True))
    kwargs = {"keepdims": True, "out": None, "weights": array, "order": [0, 1], "bad": (1, array)}
    assert plain_keywords(args, kwargs, names) == {
        "axis": 1,
        "shape": (2, "left", True),
        "keepdims": True,
        "order": [0, 1],
    }


SKEW = np.array([[2.0, 0.7, -0.4], [0.1, 3.0, 0.5], [0.6, -0.2, 5.0]])
EXPRESSIONS = {
    "degrees and radians": (lambda a: np.sin(np.radians(a) + np.deg2rad(a)), SKEW),
    "back to degrees": (lambda a: np.sin(np.degrees(a) / 30 + np.rad2deg(a) / 50), SKEW),
    "the lower half of a matrix": (lambda s: scipy.linalg.eigvalsh(s), SKEW),
    "the upper half of a matrix": (lambda s: scipy.linalg.eigvalsh(s, lower=False), SKEW),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_derivatives_are_those_of_the_defaults(name: str) -> None:
    expression, value = EXPRESSIONS[name]
    assert derivative_errors(expression, [value.copy()]) < 1e-6


def written(a: Any) -> Any:
    into = np.zeros((2, 3))
    into[:] = a[None, :2]
    into[0] += a[2:, :].reshape(1, 1, 3)[0, 0]
    row = np.ones(3)
    row[...] = a[None, None, 1]
    return np.sin(into) @ row


def test_leading_axes_of_one_are_dropped_where_a_value_is_written() -> None:
    assert derivative_errors(written, [SKEW.copy()]) < 1e-6


def shifted(loss: Any) -> list[str]:
    values = {"s": np.array([0.3, -1.0, 2.0])}
    graph = graph_of(trace(loss, (), values, values))
    return [graph.by_index[index].name for index, _ in shifts(graph)]


def test_only_an_extreme_that_is_subtracted_is_a_shift() -> None:
    assert len(shifted(lambda s: np.sum(np.exp(s - np.max(s))))) == 1
    assert shifted(lambda s: np.sum(np.exp(s - np.sum(s)))) == []
    assert shifted(lambda s: np.sum(np.exp(s * np.max(s)))) == []


def test_a_list_within_itself_may_be_handed_to_code_that_is_not_followed() -> None:
    itself: list[Any] = [1.0]
    itself.append(itself)
    named: dict[str, Any] = {}
    named["itself"] = named

    def loss(x: Any) -> Any:
        pickle.dumps(itself)
        pickle.dumps(named)
        return np.sum(x * x), 2 * x

    report = gradcheck.check(loss, np.array([1.0, 2.0]))
    assert report.verdict == "pass"
    assert not report.warnings
    assert "analytic~autograd" in report.parameters["x"].comparisons


class Box:
    """Holds a value."""

    content: Any = 0.0


def into_elements(a: Any) -> Any:
    kept, box, total = np.zeros(3), Box(), 0.0
    for kept[1] in a[0]:
        total = total + kept[1] ** 3
    for box.content in a[1]:
        total = total * box.content
    for (kept[0], kept[2]), one in zip(a[:, :2], a[2], strict=True):
        total = total + kept[0] * kept[2] * one
    return total


def test_a_loop_may_write_its_items_into_arrays_and_attributes() -> None:
    assert derivative_errors(into_elements, [SKEW.copy()]) < 1e-6
