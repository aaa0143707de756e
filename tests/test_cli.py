"""The command line: what it prints, what it writes, and its exit status."""

import json
import subprocess
import sys
import time
from xml.etree import ElementTree

import pytest
from conftest import environment

from gradcheck.cli import run_command

RIGHT = ("homework:loss", "--inputs", "homework:make_inputs", "--no-autograd")
WRONG = ("homework:wrong", "--inputs", "homework:make_inputs", "--no-autograd")

MODELS = """
from gradcheck import Case, correct, faulty
from homework import loss, make_inputs, wrong

def half(W, X, y):
    value, grads = loss(W, X, y)
    return value, {"W": grads["W"] / 2}

__gradcheck__ = [
    Case("family.right", loss, make_inputs, expect=correct()),
    Case("family.wrong", wrong, make_inputs, expect=faulty("reg_scale", "W")),
    Case("other.half", half, make_inputs, expect=faulty("scale", "W")),
]
"""


@pytest.fixture
def command(capsys):
    """Run a command in this process: its status, stdout and stderr."""

    def run(*arguments):
        status = run_command(arguments)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def models(softmax):
    (softmax / "models.py").write_text(MODELS)
    return softmax


class TestStatus:
    def test_right(self, softmax, command):
        status, out, err = command(*RIGHT)
        assert (status, err) == (0, "")
        assert "✓ pass" in out

    def test_wrong(self, softmax, command):
        status, out, err = command(*WRONG)
        assert (status, err) == (1, "")
        assert "✗ fail" in out

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("homework:nothing",),
            ("nowhere:loss",),
            ("homework:loss",),
            ("homework:loss", "--seed", "x"),
            ("homework:loss", "--seed", "-1"),
            ("homework:loss", "--nonsense"),
        ],
    )
    def test_a_command_that_cannot_be_used(self, softmax, command, arguments):
        status, out, err = command(*arguments)
        assert (status, out) == (2, "")
        assert err

    def test_a_package_that_came_out_as_declared(self, models, command):
        status, out, _ = command("models", "--no-autograd", "--no-report", "--only", "family")
        assert status == 0
        assert "2 of 2 checks came out as declared" in out

    def test_a_package_that_did_not(self, models, command):
        (models / "models.py").write_text(MODELS.replace('faulty("scale", "W")', "correct()"))
        status, out, _ = command("models", "--no-autograd", "--no-report")
        assert status == 1
        assert "other.half" in out

    def test_of_several_a_wrong_gradient_comes_before_an_unusable_target(self, models, command):
        text = MODELS.replace('faulty("scale", "W")', "correct()")
        text = text.replace('Case("family.right", loss', 'Case("family.right", lambda W: 1 / 0')
        (models / "models.py").write_text(text)
        assert command("models", "--no-autograd", "--no-report")[0] == 1
        only = ("--only", "family.right")
        assert command("models", "--no-autograd", "--no-report", *only)[0] == 2


