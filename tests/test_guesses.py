"""What is proposed where inputs are missing, and the gradient function found by its name."""

from __future__ import annotations

import itertools
import types

import numpy as np
import pytest

from gradcheck.calling.returned_names import meant, returned_names
from gradcheck.cli import run_command
from gradcheck.errors import UsageError
from gradcheck.targets.docstring_shapes import documented
from gradcheck.targets.guesses import SIZES, guesses
from gradcheck.targets.held_sizes import module_specs, sizes_held
from gradcheck.targets.input_sources import plan_inputs
from gradcheck.targets.partners import loss_beside, partner
from gradcheck.targets.trial import LARGEST_FLAT, LOSS, NOTHING, flat_alternatives, try_out


def module_of(**members):
    module = types.ModuleType("homework")
    vars(module).update(members)
    return module


class TestReturnedNames:
    @pytest.mark.parametrize(
        ("name", "parameter"),
        [
            *(
                ("dW", "W"),
                ("grad_W", "W"),
                ("W_grad", "W"),
                ("nabla_w", "w"),
                ("dJ_dtheta", "theta"),
            ),
            *(("dL_dW", "W"), ("gradW", "W"), ("dTheta", "theta"), ("d_theta", "theta")),
            *(("W", None), ("d", None), ("grad", None), ("gradient", None), ("data", None)),
        ],
    )
    def test_what_a_gradients_name_means(self, name, parameter):
        assert meant(name, ["W", "w", "theta"]) == parameter

    def test_a_name_that_two_could_be_meant_by_means_neither(self):
        assert meant("dab", ["Ab", "aB"]) is None

    def test_the_last_return_counts_and_inner_functions_do_not(self):
        def loss(W, x):
            def inner(dV):
                return 1.0, dV

            if x is None:
                return inner(W)
            dW, grads, h = W, {}, [W]
            return 1.0, dW.copy(), grads["x"], h[0], dW / 2

        assert returned_names(loss) == ["", "dW", "", "", "dW"]
        assert returned_names(np.sin) == []


class TestDocumented:
    def test_shapes_as_courses_and_libraries_write_them(self):
        def loss(X, y, W, b, h0, sigma, k, w, coef, mask, other):
            """The loss.

            Inputs:
            - X: data of shape (N, d_1, ..., d_k), which is
              flattened
            - y: Labels, an array of shape (N,)
            W -- weights, of shape (D, 4H)
            b (ndarray): biases with shape (4*H,)
            h0: (N, H) initial state
            sigma : float
            k: integer, how many
            w : array_like, shape = [n_features]
            coef : ndarray of shape (n_features, n_classes)
            mask: Boolean array of shape (N, T)
            """

        assert documented(loss, list(loss.__code__.co_varnames), SIZES) == {
            "X": "randn(7,5)",
            "y": "integers(3, size=7)",
            "W": "randn(5,16)",
            "b": "randn(16)",
            "h0": "randn(7,4)",
            "sigma": "0.1",
            "k": "2",
            "w": "randn(5)",
            "coef": "randn(5,3)",
            "mask": "integers(2, size=(7,6))",
        }

    def test_other_letters_get_sizes_of_their_own(self):
        def loss(E, F):
            """E: embeddings of shape (V, D); F: of another

            F: array of shape (V, Q)
            """

        assert documented(loss, ["E", "F"], SIZES) == {"E": "randn(11,5)", "F": "randn(11,13)"}

    def test_a_docstring_without_shapes_says_nothing(self):
        def loss(W):
            """Return the loss. Note: W is a matrix."""

        assert documented(loss, ["W"], SIZES) == {}


