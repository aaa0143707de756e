"""What a diagnosis looks at, and in which order: alterations, expressions, loops, cuts alike.

The lists are kept in ``gold/plans.txt``: first the operations of a loss, then the alterations to
try (kind, operations, operand, runs), what each expression hands on, and which cuts are the same.
"""

import numpy as np
import pytest
from gold_files import assert_gold

from gradcheck.diagnose.cotangents import _attempts
from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.plan import shifts, trials
from gradcheck.tracing import trace

generator = np.random.default_rng(2)
X, T = generator.normal(size=(4, 3)), generator.normal(size=(4, 2))
PAIRS = np.array([0, 1, 1])


def network(W, b):
    Z = X @ W + b
    H = 1 / (1 + np.exp(-Z))
    return np.sum((H - T) ** 2) + 0.1 * np.sum(W * W)


def steps(U, v):
    h, total = v * 1.0, 0.0
    for k in range(3):
        h = np.maximum(U @ h, 0.1)
        total = total + np.sum(h * k)
    return total


def many_steps(U):
    h = np.ones(2)
    for _ in range(5):
        h = np.tanh(h @ U)
    return np.sum(h)


def halves(x):
    return np.tanh(x) / 2


def helpers(V, W):
    a = halves(V[PAIRS] * W)
    b = halves(W)
    a[0] = 0.0
    return np.sum(a * b)


def shifted(s):
    e = np.exp(s - np.max(s))
    return np.log(np.sum(e)) + e[0]


def branches(M):
    A = np.where(M > 0, M, 0.1 * M)
    return np.sum(np.abs(A) @ M) / np.mean(M)


SHAPES = {
    network: {"W": (3, 2), "b": (2,)},
    steps: {"U": (2, 2), "v": (2,)},
    many_steps: {"U": (2, 2)},
    helpers: {"V": (2,), "W": (3,)},
    shifted: {"s": (3,)},
    branches: {"M": (2, 2)},
}


def numbers(items):
    return " ".join(str(item) for item in items)


def planned(loss):
    """The plan for a loss, as text."""
    values = {n: np.abs(generator.normal(size=shape)) + 0.1 for n, shape in SHAPES[loss].items()}
    traced = trace(loss, (), values, values)
    graph = graph_of(traced)
    flow = Flow(traced, graph)
    lines = [f"{loss.__name__}: " + numbers(f"{o.index} {o.name}," for o in graph.operations)]
    for one in trials(graph):
        how = {(a.kind, a.operand, a.factor) for a in one.alterations.values()}
        lines.append(
            f"  try {one.kind} at {numbers(one.alterations)}: {sorted(how, key=str)}, "
            f"meaning {numbers(one.sites)}, operand {one.operand}, {one.runs or 'no'} run "
            f"of {one.n_runs}"
        )
    lines += [f"  shift {index}, {operand}" for index, operand in shifts(graph)]
    for here in (*flow.activations(), *flow.handings()):
        sources = numbers(what for _, what in here.sources)
        lines.append(
            f"  {here.operation.name} {numbers(here.runs)} hands to {here.operand} ({sources})"
            f"{', repeats' if here.repeats else ''}{f' {here.chains}' if here.chains else ''}"
            f"{f', called at {flow.called_at(here)}' if flow.called_at(here) is not None else ''}"
        )
    lines += [f"  alike: {members}" for members in graph.cut_classes if len(members) > 1]
    lines += [f"  loop {numbers(run)}" for run in graph.loops]
    for kind in ("in_loop", "in_long_loop", "in_very_long_loop", "varying"):
        lines.append(f"  {kind}: {numbers(sorted(getattr(graph, kind)))}")
    behind = graph.parameters_behind
    lines.append(f"  behind: {numbers(''.join(sorted(behind[o.index])) for o in graph.operations)}")
    for attempt in _attempts(traced, graph, traced.cotangents()):
        where = numbers(attempt.extra)
        lines.append(f"  gradient by {where} of {attempt.operation.index} {attempt.words}")
    return "\n".join(lines) + "\n"


def test_what_is_tried_and_looked_at():
    assert_gold("plans.txt", "\n".join(planned(loss) for loss in SHAPES))


def attempts(loss, **values):
    traced = trace(loss, (), values, values)
    cotangents = traced.cotangents()
    return traced, cotangents, list(_attempts(traced, graph_of(traced), cotangents))


def test_a_transposed_or_multiplied_gradient_of_a_result():
    U = generator.normal(size=(3, 3))
    R = generator.normal(size=(3, 3))
    traced, cotangents, found = attempts(lambda U: np.sum(np.sin(U @ R) * R.T), U=U)
    product, sine = 0, 1
    by_words = {(a.operation.index, a.words): a for a in found}
    turned = by_words[(sine, "is transposed")]
    np.testing.assert_allclose(turned.extra[sine], cotangents[sine].T - cotangents[sine])
    assert (turned.cause, turned.local) == ("transpose", False)
    c, z = cotangents[product], traced.value(product)
    slopes = {
        "y * (1 - y) with y = sigmoid(z)": 1 / (2 + np.exp(z) + np.exp(-z)),
        "1 - tanh(z)**2": 1 / np.cosh(z) ** 2,
        "z > 0": z > 0,
    }
    for words, slope in slopes.items():
        said = f"is multiplied by {words} once too often (z is that result)"
        attempt = by_words[(product, said)]
        np.testing.assert_allclose(attempt.extra[product], c * slope - c, atol=1e-14)
        assert attempt.cause == "extra_activation_derivative"
        assert words in attempt.remedy


def test_a_gradient_transposed_for_one_factor():
    U, R = generator.normal(size=(2, 3, 3))
    traced, cotangents, found = attempts(lambda U: np.sum((np.exp(U) @ np.sin(U)) * R), U=U)
    local = [a for a in found if a.local]
    product = next(o.index for o in traced.operations if o.name == "matmul")
    c = cotangents[product]
    first, second = local
    ((one, extra),) = first.extra.items()
    np.testing.assert_allclose(extra, (c.T - c) @ np.sin(U).T)
    assert traced.operations[one].name == "exp"
    ((other, extra),) = second.extra.items()
    np.testing.assert_allclose(extra, np.exp(U).T @ (c.T - c))
    assert traced.operations[other].name == "sin"


@pytest.mark.parametrize("shape", [(2, 3), (3,), ()])
def test_only_square_gradients_are_transposed(shape):
    value = generator.normal(size=shape)
    *_, found = attempts(lambda U: np.sum(np.sin(U)), U=value)
    assert not any(a.cause == "transpose" for a in found)


def test_contributions_of_a_loop_to_one_result_that_overwrite_each_other():
    w = generator.normal(size=3)

    def loss(w):
        e = np.exp(w)
        total = 0.0
        for k in range(4):
            total = total + np.sum(e * (k + 1.0) ** 2)
        return total

    traced, _, found = attempts(loss, w=w)
    (kept,) = [a for a in found if a.cause == "term_missing"]
    ((index, extra),) = kept.extra.items()
    assert traced.operations[index].name == "exp"
    np.testing.assert_allclose(extra, np.full(3, 16.0 - (1 + 4 + 9 + 16)))
    assert kept.remedy == "Add each contribution with `+=`."
