"""Ufuncs called by name, with ``out=`` and ``where=``, and their methods."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradcheck.tracing.contents import contents
from gradcheck.tracing.errors import NotTraceable, UnsupportedError
from gradcheck.tracing.operation import Context, Rule
from gradcheck.tracing.recorder import Recorder
from gradcheck.tracing.registry import registry
from gradcheck.tracing.rules import reductions

Arguments = Sequence[Any]
Keywords = Mapping[str, Any]


def _where(rule: Rule, mask: Any) -> Rule:
    """Return a rule that leaves the elements outside ``mask`` as ``out`` had them.

    The rule sees the elements inside alone: outside, where the function may be undefined, its
    infinite derivative times 0 would be no number.
    """

    def masked(context: Context, *operands: Any) -> Any:
        *inputs, old = operands
        shape = context.value.shape
        keep = context.torch.from_numpy(np.array(np.broadcast_to(mask, shape), bool))
        before = context.tensor(old if old is not None else context.value, context.dtype)
        inside = [
            operand if np.ndim(operand) == 0 else context.tensor(operand).expand(shape)[keep]
            for operand in inputs
        ]
        part = context.tensor(rule(context, *inside), context.dtype)
        return before.expand(shape).masked_scatter(keep, part.expand(int(keep.sum())))

    return masked


def _broadcast(rule: Rule) -> Rule:
    def filled(context: Context, *operands: Any) -> Any:
        return rule(context, *operands).expand(context.value.shape)

    return filled


def as_arrays(recorder: Recorder, operands: Sequence[Any]) -> list[Any]:
    """Return operands with arrays in place of lists, made under the trace if one holds traced."""
    return [_array(recorder, o) if isinstance(o, list | tuple) else o for o in operands]


def _array(recorder: Recorder, values: Sequence[Any]) -> Any:
    from gradcheck.tracing.hooks import hook_call

    traced = any(recorder.is_tracked(item) for item in contents(values))
    return hook_call(np.array, values) if traced else np.asarray(values)


def call_ufunc(recorder: Recorder, ufunc: Any, args: Arguments, kwargs: Keywords) -> Any:
    """Run ``ufunc(*args, **kwargs)``."""
    inputs = list(args[: ufunc.nin])
    out = kwargs.get("out", args[ufunc.nin] if len(args) > ufunc.nin else None)
    if isinstance(out, tuple):
        out = out[0] if len(out) == 1 else None
    inputs = as_arrays(recorder, inputs)
    rules = registry()
    if ufunc is np.sign and any(np.iscomplexobj(i) for i in inputs):
        constant = False  # its values lie on the unit circle, and turn on it
    else:
        constant = ufunc in rules.constant
    if constant or ufunc not in rules.ufuncs:
        return _call_without_rule(recorder, ufunc, args, kwargs, inputs, out)
    rule = rules.ufuncs[ufunc]
    operands = inputs
    mask = kwargs.get("where", True)
    if mask is not True:
        rule = _where(rule, mask)
        operands = [*inputs, out]
    if out is not None:
        rule = _broadcast(rule)

    def native(*_: Any) -> Any:
        return ufunc(*inputs, *args[ufunc.nin :], **kwargs)

    return recorder.apply(
        ufunc.__name__, rule, native, operands, {}, all_operands=True, written=out
    )


def _call_without_rule(
    recorder: Recorder, ufunc: Any, args: Arguments, kwargs: Keywords, inputs: Any, out: Any
) -> Any:
    constant = ufunc in registry().constant
    if constant and out is not None and kwargs.get("where", True) is not True:
        return _constant_where(recorder, ufunc, args, kwargs, out)
    result = ufunc(*args, **kwargs)
    traced = any(recorder.is_tracked(operand) for operand in inputs)
    if traced and not constant:
        if ufunc in (np.modf, np.divmod) and not kwargs and len(args) == ufunc.nin:
            return _two_results(recorder, ufunc, inputs, result)
        name = f"numpy.{ufunc.__name__}"
        reason = NotTraceable(name, recorder.sites.here(), "its derivative is not known")
        recorder.lose(result, reason, wrote=True)
        return result
    for one in result if isinstance(result, tuple) else (result,):
        recorder.constant_write(one)
    return result


def _constant_where(
    recorder: Recorder, ufunc: Any, args: Arguments, kwargs: Keywords, out: Any
) -> Any:
    """Run a piecewise constant ufunc that leaves some elements of ``out`` as they were."""

    def rule(context: Context, old: Any) -> Any:
        keep = context.torch.from_numpy(np.array(kwargs["where"], bool))
        return context.torch.where(keep, context.tensor(context.value), old)

    return recorder.apply(
        ufunc.__name__, rule, lambda _: ufunc(*args, **kwargs), (out,), {}, written=out
    )


def _two_results(recorder: Recorder, ufunc: Any, inputs: Any, result: Any) -> Any:
    """Record ``modf`` and ``divmod``, whose whole-number part is constant."""
    from gradcheck.tracing.hooks import hook_call

    if ufunc is np.modf:
        return hook_call(np.subtract, inputs[0], result[1]), result[1]
    return result[0], hook_call(np.remainder, *inputs)


# methods


def _reduced(rule: Rule) -> Rule:
    def reduce(context: Context, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None,
               keepdims: Any = False, initial: Any = None, where: Any = True) -> Any:  # fmt: skip
        return rule(context, array, axis=axis, keepdims=keepdims, initial=initial, where=where)

    return reduce


def _logsumexp_reduce(context: Context, array: Any, axis: Any = 0, dtype: Any = None,
                      out: Any = None, keepdims: Any = False, **_: Any) -> Any:  # fmt: skip
    tensor = context.tensor(array, context.dtype)
    axes = tuple(range(tensor.ndim)) if axis is None else axis
    return context.torch.logsumexp(tensor, axes, keepdim=bool(keepdims))


def _accumulated(rule: Rule) -> Rule:
    def accumulate(context: Context, array: Any, axis: int = 0, dtype: Any = None,
                   out: Any = None) -> Any:  # fmt: skip
        return rule(context, array, axis=axis)

    return accumulate


def _extreme_accumulate(context: Context, array: Any, axis: int = 0, dtype: Any = None,
                        out: Any = None) -> Any:  # fmt: skip
    tensor = context.tensor(array, context.dtype)
    running = context.tensor(context.value)
    counting = context.torch.arange(tensor.shape[axis]).reshape(
        [-1 if a == axis % tensor.ndim else 1 for a in range(tensor.ndim)]
    )
    won = context.torch.where(tensor.detach() == running, counting, 0)
    return tensor.gather(axis, won.cummax(axis).values)


def _outer(rule: Rule) -> Rule:
    def outer(context: Context, a: Any, b: Any) -> Any:
        first, second = context.tensor(a), context.tensor(b)
        return rule(context, first.reshape([*first.shape, *[1] * second.ndim]), second)

    return outer


def _at(sign: float) -> Any:
    def at(context: Context, array: Any, places: Any, values: Any) -> Any:
        tensor = context.tensor(array, context.dtype)
        new = context.tensor(values, context.dtype).expand(places.shape).flatten()
        index = context.torch.from_numpy(np.array(places).ravel())
        return tensor.flatten().index_add(0, index, sign * new).reshape(tensor.shape)

    return at


def _scaled_at(*, inverse: bool) -> Any:
    def at(context: Context, array: Any, places: Any, values: Any) -> Any:
        tensor = context.tensor(array, context.dtype)
        if np.unique(places).size != np.size(places):
            raise UnsupportedError("duplicate indices are not covered")
        new = context.tensor(values, context.dtype).expand(np.shape(places)).flatten()
        index = context.torch.from_numpy(np.array(places).ravel())
        factor = context.torch.ones_like(tensor).flatten()
        factor = factor.index_copy(0, index, 1 / new if inverse else new)
        return tensor * factor.reshape(tensor.shape)

    return at


_AT = {
    np.add: _at(1.0),
    np.subtract: _at(-1.0),
    np.multiply: _scaled_at(inverse=False),
    np.divide: _scaled_at(inverse=True),
}
_REDUCE: dict[Any, Rule] = {u: _reduced(rule) for u, rule in reductions.REDUCE.items()}
_REDUCE[np.logaddexp] = _logsumexp_reduce
_ACCUMULATE: dict[Any, Rule] = {u: _accumulated(r) for u, r in reductions.ACCUMULATE.items()}
_ACCUMULATE[np.logaddexp] = lambda c, array, axis=0, dtype=None, out=None: c.torch.logcumsumexp(
    c.tensor(array, c.dtype), axis
)
_ACCUMULATE[np.maximum] = _ACCUMULATE[np.minimum] = _extreme_accumulate


def _reduceat(context: Context, array: Any, indices: Any, axis: int = 0, dtype: Any = None,
              out: Any = None) -> Any:  # fmt: skip
    tensor = context.tensor(array, context.dtype).movedim(axis, 0)
    pieces = []
    for start, end in itertools.pairwise([*indices, tensor.shape[0]]):
        pieces.append(tensor[start : max(end, start + 1)].sum(0))
    return context.torch.stack(pieces).movedim(0, axis)


def call_ufunc_method(
    recorder: Recorder, method: Any, ufunc: Any, args: Arguments, kwargs: Keywords
) -> Any:
    """Run ``ufunc.reduce(...)``, ``accumulate``, ``outer``, ``at`` or ``reduceat``."""
    name = method.__name__
    if name == "at":
        return _call_at(recorder, method, ufunc, args)
    rules = registry()
    rule: Rule | None = None
    if name == "reduce":
        rule = _REDUCE.get(ufunc)
    elif name == "accumulate":
        rule = _ACCUMULATE.get(ufunc)
    elif name == "reduceat" and ufunc is np.add:
        rule = _reduceat
    elif name == "outer" and ufunc in rules.ufuncs:
        rule = _outer(rules.ufuncs[ufunc])
    out = kwargs.get("out")
    if isinstance(out, tuple):
        out = out[0]
    full_name = f"{ufunc.__name__}.{name}"
    if rule is None:
        rule = _unknown
    rest = {key: value for key, value in kwargs.items() if key != "out"}

    def native(*_: Any, **__: Any) -> Any:
        return method(*args, **kwargs)

    return recorder.apply(
        full_name, rule, native, args, rest, written=out,
        parameter_names=rules.parameter_names(rule),
    )  # fmt: skip


def _unknown(context: Context, *_: Any, **__: Any) -> Any:
    raise UnsupportedError("its derivative is not known")


def _call_at(recorder: Recorder, method: Any, ufunc: Any, args: Arguments) -> None:
    array, index, *values = args
    places = np.arange(array.size).reshape(array.shape)[index]
    operation = _AT.get(ufunc)

    def rule(context: Context, tensor: Any, *new: Any) -> Any:
        if operation is None:
            raise UnsupportedError("its derivative is not known")
        return operation(context, tensor, places, *new)

    recorder.apply(
        f"{ufunc.__name__}.at", rule, lambda *_: method(*args),
        (array, *as_arrays(recorder, values)), {}, all_operands=True, written=array,
    )  # fmt: skip


METHODS: dict[str, dict[Any, Any]] = {
    "reduce": _REDUCE,
    "accumulate": _ACCUMULATE,
    "reduceat": {np.add: _reduceat},
    "at": _AT,
}
"""The methods of ufuncs that are covered, with the ufuncs."""
