"""What a block of memory holds: which part a view shows, and what is forgotten where it is written.

Places are counted in elements from the first one of the block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from gradcheck.tracing import NotTraceable
from gradcheck.tracing.memory import Memory, Positions, Shadow, holds, owner_of

torch = pytest.importorskip("torch")

BLOCK = np.arange(12.0).reshape(3, 4)
LOST = NotTraceable("unknown", None, "its derivative is not known")


def test_the_owner_is_at_the_end_of_all_views() -> None:
    assert owner_of(BLOCK[1:].T[0]) is owner_of(BLOCK)
    own = np.ones(3)
    for view in (own, own[1:], own[1:][:1], as_strided(own, (2,), (8,)), own.view(int)[::-1]):
        assert owner_of(view) is own
    assert owner_of(as_strided(own, (2, 2), (8, 8))[0][1:]) is own
    bytes_of_its_own = np.frombuffer(bytearray(16))
    assert owner_of(bytes_of_its_own[1:]) is bytes_of_its_own


@pytest.mark.parametrize(
    ("array", "content", "same"),
    [
        ([1.0, 2.0], [1.0, 2.0], True),
        ([1.0, 2.0], [1.0, 3.0], False),
        ([1.0, np.nan], [1.0, np.nan], True),
        ([1.0, np.nan], [2.0, np.nan], False),
        ([1.0, np.nan], [1.0, 0.0], False),
        ([1.0, 0.0], [1.0, np.nan], False),
    ],
)
def test_what_is_no_number_equals_itself(array: Any, content: Any, same: bool) -> None:
    assert holds(np.array(array), np.array(content)) is same


def test_places_are_counted_as_far_as_needed() -> None:
    positions = Positions()
    for size in (3, 2000, 5, 0, 2001, 2000):
        assert positions.counting(size).tolist() == list(range(size))
    assert positions.of((7, (2, 3), (-4, 2)), 2000).tolist() == [[7, 9, 11], [3, 5, 7]]
    assert positions.of((5, (), ()), 12) == 5


@pytest.mark.parametrize(
    ("owner", "span", "start"),
    [
        (np.zeros((3, 4)), 12, 0),
        (np.zeros((3, 4), order="F"), 12, 0),
        (np.zeros(()), 1, 0),
        (np.zeros((1, 1)), 1, 0),
        (np.zeros((3, 4), np.float32), 12, 0),
        (np.zeros((4, 5))[1:3, ::2], 10, 0),
        (np.zeros(6)[::-1], 6, -40),
        (np.zeros((2, 6))[:, ::-5], 12, -40),
    ],
)
def test_a_block_reaches_from_its_lowest_to_its_highest_element(
    owner: Any, span: int, start: int
) -> None:
    memory = Memory(owner)
    assert memory.span == span
    assert memory.address == owner.__array_interface__["data"][0] + start


@pytest.mark.parametrize(
    ("view", "key"),
    [
        (BLOCK, (0, (3, 4), (4, 1))),
        (BLOCK[1:, 2], (6, (2,), (4,))),
        (BLOCK[::-1, ::-2], (11, (3, 2), (-4, -2))),
        (BLOCK[2, 3:].reshape(()), (11, (), ())),
        (BLOCK.view(complex), None),
        (BLOCK.view(np.int64), None),
        (BLOCK.view(np.complex64), None),
        (BLOCK.reshape(-1).view(np.uint8)[4:-4].view(float), None),
        (as_strided(BLOCK, (2, 3), (12, 8)), None),
    ],
)
def test_a_view_is_known_by_offset_shape_and_strides(view: Any, key: Any) -> None:
    assert Memory(owner_of(BLOCK)).key(view) == key


@pytest.mark.parametrize(
    ("key", "bounds", "covers"),
    [
        ((0, (2, 2, 3), (0, 1, 5)), (0, 11), False),
        ((0, (2, 2, 3), (3, 4, 2)), (0, 11), False),
        ((0, (3, 10), (1, 1)), (0, 11), False),
        ((0, (2, 12), (0, 1)), (0, 11), False),
        ((11, (3, 2, 2), (-4, -1, -2)), (0, 11), True),
        ((0, (3, 4), (4, 1)), (0, 11), True),
        ((0, (4, 3), (1, 4)), (0, 11), True),
        ((11, (12,), (-1,)), (0, 11), True),
        ((8, (3, 4), (-4, 1)), (0, 11), True),
        ((0, (1, 12), (0, 1)), (0, 11), True),
        ((0, (2, 6), (6, 1)), (0, 11), True),
        ((0, (11,), (1,)), (0, 10), False),
        ((0, (2,), (11,)), (0, 11), False),
        ((0, (6, 2), (0, 11)), (0, 11), False),
        ((5, (12,), (0,)), (5, 5), False),
        ((5, (), ()), (5, 5), False),
        ((7, (2, 3), (-4, 2)), (3, 11), False),
        ((0, (3, 4), (3, 1)), (0, 9), False),
    ],
)
def test_a_view_covers_a_block_if_it_shows_each_element_once(
    key: Any, bounds: tuple[int, int], covers: bool
) -> None:
    memory = Memory(np.zeros((3, 4)))
    assert memory._bounds(key) == bounds
    assert memory._covers(key) is covers


class Whole:
    """Puts writes together as they are, and counts how often."""

    def __init__(self) -> None:
        self.torch = torch
        self.positions = Positions()
        self.count = 0

    def assemble(self, pieces: list[Shadow], build: Any) -> Shadow:
        self.count += 1
        return Shadow(build([piece.tensor for piece in pieces]), ("operation", self.count))


def shadow(values: Any, number: int = 0) -> Shadow:
    return Shadow(torch.tensor(values, dtype=torch.float64), ("operation", number))


def held(array: Any, memory: Memory, assembler: Whole, view: Any) -> Any:
    return memory.read(array, view, assembler).tensor.tolist()


def test_elements_and_views_are_kept_until_something_over_them_is_written() -> None:
    memory, positions = Memory(np.zeros(6)), Positions()
    first, last, pair = shadow(1.0), shadow(2.0), shadow([3.0, 4.0])
    memory.remember((0, (), ()), first)
    memory.remember((5, (), ()), last)
    memory.remember((2, (2,), (1,)), pair)
    assert set(memory.elements) == {0, 5}
    assert set(memory.views) == {(2, (2,), (1,))}
    memory.write((1, (), ()), shadow(5.0), positions)
    assert memory.known((2, (2,), (1,))) is pair
    memory.remember((4, (), ()), shadow(5.0))
    memory.write((1, (2,), (3,)), shadow([6.0, 7.0]), positions)
    assert memory.known((4, (), ())) is None
    assert memory.known((2, (2,), (1,))) is None
    assert memory.known((1, (), ())) is None
    assert memory.known((0, (), ())) is first
    assert memory.known((5, (), ())) is last
    memory.scatter(np.array([0, 4]), shadow([8.0, 9.0]))
    assert memory.known((0, (), ())) is None
    assert memory.known((1, (2,), (3,))) is None
    assert memory.known((5, (), ())) is last
    memory.write((0, (6,), (1,)), shadow([0.0] * 6), positions)
    assert not memory.elements
    assert set(memory.views) == {(0, (6,), (1,))}


@pytest.mark.parametrize(
    ("written", "kept"),
    [((1, (2,), (1,)), True), ((2, (2,), (1,)), False), ((4, (2,), (1,)), False),
     ((5, (1,), (1,)), True), ((3, (), ()), False), ((1, (), ()), True), ((5, (), ()), True)],
)  # fmt: skip
def test_a_view_is_forgotten_where_a_write_reaches_it(written: Any, kept: bool) -> None:
    memory = Memory(np.zeros(6))
    memory.remember((3, (2,), (1,)), shadow([1.0, 2.0]))
    memory.write(written, shadow(np.zeros(written[1]).tolist()), Positions())
    assert ((3, (2,), (1,)) in memory.views) is kept


@pytest.mark.parametrize(("size", "element"), [(1, False), (2, True)])
def test_a_number_that_is_the_whole_block_is_a_view_of_it(size: int, element: bool) -> None:
    memory = Memory(np.zeros(size))
    memory.remember((0, (), ()), shadow(1.0))
    assert (0 in memory.elements) is element
    assert bool(memory.views) is not element
    assert memory.known((0, (), ())) is not None


def test_what_was_written_over_the_whole_is_where_the_rest_is_cut_from() -> None:
    array, assembler = np.arange(6.0).reshape(2, 3), Whole()
    memory = Memory(array)
    memory.write((5, (3, 2), (-1, -3)), shadow([[1, 2], [3, 4], [5, 6]], 7), assembler.positions)
    assert held(array, memory, assembler, array) == [[6.0, 4.0, 2.0], [5.0, 3.0, 1.0]]
    assert memory.read(array, array[1], assembler).origin == ("operation", 7)
    assert assembler.count == 0
    memory.write((1, (2,), (3,)), shadow([8.0, 9.0]), assembler.positions)
    assert held(array, memory, assembler, array) == [[6.0, 8.0, 2.0], [5.0, 9.0, 1.0]]
    assert held(array, memory, assembler, array[:, 1]) == [8.0, 9.0]
    assert assembler.count == 1


def test_of_what_was_written_over_the_whole_the_rest_is_kept_without_a_reader() -> None:
    array, assembler = np.zeros(3), Whole()
    memory = Memory(array)
    memory.write((0, (3,), (1,)), shadow([1.0, 2.0, 3.0]), assembler.positions)
    memory.write((1, (), ()), shadow(5.0), assembler.positions)
    assert held(array, memory, assembler, array) == [1.0, 5.0, 3.0]


def test_of_several_writes_to_a_place_the_last_one_counts() -> None:
    array, assembler = np.arange(5.0), Whole()
    memory, first = Memory(array), shadow([10.0, 11.0, 12.0])
    first.tensor.requires_grad_(True)
    memory.write((0, (3,), (1,)), first, assembler.positions)
    memory.write((1, (), ()), shadow(20.0), assembler.positions)
    memory.scatter(np.array([[4, 2]]), shadow([[30.0, 31.0]]))
    assert held(array, memory, assembler, array) == [10.0, 20.0, 31.0, 3.0, 30.0]
    assert (assembler.count, memory.pending) == (1, [])
    memory.read(array, array, assembler).tensor.sum().backward()
    assert first.tensor.grad.tolist() == [1.0, 0.0, 0.0]
    memory.write((3, (), ()), shadow(40.0), assembler.positions)
    assert held(array, memory, assembler, array[::-1]) == [30.0, 40.0, 31.0, 20.0, 10.0]


def test_what_is_lost_stays_so_until_all_is_written() -> None:
    array, assembler = np.arange(4.0), Whole()
    memory, lost = Memory(array), Shadow(None, ("constant", ""), LOST)

    def is_lost(view: Any) -> bool:
        return memory.read(array, view, assembler).lost is LOST

    memory.write((0, (4,), (1,)), lost, assembler.positions)
    memory.write((1, (2,), (1,)), shadow([1.0, 2.0]), assembler.positions)
    assert is_lost(array)
    assert not is_lost(array[1:3])
    memory.write((0, (4,), (1,)), shadow([1.0, 2.0, 3.0, 4.0]), assembler.positions)
    assert not is_lost(array)
    memory.write((2, (2,), (1,)), lost, assembler.positions)
    assert is_lost(array[1:])
    memory.write((3, (4,), (-1,)), shadow([1.0, 2.0, 3.0, 4.0]), assembler.positions)
    assert held(array, memory, assembler, array) == [4.0, 3.0, 2.0, 1.0]
    memory.scatter(np.array([1, 3]), lost)
    assert is_lost(array)
    assert memory.pending == []


def test_as_another_dtype_it_cannot_be_read() -> None:
    array, assembler = np.arange(4.0), Whole()
    memory = Memory(array)
    found = memory.read(array, array.view(complex), assembler)
    assert found.tensor is None
    assert "as another dtype" in str(found.lost)


def test_an_owner_that_leaves_out_places_is_laid_out_with_them() -> None:
    array, assembler = np.arange(6.0)[::2], Whole()
    memory = Memory(array)
    assert memory.span == 5
    assert held(array, memory, assembler, array) == [0.0, 2.0, 4.0]
    memory.write((2, (), ()), shadow(7.0), assembler.positions)
    assert held(array, memory, assembler, array[::-1]) == [4.0, 7.0, 0.0]
