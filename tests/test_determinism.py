"""The same seed gives the same report, byte for byte, apart from times, which stand in one place.

Whatever the hash seed of Python, the folder it runs in, the number of workers, or what ran before.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import SOFTMAX, environment

import gradcheck
from gradcheck.render import html, json_file, junit, markdown, terminal
from gradcheck.report import Report

TARGETS = '''
import random

import numpy as np

from gradcheck import Case


def right(w, X):
    h = np.tanh(X @ w)
    return 0.5 * float(np.sum(h * h)), {"w": X.T @ (h * (1 - h * h))}


def wrong(w, X):
    value, grads = right(w, X)
    return value, {"w": 2 * grads["w"] + 0.1 * np.sign(w)}


def draws(w, X):
    """Draws from the global generators, as dropout does."""
    keep = np.random.random(X.shape) < 0.8
    return right(w, np.where(keep, X, 0.0))


SETS = {"alpha", "beta", "gamma", "delta"}  # of no fixed order


def many(**params):
    return (
        float(sum(np.sum(p**3) for p in params.values())),
        {name: (3 if name != "beta" else 2) * params[name] ** 2 for name in SETS},
    )


point = {"w": np.linspace(-1.0, 1.0, 6), "X": np.random.default_rng(0).normal(size=(5, 6))}
names = {name: np.linspace(0.5, 1.5, 4) for name in ("alpha", "beta", "gamma", "delta")}
__gradcheck__ = [
    Case("right", right, point),
    Case("wrong", wrong, point, learning_rate=10.0),
    Case("draws", draws, point),
    Case("many", many, names),
]
'''

TORCH = """
import torch
from gradcheck import Case

torch.manual_seed(0)
layer = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Dropout(0.5)).double()
data = torch.linspace(-1, 1, 8, dtype=torch.float64).reshape(2, 4)


class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, cotangent):
        (x,) = ctx.saved_tensors
        return cotangent * 2 * x**2


