"""The search for a cause is bounded by size: few passes, few numbers kept, and it says so."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import needs_torch

import gradcheck
from gradcheck.blocks import MANY, parts
from gradcheck.diagnose import Evidence, explained
from gradcheck.diagnose.evidence import largest_of
from gradcheck.diagnose.limits import (
    FEWEST_PASSES,
    LEAST_OF_EACH,
    MORE_WRITTEN,
    MOST_MOVED,
    SAMPLE,
    STORED_OF_MANY,
    limits_for,
)
from gradcheck.diagnose.matching import agrees, quality, quality_in_parts
from gradcheck.diagnose.passes import gradient_of
from gradcheck.diagnose.space import make_space
from gradcheck.diagnose.written import WrittenTrace
from gradcheck.tracing.graph import NumpyTrace

ROOT = str(Path(gradcheck.__file__).parent.parent)
ROWS, COLUMNS = 401, 330
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(4, ROWS)) / np.sqrt(ROWS)
W = DRAW.normal(size=(ROWS, COLUMNS))
V = DRAW.normal(size=COLUMNS)


def net(W, v, reg=0.1, spoil=None):
    """Two layers with a penalty on the first, of more parameters than are looked at one by one."""
    hidden = np.tanh(X @ W)
    out = hidden @ v
    d = np.outer(2 * out, v) * (1 - hidden**2)
    grads = {"W": X.T @ d + reg * W, "v": hidden.T @ (2 * out)}
    if spoil is not None:
        spoil(grads, W)
    return float(out @ out) + 0.5 * reg * np.sum(W * W), grads


def wrong(spoil):
    return gradcheck.check(lambda W, v, reg=0.1: net(W, v, reg, spoil), (W, V), [0, 1])


def no_penalty(grads, W):
    grads["W"] = grads["W"] - 0.1 * W


def no_penalty_and_one_more(grads, W):
    no_penalty(grads, W)
    grads["W"][100, 7] *= 1.01


def times(factor):
    def spoil(grads, _):
        for name in grads:
            grads[name] = factor * grads[name]

    return spoil


def negated(grads, _):
    grads["W"] = -grads["W"]


def zero(grads, _):
    grads["v"] = np.zeros_like(grads["v"])


def one_entry(grads, _):
    grads["W"][17, 5] *= 1.01


def one_row(grads, _):
    grads["W"][3] *= 1.5


def nothing_known(grads, _):
    grads["W"] = grads["W"] * (1 + 0.1 * np.random.default_rng(1).normal(size=W.shape))


def test_there_are_more_entries_than_are_looked_at_one_by_one():
    assert W.size > MANY


def test_a_right_gradient_gets_no_cause():
    found = wrong(None)
    assert str(found.verdict) == "pass"
    assert not found.diagnoses


@needs_torch
@pytest.mark.parametrize(
    ("spoil", "cause", "parameter"),
    [
        (no_penalty, "reg_missing", "W"),
        (times(2.0), "scale", ""),
        (negated, "sign", "W"),
        (zero, "zero_gradient", "v"),
    ],
)
def test_a_cause_is_found_among_many_entries(spoil, cause, parameter):
    found = wrong(spoil)
    assert str(found.verdict) == "fail"
    (first,) = found.diagnoses
    assert (first.cause, first.confidence) == (cause, "exact")
    assert first.parameter == parameter
    assert first.location is not None
    assert "search_cut_short" not in {one.key for one in found.warnings}


@needs_torch
@pytest.mark.parametrize(
    ("spoil", "where"), [(one_entry, "entry [17, 5] alone"), (one_row, "row 3 alone")]
)
def test_what_no_rule_explains_has_a_place_and_the_search_says_what_it_left_out(
    spoil, where, monkeypatch
):
    monkeypatch.setattr("gradcheck.diagnose.limits.LARGEST_OF_MANY", 100_000)
    found = wrong(spoil)
    assert str(found.verdict) == "fail"
    (first,) = found.diagnoses
    assert first.cause == "isolated_entries"
    assert where in first.message
    (said,) = (one.message for one in found.warnings if one.key == "search_cut_short")
    assert f"{W.size + V.size:,} entries of the gradient" in said


def test_what_matches_a_sample_is_held_against_every_entry():
    first, *_ = wrong(no_penalty_and_one_more).diagnoses
    assert first.confidence != "exact"


def counted(monkeypatch, method, kind=NumpyTrace):
    calls = []
    whole = getattr(kind, method)

    def count(self, *args, **options):
        calls.append(args)
        return whole(self, *args, **options)

    monkeypatch.setattr(kind, method, count)
    return calls


def deep(W, v, times=16):
    """A loss of so many steps that there would be hundreds of passes to make."""
    total, grads = 0.0, {"W": np.zeros_like(W), "v": np.zeros_like(v)}
    for k in range(times):
        total = total + (k + 1) * np.sin(W[k] @ v)
        grads["W"][k] = (k + 1) * np.cos(W[k] @ v) * v
        grads["v"] += (k + 1) * np.cos(W[k] @ v) * W[k]
    grads["v"] *= 1 + 0.1 * np.random.default_rng(2).normal(size=v.shape)
    return float(total), grads


@needs_torch
@pytest.mark.parametrize("written", [True, False])
def test_the_passes_over_a_trace_are_bounded_by_the_entries(written, monkeypatch):
    """Also of a trace whose derivatives are written down."""
    kind = WrittenTrace if written else NumpyTrace
    monkeypatch.setattr("gradcheck.diagnose.passes.LEAST_WRITTEN", 1 if written else 10**9)
    passes = counted(monkeypatch, "backward", kind)
    pulls = counted(monkeypatch, "pull", kind)
    # Less than two passes over the entries, and the fewest of so few operations.
    monkeypatch.setattr("gradcheck.diagnose.limits.MOST_MOVED", 2 * W.size)
    found = gradcheck.check(deep, (W / ROWS, V), [0, 1])
    assert str(found.verdict) == "fail"
    altered = [args for args in passes if args and args[0]]
    made = len(altered) + len(pulls)
    assert 0 < made <= (MORE_WRITTEN if written else 1) * FEWEST_PASSES
    (said,) = (one.message for one in found.warnings if one.key == "search_cut_short")
    assert "altered backward passes" in said


@needs_torch
def test_a_cause_is_found_without_an_algebra_system(tmp_path):
    script = tmp_path / "forgotten.py"
    script.write_text(
        "import sys, numpy as np, gradcheck\n"
        "def f(x, w):\n"
        "    y = np.tanh(x * w)\n"
        "    return float(y @ y), (2 * y * w, 2 * y * (1 - y**2) * x)\n"
        "draw = np.random.default_rng(0)\n"
        "found = gradcheck.check(f, (draw.normal(size=7), draw.normal(size=7)), [0, 1])\n"
        "first = found.diagnoses[0]\n"
        "print(first.cause, first.location.line, 'sympy' in sys.modules)\n"
    )
    command = [sys.executable, str(script)]
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": ROOT}
    )
    assert run.stdout.split() == ["activation_derivative_missing", "3", "False"]


def test_limits_by_size():
    small = limits_for(10_285, 4, 5_000)
    assert (small.passes, small.sampled, small.largest, small.probed) == (200, None, None, None)
    assert limits_for(MANY, 4, 5_000).sampled is None
    many = limits_for(1_000_000, 2, 8_000)
    assert many.passes == MOST_MOVED // 1_008_000
    assert (many.sampled, many.stored) == (SAMPLE // 2, STORED_OF_MANY)
    assert limits_for(10_000_000, 1, 10_000_000).passes == FEWEST_PASSES
    assert limits_for(10_000_000, 1, 10_000_000, max_passes=5).passes == 5
    assert limits_for(10_000_000, 100_000, 0).sampled == LEAST_OF_EACH
    # what flows counts as well, where the parameters are few
    assert limits_for(10, 1, 2_000_000).passes == 49


def evidence_of(analytic, reference, failing):
    values = {"W": W}
    return Evidence(
        ("W",), values, {"W": analytic}, {"W": reference},
        {"W": np.full(W.shape, 1e-10)}, {"W": failing},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("size", "of_trace", "operations", "again"),
    [
        (MANY + 1, ("x",), 199, False),
        (MANY + 1, (), 199, True),
        (MANY, ("x",), 199, True),
        (MANY + 1, ("x",), 200, True),
    ],
)
def test_the_gradient_of_a_large_trace_is_taken_from_the_evidence(
    size, of_trace, operations, again
):
    """Not where it may be without some entries, and of many operations is written down by it."""
    own, known = np.ones(size), np.zeros(size)
    trace = SimpleNamespace(operations=(None,) * operations, backward=lambda: {"x": own})
    evidence = SimpleNamespace(of_trace=of_trace, reference={"x": known})
    assert gradient_of(trace, evidence)["x"] is (own if again else known)


def test_a_sample_holds_wrong_entries_and_right_ones():
    failing = np.zeros(W.shape, bool)
    failing[3] = True
    space = make_space(evidence_of(W * (1 + failing), W, failing), {"W"}, sampled=1000)
    picked = space.picks["W"]
    assert 500 <= picked.size <= 1000
    assert (np.diff(picked) > 0).all()
    assert 300 <= np.count_nonzero(failing.ravel()[picked]) <= 500
    np.testing.assert_allclose(space.vector({"W": W}) * space.scale, W.ravel()[picked], rtol=1e-15)
    # one wrong entry among a hundred thousand is always there
    failing[:] = False
    failing[400, 329] = True
    space = make_space(evidence_of(W * (1 + failing), W, failing), {"W"}, sampled=1000)
    assert failing.ravel()[space.picks["W"]].any()


def test_a_gradient_is_compared_in_every_entry():
    failing = np.ones(W.shape, bool)
    facts = evidence_of(2 * W, W, failing).facts["W"]
    other = 2 * W
    other[-1, -1] += 1e-6
    assert agrees(facts, 2 * W)
    assert not agrees(facts, other)
    assert quality(facts, 2 * W) == "exact"
    assert quality(facts, other) == "possible"
    assert quality(facts, 1.5 * W) is None


def test_where_the_largest_error_is_not_explained_the_rest_is_not_made():
    failing = np.zeros(W.shape, bool)
    failing[200, 100] = True
    facts = evidence_of(W * (1 + failing), W, failing).facts["W"]
    assert facts.worst == 200 * COLUMNS + 100
    made = []

    def right(at):
        made.append(at)
        return W.reshape(-1)[at]

    assert quality_in_parts(facts, right) is None
    assert [at.start <= facts.worst < at.stop for at in made] == [True]
    made.clear()
    assert quality_in_parts(facts, lambda at: right(at) * (1 + failing.reshape(-1)[at])) == "exact"
    assert sorted(made, key=lambda at: at.start) == list(parts(W.size))


def test_entries_in_another_order_are_still_found_among_many():
    analytic = W[::-1].copy()
    (found, *_) = explained(evidence_of(analytic, W, analytic != W)).diagnoses
    assert found.cause == "permuted"
    # a near miss: the same places, other numbers
    analytic = analytic * 1.3
    (found, *_) = explained(evidence_of(analytic, W, analytic != W)).diagnoses
    assert found.cause != "permuted"


def test_the_largest_of_the_marked_entries():
    values = np.array([1.0, -3.0, np.nan])
    assert largest_of(values, np.array([True, True, False])) == 3.0
    assert largest_of(values, np.zeros(3, bool)) == 0.0
    assert largest_of(np.zeros(0), np.zeros(0, bool)) == 0.0


def test_memory_stays_a_small_multiple_of_the_parameters():
    import tracemalloc

    from gradcheck.diagnose.ranking import explained as search

    size = 1 << 18
    value = np.linspace(0.5, 1.5, size)
    analytic = value * (1 + 0.1 * np.random.default_rng(4).normal(size=size))
    evidence = Evidence(
        ("x",), {"x": value}, {"x": analytic}, {"x": value}, {"x": np.full(size, 1e-10)},
        {"x": np.ones(size, bool)},
    )  # fmt: skip
    search(evidence)
    fresh = Evidence(
        ("x",), {"x": value}, {"x": analytic}, {"x": value}, {"x": np.full(size, 1e-10)},
        {"x": np.ones(size, bool)},
    )  # fmt: skip
    tracemalloc.start()
    search(fresh)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= 8 * value.nbytes
