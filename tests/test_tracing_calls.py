"""Calls from traced code: methods under other names, callbacks, code that cannot be followed."""

from __future__ import annotations

import contextlib
import functools
import itertools
import operator
from typing import Any

import numpy as np
import pytest

from gradcheck.tracing import NotTraceable, trace
from gradcheck.tracing.calls import call_opaque
from gradcheck.tracing.contents import contents
from gradcheck.tracing.memory import Shadow
from gradcheck.tracing.recorder import Recorder

pytest.importorskip("torch")

V = np.array([0.5, -2.0])

SPACE: dict[str, Any] = {}
exec(
    """
def ignored(*values): return 1.0
def changed(value, array, new): array[0] = new
def filled(function, out):
    function(out)
    out[1] = out[0] ** 2
def kept(function, out): function(out)
def called(function, value): return [function(value)]
def read(function, out):
    function(out=out)
    return float(out[0])
""",
    SPACE,
)
"""Functions without a source."""


def traced(loss: Any) -> Any:
    v = V.copy()
    return trace(loss, (v,), {}, {"v": v})


def slopes(loss: Any) -> list[float]:
    return list(traced(loss).backward()["v"])


# methods and callables


def test_a_method_without_a_rule_is_lost() -> None:
    with pytest.raises(NotTraceable, match=r"ndarray\.__abs__: its derivative is not known"):
        traced(lambda v: np.sum(v.__abs__()))
    with pytest.raises(NotTraceable, match=r"float64\.__abs__"):
        traced(lambda v: v[0].__abs__())


def test_an_item_getter_hands_out_one_item_or_several() -> None:
    def loss(v: Any) -> Any:
        (first, second), one = operator.itemgetter(1, 0)(v), operator.itemgetter(1)(v)
        return 2.0 * first + 3.0 * second + 5.0 * one

    assert slopes(loss) == [3.0, 7.0]


