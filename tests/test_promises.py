"""What the interface promises and no other test names: one promise each, in its own words."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import tomllib
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, environment
from scipy.optimize import rosen, rosen_der, rosen_hess

import gradcheck.__main__
from gradcheck import Verdict
from gradcheck.cli import run_command

GENERATOR = np.random.default_rng(0)
W, B, X = (
    GENERATOR.normal(size=(3, 2)),
    GENERATOR.normal(size=2),
    GENERATOR.normal(size=(5, 3)),
)

LAYER = """
import numpy as np


def forward(x, w, b):
    h = x @ w + b
    return np.tanh(h), (x, w, np.tanh(h))


def backward(cotangent, cache):
    x, w, out = cache
    d = cotangent * (1 - out * out)
    return d @ w.T, x.T @ d, d.sum(axis=0)


def sloppy(cotangent, cache):
    dx, dw, db = backward(cotangent, cache)
    return dx, dw, 2 * db


def plain(x, w):
    return x @ w


def plain_backward(cotangent, x, w):
    return cotangent @ w.T, x.T @ cotangent


def tree(params, X):
    h = X @ params["layer"]["W"] + params["b"]
    d = 2 * h
    return np.sum(h * h), {"layer": {"W": X.T @ d}, "b": 3 * d.sum(axis=0)}


def inputs():
    rng = np.random.default_rng(1)
    params = {"layer": {"W": rng.normal(size=(3, 2))}, "b": rng.normal(size=2)}
    return {"params": params, "X": rng.normal(size=(5, 3))}
