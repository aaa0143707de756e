"""Every promise has a test that names it, and every promise of the README is still made there."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys

import pytest
from conftest import HAS_TORCH, ROOT, environment
from promises import INTERFACE, PLAIN, README

TESTS = ROOT / "tests"
PROMISES = [*README.items(), *INTERFACE.items()]


def one_line(text):
    return " ".join(text.split())


def readme():
    return (ROOT / "README.md").read_text(encoding="utf-8")


def left_over(text):
    """What of the prose is neither a promise of the table nor a plain sentence."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    prose = one_line(re.sub(r"^#.*$", "", prose, flags=re.MULTILINE))
    for words in sorted([*README, *PLAIN.strip().splitlines()], key=len, reverse=True):
        prose = prose.replace(one_line(words), "\0")
    return [piece.strip() for piece in prose.split("\0") if re.search(r"\w", piece)]


@functools.cache
def found_in(name):
    """The tests in a file, as pytest names them."""
    found = set()
    for node in ast.parse((TESTS / name).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            inner = {f"{node.name}::{one.name}" for one in node.body if is_test(one)}
            found |= inner
        elif is_test(node):
            found.add(node.name)
    return found


def is_test(node):
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


def named():
    return {test for _, tests in PROMISES for test in tests.split()}


@pytest.mark.parametrize("words", README)
def test_the_readme_still_says_so(words):
    assert one_line(words) in one_line(readme())


def test_the_readme_promises_nothing_else():
    assert left_over(readme()) == []


def test_a_new_sentence_would_be_noticed():
    assert left_over(readme() + "\nIt also makes coffee.\n") == ["It also makes coffee."]


@pytest.mark.parametrize(("words", "tests"), PROMISES, ids=lambda text: one_line(text)[:60])
def test_a_promise_has_a_test(words, tests):
    assert tests.split()
    for test in tests.split():
        name, _, rest = test.partition("::")
        assert rest in found_in(name), test


def test_what_is_no_test_would_be_noticed():
    assert "test_right" not in found_in("test_cli.py")
    assert "TestStatus::test_right" in found_in("test_cli.py")


@pytest.mark.slow
@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed, so that files are left out")
def test_pytest_collects_them():
    files = sorted({test.partition("::")[0] for test in named()})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "", *files],
        cwd=TESTS,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    lines = (line.removeprefix("tests/").partition("[")[0] for line in done.stdout.splitlines())
    assert named() - set(lines) == set()