class TestOutput:
    def test_everything_fits_80_columns_but_the_command_that_reproduces(self, softmax, command):
        _, out, _ = command(*WRONG)
        long = [line for line in out.splitlines() if len(line) > 80]
        assert all("python -m gradcheck" in line for line in long)
        assert "\x1b" not in out

    def test_the_reproduce_line_outlasts_workers_and_checkpoint(self, softmax, command):
        options = ("--workers", "1", "--checkpoint", "kept.checkpoint", "--seed", "3")
        status, out, _ = command(*WRONG, *options)
        assert status == 1
        assert f"python -m gradcheck {' '.join(WRONG)} --seed 3\n" in out

    def test_the_reproduce_line_runs_as_printed(self, softmax, command):
        _, out, _ = command(*WRONG, "--json", "out.json", "-v")
        line = next(line for line in out.splitlines() if "python -m gradcheck" in line).strip()
        assert line == f"python -m gradcheck {' '.join(WRONG)}"
        again = subprocess.run(
            line.replace("python", sys.executable, 1),
            shell=True,
            cwd=softmax,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert again.returncode == 1
        assert line in again.stdout

    def test_quiet_says_nothing_of_what_is_right(self, softmax, command):
        assert command(*RIGHT, "-q") == (0, "", "")
        assert "fail" in command(*WRONG, "-q")[1]

    def test_json_on_stdout_is_nothing_but_json(self, softmax, command):
        (softmax / "homework.py").write_text(
            (softmax / "homework.py").read_text().replace("n = X", "print('noise'); n = X")
        )
        status, out, err = command(*RIGHT, "--json", "-")
        report = json.loads(out)
        assert status == 0
        assert report["checks"][0]["verdict"] == "pass"
        assert "✓ pass" in err

    def test_what_the_target_prints_is_counted(self, softmax, command):
        (softmax / "loud.py").write_text(
            "def loss(w):\n    print('noise')\n    return float(w @ w), 2 * w\n"
        )
        status, out, err = command("loud:loss", "--arg", "w=randn(3)", "--no-autograd")
        assert status == 0
        assert "noise" not in out
        assert "lines, beginning with 'noise'; -v lets it print" in err

    def test_files(self, softmax, command):
        files = ("--report", "out", "--json", "one.json", "--junit", "one.xml")
        status, out, _ = command(*WRONG, *files)
        assert status == 1
        assert "Report: out/index.html" in out
        for name in ("index.html", "report.json", "summary.md"):
            assert (softmax / "out" / name).stat().st_size
        data = json.loads((softmax / "one.json").read_text())
        assert data["schema"] == "gradcheck.report/1"
        suite = ElementTree.parse(softmax / "one.xml").getroot()[0]
        assert suite.attrib["failures"] == "1"

    def test_a_package_is_reported_by_default(self, models, command):
        assert command("models", "--no-autograd")[0] == 0
        assert (models / "reports" / "index.html").is_file()

    def test_a_single_target_is_not(self, softmax, command):
        command(*RIGHT)
        assert not (softmax / "reports").exists()

    def test_render_writes_the_same_report_again(self, softmax, command):
        command(*WRONG, "--report", "out")
        before = {p.name: p.read_bytes() for p in (softmax / "out").glob("*.*")}
        status, out, _ = command("--render", "out/report.json", "--report", "again")
        assert status == 0
        assert "✗ fail" in out
        for name, content in before.items():
            assert (softmax / "again" / name).read_bytes() == content

    def test_compare_says_what_became_worse(self, softmax, command):
        command(*RIGHT, "--json", "old.json")
        text = (softmax / "old.json").read_text()
        command(*WRONG, "--json", "new.json")
        new = (softmax / "new.json").read_text().replace('"wrong"', '"loss"')
        (softmax / "new.json").write_text(new)
        status, out, _ = command("--compare", "old.json", "new.json")
        assert status == 1
        assert out.startswith("1 worse")
        (softmax / "new.json").write_text(text)
        assert command("--compare", "old.json", "new.json")[0] == 0

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--render", "nowhere.json"), "No such file"),
            (("--render", "homework.py"), "is not JSON"),
            (("homework:loss", "--render", "x.json"), "takes no target"),
            (("--compare", "a.json", "b.json"), "No such file"),
            ((*RIGHT, "--json", "nowhere/x.json"), "there is no directory nowhere"),
            ((*RIGHT, "--report", "homework.py"), "this is a file"),
            ((*RIGHT, "--report", "x", "--no-report"), "exclude each other"),
        ],
    )
    def test_files_that_cannot_be_used(self, softmax, command, arguments, message):
        status, _, err = command(*arguments)
        assert status == 2
        assert message in err


class TestOnly:
    def test_an_exact_name_is_just_that_check(self, models, command):
        text = MODELS.replace("other.half", "family.right_half")
        (models / "models.py").write_text(text)
        _, out, _ = command("models", "--no-autograd", "--no-report", "--only", "family.right")
        assert "The check came out as declared" in out

    def test_a_pattern(self, models, command):
        _, out, _ = command("models", "--no-autograd", "--no-report", "--only", "*r.ha?f")
        assert "The check came out as declared" in out
        assert "other.half" in out

    def test_nothing_matches(self, models, command):
        status, _, err = command("models", "--only", "family.rigth")
        assert status == 2
        assert "did you mean 'family.right'" in " ".join(err.split())

    def test_a_single_target_has_no_checks_to_choose(self, softmax, command):
        assert command(*RIGHT, "--only", "x")[0] == 2

    def test_a_package_takes_no_inputs(self, models, command):
        status, _, err = command("models", "--arg", "W=randn(3)")
        assert status == 2
        assert "--arg describes a single target" in err


class TestUsersErrors:
    def write(self, softmax, text):
        (softmax / "mine.py").write_text(text)

    def test_the_traceback_is_the_users_own(self, softmax, command):
        self.write(
            softmax, "def loss(w):\n    return helper(w)\ndef helper(w):\n    return w['a']\n"
        )
        status, out, err = command("mine:loss", "--arg", "w=randn(3)", "--no-autograd")
        assert (status, out) == (2, "")
        assert "in helper" in err
        assert "IndexError" in err
        assert err.endswith("gradcheck: mine:loss raised IndexError\n")
        assert "pipeline.py" not in err
        assert "command.py" not in err

    def test_an_error_while_importing(self, softmax, command):
        self.write(softmax, "import nothing_of_that_name\n")
        status, _, err = command("mine:loss")
        assert status == 2
        assert 'mine.py", line 1' in err
        assert "importlib" not in err

    def test_a_syntax_error(self, softmax, command):
        self.write(softmax, "def loss(w:\n")
        status, _, err = command("mine:loss")
        assert status == 2
        assert "SyntaxError" in err

    @pytest.mark.parametrize("code", ["import sys\n    sys.exit(0)", "raise SystemExit"])
    def test_a_target_that_exits(self, softmax, command, code):
        self.write(softmax, f"def loss(w):\n    {code}\n")
        status, _, err = command("mine:loss", "--arg", "w=randn(3)", "--no-autograd")
        assert status == 2
        assert "called sys.exit" in err

    def test_a_target_without_end(self, softmax, command):
        self.write(softmax, "def loss(w):\n    return loss(w)\n")
        status, _, err = command("mine:loss", "--arg", "w=randn(3)", "--no-autograd")
        assert status == 2
        assert "RecursionError" in err
        assert len(err.splitlines()) < 80

    def test_a_target_that_changes_the_directory(self, softmax, command):
        self.write(
            softmax, "import os\ndef loss(w):\n    os.chdir('/')\n    return float(w @ w), 2 * w\n"
        )
        status, _, _ = command(
            "mine:loss", "--arg", "w=randn(3)", "--no-autograd", "--json", "out.json"
        )
        assert status == 0
        assert (softmax / "out.json").is_file()


