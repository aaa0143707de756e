"""SciPy's way of handing over an objective: ``fun(x, *args)`` with ``jac``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradcheck.errors import UsageError


def from_scipy(
    target: Callable[..., Any],
    inputs: Any,
    *,
    args: tuple[Any, ...] | None,
    jac: Any,
    grad: Callable[..., Any] | None,
) -> tuple[Callable[..., Any], tuple[Any, ...], Callable[..., Any] | None]:
    """Return target, inputs and gradient function in this package's own form.

    Args:
        target: the objective, ``fun(x, *args)``.
        inputs: the point ``x0``, or a tuple that begins with it.
        args: further positional arguments; one that is no tuple counts as the only one.
        jac: the gradient function, called as the objective is; True if the objective returns
            ``(value, gradient)``; None if ``grad`` gives it.
        grad: a gradient function given by the other name.

    Raises:
        UsageError: ``jac`` is neither a function nor True, or there are two gradients.
    """
    if jac is not None and grad is not None:
        raise UsageError("jac= and grad= are the same thing; give one of them")
    point = inputs if isinstance(inputs, tuple) else (inputs,)
    further = () if args is None else args if isinstance(args, tuple) else (args,)
    if jac is None or jac is True:
        return target, (*point, *further), grad
    if not callable(jac):
        raise UsageError(
            f"jac={jac!r} is no gradient to check: give the gradient function, or True if the "
            "objective returns (value, gradient)"
        )
    return target, (*point, *further), jac
