"""What rewritten code does: just what it did before, under a trace and after it."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import numpy as np
import pytest

from gradcheck.tracing import trace

pytest.importorskip("torch")

V = np.array([0.5, -2.0])


def slopes(loss: Any) -> list[float]:
    v = V.copy()
    found = trace(loss, (v,), {}, {"v": v})
    assert found.loss == float(loss(V.copy()))
    return list(found.backward()["v"])


def test_a_function_has_its_own_local_names() -> None:
    def loss(v: Any) -> Any:
        y = v * 2.0
        first, second = y
        for z in v:
            y += z
        with_type: float = first * second
        seen = sorted(locals())
        return with_type + (seen == ["first", "second", "v", "with_type", "y", "z"]) * v[0]

    assert slopes(loss) == [4.0 * V[1] + 1.0, 4.0 * V[0]]


def test_a_class_keeps_its_annotations() -> None:
    def loss(v: Any) -> Any:
        @dataclasses.dataclass
        class Pair:
            a: Any
            b: Any = 3.0

        return Pair(v[0]).a * Pair(v[0]).b * Pair(v[0], v[1]).b

    assert slopes(loss) == [3.0 * V[1], 3.0 * V[0]]


def test_matched_cases_and_their_guards() -> None:
    def chosen(value: Any) -> Any:
        match value:
            case [first, second] if np.sum(first * 2.0) > 0:
                return first * second * 3.0
            case [first, *_]:
                return first * 5.0
            case _:
                return value * 7.0

    def loss(v: Any) -> Any:
        return chosen([v[0], v[1]]) + chosen([v[1], v[0]]) + chosen(v[0])

    assert slopes(loss) == [3.0 * V[1] + 7.0, 3.0 * V[0] + 5.0]


def test_functions_that_wait() -> None:
    async def items(v: Any) -> Any:
        for x in v:
            yield x * 2.0

    async def total(v: Any) -> Any:
        found = [x * 3.0 async for x in items(v) if x < 5.0]
        async for x in items(v):
            found.append(x)
        return sum(found)

    def loss(v: Any) -> Any:
        return asyncio.run(total(v))

    assert slopes(loss) == [8.0, 8.0]


def test_operators_that_no_number_has() -> None:
    def loss(v: Any) -> Any:
        table, chosen, flags = {"a": v[0], "b": v[1]}, {"a"}, 5
        del table["b"]
        chosen |= {"c"}
        flags &= 4
        flags <<= 1
        table |= {"d": v[1]}
        kept = v > 0
        kept ^= True
        return table["a"] * len(chosen) + table["d"] * flags + np.sum(v[~kept]) * (not flags)

    assert slopes(loss) == [2.0, 8.0]


class Holder:
    """Counts how often it is asked for."""

    count = 0

    def __init__(self) -> None:
        self.kept: Any = 1.0

    def itself(self) -> Any:
        type(self).count += 1
        return self


def test_what_is_assigned_to_is_evaluated_once() -> None:
    def loss(v: Any) -> Any:
        Holder.count = 0
        holder = Holder()
        holder.itself().kept = v[0]
        holder.itself().kept *= v[1]
        (holder.itself().kept, other), last = (holder.kept * 2.0, v[0]), v[1]
        return holder.kept * Holder.count + other * last

    assert slopes(loss) == [7.0 * V[1], 7.0 * V[0]]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1.0, (2.0, 3.0, 4.0)], "too many values to unpack"),
        ([1.0, (2.0,)], "not enough values to unpack"),
        ([1.0], "not enough values to unpack"),
        ([1.0, (2.0, 3.0), 4.0], "too many values to unpack"),
    ],
)
def test_what_does_not_fit_a_target_is_refused_in_python_s_words(value: Any, words: str) -> None:
    def loss(v: Any) -> Any:
        first, (second, third) = value
        return np.sum(v) * first * second * third

    with pytest.raises(ValueError, match=words):
        slopes(loss)


def test_starred_targets_take_what_is_left() -> None:
    def loss(v: Any) -> Any:
        (first, *middle, last), *none = [[v[0], v[1], v[0] * 2.0, v[1] * 3.0]]
        *lead, (one, two) = [v[0], v[1], v]
        [*all_of_it] = v
        return (
            first * last + middle[0] * middle[1] * 10.0 + len(none)
            + lead[0] * lead[1] * 100.0 + one * two * 1000.0 + sum(all_of_it)
        )  # fmt: skip

    assert slopes(loss) == pytest.approx([1123.0 * V[1] + 1.0, 1123.0 * V[0] + 1.0], rel=1e-14)


class Vector:
    """Has every operator that a hook asks for."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __neg__(self) -> Any:
        return Vector(-self.value)

    def __add__(self, other: Any) -> Any:
        return NotImplemented if isinstance(other, Scale) else Vector(self.value + other)

    def __imul__(self, other: Any) -> Any:
        self.value = self.value * other
        return self

    def __getitem__(self, place: Any) -> Any:
        return self.value[place]

    def __setitem__(self, place: Any, new: Any) -> None:
        self.value[place] = new

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *details: Any) -> Any:
        self.value = self.value * 1.0


class Scale:
    def __radd__(self, other: Any) -> Any:
        return Vector(other.value * 3.0)


def test_functions_made_under_a_trace_go_on_as_they_were() -> None:
    kept: list[Any] = []

    def loss(v: Any) -> Any:
        class Local(Vector):
            def __iadd__(self, other: Any) -> Any:
                self.value = self.value + other
                return self

        def again(v: Any) -> Any:
            local = Local(v * 2.0)
            with local as same:
                same += 1.0
                same[0] = -v[1]
            local *= 2.0
            new = -(local + Scale())
            new[1] += +v[0]
            (first, *_), [second] = new.value, new.value[1:]
            table = [x * 2.0 for x in new.value[::-1]]
            table[0] **= 2
            table[0] //= 1.0
            for k, x in enumerate(table):
                table[k] = x - 1.0 % 3.0
            return first * second + table[0] / 2.0 + np.vstack([table]).T[1] @ np.ones(1)

        kept.append(again)
        return again(v)

    found = slopes(loss)
    (under, plain) = kept
    assert under(V.copy()) == plain(V.copy())
    first, second = 6.0 * V[1], V[0] - 12.0 * V[1] - 6.0  # their product, and twice the first
    assert found == pytest.approx([first, 6.0 * second - 12.0 * first + 12.0], rel=1e-14)


def test_an_object_that_adds_but_not_in_place_is_asked_to_add() -> None:
    class Doubling:
        def __add__(self, other: Any) -> Any:
            return other * 2.0

    def loss(v: Any) -> Any:
        total = Doubling()
        total += v
        return total[0] * v[1]

    assert slopes(loss) == pytest.approx([2.0 * V[1], 2.0 * V[0]], rel=1e-15)
