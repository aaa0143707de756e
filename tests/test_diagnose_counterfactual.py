"""Altered backward passes name the operation and the line; what they cannot explain, they leave."""

import sys
from pathlib import Path

import numpy as np
import pytest

from gradcheck.diagnose import Evidence, diagnose
from gradcheck.diagnose.graph import graph_of
from gradcheck.tracing import trace

HERE = Path(__file__)
rng = np.random.default_rng(3)


def line_of(text):
    """The number of the first line of this file that contains ``text`` as code."""
    lines = HERE.read_text().splitlines()
    return next(k for k, line in enumerate(lines, 1) if line.strip().startswith(text))


def explain(loss, parameters, change, data=(), *, max_passes=200, **more):
    """Diagnose the right gradient of ``loss(*parameters, *data)`` after ``change`` to it."""
    traced = trace(loss, (*parameters.values(), *data), {}, parameters)
    true = traced.backward()
    analytic = {name: g.copy() for name, g in true.items()}
    change(analytic)
    return diagnose(
        Evidence(
            names=tuple(parameters),
            values=parameters,
            analytic=analytic,
            reference=true,
            uncertainty={k: np.full(g.shape, 1e-12 * np.abs(g).max()) for k, g in true.items()},
            failing={k: np.abs(analytic[k] - true[k]) > 1e-6 * np.abs(true[k]) for k in true},
            trace=traced,
            **more,
        ),
        max_passes=max_passes,
    )


X = rng.standard_normal((9, 4))
Y = rng.standard_normal((9, 3))
NET = {"W": rng.standard_normal((4, 5)), "V": rng.standard_normal((5, 3))}


def net(W, V, X, Y):
    Z = X @ W
    A = np.maximum(Z, 0)
    H = np.tanh(A @ V)
    return np.sum((H - Y) ** 2) / len(X)


def net_gradient(W, V, *, mask=True, slope=True, divide=True):
    Z = X @ W
    A = np.maximum(Z, 0)
    H = np.tanh(A @ V)
    dH = 2 * (H - Y) / (len(X) if divide else 1)
    dS = dH * (1 - H**2) if slope else dH
    dA = dS @ V.T
    dZ = dA * (Z > 0) if mask else dA
    return {"W": X.T @ dZ, "V": A.T @ dS}


def explain_net(**options):
    return explain(
        net,
        NET,
        lambda g: g.update(net_gradient(**NET, **options)),
        (X, Y),
        sizes=((9, "the rows of X"),),
    )


def test_a_right_gradient_gets_no_cause():
    assert explain_net() == ()


def test_a_missing_mask():
    (found,) = explain_net(mask=False)
    assert (found.cause, found.parameter, found.confidence) == (
        "activation_mask_missing",
        "W",
        "exact",
    )
    assert found.location.line == line_of("A = np.maximum(Z, 0)")
    assert found.location.function == "net"
    assert found.location.source[found.location.column : found.location.end_column] == (
        "np.maximum(Z, 0)"
    )
    assert (found.location.line - 1, "    Z = X @ W") in found.location.context
    assert "treated as the identity" in found.message
    assert "mask" in found.remedy


def test_a_missing_derivative():
    (found,) = explain_net(slope=False)
    assert found.cause == "activation_derivative_missing"
    assert found.location.line == line_of("H = np.tanh(A @ V)")
    assert "1 - tanh(z)**2" in found.remedy
    assert found.remedy.startswith("In the backward pass of line")


def test_a_missing_division():
    (found,) = explain_net(divide=False)
    assert (found.cause, found.parameter) == ("batch_not_divided", "")
    assert found.location.line == line_of("return np.sum((H - Y) ** 2) / len(X)")


def test_two_mistakes_on_one_path_are_both_found():
    found = explain_net(mask=False, slope=False)
    assert {(d.cause, d.parameter, d.confidence, d.location.line) for d in found} == {
        ("activation_derivative_missing", "V", "exact", line_of("H = np.tanh(A @ V)")),
        ("activation_mask_missing", "W", "exact", line_of("A = np.maximum(Z, 0)")),
    }


def deep(U, X, Y):
    A = np.tanh(X @ U)
    B = np.sin(3 * A)
    return np.sum(B * Y)


