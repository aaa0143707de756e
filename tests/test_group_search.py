"""The search for wrong entries: what it finds, what it calls it, and what it costs."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from gradcheck.calling.quiet import quiet
from gradcheck.noise import Noise, loss_noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.sweep import wrong_blocks
from gradcheck.sweep.localize import Localisation, localise
from gradcheck.sweep.wrong_blocks import WrongBlock


def found_in(factors, *, seed=0, noise=None, **options) -> Localisation:
    """Search a sum of squares whose gradient is multiplied by ``factors``, by parameter."""
    draw = np.random.default_rng(7)
    inputs = {name: draw.uniform(0.5, 1.5, np.shape(one)) for name, one in factors.items()}

    def loss(**named):
        value = sum(0.5 * np.sum(x**2) for x in named.values())
        return value, {name: x * factors[name] for name, x in named.items()}

    problem = numpy_problem(loss, inputs, list(factors))
    generator = np.random.default_rng(seed)
    with quiet():
        noise = noise or loss_noise(problem, generator)
        return localise(problem, noise, generator, **options)


def ones(*shape, **wrong):
    factors = np.ones(shape)
    for place, factor in wrong.items():
        factors.reshape(-1)[int(place[1:])] = factor
    return factors


# What it costs


def test_two_directions_that_see_nothing_end_the_search():
    found = found_in({"x": np.ones(1000)})
    assert found.found_nothing
    assert (found.complete, found.agreed) == (True, True)
    one = found.evaluations - 4  # the second direction takes four
    assert 4 <= one <= 2 * (2 + 6)


@pytest.mark.parametrize("position", [0, 1, 511, 512, 1023])
def test_a_wrong_entry_takes_four_evaluations_a_halving(position):
    right = found_in({"x": np.ones(1024)}).evaluations
    factors = np.ones(1024)
    factors[position] = 1.5
    found = found_in({"x": factors})
    assert found.entries == (("x", position),)
    # ten halvings, the entry itself, and two directions more that see nothing
    assert found.evaluations <= right + 4 * (10 + 1 + 1) + 4


@pytest.mark.parametrize("limit", [0, 3, 17, 20, 21, 40])
def test_no_more_is_evaluated_than_allowed(limit):
    factors = np.ones(1024)
    factors[77] = 1.5
    found = found_in({"x": factors}, max_evaluations=limit)
    assert found.evaluations <= limit
    assert not found.complete
    assert not found.agreed
    enough = found_in({"x": factors}, max_evaluations=100)
    assert enough.complete
    assert enough.agreed


# Parameters


@pytest.mark.parametrize("wrong", list(itertools.product([False, True], repeat=5))[1:])
def test_each_wrong_parameter_among_five_is_found(wrong):
    names = "abcde"
    factors = {name: ones(3, 2) for name in names}
    expected = []
    for name, bad in zip(names, wrong, strict=True):
        if bad:
            factors[name][1, 1] = 1.25
            expected.append((name, 3))
    found = found_in(factors)
    assert found.entries == tuple(expected)
    assert found.blocks == ()
    assert found.unresolved == ()
    assert found.agreed


def test_scalars_wholly_wrong_are_whole_parameters_or_entries():
    found = found_in({"a": np.float64(1.5), "b": np.float64(1.0)})
    assert found.entries == (("a", 0),)


# Entries of boxes


@pytest.mark.parametrize("shape", [(7,), (33,), (4, 7), (2, 3, 3), (1, 6), (6, 1)])
def test_every_single_entry_is_found_where_it_is(shape):
    for position in range(math.prod(shape)):
        factors = np.ones(shape)
        factors.reshape(-1)[position] = 0.5
        found = found_in({"x": factors})
        assert found.entries == (("x", position),)
        assert found.blocks == ()
        assert found.agreed


@pytest.mark.parametrize("size", [2, 5, 6, 7, 40, 64])
def test_pairs_of_neighbours_are_entries(size):
    for position in range(0, size - 1, max(1, size // 6)):
        factors = np.ones(size)
        factors[position : position + 2] = 1.5
        found = found_in({"x": factors})
        assert {flat for _, flat in found.entries} == {position, position + 1}
        assert {one.kind for one in found.blocks} <= ({"parameter"} if size == 2 else set())


@pytest.mark.parametrize("n", [1, 2, 6])
def test_a_small_parameter_wrong_in_all_its_entries_is_said_to_be_so_entry_by_entry(n):
    found = found_in({"x": np.full(n, 1.5), "y": np.ones(9)})
    assert found.entries == tuple(("x", k) for k in range(n))
    whole = WrongBlock("x", "parameter", ((0, n),), n, n)
    assert found.blocks == ((whole,) if n > 1 else ())


@pytest.mark.parametrize("wrong", list(itertools.product([False, True], repeat=5))[1:])
def test_any_of_five_entries_are_found_whatever_the_others_are(wrong):
    found = found_in({"x": np.where(wrong, 1.5, 1.0)})
    assert [flat for _, flat in found.entries] == np.flatnonzero(wrong).tolist()
    assert bool(found.blocks) is (sum(wrong) == 5)
    assert found.unresolved == ()
    assert (found.agreed, found.found_nothing) == (True, False)


@pytest.mark.parametrize("n", [7, 40, 64, 65])
def test_a_parameter_of_more_than_six_wholly_wrong_is_a_block_of_six_probes(n):
    found = found_in({"x": np.full(n, 1.5)})
    assert found.blocks == (WrongBlock("x", "parameter", ((0, n),), 6, 6),)
    assert len(found.entries) == 6


def test_of_a_large_parameter_wholly_wrong_six_entries_are_looked_at():
    found = found_in({"x": np.full((30, 40), 1.5)})
    assert [(one.kind, one.probed, one.wrong) for one in found.blocks] == [("parameter", 6, 6)]
    assert found.blocks[0].size == 1200
    assert len(found.entries) == 6
    assert found.evaluations <= 16 + 4 * (3 * 8 + 6 + 2)


@pytest.mark.parametrize("size", [60, 600])
def test_every_third_entry_wrong_is_a_block_of_many_or_entries_of_few(size):
    factors = np.ones(size)
    factors[::3] = 1.5
    found = found_in({"x": factors})
    flat = {k for _, k in found.entries}
    assert flat <= set(range(0, size, 3))
    if size <= 64:
        assert flat == set(range(0, size, 3))
        assert found.blocks == ()
    else:
        assert found.blocks
        assert all(one.wrong >= 0.3 * one.probed for one in found.blocks)


def test_three_hundred_wrong_entries_are_enough():
    factors = np.ones(12_000)
    factors[np.random.default_rng(1).choice(12_000, 320, replace=False)] = 1.5
    found = found_in({"x": factors})
    assert len(found.entries) == 300
    assert not found.complete
    assert not found.agreed
    assert all(factors[k] == 1.5 for _, k in found.entries)


# Errors that only show in sum


def thin(parameters, error, level):
    """Every entry wrong by so little that only many of them together show it."""
    noise = Noise(level, 0.5 * 256 * parameters, np.dtype(float), 1.0)
    return found_in({f"p{k}": np.full(256, 1.0 + error) for k in range(parameters)}, noise=noise)


def test_what_no_half_shows_is_unresolved_and_left_out_of_the_next_direction():
    found = thin(1, 1e-7, 1e-12)
    assert found.unresolved == (WrongBlock("p0", "parameter", ((0, 256),), 0, 0),)
    assert (found.entries, found.blocks) == ((), ())
    assert (found.complete, found.agreed, found.found_nothing) == (True, True, False)


def test_eight_such_boxes_are_enough():
    found = thin(3, 1e-8, 1e-12)
    assert len(found.unresolved) == 8
    assert (found.entries, found.blocks) == ((), ())
    assert (found.complete, found.agreed, found.found_nothing) == (False, False, False)
    boxes = {(one.parameter, one.box) for one in found.unresolved}
    assert len(boxes) == 8


# Names


def test_a_box_is_named_by_the_axes_along_which_it_is_not_the_whole():
    found = {}
    for where in ("row", "rows", "column", "columns"):
        factors = np.ones((40, 50))
        place = {
            "row": np.s_[3],
            "rows": np.s_[3:9],
            "column": np.s_[:, 3],
            "columns": np.s_[:, 3:9],
        }[where]
        factors[place] = 1.5
        (block,) = found_in({"W": factors}).blocks
        found[where] = (block.kind, block.box)
    assert found == {
        "row": ("row", ((3, 4), (0, 50))),
        "rows": ("rows", ((3, 9), (0, 50))),
        "column": ("column", ((0, 40), (3, 4))),
        "columns": ("columns", ((0, 40), (3, 9))),
    }


def merged(shape, *boxes, names="W"):
    parameters = [
        SimpleNamespace(name=name, value=np.zeros(shape)) for name in dict.fromkeys(names)
    ]
    problem = SimpleNamespace(parameters=parameters)
    names = names * len(boxes) if len(names) == 1 else names
    blocks = [
        WrongBlock(name, "block", box, k + 1, k)
        for k, (name, box) in enumerate(zip(names, boxes, strict=True))
    ]
    return [
        (one.parameter, one.kind, one.box, one.probed, one.wrong)
        for one in wrong_blocks.merged(blocks, problem)
    ]


def test_boxes_that_touch_and_are_alike_otherwise_are_put_together():
    assert merged((9, 4), ((0, 3), (0, 4)), ((3, 5), (0, 4))) == [
        ("W", "rows", ((0, 5), (0, 4)), 3, 1)
    ]
    assert merged((9, 4), ((5, 9), (0, 4)), ((0, 3), (0, 4)), ((3, 5), (0, 4))) == [
        ("W", "parameter", ((0, 9), (0, 4)), 6, 3)
    ]
    assert merged((9, 4), ((0, 9), (2, 4)), ((0, 9), (1, 2))) == [
        ("W", "columns", ((0, 9), (1, 4)), 3, 1)
    ]
    quarters = [((0, 2), (0, 2)), ((0, 2), (2, 4)), ((2, 9), (0, 2)), ((2, 9), (2, 4))]
    assert merged((9, 4), *quarters) == [("W", "parameter", ((0, 9), (0, 4)), 10, 6)]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (((0, 3), (0, 4)), ((4, 5), (0, 4))),  # a row between them
        (((0, 3), (0, 4)), ((3, 5), (0, 3))),  # not alike along the columns
        (((0, 3), (0, 2)), ((3, 5), (2, 4))),  # corners alone touch
    ],
)
def test_other_boxes_stay_apart_in_the_order_of_their_places(one, two):
    expected = [("W", "block", one, 2, 1), ("W", "block", two, 1, 0)]
    assert merged((9, 4), two, one) == expected


def test_boxes_of_different_parameters_stay_apart_in_the_order_of_the_parameters():
    found = merged((9, 4), ((3, 5), (0, 4)), ((0, 3), (0, 4)), names="ba")
    assert [one[0] for one in found] == ["b", "a"]
