"""Files are whole or not there: folders and disks that take nothing, several runs, a killed one."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import environment
from faulty_targets import assert_whole, check_target, contents, small

from gradcheck.errors import UsageError
from gradcheck.render import files
from gradcheck.render.files import write_report, write_text


class TestFolders:
    def test_a_report_that_cannot_be_written_is_said_before_anything_is_checked(self, targets):
        (targets / "taken").write_text("x")
        for place in ("taken", "taken/below"):
            status, text = check_target("right", "--report", place, cwd=targets)
            assert status == 2
            assert "is a file; name a directory" in " ".join(text.split())
            assert "loss evaluations" not in text
        assert contents(targets)["taken"] == b"x"

    @pytest.mark.parametrize("option", ["--json", "--junit"])
    def test_a_directory_is_no_file_to_write(self, targets, option):
        status, text = check_target("right", option, str(targets), cwd=targets)
        assert status == 2
        assert "this is a directory; name a file" in " ".join(text.split())

    def test_what_was_found_is_shown_although_it_cannot_be_written(self, targets):
        (targets / "out").mkdir()
        (targets / "out" / "index.html").write_text("<html>precious</html>")
        status, text = check_target(
            "right", "--report", "out", "--json", "found.json", "--junit", "found.xml", cwd=targets
        )
        assert status == 2
        assert "1.4e-08" in text or "pass" in text
        assert "was not written by gradcheck" in " ".join(text.split())
        assert "Report:" not in text
        assert contents(targets / "out") == {"index.html": b"<html>precious</html>"}
        assert json.loads((targets / "found.json").read_text())["checks"][0]["verdict"] == "pass"
        assert (targets / "found.xml").read_text().startswith("<?xml")

    @pytest.mark.parametrize(
        "name", ["assets/tables.js", "assets/gradcheck.css", "assets/plotly.min.js", "a.0.html"]
    )
    def test_nobody_elses_file_is_replaced(self, tmp_path, name):
        mine = tmp_path / name
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("/* mine */")
        (tmp_path / "notes.txt").write_text("mine, too")
        with pytest.raises(UsageError, match="not written by gradcheck"):
            write_report(small(), tmp_path)
        assert contents(tmp_path) == {name: b"/* mine */", "notes.txt": b"mine, too"}

    def test_assets_of_an_earlier_version_are_replaced(self, tmp_path):
        write_report(small(), tmp_path)
        new = contents(tmp_path)
        for name in ("tables.js", "plots.js", "gradcheck.css", "plotly.min.js"):
            path = tmp_path / "assets" / name
            path.write_text(path.read_text()[:2000] + "\n/* as it was */\n")
        write_report(small(), tmp_path)
        assert contents(tmp_path) == new

    def test_a_link_in_the_folder_is_not_followed_out_of_it(self, tmp_path):
        (tmp_path / "elsewhere.html").write_text("")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "index.html").symlink_to(tmp_path / "elsewhere.html")
        write_report(small(), tmp_path / "out")
        assert (tmp_path / "elsewhere.html").read_text() == ""
        assert_whole(tmp_path / "out")

    def test_a_link_named_as_the_file_is(self, tmp_path):
        (tmp_path / "real.json").write_text("old")
        (tmp_path / "link.json").symlink_to("real.json")
        write_text(tmp_path / "link.json", "new")
        assert (tmp_path / "link.json").is_symlink()
        assert (tmp_path / "real.json").read_text() == "new"

    def test_devices_and_pipes_are_written_to_and_never_replaced(self, tmp_path):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
        write_text(pipe, "through")
        assert reader.communicate(timeout=10)[0] == b"through"
        assert pipe.is_fifo()
        (tmp_path / "null").symlink_to(os.devnull)
        write_text(tmp_path / "null", "gone")
        assert Path(os.devnull).is_char_device()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["null", "pipe"]

    @pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser may mount")
    @pytest.mark.slow
    def test_a_place_that_is_only_read(self, tmp_path, targets):
        disk = tmp_path / "disk"
        with mounted(disk, "ro,size=100k"):
            status, text = check_target("right", "--report", str(disk / "out"), cwd=targets)
        assert status == 2
        assert "cannot be written" in " ".join(text.split())


@contextlib.contextmanager
def mounted(folder: Path, options: str):
    """A small file system of its own, in memory."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


