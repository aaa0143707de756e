"""Wrong use, one row a case: the exit status, the message, and the user's arrays left alone."""

import copy
import os
import random
import re
import sys
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas
import pytest
import rich.console  # noqa: F401 - draws from random when it is imported

from gradcheck.cli import run_command

RNG = np.random.default_rng(3)
X = RNG.normal(size=(7, 4))
W = RNG.normal(size=(4, 3))
V = RNG.normal(size=3)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    MATRIX = np.asmatrix(W)


def square(w):
    """A right one."""
    return float(np.sum(w * w)), {"w": 2 * w}


def of_two(W, b):
    return float(np.sum(W**2) + np.sum(b)), {"W": 2 * W, "b": np.ones_like(b)}


def linear(W, X):
    return float(np.sum((X @ W) ** 2)), {"W": 2 * X.T @ (X @ W)}


@dataclass(frozen=True)
class Row:
    """One wrong use: what is checked, what comes out, and what the message must say."""

    name: str
    target: Callable[..., Any]
    inputs: Any
    status: int
    says: str
    arguments: tuple[str, ...] = field(default=())


def gives(loss=None, gradient=None):
    """A target of ``w`` with the given loss or gradient in place of the right one."""

    def target(w):
        value, grads = square(np.asarray(w))
        return (
            value if loss is None else loss(value),
            grads if gradient is None else gradient(grads["w"]),
        )

    return target


def w(value=V):
    return {"w": value}


class Pair(NamedTuple):
    a: Any
    b: Any


def only_loss(w):
    return float(np.sum(w * w))


def nothing(w):
    square(w)


def raises(w):
    raise KeyError("units")


def raises_when_perturbed(w):
    if not np.array_equal(w, V):
        raise ValueError("only at the point")
    return square(w)


def warns(w):
    warnings.warn("careful", RuntimeWarning, stacklevel=2)
    return square(w)


def exits(w):
    sys.exit(3)


def recurses(w):
    return recurses(w)


def wanders(w):
    os.chdir("/")
    return square(w)


def prints(w):
    print("hello")
    return square(w)


def seeds(w):
    np.random.seed(1)
    random.seed(1)
    return square(w)


def overwrites(w):
    result = square(w)
    w[...] = 7.0
    return result


def spoils_data(W, X):
    result = linear(W, X)
    X *= 1.0000001
    return result


def draws(w):
    noise = np.random.normal(size=w.shape)
    return float(np.sum(w * w * noise)), {"w": 2 * w * noise}


def interrupts(w):
    raise MemoryError("too large")


def nested(params):
    a = params["layer"]["a"]
    return float(a @ a), {"layer": {"b": 2 * a}}


def misshapen_tree(params):
    a, b = params["a"], params["b"]
    return float(a @ a + b @ b), {"a": 2 * a, "b": [2 * b]}


GRADIENTS = [
    Row("gradient none", gives(gradient=lambda g: None), w(), 2, "None"),
    Row("gradient of key none", gives(gradient=lambda g: {"w": None}), w(), 1, "None"),
    Row("nothing returned", nothing, w(), 2, "None|return"),
    Row("only a loss", only_loss, w(), 2, "gradient"),
    Row("extra key", gives(gradient=lambda g: {"w": g, "v": g}), w(), 1, "'?v'?"),
    Row(
        "misnamed key", gives(gradient=lambda g: {"weights": g}), w(), 1, "weights", ("--wrt", "w")
    ),
    Row("missing key", gives(gradient=lambda g: {}), w(), 1, "w", ("--wrt", "w")),
    Row(
        "transposed",
        lambda W, X: (linear(W, X)[0], {"W": linear(W, X)[1]["W"].T}),
        {"W": W, "X": X},
        1,
        r"\(3, 4\)",
    ),
    Row("one entry short", gives(gradient=lambda g: {"w": g[:-1]}), w(), 1, r"\(2,\)"),
    Row("scalar for array", gives(gradient=lambda g: {"w": 1.0}), w(), 1, r"\(\)|scalar"),
    Row("object array", gives(gradient=lambda g: {"w": g.astype(object)}), w(), 1, "object"),
    Row("strings", gives(gradient=lambda g: {"w": ["a", "b", "c"]}), w(), 1, "a|str|text"),
    Row("nan", gives(gradient=lambda g: {"w": g * np.nan}), w(), 1, "nan"),
    Row("inf", gives(gradient=lambda g: {"w": g / 0 if False else g * np.inf}), w(), 1, "inf"),
    Row("complex", gives(gradient=lambda g: {"w": g + 1j}), w(), 1, "complex|imaginary"),
    Row("integers", gives(gradient=lambda g: {"w": np.rint(g).astype(int)}), w(), 1, "w"),
    Row("wrong value", gives(gradient=lambda g: {"w": -g}), w(), 1, "sign|-1"),
    Row("nested key", nested, {"params": {"layer": {"a": V}}}, 1, "layer|a"),
    Row("tree of another form", misshapen_tree, {"params": {"a": V, "b": V.copy()}}, 1, "b"),
    Row("ragged list", gives(gradient=lambda g: {"w": [[1.0], [1.0, 2.0], 3.0]}), w(), 1, "w"),
    Row("transposed vector", gives(gradient=lambda g: {"w": g[:, None]}), w(), 1, r"\(3, 1\)"),
]