class TestFunctions:
    SOURCE = """
import numpy as np
def loss(w, x): return float(np.sum((x @ w) ** 2))
def gradient(w, x): return 2 * x.T @ (x @ w)
gradcheck_inputs = {"w": "randn(3)", "x": "randn(5, 3)"}
state = {"w": np.array([1.0, 2.0])}
def stored(): return float(state["w"] @ state["w"]), {"w": 2 * state["w"]}
"""

    def test_a_gradient_function_with_and_without_its_module(self, workplace, command):
        (workplace / "mine.py").write_text(self.SOURCE)
        for name in ("mine:gradient", "gradient", "mine.py:gradient"):
            arguments = ("mine:loss", "--grad", name, "--wrt", "w", "--no-autograd")
            assert command(*arguments)[0] == 0, name

    def test_params(self, workplace, command):
        (workplace / "mine.py").write_text(self.SOURCE)
        assert command("mine:stored", "--params", "mine:state", "--no-autograd")[0] == 0

    def test_what_cannot_be_called(self, workplace, command):
        (workplace / "mine.py").write_text(self.SOURCE)
        status, _, err = command("mine:loss", "--grad", "mine:state")
        assert status == 2
        assert "--grad mine:state: a dict cannot be called" in err


class TestHelp:
    def test_help_fits_80_columns_and_names_every_option(self, command):
        status, out, _ = command("--help")
        assert status == 0
        assert max(map(len, out.splitlines())) <= 80
        for option in ("--inputs", "--arg", "--search", "--compare", "--no-autograd", "--hess"):
            assert option in out

    def test_version(self, command):
        assert command("--version")[1].startswith("gradcheck, version ")


class TestProcess:
    """What only a process of its own shows."""

    def test_no_autograd_imports_neither_torch_nor_other_heavy_things(self, softmax):
        program = (
            "import sys; from gradcheck.cli import run_command\n"
            f"status = run_command({[*WRONG]!r})\n"
            "heavy = {'torch', 'hypothesis', 'plotly', 'matplotlib', 'jinja2', 'dask', 'scipy'}\n"
            "print(status, sorted(heavy & set(sys.modules)))\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", program],
            cwd=softmax,
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.splitlines()[-1] == "1 []"

    @pytest.mark.parametrize(("number", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
    def test_an_interruption_reports_what_was_finished(self, models, number, status):
        import signal

        text = MODELS + "\ndef endless(W, X, y):\n    open('started', 'w').close()\n"
        text += "    import time\n    time.sleep(60)\n"
        text += "__gradcheck__.insert(1, Case('slow.endless', endless, make_inputs))\n"
        (models / "models.py").write_text(text)
        process = subprocess.Popen(
            [sys.executable, "-m", "gradcheck", "models", "--no-autograd"],
            cwd=models,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        limit = time.monotonic() + 60
        while not (models / "started").exists() and time.monotonic() < limit:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(getattr(signal, number))
        out, err = process.communicate(timeout=60)
        assert process.returncode == status
        assert "interrupted after 1 of 4 checks" in err
        assert "✓ pass" in out
        report = json.loads((models / "reports" / "report.json").read_text())
        assert [check["name"] for check in report["checks"]] == ["family.right"]

    def test_a_reader_that_leaves_early_is_no_error(self, softmax):
        line = f"{sys.executable} -m gradcheck {' '.join(WRONG)} | head -c 1"
        result = subprocess.run(
            ["bash", "-c", line],
            cwd=softmax,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in result.stderr
        assert "Exception" not in result.stderr


class TestTerminal:
    """On a terminal there are colours and a progress bar; nowhere else."""

    def run(self, folder, *arguments, **variables):
        import os
        import pty

        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "gradcheck", *arguments],
            cwd=folder,
            env=environment(TERM="xterm", COLUMNS="80", LINES="24", **variables),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        output = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:
                break
            if not piece:
                break
            output += piece
        os.close(ours)
        assert process.wait(60) == 0, output
        return output.decode()

    def test_colours_and_progress(self, models):
        output = self.run(models, "models", "--no-autograd", "--no-report")
        assert "\x1b[32m" in output
        assert "/3" in output

    def test_no_progress_and_no_colours_when_they_are_not_wanted(self, models):
        arguments = ("models", "--no-autograd", "--no-report", "--no-progress")
        assert "\x1b" not in self.run(models, *arguments, NO_COLOR="1")
