"""Elementwise operations, products and reductions of random programs, each with its derivative."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from random_programs import Builder, Share, Step

Guard = Callable[[np.ndarray], bool]


def anything(_: np.ndarray) -> bool:
    return True


def within(size: float) -> Guard:
    return lambda x: bool(np.all(np.abs(x) < size))


def above(bound: float) -> Guard:
    return lambda x: bool(np.all(x > bound))


def away_from_zero(x: np.ndarray) -> bool:
    return bool(np.all(np.abs(x) > 0.2))


# expression in x, derivative in x and the result y, and the values that it is meant for
UNARY: tuple[tuple[str, str, Guard], ...] = (
    ("np.tanh({x})", "(1 - {y} ** 2)", anything),
    ("np.sin({x})", "np.cos({x})", within(50)),
    ("np.cos({x})", "-np.sin({x})", within(50)),
    ("np.exp({x})", "{y}", within(4)),
    ("np.exp(-{x})", "-{y}", within(4)),
    ("np.expm1({x})", "({y} + 1)", within(4)),
    ("np.log({x})", "1 / {x}", above(0.1)),
    ("np.log1p({x} ** 2)", "2 * {x} / (1 + {x} ** 2)", anything),
    ("np.sqrt({x})", "0.5 / {y}", above(0.1)),
    ("np.sqrt({x} ** 2 + 0.3)", "{x} / {y}", anything),
    ("np.square({x})", "2 * {x}", within(30)),
    ("{x} ** 3", "3 * {x} ** 2", within(10)),
    ("{x} ** 1.5", "1.5 * np.sqrt({x})", above(0.1)),
    ("np.power({x}, 2)", "2 * {x}", within(30)),
    ("np.abs({x})", "np.sign({x})", anything),
    ("abs({x})", "np.sign({x})", anything),
    ("np.maximum({x}, 0)", "({x} > 0)", anything),
    ("np.maximum(0.0, {x})", "1.0 * ({x} > 0)", anything),
    ("np.minimum({x}, 0.7)", "({x} < 0.7)", anything),
    ("{x} * ({x} > 0)", "({x} > 0)", anything),
    ("np.where({x} > 0, {x}, 0.1 * {x})", "np.where({x} > 0, 1.0, 0.1)", anything),
    ("np.clip({x}, -0.5, 0.8)", "(({x} > -0.5) & ({x} < 0.8))", anything),
    ("1 / (1 + np.exp(-{x}))", "{y} * (1 - {y})", within(30)),
    ("np.logaddexp(0, {x})", "1 / (1 + np.exp(-{x}))", within(30)),
    ("np.arctan({x})", "1 / (1 + {x} ** 2)", anything),
    ("np.arcsinh({x})", "1 / np.sqrt(1 + {x} ** 2)", anything),
    ("1 / {x}", "-({y} ** 2)", away_from_zero),
    ("np.reciprocal({x})", "-1 / {x} ** 2", away_from_zero),
    ("-{x}", "-1.0", anything),
    ("{c} * {x}", "{c}", anything),
    ("{x} - {c}", "1.0", anything),
    ("{c} - {x}", "-1.0", anything),
    ("{x} / {c}", "1 / {c}", anything),
    ("{x} - np.floor({x})", "1.0", within(50)),
    ("{x} * np.sign({x})", "np.sign({x})", anything),
)

# expression in a and b, and its derivatives in a, b and the result y
BINARY: tuple[tuple[str, str, str, Guard, Guard], ...] = (
    ("{a} + {b}", "1.0", "1.0", anything, anything),
    ("np.add({a}, {b})", "1.0", "1.0", anything, anything),
    ("{a} - {b}", "1.0", "-1.0", anything, anything),
    ("{a} * {b}", "{b}", "{a}", within(100), within(100)),
    ("np.multiply({a}, {b})", "{b}", "{a}", within(100), within(100)),
    ("{a} / {b}", "1 / {b}", "-{a} / {b} ** 2", anything, away_from_zero),
    ("np.maximum({a}, {b})", "({a} >= {b})", "({a} < {b})", anything, anything),
    ("np.minimum({a}, {b})", "({a} <= {b})", "({a} > {b})", anything, anything),
    ("np.hypot({a}, {b})", "{a} / {y}", "{b} / {y}", away_from_zero, anything),
    (
        "np.arctan2({a}, {b})",
        "{b} / ({a} ** 2 + {b} ** 2)",
        "-{a} / ({a} ** 2 + {b} ** 2)",
        away_from_zero,
        away_from_zero,
    ),
    ("np.logaddexp({a}, {b})", "np.exp({a} - {y})", "np.exp({b} - {y})", within(50), within(50)),
    ("np.where({a} > {b}, {a}, 2 * {b})", "({a} > {b})", "2.0 * ({a} <= {b})", anything, anything),
    ("{a} ** {b}", "{b} * {y} / {a}", "{y} * np.log({a})", above(0.2), within(2.5)),
)


def unary(b: Builder) -> Step | None:
    expression, derivative, guard = b.choice(UNARY)
    x = b.pick(guard)
    if x is None:
        return None
    y, c = b.fresh(), b.constant()
    names = {"x": x, "y": y, "c": f"({c})"}
    share = f"unbroadcast({{g}} * ({derivative.format(**names)}), np.shape({x}))"
    return Step(y, (f"{y} = {expression.format(**names)}",), (Share(x, share),))


def _broadcastable(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(first, second)
    except ValueError:
        return False
    return True


def binary(b: Builder) -> Step | None:
    expression, by_a, by_b, guard_a, guard_b = b.choice(BINARY)
    first = b.pick(guard_a)
    if first is None:
        return None
    shape = b.shape(first)
    second = b.pick(lambda x: _broadcastable(x.shape, shape) and guard_b(x))
    if second is None:
        return None
    y = b.fresh()
    names = {"a": first, "b": second, "y": y}
    shares = tuple(
        Share(name, f"unbroadcast({{g}} * ({rule.format(**names)}), np.shape({name}))")
        for name, rule in ((first, by_a), (second, by_b))
    )
    return Step(y, (f"{y} = {expression.format(**names)}",), shares)


def product(b: Builder) -> Step | None:
    """A product of matrices and vectors, in one of NumPy's spellings."""
    first = b.pick(lambda x: x.ndim in (1, 2))
    if first is None:
        return None
    inner = b.shape(first)[-1]
    second = b.pick(lambda x: x.ndim in (1, 2) and x.shape[0] == inner)
    if second is None:
        return None
    y = b.fresh()
    spelling = b.choice(("{a} @ {b}", "np.dot({a}, {b})", "{a}.dot({b})", "np.matmul({a}, {b})"))
    by_a, by_b = {
        (2, 2): ("{g} @ {b}.T", "{a}.T @ {g}"),
        (2, 1): ("np.outer({g}, {b})", "{a}.T @ {g}"),
        (1, 2): ("{b} @ {g}", "np.outer({a}, {g})"),
        (1, 1): ("{g} * {b}", "{g} * {a}"),
    }[len(b.shape(first)), len(b.shape(second))]
    names = {"a": first, "b": second, "g": "{g}"}
    return Step(
        y,
        (f"{y} = {spelling.format(**names)}",),
        (Share(first, by_a.format(**names)), Share(second, by_b.format(**names))),
    )


