"""A declared check: a target with its inputs and what its author expects of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gradcheck.report import Expectation, Verdict


def correct() -> Expectation:
    """Return the expectation of a gradient that is right."""
    return Expectation(Verdict.PASS)


def faulty(cause: str, *parameters: str) -> Expectation:
    """Return the expectation of a gradient that fails on just these parameters, for this cause."""
    return Expectation(Verdict.FAIL, cause, parameters)


def erroneous(cause: str) -> Expectation:
    """Return the expectation of a target that cannot be checked, for this cause."""
    return Expectation(Verdict.ERROR, cause)


@dataclass(frozen=True)
class Case:
    """One element of a package's ``__gradcheck__``.

    Args:
        name: unique name, such as ``"spiral_softmax.mean_early"``; the part before the first dot
            is the family.
        target: the function under check (see ``gradcheck.check``).
        inputs: a dict (keyword arguments), a tuple (positional ones), one array, or a callable
            without arguments that returns one of these.
        wrt: names of the parameters among the inputs; by default the keys of the gradient.
        grad: gradient function, if the target returns only the loss.
        vjp: backward function of a layer.
        params: tree of arrays that the target reads from elsewhere.
        torch: PyTorch twin of the loss, called with tensors for the float arrays, int64 tensors
            for the integer arrays and everything else unchanged; a string ``"module:function"``
            is imported only when the autograd oracle runs.
        expect: what should come out; without it, ``pass``.
        learning_rate: step of gradient descent that is judged against the curvature.
        source: where the model was published.
        note: what is wrong with the published form, or what to watch.
    """

    name: str
    target: Callable[..., Any] | str
    inputs: Any = None
    wrt: Sequence[str] | None = None
    grad: Callable[..., Any] | None = None
    vjp: Callable[..., Any] | None = None
    params: Any = None
    torch: Callable[..., Any] | str | None = None
    expect: Expectation | None = None
    learning_rate: float | None = None
    source: str = ""
    note: str = ""
