"""A checker runs strangers' code and shows what it says: nothing of that may act, or tell on us.

Reports are inert, inputs are never evaluated or unpickled, names stay inside the report's folder,
and no report tells where it was made or by whom.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import sample_reports
from hypothesis import given, settings
from hypothesis import strategies as st

import gradcheck
from gradcheck.cli import run_command
from gradcheck.errors import UsageError
from gradcheck.places import impersonal, impersonal_source, impersonal_text, shown_path
from gradcheck.render import html, json_file, junit, markdown, terminal
from gradcheck.render.compare_reports import compare
from gradcheck.render.files import write_report
from gradcheck.report import Diagnosis, Location, Notice
from gradcheck.targets.input_sources import load_inputs
from gradcheck.targets.spec_grammar import parse

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "]]></failure><injected/>",
    "\x1b]0;owned\x07\x1b[31mred\x1b[2J",
    "\x9b31m \x00 \r\n```\n# heading [x](javascript:alert(1))",
    '" onmouseover="alert(1)" x=\'',
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; %00 ${HOME} `id` $(id)",
    "-->\n<!-- <!doctype x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]> &e;",
)

HOMEWORK = '''
import os
import sys
import warnings

import numpy as np

HOSTILE = {hostile!r}


def loss(**params):
    """{doc}"""
    warnings.warn(HOSTILE)
    value = sum(float(np.sum(p ** 2)) for p in params.values())  # {comment}
    return value, {{name: 3 * p for name, p in params.items()}}  # {comment}


def raises(**params):
    raise type(HOSTILE[:40], (ValueError,), {{}})(HOSTILE)


def prints(**params):
    print(HOSTILE)
    return loss(**params)


inputs = {{HOSTILE: np.array([1.0, 2.0]), "W": np.eye(2)}}
'''


class Markup(HTMLParser):
    """The tags of a page, with their attributes, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def assert_inert(text: str) -> None:
    """A page that runs no script but ours, and asks for nothing outside its folder."""
    page = Markup(text)
    (policy,) = [
        a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert not {tag for tag, _ in page.tags} & {"img", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in page.tags:
        assert not any(key.startswith("on") for key in attributes), (tag, attributes)
        for key in ("src", "href"):
            value = attributes.get(key) or ""
            assert not re.match(r"\s*(javascript|data:text|file|//)", value), value
        if tag == "script":
            data = (attributes.get("type") or "").startswith("application/")
            assert data or "src" not in attributes or attributes["src"].startswith("assets/")


def assert_no_escapes(text: str) -> None:
    """Nothing that a terminal, or a reader's direction of writing, would obey."""
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text
    )


@pytest.fixture
def homework(workplace):
    """Make ``homework.py`` of which every string is hostile."""

    def make(hostile: str) -> Path:
        one_line = hostile.encode("unicode_escape").decode().replace('"', "'")
        (workplace / "homework.py").write_text(
            HOMEWORK.format(hostile=hostile, doc=one_line, comment=one_line)
        )
        sys.modules.pop("homework", None)
        return workplace

    return make


class TestReportsAreInert:
    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
    def test_whatever_the_users_strings_say(self, homework, hostile, capsys):
        folder = homework(hostile)
        arguments = ["homework:loss", "--inputs", "homework:inputs", "--no-autograd", "-v"]
        files = ["--report", "out", "--json", "found.json", "--junit", "found.xml"]
        assert run_command([*arguments, *files]) == 1
        shown = capsys.readouterr()
        assert_no_escapes(shown.out)
        pages = list((folder / "out").rglob("*.html"))
        assert len(pages) == 2
        for page in pages:
            assert_inert(page.read_text())
            assert_no_escapes(page.read_text())
        assert_no_escapes((folder / "out" / "summary.md").read_text())
        assert_no_escapes((folder / "found.json").read_text())
        (suite,) = ElementTree.parse(folder / "found.xml").getroot()
        assert [case.tag for case in suite] == ["testcase"]
        assert [part.tag for part in suite[0]] == ["failure"]
        # Inert, and yet not lost: the name stands in the data as it is.
        names = [
            p["name"]
            for p in json.loads((folder / "found.json").read_text())["checks"][0]["parameters"]
        ]
        assert any(hostile[:3] in name for name in names)

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("target", ["raises", "prints"])
    @pytest.mark.parametrize("hostile", [HOSTILE[3], HOSTILE[4]], ids=["escapes", "controls"])
    def test_nor_does_a_terminal_obey_exceptions_or_prints(self, homework, target, hostile, capsys):
        homework(hostile)
        run_command([f"homework:{target}", "--inputs", "homework:inputs", "--no-autograd"])
        shown = capsys.readouterr()
        assert_no_escapes(shown.out)
        assert_no_escapes(shown.err)

    def test_nor_do_messages_about_the_command(self, workplace, capsys):
        for arguments in (
            ["\x1b[31mno.such:module"],
            ["os:\x1b[2J"],
            ["math:sin", "--arg", "x=\x1b[31mred"],
            ["math:sin", "--size", "\x07=3"],
            ["--render", "\x1b[31m.json"],
            ["--no-such-\x1b[31moption"],
        ):
            assert run_command(arguments) == 2
            assert_no_escapes(capsys.readouterr().err)

    def test_nor_do_names_in_the_progress_bar(self, monkeypatch):
        import io

        from gradcheck.shell.progress import progress_bar

        class Terminal(io.StringIO):
            def isatty(self):
                return True

        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        with progress_bar(wanted=True) as progress:
            progress(1, 2, "\x1b]0;owned\x07[red]name")
        assert "\x1b]0;" not in stream.getvalue()
        assert "\x07" not in stream.getvalue()
        assert "[red]name" in re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", stream.getvalue())

    def test_of_two_reports_the_comparison_is_too(self):
        old, new = sample_reports.nasty_report(), sample_reports.full_report()
        for text in (compare(old, new)[0], compare(new, old)[0]):
            assert_no_escapes(text)

    @given(st.text(max_size=80))
    @settings(max_examples=30, deadline=None)
    def test_any_text_in_any_place(self, text):
        check = replace(
            sample_reports.nasty_check(text, 0),
            diagnoses=(
                Diagnosis(
                    "sign",
                    text,
                    text,
                    "likely",
                    Location(text, 3, text, text, 0, len(text), ((2, text), (3, text))),
                    {"found": text},
                    text,
                ),
            ),
            warnings=(Notice(text, text),),
            reproduce=text,
        )
        report = sample_reports.report(check)
        for name, page in html.render(report).items():
            if name.endswith(".html"):
                assert_inert(page)
                assert_no_escapes(page)
        assert_no_escapes(markdown.render(report))
        assert_no_escapes(terminal.render(report, verbose=True))
        ElementTree.fromstring(junit.render(report).encode())
        assert json.loads(json_file.render(report))["checks"][0]["reproduce"] == text


class TestInputsAreNeverEvaluated:
    @pytest.mark.parametrize(
        "content",
        [
            {"W": np.array([{"a": 1}], dtype=object)},
            {"W": np.ones(3), "y": np.array([print], dtype=object)},
        ],
        ids=["an object", "one beside numbers"],
    )
    def test_an_npz_of_objects_is_refused_with_a_way_out(self, workplace, content):
        np.savez(workplace / "data.npz", **content)
        with pytest.raises(UsageError, match=r"without unpickling.*numpy\.savez from arrays"):
            load_inputs("data.npz")

    def test_a_pickle_in_the_place_of_an_npz_is_not_run(self, workplace):
        class Trap:
            def __reduce__(self):
                return Path.touch, (workplace / "sprung",)

        (workplace / "data.npz").write_bytes(pickle.dumps(Trap()))
        with pytest.raises(UsageError, match="without unpickling"):
            load_inputs("data.npz")
        array = np.empty(1, dtype=object)
        array[0] = Trap()
        np.savez(workplace / "data.npz", W=array)
        with pytest.raises(UsageError, match="without unpickling"):
            load_inputs("data.npz")
        assert not (workplace / "sprung").exists()
        pickle.loads(pickle.dumps(Trap()))
        assert (workplace / "sprung").exists()  # the trap works

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x80\x04."])
    def test_what_is_no_npz_is_refused(self, workplace, content):
        (workplace / "data.npz").write_bytes(content)
        with pytest.raises(UsageError, match="cannot be read"):
            load_inputs("data.npz")

    def test_an_npy_of_that_name_is_refused(self, workplace):
        with (workplace / "data.npz").open("wb") as file:
            np.save(file, np.ones(3))
        with pytest.raises(UsageError, match="cannot be read"):
            load_inputs("data.npz")

    @pytest.mark.parametrize(
        "spec",
        [
            "__import__('os').system('touch sprung')",
            "open('sprung', 'w')",
            "randn(4, open('sprung','w'))",
            "(lambda: 1)()",
            "[x for x in (1,)]",
            "randn.__class__",
            "f'{open}'",
            "(y := 1)",
            "1 if 2 else 3",
            "print",
            "10 ** 10 ** 10",
            "randn(*[3])",
            "{**{}}",
            "not 1",
            "1 < 2",
            "x[0]",
            "await x",
            "yield",
            "getattr(randn, 'x')",
            "numpy.zeros(3)",
            "array('x').tofile('sprung')",
        ],
    )
    def test_code_in_the_place_of_a_spec_is_refused(self, workplace, spec):
        with pytest.raises(UsageError):
            parse("W", spec)
        assert not list(workplace.iterdir())

    WORDS = st.sampled_from(
        [
            *("randn", "integers", "array", "N", "K", "3", "0.5", "'a'", "None", "eval", "open"),
            *("__import__", "(", ")", "[", "]", "{", "}", ",", "=", "size=", "+", "-", "*", "/"),
            *("**", ".", ":", ":=", "lambda", "for", "in", "if", "else", "not", "@", "~", "f'{x}'"),
            *("\n", ";", "#", "\\", "\x00", "é", "await", "yield", "%", "<<", "1e999", "0x", "_"),
        ]
    )

    @given(st.lists(WORDS, max_size=14).map("".join) | st.text(max_size=40))
    @settings(max_examples=400, deadline=None)
    def test_any_spec_is_understood_or_refused_and_calls_nothing(self, text):
        called = []
        sys.setprofile(
            lambda frame, event, argument: (
                called.append(argument) if event == "c_call" and argument in FORBIDDEN else None
            )
        )
        try:
            with contextlib.suppress(UsageError):
                parse("W", text)
        finally:
            sys.setprofile(None)
        assert not called

    @pytest.mark.parametrize("text", ["(" * 5000, "-" * 5000 + "1", "[" * 200, "1+" * 5000 + "1"])
    def test_deep_ones_are_refused_or_read(self, text):
        with contextlib.suppress(UsageError):
            parse("W", text)


FORBIDDEN = (eval, exec, open, __import__, os.system)


class TestNamesStayInTheFolder:
    NAMES = (
        *("../../escape", "/etc/passwd", "a/../../b", "..", ".", "~/x", "C:\\windows\\x", "a\x00b"),
        *("CON", "nul.txt", "LPT1", "index", "report", "assets", "Summary", "x" * 5000, "é" * 300),
        *("same", "SAME", "Same", "same ", "ﬁ", "fi", "\u202egnp.exe", "", " ", "-rf", ".hidden"),
        *("a:b", "a?b*c", 'a"b', "trailing.", "$HOME", "%2e%2e%2f", "index.html", "a\nb"),
    )

    @pytest.mark.parametrize("self_contained", [False, True])
    def test_of_a_package(self, tmp_path, self_contained):
        checks = [sample_reports.error_check(name) for name in self.NAMES]
        inside = tmp_path / "deep" / "out"
        write_report(sample_reports.report(*checks), inside, self_contained=self_contained)
        everything = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert all(path.is_relative_to(inside) for path in everything)
        names = [path.name for path in everything]
        assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) for name in names)
        assert all(len(name.encode()) < 200 for name in names)
        pages = [path for path in everything if path.suffix == ".html"]
        assert len({path.name.casefold() for path in pages}) == len(pages)
        assert len(pages) == (1 if self_contained else 1 + len(self.NAMES))
        found = json.loads((inside / "report.json").read_text())
        assert [check["name"] for check in found["checks"]] == list(self.NAMES)

    def test_nor_do_checkpoints_leave_theirs(self, tmp_path):
        def loss(w):
            return float(np.sum(w**2)), {"w": 2 * w}

        for number, name in enumerate(("../../escape", "a/b", "x\x00y", "y" * 400)):
            folder = tmp_path / str(number) / "deep"
            folder.mkdir(parents=True)
            case = gradcheck.Case(name, loss, {"w": np.ones(2)})
            found = gradcheck.run_cases(
                [case], gradcheck.Settings(checkpoint=str(folder / "kept"), autograd=False)
            )
            assert found.checks[0].verdict == "pass", found.checks[0].diagnoses
            assert [
                path.parent for path in (tmp_path / str(number)).rglob("*") if path.is_file()
            ] == [folder]