"""


@pytest.fixture
def layer(workplace):
    (workplace / "layer.py").write_text(LAYER)
    return workplace


def check_of(arguments):
    status = run_command([*arguments, "--no-autograd", "--json", "found.json"])
    (check,) = json.loads(Path("found.json").read_text(encoding="utf-8"))["checks"]
    return status, check


def layer_loss(W, b, X):
    h = X @ W + b
    return 0.5 * np.sum(h * h), {"W": X.T @ h, "b": h.sum(axis=0)}


class TestCommandLine:
    def test_the_installed_command_is_the_module_s(self):
        """``gradcheck`` is also installed as a command of the same meaning."""
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert project["scripts"] == {"gradcheck": "gradcheck.cli:main"}
        assert "from gradcheck.cli import main" in inspect.getsource(gradcheck.__main__)

    def test_the_current_directory_is_importable(self, layer):
        """The current directory is importable."""
        command = [sys.executable, "-m", "gradcheck", "layer:tree", "--inputs", "layer:inputs"]
        done = subprocess.run(
            [*command, "--no-autograd"], env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 1, done.stderr

    def test_normal_with_symbolic_sizes_is_taken_as_a_shape(self):
        """``normal(N,D)`` with symbolic sizes is taken as a shape, too."""

        @gradcheck.inputs(X="normal(N, D)", w="normal(D)")
        def loss(w, X): ...

        from gradcheck.targets.input_sources import plan_inputs

        drawn = plan_inputs(loss).draw(0)
        assert drawn["X"].shape == (7, 5)
        assert drawn["w"].shape == (5,)

    def test_choice_draws_among_values(self):
        """Draws are written in NumPy Generator terms: ``choice`` is one of them."""

        @gradcheck.inputs(y="choice([-1, 1], size=(1, N))", k="choice(3, size=20)")
        def loss(y, k): ...

        from gradcheck.targets.input_sources import plan_inputs

        drawn = plan_inputs(loss).draw(0)
        assert drawn["y"].shape == (1, 7)
        assert set(drawn["y"].ravel()) <= {-1, 1}
        assert set(drawn["k"]) <= {0, 1, 2}

    @pytest.mark.parametrize(
        ("arguments", "verdict", "names"),
        [
            (["layer:forward", "--vjp", "backward"], "pass", ["x", "w", "b"]),
            (["layer:forward", "--vjp", "sloppy"], "fail", ["x", "w", "b"]),
            (["layer:plain", "--vjp", "layer:plain_backward"], "pass", ["x", "w"]),
            (["layer:plain", "--vjp", "plain_backward", "--wrt", "x,w"], "pass", ["x", "w"]),
        ],
    )
    def test_vjp(self, layer, arguments, verdict, names):
        """``--vjp``: the backward takes ``(cotangent, cache)`` or ``(cotangent, *inputs)``.

        It returns gradients in the order of ``wrt``; the loss is the inner product with a fixed
        random cotangent.
        """
        bias = ["--arg", "b=randn(H)"] if "forward" in arguments[0] else []
        inputs = ["--arg", "x=randn(N,D)", "--arg", "w=randn(D,H)", *bias]
        status, check = check_of([*arguments, *inputs])
        assert check["verdict"] == verdict
        assert status == (verdict == "fail")
        assert [one["name"] for one in check["parameters"]] == names

    def test_a_backward_that_cannot_be_called_is_said_with_what_it_is_called_with(
        self, layer, capsys
    ):
        """Wrong use is said with what to write instead."""
        inputs = ["--arg", "x=randn(N,D)", "--arg", "w=randn(D,H)"]
        assert run_command(["layer:plain", "--vjp", "inputs", *inputs]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "(cotangent, *inputs) or (cotangent)" in said
        assert "defect" not in said

    def test_a_gradient_function_that_cannot_be_called_is_said(self, layer, capsys):
        """Wrong use is said with what to write instead."""
        inputs = ["--inputs", "inputs", "--no-autograd"]
        assert run_command(["layer:tree", "--grad", "plain_backward", *inputs]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "cotangent, x, w are neither an input nor returned beside the loss" in said
        assert "--vjp" in said

    @pytest.mark.parametrize("name", ["layer.W", "params['layer']['W']"])
    def test_wrt_takes_tree_paths(self, layer, name):
        """``--wrt``: comma-separated, tree paths allowed."""
        status, check = check_of(["layer:tree", "--inputs", "inputs", "--wrt", name])
        assert status == 0
        assert [one["name"] for one in check["parameters"]] == ["layer.W"]
        status, _ = check_of(["layer:tree", "--inputs", "inputs", "--wrt", f"{name},b"])
        assert status == 1

    def test_a_script_s_plots_wait_for_nobody(self, workplace):
        """Someone with a function in a file gets an answer from the first command."""
        source = (
            "import os\nimport numpy as np\nassert os.environ['MPLBACKEND'] == 'Agg'\n"
            "w = np.ones(3)\ndef loss(w): return np.sum(w * w), 2 * w\n"
        )
        (workplace / "script.py").write_text(source)
        command = [sys.executable, "-m", "gradcheck", "script.py:loss", "--no-autograd"]
        plain = {key: value for key, value in environment().items() if key != "MPLBACKEND"}
        done = subprocess.run(command, env=plain, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "the inputs are those at the top of the module: script.w" in done.stderr

    def test_a_penalty_that_is_off_by_default_is_named(self):
        """What was left out is reported as not checked."""

        def loss(w, reg=0.0):
            return np.sum(w * w) + reg * np.sum(w**4), {"w": 2 * w}

        left = gradcheck.check(loss, {"w": B}, autograd=False)
        given = gradcheck.check(loss, {"w": B, "reg": 0.0}, autograd=False)
        assert [notice.key for notice in left.warnings] == ["switched_off"]
        assert not given.warnings
        assert gradcheck.check(loss, {"w": B, "reg": 0.1}, autograd=False).verdict == "fail"

    def test_a_point_where_all_parameters_are_zero_is_warned_of(self):
        """``vacuous_point``: at this point the mistake looked for cannot show."""

        def ridge(w):
            return np.sum((X @ w - 1) ** 2) + np.sum(w * w), 2 * X.T @ (X @ w - 1)

        quiet = {"autograd": False}
        at_zero = gradcheck.check(ridge, np.zeros(3), **quiet)
        assert (at_zero.verdict, [n.key for n in at_zero.warnings]) == ("pass", ["vacuous_point"])
        assert gradcheck.check(ridge, np.zeros(3), jitter=0.1, **quiet).verdict == "fail"
        assert gradcheck.check(ridge, np.array([0.0, 0.1, 0.0]), **quiet).verdict == "fail"


class TestWhatATargetMayReturn:
    @pytest.mark.parametrize(
        "form",
        [
            lambda loss, g: (loss, g),
            lambda loss, g: (g, loss),
            lambda loss, g: (loss, g["W"], g["b"]),
            lambda loss, g: (loss, (g["W"], g["b"])),
            lambda loss, g: (loss, [g["W"], g["b"]]),
            lambda loss, g: (loss, {"dW": g["W"], "db": g["b"]}),
            lambda loss, g: (loss, np.concatenate([g["W"].ravel(), g["b"]])),
            lambda loss, g: (np.array([loss]), g),
        ],
        ids=["dict", "dict first", "each", "tuple", "list", "d-names", "flat", "one element"],
    )
    @pytest.mark.parametrize("factor", [1.0, 1.5])
    def test_forms(self, form, factor):
        """``(loss, grads)``; ``(grads, loss)``; ``(loss, g1, g2, ...)`` in the order of ``wrt``.

        ``grads`` mirrors the parameters' tree, or is a dict by name; a flat vector in the order of
        the parameters is accepted too.
        """

        def target(W, b, X):
            loss, grads = layer_loss(W, b, X)
            return form(loss, {name: factor * value for name, value in grads.items()})

        check = gradcheck.check(target, {"W": W, "b": B, "X": X}, ["W", "b"], autograd=False)
        assert check.verdict == (Verdict.PASS if factor == 1 else Verdict.FAIL)

    def test_a_dataclass_is_a_tree(self):
        """A parameter may be any tree of arrays (dict, list, tuple, dataclass, nested)."""

        @dataclass
        class Parameters:
            W: np.ndarray
            biases: list

        def target(params, X):
            loss, grads = layer_loss(params.W, params.biases[0], X)
            return loss, Parameters(grads["W"], [grads["b"]])

        check = gradcheck.check(target, (Parameters(W, [B]), X), autograd=False)
        assert check.verdict == "pass"
        assert sorted(check.parameters) == ["W", "biases[0]"]

    @pytest.mark.parametrize("kind", [list, tuple])
    def test_a_list_of_floats_with_the_gradient_in_one_array(self, kind):
        """Return forms and parameter trees as listed."""

        def target(x):
            return sum(one * one for one in x), 2 * np.array(x)

        check = gradcheck.check(target, {"x": kind([0.5, 1.5, 2.5])}, autograd=False)
        assert check.verdict == "pass"
        assert list(check.parameters) == ["x[0]", "x[1]", "x[2]"]

        def wrong(x):
            return sum(one * one for one in x), 3 * np.array(x)

        assert gradcheck.check(wrong, {"x": kind([0.5, 1.5])}, autograd=False).verdict == "fail"

    @pytest.mark.parametrize("scale", [1.0, 1.1])
    def test_scipy_s_forms_work_as_they_are(self, scale):
        """``fun`` with ``jac=`` callable or ``True``, ``args``."""
        x0 = np.array([1.2, 0.8, 1.1])
        verdict = "pass" if scale == 1 else "fail"

        def fun(x, power, shift):
            return np.sum((x - shift) ** power)

        def jac(x, power, shift):
            return scale * power * (x - shift) ** (power - 1)

        def both(x, *args):
            return fun(x, *args), jac(x, *args)

        quiet = {"autograd": False}
        assert gradcheck.check(fun, x0, jac=jac, args=(3, 0.1), **quiet).verdict == verdict
        assert gradcheck.check(both, x0, jac=True, args=(3, 0.1), **quiet).verdict == verdict
        assert gradcheck.check(rosen, x0, jac=rosen_der, hess=rosen_hess, **quiet).verdict == "pass"


class TestParameters:
    def test_params_are_put_back_also_after_an_exception(self):
        """``params=``: they are perturbed in place and always restored, also after an exception."""
        params = {"W": W.copy()}
        calls = []

        def target(X):
            calls.append(1)
            if len(calls) > 10:
                raise RuntimeError("this far")
            return float(np.sum(X @ params["W"])), {"W": np.outer(X.sum(axis=0), np.ones(2))}

        with pytest.raises(RuntimeError, match="this far"):
            gradcheck.check(target, {"X": X}, params=params, autograd=False)
        np.testing.assert_array_equal(params["W"], W)

    def test_data_are_never_perturbed_by_accident(self):
        """Data (``X``, ``y``, ``reg``) are never perturbed by accident."""

        def target(X, y, W, reg=0.1):
            value = np.sum((X @ W - y) ** 2) + reg * np.sum(W * W)
            return value, 2 * X.T @ (X @ W - y) + 2 * reg * W

        check = gradcheck.check(target, {"X": X, "y": np.ones((5, 2)), "W": W}, autograd=False)
        assert list(check.parameters) == ["W"]
        assert check.verdict == "pass"

    def test_what_the_code_calls_a_gradient_tells_of_what_it_is(self):
        """``wrt`` defaults do what people mean."""

        def target(x, theta):
            dtheta = 2 * theta * x
            return np.sum(x * theta * theta), dtheta

        check = gradcheck.check(target, (np.arange(1.0, 4), np.arange(2.0, 5)), autograd=False)
        assert list(check.parameters) == ["theta"]
        assert check.verdict == "pass"

    def test_gradients_in_order_skip_what_has_other_shapes(self):
        """``(loss, g1, g2, ...)``: each belongs to the next argument of its shape."""

        def target(center, index, outside, cache=None):
            h = outside @ center
            d = 2 * h
            return np.sum(h * h), outside.T @ d, np.outer(d, center)

        check = gradcheck.check(target, (np.ones(3), 2, W @ W.T + 1, None), autograd=False)
        assert list(check.parameters) == ["center", "outside"]
        assert check.verdict == "pass"

    def test_a_choice_that_leaves_several_is_an_error_that_names_them(self):
        """If that leaves none or several, a ``UsageError`` naming the candidates."""

        def target(a, b):
            return float(a.sum() + b.sum()), np.ones(9)

        with pytest.raises(gradcheck.UsageError, match=r"\(a, b\).*wrt=\['a'\]"):
            gradcheck.check(target, (np.ones(2), np.ones(3)), autograd=False)

    def test_side_by_side_arguments_of_the_right_size_are_proposed(self):
        def target(a, b, c):
            return float(b.sum() + c.sum()), np.ones((5, 1))

        inputs = (np.ones(7), np.ones((2, 1)), np.ones((3, 1)))
        with pytest.raises(gradcheck.UsageError, match=r"wrt=\['b', 'c'\]"):
            gradcheck.check(target, inputs, autograd=False)
        assert gradcheck.check(target, inputs, ["b", "c"], autograd=False).verdict == "pass"


class TestElsewhere:
    """Parameters that are neither inputs nor in ``self.params``."""

    class Net:
        def __init__(self, scale=1.0):
            self.weights = [W.copy(), W.T.copy()]
            self.biases = [B.copy(), np.ones(3)]
            self.scale = scale

        def cost(self, X):
            return self.backprop(X, value=True)

        def backprop(self, X, value=False):
            h = X @ self.weights[0] + self.biases[0]
            out = h @ self.weights[1] + self.biases[1]
            if value:
                return np.sum(out * out)
            d = 2 * out
            dh = d @ self.weights[1].T
            nabla_w = [X.T @ dh, self.scale * h.T @ d]
            nabla_b = [dh.sum(axis=0), d.sum(axis=0)]
            return nabla_b, nabla_w

    @pytest.mark.parametrize("scale", [1.0, 2.0])
    def test_lists_of_an_object_are_found_by_the_gradient(self, scale):
        net = self.Net(scale)
        check = gradcheck.check(net.cost, {"X": X}, grad=net.backprop, autograd=False)
        assert list(check.parameters) == ["biases[0]", "biases[1]", "weights[0]", "weights[1]"]
        assert check.verdict == ("pass" if scale == 1 else "fail")
        np.testing.assert_array_equal(net.weights[0], W)

    def test_a_target_that_hangs_is_stopped_also_while_it_is_looked_at(self):
        """``--timeout S``: S seconds for one evaluation."""
        net = self.Net()

        def hangs(X):
            while True:
                pass

        net.cost = types.MethodType(lambda self, X: hangs(X), net)
        check = gradcheck.check(net.cost, {"X": X}, timeout=0.1, autograd=False)
        assert check.verdict == "error"
        assert check.diagnoses[0].cause == "timed_out"
        assert "0.1 s" in check.diagnoses[0].message

    def test_wrt_names_them(self):
        net = self.Net(2.0)
        check = gradcheck.check(
            net.cost, {"X": X}, ["biases"], grad=lambda X: net.backprop(X)[0], autograd=False
        )
        assert list(check.parameters) == ["biases[0]", "biases[1]"]
        assert check.verdict == "pass"

    def test_arrays_of_an_object_are_also_met_by_the_complex_step(self):
        class Layer:
            def __init__(self):
                self.W = W.copy()

            def loss(self, X):
                h = np.sin(X @ self.W)
                dW = X.T @ np.cos(X @ self.W)
                return np.sum(h), dW

        layer = Layer()
        check = gradcheck.check(layer.loss, {"X": X}, oracles=("central", "complex"))
        assert list(check.parameters) == ["W"]
        assert check.verdict == "pass"
        assert check.parameters["W"].comparisons["analytic~complex"].max_relative_error < 1e-12
        np.testing.assert_array_equal(layer.W, W)

    def test_an_array_that_is_called_a_weight_is_found_by_its_shape(self):
        class Model:
            def __init__(self):
                self.theta = np.array([0.5, -1.0, 2.0])

            def loss_grad(self, X, y):
                residual = X @ self.theta - y
                return np.mean(residual**2), 2 * X.T @ residual / len(y)

        check = gradcheck.check(Model().loss_grad, {"X": X, "y": np.ones(5)}, autograd=False)
        assert (list(check.parameters), check.verdict) == (["theta"], "pass")

    def test_an_array_of_the_same_shape_that_nothing_names_is_not_taken(self):
        class Model:
            def __init__(self):
                self.data = np.ones((5, 3))

            def loss(self, w):
                return float(np.sum(self.data @ w)), np.ones((5, 3))

        check = gradcheck.check(Model().loss, {"w": np.ones(3)}, autograd=False)
        assert list(check.parameters) == ["w"]
        assert check.diagnoses[0].cause == "broadcast_not_summed"


class TestGradientFunctions:
    def test_one_that_takes_what_the_loss_returns_beside(self):
        """The gradient function is called with the target's arguments, and with its cache."""

        def forward(X, params):
            h = X @ params["W"]
            return np.sum(h * h), (h, X)

        def backward(X, cache):
            h, _ = cache
            dh = 2 * h
            return {"dh": dh, "dW": X.T @ dh}

        inputs = {"X": X, "params": {"W": W}}
        check = gradcheck.check(forward, inputs, grad=backward, autograd=False)
        assert list(check.parameters) == ["W"]
        # dh is the gradient of a variable of the loss, and no parameter that is missing.
        assert check.verdict == "pass"

        def misnamed(X, cache):
            return {"dV": backward(X, cache)["dW"]}

        check = gradcheck.check(forward, inputs, grad=misnamed, autograd=False)
        assert {found.cause for found in check.diagnoses} >= {"missing_gradient"}

    def test_one_of_other_names_is_called_by_position(self):
        def gradient(theta, data):
            return 2 * data.T @ (data @ theta)

        def loss(w, A):
            return np.sum((A @ w) ** 2)

        assert gradcheck.check(loss, (B, W), "w", grad=gradient, autograd=False).verdict == "pass"

    def test_one_that_reads_what_the_loss_left_behind(self):
        class Model:
            def loss(self, w):
                self.w = w
                return np.sum(w**3)

            def backward(self):
                return 3 * self.w**2

        model = Model()
        check = gradcheck.check(model.loss, {"w": B}, grad=model.backward, autograd=False)
        assert check.verdict == "pass"

    @pytest.mark.parametrize(("power", "verdict"), [(2, "pass"), (1, "fail")])
    def test_a_jacobian_and_an_elementwise_derivative(self, power, verdict):
        """Layers, residuals with a Jacobian, functions with the derivative of each entry."""

        def residuals(x, t):
            return x[0] / (t + x[1]) ** 1 - t

        def jacobian(x, t):
            return np.stack([1 / (t + x[1]), -x[0] / (t + x[1]) ** power], axis=1)

        inputs = (np.array([1.5, 0.5]), np.linspace(1, 2, 7))
        check = gradcheck.check(residuals, inputs, grad=jacobian, wrt="x", autograd=False)
        assert check.verdict == verdict
        assert "contracted" in [notice.key for notice in check.warnings]
        check = gradcheck.check(np.tanh, X, grad=lambda x: 1 - np.tanh(x) ** power, autograd=False)
        assert check.verdict == verdict


