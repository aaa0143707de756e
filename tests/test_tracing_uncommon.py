"""Less common NumPy and Python that a loss may be written in: followed, or refused by name."""

import copy
import dataclasses
import functools
import operator

import numpy as np
import pytest
from traced_derivatives import derivative_errors, in_place

from gradcheck.tracing import NotTraceable, trace

A = np.array([[0.3, -1.2, 0.7, 2.1], [1.5, 0.4, -0.6, 0.9], [-0.8, 1.1, 0.2, -1.7]])
V = np.array([0.7, -1.4, 0.25, 1.8])


@dataclasses.dataclass
class Standardised:
    values: np.ndarray

    def __post_init__(self):
        self.values = self.values / np.sum(self.values**2)


class Remembered:
    def __init__(self, values):
        self.values = values

    @functools.cached_property
    def norm(self):
        return np.sqrt(np.sum(self.values**2))


class Pair(tuple):
    def __new__(cls, values):
        return super().__new__(cls, (np.exp(values), values**2))


class Countdown:
    """An iterator: what it hands out is computed in ``__next__``."""

    def __init__(self, values):
        self.values, self.place = values, len(values)

    def __iter__(self):
        return self

    def __next__(self):
        self.place -= 1
        if self.place < 0:
            raise StopIteration
        return self.values[self.place] ** 2


class Squares:
    """A sequence by numbers alone, without ``__iter__``."""

    def __init__(self, values):
        self.values = values

    def __getitem__(self, index):
        if index >= len(self.values):
            raise IndexError(index)
        return self.values[index] ** 2


class Ring:
    """Indexes, iterates, adds and changes in place as a user's own class may."""

    def __init__(self, values):
        self.values = values

    def __getitem__(self, index):
        return self.values[index % len(self.values)]

    def __setitem__(self, index, value):
        self.values[index % len(self.values)] = value

    def __iter__(self):
        return iter([value * 2 for value in self.values])

    def __neg__(self):
        return Ring(-self.values)

    def __add__(self, other):
        return NotImplemented

    def __radd__(self, other):
        return other + np.sum(self.values)

    def __iadd__(self, other):
        return Ring(self.values + other)

    def __mul__(self, other):
        return Ring(self.values * other)

    def __enter__(self):
        self.values = self.values**2
        return self

    def __exit__(self, *details):
        self.values = self.values + 1


def ring(v):
    one = Ring(v.copy())
    one[5] = one[0] * one[6]
    one += v
    one *= 3.0
    twice = sum(list(one)) + v[0]
    return twice, v[1] + one, (-one)[-1]


def iterated(v):
    found = [x * 2 for x in Countdown(v)] + list(Squares(v)) + [*Countdown(v)]
    for k, x in enumerate(Countdown(v)):
        found.append(k * x)
    first, *others = Squares(v)
    pairs = [x * y for x, y in zip(Ring(v), Countdown(v), strict=True)]
    return found, first, others, pairs, next(Countdown(v)), sum(Ring(v)), max(Squares(v))


def managed(v):
    with Ring(v.copy()) as inner:
        inside = np.prod(inner.values[:2])
    return inside, inner.values


def deep(v):
    tree = {"a": [v * 2, (v**2, 3)], "ring": Ring(np.sin(v))}
    other = copy.deepcopy(tree)
    tree["a"][0][:] = 0.0
    return other["a"][0], other["a"][1][0], other["ring"].values, tree["a"][0]


def unpacked(v):
    first, (second, *others), last = [v[0] ** 2, v[1:] * v[:-1], np.exp(v[3])]
    return first * second, others, last


def partitioned(a):
    a.partition(1, axis=0)
    return a * np.arange(1.0, 5.0)


def through_flat(a):
    a.flat[1:3] = a.flat[4:6] * 2
    return a.flat[2] * a.flat[7]


def masked(a, v):
    np.putmask(a, a < 0, a**2)
    np.putmask(a, a > 1.4, np.array([0.5]))
    np.place(a, a > 1.0, v[0])
    np.copyto(a, v, where=a < 0.35)
    np.copyto(a, 0.25, where=np.eye(3, 4, dtype=bool))


def two_lambdas(v):
    one, two = [lambda x: x**2 * v[0], lambda x: x * 3]  # both on one line
    return one(v), two(v), (lambda x: x + v[1])(v)


