"""What Python's own containers and iterators hand out of a traced array: followed, or refused."""

import collections
import functools
import heapq
import itertools
import math
import operator
import statistics
import struct

import numpy as np
import pytest
from traced_derivatives import derivative_errors

from gradcheck.tracing import NotTraceable, trace

V = np.array([0.7, -1.4, 0.25, 1.8])
A = np.array([[0.3, -1.2, 0.7], [1.5, 0.4, -0.6]])


def windowed(v):
    last, found = collections.deque(maxlen=2), []
    for x in v:
        last.append(x**2)
        found.append(last[0] * last[-1])
    return found


def extended(v):
    queue = collections.deque(v[:1] * 3)
    queue.extend(v * 2)
    queue.extendleft(v[2:])
    queue.append(queue[0] * queue.popleft())
    return list(queue), sum({v[0]}.union(v[1:] ** 2))


def bound_twice(v):
    table, w = {}, np.zeros(3)
    first = second = v * 2
    second[0] = 1.0  # the same array
    table["x"] = w[1] = third = v[2] ** 2
    (fourth, fifth), sixth = seventh = [v[:2], v[3]]
    return first * v, table["x"] * w[1] * third, fourth * fifth * sixth, seventh[0]


def nested_targets(v):
    out = np.zeros(4)
    for (out[0], [out[1], *rest]), k in [((v[0] ** 2, [v[1], v[2], v[3]]), 3.0)]:
        out[2] = rest[0] * rest[1] * k
    for out[3] in v[:2]:
        out[2] += out[3] * v[3]
    return out


class Doubling(list):
    """Doubles what is asked for by number; a loop over it does not ask by number."""

    def __getitem__(self, k):
        return 2 * super().__getitem__(k)


def own_items(v):
    rows = Doubling([v[0], v[1] * v[2]])
    return sum(row**2 for row in rows) + rows[1]


class Holder:
    kept: float = 0.0


def annotated(v):
    w, holder = np.zeros(3), Holder()
    first: float = v[0] ** 2
    w[0]: float = first * v[1]
    holder.kept: float = w[0] * v[2]
    later: float
    later = holder.kept * 2
    return w, first, holder.kept * later


def grouped(v):
    return [sum(group) * key for key, group in itertools.groupby(v, key=lambda x: x > 0)]


def merged(v):
    # a function of the standard library that hands on what it is given
    return [k * x for k, x in enumerate(heapq.merge([v[1], v[2]], [v[0], v[3]]))]


class Power:
    """Can be called, and compares by value: such objects have no hash."""

    def __init__(self, exponent):
        self.exponent = exponent

    def __eq__(self, other):
        return isinstance(other, Power) and self.exponent == other.exponent

    def __call__(self, x):
        return x**self.exponent


class Weighted:
    def __init__(self, weight):
        self.weight = weight

    def __call__(self, first, second):
        return first * self.weight + second**2