class TestLayerObjects:
    class Affine:
        def __init__(self, scale=1.0):
            self.W, self.b, self.dW, self.db = W.copy(), B.copy(), None, None
            self.scale = scale

        def forward(self, x):
            self.x = x
            return x @ self.W + self.b

        def backward(self, dout):
            self.dW = self.scale * self.x.T @ dout
            self.db = dout.sum(axis=0)
            return dout @ self.W.T

    @pytest.mark.parametrize("scale", [1.0, 0.5])
    def test_the_gradients_that_backward_leaves_in_the_object_count(self, scale):
        """A layer's ``backward(cotangent)`` may leave the gradients of its weights in ``dW``."""
        layer = self.Affine(scale)
        check = gradcheck.check(layer.forward, {"x": X}, vjp=layer.backward, autograd=False)
        assert {name: one.verdict for name, one in check.parameters.items()} == {
            "x": "pass",
            "W": "pass" if scale == 1 else "fail",
            "b": "pass",
        }
        np.testing.assert_array_equal(layer.W, W)

    @pytest.mark.parametrize("kind", [list, dict])
    @pytest.mark.parametrize("scale", [1.0, 0.5])
    def test_so_do_those_in_grads_beside_params(self, kind, scale):
        class MatMul:
            def __init__(self):
                self.params = [W.copy()] if kind is list else {"W": W.copy()}
                zeros = np.zeros_like(W)
                self.grads = [zeros] if kind is list else {"W": zeros}
                self.key = 0 if kind is list else "W"

            def forward(self, x):
                self.x = x
                return x @ self.params[self.key]

            def backward(self, dout):
                self.grads[self.key][...] = scale * self.x.T @ dout
                return dout @ self.params[self.key].T

        layer = MatMul()
        check = gradcheck.check(layer.forward, {"x": X}, vjp=layer.backward, autograd=False)
        name = "params[0]" if kind is list else "params.W"
        assert {key: one.verdict for key, one in check.parameters.items()} == {
            "x": "pass",
            name: "pass" if scale == 1 else "fail",
        }
        np.testing.assert_array_equal(layer.params[layer.key], W)
