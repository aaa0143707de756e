"""The forms in which NumPy code comes, each brought to a loss with a gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gradcheck.calling.calls import bind_inputs
from gradcheck.calling.choose import live_parameters
from gradcheck.errors import UsageError
from gradcheck.report import Notice

Names = Sequence[str | int] | str | int | None


@dataclass(frozen=True, eq=False)
class NumpyForm:
    """A loss, its gradient function if it has one, and where its parameters are.

    Attributes:
        wrt: names or positions of the parameters, where they are known.
        params: a tree of arrays that the loss reads from elsewhere.
        notices: what was done to the form that the user wrote.
    """

    loss: Callable[..., Any]
    wrt: Names
    grad: Callable[..., Any] | None
    params: Any
    notices: tuple[Notice, ...] = ()


def numpy_form(
    target: Callable[..., Any],
    inputs: Any,
    wrt: Names,
    *,
    grad: Callable[..., Any] | None,
    vjp: Callable[..., Any] | None,
    params: Any,
    seed: int,
) -> NumpyForm:
    """Bring a layer with ``vjp``, or a loss with any gradient function, to a loss with a gradient.

    Raises:
        UsageError: the functions do not fit together, or the inputs the target.
        Exception: whatever the user's functions raise at the inputs.
    """
    if vjp is not None:
        from gradcheck.targets.layers import as_loss

        layer = as_loss(target, vjp, inputs, wrt, seed=seed)
        live = layer.live if params is None else params
        return NumpyForm(layer.loss, layer.wrt, layer.gradient, live)
    if grad is not None:
        from gradcheck.targets.gradient_form import fitted

        grad = fitted(target, grad, inputs)
    form = NumpyForm(target, wrt, grad, params)
    if params is None and live_parameters(target, None) is None:
        form = replace(form, params=_read_elsewhere(form, inputs))
    return form


def many_outputs(form: NumpyForm, inputs: Any, *, seed: int) -> NumpyForm | None:
    """Return the form of a function of many outputs with its Jacobian; None if it is none."""
    if form.grad is None:
        return None
    from gradcheck.targets.jacobian import contracted, describe

    found = contracted(form.loss, form.grad, inputs, seed=seed)
    if found is None:
        return None
    loss, product = found
    notice = Notice("contracted", describe(product.shape))
    return replace(form, loss=loss, grad=product, notices=(*form.notices, notice))


def _read_elsewhere(form: NumpyForm, inputs: Any) -> Any:
    """Parameters that are no inputs: named by ``wrt``, or found by the gradient; or None."""
    from gradcheck.targets.elsewhere import found_elsewhere, named_elsewhere

    try:
        bound = bind_inputs(form.loss, inputs)
    except UsageError:
        # Said by the call that is judged.
        return None
    if form.wrt is None:
        return found_elsewhere(form.loss, form.grad, bound)
    names = [form.wrt] if isinstance(form.wrt, str | int) else list(form.wrt)
    arguments = [name for name, _ in bound.items()]
    return named_elsewhere(form.loss, [name for name in names if name not in arguments])
