"""The README opens with a wrong gradient and what the command says of it: still true?"""

import math
import re

import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def as_number(word):
    try:
        return float(word.strip("(),;"))
    except ValueError:
        return None


def same_word(shown, real):
    """Equal; or, for measured numbers, equal to three digits, or both lost in rounding."""
    a, b = as_number(shown), as_number(real)
    if a is None or b is None:
        return shown == real
    return math.isclose(a, b, rel_tol=1e-3) or max(abs(a), abs(b)) < 1e-7


def test_the_output_shown_is_the_output_given(workplace, shell):
    pytest.importorskip("torch")
    program, shown = blocks("python")[0], blocks("console")[0]
    command, expected = shown.split("\n", 1)
    assert command == "$ python -m gradcheck homework:loss"
    (workplace / "homework.py").write_text(program)
    result = shell("homework:loss", cwd=workplace)
    assert result.returncode == 1, result.stderr
    timed = r"[0-9,]+\s+loss\s+evaluations\s+in\s+[0-9.]+\s+\w+\."
    real, expected = (re.sub(timed, "TIME", text) for text in (result.stdout, expected))
    real_lines, lines = real.rstrip().splitlines(), expected.rstrip().splitlines()
    assert len(real_lines) == len(lines), result.stdout
    for line, real_line in zip(lines, real_lines, strict=True):
        words, real_words = line.split(), real_line.split()
        assert len(words) == len(real_words), (line, real_line)
        assert all(map(same_word, words, real_words)), (line, real_line)


def test_the_comparison_of_words_can_fail():
    assert same_word("1.4", "1.4")
    assert same_word("3e-9", "1e-16")
    assert not same_word("1.4", "1.5")
    assert not same_word("pass", "fail")


def test_every_link_leads_to_a_file():
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).is_file(), link
