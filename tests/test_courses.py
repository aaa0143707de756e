"""Code as courses, tutorials and libraries write it, each checked by the first command.

Where nothing says what a target is to be called with, the first command is refused with a message
that proposes another; that one, as printed, is the command then. Every file is in words of its
own, but for its structure and its calling conventions.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from gradcheck.cli import run_command

COURSES = Path(__file__).parent / "courses"


@dataclass(frozen=True)
class Row:
    """A target and what must come out.

    ``cause`` and ``line``, a piece of the source line, are those of the first diagnosis;
    ``wrong`` are the failing parameters; ``further`` options that nobody could guess.
    """

    target: str
    cause: str = ""
    line: str = ""
    wrong: str = ""
    further: str = ""


ROWS = [
    # Image classification course: loss and gradient in one function, or in a method
    Row("linear_svm.py:svm_loss_naive", "term_missing", "correct = scores[y[i]]", "W"),
    Row("linear_svm.py:svm_loss_vectorized", "reg_scale", "reg * np.sum(W * W)", "W"),
    Row("softmax.py:softmax_loss_naive"),
    Row("neural_net.py:net.loss", "shape_mismatch", "", "b1"),
    Row("fc_net.py:model.loss", "reg_missing", "0.5 * self.reg", "W3"),
    # The same course's layers, forward and backward with a cache
    Row("layers.py:affine_forward"),
    Row("layers.py:relu_forward"),
    Row("layers.py:dropout_forward"),
    Row("layers.py:conv_forward_naive"),
    Row("layers.py:batchnorm_forward", "path_detached", "mu = x.mean(axis=0)", "x"),
    Row("layers.py:svm_loss"),
    Row("layers.py:softmax_loss", "batch_not_divided", "loss = -np.sum(log_probs", "x"),
    Row("rnn_layers.py:rnn_step_forward"),
    Row("rnn_layers.py:rnn_forward", "path_detached", "next_h = np.tanh", "x h0 Wx Wh b"),
    # Machine learning course: parameters unrolled into one vector
    Row("logistic_ex3.py:lrCostFunction"),
    Row("logistic_ex3.py:costFunction"),
    Row("neural_ex4.py:nnCostFunction", "reg_extra", "J += lambda_", "nn_params"),
    Row("recommender_ex8.py:cofiCostFunc"),
    Row("sparse_autoencoder.py:sparse_autoencoder_cost", "path_detached", "np.sum(kl)", "theta"),
    # A book's network: gradients without a loss, parameters in lists of its object
    Row("network.py:net.cost"),
    # Parameters at the top of a script, which trains when it is imported
    Row("min_char_rnn.py:lossFun"),
    Row("toy_script.py:loss_and_grad"),
    # A backward pass that takes the cache of the forward pass and returns a dict
    Row("gradient_checking.py:forward_propagation_n", "scale", "", "b1 W2"),
    Row("gradient_checking.py:forward_propagation"),
    # Scalar engine, word vectors, functions in parts, plain lists, trees
    Row("scalar_engine.py:g", "scale", "self.data * other.data", "xs"),
    Row("word2vec.py:naiveSoftmaxLossAndGradient"),
    Row("word2vec.py:negSamplingLossAndGradient", "", "", "outsideVectors"),
    Row("hinge_parts.py:svm_obj", further="--wrt th,th0"),
    Row("plain_lists.py:f"),
    Row("plain_lists.py:cost"),
    Row("trees.py:value_and_grad"),
    # Libraries: objectives with jac, residuals with a Jacobian, likelihood with score
    Row("curve_fit.py:fun", "scale", "return (x[0] - a)", "x"),
    Row("curve_fit.py:objective"),
    Row("enzyme_fit.py:fun", "isolated_entries", "", "x"),
    Row(
        "perceptron.py:model._loss_grad_lbfgs",
        "scale",
        "loss = ((y - activations",
        "packed_coef_inter",
    ),
    Row("poisson_model.py:mod.loglike"),
    Row("poisson_model.py:mod.loglikeobs"),
    Row("gaussian_process.py:neg_log_marginal"),
    Row("vectorized.py:loss"),
    Row("vectorized.py:sigmoid", "stale_value", "", "x"),
    Row("cat_classifier.py:propagate"),
    Row("shallow_network.py:nn.loss"),
    Row("ridge_model.py:model.loss", "reg_missing", "self.l2 * np.sum", "w", "--jitter 0.1"),
    Row("sequence_layers.py:lstm_step_forward"),
    Row("sequence_layers.py:layernorm_forward"),
    Row("sequence_layers.py:temporal_softmax_loss"),
    Row("sequence_layers.py:word_embedding_forward"),
    Row("matrix_methods.py:matrix_factorization_loss"),
    Row("matrix_methods.py:kl_divergence"),
    Row("matrix_methods.py:attention", "scale", "", "Q K"),
    Row("landscapes.py:himmelblau"),
    Row("landscapes.py:beale"),
    Row("estimators.py:logistic_loss"),
    Row("estimators.py:kalman_nll"),
    Row("estimators.py:nca_loss"),
    Row("estimators.py:cost_and_gradient", wrong="theta"),
    Row("list_layers.py:layer.forward"),
    Row("list_layers.py:net.forward"),
    Row("list_layers.py:model.loss_grad"),
    # Layers as objects that keep what backward needs
    Row("layer_objects.py:sigmoid.forward"),
    Row("layer_objects.py:relu.forward"),
    Row("layer_objects.py:affine.forward"),
    Row("layer_objects.py:bn.forward", "path_detached", "self.mu = x.mean(0)", "x"),
    Row("layer_objects.py:last.forward"),
    Row("layer_objects.py:network.loss"),
    # Tutorials of PyTorch
    Row("torch_functions.py:LegendrePolynomial3"),
    Row("torch_functions.py:MyReLU"),
    Row("torch_functions.py:LinearFunction"),
    Row("torch_functions.py:MulConstant", "scale", "return tensor * constant", "tensor"),
    Row("torch_modules.py:net", "batch_divided_twice", "weight.t() + bias", "fc1.bias fc2.bias"),
    Row("torch_modules.py:good"),
    Row("torch_modules.py:convnet"),
    Row("torch_modules.py:emb"),
    Row("torch_losses.py:focal"),
    Row("torch_losses.py:Swish"),
    Row("torch_losses.py:dice_loss"),
]


@pytest.fixture
def course(workplace, monkeypatch):
    """A directory that holds the files; what is imported from it is forgotten afterwards."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    for path in COURSES.glob("*.py"):
        (workplace / path.name).write_text(path.read_text(encoding="utf-8"))
    return workplace