class TestFullDisk:
    def test_no_file_appears_before_there_is_room_for_all(self, tmp_path, monkeypatch):
        write_report(small("old"), tmp_path)
        before = contents(tmp_path)
        written = []
        real = Path.write_bytes

        def write(self, content):
            written.append(self)
            if len(written) == 3:
                real(self, content[: len(content) // 2])
                raise OSError(28, "No space left on device")
            return real(self, content)

        monkeypatch.setattr(files.Path, "write_bytes", write)
        with pytest.raises(UsageError, match="No space left on device"):
            write_report(small("new"), tmp_path)
        assert contents(tmp_path) == before

    def test_a_limit_on_the_size_of_files(self, targets):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

        status, text = check_target("right", "--report", "out", cwd=targets, preexec_fn=limit)
        assert status == 2
        assert "cannot write" in " ".join(text.split())
        assert "✓ pass" in text
        assert not contents(targets / "out")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser may mount")
    @pytest.mark.slow
    def test_a_disk_that_is_full(self, tmp_path, targets):
        disk = tmp_path / "disk"
        with mounted(disk, "size=200k"):
            (disk / "old.json").write_text("{}")
            status, text = check_target(
                *("right", "--report", str(disk / "out"), "--json", str(disk / "found.json")),
                cwd=targets,
            )
            assert status == 2
            assert "No space left on device" in " ".join(text.split())
            assert "✓ pass" in text
            assert set(contents(disk)) == {"old.json", "found.json"}
            json.loads((disk / "found.json").read_text())


class TestSeveralRuns:
    WRITER = """
import sys
sys.path.insert(0, {tests!r})
import sample_reports
from gradcheck.render.files import write_report
report = sample_reports.report(*(sample_reports.error_check(f"c{{k}}") for k in range(3)))
from dataclasses import replace
report = replace(report, tool={{"name": "gradcheck", "version": sys.argv[1]}})
for _ in range(12):
    write_report(report, "out")
"""

    def test_writing_at_once_the_last_one_stands_whole(self, tmp_path):
        script = self.WRITER.format(tests=str(Path(__file__).parent))
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", script, version],
                cwd=tmp_path,
                env=environment(),
                stderr=subprocess.PIPE,
                text=True,
            )
            for version in ("11.11", "22.22")
        ]
        report = tmp_path / "out" / "report.json"
        seen = set()
        while any(writer.poll() is None for writer in writers):
            if report.exists():
                seen.add(json.loads(report.read_text())["tool"]["version"])
            time.sleep(0.002)
        for writer in writers:
            assert writer.communicate()[1] == ""
            assert writer.returncode == 0
        assert seen <= {"11.11", "22.22"}
        assert_whole(tmp_path / "out")
        last = json.loads(report.read_text())["tool"]["version"]
        other = ({"11.11", "22.22"} - {last}).pop()
        for name, content in contents(tmp_path / "out").items():
            if name.endswith(".html"):
                assert last.encode() in content, name
                assert other.encode() not in content, name


class TestHalfWrittenBefore:
    @pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5, 0.99])
    def test_a_report_cut_short_is_replaced(self, tmp_path, share):
        write_report(small(), tmp_path)
        new = contents(tmp_path)
        for name, content in new.items():
            (tmp_path / name).write_bytes(content[: int(share * len(content))])
        write_report(small(), tmp_path)
        assert contents(tmp_path) == new

    def test_what_a_killed_run_left_is_in_nobodys_way(self, tmp_path):
        left = tmp_path / ".gradcheck-0123456789ab.tmp"
        left.write_text("half")
        write_report(small(), tmp_path)
        assert left.read_text() == "half"
        left.unlink()
        assert_whole(tmp_path)

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
    def test_it_is_refused_as_something_to_read(self, workplace, share):
        write_report(small(), workplace / "out")
        path = workplace / "out" / "report.json"
        text = path.read_text()
        path.write_text(text[: int(share * len(text))])
        from gradcheck.cli import run_command

        assert run_command(["--render", str(path)]) == 2
        assert path.read_text() == text[: int(share * len(text))]


def test_pytest_says_that_a_report_could_not_be_written(tmp_path):
    from gradcheck.pytest_plugin import Collector

    (tmp_path / "index.html").write_text("precious")
    collector = Collector(str(tmp_path))
    collector.checks = list(small().checks)
    collector.pytest_sessionfinish(SimpleNamespace(config=SimpleNamespace()))
    lines = []
    collector.pytest_terminal_summary(SimpleNamespace(write_line=lines.append))
    assert "the report was not written: " in lines[0]
    assert "choose another folder" in lines[0]
    assert contents(tmp_path) == {"index.html": b"precious"}