LOSSES = [
    Row("loss none", gives(loss=lambda v: None), w(), 2, "None"),
    Row("loss nan", gives(loss=lambda v: float("nan")), w(), 2, "nan"),
    Row("loss inf", gives(loss=lambda v: float("inf")), w(), 2, "inf"),
    Row("loss vector", gives(loss=lambda v: np.array([v, v])), w(), 2, r"\(2,\)|scalar"),
    Row("loss text", gives(loss=str), w(), 2, "str|text|number"),
    Row("loss complex", gives(loss=lambda v: complex(v, 1)), w(), 2, "complex"),
    Row("loss of one element", gives(loss=lambda v: np.array([v])), w(), 0, "pass"),
    Row("loss zero-dimensional", gives(loss=np.array), w(), 0, "pass"),
    Row("loss dict", gives(loss=lambda v: {"loss": v}), w(), 2, "dict"),
]

VALUES = [
    Row("integer array", square, w(np.arange(1, 4)), 2, "integer", ("--wrt", "w")),
    Row("boolean array", square, w(np.array([True, False])), 2, "integer|bool", ("--wrt", "w")),
    Row("list of floats", gives(), w([1.0, 2.0]), 1, r"w\[0\]"),
    Row("text", gives(), w("abc"), 2, "abc|str|w"),
    Row("masked array", square, w(np.ma.masked_array(V, [0, 1, 0])), 2, "masked"),
    Row("matrix", square, w(MATRIX), 2, "matrix"),
    Row("data frame", square, w(pandas.DataFrame(W)), 2, "DataFrame"),
    Row("object array", square, w(V.astype(object)), 2, "object", ("--wrt", "w")),
    Row("empty array", square, w(np.zeros((0, 3))), 3, "nothing to check in w"),
    Row("empty beside another", of_two, {"W": W, "b": np.zeros(0)}, 0, "nothing to check in b"),
    Row("zero-dimensional", square, w(np.array(2.0)), 0, "pass"),
    Row("nan in the parameter", square, w(np.array([1.0, np.nan])), 2, "nan"),
    Row("none", gives(), {"w": None}, 2, "None|w"),
    Row("read-only", square, w(V.view()), 0, "pass"),
    Row("read-only memory", square, w(np.frombuffer(V.tobytes())), 0, "pass"),
    Row("not contiguous", square, w(np.arange(12.0)[::3] + 1), 0, "pass"),
    Row("unused dict", gives(), {}, 2, "w is missing"),
    Row("too many inputs", square, (V, V), 2, "positional"),
    Row("one too few", linear, (W,), 2, "missing"),
    Row("shapes that do not fit", linear, {"W": W.T, "X": X}, 2, "ValueError"),
    Row("int for a number", lambda c: (float(c) ** 2, {"c": 2.0 * c}), {"c": 3}, 0, "float"),
]

CODE = [
    Row("raises", raises, w(), 2, "KeyError"),
    Row("raises when perturbed", raises_when_perturbed, w(), 3, "only at the point|domain"),
    Row("warns", warns, w(), 0, "pass"),
    Row("exits", exits, w(), 2, "sys.exit"),
    Row("recurses", recurses, w(), 2, "RecursionError"),
    Row("memory", interrupts, w(), 2, "MemoryError"),
    Row("changes the directory", wanders, w(), 0, "pass"),
    Row("prints", prints, w(), 0, "pass"),
    Row("seeds the generators", seeds, w(), 0, "pass"),
    Row("overwrites its parameter", overwrites, w(), 0, "mutates_input"),
    Row("changes its data", spoils_data, {"W": W, "X": X}, 0, "mutates_input"),
    Row("draws from the global generator", draws, w(), 0, "pass"),
]

