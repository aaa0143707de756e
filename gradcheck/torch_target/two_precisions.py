"""How rounding scatters a torch target's gradient about that of the same code in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from gradcheck.problem import FloatArray
from gradcheck.torch_target.call import TorchCall
from gradcheck.torch_target.claim import gradients_of, like
from gradcheck.torch_target.outputs import as_real
from gradcheck.torch_target.prepared import Prepared

if TYPE_CHECKING:
    from torch import Tensor

Gradient = Callable[[], Mapping[str, FloatArray]]


def scatter_about(
    prepared: Prepared, own: TorchCall, wide: TorchCall, gradient: Gradient, *, explicit: bool
) -> dict[str, FloatArray]:
    """Return how far the gradient in float32 scatters about ``gradient()``, that of ``wide``.

    ``own`` shows what is known of the target in float32, in which it is called anew. Both are
    computed beside the point, at the same points, and what the target reads is put back.
    """
    from gradcheck.numpy_target.two_precisions import scatter

    with _put_back(prepared):
        low = like(own, prepared.call(wide=False))
        states = {id(one): (one, one.data) for one in _read(prepared)}

    def rounded() -> dict[str, FloatArray]:
        with _put_back(prepared):
            for tensor, data in states.values():
                tensor.data = data
            arrays = gradients_of(prepared, low, explicit=explicit).arrays
            return {name: array.astype(np.float64) for name, array in arrays.items()}

    both = zip(low.memory, wide.memory, strict=True)
    pairs = [
        (as_real(one).numpy(), as_real(two).numpy())
        for one, two in both
        if as_real(one).numpy().dtype == np.float32
    ]
    return scatter(rounded, gradient, pairs)


def _read(prepared: Prepared) -> list[Tensor]:
    """Return the tensors whose data every call sets anew: those that are read from elsewhere."""
    held = [one.tensor for one in prepared.parameters if one.held]
    return [*held, *prepared.others, *(buffer.tensor for buffer in prepared.buffers)]


@contextmanager
def _put_back(prepared: Prepared) -> Iterator[None]:
    before = [(one, one.data) for one in _read(prepared)]
    try:
        yield
    finally:
        for tensor, data in before:
            tensor.data = data
