"""Torch's operations on tensors of which every evaluation changes a part.

An elementwise function is evaluated at the parts alone; for some others there is a rule. Everything
else takes the whole tensors of all evaluations, by ``torch.func.vmap``.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.blocks import Blocks, of_blocks
from gradcheck.torch_target.varied.composed import COMPOSED, reduced
from gradcheck.torch_target.varied.elementwise import elementwise
from gradcheck.torch_target.varied.few import is_entrywise
from gradcheck.torch_target.varied.few_rules import FEW, few
from gradcheck.torch_target.varied.onward import Onward, of_onward
from gradcheck.torch_target.varied.product_rules import of_product
from gradcheck.torch_target.varied.products import Outer
from gradcheck.torch_target.varied.reduced import REDUCED
from gradcheck.torch_target.varied.rules import RULES
from gradcheck.torch_target.varied.scattered import Part, Scattered, parts_of, wholes_of
from gradcheck.torch_target.varied.tensor import NoRuleError, RefusedError, WastefulError

if TYPE_CHECKING:
    from torch import Tensor

LIKE = frozenset(
    f"aten::{name}"
    for name in (
        *("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like"),
        *("new_zeros", "new_ones", "new_empty", "new_full", "new_empty_strided"),
    )
)
"""Operations that read of a tensor its shape and type alone."""
UNWRITTEN = {Outer: of_product, Blocks: of_blocks, Onward: of_onward}
"""Tensors of which the values are computed when they are asked for, and their own rules."""


def evaluated(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Evaluate one of torch's basic operations, of which some arguments are varied.

    Raises:
        NoRuleError: it needs the whole tensors.
        RefusedError: it writes into a tensor, or draws at random.
    """
    name, composed = _known(function)
    if name in LIKE or (kwargs and getattr(kwargs.get("device"), "type", None) == "meta"):
        given = [one.base if isinstance(one, Part) else one for one in args]
        return function(*given, **kwargs)
    parts = parts_of(args)
    if name == "aten::_linalg_check_errors":
        # It raises where a matrix of any evaluation has no inverse, and gives nothing.
        return function(parts[0].values, *args[1:], is_matrix=False)
    if name in REDUCED and not is_entrywise(function, args):
        return reduced(evaluated, function, args, kwargs)
    if composed is not None:
        found = composed(evaluated, *args, **kwargs)
        if found is not None:
            return found
    entrywise = is_entrywise(function, args)
    if any(isinstance(one, Scattered) for one in parts):
        found = few(function, args, kwargs)
        if found is None:
            found = _by_rule(function, wholes_of(args), kwargs)
    elif name in FEW or entrywise:
        tally = parts[0].tally
        tally.sparing = True
        try:
            found = _by_rule(function, args, kwargs)
        except WastefulError:
            found = None
        finally:
            tally.sparing = False
        if found is None:
            found = few(function, args, kwargs)
        if found is None:
            found = _by_rule(function, args, kwargs)
    else:
        found = _by_rule(function, args, kwargs)
    if found is None:
        raise NoRuleError(name)
    return found


@functools.cache
def _known(function: Any) -> tuple[str, Any]:
    """Return an operation's name, and how it is put together of others, if that is known."""
    return function._schema.name, COMPOSED.get(function.name())


@functools.cache
def _writes_or_draws(function: Any) -> bool:
    import torch

    return bool(function._schema.is_mutable or torch.Tag.nondeterministic_seeded in function.tags)


def _by_rule(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Evaluate an operation by what is known of it, if anything."""
    for one in args:
        own = UNWRITTEN.get(type(one))
        found = None if own is None else own(function, args, kwargs)
        if found is not None:
            return found
    rule = RULES.get(_known(function)[0])
    if rule is not None:
        return rule(function, *args, **kwargs)
    if _writes_or_draws(function):
        raise RefusedError(f"{function._schema.name} writes or draws")
    if is_entrywise(function, args):
        return elementwise(function, *args, **kwargs)
    return None


def evaluated_elsewhere(
    function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Part | None:
    """Evaluate what an operation would write into its first argument; None if that is not known."""
    import torch

    packet = getattr(torch.ops.aten, function._schema.name.removeprefix("aten::")[:-1], None)
    other = getattr(packet, function._overloadname, None)
    changes = [one.alias_info is not None for one in function._schema.arguments]
    if other is None or not function._schema.name.endswith("_") or any(changes[1:]):
        return None
    try:
        found = evaluated(other, args, kwargs)
    except NoRuleError:
        return None
    return found if isinstance(found, Part) else None


def evaluated_whole(
    function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Any, bool]:
    """Evaluate any function of torch at the whole tensors of all evaluations, by vmap.

    Returns:
        What it returns, and whether that shares memory with an argument, or among itself.

    Raises:
        RefusedError: it returns something else than tensors.
        RuntimeError: vmap cannot do it.
    """
    import torch
    from torch.utils._pytree import tree_flatten, tree_unflatten

    leaves, form = tree_flatten((list(args), dict(kwargs)))
    at = [k for k, leaf in enumerate(leaves) if isinstance(leaf, Part)]
    wholes = [leaves[k].loosened() for k in at]

    def call(tensors: Sequence[Tensor]) -> Any:
        filled = list(leaves)
        for k, tensor in zip(at, tensors, strict=True):
            filled[k] = tensor
        own, named = tree_unflatten(filled, form)
        return function(*own, **named)

    clones = [one.base.clone() for one in wholes]
    bases, base_form = tree_flatten(call(clones))
    if not all(isinstance(one, torch.Tensor) for one in bases):
        raise RefusedError("a function returns something else than tensors")

    def flat(*tensors: Tensor) -> Any:
        return tuple(tree_flatten(call(tensors))[0])

    with warnings.catch_warnings():
        # Of functions that it does one evaluation at a time, which is slower and as right.
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        together = torch.func.vmap(flat, randomness="error")(*(one.values for one in wholes))
    results = [wholes[0].new(one, many, {}) for one, many in zip(bases, together, strict=True)]
    memory = [one.untyped_storage().data_ptr() for one in (*clones, *bases)]
    return tree_unflatten(results, base_form), len(set(memory)) < len(memory)
