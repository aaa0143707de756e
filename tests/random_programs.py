"""Random losses in NumPy with their gradient, as source that a person might write.

A program is a list of steps. Each step is some lines of NumPy and, for each operand, its share of
the gradient, an expression in the cotangent of the result. Running the steps backwards gives the
gradient; changing one share gives a gradient that is wrong in one place. The rules are those of
the textbook and owe nothing to the program under test.

What is drawn comes from ``Draws``: from Hypothesis, or from a seeded generator.
"""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

LARGEST = 1e4
"""Values beyond this end a program's branch: products of them would overflow."""
MOST_ENTRIES = 120

HELPERS = '''import numpy as np


def unbroadcast(g, shape):
    """The cotangent of an operand of this shape: summed over the axes that were stretched."""
    g = np.sum(g, axis=tuple(range(np.ndim(g) - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and np.shape(g)[i] != 1)
    return np.sum(g, axis=stretched, keepdims=True)


def scattered(g, shape, index):
    """The cotangent of an array of this shape that was read at an index."""
    whole = np.zeros(shape)
    np.add.at(whole, index, g)
    return whole


def cleared(g, index):
    """The cotangent of an array that was overwritten at an index."""
    g = np.array(g)
    g[index] = 0
    return g
'''


class Draws(Protocol):
    """Where the choices come from."""

    def integer(self, low: int, high: int) -> int:
        """Return an integer from ``low`` to ``high``, both included."""


@dataclass(frozen=True)
class Seeded:
    """Choices of a seeded generator."""

    rng: np.random.Generator

    def integer(self, low: int, high: int) -> int:
        """Return an integer from ``low`` to ``high``, both included."""
        return int(self.rng.integers(low, high + 1))


@dataclass(frozen=True)
class Drawn:
    """Choices of Hypothesis, which can be shrunk."""

    data: Any

    def integer(self, low: int, high: int) -> int:
        """Return an integer from ``low`` to ``high``, both included."""
        from hypothesis import strategies as st

        return int(self.data.draw(st.integers(low, high)))


@dataclass(frozen=True)
class Share:
    """What one operand gets of the cotangent ``{g}`` of a step's result."""

    operand: str
    expression: str


@dataclass(frozen=True)
class Step:
    """Lines of NumPy that give ``result``, and what runs backwards through them.

    ``before`` are lines that the shares need; all may name the cotangent as ``{g}``.
    """

    result: str
    forward: tuple[str, ...]
    shares: tuple[Share, ...]
    before: tuple[str, ...] = ()


Operation = Callable[["Builder"], Step | None]


@dataclass
class Builder:
    """A program in the making; ``values`` holds what each name stands for at the inputs."""

    draws: Draws
    values: dict[str, Any]
    steps: list[Step] = field(default_factory=list)
    _names: Any = field(default_factory=itertools.count)

    def chance(self, percent: int) -> bool:
        """Whether something happens that does in so many of a hundred cases."""
        return self.draws.integer(0, 99) < percent

    def choice(self, options: Sequence[Any]) -> Any:
        """Return one of the options."""
        return options[self.draws.integer(0, len(options) - 1)]

    def constant(self, low: float = -2.0, high: float = 2.0) -> float:
        """Return a number of two digits that is not 0."""
        value = round(low + (high - low) * self.draws.integer(0, 99) / 99, 2)
        return value if value else 0.37

    def fresh(self) -> str:
        """Return a name that is not taken."""
        return f"v{next(self._names)}"

    def arrays(self, accept: Callable[[np.ndarray], bool] = lambda _: True) -> list[str]:
        """Return the names of the arrays that fit, the latest last."""
        return [name for name, value in self.values.items() if accept(value)]

    def pick(self, accept: Callable[[np.ndarray], bool] = lambda _: True) -> str | None:
        """Return the name of an array that fits: more often than not a late one."""
        fitting = self.arrays(accept)
        if not fitting:
            return None
        return str(self.choice(fitting[-3:] if self.chance(60) else fitting))

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array."""
        return tuple(self.values[name].shape)

    def add(self, step: Step) -> bool:
        """Take a step if its result is of use, and say whether it was taken."""
        scope = {**_helpers(), **self.values}
        with np.errstate(all="ignore"):
            exec("\n".join(step.forward), scope)
        result = np.asarray(scope[step.result], dtype=float)
        good = 0 < result.size <= MOST_ENTRIES and np.all(np.abs(result) < LARGEST)
        if good:
            self.values[step.result] = result
            self.steps.append(step)
        return bool(good)


def _helpers() -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(HELPERS, scope)
    return scope


@dataclass(frozen=True)
class Break:
    """One change of one share: step and share by number, and what becomes of the expression."""

    step: int
    share: int
    kind: str
    number: float = 1.0

    def applied(self, expression: str) -> str:
        """Return the expression after the change."""
        if self.kind == "dropped":
            return f"0 * ({expression})"
        if self.kind == "transposed":
            return f"np.transpose({expression})"
        if self.kind == "one entry":
            return f"one_entry_off({expression}, {int(self.number)})"
        return f"{self.number!r} * ({expression})"


KINDS = {
    "sign": (-1.0,),
    "factor": (2.0, 0.5, 1.1, 1.001, 0.9999),
    "dropped": (0.0,),
    "transposed": (0.0,),
    "one entry": (0, 1, 2, 5),
}
"""The ways to break a share, with the numbers that go with them."""

ONE_ENTRY = '''

def one_entry_off(g, k):
    """The cotangent with one entry off by a hundredth."""
    g = np.array(g, dtype=float)
    g.reshape(-1)[k % g.size] *= 1.01
    return g
'''


@dataclass(frozen=True)
class Program:
    """A loss with its gradient; ``parameters`` and ``data`` are its inputs by name.

    ``shapes`` holds the shape of every input and intermediate result.
    """

    parameters: dict[str, np.ndarray]
    data: dict[str, np.ndarray]
    steps: tuple[Step, ...]
    loss: Step
    shapes: dict[str, tuple[int, ...]]

    def source(self, change: Break | None = None) -> str:
        """Return the program's source, with one share of the gradient changed."""
        names = [*self.parameters, *self.data]
        lines = [HELPERS + (ONE_ENTRY if change else ""), "", f"def program({', '.join(names)}):"]
        body = [line for step in (*self.steps, self.loss) for line in step.forward]
        body.append("d_loss = 1.0")
        results = [*self.parameters, *(step.result for step in self.steps)]
        body += [f"d_{name} = np.zeros(np.shape({name}))" for name in results]
        for number, step in reversed([*enumerate((*self.steps, self.loss))]):
            gradient = f"d_{step.result}"
            body += [line.replace("{g}", gradient) for line in step.before]
            for place, share in enumerate(step.shares):
                if share.operand in self.data:
                    continue
                expression = share.expression.replace("{g}", gradient)
                if change and (change.step, change.share) == (number, place):
                    expression = change.applied(expression)
                body.append(f"d_{share.operand} = d_{share.operand} + {expression}")
        entries = ", ".join(f'"{name}": d_{name}' for name in self.parameters)
        body.append(f"return loss, {{{entries}}}")
        return "\n".join([*lines, *(f"    {line}" for line in body), ""])

    def function(self, change: Break | None = None) -> Callable[..., Any]:
        """Return the program as a function whose source can be read as from a file."""
        source = self.source(change)
        filename = f"<random program {next(_PROGRAMS)}>.py"
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        scope: dict[str, Any] = {"__name__": "random_program"}
        exec(compile(source, filename, "exec"), scope)
        function: Callable[..., Any] = scope["program"]
        return function

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """Fresh copies of the inputs."""
        return {name: value.copy() for name, value in {**self.parameters, **self.data}.items()}

    def places(self) -> list[tuple[int, int]]:
        """Return step and number of the shares that may be changed."""
        return [
            (number, place)
            for number, step in enumerate((*self.steps, self.loss))
            for place, share in enumerate(step.shares)
            if share.operand not in self.data
        ]