def stacked_product(b: Builder) -> Step | None:
    first = b.pick(lambda x: x.ndim == 3)
    if first is None:
        return None
    inner = b.shape(first)[-1]
    second = b.pick(lambda x: x.ndim >= 2 and x.shape[-2] == inner and x.shape[0] in (1, 2, inner))
    if second is None or (len(b.shape(second)) == 3 and b.shape(second)[0] != b.shape(first)[0]):
        return None
    y = b.fresh()
    by_a = f"unbroadcast({{g}} @ np.swapaxes({second}, -1, -2), {first}.shape)"
    by_b = f"unbroadcast(np.swapaxes({first}, -1, -2) @ {{g}}, {second}.shape)"
    return Step(y, (f"{y} = {first} @ {second}",), (Share(first, by_a), Share(second, by_b)))


def gram(b: Builder) -> Step | None:
    """A matrix times its own transpose: two shares for one operand."""
    x = b.pick(lambda x: x.ndim == 2)
    if x is None:
        return None
    y = b.fresh()
    if b.chance(50):
        shares = (Share(x, f"{{g}} @ {x}"), Share(x, f"{{g}}.T @ {x}"))
        return Step(y, (f"{y} = {x} @ {x}.T",), shares)
    shares = (Share(x, f"{x} @ {{g}}"), Share(x, f"{x} @ {{g}}.T"))
    return Step(y, (f"{y} = {x}.T @ {x}",), shares)


