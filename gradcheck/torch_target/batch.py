"""Many perturbed losses of a torch target in one call.

What a single entry does not move is computed once, where the target allows it (see ``parts``).
Elsewhere ``torch.func.vmap`` evaluates it whole: a buffer holds as many copies of one parameter as
fit; each gets one entry changed. Before a parameter is batched for the first time, losses far from
the point are compared with those of plain calls: a target that cannot be batched, or means
something else then, is evaluated by the loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.torch_target.call import TorchCall
from gradcheck.torch_target.outputs import as_real
from gradcheck.torch_target.parts import CLOSE, MOVE, PartLosses
from gradcheck.torch_target.precision_inside import compiles

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = NDArray[np.float64]

LARGEST = 1024
"""Most rows of a batch."""
LEAST = 4
"""Entries below which the loop is as fast."""
CPU_BYTES = 32 * 2**20
"""Memory of a batch on the CPU: more falls out of its caches."""


class BatchedLosses:
    """The losses at single-entry changes of one parameter, many at a time."""

    def __init__(self, call: TorchCall, values: Sequence[NDArray[Any]]) -> None:
        self._call = call
        self._values = values
        self._parts = PartLosses(call, values)
        self._rows_of_parts: dict[int, int] = {}
        self._rows: dict[int, int] = {}
        self._buffer: tuple[int, Tensor] | None = None
        self._made: int | None = None

    def __call__(
        self, parameter: int, indices: NDArray[np.intp], values: NDArray[Any]
    ) -> FloatArray:
        """Return the losses of a first part of the entries; of none if the loop has to do it."""
        if len(indices) < LEAST:
            return np.empty(0)
        losses = self._by_parts(parameter, indices, values)
        if losses.size:
            return losses
        if parameter not in self._rows:
            self._rows[parameter] = self._usable_rows(parameter)
        rows = self._rows[parameter]
        if rows < LEAST:
            return np.empty(0)
        count = min(rows, len(indices))
        size = min(rows, 1 << (count - 1).bit_length())
        try:
            return self._evaluate(parameter, indices[:count], values[:count], size)
        except (RuntimeError, NotImplementedError):
            # Out of memory, or an operation that gives way only here: halve, or leave it.
            self._rows[parameter] = rows // 2
            self._buffer = None
            return self(parameter, indices, values)

    def rows(self, parameter: int) -> int:
        """Return how many changes of a parameter are evaluated together, each in part alone.

        Less than ``LEAST`` where every evaluation computes everything.
        """
        if parameter not in self._rows_of_parts:
            memory = _memory(self._call.read[parameter])
            self._rows_of_parts[parameter] = self._parts.usable_rows(parameter, memory)
        return self._rows_of_parts[parameter]

    def _by_parts(
        self, parameter: int, indices: NDArray[np.intp], values: NDArray[Any]
    ) -> FloatArray:
        """Return the losses of a first part of the entries; of none if all has to be computed."""
        while (rows := self.rows(parameter)) >= LEAST:
            try:
                return self._parts(parameter, indices[:rows], values[:rows])
            except Exception:
                # Out of memory, or an operation that gives way only here: halve, or leave it.
                self._rows_of_parts[parameter] = rows // 2
        return np.empty(0)

    def _evaluate(
        self, parameter: int, indices: NDArray[np.intp], values: NDArray[Any], size: int
    ) -> FloatArray:
        copies = self._copies(parameter)[:size]
        flat = as_real(copies).reshape(size, -1)
        entries, given, at = _addressable(flat, values, indices)
        before = entries[at]
        entries[at] = given
        try:
            losses = self._losses(parameter, copies)
        finally:
            entries[at] = before
        return losses[: len(values)]

    def _losses(self, parameter: int, copies: Tensor) -> FloatArray:
        """Return the loss for each row of ``copies``."""
        import torch

        call = self._call
        changed = {id(one) for one in call.changed}
        buffers = {
            one.name: one.tensor.detach().expand(len(copies), *one.tensor.shape).clone()
            for one in call.buffers
            if id(one.tensor) in changed
        }

        def loss(tensor: Tensor, own_buffers: Mapping[str, Tensor]) -> Tensor:
            return call.loss_at({parameter: tensor}, own_buffers)

        with torch.set_grad_enabled(call.keeps_graph):
            if buffers:
                batched = torch.func.vmap(loss, randomness="same")(copies, buffers)
            else:
                batched = torch.func.vmap(lambda one: loss(one, {}), randomness="same")(copies)
        # A copy: the losses of a view (x[0], x.real) lie in the rows that are put back.
        return np.array(batched.detach().double().cpu().numpy())

    def _copies(self, parameter: int) -> Tensor:
        """Return the buffer with a copy of the parameter in each row."""
        import torch

        rows = self._rows[parameter]
        self._call.refresh()
        read = self._call.read[parameter].detach()
        kept = self._buffer
        if kept is None or kept[0] != parameter or not torch.equal(kept[1][0], read):
            self._buffer = None
            kept = self._buffer = (parameter, read.expand(rows, *read.shape).contiguous())
        return kept[1]

    def _usable_rows(self, parameter: int) -> int:
        """Return how many rows fit, or 0 where a batch gives something else than single calls."""
        try:
            rows = self._fitting_rows(parameter)
            return rows if rows >= LEAST and self._same_as_alone(parameter) else 0
        except (RuntimeError, NotImplementedError, TypeError, ValueError):
            # vmap refuses the target: data-dependent branches, an operation without a rule, ...
            return 0

    def _same_as_alone(self, parameter: int) -> bool:
        import torch

        call, value = self._call, self._values[parameter]
        start = value.copy()
        generator = np.random.default_rng(0)
        scale = MOVE * max(float(np.abs(start).max()), 1e-300)
        alone, rows = [], []
        try:
            for factor in (1.0, -0.5):
                move = factor * scale * generator.uniform(0.5, 1.0, start.shape)
                np.copyto(value, (start + move).astype(start.dtype))
                alone.append(call.loss())
                rows.append(call.read[parameter].detach().clone())
        finally:
            np.copyto(value, start)
        base = call.loss()
        together = self._losses(parameter, torch.stack(rows))
        low = np.finfo(call.reduction.dtype if call.reduction else np.float64).eps
        known = np.isfinite(alone)
        if not known.any():
            return False
        size = np.abs(alone) + np.abs(np.array(alone) - base)
        return bool(np.all(np.abs(together - alone)[known] <= CLOSE * low * size[known]))

    def _fitting_rows(self, parameter: int) -> int:
        read = self._call.read[parameter]
        if self._made is None:
            self._made = _bytes_made(self._call)
        row = read.numel() * read.element_size() + self._made
        fitting = _memory(read) // max(row, 1)
        rows = 1
        while rows * 2 <= min(fitting, LARGEST):
            rows *= 2
        return rows


def _addressable(
    flat: Tensor, values: NDArray[Any], indices: NDArray[np.intp]
) -> tuple[Any, Any, Any]:
    """Return the buffer, the values and their places as NumPy's where it can, which is faster."""
    import torch

    rows = np.arange(len(indices))
    if flat.device.type == "cpu" and flat.dtype is not torch.bfloat16:
        return flat.numpy(), values, (rows, indices)
    given = torch.from_numpy(values).to(flat.device, flat.dtype)
    at = (torch.from_numpy(one).to(flat.device) for one in (rows, np.ascontiguousarray(indices)))
    return flat, given, tuple(at)


def _memory(read: Tensor) -> int:
    """Bytes that a batch may take on the tensor's device."""
    import torch

    if read.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(read.device)
        return int(free // 4)
    return CPU_BYTES


def _bytes_made(call: TorchCall) -> int:
    """Bytes of all results that one evaluation makes: at most what is alive at a time."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    made = 0

    class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return compiles()

        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            nonlocal made
            result = function(*args, **(kwargs or {}))
            for one in result if isinstance(result, tuple | list) else (result,):
                if isinstance(one, torch.Tensor):
                    made += one.numel() * one.element_size()
            return result

    with Count():  # type: ignore[no-untyped-call]
        call.loss()
    return made


def batched_losses(call: TorchCall, values: Sequence[NDArray[Any]]) -> BatchedLosses:
    """Return the batched evaluation of a call whose parameters share memory with ``values``."""
    return BatchedLosses(call, values)
