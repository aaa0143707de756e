"""A trace that does not hand out everything is used for what it does hand out."""

from types import SimpleNamespace

import numpy as np
from test_diagnose_patterns import evidence

from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.limits import Limits
from gradcheck.diagnose.passes import Passes, quick
from gradcheck.diagnose.space import make_space
from gradcheck.diagnose.writing import written
from gradcheck.tracing import trace

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