class Both:
    """Can be called, and iterated over."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __iter__(self) -> Any:
        return iter(self.items)

    def __call__(self) -> Any:
        raise AssertionError


def test_what_can_be_called_is_iterated_over_where_items_are_wanted() -> None:
    def loss(v: Any) -> Any:
        (first, second) = map(lambda x: 3.0 * x, Both(v))  # noqa: C417
        *_, total = itertools.accumulate(Both(v), lambda x, y: x + 5.0 * y)
        return first * second + total

    assert slopes(loss) == [9.0 * V[1] + 1.0, 9.0 * V[0] + 5.0]


def test_context_managers_of_the_standard_library() -> None:
    @contextlib.contextmanager
    def scaled(v: Any) -> Any:
        yield v * 3.0

    def loss(v: Any) -> Any:
        with contextlib.nullcontext(v * 2.0) as twice, scaled(v) as thrice:
            return np.sum(twice) + np.sum(thrice)

    assert slopes(loss) == [5.0, 5.0]


class Model:
    def __init__(self, v: Any) -> None:
        self.v = v
        self.count = 0

    @functools.cached_property
    def total(self) -> Any:
        self.count += 1
        return np.sum(self.v**2)


def test_a_cached_property_is_computed_once_and_followed() -> None:
    def loss(v: Any) -> Any:
        model = Model(v)
        return model.total + 5.0 * model.total * model.count

    assert slopes(loss) == [12.0 * V[0], 12.0 * V[1]]


# code that cannot be followed


def test_what_it_leaves_as_it_was_stays_a_constant() -> None:
    def loss(v: Any) -> Any:
        numbers, counts = np.array([np.nan, 2.0]), np.arange(2)
        things, pairs = np.array([None, 3.0], object), np.ones(2, [("a", float), ("b", int)])
        SPACE["ignored"](v, numbers, things, counts, pairs)
        return np.sum(v * numbers[1]) * counts[1] * things[1] * pairs["a"][0]

    assert slopes(loss) == [6.0, 6.0]


def test_what_it_leaves_as_it_was_stays_known() -> None:
    def loss(v: Any) -> Any:
        y = v * 3.0
        y[1] = np.nan
        SPACE["ignored"](y)
        return y[0] * v[1]

    assert slopes(loss) == [3.0 * V[1], 3.0 * V[0]]


@pytest.mark.parametrize(
    ("array", "new"),
    [
        (np.zeros(2), 1.0),
        (np.zeros(2, complex), 1.0),
        (np.array([None, 2.0], object), 1.0),
        (np.zeros(2, [("a", float)]), 1.0),
    ],
)
def test_what_it_writes_is_lost(array: Any, new: float) -> None:
    def loss(v: Any) -> Any:
        mine = array.copy()
        SPACE["changed"](v, mine, new)
        return np.sum(v) * np.real((mine["a"] if mine.dtype.names else mine)[0])

    with pytest.raises(NotTraceable, match="changed: its source cannot be found"):
        traced(loss)


def test_whole_numbers_that_it_writes_are_constants() -> None:
    def loss(v: Any) -> Any:
        counts = np.zeros(2, int)
        SPACE["changed"](v, counts, 3)
        return np.sum(v) * counts[0]

    assert slopes(loss) == [3.0, 3.0]


def test_what_it_makes_of_constants_is_a_constant() -> None:
    def loss(v: Any) -> Any:
        numbers = np.zeros(2)
        SPACE["changed"](2.0, numbers, 7.0)
        return np.sum(v) * numbers[0]

    assert slopes(loss) == [7.0, 7.0]


def writing(v: Any) -> Any:
    def first(out: Any) -> None:
        out[0] = v[0] * 3.0

    return first


def test_what_a_callback_has_written_may_have_been_read() -> None:
    def added_to(v: Any) -> Any:
        out = np.zeros(2)
        SPACE["filled"](writing(v), out)
        return np.sum(out)

    def read(v: Any) -> Any:
        return v[1] * SPACE["read"](writing(v), np.zeros(2))

    for loss in (added_to, read):
        with pytest.raises(NotTraceable, match="its source cannot be found"):
            traced(loss)


def test_what_is_handed_to_a_callback_by_name_or_in_a_list_is_seen() -> None:
    def loss(v: Any) -> Any:
        (found,) = SPACE["called"](lambda x: [[[[[x * 3.0]]]]], v)
        return found[0][0][0][0][0][0] * 2.0

    assert slopes(loss) == [6.0, 0.0]


def recorder_with(array: Any) -> Any:
    import torch

    recorder = Recorder(torch)
    leaf = torch.from_numpy(array.copy()).requires_grad_(True)
    recorder.track(array, Shadow(leaf, ("parameter", "v")))
    return recorder


@pytest.mark.parametrize("depth", [0, 1, 5, 9])
def test_a_traced_value_is_found_at_any_depth(depth: int) -> None:
    v, result = V.copy(), np.ones(2)
    recorder, inside = recorder_with(v), v
    for number in range(depth):
        inside = {"a": inside} if number % 2 else [inside]
    call_opaque(recorder, lambda inside: result, (inside,), {})
    assert recorder.shadow(result).lost is not None


# containers


def test_all_that_containers_hold_is_among_their_contents() -> None:
    ring: list[Any] = [1.5]
    ring.append(ring)
    tree = {"a": [2.5, (3.5, {4.5})], "b": {"c": frozenset({5.5})}, "d": "text"}
    found = list(contents([ring, tree, 6.5]))
    assert sorted(one for one in found if isinstance(one, float)) == [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert sum(one is ring for one in found) == 1
    assert "text" in found
    assert "t" not in found
    assert "a" not in found


def test_what_is_known_is_left_out_with_all_that_it_holds() -> None:
    inner = [1.5]
    found = list(contents([inner, (2.5, inner)], frozenset({id(inner)})))
    assert found[-1] == 2.5
    assert 1.5 not in found
