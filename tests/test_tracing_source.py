"""Which functions are rebuilt from their source, and from which text."""

from __future__ import annotations

import functools
import linecache
from typing import Any

import numpy as np
import pytest

from gradcheck.tracing import NotTraceable, trace
from gradcheck.tracing.source import Rebuilder

pytest.importorskip("torch")

V = np.array([0.5, -2.0])
LIBRARY = functools.__file__.removesuffix("functools.py")

# Each of the next lines holds several lambdas; a conditional compiles its condition first.
CHOSEN = (lambda x: x * 2.0) if (lambda x: x > 0)(1.0) else (lambda x: x * 3.0)
THREE = [lambda x: x * 5.0, lambda x: x * 7.0, lambda x: x * 11.0]
DEEPER = [lambda x: (lambda y: y * 13.0)(x), lambda x: (lambda y: y * 17.0)(x)]


@pytest.mark.parametrize(
    ("function", "slope"),
    [(CHOSEN, 2), (THREE[0], 5), (THREE[1], 7), (THREE[2], 11), (DEEPER[0], 13), (DEEPER[1], 17)],
)
def test_of_lambdas_on_one_line_the_one_in_place_is_followed(function: Any, slope: float) -> None:
    v = V.copy()
    found = trace(lambda v: np.sum(function(v)), (v,), {}, {"v": v})
    assert found.loss == slope * V.sum()
    assert found.backward()["v"].tolist() == [slope, slope]


def made(text: str, filename: str, module: str = "mine") -> Any:
    """The function ``f`` of a module's text."""
    space: dict[str, Any] = {"__name__": module}
    exec(compile(text, filename, "exec"), space)
    return space["f"]


@pytest.mark.parametrize(
    ("filename", "module", "is_open"),
    [
        ("/home/me/model.py", "model", True),
        ("/home/me/model.py", "torch", False),
        ("/home/me/model.py", "torch.nn.modules", False),
        ("/home/me/model.py", "torchmodel", True),
        ("/home/me/model.py", "gradcheck.tracing.hooks", False),
        (f"{LIBRARY}heapq.py", "heapq", False),
        (f"{LIBRARY}site-packages/scipy/stats/made.py", "scipy.stats", True),
        (f"{LIBRARY}dist-packages/scipy/stats/made.py", "scipy.stats", True),
        (f"{LIBRARY}site-packages/numba/made.py", "numba", False),
        ("<frozen os>", "os", False),
    ],
)
def test_all_but_torch_and_the_standard_library_is_open(
    filename: str, module: str, is_open: bool
) -> None:
    assert Rebuilder().is_open(made("def f(x): return x", filename, module)) is is_open


def test_a_function_of_no_module_is_open() -> None:
    function = made("def f(x): return x", "/home/me/model.py")
    function.__module__ = None
    assert Rebuilder().is_open(function)


TEXT = "def f(x, y=2.0, u=1.0, *, z=1.0):\n    return x * y * u * z\n"


def rebuilt(text: str, now: str, name: str) -> Any:
    """``f`` of a module's text, rebuilt when its file says something else."""
    filename = f"/home/me/{name}.py"
    function = made(text, filename)
    linecache.cache[filename] = (len(now), None, now.splitlines(keepends=True), filename)
    return Rebuilder().rebuild(function)


def test_what_is_rebuilt_is_called_as_the_original_is() -> None:
    function = rebuilt(TEXT, TEXT, "as_it_was")
    assert function(3.0) == 6.0
    assert function(3.0, 5.0, 2.0, z=7.0) == 210.0
    assert Rebuilder().rebuild(function) is function


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("fewer", "x, y=2.0, *, z=1.0"),
        ("more", "x, y=2.0, u=1.0, w=3.0, *, z=1.0"),
        ("no_longer_by_name", "x, y=2.0, u=1.0, z=1.0"),
        ("one_more_by_name", "x, y=2.0, u=1.0, *, z=1.0, w=1.0"),
        ("one_less_by_name", "x, y=2.0, u=1.0"),
        ("any_number", "x, y=2.0, u=1.0, *others, z=1.0"),
        ("any_name", "x, y=2.0, u=1.0, *, z=1.0, **others"),
        ("another_name", "x, y=2.0, w=1.0, *, z=1.0"),
        ("another_first_name", "w, y=2.0, u=1.0, *, z=1.0"),
        ("another_keyword", "x, y=2.0, u=1.0, *, a=1.0"),
        ("a_later_keyword", "x, y=2.0, u=1.0, *, zz=1.0"),
        ("no_function", None),
        ("no_python", "x, ("),
    ],
)
def test_a_file_that_has_changed_since_is_not_its_source(name: str, signature: str | None) -> None:
    now = "f = 1\n" if signature is None else f"def f({signature}):\n    return 1.0\n"
    assert rebuilt(TEXT, now, name) is None


def test_a_function_that_yields_now_is_another() -> None:
    assert rebuilt(TEXT, TEXT.replace("return", "yield"), "yields") is None


AROUND = """def f(a):
    def inner(x):
        return x * a
    return inner
f = f(3.0)
"""


def test_what_it_closes_over_must_be_the_same() -> None:
    assert rebuilt(AROUND, AROUND, "closed_over")(2.0) == 6.0
    assert rebuilt(AROUND, AROUND.replace("x * a", "x * 2"), "closed_over_no_more") is None


def test_without_a_file_there_is_nothing_to_rebuild() -> None:
    function = made(TEXT, "/home/me/no_such_file.py")
    assert Rebuilder().rebuild(function) is None
    v = V.copy()
    with pytest.raises(NotTraceable, match="its source cannot be found"):
        trace(lambda v: np.sum(function(v)), (v,), {}, {"v": v})