def test_two_mistakes_that_reach_the_same_parameter_are_a_pair():
    U = rng.standard_normal((4, 3))
    traced = trace(deep, (U, X, Y), {}, {"U": U})
    from gradcheck.tracing import Alteration

    index = {op.name: op.index for op in traced.operations}
    wrong = traced.backward(
        {index["tanh"]: Alteration("identity"), index["sum"]: Alteration("scale", factor=-1.0)}
    )
    (found,) = explain(deep, {"U": U}, lambda g: g.update(wrong), (X, Y))
    assert found.confidence == "exact"
    assert sorted(found.evidence["causes"]) == ["activation_derivative_missing", "sign"]
    lines = {found.location.line, *(place.line for place in found.also)}
    assert line_of("A = np.tanh(X @ U)") in lines


def test_a_mistake_and_an_unrelated_error_are_told_apart():
    def change(g):
        g.update(net_gradient(**NET, mask=False))
        g["V"] += rng.standard_normal(g["V"].shape)

    found = explain(net, NET, change, (X, Y))
    assert [d.cause for d in found] == ["activation_mask_missing", "unexplained"]
    assert [d.parameter for d in found] == ["W", "V"]


def test_noise_is_not_explained():
    def change(g):
        for gradient in g.values():
            gradient += 1e-3 * rng.standard_normal(gradient.shape)

    (found,) = explain(net, NET, change, (X, Y))
    assert found.cause == "unexplained"
    assert found.location is None


def test_an_almost_missing_mask_is_a_near_miss_and_says_so():
    def change(g):
        g.update(net_gradient(**NET, mask=False))
        g["W"][0, 0] += 1e-4 * np.abs(g["W"]).max()

    (found, *_) = explain(net, NET, change, (X, Y))
    assert (found.cause, found.confidence) == ("activation_mask_missing", "possible")
    assert "nearly" in found.message
    assert "alone" not in found.message
    assert found.evidence["parameters_alone"] is False


def regularised(W, b, lam):
    fit = np.sum(np.cos(X @ W + b))
    penalty = lam * np.sum(W * W)
    return fit + penalty


REG = {"W": rng.standard_normal((4, 3)), "b": rng.standard_normal(3)}


@pytest.mark.parametrize(
    ("share", "cause"), [(0.0, "reg_missing"), (0.5, "reg_scale"), (2.0, "reg_scale")]
)
def test_the_trace_knows_the_regulariser_that_one_point_does_not_tell(share, cause):
    def change(g):
        g["W"] += (share - 1.0) * 2 * 0.3 * REG["W"]

    (found,) = explain(regularised, REG, change, (0.3,), scalars={"lam": 0.3})
    assert (found.cause, found.confidence, found.parameter) == (cause, "exact", "W")
    assert found.location.line == line_of("penalty = lam * np.sum(W * W)")


def test_a_regularised_bias_points_to_the_regulariser():
    def change(g):
        g["b"] += 2 * 0.3 * REG["b"]

    (found,) = explain(regularised, REG, change, (0.3,), scalars={"lam": 0.3})
    assert found.cause == "reg_extra"
    assert found.location.line == line_of("penalty = lam * np.sum(W * W)")


def normalised(W):
    Z = X @ W
    mean = Z.mean(axis=0)
    spread = np.sqrt(((Z - mean) ** 2).mean(axis=0) + 1e-3)
    return np.sum(np.cos(Z - mean) * Y / spread)


@pytest.mark.parametrize("name", ["mean", "sqrt"])
def test_a_statistic_taken_for_a_constant(name):
    W = rng.standard_normal((4, 3))
    traced = trace(normalised, (W,), {}, {"W": W})
    (index, *_) = [op.index for op in traced.operations if op.name == name]
    from gradcheck.tracing import Alteration

    wrong = traced.backward({index: Alteration("constant")})
    (found,) = explain(normalised, {"W": W}, lambda g: g.update(wrong))
    assert found.cause == "path_detached"
    assert found.location.line == traced.operations[index].site.line


def recurrent(W, U, steps):
    h = np.zeros((9, 3))
    for k in range(steps):
        h = np.tanh(X * (k + 1) @ W + h @ U)
    return np.sum(h * Y)


def test_a_recurrence_that_hands_nothing_back():
    parameters = {"W": rng.standard_normal((4, 3)), "U": 0.5 * rng.standard_normal((3, 3))}

    def change(g):
        W, U = parameters.values()
        states = [np.zeros((9, 3))]
        for k in range(4):
            states.append(np.tanh(X * (k + 1) @ W + states[-1] @ U))
        dZ = Y * (1 - states[-1] ** 2)  # the earlier steps get nothing
        g.update(W=(4 * X).T @ dZ, U=states[-2].T @ dZ)

    (found,) = explain(recurrent, parameters, change, (4,))
    assert found.cause in ("path_detached", "term_missing")
    assert found.location.line == line_of("h = np.tanh(X * (k + 1) @ W + h @ U)")
    assert found.confidence == "exact"


