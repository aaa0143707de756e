"""Many perturbed losses of a torch target in one call that computes again only what changes.

The target is called with a carrier in the parameter's place (see ``varied``). Before a parameter is
moved so for the first time, some of its entries are moved far, and the losses compared with those
of plain calls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.torch_target.call import TorchCall
from gradcheck.torch_target.varied.carrier import carrier, varied_of
from gradcheck.torch_target.varied.tensor import Tally, Varied, unravelled

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = NDArray[np.float64]

LARGEST = 2048
"""Most evaluations together: more are hardly faster,"""
OF_LITTLE = 8192
"""unless they take little memory,"""
LITTLE = 9 * 2**19
"""which is so many bytes of the largest tensor."""
CACHED = 8 * 2**20
"""Bytes of the largest tensor of a batch that stays in the caches of a CPU."""
ALIVE = 256 * 2**20
"""Bytes of all tensors of a batch, of which few are alive at a time."""
AT_LEAST = 16
"""Evaluations together that are worth more memory than that."""
KEPT = 2**25 - 2**16
"""Bytes of the largest block of which the C library (glibc) takes notice."""
TRIALS = 6
"""Entries of each parameter that are moved far on trial."""
MOVE = 0.05
"""Size of the trial moves, in units of the parameter's values."""
CLOSE = 1e4
"""Roundings of the loss by which the trials may differ from plain calls."""


@dataclass(frozen=True)
class Way:
    """Whether whole tensors wait until they are needed, and those on the way are kept then."""

    defers: bool
    keeps: bool

    def tally(self, rows: int, limit: float = math.inf) -> Tally:
        """Return the tally of so many evaluations."""
        tally = Tally(rows, limit)
        tally.defers, tally.keeps = self.defers, self.keeps
        return tally


WAYS = (Way(defers=True, keeps=False), Way(defers=True, keeps=True), Way(defers=False, keeps=True))
"""What is tried in turn: the first does not do where something would be computed twice, nor the
second where the target writes to a tensor that something waiting has still to read."""


class PartLosses:
    """The losses at single-entry changes of one parameter, many at a time."""

    def __init__(self, call: TorchCall, values: Sequence[NDArray[Any]]) -> None:
        self._call = call
        self._values = values
        self._ways: dict[int, Way] = {}

    def usable_rows(self, parameter: int, memory: int) -> int:
        """Return how many evaluations to make together, in pairs; 0 where this is not the way.

        Losses that differ from those of plain calls, and whatever is raised, say so.
        """
        tally = self._tally(parameter, memory)
        if tally is None:
            return 0
        made, largest = tally.made // tally.rows + 1, tally.largest // tally.rows + 1
        if self._call.read[parameter].device.type != "cpu":
            return min(LARGEST, memory // made) // 2 * 2
        keep_freed_memory()
        rows = max(min(CACHED // largest, ALIVE // made), min(AT_LEAST, memory // made))
        return min(max(LARGEST, min(OF_LITTLE, LITTLE // largest)), rows) // 2 * 2

    def _tally(self, parameter: int, memory: int) -> Tally | None:
        """Return the memory that some evaluations take; None where they come out another way."""
        call = self._call
        if call.keeps_graph or call.changed or call.read[parameter].is_complex():
            return None
        indices, moved, alone = self._alone(parameter)
        low = np.finfo(call.reduction.dtype if call.reduction else np.float64).eps
        known = np.isfinite(alone)
        with np.errstate(all="ignore"):
            allowed = CLOSE * low * (np.abs(alone) + np.abs(alone - call.loss()))
        for way in WAYS if call.read[parameter].device.type == "cpu" else WAYS[-1:]:
            self._ways[parameter] = way
            tally = way.tally(len(indices), memory)
            try:
                together = self._losses(parameter, indices, moved, tally)
            except Exception:
                # Whatever it is, plain calls meet it too if it is the target's own.
                if tally.waits:
                    continue
                return None
            with np.errstate(all="ignore"):
                close = np.abs(together - alone) <= allowed
            if not (known.any() and close[known].all()):
                return None
            if way.keeps or not tally.repeats:
                return tally
        return None

    def __call__(
        self, parameter: int, indices: NDArray[np.intp], values: NDArray[Any]
    ) -> FloatArray:
        """Return the losses with entry ``indices[j]`` (flat, C order) set to ``values[j]``."""
        tally = self._ways[parameter].tally(len(indices))
        return self._losses(parameter, indices, values, tally)

    def _losses(
        self, parameter: int, indices: NDArray[np.intp], values: NDArray[Any], tally: Tally
    ) -> FloatArray:
        import torch

        call = self._call
        call.refresh()
        read = call.read[parameter].detach()
        flat = torch.from_numpy(np.ascontiguousarray(indices)).to(read.device)
        given = torch.from_numpy(np.ascontiguousarray(values)).to(read.device, read.dtype)
        places = dict(enumerate(unravelled(flat, read.shape)))
        try:
            with torch.no_grad():
                result = call.loss_at({parameter: carrier(Varied(read, given, places, tally))})
                return _rows(result, tally.rows)
        finally:
            tally.over = True

    def _alone(self, parameter: int) -> tuple[NDArray[np.intp], NDArray[Any], FloatArray]:
        """Move some entries far, one at a time; return which, where to, and the losses."""
        array = self._values[parameter]
        generator = np.random.default_rng(0)
        indices = np.unique([0, array.size - 1, *generator.integers(array.size, size=TRIALS - 2)])
        start = array.flat[indices]
        scale = MOVE * max(float(np.abs(array).max()), 1e-300)
        signs = generator.choice((-1.0, 1.0), len(indices))
        moved = (start + signs * scale * generator.uniform(0.5, 1.0, len(indices))).astype(
            array.dtype
        )
        losses = np.full(len(indices), np.nan)
        for k, index in enumerate(indices.tolist()):
            try:
                array.flat[index] = moved[k]
                losses[k] = self._call.loss()
            except Exception:
                # Outside its domain, so far from the point: nothing to compare with there.
                continue
            finally:
                array.flat[index] = start[k]
        return indices, moved, losses


def keep_freed_memory() -> None:
    """Have the C library keep what is freed for the next batch.

    Else glibc returns large blocks to the system at once, and getting them back, page by page,
    takes longer than computing what is in them. Its bounds follow the largest block freed so far;
    this one is never touched.
    """
    import torch

    torch.empty(KEPT, dtype=torch.uint8)


def _rows(result: Tensor, rows: int) -> FloatArray:
    """Return the loss of each evaluation; the same for all if the parameter does not reach it."""
    varied = varied_of(result)
    if varied is None:
        return np.full(rows, float(result))
    return np.array(varied.loosened().values.double().cpu().numpy())