class TestGuesses:
    @pytest.mark.parametrize(
        ("name", "names", "first"),
        [
            ("W", ["W", "X", "y"], "randn(5,3)"),
            ("w", ["w", "X", "y"], "randn(5)"),
            ("theta", ["theta", "X", "y"], "randn(5)"),
            ("num_labels", ["num_labels"], "3"),
            ("hidden_layer_size", ["hidden_layer_size"], "4"),
            ("input_layer_size", ["input_layer_size"], "5"),
            ("lambda_", ["lambda_"], "0.1"),
            ("W2", ["W1", "b1", "W2", "b2"], "randn(4,3)"),
            ("b1", ["W1", "b1", "W2", "b2"], "randn(4)"),
            ("gamma", ["x", "gamma", "beta"], "randn(5)"),
            ("gamma", ["x", "gamma"], "0.1"),
            ("conv_param", ["x", "conv_param"], '{"stride": 1, "pad": 1}'),
            ("sparsity_param", ["theta", "sparsity_param"], "0.3"),
        ],
    )
    def test_the_likeliest_by_name(self, name, names, first):
        assert guesses(name, names, SIZES)[0] == first

    def test_sizes_of_the_object_are_tried_from_both_sides(self):
        class Net:
            def __init__(self):
                self.biases = [np.zeros((4, 1))]
                self.weights = [np.zeros((4, 6)), np.zeros((2, 4))]

            def cost(self, x): ...

        first, second = sizes_held(Net().cost, {}, SIZES)[:2]
        assert (first["D"], second["D"]) == (4, 6)
        assert second["C"] == 2

    def test_modules_tell_the_size_of_their_input(self):
        torch = pytest.importorskip("torch")
        nn = torch.nn
        assert module_specs(nn.Sequential(nn.Linear(6, 2))) == ["randn(7, 6)"]
        assert module_specs(nn.Conv2d(3, 4, 3))[0] == "randn(2, 3, 8, 8)"
        assert module_specs(nn.Conv1d(3, 4, 3))[0] == "randn(2, 3, 8)"
        assert module_specs(nn.Embedding(11, 3))[0] == "integers(11, size=7)"
        assert module_specs(nn.LSTM(3, 4)) == ["randn(3, 2, 3)"]
        assert module_specs(nn.Tanh()) == []


class TestTrial:
    def test_the_likeliest_that_fits_is_taken(self):
        def loss(w, X):
            return float(np.sum(X @ w)), X.sum(axis=0)

        found = try_out(loss, {"w": ["0.5", "randn(5)"], "X": ["randn(5,7)", "randn(7,5)"]}, {})
        assert found.specs == {"w": "randn(5)", "X": "randn(7,5)"}

    def test_a_gradient_of_other_shapes_is_no_fit_as_long_as_there_is_a_better(self):
        def loss(w, b):
            return float(np.sum(w + b)), {"w": np.ones(3), "b": 3.0}

        found = try_out(loss, {"w": ["randn(3)"], "b": ["randn(3)", "randn(1,3)", "0.5"]}, {})
        assert found.specs["b"] == "0.5"

    def test_the_length_of_a_flat_vector_is_searched_for(self):
        def loss(theta, n):
            return float(np.sum(theta.reshape(n, 19) ** 2))

        found = try_out(loss, {"theta": flat_alternatives(), "n": ["3"]}, {}, flat="theta")
        assert (found.specs["theta"], found.outcome) == ("randn(57)", LOSS)
        assert LARGEST_FLAT > 57

    def test_what_a_target_raises_is_told_where_nothing_fits(self):
        def loss(w):
            raise KeyError("W1")

        found = try_out(loss, {"w": ["randn(3)", "0.5"]}, {})
        assert (found.outcome, found.raised) == (NOTHING, "KeyError: 'W1'")

    def test_a_target_without_end_is_stopped(self):
        def loss(w):
            while True:
                pass

        assert try_out(loss, {"w": ["0.5"] * 9}, {}, seconds=0.2).outcome == NOTHING

    def test_a_machine_that_is_busy_with_other_things_finds_the_same(self, monkeypatch):
        """Processor time counts; the clock may go on four times as long."""
        clock = itertools.count()
        busy = types.SimpleNamespace(monotonic=lambda: next(clock), process_time=lambda: 0.0)
        monkeypatch.setattr("gradcheck.targets.trial.time", busy)

        def loss(w):
            return float(np.sum(w * np.arange(9.0)[: len(w)])) if len(w) == 9 else None

        specs = [f"randn({length})" for length in range(2, 10)]
        found = try_out(loss, {"w": specs}, {}, seconds=10)
        assert (found.specs, found.outcome) == ({"w": "randn(9)"}, LOSS)

    def test_penalties_that_are_off_by_default_are_proposed_on(self):
        def loss(w, reg=0.0):
            return float(np.sum(w * w)) * (1 + reg), 2 * w * (1 + reg)

        with pytest.raises(UsageError, match=r"--arg 'reg=0.1'"):
            plan_inputs(loss, name="homework:loss")

    def test_inputs_that_there_are_stay_as_they_are(self):
        def loss(w, X):
            return float(np.sum(X @ w)), X.sum(axis=0)

        with pytest.raises(UsageError, match=r"--arg 'w=randn\(4\)'") as caught:
            plan_inputs(loss, args=["X=randn(N,4)"], sizes={"N": 9, "D": 20}, name="m:loss")
        assert "X=" not in str(caught.value)

    def test_labels_that_may_be_none_are_proposed_where_the_loss_needs_them(self):
        def loss(w, X, y=None):
            return X @ w if y is None else (float(np.sum((X @ w)[y])), np.zeros(5))

        with pytest.raises(UsageError, match=r"--arg 'y=integers\(3, size=7\)'"):
            plan_inputs(loss, name="homework:loss")

    def test_what_a_regression_subtracts_is_proposed_as_real_numbers(self):
        """0 and 1 are their own squares."""

        def loss(W, X, Y):
            """Mean squared error; no exp or log in it."""
            residual = X @ W - Y
            return float(np.mean(residual**2)), 2 * X.T @ residual / residual.size

        with pytest.raises(UsageError, match=r"--arg 'Y=randn\(7(,\d)?\)'"):
            plan_inputs(loss, name="homework:loss")

    @pytest.mark.parametrize("kind", ["logistic", "indexed", "compared"])
    def test_labels_of_classes_stay_labels(self, kind):
        def logistic(w, X, y):
            p = 1 / (1 + np.exp(-X @ w))
            return float(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))), X.T @ (p - y) / len(y)

        def indexed(w, X, y):
            s = X @ w
            return float(np.sum(s[y] - s[y - 1])), X[y].sum(axis=0) - X[y - 1].sum(axis=0)

        def compared(w, X, y):
            chosen = (y == 1) - 0.5 * (1 - y)
            return float(chosen @ (X @ w)), X.T @ chosen

        with pytest.raises(UsageError, match=r"--arg 'y=integers\(\d, size=7\)'"):
            plan_inputs(locals()[kind], name="homework:loss")

    def test_a_default_that_is_a_function_is_shown_by_its_name(self):
        def loss(w, activation=np.tanh):
            return float(np.sum(activation(w)))

        with pytest.raises(UsageError, match=r"loss\(w, activation=tanh\)"):
            plan_inputs(loss, name="homework:loss")


