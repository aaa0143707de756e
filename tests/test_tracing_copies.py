"""Copies of what holds traced arrays: in containers, objects and slots, deep and shallow."""

from __future__ import annotations

import collections
import copy
import dataclasses
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from gradcheck.tracing import trace

V = np.array([0.3, 0.7])


class Plain:
    def __init__(self, held: Any) -> None:
        self.held = held


class Slotted:
    __slots__ = ("__own", "held", "unset")

    def __init__(self, held: Any) -> None:
        self.held = held
        self.__own = 10 * held

    def both(self) -> Any:
        return self.held + self.__own


class OneSlot(Slotted):
    __slots__ = "more"

    def __init__(self, held: Any) -> None:
        super().__init__(held)
        self.more = 100 * held


class WithBoth(Slotted):
    __slots__ = ("W", "__dict__", "__weakref__")

    def __init__(self, held: Any) -> None:
        super().__init__(held)
        self.W = 1000 * held
        self.more = 100 * held


class Listed(list):  # type: ignore[type-arg]
    extra: Any = None


@dataclasses.dataclass
class Layer:
    weights: Any
    further: Any = ()


Pair = collections.namedtuple("Pair", "x y")


def as_mapping(v: Any) -> Any:
    found = dataclasses.asdict(Layer(v * 2, [Layer(v * 3), {"b": v * 5}]))
    first, second = found["further"]
    return found["weights"] + 10 * first["weights"] + 100 * second["b"]


def as_tuple(v: Any) -> Any:
    weights, ((inner, _), more) = dataclasses.astuple(Layer(v * 2, (Layer(v * 3), v * 5)))
    return weights + 10 * inner + 100 * more


def replaced(v: Any) -> Any:
    one = dataclasses.replace(Layer(v * 2, v * 3), further=v * 5)
    return one.weights + 10 * one.further


def listed(v: Any) -> Any:
    one = Listed([v * 2])
    one.extra = v * 3
    found = copy.deepcopy(one)
    return found[0] + found.extra


def circular(v: Any) -> Any:
    one = Plain(v * 2)
    one.held = [one, {"v": v * 5}]  # type: ignore[assignment]
    found = copy.deepcopy(one)
    assert found.held[0] is found
    return found.held[1]["v"]


def overlapping(v: Any) -> Any:
    whole = v * 2
    part, again = copy.deepcopy([whole[:1], whole])
    again[0] = 7.0
    return part[0] + again


def shared(v: Any) -> Any:
    one = v * 2
    first, second = copy.deepcopy((one, one))
    assert first is second
    return first + second


def changed_afterwards(v: Any) -> Any:
    one = v * 2
    found = copy.deepcopy({"one": one})
    one *= 0.0
    found["one"] *= 2.0
    return found["one"] + one


COPIES = {
    "an array": (lambda v: copy.copy(v * 2), [2, 2]),
    "a list": (lambda v: copy.deepcopy([[v * 2], 1.0])[0][0], [2, 2]),
    "a shallow list": (lambda v: copy.copy([v * 2])[0], [2, 2]),
    "a named tuple": (lambda v: copy.deepcopy(Pair(v * 2, 1.0)).x, [2, 2]),
    "a deque": (lambda v: copy.deepcopy(collections.deque([v * 2]))[0], [2, 2]),
    "a mapping": (lambda v: copy.deepcopy({"a": OrderedDict(b=v * 2)})["a"]["b"], [2, 2]),
    "an object": (lambda v: copy.deepcopy(Plain(Plain(v * 2))).held.held, [2, 2]),
    "slots": (lambda v: copy.deepcopy(Slotted(v * 2)).both(), [22, 22]),
    "slots of several classes": (
        lambda v: (lambda one: one.both() + one.more)(copy.deepcopy(OneSlot(v * 2))), [222, 222],
    ),
    "slots and others": (
        lambda v: (lambda one: one.both() + one.more + one.W)(copy.deepcopy(WithBoth(v * 2))),
        [2222, 2222],
    ),
    "a list with attributes": (listed, [5, 5]),
    "fields by name": (as_mapping, [532, 532]),
    "fields in order": (as_tuple, [532, 532]),
    "fields replaced": (replaced, [52, 52]),
    "a circle": (circular, [5, 5]),
    "a part and the whole": (overlapping, [4, 2]),
    "one array twice": (shared, [4, 4]),
    "written to afterwards": (changed_afterwards, [4, 4]),
}  # fmt: skip


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_depends_on_what_its_original_does(name: str) -> None:
    function, expected = COPIES[name]
    v = V.copy()
    found = trace(lambda v: np.sum(function(v)), (v,), {}, {"v": v})
    assert found.loss == pytest.approx(float(np.sum(function(V))))
    assert found.backward()["v"].tolist() == expected


def test_constants_in_an_array_of_objects_are_constants() -> None:
    def loss(v: Any) -> Any:
        held = np.empty(2, dtype=object)
        held[0], held[1] = np.float64(2.0), "text"
        counts = np.zeros(2, dtype=int)
        counts[0] = v[1] * 10
        return np.sum(v * held[0]) * counts[0]

    v = V.copy()
    assert trace(loss, (v,), {}, {"v": v}).backward()["v"].tolist() == [14, 14]