FOLLOWED = {
    "an object without a hash": (lambda v: [*map(Power(3), v), Power(2)(v[0])], V),
    "running sums": (lambda v: list(itertools.accumulate(v)), V),
    "running sums from a start": (lambda v: [*itertools.accumulate(v, initial=v[3] ** 2)], V),
    "running products": (lambda v: list(itertools.accumulate(v, operator.mul)), V),
    "running extremes": (lambda v: [x**2 for x in itertools.accumulate(v, max)], V),
    "rows chained": (
        lambda a: [x * k for k, x in enumerate(itertools.chain.from_iterable(a))],
        A,
    ),
    "vectors chained": (lambda a, v: [x**2 for x in itertools.chain(v, a[0], [2.0])], A, V),
    "vectors chained from a generator": (
        lambda v: [x * x for x in itertools.chain.from_iterable(v * k for k in (1, 3))],
        V,
    ),
    "a deque": (lambda v: [x * k for k, x in enumerate(collections.deque(v))], V),
    "a deque of the last": (windowed, V),
    "a deque extended": (extended, V),
    "a frozen set": (lambda v: sum(x**2 for x in frozenset(v)), V),
    "a sum of a generator": (lambda v: math.fsum(x * x for x in v), V),
    "a product of a map": (lambda v: math.prod(map(np.sin, v), start=v[0]), V),
    "a mean of values": (
        lambda v: statistics.fmean({k: x**2 for k, x in enumerate(v)}.values()),
        V,
    ),
    "a mean of a set": (lambda v: statistics.mean({v[0] * v[1], v[2]}), V),
    "targets in a row": (bound_twice, V),
    "targets within targets": (nested_targets, V),
    "a list that is asked by number otherwise": (own_items, V),
    "annotated": (annotated, V),
    "groups": (grouped, V),
    "merged": (merged, V),
    "pairs": (lambda v: [a * b for a, b in itertools.combinations(v, 2)], V),
    "neighbours": (lambda v: [a * b for a, b in itertools.pairwise(v)], V),
    "the longest": (
        lambda v: [a * b for a, b in itertools.zip_longest(v, v[:2], fillvalue=v[0])],
        V,
    ),
    "a product of sets": (lambda v: [a * b for a, b in itertools.product(v, v[::-1])], V),
    "repeated": (lambda v: [x[0] * x[k] for k, x in enumerate(itertools.repeat(v, 3))], V),
    "round and round": (lambda v: list(itertools.islice(itertools.cycle(v), 2, 7)), V),
    "starred maps": (lambda v: list(itertools.starmap(lambda a, b: a**b, [(v[0], v[1])])), V),
    "extended": (lambda v: (lambda o: (o.extend(x**2 for x in v), o.insert(1, v[3]), o)[2])([]), V),
    "counted": (lambda v: [x * k for k, x in enumerate(v, 2)] + [next(iter(v))], V),
    "mapped by a type": (lambda v: [x**2 for x in map(float, v)], V),
    "mapped by two": (lambda v: [*map(np.hypot, v, v[::-1]), *map(pow, v, [2, 3, 2, 1])], V),
    "taken while": (
        lambda v: (
            [x**2 for x in itertools.takewhile(lambda x: x < 1, v)]
            + [x**3 for x in itertools.dropwhile(lambda x: x > 0, v)]
            + [x * 2 for x in itertools.filterfalse(lambda x: x > 0, v)]
        ),
        V,
    ),
    "reduced by an object": (lambda v: functools.reduce(Weighted(0.5), v, v[3]), V),
    "running, by an object": (
        lambda v: [
            *itertools.accumulate(v, Weighted(2.0)),
            *itertools.accumulate(v, func=Weighted(3.0), initial=1.0),
            *itertools.accumulate(v, None),
        ],
        V,
    ),
    "the largest by key": (lambda v: (max(v, key=abs), min(v[0], v[3], key=lambda x: -x)), V),
    "the first that fits": (lambda v: next((x**2 for x in v if x < 0), 0.0), V),
    "without anything": (
        lambda v: (max([], default=v[0] ** 2), next(iter([]), v[1]), sum([], v[2])),
        V,
    ),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_handed_out_is_followed(name):
    function, *arrays = FOLLOWED[name]
    assert derivative_errors(function, [array.copy() for array in arrays]) < 1e-8


REFUSED = {
    "memoryview": lambda v: memoryview(v)[0] * v[1],
    "iter_unpack": lambda v: sum(x * x for (x,) in struct.iter_unpack("d", v)),
    "unpack": lambda v: struct.unpack("4d", v)[2] * 2.0,
    "stdev": lambda v: statistics.stdev(v),
}


@pytest.mark.parametrize("name", REFUSED)
def test_numbers_made_anew_are_not_taken_for_constants(name):
    v = V.copy()
    with pytest.raises(NotTraceable, match=name):
        trace(REFUSED[name], (v,), {}, {"v": v})


def test_what_was_made_of_constants_is_constant():
    def loss(v):
        steps = list(itertools.accumulate([1.0, 2.0, 3.0]))
        weights = collections.deque(np.arange(4.0))
        return math.fsum(k for k in steps) * np.sum(v * list(weights)) + memoryview(b"\x02")[0]

    v = V.copy()
    found = trace(loss, (v,), {}, {"v": v})
    assert found.backward()["v"].tolist() == [0.0, 10.0, 20.0, 30.0]