class TestPartners:
    @pytest.mark.parametrize(
        ("own", "other", "option"),
        [
            *(("fun", "jac", "grad"), ("f", "df", "grad"), ("loss", "gradient", "grad")),
            *(("rosen", "rosen_der", "grad"), ("loglike", "score", "grad")),
            *(("svm_obj", "svm_obj_grad", "grad"), ("mf_loss", "mf_grad", "grad")),
            ("affine_forward", "affine_backward", "vjp"),
        ],
    )
    def test_by_name(self, own, other, option):
        takes = "lambda cotangent, cache: 0" if option == "vjp" else "lambda x: 0"
        module = module_of(**{own: lambda x: 0, other: eval(takes)})
        found = partner(getattr(module, own), own, module)
        assert (found.option, found.name) == (option, other)
        if option == "grad":
            assert loss_beside(getattr(module, other), other, module) == own

    def test_a_function_of_other_arguments_is_no_partner(self):
        def cost(x, y): ...

        def cost_derivative(activations, labels): ...

        def backprop(x, y): ...

        module = module_of(cost=cost, cost_derivative=cost_derivative, backprop=backprop)
        assert partner(cost, "cost", module).name == "backprop"

    def test_methods_are_looked_for_in_their_object(self):
        class Model:
            def loss(self, x): ...

            def gradient(self, x): ...

        model = Model()
        module = module_of(model=model, gradient=lambda x: 0)
        assert partner(model.loss, "model.loss", module).name == "model.gradient"

    @pytest.mark.parametrize(
        ("returned", "status"),
        [("value", 0), ("value, (h, w)", 0), ("value, 3 * w", 1), ("value, np.ones(7)", 1)],
    )
    def test_it_is_taken_only_where_the_target_gives_no_gradient(
        self, workplace, capsys, returned, status
    ):
        """A wrong gradient that the target returns is never replaced by a right one beside it."""
        (workplace / "homework.py").write_text(
            "import numpy as np\n\n\ndef loss(w):\n    h = w * w\n    value = np.sum(h)\n"
            f"    return {returned}\n\n\ndef backward(w{', cache' if '(h' in returned else ''}):\n"
            "    return 2 * w\n\n\nw = np.array([1.0, 2.0, 3.0])\n"
        )
        assert run_command(["homework:loss", "--no-autograd"]) == status
        out = capsys.readouterr().out
        assert ("(gradient_found)" in out) == (status == 0)

    def test_a_search_takes_it_too_and_its_test_names_it(self, workplace, capsys):
        (workplace / "layers.py").write_text(
            "import numpy as np\n\n\nclass Double:\n    def forward(self, x):\n"
            "        self.x = x\n        return 2 * x\n\n    def backward(self, dout):\n"
            "        return 2 * dout if len(self.x) > 1 else dout\n\n\nlayer = Double()\n"
        )
        command = ["layers:layer.forward", "--arg", "x=randn(N)", "--search", "60"]
        assert run_command([*command, "--no-autograd"]) == 1
        out = capsys.readouterr().out
        test = out.partition("As a test:\n\n")[2]
        assert "vjp=layer.backward)" in test
        with pytest.raises(AssertionError):
            exec(f"{test}\ntest_gradient_of_layer_forward()", {})
