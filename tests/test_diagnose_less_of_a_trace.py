"""A trace that does not hand out everything is used for what it does hand out."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_patterns import evidence

from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.limits import Limits
from gradcheck.diagnose.passes import Passes, quick
from gradcheck.diagnose.rewriting import change_of
from gradcheck.diagnose.space import make_space
from gradcheck.diagnose.writing import written
from gradcheck.tracing import trace
from gradcheck.tracing.contract import Alteration

W = np.array([1.5, -0.5, 2.0])
ALL = ("operations", "backward", "value", "cotangents", "pull", "local", "operand_values",
       "n_results", "tangents", "loss")  # fmt: skip


def loss(W):
    return np.sum(np.sin(W) * W)


def of(*names, full=None):
    """The named part of a trace of the loss."""
    full = full or trace(loss, (), {"W": W}, {"W": W})
    return full, SimpleNamespace(**{name: getattr(full, name) for name in names})


def test_what_does_not_say_that_it_is_in_doubles_is_not_written_down():
    full, silent = of(*ALL)
    assert written(silent, full.backward()) is None
    silent.in_doubles = False
    assert written(silent, full.backward()) is None
    silent.in_doubles = True
    assert written(silent, full.backward()) is not None


def test_without_tangents_there_is_no_sketch():
    for names, drawn in ((ALL, True), ([name for name in ALL if name != "tangents"], False)):
        _, some = of(*names)
        right = some.backward()
        known = evidence({"W": right["W"] + 1.0}, right, {"W": W}, trace=some)
        passes = Passes(known, some, make_space(known, right), Limits(), right["W"])
        passes.draw_sketch(graph_of(some))
        assert (passes.sketch is not None) is drawn
        assert not passes.unsketched
        assert passes.left == Limits().passes - (1 + len(passes.sketch.weights) if drawn else 0)


def test_without_values_passes_are_made_as_they_are():
    full, plain = of("operations", "backward")
    assert quick(plain, full.backward()) is plain


def written_product():
    def product(W, v):
        return np.sum(W * v)

    values = {"W": np.ones((2, 3)), "v": W}
    full = trace(product, (), values, values)
    (index,) = (one.index for one in full.operations if one.name == "multiply")
    return index, written(full, full.backward())


def test_a_slope_has_the_shape_of_the_operand_and_of_the_result():
    index, found = written_product()
    slope = np.arange(6.0).reshape(2, 3)
    made = found.backward({index: Alteration("slope", operand=0, slope=slope)})
    np.testing.assert_array_equal(made["W"], slope)
    for operand, shape in ((1, (3,)), (1, (2, 3)), (0, (3,))):
        with pytest.raises(ValueError, match="not elementwise in this operand"):
            found.backward({index: Alteration("slope", operand=operand, slope=np.ones(shape))})


def test_a_rule_that_hands_on_something_in_any_case_is_written_down():
    """Two numbers for each it is given, and one besides: a factor and an offset."""
    index, found = written_product()
    rule = Alteration("rule", operand=0, rule=lambda c: 2.0 * c + 1.0)
    change = change_of(found, {index: rule})
    ((start, offset),) = change.offset
    assert start == found.layout.source("parameter", "W")
    np.testing.assert_array_equal(offset, np.ones((2, 3)))
    np.testing.assert_array_equal(found.backward({index: rule})["W"], np.full((2, 3), 3.0))
