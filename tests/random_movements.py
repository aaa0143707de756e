"""Indexing, reshaping, joining, writing in place and loops of random programs."""

from __future__ import annotations

import numpy as np
import random_operations as computing
from random_programs import Builder, Operation, Share, Step


def _some(x: np.ndarray) -> bool:
    return x.ndim >= 1


def reshaped(b: Builder) -> Step | None:
    x = b.pick(_some)
    if x is None:
        return None
    size = int(np.prod(b.shape(x)))
    rows = b.choice([n for n in range(1, size + 1) if size % n == 0])
    y = b.fresh()
    form = b.choice(
        (
            f"{x}.reshape({rows}, -1)",
            f"np.reshape({x}, ({rows}, {size // rows}))",
            f"{x}.ravel()",
            f"{x}.flatten()",
            f"{x}.reshape(-1)",
        )
    )
    return Step(y, (f"{y} = {form}",), (Share(x, f"np.reshape({{g}}, {x}.shape)"),))


def turned(b: Builder) -> Step | None:
    """Axes put in another order, entries put in another place."""
    x = b.pick(_some)
    if x is None:
        return None
    count = len(b.shape(x))
    axis, k, y = b.draws.integer(0, count - 1), b.draws.integer(1, 2), b.fresh()
    order = [(i + k) % count for i in range(count)]
    back = [int(i) for i in np.argsort(order)]
    form, share = b.choice(
        (
            (f"{x}.T", "np.transpose({g})"),
            (f"np.transpose({x}, {order})", f"np.transpose({{g}}, {back})"),
            (f"np.moveaxis({x}, 0, -1)", "np.moveaxis({g}, -1, 0)"),
            (f"np.flip({x}, {axis})", f"np.flip({{g}}, {axis})"),
            (f"{x}[::-1]", "{g}[::-1]"),
            (f"np.roll({x}, {k}, axis={axis})", f"np.roll({{g}}, -{k}, axis={axis})"),
            (f"{x}[None]", "{g}[0]"),
            (f"np.expand_dims({x}, -1)", "{g}[..., 0]"),
        )
    )
    return Step(y, (f"{y} = {form}",), (Share(x, share),))


def _index(b: Builder, shape: tuple[int, ...]) -> str:
    """Return an index of an array of this shape, as Python writes it."""
    n = shape[0]
    i, j = sorted((b.draws.integer(0, n - 1), b.draws.integer(0, n)))
    several = [b.draws.integer(-n, n - 1) for _ in range(b.draws.integer(1, 4))]
    options = [
        f"slice({i}, {max(j, i + 1)})",
        "slice(None, None, 2)",
        "slice(None, None, -1)",
        f"slice({n - 1}, None, -2)",
        f"{i}",
        f"-{i + 1}",
        f"np.array({several})",
        f"{several}",
    ]
    if len(shape) >= 2:
        m = shape[1]
        columns = [b.draws.integer(0, m - 1) for _ in several]
        options += [
            f"(slice(None), {b.draws.integer(0, m - 1)})",
            f"(Ellipsis, slice(0, {b.draws.integer(1, shape[-1])}))",
            f"({several}, {columns})",
            f"(np.array({several})[:, None], np.array({columns}))",
            f"(slice(None), {columns})",
            f"({i}, slice(None, None, -1))",
        ]
    return str(b.choice(options))


def indexed(b: Builder) -> Step | None:
    x = b.pick(_some)
    if x is None:
        return None
    y, index = b.fresh(), _index(b, b.shape(x))
    return Step(y, (f"{y} = {x}[{index}]",), (Share(x, f"scattered({{g}}, {x}.shape, {index})"),))


def masked(b: Builder) -> Step | None:
    """The entries where a condition holds, which depends on the values."""
    x = b.pick(lambda x: x.ndim >= 1 and bool(np.any(x > 0.1)))
    if x is None:
        return None
    y, mask = b.fresh(), b.fresh()
    lines = (f"{mask} = {x} > 0.1", f"{y} = {x}[{mask}]")
    return Step(y, lines, (Share(x, f"scattered({{g}}, {x}.shape, {mask})"),))


