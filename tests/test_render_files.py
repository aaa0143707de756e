"""Output files: whole or not at all, inside their folder, and never over someone else's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import sample_reports
from hypothesis import given
from hypothesis import strategies as st

from gradcheck.errors import UsageError
from gradcheck.render import files
from gradcheck.render.files import write_report, write_text
from gradcheck.render.page_names import page_names
from gradcheck.report import Report


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def small() -> Report:
    return sample_reports.report(sample_reports.error_check("a"), sample_reports.error_check("b"))


def test_a_folder_with_everything(tmp_path):
    write_report(small(), tmp_path / "deep" / "reports")
    written = contents(tmp_path / "deep" / "reports")
    assert set(written) == {
        "index.html",
        "a.html",
        "b.html",
        "report.json",
        "summary.md",
        "assets/gradcheck.css",
        "assets/plots.js",
        "assets/plotly.min.js",
        "assets/tables.js",
    }
    assert Report.from_dict(json.loads(written["report.json"])).to_dict() == small().to_dict()


def test_report_write_is_short_for_it(tmp_path):
    small().write(str(tmp_path / "one"))
    write_report(small(), tmp_path / "other")
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_written_again_it_replaces_its_own_and_leaves_the_rest(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "old.html").write_text("mine too")
    write_report(small(), tmp_path)
    first = contents(tmp_path)
    write_report(sample_reports.report(sample_reports.error_check("a")), tmp_path)
    second = contents(tmp_path)
    assert second["mine.txt"] == b"mine"
    assert second["old.html"] == b"mine too"
    assert set(second) == set(first)  # nothing is deleted, nothing left over
    assert second["index.html"] != first["index.html"]


@pytest.mark.parametrize("name", ["index.html", "a.html", "summary.md", "report.json"])
def test_a_file_of_someone_else_is_not_overwritten(tmp_path, name):
    (tmp_path / name).write_text("<html>precious</html>")
    with pytest.raises(UsageError, match="not written by gradcheck"):
        write_report(small(), tmp_path)
    assert contents(tmp_path) == {name: b"<html>precious</html>"}


def test_an_empty_file_may_be_filled(tmp_path):
    (tmp_path / "index.html").write_text("")
    write_report(small(), tmp_path)
    assert (tmp_path / "index.html").stat().st_size > 1000


def test_self_contained_is_one_page(tmp_path):
    write_report(small(), tmp_path, self_contained=True)
    assert set(contents(tmp_path)) == {"index.html", "report.json", "summary.md"}


def test_nasty_names_stay_in_the_folder(tmp_path):
    folder = tmp_path / "reports"
    write_report(sample_reports.nasty_report(), folder)
    assert [p.name for p in tmp_path.iterdir()] == ["reports"]
    pages = [p.name for p in folder.glob("*.html")]
    assert len(pages) == 1 + len(sample_reports.NASTY)


def test_a_place_that_is_a_file_is_said(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(UsageError, match=r"cannot write .*taken.*give a place"):
        write_report(small(), tmp_path / "taken")
    with pytest.raises(UsageError, match="cannot write"):
        write_report(small(), tmp_path / "taken" / "below")
    assert contents(tmp_path) == {"taken": b"x"}


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere"
)
def test_a_folder_that_may_not_be_written_is_said(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot write"):
        write_report(small(), tmp_path)
    tmp_path.chmod(0o700)


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    target = tmp_path / "out.json"
    write_text(target, "old")

    def full_disk(self, content):
        with self.open("wb") as file:
            file.write(content[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.Path, "write_bytes", full_disk)
    with pytest.raises(UsageError, match="No space left on device"):
        write_text(target, "new and longer")
    assert contents(tmp_path) == {"out.json": b"old"}


def test_keyboard_interrupt_passes_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "out.json", "text")
    assert contents(tmp_path) == {}


def test_files_have_the_rights_of_ordinary_files(tmp_path):
    write_text(tmp_path / "out.txt", "x")
    (tmp_path / "plain.txt").write_text("x")
    assert (tmp_path / "out.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


def test_plain_names_stand_as_they_are():
    assert page_names(["spiral_softmax.mean_early", "a-b_C"]) == [
        "spiral_softmax.mean_early",
        "a-b_C",
    ]


@given(st.lists(st.text(max_size=60) | st.sampled_from(sample_reports.NASTY), max_size=12))
def test_page_names_are_distinct_and_safe(names):
    pages = page_names(names)
    assert len({page.casefold() for page in pages}) == len(names)
    for page in pages:
        assert page
        assert set(page) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")
        assert page[0] not in ".-"
        assert page[-1] != "."
        assert len(page) < 120
        assert page.casefold() not in ("index", "con", "nul", "assets")
        assert page.casefold().partition(".")[0] not in ("con", "nul", "com1")


@pytest.mark.parametrize("name", ["CON", "con.weights", "Nul.b.c", "index", "", "...", "LPT1"])
def test_names_that_mean_something_else_are_changed(name):
    (page,) = page_names([name])
    assert page.startswith("check-")


def test_names_do_not_depend_on_the_order():
    names = ["A/B", "A-B", "a b"]
    forwards = dict(zip(names, page_names(names), strict=True))
    backwards = dict(zip(names[::-1], page_names(names[::-1]), strict=True))
    assert forwards == backwards
    assert len(set(forwards.values())) == 3
