"""The examples of the documentation run, and its reference is that of the program."""

import importlib.util
import re
import runpy

import pytest
from conftest import ROOT

DOCS = ROOT / "docs"
RUN = ("numpy", "torch", "scipy", "others")


def blocks(name):
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("name", RUN)
def test_the_examples_run(name, tmp_path):
    pytest.importorskip("torch")
    program = "\n".join(blocks(name))
    assert "assert " in program
    # A file, because a diagnosis reads the source of the line that it names.
    (tmp_path / f"{name}_example.py").write_text(program)
    runpy.run_path(str(tmp_path / f"{name}_example.py"))


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_every_link_leads_to_a_file(path):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        assert (DOCS / link).is_file(), link


def test_the_reference_is_up_to_date():
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert written == module.reference(), "run python docs/make_reference.py"