FOLLOWED = {
    "lambdas on one line": (two_lambdas, V),
    "put into a vector": (in_place(lambda v, a: np.put(v, [0, 2], a[0, :2] * 3)), V, A),
    "nested lists": (lambda a: np.array(a.tolist())[1] * np.array(a[0].tolist()[2]), A),
    "putmask, place and copyto with a mask": (in_place(masked), A, V),
    "put with fewer values": (in_place(lambda a, v: np.put(a, [1, 5, 7, 9], v[:2] ** 2)), A, V),
    "partition": (in_place(partitioned), A),
    "flat": (in_place(through_flat), A),
    "fill_diagonal": (in_place(lambda a, v: np.fill_diagonal(a, v[0] ** 2)), A, V),
    "parts of a real array": (lambda a: (a.real * a, a.imag + a, a[0, 0].real), A),
    "getattr": (lambda a: getattr(a, "T") * getattr(a, "no such", 2.0), A),  # noqa: B009
    "sum from a start": (lambda v: (sum(v, start=v[0] ** 2), sum([v, v**2], 1.0)), V),
    "sum of constants": (lambda v: v * sum([1.0, 2.0]), V),
    "apply_along_axis to numbers": (lambda a: np.apply_along_axis(np.prod, 0, a), A),
    "apply_along_axis to vectors": (
        lambda a: np.apply_along_axis(lambda row, p: row[:2] ** p, 1, a, 3),
        A,
    ),
    "apply_along_axis to matrices": (
        lambda a: np.apply_along_axis(lambda column: np.outer(column, column), 0, a),
        A,
    ),
    "vectorize": (lambda a, v: np.vectorize(lambda x, y: x * y**2 if x > 0 else y)(a, v), A, V),
    "ndenumerate": (lambda a: [x * (i + 2 * j) for (i, j), x in np.ndenumerate(a)], A),
    "ndenumerate of constants": (lambda v: [v * x for _, x in np.ndenumerate(np.ones(2))], V),
    "fromiter": (lambda v: np.fromiter((x**2 for x in v), float), V),
    "itemgetter": (
        lambda v: (operator.itemgetter(1)(v) ** 2, operator.itemgetter(0, 2)(v)),
        V,
    ),
    "partial": (lambda v: functools.partial(np.multiply, v)(v), V),
    "functions of operator": (
        lambda v: (
            operator.neg(v),
            operator.iadd(v.copy(), v**2),
            functools.reduce(operator.mul, v),
        ),
        V,
    ),
    "methods of operators": (lambda v: v.__mul__(v) + v.__sub__(1.0) + v[0].__pow__(3), V),
    "a dataclass with __post_init__": (lambda v: Standardised(v).values, V),
    "a cached property": (lambda v: (lambda r: r.norm * r.norm)(Remembered(v)), V),
    "a class with __new__": (lambda v: list(Pair(v)), V),
    "a class's own operators": (ring, V),
    "a class's own iteration": (iterated, V),
    "a class as context manager": (managed, V),
    "a deep copy": (deep, V),
    "unpacking": (unpacked, V),
    "max and min of several": (lambda v: max(v[0], v[1]) * min(v) + max(v, key=abs), V),
    "map and filter": (lambda v: [*map(lambda x, y: x * y, v, v), *filter(lambda x: x > 0, v)], V),
    "sorted and reversed": (lambda v: [x * k for k, x in enumerate(sorted(v, key=abs))], V),
    "a list's own methods": (lambda v: (lambda o: (o.extend(v * v), o)[1])([]), V),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_uncommon_code_is_followed(name):
    function, *arrays = FOLLOWED[name]
    assert derivative_errors(function, [array.copy() for array in arrays]) < 1e-8


def repeated_mask(v):
    np.putmask(v, v > 0, v[:2])
    return v


def repeated_place(v):
    np.place(v, v > 0, v[:2])
    return v


def wrapped_diagonal(v):
    box = np.zeros((5, 2))
    np.fill_diagonal(box, v[0], wrap=True)
    return box


def counted(v):
    found = np.zeros(4)
    np.random.default_rng(0).standard_normal(out=found)
    np.nan_to_num(v.astype(object).astype(float), copy=False)
    return v.astype(object).astype(float)


REFUSED = {
    "putmask": repeated_mask,
    "place": repeated_place,
    "fill_diagonal": wrapped_diagonal,
    "byteswap": lambda v: v.byteswap().byteswap(),
    "signature=": lambda v: np.vectorize(np.sum, signature="(n)->()")(v),
    "__rsub__": lambda v: v.__rsub__(1.0),
    "object": counted,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_covered_is_refused_by_name(name):
    v = V.copy()
    with pytest.raises(NotTraceable) as caught:
        trace(lambda v: np.sum(REFUSED[name](v.copy())), (v,), {}, {"v": v})
    assert name in str(caught.value)


def test_a_write_of_constants_cuts_the_path():
    def loss(v):
        w = v * 2
        np.fill_diagonal(box := np.outer(v, v), 1.0)
        np.put(w, [0], 5.0)
        np.putmask(w, [False, True, False, False], 1.0)
        return np.sum(w) + 0.5 * np.sum(box)

    expected = 2.0 * np.array([0, 0, 1, 1]) + V.sum() - V
    v = V.copy()
    gradient = trace(loss, (v,), {}, {"v": v}).backward()["v"]
    np.testing.assert_allclose(gradient, expected, rtol=1e-14)


def test_a_function_made_under_a_trace_writes_into_parts_after_it():
    made = []

    def loss(v):
        def bump(a):
            a[0] += 1.0
            a[1:] *= a[0]
            a[[0, 1]] -= 0.5
            return -a

        made.append(bump)
        return np.sum(bump(v * 1.0))

    v = V.copy()
    np.testing.assert_allclose(
        trace(loss, (v,), {}, {"v": v}).backward()["v"],
        [-1 - V[1:].sum(), *[-(V[0] + 1)] * 3],
        rtol=1e-14,
    )
    assert made[0](np.ones(3)).tolist() == [-1.5, -1.5, -2.0]
