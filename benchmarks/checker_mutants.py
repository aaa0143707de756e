"""Wrong versions of the checker's own modules, one change each, made by cosmic-ray's operators.

A *site* is a place in a module together with a kind of change (another comparison, another number,
an exception that is no longer caught, ...). Sites are drawn uniformly, then one of the changes that
are possible there: a sum of two arrays, for which eleven other operators exist, counts no more than
a comparison. Changes that leave the meaning of a module as it is are no mutants (``meaning``), nor
is ``is`` for ``==``.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

AREAS = {
    "oracles": ("gradcheck/oracles", "gradcheck/second_look.py", "gradcheck/direction_runs.py"),
    "noise": (
        "gradcheck/noise.py",
        "gradcheck/jumps.py",
        "gradcheck/across_jumps.py",
        "gradcheck/treads.py",
    ),
    "verdict": ("gradcheck/verdict", "gradcheck/history.py", "gradcheck/lower_precision.py"),
    "localize": (
        "gradcheck/direction_beside.py",
        "gradcheck/sweep/at_kinks.py",
        "gradcheck/sweep/localize.py",
        "gradcheck/sweep/moves.py",
        "gradcheck/sweep/off_kinks.py",
        "gradcheck/sweep/sums.py",
        "gradcheck/sweep/wrong_blocks.py",
    ),
    "diagnose": ("gradcheck/diagnose",),
    "tracing": ("gradcheck/tracing",),
}
"""The parts of the package that decide what is right, and where and why something is wrong."""

NEEDS_ARGUMENTS = ("core/VariableReplacer", "core/VariableInserter")
NO_CHANGE = ("Eq_Is", "NotEq_IsNot", "Is_Eq", "IsNot_NotEq")


@dataclass(frozen=True)
class Change:
    """The ``occurrence``-th place in a module where a named operator of cosmic-ray applies."""

    operator: str
    occurrence: int


@dataclass(frozen=True)
class Site:
    """A place and a kind of change: ``lines`` are the first and the last, counted from one."""

    area: str
    path: str
    lines: tuple[int, int]
    kind: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Mutant:
    """A wrong version of a module: the text of all of it, and the line as it was and is."""

    site: Site
    change: Change
    text: str
    before: str
    after: str


def modules(
    root: Path, areas: tuple[str, ...], names: tuple[str, ...] | None = None
) -> list[tuple[str, str]]:
    """Return the modules of the areas as pairs of area and path.

    Args:
        root: of the repository.
        areas: names from ``AREAS``.
        names: of the modules wanted, as ``verdict/compare`` or ``noise``; None for all.

    Raises:
        ValueError: a name is that of no module of these areas.
    """
    found: dict[str, tuple[str, str]] = {}
    for area in areas:
        for place in (root / path for path in AREAS[area]):
            for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
                inside = path.relative_to(root / "gradcheck").with_suffix("")
                found[inside.as_posix()] = area, path.relative_to(root).as_posix()
    missing = [name for name in names or () if name not in found]
    if missing:
        raise ValueError(f"no modules of the areas {', '.join(areas)}: {', '.join(missing)}")
    return [found[name] for name in found if names is None or name in names]


def sites(root: Path, areas: tuple[str, ...], names: tuple[str, ...] | None = None) -> list[Site]:
    """Return the sites in the modules of the areas, in the order of files and lines."""
    found: list[Site] = []
    for area, path in modules(root, areas, names):
        found += sites_of(area, path, (root / path).read_text("utf-8"))
    return found


def sites_of(area: str, path: str, text: str) -> Iterator[Site]:
    """Yield the sites of one module."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = [node for node in ast_nodes(get_ast(text)) if node.type != "newline"]
    places: dict[tuple[tuple[int, int], tuple[int, int], str], list[Change]] = {}
    for name in operator_names():
        if name in NEEDS_ARGUMENTS or name.endswith(NO_CHANGE):
            continue
        operator = get_operator(name)()
        spans = [span for node in nodes for span in operator.mutation_positions(node)]
        kind = name.removeprefix("core/").split("_")[0]
        for occurrence, (start, end) in enumerate(spans):
            places.setdefault((start, end, kind), []).append(Change(name, occurrence))
    for (start, end, kind), changes in sorted(places.items(), key=lambda item: item[0]):
        yield Site(area, path, (start[0], end[0]), kind, tuple(changes))


ASIDE = {"zip": frozenset({"strict"}), "dataclass": frozenset({"eq", "slots"})}
"""Options that cannot show in a checker without mistakes: lengths that always agree, ``==`` of data
that hold arrays and that nobody compares, and how small an instance is."""


def meaning(text: str) -> str:
    """Return a module's syntax tree as text, without what cannot show while it runs.

    Left out are annotations (none is evaluated), imports for them, and the options of ``ASIDE``.

    Raises:
        SyntaxError: the text is no Python.
    """
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.test = ast.Constant(None)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            aside = ASIDE.get(node.func.id, frozenset())
            node.keywords = [option for option in node.keywords if option.arg not in aside]
    return ast.dump(tree)


def mutant(root: Path, site: Site, change: Change) -> Mutant | None:
    """Return the module with one change, or None where that is no Python, or means the same."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    original = (root / site.path).read_text("utf-8")
    text = mutate_code(original, get_operator(change.operator)(), change.occurrence)
    try:
        if text is None or meaning(text) == meaning(original):
            return None
        compile(text, site.path, "exec")
    except SyntaxError:
        return None
    old, new = original.splitlines(), text.splitlines()
    first = site.lines[0] - 1
    return Mutant(site, change, text, old[first].strip(), new[first].strip() if new else "")


def sample(
    root: Path,
    *,
    areas: tuple[str, ...] = tuple(AREAS),
    names: tuple[str, ...] | None = None,
    count: int | None,
    seed: int,
) -> Iterator[Mutant]:
    """Yield ``count`` mutants, one per site drawn; or every change of every site in random order.

    The draw is a function of the seed and of the modules' text alone. ``names`` restricts it to
    some modules of the areas, as in ``modules``.
    """
    rng = random.Random(seed)
    drawn = [
        (site, change)
        for site in sites(root, areas, names)
        for change in ([rng.choice(site.changes)] if count is not None else site.changes)
    ]
    rng.shuffle(drawn)
    remaining = len(drawn) if count is None else count
    for site, change in drawn:
        if remaining and (made := mutant(root, site, change)) is not None:
            remaining -= 1
            yield made
