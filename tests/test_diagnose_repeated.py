"""Mistakes in what a loop adds up for one array: overwritten, named twice, of another moment."""

from pathlib import Path

import numpy as np
import pytest

from gradcheck.diagnose.evidence import Evidence
from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.probe import Probe
from gradcheck.diagnose.probes import missing_factors, scaled_by_result
from gradcheck.diagnose.repeated import _readings, overwritten, overwritten_results, stale_in_loop
from gradcheck.tracing import trace

generator = np.random.default_rng(23)
STEPS = 3
X = generator.normal(size=(STEPS, 4, 2))
G = generator.normal(size=(STEPS, 4, 3))
M = generator.uniform(0.5, 2.0, size=(STEPS, 4, 3))
U, W = generator.normal(size=(2, 3)), generator.normal(size=(3, 3))
E = generator.normal(size=(5, 2))
BAGS = [np.array([0, 1, 1]), np.array([3, 0, 3])]


def gated(U, W):
    total = 0.0
    for x, m, g in zip(X, M, G, strict=True):
        h = np.tanh(x @ U)
        s = h * m
        total = total + np.sum(np.sin(s @ W) * g)
    return total


def parts():
    h = [np.tanh(x @ U) for x in X]
    s = [a * m for a, m in zip(h, M, strict=True)]
    d = [np.cos(b @ W) * g for b, g in zip(s, G, strict=True)]
    return h, s, d


def looked_up(E):
    total = 0.0
    for k, bag in enumerate(BAGS):
        total = total + np.sum(np.sin(E[bag]) * (k + 1))
    return total


def asked(look, loss, name, claimed, **values):
    """What one look says of a claimed gradient of one parameter."""
    traced = trace(loss, (), values, values)
    right = traced.backward()
    known = Evidence(
        names=tuple(values), values=values, analytic=right | {name: claimed}, reference=right,
        uncertainty={k: np.full(v.shape, 1e-12) for k, v in values.items()},
        failing={name: np.ones(claimed.shape, bool)}, trace=traced,
    )  # fmt: skip
    probe = Probe(traced, graph_of(traced), traced.cotangents())
    return look(known.facts[name], known, probe)


def line_of(text, source=__file__):
    with Path(source).open(encoding="utf-8") as file:
        return next(k for k, line in enumerate(file, 1) if line.strip().startswith(text))


def test_a_factor_taken_before_it_was_multiplied():
    h, _, d = parts()
    claimed = sum(a.T @ c for a, c in zip(h, d, strict=True))
    found = asked(stale_in_loop, gated, "W", claimed, U=U, W=W)
    assert (found.cause, found.parameters, found.confidence) == ("factor_missing", ("W",), "exact")
    assert "with the factor as it is before the `multiply` in line" in found.message
    assert found.location.line == line_of("total = total + np.sum(np.sin(s @ W) * g)")
    assert [place.line for place in found.also] == [line_of("s = h * m")]
    assert found.remedy.startswith(f"Multiply by the result of line {line_of('s = h * m')}")


def test_the_other_factor_of_that_product_in_its_place():
    _, _, d = parts()
    claimed = sum(m.T @ c for m, c in zip(M, d, strict=True))
    assert asked(stale_in_loop, gated, "W", claimed, U=U, W=W).cause == "factor_missing"


def test_another_result_of_the_same_pass():
    _, s, d = parts()
    turned = sum(np.sin(b @ W).T @ c for b, c in zip(s, d, strict=True))
    found = asked(stale_in_loop, gated, "W", turned, U=U, W=W)
    assert (found.cause, found.confidence) == ("stale_value", "exact")
    assert "with the result of the `sin`" in found.message
    assert "of the same pass of the loop, in place of its own" in found.message


def test_another_gradient_of_the_same_pass():
    _, s, _ = parts()
    undone = sum(b.T @ g for b, g in zip(s, G, strict=True))
    found = asked(stale_in_loop, gated, "W", undone, U=U, W=W)
    assert (found.cause, found.confidence) == ("stale_value", "exact")
    assert "with the gradient by the result of the `sin`" in found.message


def test_what_is_none_of_these_is_not_explained():
    _, s, d = parts()
    almost = sum((b * 1.01).T @ c for b, c in zip(s, d, strict=True))
    assert asked(stale_in_loop, gated, "W", almost, U=U, W=W) is None
    assert asked(overwritten, gated, "W", almost, U=U, W=W) is None


