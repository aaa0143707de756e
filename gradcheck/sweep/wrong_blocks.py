"""Boxes of a gradient that are wrong as wholes: what they are called, and which are one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradcheck.problem import Problem


@dataclass(frozen=True, slots=True)
class WrongBlock:
    """A box of a parameter in which entries are wrong, found as a whole.

    Attributes:
        kind: ``"parameter"``, ``"row"``, ``"rows"``, ``"column"``, ``"columns"`` or ``"block"``.
        box: range ``(start, stop)`` along each axis.
        probed, wrong: entries of it looked at one by one, and how many of these are wrong.
    """

    parameter: str
    kind: str
    box: tuple[tuple[int, int], ...]
    probed: int
    wrong: int

    @property
    def size(self) -> int:
        """Number of entries in the box."""
        return math.prod(stop - start for start, stop in self.box)

    @property
    def place(self) -> str:
        """Say where it lies: ``row 5 of W``, ``columns 2 to 4 of W``, ``block [0:2, 1] of W``."""
        if self.kind == "parameter":
            return f"all of {self.parameter}"
        if self.kind == "block":
            spans = ", ".join(f"{a}" if b == a + 1 else f"{a}:{b}" for a, b in self.box)
            return f"block [{spans}] of {self.parameter}"
        start, stop = self.box[0 if self.kind.startswith("row") else -1]
        numbers = f"{start}" if stop == start + 1 else f"{start} to {stop - 1}"
        return f"{self.kind} {numbers} of {self.parameter}"


def kind_of(box: tuple[tuple[int, int], ...], shape: tuple[int, ...]) -> str:
    """Name a box by the axes along which it is not the whole."""
    cut = [axis for axis, n in enumerate(shape) if box[axis] != (0, n)]
    if not cut:
        return "parameter"
    axis, *others = cut
    if len(shape) < 2 or others or axis not in (0, len(shape) - 1):
        return "block"
    start, stop = box[axis]
    name = "row" if axis == 0 else "column"
    return name if stop - start == 1 else name + "s"


def merged(blocks: list[WrongBlock], problem: Problem) -> list[WrongBlock]:
    """Put boxes together that touch along one axis and are alike along the others."""
    shapes = {parameter.name: parameter.value.shape for parameter in problem.parameters}
    order = {name: k for k, name in enumerate(shapes)}
    found = sorted(blocks, key=lambda block: (order[block.parameter], block.box))
    k = 0
    while k < len(found):
        for j in range(k + 1, len(found)):
            box = _union(found[k], found[j])
            if box is not None:
                one, two = found[k], found.pop(j)
                kind = kind_of(box, shapes[one.parameter])
                probed, wrong = one.probed + two.probed, one.wrong + two.wrong
                found[k] = WrongBlock(one.parameter, kind, box, probed, wrong)
                k = -1
                break
        k += 1
    return found


def _union(one: WrongBlock, two: WrongBlock) -> tuple[tuple[int, int], ...] | None:
    if one.parameter != two.parameter:
        return None
    apart = [axis for axis in range(len(one.box)) if one.box[axis] != two.box[axis]]
    if len(apart) != 1:
        return None
    axis = apart[0]
    low, high = sorted((one.box[axis], two.box[axis]))
    if low[1] != high[0]:
        return None
    return (*one.box[:axis], (low[0], high[1]), *one.box[axis + 1 :])