def pasteable_apart(message):
    """The lines of a message that are to be read, and not pasted."""
    return [line for line in message.splitlines() if not line.startswith("     ")]


def proposed(message):
    """The command that a message proposes, as words."""
    lines = iter(message.splitlines())
    words = next(line for line in lines if line.startswith("    python -m gradcheck"))
    while words.endswith("\\"):
        words = words[:-1] + next(lines)
    return [word for word in shlex.split(words)[3:] if word not in ("--json", "found.json")]


@pytest.mark.parametrize("row", ROWS, ids=[row.target for row in ROWS])
def test_the_first_command_or_the_one_it_proposes_answers(row, course, capsys):
    arguments = [row.target, *row.further.split()]
    status = run_command([*arguments, "--json", "found.json"])
    said = capsys.readouterr()
    if not Path("found.json").exists():
        assert status == 2
        assert max(map(len, pasteable_apart(said.err))) <= 80
        arguments = proposed(said.err)
        status = run_command([*arguments, "--json", "found.json"])
        said = capsys.readouterr()
    assert "Traceback" not in said.err, said.err
    (check,) = json.loads(Path("found.json").read_text(encoding="utf-8"))["checks"]
    wrong = [one["name"] for one in check["parameters"] if one["verdict"] == "fail"]
    assert check["verdict"] == ("fail" if row.wrong else "pass"), said.out
    assert wrong == row.wrong.split()
    assert status == (1 if row.wrong else 0)
    first = check["diagnoses"][0] if check["diagnoses"] else None
    if row.cause:
        assert first["cause"] == row.cause
    if row.line:
        assert row.line in first["location"]["source"]
