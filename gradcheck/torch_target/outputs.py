"""What a torch target returned: a loss, outputs that become one, or a loss with its gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.calling.returns import NOT_GIVEN, gradient_keys, is_number, split_result
from gradcheck.calling.tree import leaves, map_leaves
from gradcheck.errors import TargetError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Reduction:
    """How what the target returns becomes a real number.

    Attributes:
        cotangents: by position among the returned tensors; the loss is the inner product with
            these, in float64 (real and imaginary parts count as separate numbers). None where
            the target returns the loss itself.
        first: only the first element of a returned tuple is the loss, the rest its gradient.
        dtype: the lowest precision among the outputs that count.
    """

    cotangents: tuple[tuple[int, Tensor], ...] | None
    first: bool
    dtype: np.dtype[Any]

    def tensor(self, result: Any) -> Tensor:
        """Return the loss as a tensor of no dimensions."""
        import torch

        if self.cotangents is None:
            if self.first:
                result = split_result(result, gradient_elsewhere=False)[0]
            one = result if isinstance(result, torch.Tensor) else _only_tensor(result)
            return one.reshape(())
        outputs = tensors_of(result)
        return torch.stack(
            [(as_real(outputs[i]).double() * weights).sum() for i, weights in self.cotangents]
        ).sum()

    def at_precision_of(self, result: Any) -> Reduction:
        """Return the same reduction with the precision of these outputs."""
        if self.first:
            return replace(
                self, dtype=_dtype_of_loss(split_result(result, gradient_elsewhere=False)[0])
            )
        outputs = tensors_of(result)
        if not outputs:
            return self
        used = [0] if self.cotangents is None else [i for i, _ in self.cotangents]
        return replace(self, dtype=_lowest([outputs[i] for i in used]))


def _lowest(outputs: Sequence[Tensor]) -> np.dtype[Any]:
    dtypes = [numpy_dtype(one.dtype) for one in outputs]
    return max(dtypes, key=lambda dtype: float(np.finfo(dtype).eps))


def _only_tensor(result: Any) -> Tensor:
    import torch

    found = tensors_of(result)
    if found:
        return found[0]
    return torch.as_tensor(float(split_result(result, gradient_elsewhere=True)[0]))


def as_real(tensor: Tensor) -> Tensor:
    """Return a complex tensor as real and imaginary parts on a last axis, a real one as it is."""
    import torch

    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def numpy_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    """Return NumPy's dtype of the same precision; that of bfloat16 is taken for float16."""
    import torch

    names = {
        torch.float16: "float16",
        torch.bfloat16: "float16",
        torch.complex32: "float16",
        torch.float32: "float32",
        torch.complex64: "float32",
    }
    return np.dtype(names.get(dtype, "float64"))


def tensors_of(result: Any) -> list[Tensor]:
    """Return the tensors among what a target returned, in order."""
    import torch

    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, Mapping):
        result = dict(result)
    return [leaf.value for leaf in leaves(result, "x") if isinstance(leaf.value, torch.Tensor)]