_PROGRAMS = itertools.count()


def forget() -> None:
    """Drop the sources of all programs made so far."""
    for name in [name for name in linecache.cache if name.startswith("<random program")]:
        del linecache.cache[name]


_SHAPES = ((3,), (4,), (2, 3), (3, 3), (3, 4), (4, 2), (1, 3), (2, 2, 3), ())


def program(draws: Draws, operations: Sequence[Operation], *, most_steps: int = 9) -> Program:
    """Return a random program made of the given operations."""
    builder = Builder(draws, {})
    rng = np.random.default_rng(draws.integer(0, 2**20))

    def inputs(letter: str, least: int, most: int) -> dict[str, np.ndarray]:
        made = {}
        for number in range(draws.integer(least, most)):
            shape = builder.choice(_SHAPES)
            made[f"{letter}{number}"] = np.asarray(rng.normal(size=shape))
        return made

    parameters, data = inputs("W", 1, 3), inputs("X", 0, 2)
    builder.values.update({**data, **parameters})
    for _ in range(draws.integer(1, most_steps)):
        step = builder.choice(operations)(builder)
        if step is not None:
            builder.add(step)
    shapes = {name: builder.shape(name) for name in builder.values}
    return Program(parameters, data, tuple(builder.steps), _loss(builder), shapes)


def _loss(builder: Builder) -> Step:
    """Return the last step: a sum of what becomes of some values, of the unused ones first."""
    operands = {share.operand for step in builder.steps for share in step.shares}
    unused = [name for name in builder.arrays() if name not in operands]
    others = [name for name in builder.arrays() if name in operands]
    used = unused[-3:]
    if others and (not used or builder.chance(30)):
        used.append(builder.choice(others))
    terms, shares = [], []
    for name in used:
        factor = builder.constant()
        kind = builder.choice(("sum", "mean", "square", "weighted"))
        if kind == "sum":
            terms.append(f"{factor} * np.sum({name})")
            shares.append(Share(name, f"{{g}} * {factor} * np.ones(np.shape({name}))"))
        elif kind == "mean":
            terms.append(f"{factor} * np.mean({name})")
            shares.append(
                Share(name, f"{{g}} * {factor} * np.ones(np.shape({name})) / np.size({name})")
            )
        elif kind == "square":
            terms.append(f"0.5 * np.sum({name} ** 2)")
            shares.append(Share(name, f"{{g}} * {name}"))
        else:
            weight = f"np.cos(np.arange(np.size({name})).reshape(np.shape({name})))"
            terms.append(f"np.sum({weight} * {name})")
            shares.append(Share(name, f"{{g}} * {weight}"))
    return Step("loss", (f"loss = {' + '.join(terms)}",), tuple(shares))


def draw_break(draws: Draws, made: Program) -> Break:
    """Return a random change of one share of a program's gradient, one that still runs."""
    places = made.places()
    step, share = places[draws.integer(0, len(places) - 1)]
    shape = made.shapes[(*made.steps, made.loss)[step].shares[share].operand]
    kinds = [kind for kind in KINDS if kind != "transposed" or (shape[1:] and shape == shape[::-1])]
    kind = kinds[draws.integer(0, len(kinds) - 1)]
    numbers = KINDS[kind]
    return Break(step, share, kind, float(numbers[draws.integer(0, len(numbers) - 1)]))