@pytest.mark.parametrize("kept", [-1, 0])
def test_one_contribution_kept_of_all_that_a_loop_makes(kept):
    _, s, d = parts()
    claimed = (s[kept].T @ d[kept]).copy()
    found = asked(overwritten, gated, "W", claimed, U=U, W=W)
    assert (found.cause, found.confidence) == ("term_missing", "exact")
    assert f"contributions of the {STEPS} runs of the `matmul`" in found.message
    assert found.remedy == "Add each contribution to the gradient of W with `+=`."


def summed(*, within=True, across=True, last=True):
    """The gradient of the look-ups, with contributions that overwrite each other."""
    result = np.zeros_like(E)
    for k, bag in enumerate(BAGS):
        own = np.cos(E[bag]) * (k + 1)
        one = np.zeros_like(E)
        for place, row in zip(bag, own, strict=True):
            one[place] = row + (one[place] if within else 0.0)
        if across:
            result += one
        else:
            touched = np.isin(np.arange(5), bag)
            result[touched] = one[touched]
    return result


@pytest.mark.parametrize(
    ("mistake", "cause"),
    [
        ({"within": False}, "duplicate_indices"),
        ({"across": False}, "term_missing"),
        ({"within": False, "across": False}, "duplicate_indices"),
    ],
)
def test_look_ups_that_overwrite_each_other(mistake, cause):
    found = asked(overwritten, looked_up, "E", summed(**mistake), E=E)
    assert (found.cause, found.parameters, found.confidence) == (cause, ("E",), "exact")
    assert "E[bag]" in found.message
    if cause == "duplicate_indices":
        assert found.remedy == "Add with np.add.at(dE, idx, g)."
        assert "`x[idx] += g`" in found.message


def test_the_right_sum_is_no_mistake():
    assert asked(overwritten, looked_up, "E", summed(), E=E) is None


def readings(loss, name, **values):
    traced = trace(loss, (), values, values)
    probe = Probe(traced, graph_of(traced), traced.cotangents())
    return [
        (cause, [len(group) for group in groups])
        for cause, groups in _readings(probe.uses(name), probe)
    ]


def test_what_is_kept_is_asked_by_run_and_by_index():
    expected = [("term_missing", [2]), ("duplicate_indices", [3, 3]), ("duplicate_indices", [6])]
    assert readings(looked_up, "E", E=E) == expected
    assert readings(gated, "W", U=U, W=W) == [("term_missing", [3])]
    assert readings(lambda E: np.sum(E[2] ** 2), "E", E=E) == []
    once = readings(lambda E: np.sum(E[[1, 1]] ** 2), "E", E=E)
    assert once == [("duplicate_indices", [2]), ("duplicate_indices", [2])]


def test_results_of_a_loop_read_twice_in_each_pass():
    def loss(U):
        total = 0.0
        z = np.sin(U)
        for k in range(3):
            total = total + np.sum(z * (k + 1.0)) + np.sum(z * z[::-1] * k)
        return total

    traced = trace(loss, (U,), {}, {"U": U})
    graph = graph_of(traced)
    found = list(overwritten_results(traced, graph, traced.cotangents()))
    assert found
    sine = next(o.index for o in traced.operations if o.name == "sin")
    changes = [extra[sine] for _, extra in found if sine in extra]
    # of 1 + 2 + 3 times the gradient the last is kept
    assert any(np.allclose(change, -3.0) for change in changes)


def ratio(p, q):
    size = np.exp(q)
    share = p * 2.0
    return np.sum(share / size)


def test_a_factor_that_is_a_result_left_out_of_a_gradient():
    p, q = generator.normal(size=(2, 3))
    claimed = np.full(3, 2.0)  # not divided by the size
    found = asked(missing_factors, ratio, "p", claimed, p=p, q=q)
    assert (found.cause, found.confidence) == ("factor_missing", "exact")
    assert "does not divide by the result of the `exp`" in found.message
    assert found.remedy.startswith("Divide by the result of line")
    twice = 2.0 / np.exp(2 * q)
    found = asked(missing_factors, ratio, "p", twice, p=p, q=q)
    assert "does not multiply by the result of the `exp`" in found.message
    found = asked(scaled_by_result, ratio, "p", claimed, p=p, q=q)
    assert "is exactly the right one without the factor" in found.message
    assert asked(missing_factors, ratio, "p", claimed * 1.01, p=p, q=q) is None
    assert asked(scaled_by_result, ratio, "p", claimed * 1.01, p=p, q=q) is None