HOME = "/home/alice-in-chains"


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    """A project, and a data folder outside it, under the home of someone with a name."""
    home = tmp_path / "home" / "alice-in-chains"
    project, elsewhere = home / "project", home / "elsewhere"
    project.mkdir(parents=True)
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USER", "alice-in-chains")
    monkeypatch.setenv("API_TOKEN", "s3cr3t-t0k3n")
    monkeypatch.chdir(project)
    path, modules = list(sys.path), set(sys.modules)
    yield project, elsewhere
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(home)):
            del sys.modules[name]


LEAKY = """
import os
import warnings
import numpy as np

ELSEWHERE = {elsewhere!r}
calls = 0


def right(w):
    return float(np.sum(w ** 2)), {{"w": 2 * w}}


def wrong(w):
    s = np.asarray(w)  # see {elsewhere}/notes.txt
    value = float(np.sum(s ** 2))
    return value, {{"w": 3 * s}}


def raises(w):
    return np.load(os.path.join(ELSEWHERE, "missing.npy")), {{"w": w}}


def raises_later(w):
    global calls
    calls += 1
    if calls > 8:
        open(os.path.join(ELSEWHERE, "missing.txt"))
    return right(w)


def not_finite(w):
    warnings.warn(ELSEWHERE)
    return float("nan"), {{"w": w}}


def untraceable(w):
    if not isinstance(w, np.ndarray) or type(w) is not np.ndarray:
        raise ValueError("cannot read " + ELSEWHERE + "/extra")
    return right(w)


inputs = {{"w": np.array([1.0, 2.0])}}
"""