def test_a_stale_value_in_a_product():
    def change(g):
        Z = X @ NET["W"]
        H = np.tanh(np.maximum(Z, 0) @ NET["V"])
        g["V"] = Z.T @ (2 * (H - Y) / len(X) * (1 - H**2))

    (found,) = explain(net, NET, change, (X, Y))
    assert (found.cause, found.parameter) == ("stale_value", "V")
    assert found.location.line == line_of("H = np.tanh(A @ V)")


def square_layer(W, b):
    S = X[:4] @ W + b
    return np.sum(np.sin(S))


def test_a_bias_summed_over_the_wrong_axis():
    parameters = {"W": rng.standard_normal((4, 4)), "b": rng.standard_normal(4)}
    S = X[:4] @ parameters["W"] + parameters["b"]
    (found,) = explain(square_layer, parameters, lambda g: g.update(b=np.cos(S).sum(axis=1)))
    assert (found.cause, found.parameter) == ("wrong_axis", "b")
    assert found.location.line == line_of("S = X[:4] @ W + b")


def test_the_budget_of_passes_is_kept():
    traced = trace(net, (*NET.values(), X, Y), {}, NET)
    calls = []

    class Counting:
        loss, operations = traced.loss, traced.operations

        def backward(self, alterations=None):
            calls.append(alterations)
            return traced.backward(alterations)

    true = traced.backward()
    analytic = {k: g + rng.standard_normal(g.shape) for k, g in true.items()}
    evidence = Evidence(
        names=tuple(true),
        values=NET,
        analytic=analytic,
        reference=true,
        uncertainty={k: np.full(g.shape, 1e-12) for k, g in true.items()},
        failing={k: np.ones(g.shape, bool) for k, g in true.items()},
        trace=Counting(),
    )
    diagnose(evidence, max_passes=5)
    assert sum(1 for call in calls if call) == 5


def test_a_trace_that_contradicts_the_reference_is_not_used():
    traced = trace(net, (*NET.values(), X, Y), {}, NET)
    true = {k: 1.5 * g for k, g in traced.backward().items()}
    evidence = Evidence(
        names=tuple(true),
        values=NET,
        analytic={k: -g for k, g in true.items()},
        reference=true,
        uncertainty={k: np.full(g.shape, 1e-9) for k, g in true.items()},
        failing={k: np.ones(g.shape, bool) for k, g in true.items()},
        trace=traced,
    )
    (found,) = diagnose(evidence)
    assert (found.cause, found.location) == ("sign", None)


def test_cuts_that_cannot_be_told_apart_are_one():
    traced = trace(net, (*NET.values(), X, Y), {}, NET)
    graph = graph_of(traced)
    chain = next(members for members in graph.cut_classes if len(members) > 2)
    from gradcheck.diagnose.graph import cut_alteration

    passes = [traced.backward(dict([cut_alteration(cut)])) for cut in chain]
    for gradient in passes[1:]:
        for name in gradient:
            np.testing.assert_array_equal(gradient[name], passes[0][name])


