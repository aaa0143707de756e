"""Which modules are changed when the checker is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.checker_mutants import AREAS, meaning, modules, sample

ROOT = Path(__file__).resolve().parent.parent


def test_every_part_that_decides_is_among_the_modules() -> None:
    found = modules(ROOT, tuple(AREAS))
    paths = [path for _, path in found]
    assert len(set(paths)) == len(paths)
    assert all((ROOT / path).is_file() for path in paths)
    for area, folder in (("verdict", "verdict"), ("oracles", "oracles"), ("tracing", "tracing")):
        inside = {
            p.relative_to(ROOT).as_posix() for p in (ROOT / "gradcheck" / folder).rglob("*.py")
        }
        assert inside <= {path for of, path in found if of == area}


def test_an_area_and_names_of_modules_restrict_them() -> None:
    assert {area for area, _ in modules(ROOT, ("diagnose",))} == {"diagnose"}
    some = modules(ROOT, tuple(AREAS), ("verdict/compare", "noise"))
    assert some == [("noise", "gradcheck/noise.py"), ("verdict", "gradcheck/verdict/compare.py")]


@pytest.mark.parametrize("name", ["verdict/compares", "compare", "report"])
def test_a_name_of_no_such_module_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        modules(ROOT, tuple(AREAS), ("noise", name))


def test_a_module_of_another_area_is_refused() -> None:
    with pytest.raises(ValueError, match="verdict/compare"):
        modules(ROOT, ("noise",), ("verdict/compare",))


def test_a_draw_is_of_the_modules_named_and_repeats_itself() -> None:
    pytest.importorskip("cosmic_ray")
    one, two = ([*sample(ROOT, names=("sweep/sums",), count=3, seed=5)] for _ in range(2))
    assert {mutant.site.path for mutant in one} == {"gradcheck/sweep/sums.py"}
    assert [mutant.text for mutant in one] == [mutant.text for mutant in two]
    assert len({mutant.text for mutant in one}) == 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("zip(a, b, strict=True)", "zip(a, b, strict=False)"),
        (
            "@dataclass(frozen=True, eq=False)\nclass A: pass",
            "@dataclass(frozen=True, eq=True)\nclass A: pass",
        ),
        (
            "@dataclass(frozen=True, slots=True)\nclass A: pass",
            "@dataclass(frozen=True, slots=False)\nclass A: pass",
        ),
        ("if TYPE_CHECKING:\n    import a", "if not TYPE_CHECKING:\n    import a"),
        ("def f(a: 'int | None'): return a", "def f(a: 'int + None'): return a"),
    ],
)
def test_what_cannot_show_is_no_change(before: str, after: str) -> None:
    assert meaning(before) == meaning(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("zip(a, b, strict=True)", "zip(a, c, strict=True)"),
        (
            "@dataclass(frozen=True, eq=False)\nclass A: pass",
            "@dataclass(frozen=False, eq=False)\nclass A: pass",
        ),
        ("a.sum(-1)", "a.sum(-2)"),
        ("f(a, strict=True)", "f(a, strict=False)"),
        ("if checking:\n    import a", "if not checking:\n    import a"),
    ],
)
def test_what_can_show_is_a_change(before: str, after: str) -> None:
    assert meaning(before) != meaning(after)