OPTIONS = [
    Row("wrt unknown", square, w(), 2, "did you mean|there is no|v", ("--wrt", "v")),
    Row("wrt twice", linear, {"W": W, "X": X}, 2, "twice|once", ("--wrt", "W,W")),
    Row("wrt empty", square, w(), 2, "commas", ("--wrt", "w,,")),
    Row("oracle unknown", square, w(), 2, "central, complex", ("--oracle", "centrl")),
    Row("oracle twice", square, w(), 2, "once", ("--oracle", "central,central")),
    Row("oracle excluded", square, w(), 2, "--no-autograd", ("--oracle", "autograd")),
    Row("entries", square, w(), 2, "'all', 'auto'", ("--entries", "some")),
    Row("entries zero", square, w(), 2, "'all', 'auto'", ("--entries", "0")),
    Row("rtol negative", square, w(), 2, "rtol=-1.0", ("--rtol", "-1")),
    Row("rtol text", square, w(), 2, "not a valid float", ("--rtol", "x")),
    Row("rtol nan", square, w(), 2, "finite number", ("--rtol", "nan")),
    Row("seed negative", square, w(), 2, "seed=-1", ("--seed", "-1")),
    Row("seed real", square, w(), 2, "not a valid integer", ("--seed", "1.5")),
    Row("budget zero", square, w(), 2, "budget=0", ("--budget", "0")),
    Row("time zero", square, w(), 2, "time=0", ("--time", "0")),
    Row("confidence", square, w(), 2, "below 1", ("--confidence", "1")),
    Row("order", square, w(), 2, "1 or 2", ("--order", "3")),
    Row("workers zero", square, w(), 2, "workers=0", ("--workers", "0")),
    Row("unknown option", square, w(), 2, "No such option", ("--tolerance", "1")),
    Row("arg given twice", square, w(), 2, "given already", ("--arg", "w=3")),
    Row("arg unknown", square, w(), 2, "no argument 'z'", ("--arg", "z=3")),
    Row("arg without a value", square, w(), 2, "NAME=SPEC", ("--arg", "w")),
    Row("size without a symbol", square, w(), 2, "no input has a size N", ("--size", "N=3")),
    Row("search of fixed inputs", square, w(), 2, "all of these are fixed", ("--search", "5")),
    Row("grad not found", only_loss, w(), 2, "no attribute 'nope'", ("--grad", "nope")),
]

ROWS = GRADIENTS + LOSSES + VALUES + CODE + OPTIONS


def test_there_are_at_least_sixty_cases_with_names_of_their_own():
    groups = (GRADIENTS, LOSSES, VALUES, CODE, OPTIONS)
    assert len(ROWS) >= 60
    for group in groups:
        assert len({row.name for row in group}) == len(group)


def leaves(value):
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, tuple):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def same(before, after):
    if isinstance(before, np.ndarray):
        return before.dtype == after.dtype and before.tobytes() == after.tobytes()
    return repr(before) == repr(after)


@pytest.mark.filterwarnings("ignore:careful", "ignore:the matrix subclass")
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=f"{group}: {row.name}")
        for group, rows in {
            "gradient": GRADIENTS,
            "loss": LOSSES,
            "value": VALUES,
            "code": CODE,
            "option": OPTIONS,
        }.items()
        for row in rows
    ],
)
def test_wrong_use_is_said_and_leaves_everything_as_it_was(row, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("bad")
    module.target, module.values = row.target, row.inputs
    monkeypatch.setitem(sys.modules, "bad", module)
    before = copy.deepcopy(leaves(row.inputs))
    state = np.random.get_state()[1].copy(), random.getstate()

    status = run_command(["bad:target", "--inputs", "bad:values", "--no-autograd", *row.arguments])

    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert status == row.status, said
    assert re.search(row.says, " ".join(said.split())), said
    assert "defect in gradcheck" not in said
    assert f"tests{os.sep}test_bad_input" in said or "Traceback" not in said
    assert all(map(same, before, leaves(row.inputs)))
    assert Path.cwd() == tmp_path
    assert np.array_equal(np.random.get_state()[1], state[0])
    assert random.getstate() == state[1]
