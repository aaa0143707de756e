"""Which modules are changed when the checker is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.checker_mutants import AREAS, modules, sample

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
