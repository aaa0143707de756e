"""Whole tensors of many evaluations that are not computed before they are needed, and then in turn.

A layer, its bias and its activation take a few evaluations through all of them before the next few:
what lies between stays in the caches, is overwritten where nothing else reads it, and only what is
asked for in the end, or may be, is kept of all evaluations.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gradcheck.torch_target.varied.tensor import RefusedError, Tally, Varied, written

if TYPE_CHECKING:
    from torch import Tensor

Run = Callable[..., Any]


class Step:
    """What gives a tensor's values in some of the evaluations, from those of other tensors there.

    Attributes:
        run: given the same evaluations of all ``parts``, returns those of this tensor.
        parts: other steps, and tensors that are known in all evaluations.
        base: the tensor at the point itself.
        over: by position among the parts, what does the same in that part's own memory.
        is_view: ``run`` returns the memory of its only part.
        kept: the values in all evaluations, once they are known.
        was_run: it has been computed before.
    """

    __slots__ = (
        *("__weakref__", "base", "fixed", "is_view", "kept", "over", "parts", "run", "users"),
        "was_run",
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
    ) -> None:
        self.run, self.parts, self.base = run, tuple(parts), base
        self.over = over or {}
        self.is_view = is_view
        self.kept: Tensor | None = None
        self.was_run = False
        self.fixed = [(one, one._version) for one in fixed]
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


class Pending(Varied):
    """A tensor that changes as a whole, whose values a ``step`` gives when they are asked for."""

    step: Step

    def __init__(self, step: Step, tally: Tally) -> None:
        own = {"base": step.base, "places": {}, "tally": tally, "offset": None}
        # The fields of a Varied, of which ``given`` is made when it is asked for.
        self.__dict__.update(own, step=step)
        step.users.append(weakref.ref(self))

    @functools.cached_property
    def given(self) -> Tensor:
        """The values."""
        found = self.step.kept
        return in_turn(self.step, self.tally) if found is None else found

    def reshaped(self, shape: Sequence[int]) -> Varied:
        """Return the same under another shape with as many entries."""
        if self.step.kept is not None:
            return super().reshaped(shape)
        base = self.base.reshape(shape)
        run = functools.partial(_reshaped, sizes=base.shape)
        return Pending(Step(run, (self.step,), base, is_view=True), self.tally)

    def permuted(self, order: Sequence[int]) -> Varied:
        """Return the same with its dimensions in another order."""
        if self.step.kept is not None:
            return super().permuted(order)
        rank = self.base.dim()
        own = [0, *(1 + d % rank for d in order)]
        base = self.base.permute([d % rank for d in order])
        step = Step(lambda x: x.permute(own), (self.step,), base, is_view=True)
        return Pending(step, self.tally)


def _reshaped(x: Tensor, sizes: Sequence[int]) -> Tensor:
    return x.reshape(len(x), *sizes)


def defers(*operands: Varied) -> bool:
    """Whether what is computed of whole tensors may wait."""
    tally = operands[0].tally
    return tally.defers and not tally.by_columns and not any(one.places for one in operands)


def source(one: Varied) -> Step | Tensor:
    """Return what gives the values of a tensor that changes as a whole."""
    from gradcheck.torch_target.varied.products import Outer

    known: Tensor | None = one.__dict__.get("values", one.__dict__.get("given"))
    if known is not None and (one.offset is None or "values" in one.__dict__):
        return known
    if isinstance(one, Pending):
        return one.step if one.step.kept is None else one.step.kept
    if isinstance(one, Outer):
        return Step(one.base.addcmul, one.factors, one.base)
    return one.values


def pending(
    one: Varied,
    base: Tensor,
    run: Run,
    *others: Step | Tensor,
    over: Mapping[int, Run] | None = None,
    fixed: Sequence[Tensor] = (),
) -> Pending:
    """Return a tensor whose values ``run`` gives, later, from those of ``one`` and ``others``."""
    return Pending(Step(run, (source(one), *others), base, over=over, fixed=fixed), one.tally)


def loosened_later(one: Varied) -> Pending:
    """Return a tensor that changes as a whole, for one of which each evaluation changes a part."""
    import torch

    order, base = [*one.places, *one.free], one.base

    def run(values: Tensor, *places: Tensor) -> Tensor:
        whole = base.expand(len(values), *base.shape)
        return written(whole.clone(memory_format=torch.contiguous_format), order, values, *places)

    return Pending(Step(run, (one.values, *one.places.values()), base), one.tally)


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
        if step is target or step.was_run or (tally.keeps and step.is_awaited(among))
    ]
    sizes = {id(step): step.base.numel() * step.base.element_size() for step in order}
    size = max(1, IN_CACHE // max(1, *sizes.values()))
    if 2 * sum(sizes[id(step)] for step in kept) > sum(sizes.values()) or size >= tally.rows:
        # There is little in between that might be left out.
        size = tally.rows
    with torch.no_grad():
        stored = _Program(order, kept, tally.rows, size).run()
    tally.waits = False
    for step, values in zip(kept, stored, strict=True):
        tally.count(values.numel() * values.element_size())
        step.keep(values)
    for step in order:
        step.was_run = True
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
        parted: list[Any] = []
        stored: list[Tensor] = []
        for step in self._kept if not self._is_one else ():
            stored.append(step.base.new_empty((self._rows, *step.base.shape)))
            parted.append(torch.split(stored[-1], self._size))
        places = [self._slots[id(step)] for step in self._kept]
        number = {place: k for k, place in enumerate(places)}
        for k in range(-(-self._rows // self._size)):
            slots: list[Any] = [piece[k] for piece in pieces] + [None] * len(self._order)
            for (run, given, place, last), step in zip(self._calls, self._order, strict=True):
                found = slots[place] = run(*[slots[j] for j in given])
                if found.dtype != step.base.dtype or found.shape[1:] != step.base.shape:
                    raise RefusedError("an operation gives another type or shape of many")
                if parted and place in number:
                    parted[number[place]][k].copy_(found)
                for j in last:
                    if not self._is_one or j not in number:
                        slots[j] = None
                del found
            if self._is_one:
                return [slots[place] for place in places]
        return stored


IN_CACHE = 2**20
"""Bytes of the largest tensor of a few evaluations that are computed in turn."""
