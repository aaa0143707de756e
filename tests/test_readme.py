"""The README opens with a wrong gradient and what the command says of it: still true?"""

import math
import re
import shutil
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from conftest import ROOT, environment

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


def test_the_homework_trains_all_the_same():
    """Wrong as its gradient is, a falling loss does not tell."""
    program = {}
    exec(blocks("python")[0], program)
    rng = np.random.default_rng(0)
    params = {"W1": rng.normal(size=(7, 5)), "b1": np.zeros(5)}
    params |= {"W2": rng.normal(size=(5, 3)), "b2": np.zeros(3)}
    data = {"X": rng.normal(size=(20, 7)), "y": rng.integers(3, size=20), "reg": 0.01}
    losses = []
    for _ in range(200):
        value, gradient = program["loss"](**params, **data)
        losses.append(value)
        params = {name: params[name] - 0.1 * gradient[name] for name in params}
    assert losses[-1] < 0.5 * losses[0]
    assert np.mean(np.diff(losses) < 0) > 0.9


def test_make_does_what_the_commands_without_it_do():
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    done = subprocess.run(
        ["make", "-n", "-B", "run", "test"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    said = [line.replace("--quiet ", "") for line in done.stdout.splitlines()]
    commands = [line.removeprefix("$ ") for line in blocks("console")[2].splitlines()]
    assert len(commands) == 4
    assert [line for line in said if line in commands] == commands
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"


WITHOUT_TORCH = """
import sys

sys.modules["torch"] = None
import gradcheck
import reference_models

families = "spiral_softmax two_layer_net sigmoid_net tanh_logistic_net softmax_columns".split()
chosen = [case for case in reference_models.__gradcheck__ if case.name.split(".")[0] in families]
for check in gradcheck.run_cases(chosen).checks:
    print(check.name, check.verdict, check.expected.verdict)
"""


def test_without_torch_every_verdict_remains():
    """But that on a twin, which is a function of torch itself."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert found.pop("softmax_columns.wrong_twin") == ["pass", "inconclusive"]
    assert len(found) > 25
    assert {verdict for verdict, _ in found.values()} == {"pass", "fail", "error"}
    assert {name: pair for name, pair in found.items() if pair[0] != pair[1]} == {}
