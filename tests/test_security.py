"""A checker runs strangers' code and shows what it says: nothing of that may act.

Reports are inert, and names stay inside the report's folder.
"""

from __future__ import annotations

import json
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
from gradcheck.render import html, json_file, junit, markdown, terminal
from gradcheck.render.compare_reports import compare
from gradcheck.render.files import write_report
from gradcheck.report import Diagnosis, Location, Notice

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