def summed_product(b: Builder) -> Step | None:
    """An einsum, a tensordot or an outer product."""
    first = b.pick(lambda x: x.ndim in (1, 2))
    if first is None:
        return None
    shape = b.shape(first)
    y = b.fresh()
    if len(shape) == 1:
        second = b.pick(lambda x: x.ndim == 1)
        assert second is not None
        form = b.choice(("np.outer({a}, {b})", "np.einsum('i,j->ij', {a}, {b})"))
        by_a, by_b = f"{{g}} @ {second}", f"{{g}}.T @ {first}"
    elif b.chance(50):
        second = b.pick(lambda x: x.shape == shape)
        form = "np.einsum('ij,ij->i', {a}, {b})"
        by_a, by_b = f"{{g}}[:, None] * {second}", f"{{g}}[:, None] * {first}"
    else:
        second = b.pick(lambda x: x.ndim == 2 and x.shape[1] == shape[1])
        form = b.choice(
            (
                "np.einsum('ij,kj->ik', {a}, {b})",
                "np.tensordot({a}, {b}, axes=(1, 1))",
                "np.inner({a}, {b})",
            )
        )
        by_a, by_b = f"{{g}} @ {second}", f"{{g}}.T @ {first}"
    assert second is not None
    line = f"{y} = {form.format(a=first, b=second)}"
    return Step(y, (line,), (Share(first, by_a), Share(second, by_b)))


# expression with the axes {k}, derivative in the kept result Y, the kept cotangent G and n
REDUCTIONS: tuple[tuple[str, str, Guard], ...] = (
    ("np.sum({x}, {k})", "{G} * np.ones({x}.shape)", anything),
    ("{x}.sum({k})", "{G} * np.ones({x}.shape)", anything),
    ("np.mean({x}, {k})", "{G} * np.ones({x}.shape) / {n}", anything),
    ("{x}.mean({k})", "{G} * np.ones({x}.shape) / {n}", anything),
    (
        "np.max({x}, {k})",
        "{G} * ({x} == {Y}) / np.sum({x} == {Y}, axis={axes}, keepdims=True)",
        anything,
    ),
    (
        "{x}.min({k})",
        "{G} * ({x} == {Y}) / np.sum({x} == {Y}, axis={axes}, keepdims=True)",
        anything,
    ),
    ("np.prod({x}, {k})", "{G} * {Y} / {x}", away_from_zero),
    ("np.var({x}, {k})", "{G} * 2 * ({x} - {x}.mean(axis={axes}, keepdims=True)) / {n}", anything),
    ("np.log(np.sum(np.exp({x}), {k}))", "{G} * np.exp({x} - {Y})", within(20)),
    ("np.sqrt(np.sum({x} ** 2, {k}))", "{G} * {x} / {Y}", away_from_zero),
)