x = torch.linspace(0.5, 1.5, 4, dtype=torch.float64, requires_grad=True)
__gradcheck__ = [Case("layer", layer, (data,)), Case("wrong", Wrong, (x,))]
"""


def run(folder: Path, *arguments: str, hash_seed: str = "0") -> Path:
    """Run in a process of its own; return the folder of the report."""
    done = subprocess.run(
        [sys.executable, "-m", "gradcheck", *arguments, "--report", "out", "-q"],
        cwd=folder,
        env=environment(PYTHONHASHSEED=hash_seed),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 1, 3), done.stderr
    return folder / "out"


def place(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "targets.py").write_text(TARGETS)
    (folder / "tensors.py").write_text(TORCH)
    (folder / "homework.py").write_text(SOFTMAX)
    return folder


def without_times(report: dict) -> dict:
    return {key: value for key, value in report.items() if key != "timing"}


def everything_but_times(out: Path) -> dict[str, str]:
    """The report in all formats, each with its times taken out at the one place they stand."""
    data = json.loads((out / "report.json").read_text())
    data["timing"] = {"started": "", "seconds": 0.0, "checks": {}}
    report = Report.from_dict(data)
    return {
        "json": json_file.render(report),
        "md": markdown.render(report),
        "xml": junit.render(report),
        "text": terminal.render(report, verbose=True),
        **html.render(report),
        "one": html.render(report, self_contained=True)["index.html"],
    }


def assert_same(one: Path, other: Path) -> None:
    first, second = everything_but_times(one), everything_but_times(other)
    assert list(first) == list(second)
    for name in first:
        assert first[name] == second[name], difference(first[name], second[name])
    # What is not rendered anew here is the same file as it is.
    names = sorted(str(path.relative_to(one)) for path in one.rglob("*"))
    assert names == sorted(str(path.relative_to(other)) for path in other.rglob("*"))
    for asset in (one / "assets").iterdir():
        assert asset.read_bytes() == (other / "assets" / asset.name).read_bytes()


def difference(one: str, other: str) -> str:
    at = next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    return f"{one[max(0, at - 120) : at + 120]!r} and {other[max(0, at - 120) : at + 120]!r}"


class TestSameSeed:
    def test_of_another_process_hash_seed_and_folder(self, tmp_path):
        arguments = ("targets", "--no-autograd")
        one = run(place(tmp_path, "here"), *arguments, hash_seed="1")
        other = run(place(tmp_path / "deep" / "down", "there"), *arguments, hash_seed="4242")
        assert_same(one, other)

    @pytest.mark.slow
    def test_of_torch_with_an_audit(self, tmp_path):
        one = run(place(tmp_path, "here"), "tensors", hash_seed="1")
        other = run(place(tmp_path / "deep", "there"), "tensors", hash_seed="77")
        assert_same(one, other)
        checks = json.loads((one / "report.json").read_text())["checks"]
        assert [check["verdict"] for check in checks] == ["pass", "fail"]

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "options",
        [
            ("--arg", "W=randn(D,K)", "--arg", "X=randn(N,D)", "--arg", "y=integers(K, size=N)"),
            (
                *("--arg", "W=randn(D,K)", "--arg", "X=randn(N,D)"),
                *("--arg", "y=integers(K, size=N)", "--search", "5", "--no-autograd"),
            ),
            ("--inputs", "homework:inputs", "--entries", "5", "--no-autograd"),
            ("--inputs", "homework:inputs", "--budget", "20", "--no-autograd"),
            ("--inputs", "homework:inputs", "--jitter", "0.1", "--no-autograd"),
        ],
        ids=["drawn", "searched", "sampled", "cut short", "jittered"],
    )
    def test_of_a_wrong_gradient(self, tmp_path, options):
        one = run(place(tmp_path, "here"), "homework:wrong", *options, hash_seed="1")
        other = run(place(tmp_path, "there"), "homework:wrong", *options, hash_seed="2")
        assert_same(one, other)

    @pytest.mark.slow
    def test_of_any_number_of_workers(self, tmp_path):
        found = []
        for number in ("1", "2", "3"):
            arguments = ("homework:wrong", "--inputs", "homework:inputs", "--no-autograd")
            out = run(place(tmp_path, number), *arguments, "--workers", number)
            report = without_times(json.loads((out / "report.json").read_text()))
            # The command that reproduces it names the number.
            for check in report["checks"]:
                check["reproduce"] = check["reproduce"].replace(f"--workers {number}", "")
            found.append(report)
        assert found[0] == found[1] == found[2]

    @pytest.mark.slow
    def test_of_the_reference_models(self, tmp_path):
        arguments = ("reference_models", "--only", "spiral_softmax.*")
        one = run(place(tmp_path, "here"), *arguments, hash_seed="1")
        other = run(place(tmp_path, "there"), *arguments, hash_seed="2")
        assert_same(one, other)

    def test_of_what_ran_before_in_the_same_process(self, workplace):
        from gradcheck.cli import run_command

        place(workplace, "here")
        (workplace / "targets.py").write_text(TARGETS)
        for name in ("first", "second"):
            assert run_command(["targets", "--report", name, "-q", "--no-autograd"]) == 1
        assert_same(workplace / "first", workplace / "second")


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_the_clock_of_another_machine_makes_no_difference(monkeypatch, factor):
    """Neither to what is swept and what is located, nor to anything else."""
    w = np.linspace(0.5, 1.5, 6000)

    def loss(w):
        gradient = 4 * w**3
        gradient[4321] *= 1.5
        return np.sum(w**4), gradient

    here = gradcheck.check(loss, w, autograd=False).to_dict()
    for name in ("perf_counter", "process_time", "monotonic"):
        real = getattr(time, name)
        monkeypatch.setattr(time, name, lambda real=real: factor * real())
    there = gradcheck.check(loss, w, autograd=False).to_dict()
    assert here == there
    assert here["verdict"] == "fail"
    assert "located" in [notice["key"] for notice in here["warnings"]]


def test_another_seed_gives_another_report(tmp_path):
    """The near miss: were seeds without effect, sameness would prove nothing."""
    options = ("--arg", "W=randn(D,K)", "--arg", "X=randn(N,D)", "--arg", "y=integers(K, size=N)")
    folder = place(tmp_path, "here")
    losses = set()
    for seed in ("0", "1"):
        out = run(folder, "homework:loss", *options, "--seed", seed, "--no-autograd")
        losses.add(json.loads((out / "report.json").read_text())["checks"][0]["loss"])
    assert len(losses) == 2


def test_times_stand_in_one_place(tmp_path):
    arguments = ("homework:loss", "--inputs", "homework:inputs", "--no-autograd")
    out = run(place(tmp_path, "here"), *arguments)
    data = json.loads((out / "report.json").read_text())
    timing = data.pop("timing")
    assert set(timing) == {"started", "seconds", "checks"}
    assert timing["started"] not in json.dumps(data)
    assert "seconds" not in json.dumps(data)
