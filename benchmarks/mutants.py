"""How often is the cause right, and the line? Measured on mechanically made wrong gradients.

Usage::

    python -m benchmarks.mutants            # the table
    python -m benchmarks.mutants --misses   # and every mutant that was not diagnosed as declared

Every right gradient of ``networks`` and of the reference models is rewritten in every way that
``mutation`` knows; each wrong version declares its cause and its forward line beforehand. Mutants
that leave the gradient unchanged, change its shape or do not run are dropped. The cause counts as
right when the first diagnosis has the declared one; the line, when the declared line is the first
diagnosis's or among those that it says explain the same gradient.
"""

from __future__ import annotations

import argparse
import ast
import math
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import networks, references
from benchmarks.mutation import Annotated, Mutant, annotate, exchanges, mutants
from gradcheck.diagnose import Evidence, diagnose
from gradcheck.report import Diagnosis
from gradcheck.tracing import trace

Gradients = dict[str, np.ndarray]


@dataclass(frozen=True)
class Subject:
    """A right gradient: its function's name, its annotated module and its inputs."""

    function: str
    annotated: Annotated
    inputs: dict[str, Any]
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """One mutant with its first diagnosis."""

    subject: str
    mutant: Mutant
    found: Diagnosis | None
    cause_right: bool
    line_right: bool
    first_line_right: bool


def own_subjects() -> Iterator[Subject]:
    """Yield the networks of this folder."""
    source = Path(networks.__file__).read_text()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            inputs, parameters = INPUTS[node.name]()
            module = annotate(networks.__file__, source, node.lineno, node.end_lineno)
            yield Subject(node.name, module, inputs, parameters)


def subjects() -> Iterator[Subject]:
    """Yield the networks of this folder and the right variants of the reference models."""
    yield from own_subjects()
    for item in references.annotated():
        yield Subject(*item)


def load(tree: ast.Module, file: str, name: str) -> Callable[..., Any]:
    """Compile a module and return one of its functions; line numbers stay those of the file."""
    module = types.ModuleType(f"mutant_{name}")
    module.__file__ = file
    module.__dict__["__package__"] = ""
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(tree, file, "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
    return module.__dict__[name]  # type: ignore[no-any-return]


def gradient_of(function: Callable[..., Any], inputs: Mapping[str, Any]) -> Gradients:
    """Call a target on copies of its inputs and return its gradients as float arrays."""
    copies = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in inputs.items()}
    _, gradients = function(**copies)
    return {name: np.asarray(value, dtype=float) for name, value in gradients.items()}