def reduction(b: Builder) -> Step | None:
    expression, derivative, guard = b.choice(REDUCTIONS)
    x = b.pick(lambda x: x.ndim >= 1 and guard(x))
    if x is None:
        return None
    shape = b.shape(x)
    chosen = [axis for axis in range(len(shape)) if b.chance(50)]
    axes = tuple(chosen) or (b.draws.integer(0, len(shape) - 1),)
    keep = b.chance(50)
    y = b.fresh()
    written = axes[0] - len(shape) if len(axes) == 1 and b.chance(50) else axes
    k = f"axis={written}" + (", keepdims=True" if keep else "")
    names = {
        "x": x,
        "k": k,
        "axes": axes,
        "n": int(np.prod([shape[axis] for axis in axes])),
        "G": "{g}" if keep else f"np.expand_dims({{g}}, {axes})",
        "Y": y if keep else f"np.expand_dims({y}, {axes})",
    }
    line = f"{y} = {expression.format(**names)}"
    return Step(y, (line,), (Share(x, derivative.format(**names)),))


def total(b: Builder) -> Step | None:
    """A reduction of all entries to one number, which may be a NumPy scalar or a float."""
    x = b.pick(lambda x: x.ndim >= 1)
    if x is None:
        return None
    y = b.fresh()
    form = b.choice(
        ("np.sum({x})", "{x}.sum()", "float(np.sum({x}))", "np.add.reduce({x}.ravel())")
    )
    return Step(y, (f"{y} = {form.format(x=x)}",), (Share(x, f"{{g}} * np.ones({x}.shape)"),))


def running(b: Builder) -> Step | None:
    """A cumulative sum or differences along an axis."""
    x = b.pick(lambda x: x.ndim >= 1 and min(x.shape) >= 2)
    if x is None:
        return None
    axis = b.draws.integer(0, len(b.shape(x)) - 1)
    y = b.fresh()
    if b.chance(50):
        share = f"np.flip(np.cumsum(np.flip({{g}}, {axis}), axis={axis}), {axis})"
        return Step(y, (f"{y} = np.cumsum({x}, axis={axis})",), (Share(x, share),))
    before = (f"edges = [(int(i == {axis}), int(i == {axis})) for i in range({x}.ndim)]",)
    share = f"-np.diff(np.pad({{g}}, edges), axis={axis})"
    return Step(y, (f"{y} = np.diff({x}, axis={axis})",), (Share(x, share),), before)


def in_order(b: Builder) -> Step | None:
    x = b.pick(lambda x: x.ndim >= 1)
    if x is None:
        return None
    axis = b.draws.integer(0, len(b.shape(x)) - 1)
    y = b.fresh()
    before = (
        f"order = np.argsort({x}, axis={axis})",
        f"unsorted = np.zeros({x}.shape)",
        f"np.put_along_axis(unsorted, order, {{g}}, axis={axis})",
    )
    return Step(y, (f"{y} = np.sort({x}, axis={axis})",), (Share(x, "unsorted"),), before)


def solved(b: Builder) -> Step | None:
    """The solution of a linear system whose matrix is kept away from singular ones."""
    x = b.pick(lambda x: x.ndim == 2 and x.shape[0] == x.shape[1] and within(1.5 * 3)(x))
    if x is None:
        return None
    n = b.shape(x)[0]
    right = b.pick(lambda z: z.ndim in (1, 2) and z.shape[0] == n)
    assert right is not None
    y, matrix = b.fresh(), b.fresh()
    lines = (f"{matrix} = {x} + 15.0 * np.eye({n})", f"{y} = np.linalg.solve({matrix}, {right})")
    by_right = f"np.linalg.solve({matrix}.T, {{g}})"
    other = y if len(b.shape(right)) == 2 else f"{y}[:, None]"
    solved_g = by_right if len(b.shape(right)) == 2 else f"({by_right})[:, None]"
    return Step(y, lines, (Share(right, by_right), Share(x, f"-({solved_g}) @ {other}.T")))


def log_determinant(b: Builder) -> Step | None:
    x = b.pick(lambda x: x.ndim == 2 and x.shape[0] == x.shape[1] and within(4)(x))
    if x is None:
        return None
    y, matrix, n = b.fresh(), b.fresh(), b.shape(x)[0]
    lines = (
        f"{matrix} = {x} + 15.0 * np.eye({n})",
        f"{y} = np.linalg.slogdet({matrix})[1]",
    )
    return Step(y, lines, (Share(x, f"{{g}} * np.linalg.inv({matrix}).T"),))
