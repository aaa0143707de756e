"""Imports point one way, and heavy libraries are imported by the functions that need them."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "gradcheck"
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

# Data that change as the work goes on, each within its own module or stage.
CHANGEABLE = {"Recorded", "Tie", "Call", "TorchCall", "Bench", "Walk", "Probe", "_Search"}

# From what everything may use to what may use everything; a module may import from its own layer
# and from those before it. Whatever is not named belongs to the middle.
LAYERS = (
    ("errors", "report", "case", "report_json", "report_reader"),
    ("settings",),
    ("middle",),
    ("pipeline", "declared"),
    (
        *("cli", "shell", "pytest_plugin", "strategies", "__main__"),
        *("__init__",),
    ),
)
RENDERERS_MAY_USE = ("errors", "report", "report_json", "report_reader", "render")
HEAVY = (
    *("torch", "scipy", "jinja2", "hypothesis", "plotly", "dask", "distributed", "rich"),
    *("cloudpickle", "sklearn", "pandas", "jaxtyping"),
)
NUMPY_FREE = ("__init__", "__main__", "cli", "settings", "errors", "report", "pytest_plugin")


def imports(path, *, top_level_only):
    """Yield the names of the modules that a file imports, relative imports resolved."""
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    pending = [(node, False) for node in tree.body]
    while pending:
        node, deferred = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            deferred = True
        if isinstance(node, ast.Import) and not (deferred and top_level_only):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and not (deferred and top_level_only):
            assert node.level == 0, f"{path}: write the whole name of the module"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        pending += [(child, deferred) for child in ast.iter_child_nodes(node)]


def part(name):
    """The part of the package that a name belongs to: ``oracles`` for gradcheck.oracles.x."""
    pieces = name.split(".")
    return pieces[1] if len(pieces) > 1 else "__init__"


def layer(name):
    numbers = [number for number, names in enumerate(LAYERS) if name in names]
    return numbers[0] if numbers else 2


def known(name):
    return (PACKAGE / f"{name}.py").is_file() or (PACKAGE / name).is_dir()


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_import_points_backwards(path):
    own = path.parts[0].removesuffix(".py")
    if own == "render":
        return
    for name in imports(path, top_level_only=True):
        if name.startswith("gradcheck.") and known(part(name)):
            assert part(name) == "render" or layer(part(name)) <= layer(own), f"{path}: {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[0] == "render"], ids=str)
def test_renderers_know_nothing_but_reports(path):
    for name in imports(path, top_level_only=False):
        if name.startswith("gradcheck.") and known(part(name)):
            assert part(name) in RENDERERS_MAY_USE, f"{path}: {name}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_heavy_libraries_are_imported_where_they_are_needed(path):
    for name in imports(path, top_level_only=True):
        assert name.partition(".")[0] not in HEAVY, f"{path}: {name}"


@pytest.mark.parametrize("name", NUMPY_FREE)
def test_the_shells_start_without_numpy(name):
    found = set(imports(Path(f"{name}.py"), top_level_only=True))
    assert not {item for item in found if item.partition(".")[0] == "numpy"}


def test_what_passes_between_stages_cannot_be_changed():
    changeable = set()
    for path in MODULES:
        tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
        for node in (n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)):
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            made = [text for text in decorators if text.startswith("dataclass")]
            if made and "frozen=True" not in made[0]:
                changeable.add(node.name)
            fields = [n for n in node.body if isinstance(n, ast.AnnAssign)]
            methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
            if (
                fields
                and not made
                and not node.bases
                and "__init__" not in {m.name for m in methods}
            ):
                changeable.add(f"{node.name} has fields, but is no dataclass")
    assert changeable == CHANGEABLE


def test_the_reading_of_imports_sees_what_it_should():
    found = set(imports(Path("strategies.py"), top_level_only=False))
    assert {"hypothesis", "gradcheck.errors.UsageError"} <= found
    assert "hypothesis" not in set(imports(Path("strategies.py"), top_level_only=True))