class TestReportsTellNothingOfTheirOrigin:
    def assert_impersonal(self, folder: Path, tmp_path: Path) -> None:
        files = [
            path for path in folder.rglob("*") if path.suffix in (".html", ".json", ".md", ".xml")
        ]
        assert files
        for path in files:
            text = path.read_text()
            for secret in (str(tmp_path), "alice-in-chains", "s3cr3t", "API_TOKEN", sys.prefix):
                assert secret not in text, (
                    path.name,
                    text[max(0, text.index(secret) - 200) :][:400],
                )

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("autograd", ["--autograd", "--no-autograd"])
    @pytest.mark.parametrize("where", ["project", "elsewhere"])
    def test_of_single_targets(self, at_home, tmp_path, where, autograd):
        project, elsewhere = at_home
        home = project if where == "project" else elsewhere
        (home / "leaky.py").write_text(LEAKY.format(elsewhere=str(elsewhere)))
        np.savez(elsewhere / "data.npz", w=np.ones(2))
        for target in ("right", "wrong", "raises_later", "not_finite", "untraceable"):
            out = project / target
            status = run_command(
                [
                    *(f"{home / 'leaky.py'}:{target}", "--inputs", str(elsewhere / "data.npz")),
                    *("--report", str(out), "--json", str(out) + ".json", autograd),
                    *("--junit", str(out) + ".xml", "-q"),
                ]
            )
            assert status == {"right": 0, "wrong": 1, "untraceable": 0}.get(target, 2)
            if target != "raises_later":
                self.assert_impersonal(out, tmp_path)
        self.assert_impersonal(project, tmp_path)

    @pytest.mark.filterwarnings("ignore")
    def test_of_a_package_whose_targets_raise(self, at_home, tmp_path):
        project, elsewhere = at_home
        text = LEAKY.format(elsewhere=str(elsewhere)) + (
            "\nfrom gradcheck import Case\n"
            "targets = (right, wrong, raises, not_finite)\n"
            "__gradcheck__ = [Case(f.__name__, f, inputs) for f in targets]\n"
        )
        (project / "leaky.py").write_text(text)
        assert run_command(["leaky", "--report", "out", "--self-contained", "--no-autograd"]) == 1
        self.assert_impersonal(project / "out", tmp_path)
        found = json.loads((project / "out" / "report.json").read_text())["checks"]
        messages = {check["name"]: check["diagnoses"] for check in found}
        # The name of the file still tells what is missing.
        assert "missing.npy" in messages["raises"][0]["message"]

    def test_the_result_in_python_does_not_either(self, at_home, tmp_path):
        _, elsewhere = at_home

        def loss(w):
            if np.any(w != 1):
                raise FileNotFoundError(f"{elsewhere}/more.npy")
            return 2.0, {"w": w}

        check = gradcheck.check(loss, {"w": np.ones(2)}, autograd=False)
        text = json.dumps(check.to_dict())
        assert "more.npy" in text
        assert str(tmp_path) not in text

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("no file '/usr/share/nowhere/data.npz'.", "no file 'data.npz'."),
            ("dL/dW /n/2, 1/(2*n) and a/b", "dL/dW /n/2, 1/(2*n) and a/b"),
            ("https://example.org/usr/share/x", "https://example.org/usr/share/x"),
            ("C:\\Users\\alice\\x.npz is not there", "x.npz is not there"),
            ("python -m gradcheck /usr/a/file.py:loss", "python -m gradcheck file.py:loss"),
            ("both relative/path.py and ../other.py", "both relative/path.py and ../other.py"),
            ("file=/usr/x/y.npz,/usr/z/w.npz", "file=y.npz,w.npz"),
        ],
    )
    def test_paths_within_a_text(self, text, shown):
        assert impersonal_text(text) == shown

    def test_paths_below_the_project_keep_their_folders(self, workplace):
        assert impersonal_text(f"in {workplace}/src/loss.py, line 3") == "in src/loss.py, line 3"
        assert shown_path(str(workplace / "src" / "loss.py")) == str(Path("src") / "loss.py")
        assert shown_path(np.__file__) == str(Path("numpy") / "__init__.py")

    def test_a_line_of_source_keeps_its_columns(self, monkeypatch):
        monkeypatch.setenv("HOME", HOME)
        line = f"x = np.load('{HOME}/x.npy') + np.sin(w)"
        shown = impersonal_source(line)
        assert HOME not in shown
        assert "alice" not in shown
        assert len(shown) == len(line)
        assert shown.index("np.sin") == line.index("np.sin")

    def test_what_is_impersonal_stays_as_it_is(self):
        for check in sample_reports.full_report().checks:
            assert impersonal(check) == check
