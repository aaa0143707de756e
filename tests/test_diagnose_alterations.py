"""What is said of every simple mistake in a backward pass, operation by operation.

Each case alters the traced backward pass in one place, as a mistake there would, and asks for the
diagnosis of the gradient that results. The answers are kept in ``gold/alterations.txt``: first line
the mistake, then cause, parameters, confidence, message and place of each diagnosis.
"""

import numpy as np
import pytest
from gold_files import assert_gold

from gradcheck.diagnose import Evidence, diagnose
from gradcheck.tracing import Alteration, trace

generator = np.random.default_rng(5)
X, Y = generator.normal(size=(6, 4)), generator.normal(size=(6, 3))
STEPS = generator.normal(size=(3, 6, 4))
IDX = np.array([0, 2, 2, 1, 4, 0])


def two_layers(W, V, c):
    Z = X @ W
    A = np.maximum(Z, 0)
    S = A @ V + c
    H = 1 / (1 + np.exp(-S))
    return 0.5 * np.sum((H - Y) ** 2) / len(X) + 0.05 * np.sum(W * W)


def recurrent(W, U, b):
    h = np.zeros((6, 3))
    for x in STEPS:
        h = np.tanh(x @ W + h @ U + b)
    return np.mean((h - Y) ** 2)


def layered(V, A, B):
    h = V[IDX]
    for M in (A, B):
        h = np.sin(h @ M.T)
    p = np.exp(h) / np.sum(np.exp(h), axis=1, keepdims=True)
    return -np.mean(np.log(p[np.arange(6), IDX % 3]))


PARAMETERS = {
    two_layers: {"W": (4, 5), "V": (5, 3), "c": (3,)},
    recurrent: {"W": (4, 3), "U": (3, 3), "b": (3,)},
    layered: {"V": (5, 3), "A": (3, 3), "B": (3, 3)},
}
PARAMETERS = {
    loss: {name: generator.normal(size=shape) for name, shape in shapes.items()}
    for loss, shapes in PARAMETERS.items()
}
RUNS = {
    "the last of": slice(-1, None),
    "all but the first of": slice(1, None),
    "all but the last of": slice(None, -1),
    "every one of": slice(None),
}
KINDS = {
    "taken for the identity": {"kind": "identity"},
    "taken for a constant": {"kind": "constant"},
    "negated": {"kind": "scale", "factor": -1.0},
    "times 6": {"kind": "scale", "factor": 6.0},
    "differentiated twice": {"kind": "twice"},
}
SOME = {"taken for a constant": {"kind": "constant"}}
OPERANDS = {
    "left out": {"kind": "drop_operand"},
    "transposed": {"kind": "transpose_operand"},
}


def told(traced, values, alterations):
    """The diagnoses of the gradient that an altered backward pass gives, as text."""
    right, wrong = traced.backward(), traced.backward(alterations)
    scale = {name: np.abs(gradient).max() for name, gradient in right.items()}
    known = Evidence(
        names=tuple(values),
        values=values,
        analytic=wrong,
        reference=right,
        uncertainty={name: np.full(g.shape, 1e-12 * scale[name]) for name, g in right.items()},
        failing={name: np.abs(wrong[name] - g) > 1e-6 * scale[name] for name, g in right.items()},
        sizes=((6, "the rows of X"), (3, "the columns of Y")),
        trace=traced,
    )
    lines = []
    for one in diagnose(known):
        place = "" if one.location is None else one.location.source.strip()
        where = one.parameter or "several"
        lines.append(
            f"    {one.cause}, {where}, {one.confidence}: {place}\n        {one.message}\n"
        )
    return "".join(lines) or "    nothing\n"


def mistakes(traced):
    """Name every single alteration, and those of several runs of one line."""
    expressions = {}
    for operation in traced.operations:
        site = operation.site
        expressions.setdefault((site.line, site.column, operation.name), []).append(operation)
    for operations in expressions.values():
        last = operations[-1]
        several = len(operations) > 1
        runs = RUNS if several else {"": slice(None)}
        for which, part in runs.items():
            chosen = operations[part]
            kinds = KINDS if which in ("", "every one of") else SOME
            for words, options in kinds.items():
                name = f"{which} {last.name} {words}"
                yield name, {o.index: Alteration(**options) for o in chosen}
            if which not in ("", "the last of"):
                continue
            for k in range(len(last.inputs)):
                for words, options in OPERANDS.items():
                    name = f"{which} {last.name} of operand {k} {words}"
                    yield name, {o.index: Alteration(operand=k, **options) for o in chosen}


def assert_told(loss, values):
    """Hold what is said of every mistake in a loss against the gold file of its name."""
    traced = trace(loss, (), values, values)
    text = []
    for name, alterations in mistakes(traced):
        try:
            text.append(f"{name.strip()}\n{told(traced, values, alterations)}")
        except ValueError as error:  # what an operation cannot have done to it
            text.append(f"{name.strip()}\n    impossible: {error}\n")
    assert_gold(f"alterations_{loss.__name__}.txt", "".join(text))


@pytest.mark.parametrize("loss", PARAMETERS, ids=lambda loss: loss.__name__)
def test_what_is_said_of_each_mistake(loss):
    assert_told(loss, PARAMETERS[loss])
