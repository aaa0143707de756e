"""The examples of the documentation run, and its reference is that of the program."""

import ast
import importlib.util
import re
import runpy
from xml.etree import ElementTree

import pytest
from conftest import ROOT

from gradcheck.cli import run_command

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


def test_the_message_for_missing_inputs_is_the_one_that_is_shown(workplace, capsys):
    (shown,) = re.findall(
        r"```console\n\$ python -m gradcheck linear_svm.py:svm_loss\n(.*?)```",
        (DOCS / "numpy.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
    source = (ROOT / "tests" / "courses" / "linear_svm.py").read_text(encoding="utf-8")
    (workplace / "linear_svm.py").write_text(source.replace("svm_loss_vectorized", "svm_loss"))
    assert run_command(["linear_svm.py:svm_loss"]) == 2
    assert capsys.readouterr().err.startswith(shown)


def test_the_pictures_are_up_to_date():
    drawn = runpy.run_path(str(DOCS / "make_figures.py"))["figures"]()
    kept = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "figures").iterdir()}
    assert drawn == kept


def test_every_picture_is_shown_and_well_formed():
    shown = (DOCS / "verdict.md").read_text(encoding="utf-8")
    for path in (DOCS / "figures").iterdir():
        assert f"figures/{path.name})" in shown
        picture = ElementTree.parse(path).getroot()
        assert picture.find("{http://www.w3.org/2000/svg}title").text


def test_the_reference_is_up_to_date(caplog):
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert written == module.reference(), "run python docs/make_reference.py"
    # griffe warns of what a docstring names and the signature does not have.
    assert not caplog.messages


KEY = re.compile(r"[a-z]+(_[a-z0-9]+)+|sign|scale|transpose|permuted|kink|accumulates|located")
MADE_BY = {"Notice", "TargetError", "Finding", "finding", "Diagnosis", "GradientProblem", "Case"}
FROM_DTYPES = {"contract_float32", "contract_float16", "contract_bfloat16"}


def strings(node):
    return {
        one.value
        for one in ast.walk(node)
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and KEY.fullmatch(one.value)
    }


def emitted_keys():
    """Keys that a finding, a notice or an error is made with anywhere in the package."""
    keys = set()
    for path in (ROOT / "gradcheck").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                first = node.args[:1] if name in MADE_BY else []
                named = [word.value for word in node.keywords if word.arg == "cause"]
                keys |= {key for value in (*first, *named) for key in strings(value)}
            if isinstance(node, ast.FunctionDef) and node.name.endswith("cause_of"):
                returned = (one.value for one in ast.walk(node) if isinstance(one, ast.Return))
                keys |= {key for value in returned if value is not None for key in strings(value)}
    return keys | FROM_DTYPES


def documented_keys():
    text = (DOCS / "causes.md").read_text(encoding="utf-8")
    paragraphs = re.findall(r"^(\*\*`.*?`\*\*):", text, re.MULTILINE)
    rows = re.findall(r"^\| (`contract_.*?) \|", text, re.MULTILINE)
    return {key for line in (*paragraphs, *rows) for key in re.findall(r"`([a-z0-9_]+)`", line)}


def test_every_key_that_the_program_gives_is_documented():
    keys = emitted_keys()
    assert {"kink", "mutates_input", "contract_vmap", "shape_mismatch", "scale"} <= keys
    assert keys - documented_keys() == set()


def test_every_key_that_is_documented_can_be_given():
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "gradcheck").rglob("*.py")
    )
    never = {key for key in documented_keys() - FROM_DTYPES if f'"{key}"' not in source}
    assert never == set()
