"""Trees of arrays: every leaf is found, in order, with a path that Python can evaluate."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest

from gradcheck.calling.tree import leaves, map_leaves


@dataclasses.dataclass
class Layer:
    W: Any
    b: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    layer: Layer
    extra: dict[str, Any]


Pair = namedtuple("Pair", "first second")


TREES = [
    np.zeros(3),
    2.5,
    None,
    {"b": 1.0, "a": 2.0},
    {"W": np.ones(2), 0: np.zeros(1), "nested": {"x": [1.0, (2.0, 3.0)]}},
    [1.0, [2.0, {"k": 3.0}]],
    OrderedDict([("z", 1.0), ("y", None)]),
    Pair(1.0, {"a": 2.0}),
    Layer(np.ones(2), np.zeros(2)),
    Frozen(Layer(1.0, 2.0), {"c": (3.0,)}),
    {"layers": [Layer(1.0, 2.0), Layer(3.0, None)]},
]


@pytest.mark.parametrize("tree", TREES, ids=str)
def test_a_path_is_python_that_reaches_its_leaf(tree):
    for leaf in leaves(tree, "root"):
        assert eval(leaf.path, {"root": tree}) is leaf.value


def test_leaves_come_in_the_order_of_their_containers():
    assert [leaf.value for leaf in leaves({"b": 1, "a": 2, "c": [3, 4]}, "p")] == [1, 2, 3, 4]


def test_a_forgotten_gradient_is_a_leaf():
    found = leaves({"W": None, "b": 1.0}, "grads")
    assert [leaf.path for leaf in found] == ["grads['W']", "grads['b']"]


def test_an_empty_container_has_no_leaves():
    assert leaves({"a": {}, "b": []}, "p") == []


@pytest.mark.parametrize("tree", TREES, ids=str)
def test_mapping_keeps_the_structure(tree):
    mapped = map_leaves(lambda value: (value,), tree)
    assert len(leaves(mapped, "p")) == len(leaves(tree, "p"))
    assert type(mapped) is type(tree) or not leaves(tree, "p")[0].keys
    assert [leaf.keys for leaf in leaves(mapped, "p")] != []


def test_mapping_makes_new_containers_around_the_same_arrays():
    array = np.ones(2)
    tree = {"W": array, "inner": [array]}
    mapped = map_leaves(lambda value: value, tree)
    assert mapped is not tree
    assert mapped["inner"] is not tree["inner"]
    assert mapped["W"] is array


def test_a_frozen_dataclass_can_be_mapped():
    mapped = map_leaves(lambda value: value * 10, Frozen(Layer(1.0, 2.0), {"c": 3.0}))
    assert mapped == Frozen(Layer(10.0, 20.0), {"c": 30.0})