def joined(b: Builder) -> Step | None:
    first = b.pick(_some)
    if first is None:
        return None
    shape = b.shape(first)
    y = b.fresh()
    if b.chance(50):
        second = b.pick(lambda x: x.shape == shape)
        axis = b.draws.integer(0, len(shape))
        shares = tuple(
            Share(name, f"np.take({{g}}, {place}, axis={axis})")
            for place, name in enumerate((first, second))
            if name is not None
        )
        return Step(y, (f"{y} = np.stack([{first}, {second}], axis={axis})",), shares)
    second = b.pick(lambda x: x.ndim == len(shape) and x.shape[1:] == shape[1:])
    assert second is not None
    shares = (
        Share(first, f"{{g}}[: {shape[0]}]"),
        Share(second, f"{{g}}[{shape[0]} :]"),
    )
    return Step(y, (f"{y} = np.concatenate([{first}, {second}])",), shares)


def repeated(b: Builder) -> Step | None:
    x = b.pick(_some)
    if x is None:
        return None
    y, k, shape = b.fresh(), b.draws.integer(2, 3), b.shape(x)
    form, share = b.choice(
        (
            (f"np.repeat({x}, {k}, axis=0)", f"{{g}}.reshape({(shape[0], k, *shape[1:])}).sum(1)"),
            (f"np.broadcast_to({x}, {(k, *shape)})", "np.sum({g}, axis=0)"),
            (f"np.tile({x}, {(k, *(1,) * len(shape))})", "np.sum({g}, axis=0)"),
            (
                f"np.pad({x}, {k - 1})",
                f"{{g}}[{', '.join([f'{k - 1}:-{k - 1}'] * len(shape))}]",
            ),
        )
    )
    return Step(y, (f"{y} = {form}",), (Share(x, share),))


def triangle(b: Builder) -> Step | None:
    x = b.pick(lambda x: x.ndim == 2)
    if x is None:
        return None
    y, k = b.fresh(), b.draws.integer(-1, 1)
    name = b.choice(("np.tril", "np.triu"))
    return Step(y, (f"{y} = {name}({x}, {k})",), (Share(x, f"{name}({{g}}, {k})"),))


def _fitting(b: Builder, shape: tuple[int, ...]) -> str | None:
    """Return the name of an array that can be written where this shape is."""

    def fits(x: np.ndarray) -> bool:
        try:
            return np.broadcast_shapes(x.shape, shape) == shape
        except ValueError:
            return False

    return b.pick(fits)


def written(b: Builder) -> Step | None:
    """A copy that is written to at an index: overwritten, added to, or scaled."""
    x = b.pick(_some)
    if x is None:
        return None
    index, y, c = _index(b, b.shape(x)), b.fresh(), b.constant()
    place = np.arange(b.values[x].size).reshape(b.shape(x))[eval(index, {"np": np})]
    if np.unique(place).size != np.size(place):
        return None  # what wins where two are written to one place is another matter
    copied = f"{y} = {b.choice((f'{x}.copy()', f'np.array({x})', f'1.0 * {x}'))}"
    if b.chance(30):
        before = ("scaled = np.array({g})", f"scaled[{index}] *= {c}")
        return Step(y, (copied, f"{y}[{index}] *= {c}"), (Share(x, "scaled"),), before)
    new = _fitting(b, np.shape(place))
    if new is None:
        return None
    handed = f"unbroadcast(np.asarray({{g}})[{index}], np.shape({new}))"
    if b.chance(50):
        lines = (copied, f"{y}[{index}] = {new}")
        return Step(y, lines, (Share(x, f"cleared({{g}}, {index})"), Share(new, handed)))
    lines = (copied, f"{y}[{index}] += {c} * {new}")
    return Step(y, lines, (Share(x, "{g}"), Share(new, f"{c} * {handed}")))


