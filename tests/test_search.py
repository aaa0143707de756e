"""``--search``: four backward passes that are wrong only for some inputs, each reduced to the
smallest one, and one that is right."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import environment

from gradcheck.cli import run_command
from gradcheck.errors import UsageError
from gradcheck.settings import Settings
from gradcheck.shell.search import find_worst, literal, ready_test, search
from gradcheck.targets.input_sources import plan_inputs

OPTIONS = {"settings": Settings(autograd=False)}
SOURCE = '''
import numpy as np


def embedding(E, y):
    """Sum of squares of the rows looked up; a row looked up twice is counted once."""
    rows = E[y]
    grad = np.zeros_like(E)
    grad[y] = 2 * rows
    return float(np.sum(rows**2)), {"E": grad}


def averaged(W, X):
    """Mean squared output; the gradient is divided by the size of X, not by that of the output."""
    R = X @ W
    return float(np.mean(R**2)), {"W": 2 * X.T @ R / X.size}


def single_row(W, X):
    """Mean squared output; for a batch of one row the gradient loses its factor 2."""
    n = len(X)
    R = X @ W
    grad = 2 * X.T @ R / n
    return float(np.sum(R**2) / n), {"W": grad if n > 1 else grad / 2}


def dead(W, X):
    """A unit that is dead for the whole batch still gets a gradient."""
    Z = X @ W
    mask = (Z > 0).astype(float)
    mask[:, mask.sum(axis=0) == 0] = 1.0
    return float(np.sum(np.maximum(Z, 0))), {"W": X.T @ mask}


def right(W, X):
    R = X @ W
    return float(np.sum(R**2)), {"W": 2 * X.T @ R}
'''


@pytest.fixture
def suspects(workplace):
    (workplace / "suspects.py").write_text(SOURCE)
    sys.path.insert(0, str(workplace))
    import suspects

    return suspects


def smallest(target, n_inputs=200, **specs):
    plan = plan_inputs(target, args=[f"{name}={spec}" for name, spec in specs.items()])
    return find_worst(target, plan, OPTIONS, n_inputs)


def test_wrong_only_for_repeated_labels(suspects):
    inputs, fails, _ = smallest(suspects.embedding, E="randn(K, D)", y="integers(K, size=N)")
    assert fails
    assert inputs["E"].tolist() == [[1.0]]
    assert inputs["y"].tolist() == [0, 0]


def test_wrong_only_for_matrices_that_are_not_square(suspects):
    inputs, fails, _ = smallest(suspects.averaged, W="randn(D, K)", X="randn(N, D)")
    assert fails
    assert sorted(inputs["W"].shape) == [1, 2]
    assert inputs["X"].shape[0] == 1
    assert {*inputs["W"].flat, *inputs["X"].flat} == {1.0}


def test_wrong_only_for_a_batch_of_one_row(suspects):
    inputs, fails, _ = smallest(suspects.single_row, W="randn(D)", X="randn(N, D)")
    assert fails
    assert {name: value.tolist() for name, value in inputs.items()} == {"W": [1.0], "X": [[1.0]]}


def test_wrong_only_where_a_relu_is_dead_for_the_whole_batch(suspects):
    inputs, fails, _ = smallest(suspects.dead, W="randn(D, H)", X="randn(N, D)")
    assert fails
    assert inputs["W"].shape == (1, 1)
    assert inputs["X"].shape == (1, 1)
    assert inputs["W"].item() * inputs["X"].item() < 0


def test_a_right_gradient_yields_its_worst_input(suspects):
    inputs, fails, tried = smallest(suspects.right, 30, W="randn(D, K)", X="randn(N, D)")
    assert not fails
    assert tried <= 30
    assert inputs["W"].shape[0] == inputs["X"].shape[1]


def test_inputs_outside_the_domain_are_passed_over():
    def loss(x):
        if x < 1.5:
            raise ValueError("too small")
        return x * x, {"x": 3 * x}

    inputs, fails, _ = smallest(loss, x="exponential()")
    assert fails
    assert inputs["x"] == 2.0


def test_a_target_that_always_raises_raises():
    def loss(x):
        raise RuntimeError("always")

    with pytest.raises(RuntimeError, match="always"):
        smallest(loss, 10, x="randn(3)")


@pytest.mark.parametrize(
    ("args", "n_inputs", "message"),
    [([], 5, "all of these are fixed"), (["W=randn(D)"], 0, "how many inputs")],
)
def test_a_search_needs_something_to_vary(args, n_inputs, message):
    def loss(W=1.0): ...

    with pytest.raises(UsageError, match=message):
        find_worst(loss, plan_inputs(loss, args=args), OPTIONS, n_inputs)


def test_the_same_seed_finds_the_same(suspects):
    plan = plan_inputs(suspects.embedding, args=["E=randn(K, D)", "y=integers(K, size=N)"])
    checks = [search(suspects.embedding, plan, OPTIONS, 60)[0] for _ in range(2)]
    assert checks[0].to_dict() == checks[1].to_dict()
    assert checks[0].note.startswith("The smallest failing input of ")


@pytest.mark.parametrize(
    "value",
    [
        np.array([[1.0, -0.1]]),
        np.array([0, 2]),
        np.array([1.5], dtype=np.float32),
        np.array([1], dtype=np.uint8),
        np.zeros((0, 3)),
        np.array([1 / 3, np.pi, 1e-300]),
        0.1,
        "mean",
        None,
        (1, 2.0),
    ],
)
def test_literals_make_the_same_value_again(value):
    again = eval(literal(value), {"np": np})
    assert np.array_equal(again, value)
    assert np.shape(again) == np.shape(value)
    assert getattr(again, "dtype", None) == getattr(value, "dtype", None)


def test_the_command_prints_a_test_that_fails_when_pasted(suspects, capsys, workplace):
    arguments = ["suspects:embedding", "--arg", "E=randn(K,D)", "--arg", "y=integers(K, size=N)"]
    assert run_command([*arguments, "--search", "100", "--no-autograd"]) == 1
    out = capsys.readouterr().out
    assert "✗ fail" in out
    test = out.split("As a test:\n\n")[1]
    assert "np.array([0, 0])" in test
    (workplace / "test_pasted.py").write_text(test)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_pasted.py"],
        cwd=workplace,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stdout
    assert "GradientError" in result.stdout


def test_a_ready_test_passes_the_options_on(suspects):
    text = ready_test(suspects.right, (np.ones(2), 1.0), {"wrt": ["W"], "grad": suspects.dead})
    assert "from suspects import dead" in text
    assert "gradcheck.assert_gradients(right, inputs, wrt=['W'], grad=dead)" in text


TORCH_MODULE = """
import torch


class Model:
    def loss(self, x):
        return torch.sum(x.detach() * x)


class Halves(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, cotangent):
        return cotangent


def halved(x):
    return Halves.apply(x).sum()


model = Model()
"""


@pytest.mark.parametrize("attribute", ["halved", "model.loss"])
def test_the_test_for_a_torch_target_runs_as_printed(attribute, workplace, capsys):
    pytest.importorskip("torch")
    (workplace / "halves.py").write_text(TORCH_MODULE)
    arguments = [f"halves:{attribute}", "--arg", "x=randn(N)", "--search", "5"]
    assert run_command(arguments) == 1
    test = capsys.readouterr().out.split("As a test:\n\n")[1]
    assert test.startswith("import torch\n\nimport gradcheck\nfrom halves import ")
    (workplace / "pasted_for_torch.py").write_text(test)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "pasted_for_torch.py"],
        cwd=workplace,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "GradientError: The gradient is wrong" in result.stdout, result.stdout
