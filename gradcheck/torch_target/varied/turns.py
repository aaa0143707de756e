"""Steps that compute the tensors of many evaluations, a few evaluations after the other.

The few go through all steps before the next: what lies between stays in the caches, and is
overwritten where nothing else reads it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.tensor import RefusedError, Tally

if TYPE_CHECKING:
    from torch import Tensor

IN_CACHE = 2**20
"""Bytes of the largest tensor of a few evaluations that are computed in turn,"""
AT_MOST = 64 * 2**20
"""and of all their tensors, if none were given up."""


Run = Callable[..., Any]


class Step:
    """What gives a tensor's values in some of the evaluations, from those of other tensors there.

    Attributes:
        run: given the same evaluations of all ``parts``, returns those of this tensor.
        parts: other steps, and tensors that are known in all evaluations.
        base: the tensor at the point itself.
        over: by position among the parts, what does the same in that part's own memory.
        is_view: ``run`` returns the memory of its only part.
        is_cheap: computing it again is as fast as reading what was kept.
        kept: the values in all evaluations, once they are known.
        was_run: it has been computed before.
    """

    __slots__ = (
        *("__weakref__", "base", "fixed", "is_view", "kept", "over", "parts", "run", "users"),
        *("is_cheap", "was_run"),
    )

    def __init__(
        self,
        run: Run,
        parts: Sequence[Step | Tensor],
        base: Tensor,
        *,
        over: Mapping[int, Run] | None = None,
        fixed: Sequence[Tensor] = (),
        is_view: bool = False,
        is_cheap: bool = False,
    ) -> None:
        self.run, self.parts, self.base = run, tuple(parts), base
        self.over = over or {}
        self.is_view, self.is_cheap = is_view, is_cheap
        self.kept: Tensor | None = None
        self.was_run = False
        # Tensors of inference mode count no versions.
        self.fixed = [(one, one._version) for one in fixed if not one.is_inference()]
        self.users: list[weakref.ref[Any]] = []
        for part in self.parts:
            if isinstance(part, Step):
                part.users.append(weakref.ref(self))

    def keep(self, values: Tensor) -> None:
        """Keep the values; what they were computed from is not needed any more."""
        self.kept = values
        self.parts, self.fixed = (), []

    def is_awaited(self, among: Mapping[int, Step]) -> bool:
        """Whether something else than these steps may still ask for the values."""
        users = [found for one in self.users if (found := one()) is not None]
        return any(id(one) not in among for one in users)


def in_turn(target: Step, tally: Tally) -> Tensor:
    """Compute a step, and what it needs, a few evaluations after the other; return its values.

    While the tally ``keeps``, so are all steps on the way of which something else may ask. Else
    those are that are computed for the second time, and the tally notes that there are such.

    Raises:
        RefusedError: a tensor that a step reads was written to since, or a step gives another type
            or shape than at the point itself.
    """
    import torch

    tally.waits = True
    order = _in_order(target)
    for step in order:
        if any(one._version != version for one, version in step.fixed):
            raise RefusedError("a tensor was written to after it was used")
    among = {id(step): step for step in order}
    tally.repeats |= any(step.was_run for step in order)
    kept = [
        step
        for step in order
        if step is target
        or step.was_run
        or (tally.keeps and not step.is_cheap and step.is_awaited(among))
    ]
    sizes = {id(step): step.base.numel() * step.base.element_size() for step in order}
    largest, total = max(sizes.values()), sum(sizes.values())
    size = max(1, min(IN_CACHE // max(1, largest), AT_MOST // max(1, total)))
    if 2 * sum(sizes[id(step)] for step in kept) > total or size >= tally.rows:
        # There is little in between that might be left out.
        size = tally.rows
    with torch.no_grad():
        stored = _Program(order, kept, tally.rows, size).run()
    tally.waits = False
    for step, values in zip(kept, stored, strict=True):
        tally.count(values.numel() * values.element_size())
        step.keep(values)
    for step in order:
        step.was_run = not step.is_cheap
    return stored[-1]


def _in_order(target: Step) -> list[Step]:
    """Return the steps that are needed for one, itself last, each after its parts."""
    order: list[Step] = []
    seen: set[int] = set()
    waiting: list[tuple[Step, bool]] = [(target, False)]
    while waiting:
        step, is_ready = waiting.pop()
        if is_ready:
            order.append(step)
        elif id(step) not in seen:
            seen.add(id(step))
            waiting.append((step, True))
            waiting += [
                (part, False) for part in step.parts if isinstance(part, Step) and part.kept is None
            ]
    return order


class _Program:
    """Steps in order, as calls on numbered tensors, for ``size`` evaluations at a time."""

    def __init__(self, order: Sequence[Step], kept: Sequence[Step], rows: int, size: int) -> None:
        self._order, self._kept, self._rows, self._size = order, kept, rows, size
        self._inputs: list[Tensor] = []
        self._slots: dict[int, int] = {}
        for step in order:
            for part in step.parts:
                known = part.kept if isinstance(part, Step) else part
                if known is not None and id(part) not in self._slots:
                    self._slots[id(part)] = len(self._inputs)
                    self._inputs.append(known)
        for step in order:
            self._slots[id(step)] = len(self._slots)
        self._is_one = size >= rows
        self._calls = self._all_calls()

    def _all_calls(self) -> list[tuple[Run, list[int], int, list[int]]]:
        """Return, for each step, what to call, with which tensors, and which it reads last."""
        uses: dict[int, list[int]] = {}
        for number, step in enumerate(self._order):
            for part in step.parts:
                uses.setdefault(id(part), []).append(number)
        given = {id(one) for one in self._kept} if self._is_one else set()
        own: set[int] = set()
        calls = []
        for number, step in enumerate(self._order):
            single = [
                k
                for k, part in enumerate(step.parts)
                if id(part) in own and id(part) not in given and len(uses[id(part)]) == 1
            ]
            if not step.is_view or single:
                own.add(id(step))
            run = next((step.over[k] for k in single if k in step.over), step.run)
            slots = [self._slots[id(part)] for part in step.parts]
            last = [
                self._slots[id(part)]
                for part in step.parts
                if isinstance(part, Step) and part.kept is None and uses[id(part)][-1] == number
            ]
            calls.append((run, slots, self._slots[id(step)], last))
        return calls

    def run(self) -> list[Tensor]:
        """Return the values of the steps that are kept."""
        import torch

        pieces = [torch.split(one, self._size) for one in self._inputs]
        number = {self._slots[id(step)]: k for k, step in enumerate(self._kept)}
        stored: list[Any] = [None] * len(number)
        parted: list[Any] = [None] * len(number)
        for k in range(-(-self._rows // self._size)):
            slots: list[Any] = [piece[k] for piece in pieces] + [None] * len(self._order)
            for (run, given, place, last), step in zip(self._calls, self._order, strict=True):
                found = slots[place] = run(*[slots[j] for j in given])
                if k == 0 and not _is_of(found, step.base):
                    raise RefusedError("an operation gives another type or shape of many")
                if place in number:
                    at = number[place]
                    if k == 0:
                        stored[at] = found if self._is_one else _room(found, self._rows)
                        parted[at] = torch.split(stored[at], self._size)
                    if not self._is_one:
                        parted[at][k].copy_(found)
                for j in last:
                    slots[j] = None
                del found
        return stored


def _is_of(many: Tensor, base: Tensor) -> bool:
    return many.dtype == base.dtype and many.shape[1:] == base.shape


def _room(like: Tensor, rows: int) -> Tensor:
    """Return room for so many evaluations, of which ``like`` are some, laid out as these are."""
    order = sorted(range(like.dim()), key=lambda d: -like.stride()[d])
    sizes = [rows, *like.shape[1:]]
    room = like.new_empty([sizes[d] for d in order])
    return room.permute([order.index(d) for d in range(like.dim())])