def updated(b: Builder) -> Step | None:
    """Updates in place of the whole array: by operators, through a view, at indices."""
    x = b.pick(_some)
    if x is None:
        return None
    y, c = b.fresh(), b.constant()
    shape = b.shape(x)
    other = _fitting(b, shape)
    assert other is not None
    handed = f"unbroadcast({{g}} * {x}, np.shape({other}))"
    kind = b.choice(("times", "out", "view", "at", "rows"))
    if kind == "times":
        lines = (f"{y} = {x}.copy()", f"{y} *= {other}", f"{y} -= {c}")
        return Step(y, lines, (Share(x, f"{{g}} * {other}"), Share(other, handed)))
    if kind == "out":
        lines = (f"{y} = np.empty({x}.shape)", f"np.multiply({x}, {other}, out={y})")
        return Step(y, lines, (Share(x, f"{{g}} * {other}"), Share(other, handed)))
    if kind == "view":
        lines = (f"{y} = {x}.copy()", f"window = {y}[1:]", f"window *= {c}")
        before = ("scaled = np.array({g})", f"scaled[1:] *= {c}")
        return Step(y, lines, (Share(x, "scaled"),), before)
    if kind == "at":
        places = [b.draws.integer(0, shape[0] - 1) for _ in range(3)]
        lines = (f"{y} = {x}.copy()", f"np.add.at({y}, {places}, {c})")
        return Step(y, lines, (Share(x, "{g}"),))
    lines = (
        f"{y} = np.zeros({x}.shape)",
        f"for i in range({shape[0]}):",
        f"    {y}[i] = {x}[i] * {x}[i - 1]",
    )
    first, second = f"{{g}} * np.roll({x}, 1, axis=0)", f"np.roll({{g}} * {x}, -1, axis=0)"
    return Step(y, lines, (Share(x, first), Share(x, second)))


def recurrence(b: Builder) -> Step | None:
    """A loop over time whose state is a vector, backwards through all its steps."""
    state = b.pick(lambda x: x.ndim == 1)
    if state is None:
        return None
    n = b.shape(state)[0]
    x = b.pick(lambda x: x.shape == (n, n))
    if x is None:
        return None
    y, steps = b.fresh(), b.draws.integer(1, 3)
    states = f"states_{y}"
    lines = (
        f"{states} = [{state}]",
        f"for t in range({steps}):",
        f"    {states}.append(np.tanh({x} @ {states}[t] + 0.1 * t))",
        f"{y} = {states}[-1]",
    )
    before = (
        "carried, by_matrix = np.array({g}), np.zeros(" + f"{x}.shape)",
        f"for t in reversed(range({steps})):",
        f"    carried = carried * (1 - {states}[t + 1] ** 2)",
        f"    by_matrix += np.outer(carried, {states}[t])",
        f"    carried = {x}.T @ carried",
    )
    return Step(y, lines, (Share(x, "by_matrix"), Share(state, "carried")), before)


def filtered(b: Builder) -> Step | None:
    """A recursive filter along the first axis, written element by element."""
    x = b.pick(_some)
    if x is None:
        return None
    y, n, c = b.fresh(), b.shape(x)[0], round(b.constant() / 3, 2)
    lines = (
        f"{y} = np.array({x})",
        f"for i in range(1, {n}):",
        f"    {y}[i] = {c} * {y}[i - 1] + {x}[i]",
    )
    before = (
        "passed = np.array({g})",
        f"for i in reversed(range({n - 1})):",
        f"    passed[i] += {c} * passed[i + 1]",
    )
    return Step(y, lines, (Share(x, "passed"),), before)


def accumulated(b: Builder) -> Step | None:
    """A sum over rows in a Python loop."""
    x = b.pick(_some)
    if x is None:
        return None
    y = b.fresh()
    lines = (f"{y} = 0.0", f"for row in {x}:", f"    {y} += np.sum(row * row)")
    return Step(y, lines, (Share(x, f"{{g}} * 2 * {x}"),))


def branched(b: Builder) -> Step | None:
    """A branch that depends on the values."""
    x = b.pick(_some)
    if x is None:
        return None
    y = b.fresh()
    lines = (f"if np.sum({x}) > 0:", f"    {y} = 2 * {x}", "else:", f"    {y} = -{x}")
    return Step(y, lines, (Share(x, f"np.where(np.sum({x}) > 0, 2.0, -1.0) * {{g}}"),))


OPERATIONS: tuple[Operation, ...] = (
    *(computing.unary,) * 4,
    *(computing.binary,) * 4,
    *(computing.product,) * 3,
    *(computing.reduction,) * 3,
    computing.stacked_product,
    computing.gram,
    computing.summed_product,
    computing.total,
    computing.running,
    computing.in_order,
    computing.solved,
    computing.log_determinant,
    reshaped,
    turned,
    *(indexed,) * 2,
    masked,
    joined,
    repeated,
    triangle,
    *(written,) * 2,
    *(updated,) * 2,
    recurrence,
    filtered,
    accumulated,
    branched,
)
"""What programs are made of; what is met more often stands there more often."""