def evidence_for(subject: Subject, traced: Any, true: Gradients, claimed: Gradients) -> Evidence:
    """Return what the pipeline would know of a gradient with the autograd oracle."""
    inputs = subject.inputs
    names = subject.parameters
    uncertainty = {
        name: np.full(true[name].shape, 1e-12 * np.abs(true[name]).max()) for name in names
    }
    sizes = []
    for name, value in inputs.items():
        if isinstance(value, np.ndarray) and value.ndim and name not in names:
            words = ("the rows", "the columns") if value.ndim == 2 else ("the rows",)
            for axis, size in enumerate(value.shape):
                word = words[axis] if axis < len(words) else f"axis {axis}"
                sizes.append((size, f"{word} of {name}"))
    floats = {k: v for k, v in inputs.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"}
    return Evidence(
        names=names,
        values={name: inputs[name] for name in names},
        analytic=claimed,
        reference=true,
        uncertainty=uncertainty,
        failing={
            name: np.abs(claimed[name] - true[name])
            > 1e-6 * np.maximum(np.abs(true[name]), 1e-3 * np.abs(true[name]).max())
            for name in names
        },
        scalars={k: float(v) for k, v in inputs.items() if isinstance(v, float)},
        sizes=tuple(dict.fromkeys(sizes)),
        integer_arrays={
            k: v for k, v in inputs.items() if isinstance(v, np.ndarray) and v.dtype.kind in "iu"
        },
        data={k: v for k, v in floats.items() if k not in names},
        analytic_dtype=dict.fromkeys(names, "float64"),
        trace=traced,
    )


def results(subject: Subject) -> Iterator[Result]:
    """Yield a result for every mutant of one subject that is wrong at all."""
    right = load(subject.annotated.tree, subject.annotated.file, subject.function)
    inputs = subject.inputs
    parameters = {name: inputs[name] for name in subject.parameters}
    traced = trace(right, (), inputs, parameters, loss_of=lambda result: result[0])
    true = {name: np.asarray(g) for name, g in traced.backward().items()}
    claimed = gradient_of(right, inputs)
    if diagnose(evidence_for(subject, traced, true, claimed)):
        raise AssertionError(f"the right gradient of {subject.function} was given a cause")
    for mutant in (*mutants(subject.annotated), *exchanges(subject.annotated)):
        function = load(mutant.tree, subject.annotated.file, subject.function)
        try:
            with np.errstate(all="ignore"):
                wrong = gradient_of(function, inputs)
        except (ValueError, IndexError, UnboundLocalError):
            continue
        if any(wrong[name].shape != true[name].shape for name in subject.parameters):
            continue
        if not all(np.isfinite(g).all() for g in wrong.values()):
            continue
        evidence = evidence_for(subject, traced, true, wrong)
        if any(mask.any() for mask in evidence.failing.values()):
            yield judged(subject, mutant, diagnose(evidence))


def judged(subject: Subject, mutant: Mutant, found: tuple[Diagnosis, ...]) -> Result:
    """Compare the first diagnosis with what the mutant declares."""
    first = found[0] if found else None
    places = []
    if first is not None and first.location is not None:
        places = [(Path(p.file).resolve(), p.line) for p in (first.location, *first.also)]
    wanted = {(Path(file).resolve(), line) for file, line in mutant.places}
    return Result(
        subject=subject.function,
        mutant=mutant,
        found=first,
        cause_right=first is not None and first.cause == mutant.cause,
        line_right=bool(wanted & set(places)),
        first_line_right=bool(places) and places[0] in wanted,
    )


def _softmax_inputs(generator: np.random.Generator, *, n: int, d: int, k: int) -> dict[str, Any]:
    return {"X": generator.standard_normal((n, d)), "y": generator.integers(k, size=n)}


def _draw(generator: np.random.Generator, **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {name: 0.7 * generator.standard_normal(shape) for name, shape in shapes.items()}


def _case(parameters: dict[str, np.ndarray], **rest: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    return {**parameters, **rest}, tuple(parameters)


def _make_inputs() -> dict[str, Callable[[], tuple[dict[str, Any], tuple[str, ...]]]]:
    g = np.random.default_rng(11)
    normal = g.standard_normal
    return {
        "linear_softmax": lambda: _case(
            _draw(g, W=(5, 4), b=(4,)), **_softmax_inputs(g, n=13, d=5, k=4), reg=0.1
        ),
        "relu_softmax": lambda: _case(
            _draw(g, W1=(5, 7), b1=(7,), W2=(7, 4), b2=(4,)),
            **_softmax_inputs(g, n=11, d=5, k=4),
            reg=0.1,
        ),
        "square_tanh": lambda: _case(
            _draw(g, U=(6, 6), a=(6,), V=(6, 6), c=(6,), W=(6, 6), d=(6,)),
            X=normal((6, 6)),
            T=normal((6, 6)),
        ),
        "sigmoid_logistic": lambda: _case(
            {**_draw(g, W1=(6, 4), b1=(6,), w2=(6,)), "c": np.array(0.3)},
            X=normal((17, 4)),
            t=g.integers(2, size=17).astype(float),
            reg=0.1,
        ),
        "batch_norm": lambda: _case(
            _draw(g, W=(5, 6), gamma=(6,), beta=(6,), V=(6, 3)),
            X=normal((9, 5)),
            T=normal((9, 3)),
            eps=1e-3,
        ),
        "layer_norm": lambda: _case(
            _draw(g, W=(5, 6), b=(6,), gamma=(6,), beta=(6,)),
            **_softmax_inputs(g, n=11, d=5, k=6),
            eps=1e-3,
        ),
        "recurrent": lambda: _case(
            _draw(g, Wx=(3, 5), Wh=(5, 5), b=(5,), V=(5, 2), h0=(7, 5)),
            X=normal((4, 7, 3)),
            T=normal((4, 7, 2)),
        ),
        "lstm": lambda: _case(
            _draw(g, Wx=(3, 16), Wh=(4, 16), b=(16,)),
            X=normal((3, 7, 3)),
            T=normal((3, 7, 4)),
        ),
        "convolution": lambda: _case(
            _draw(g, K=(3, 2, 2), b=(3,), W=(3, 4)),
            X=normal((7, 4, 4)),
            y=g.integers(4, size=7),
        ),
        "attention": lambda: _case(
            _draw(g, Q=(5, 5), K=(5, 5), V=(5, 5), W=(5, 3)), X=normal((7, 5)), T=normal((7, 3))
        ),
        "hinge": lambda: _case(
            _draw(g, W=(5, 4), b=(4,)), **_softmax_inputs(g, n=13, d=5, k=4), reg=0.1
        ),
        "embedding": lambda: _case(
            _draw(g, table=(12, 4), W=(4, 3), b=(3,)),
            idx=np.array([[0, 1, 2], [2, 3, 4], [5, 5, 6], [7, 8, 0], [9, 10, 2]]),
            T=normal((5, 3)),
        ),
    }


INPUTS = _make_inputs()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Diagnosis of mechanically made mistakes.")
    parser.add_argument("--misses", action="store_true", help="list what was not diagnosed")
    parser.add_argument("--only", default="", help="only subjects whose name contains this")
    options = parser.parse_args()
    everything: list[Result] = []
    for subject in subjects():
        if options.only in subject.function:
            everything += results(subject)
    print_table(everything)
    if options.misses:
        print_misses(everything)


def print_table(everything: list[Result]) -> None:
    """Print how many were right, by cause and in all."""
    if not everything:
        print("no subject of this name has mutants")
        return
    print(f"{'declared cause':34} mutants   cause    line  first line")
    totals = Counter(result.mutant.cause for result in everything)
    for cause in sorted(totals):
        _print_row(cause, [r for r in everything if r.mutant.cause == cause])
    _print_row("all", everything)
    by_cause = [[r.cause_right for r in everything if r.mutant.cause == c] for c in totals]
    print(f"mean over the causes: {sum(sum(b) / len(b) for b in by_cause) / len(by_cause):.1%}")


def _print_row(words: str, found: list[Result]) -> None:
    counts = [
        sum(getattr(result, field) for result in found)
        for field in ("cause_right", "line_right", "first_line_right")
    ]
    # Rounded down: 100% means all.
    shares = [f"{math.floor(1000 * count / len(found)) / 10:.1f}%" for count in counts]
    print(f"{words:34} {len(found):7} {shares[0]:>7} {shares[1]:>7} {shares[2]:>11}")


def print_misses(everything: list[Result]) -> None:
    """Print every mutant whose cause or line was not found."""
    for r in everything:
        if r.cause_right and r.line_right:
            continue
        found = "nothing" if r.found is None else r.found.cause
        place = r.found.location.line if r.found and r.found.location else None
        also = [p.line for p in r.found.also] if r.found else []
        lines = [line for _, line in r.mutant.places]
        print(
            f"{r.subject}:{r.mutant.line} [{r.mutant.operator}] {r.mutant.text}\n"
            f"    declared {r.mutant.cause} at {lines}; found {found} at {place}, also {also}"
        )


if __name__ == "__main__":
    main()