def test_no_torch_without_a_trace():
    import subprocess

    code = (
        "import sys, numpy as np\n"
        "from gradcheck.diagnose import Evidence, diagnose\n"
        "g = np.arange(1.0, 5.0)\n"
        "e = Evidence(('w',), {'w': g}, {'w': -g}, {'w': g}, {'w': 1e-9 * g}, {'w': g > 0})\n"
        "assert diagnose(e)[0].cause == 'sign'\n"
        "assert 'torch' not in sys.modules and 'scipy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HERE.parent.parent)


def tanh_slope(slope):
    """The net's gradient with another function of ``(z, y)`` for the derivative of tanh."""

    def change(g):
        W, V = NET.values()
        Z = X @ W
        A = np.maximum(Z, 0)
        S = A @ V
        H = np.tanh(S)
        dS = 2 * (H - Y) / len(X) * slope(S, H)
        g.update(W=X.T @ (dS @ V.T * (Z > 0)), V=A.T @ dS)

    return change


@pytest.mark.parametrize(
    ("slope", "cause"),
    [
        (lambda z, y: y * (1 - y), "activation_derivative_wrong"),
        (lambda z, y: 1 + y**2, "activation_derivative_wrong"),
        (lambda z, y: 1 - z**2, "stale_value"),
        (lambda z, y: (1 - y**2) ** 2, "extra_activation_derivative"),
        (lambda z, y: 0.5 * (1 - y**2), "scale"),
    ],
)
def test_a_wrong_slope_of_an_activation(slope, cause):
    (found,) = explain(net, NET, tanh_slope(slope), (X, Y))
    assert (found.cause, found.confidence) == (cause, "exact")
    lines = [place.line for place in (found.location, *found.also)]
    assert line_of("H = np.tanh(A @ V)") in lines


def test_a_slope_of_nothing_known_is_unexplained():
    (found,) = explain(net, NET, tanh_slope(lambda z, y: 0.3 + y**4), (X, Y))
    assert found.cause == "unexplained"


def square(U, V):
    A = np.sin(X[:4] @ U)
    B = np.cos(A @ V)
    return np.sum(B * B * np.arange(4.0))


def test_a_transposed_intermediate_gradient():
    parameters = {"U": rng.standard_normal((4, 4)), "V": rng.standard_normal((4, 4))}

    def change(g):
        U, V = parameters.values()
        S = X[:4] @ U
        P = np.sin(S) @ V
        dP = -2 * np.cos(P) * np.sin(P) * np.arange(4.0)
        g["U"] = X[:4].T @ ((dP @ V.T).T * np.cos(S))

    (found,) = explain(square, parameters, change)
    assert (found.cause, found.parameter) == ("transpose", "U")
    lines = [place.line for place in (found.location, *found.also)]
    assert line_of("B = np.cos(A @ V)") in lines


def looked_up(table, idx):
    rows = table[idx]
    return np.sum(np.exp(rows) * np.arange(3.0))


def test_repeated_rows_of_a_look_up_are_found_exactly():
    table, idx = rng.standard_normal((6, 3)), np.array([0, 2, 2, 5])

    def change(g):
        g["table"] = np.zeros_like(table)
        g["table"][idx] += np.exp(table[idx]) * np.arange(3.0)

    found, *_ = explain(looked_up, {"table": table}, change, (idx,), integer_arrays={"idx": idx})
    assert (found.cause, found.confidence) == ("duplicate_indices", "exact")
    assert found.location.line == line_of("rows = table[idx]")


def gated(W, U, steps):
    h = np.ones((9, 3))
    for _ in range(steps):
        z = np.tanh(h @ W)
        h = h * z + np.sin(h @ U)
    return np.sum(h * Y)


def test_a_loop_of_which_only_the_last_step_is_differentiated():
    parameters = {"W": rng.standard_normal((3, 3)), "U": rng.standard_normal((3, 3))}

    def change(g):
        W, U = parameters.values()
        h = np.ones((9, 3))
        for _ in range(4):
            last, z = h, np.tanh(h @ W)
            h = h * z + np.sin(h @ U)
        g.update(W=last.T @ (Y * last * (1 - z**2)), U=last.T @ (Y * np.cos(last @ U)))

    (found,) = explain(gated, parameters, change, (4,))
    assert (found.cause, found.confidence) == ("path_detached", "exact")
    assert found.location.line == line_of("h = h * z + np.sin(h @ U)")


def written(W, V):
    A = X @ W
    A[A < 0] = 0
    return np.sum((A @ V) ** 2)


def test_a_write_into_an_array_is_no_obstacle_to_finding_nothing():
    def change(g):
        for gradient in g.values():
            gradient += rng.standard_normal(gradient.shape)

    (found,) = explain(written, NET, change)
    assert found.cause == "unexplained"


def test_a_missing_mask_of_a_write_into_an_array():
    def change(g):
        W, V = NET.values()
        g["W"] = X.T @ (2 * np.maximum(X @ W, 0) @ V @ V.T)

    (found,) = explain(written, NET, change)
    assert (found.cause, found.parameter) == ("activation_mask_missing", "W")
    assert found.location.line == line_of("A[A < 0] = 0")
    assert "the assignment in line" in found.message


def leaky(W):
    Z = X @ W
    A = np.where(Z > 0, Z, 0.2 * Z)
    return np.sum(np.sin(A) * Y)


@pytest.mark.parametrize(
    ("left", "cause"), [(1.0, "activation_mask_missing"), (0.0, "term_missing"), (0.4, "scale")]
)
def test_the_slope_of_a_leaky_relu(left, cause):
    W = rng.standard_normal((4, 3))
    Z = X @ W
    A = np.where(Z > 0, Z, 0.2 * Z)
    wrong = X.T @ (np.cos(A) * Y * np.where(Z > 0, 1, left))
    (found,) = explain(leaky, {"W": W}, lambda g: g.update(W=wrong))
    assert (found.cause, found.confidence) == (cause, "exact")
    assert found.location.line == line_of("A = np.where(Z > 0, Z, 0.2 * Z)")