def explicit_gradients(result: Any, shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """Return the gradient that the target computed itself, or ``NOT_GIVEN``.

    ``(loss, grads)`` counts as such if ``grads`` is a mapping with a parameter's name as key, or
    carries no graph and has the shapes of the parameters.
    """
    if not isinstance(result, tuple | list) or len(result) < 2:
        return NOT_GIVEN
    try:
        loss, grads = split_result(result, gradient_elsewhere=False)
    except TargetError:
        return NOT_GIVEN
    if grads is NOT_GIVEN or grads is None or not (is_number(loss) or _is_single(loss)):
        return NOT_GIVEN
    values = [leaf.value for leaf in leaves(grads, "x")]
    if not all(hasattr(value, "shape") or is_number(value) for value in values):
        return NOT_GIVEN
    if isinstance(grads, Mapping):
        known = any(key in grads for name in shapes for key in gradient_keys(name))
        return grads if known or not shapes else NOT_GIVEN
    if any(getattr(value, "requires_grad", False) or _is_integer(value) for value in values):
        # Indices beside a value, as max(dim) and topk() return them, are no gradient.
        return NOT_GIVEN
    found = [tuple(np.shape(value)) for value in values]
    return grads if found == list(shapes.values()) or not shapes else NOT_GIVEN


def _is_integer(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and not (value.is_floating_point() or value.is_complex())


def _is_single(value: Any) -> bool:
    return hasattr(value, "numel") and value.numel() == 1


def reduction_of(
    result: Any, *, explicit: bool, gradient_elsewhere: bool, seed: int
) -> tuple[Reduction, list[int]]:
    """Decide how the outputs become the loss; also return the outputs that were left out.

    Raises:
        TargetError: nothing that was returned can be a loss.
    """
    import torch

    if explicit:
        loss = split_result(result, gradient_elsewhere=False)[0]
        return Reduction(None, True, _dtype_of_loss(loss)), []
    outputs = tensors_of(result)
    floats = [i for i, one in enumerate(outputs) if one.is_floating_point() or one.is_complex()]
    if not floats:
        return _without_tensor(result, gradient_elsewhere), []
    used = [i for i in floats if outputs[i].requires_grad]
    if not used:
        if not gradient_elsewhere:
            raise TargetError("missing_gradient", _no_graph(outputs[floats[0]]))
        used = floats[:1]
    left_out = [i for i in floats if i not in used]
    alone = outputs[used[0]]
    if len(outputs) == 1 and alone.numel() == 1 and not alone.is_complex():
        return Reduction(None, False, numpy_dtype(alone.dtype)), left_out
    generator = np.random.default_rng([seed, 20_041])
    cotangents = []
    for i in used:
        real = as_real(outputs[i].detach())
        drawn = generator.uniform(0.5, 1.5, real.shape) * generator.choice((-1.0, 1.0), real.shape)
        # Rounded to the output's own precision, where the backward pass receives them.
        weights = torch.from_numpy(np.asarray(drawn)).to(real.device, real.dtype).double()
        cotangents.append((i, weights))
    return Reduction(tuple(cotangents), False, _lowest([outputs[i] for i in used])), left_out


def _dtype_of_loss(loss: Any) -> np.dtype[Any]:
    import torch

    if isinstance(loss, torch.Tensor) and loss.is_floating_point():
        return numpy_dtype(loss.dtype)
    return np.dtype(np.asarray(loss).dtype) if isinstance(loss, np.generic) else np.dtype("float64")


def _without_tensor(result: Any, gradient_elsewhere: bool) -> Reduction:
    number = isinstance(result, int | float | np.generic | np.ndarray) or bool(tensors_of(result))
    if number and gradient_elsewhere:
        loss = result if not isinstance(result, tuple | list) else result[0]
        return Reduction(None, False, _dtype_of_loss(loss))
    kind = "None" if result is None else type(result).__name__
    if isinstance(result, int | float | np.generic | np.ndarray):
        raise TargetError(
            "missing_gradient",
            f"the target returned {kind}, which carries no graph (item(), float() and numpy() cut "
            "it): return the tensor itself, or give its gradient function as grad= "
            "(--grad module:function)",
        )
    raise TargetError(
        "loss_not_scalar",
        f"the target returned {kind}, in which there is no floating-point tensor; return the "
        "loss, or outputs that depend on the parameters",
    )


def _no_graph(output: Tensor) -> str:
    return (
        f"the target's output (shape {tuple(output.shape)}) carries no graph, so that there is no "
        "gradient: it was computed under torch.no_grad() or from detached tensors (detach(), "
        ".data, numpy()), or does not depend on the parameters"
    )


def as_array(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor's values as a NumPy array; complex ones with real and imaginary parts."""
    import torch

    real = as_real(tensor.detach()).cpu().resolve_neg()
    if real._is_zerotensor():
        # Zeros without memory, the gradient of sgn() and sign(), have nothing that NumPy sees.
        return np.zeros(tuple(real.shape), numpy_dtype(real.dtype))
    if real.dtype is torch.bfloat16:
        real = real.float()
    return np.array(real.numpy())


def arrays_in(tree: Any) -> Any:
    """Return ``tree`` with its tensors as NumPy arrays."""
    import torch

    return map_leaves(lambda x: as_array(x) if isinstance(x, torch.Tensor) else x, tree)


def shapes_of(parameters: Sequence[Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each parameter as the oracles see it, by name."""
    return {one.name: tuple(as_real(one.tensor.detach()).shape) for one in parameters}
