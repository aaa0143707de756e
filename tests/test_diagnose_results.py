"""Wrong gradients of intermediate results: what is tried for each, and what is said of it."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_directions import after, of
from test_diagnose_measures import space
from test_diagnose_patterns import evidence

from gradcheck.diagnose.cotangents import _SLOPES, _Attempt, _attempts, _finding, _may_explain
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.plan import trials
from gradcheck.diagnose.probe import Probe
from gradcheck.diagnose.probes import stale_factors, wrong_sums
from gradcheck.tracing import trace

W, B, ARRAY = ("parameter", "W"), ("parameter", "b"), ("constant", "array")
generator = np.random.default_rng(83)
SQUARE = generator.normal(size=(3, 3))


def test_the_slopes_of_activations_at_every_size():
    z = np.array([-1000.0, -1.0, 0.0, 2.0, 1000.0])
    share = np.array([0.0, 1 / (1 + np.e), 0.5, 1 / (1 + np.exp(-2)), 1.0])
    expected = {
        "y * (1 - y) with y = sigmoid(z)": share * (1 - share),
        "1 - tanh(z)**2": 1 / np.cosh(np.clip(z, -50, 50)) ** 2,
        "z > 0": [0, 0, 0, 1, 1],
    }
    assert [words for words, _ in _SLOPES] == list(expected)
    for words, slope in _SLOPES:
        np.testing.assert_allclose(slope(z), expected[words], atol=1e-15)


class Results:
    """A trace of which every operation hands its operands multiples of what arrives."""

    def __init__(self, values, missing=()):
        self.values, self.missing = values, missing

    def value(self, index):
        return np.asarray(self.values[index], float)

    def local(self, index, c):
        return tuple(None if k in self.missing else c * (k + 2.0) for k in range(2))


def attempts(*operations, cotangents, values=None, missing=()):
    graph = Graph(tuple(operations))
    given = {index: np.asarray(c, float) for index, c in cotangents.items()}
    values = given if values is None else values
    return [
        (one.cause, one.operation.index, one.local, dict(one.extra))
        for one in _attempts(Results(values, missing), graph, given)
    ]


def transposed(*operations, **how):
    return [
        (index, local, list(extra)) for cause, index, local, extra in attempts(*operations, **how)
        if cause == "transpose"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("c", "found"),
    [
        (SQUARE, [(0, False, [0])]), (SQUARE[:2], []), (SQUARE[0], []),
        (np.zeros((2, 2, 2)), []), (np.float64(2.0), []),
    ],
)  # fmt: skip
def test_a_square_gradient_is_transposed(c, found):
    assert transposed(of(0, "exp", W), cotangents={0: c}) == found
    assert transposed(of(0, "exp", W), cotangents={}) == []


def test_a_gradient_is_transposed_for_each_factor_of_a_matrix_product():
    """The parameter itself has no result, and what is no path gets nothing."""
    three = (of(0, "exp", W), of(1, "exp", W), of(2, "matmul", after(0), after(1)))
    only = {"cotangents": {2: SQUARE}}
    assert transposed(*three, **only) == [(2, False, [2]), (2, True, [0]), (2, True, [1])]
    assert transposed(*three, **only, missing=(0,)) == [(2, False, [2]), (2, True, [1])]
    of_parameter = (*three[:2], of(2, "matmul", W, after(1)))
    assert transposed(*of_parameter, **only) == [(2, False, [2]), (2, True, [1])]
    assert transposed(*three[:2], of(2, "add", after(0), after(1)), **only) == [(2, False, [2])]
    extras = [extra for *_, extra in attempts(*three, **only)][:3]
    np.testing.assert_allclose(extras[0][2], SQUARE.T - SQUARE)
    np.testing.assert_allclose(extras[1][0], 2.0 * (SQUARE.T - SQUARE))
    np.testing.assert_allclose(extras[2][1], 3.0 * (SQUARE.T - SQUARE))


def test_a_slope_is_multiplied_by_once_too_often():
    z, c = np.array([-1.0, 0.0, 2.0]), np.array([3.0, 4.0, 5.0])
    found = attempts(of(0, "exp", W), cotangents={0: c}, values={0: z})
    assert [cause for cause, *_ in found] == ["extra_activation_derivative"] * 3
    for (*_, extra), (_, slope) in zip(found, _SLOPES, strict=True):
        np.testing.assert_allclose(extra[0], c * slope(z) - c)
    assert attempts(of(0, "sum", W), cotangents={0: np.float64(2.0)}) == []


@pytest.mark.parametrize(("runs", "looked_at"), [(3, True), (4, False)])
def test_the_runs_of_a_long_loop_are_not_looked_at_one_by_one(runs, looked_at):
    loop = [of(k, "exp", W, line=1) for k in range(runs)]
    cotangents = dict.fromkeys(range(runs), SQUARE)
    causes = {cause for cause, *_ in attempts(*loop, cotangents=cotangents)}
    assert causes == ({"transpose", "extra_activation_derivative"} if looked_at else set())


# What is said


def said(*, local=False, users=(7, 9), failing=("W",)):
    """Of the result of line 5, which operations in these lines use."""
    using = (of(k + 1, "sum", after(0), line=line) for k, line in enumerate(users))
    operations = (of(0, "exp", W, line=5), *using)
    ones = {"W": np.ones(3), "b": np.ones(2)}
    attempt = _Attempt("transpose", operations[0], {}, "is turned", "Turn it.", local)
    here = space(np.ones(5), failing=failing)
    return _finding(attempt, evidence(ones, ones, ones), here, Graph(operations))


def test_what_is_done_to_the_gradient_of_a_result_is_done_where_it_is_used():
    found = said()
    assert (found.location.line, [place.line for place in found.also]) == (7, [9, 5])
    assert (found.cause, found.parameters, found.confidence) == ("transpose", ("W",), "exact")
    assert found.evidence == {"operation": "exp", "index": 0}
    assert found.remedy == "Turn it."
    assert "when the gradient by the result of the `exp` in line 5" in found.message
    assert found.message.endswith(" is turned.")
    assert said(failing=("b", "W")).parameters == ("W", "b")


def test_each_line_is_named_once_and_of_one_factor_its_own_alone():
    found = said(users=(7, 7, 5))
    assert (found.location.line, [place.line for place in found.also]) == (7, [5])
    found = said(local=True)
    assert (found.location.line, found.also) == (5, ())
    assert said(users=()).location.line == 5


@pytest.mark.parametrize(
    ("components", "explains", "expected"),
    [([1.0, 2.0], True, True), ([1.0, 2.0], False, False), ([1.0, np.nan], True, False),
     ([np.inf, 2.0], True, False)],
)  # fmt: skip
def test_what_is_added_may_explain_by_its_components(components, explains, expected):
    asked = []

    def given(sources, parts):
        asked.append((sources, [part[0] for part in parts]))
        return np.array(components)

    sketch = SimpleNamespace(given=given, explains=lambda _, by_factor: explains and not by_factor)
    attempt = _Attempt("sign", of(0, "exp", W), {3: np.ones(2), 5: 2 * np.ones(2)}, "", "")
    assert _may_explain(attempt, sketch) is expected
    assert asked == [([("operation", 3), ("operation", 5)], [1.0, 2.0])]


# Sums and factors of a parameter


def asked(look, loss, claimed, name, **values):
    traced = trace(loss, (), values, values)
    right = traced.backward()
    known = evidence(right | {name: claimed}, right, values, relative=1e-12, trace=traced)
    return look(known.facts[name], known, Probe(traced, Graph(traced.operations),
                                                traced.cotangents()))  # fmt: skip


X, Y, T = generator.normal(size=(3, 4, 3))
b = generator.normal(size=3)


def test_of_two_shapes_the_first_in_which_a_parameter_is_broadcast_is_looked_at():
    def loss(b):
        flat = np.sum(np.cos(b) + b)
        wide = np.sum(np.sin(X + b) * Y)
        return flat + wide + np.sum(np.exp(b + T[:2]) * Y[:2])

    first, second = np.cos(X + b) * Y, np.exp(b + T[:2]) * Y[:2]
    rest = 1.0 - np.sin(b)
    found = asked(wrong_sums, loss, first[-1] + second.sum(0) + rest, "b", b=b)
    assert "taken from the last index of axis 0 alone" in found.message
    assert asked(wrong_sums, loss, first.sum(0) + second[-1] + rest, "b", b=b) is None


@pytest.mark.parametrize(
    ("inside", "sign"),
    [(lambda b: b - X, 1.0), (lambda b: X - b, -1.0), (lambda b: b + X, 1.0),
     (lambda b: X + b, 1.0)],
)  # fmt: skip
def test_what_is_subtracted_is_summed_with_its_sign(inside, sign):
    slopes = sign * np.cos(inside(b)) * Y

    def loss(b):
        return np.sum(np.sin(inside(b)) * Y)

    found = asked(wrong_sums, loss, slopes.mean(0), "b", b=b)
    assert "averaged over axis 0" in found.message
    assert asked(wrong_sums, loss, -slopes.mean(0), "b", b=b) is None


def test_a_use_that_is_no_product_does_not_end_the_look():
    U, V = generator.normal(size=(2, 3, 3))

    def loss(V, U):
        H = np.tanh(X @ U)
        return np.sum(np.cos(V)) + np.sum((H @ V) * Y)

    stale = (X @ U).T @ Y - np.sin(V)
    found = asked(stale_factors, loss, stale, "V", V=V, U=U)
    assert (found.cause, found.parameters) == ("stale_value", ("V",))


# Cuts in their order


def test_cuts_that_are_the_same_are_listed_by_operation_and_the_whole_first():
    graph = Graph((of(0, "exp", W), of(1, "add", after(0), ARRAY), of(2, "add", ARRAY, after(1)),
                   of(3, "add", after(2), B)))  # fmt: skip
    whole = [(0, None), (0, 0), (1, None), (1, 0), (2, None), (2, 1), (3, 0)]
    assert list(graph.cut_classes[0]) == whole
    assert graph.cut_classes[1:] == (((3, None),), ((3, 1),))
    first = next(one for one in trials(graph) if one.kind == "cut")
    assert (list(first.alterations), first.sites) == ([0], (0, 1, 2, 3))
