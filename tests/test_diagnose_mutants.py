"""Mechanically made mistakes: the first diagnosis has the declared cause and line."""

import ast
import re
from pathlib import Path

import pytest

from benchmarks import mutants, networks

SOURCE = Path(networks.__file__).read_text()
QUICK = ("linear_softmax", "hinge", "embedding")


def subject(name):
    return next(s for s in mutants.own_subjects() if s.function == name)


def shares(found):
    return (
        sum(result.cause_right for result in found) / len(found),
        sum(result.line_right for result in found) / len(found),
    )


@pytest.mark.parametrize("name", QUICK)
def test_cause_and_line_of_one_network(name):
    found = list(mutants.results(subject(name)))  # raises if the right gradient gets a cause
    assert len(found) >= 10
    cause, line = shares(found)
    assert cause >= 0.9
    assert line >= 0.85


@pytest.mark.slow
def test_all_mutants():
    found = [result for s in mutants.subjects() for result in mutants.results(s)]
    assert len(found) >= 300
    cause, line = shares(found)
    assert cause >= 0.9
    assert line >= 0.85


def test_every_mutant_declares_a_line_of_the_forward_code():
    lines = SOURCE.splitlines()
    for s in mutants.own_subjects():
        for mutant in mutants.mutants(s.annotated):
            for _, number in mutant.places:
                assert re.search(r"# @\w+", lines[number - 1])


def test_a_mutant_differs_from_its_source_in_one_statement():
    module = subject("hinge").annotated
    original = ast.unparse(module.tree).splitlines()
    for mutant in mutants.mutants(module):
        changed = ast.unparse(mutant.tree).splitlines()
        assert sum(a != b for a, b in zip(original, changed, strict=True)) == 1


def test_every_cause_that_is_found_is_documented():
    from gradcheck.diagnose.causes import SPECIFICITY

    text = (Path(networks.__file__).parent.parent / "docs" / "causes.md").read_text()
    documented = set(re.findall(r"\*\*`(\w+)`\*\*", text))
    folder = Path(networks.__file__).parent.parent / "gradcheck" / "diagnose"
    written = set()
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "Finding",
                "_finding",
                "_Attempt",
            ):
                first = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "cause")]
                written |= {n.value for n in first if isinstance(n, ast.Constant)}
    assert len(written) > 10
    assert set(SPECIFICITY) | written <= documented
