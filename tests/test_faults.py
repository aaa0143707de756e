"""Targets that hang, exit, run out of memory, fork or kill their worker: the status says it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal

import pytest
from faulty_targets import MODELS, check_target, command, outcome, wait_for


class TestTargets:
    @pytest.mark.parametrize("name", ["exits_later", "ends_process"])
    def test_one_that_exits_is_no_pass(self, targets, name):
        status, text = check_target(name, cwd=targets)
        assert status == 2
        assert "a target must return" in text

    def test_one_that_ends_the_process_from_a_thread_is_no_pass(self, targets):
        status, text = check_target("ends_process_in_a_thread", cwd=targets)
        assert status == 2
        assert "a thread of the target ended the process" in text

    def test_processes_that_it_forks_may_end_as_they_wish(self, targets):
        status, text = check_target("forking", "--entries", "2", cwd=targets)
        assert (status, "pass" in text) == (0, True), text

    def test_one_of_several_that_exits_is_an_error_and_the_others_go_on(self, workplace):
        (workplace / "models.py").write_text(MODELS.replace("WITH_EXIT", "True"))
        status, text = outcome("models", "--json", "out.json", "--no-report", cwd=workplace)
        assert status == 2, text
        checks = json.loads((workplace / "out.json").read_text())["checks"]
        verdicts = {check["name"]: check["verdict"] for check in checks}
        assert verdicts["exits"] == "error"
        assert verdicts["last"] == "pass"
        assert len(verdicts) == 6

    def test_no_memory_is_an_error_of_the_machine_and_not_of_the_point(self, targets):
        status, text = check_target("out_of_memory_later", cwd=targets)
        assert status == 2
        assert "raised MemoryError" in text

    @pytest.mark.slow
    def test_a_limit_on_memory(self, targets):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))

        status, text = check_target("right", cwd=targets, preexec_fn=limit)
        assert status == 0, text
        status, text = check_target("two_gigabytes", cwd=targets, preexec_fn=limit)
        assert status == 2
        assert "raised MemoryError" in text

    def test_one_that_hangs_is_stopped(self, targets):
        status, text = check_target("hangs", "--timeout", "0.5", cwd=targets, timeout=30)
        assert status == 2
        assert "timed_out" in text

    def test_one_that_hangs_in_a_worker_is_stopped(self, targets):
        options = ("--workers", "2", "--timeout", "0.5")
        status, text = check_target("worker_hangs", *options, cwd=targets, timeout=30)
        assert status == 2
        assert "timed_out" in text

    @pytest.mark.parametrize(
        "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
    )
    def test_an_interruption_does_not_wait_for_workers_that_hang(self, targets, number):
        arguments = ("targets:worker_hangs", "--inputs", "targets:inputs", "--workers", "2")
        process = command(*arguments, cwd=targets, start_new_session=True)
        try:
            wait_for(targets / "hanging")
            process.send_signal(number)
            text, _ = process.communicate(timeout=20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 128 + number, text
        assert "what was finished follows" in text

    @pytest.mark.slow
    def test_the_time_of_a_check_does_not_wait_for_them_either(self, targets):
        options = ("--workers", "2", "--time", "1")
        status, text = check_target("worker_hangs", *options, cwd=targets, timeout=30)
        assert status == 3
        assert "not_checked" in text

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            pytest.param("worker_exits", "worker processes keep dying", marks=pytest.mark.slow),
            ("worker_killed", "worker processes keep dying"),
            pytest.param("worker_sys_exits", "a target must return", marks=pytest.mark.slow),
        ],
    )
    def test_one_that_ends_its_worker(self, targets, name, said):
        status, text = check_target(name, "--workers", "2", cwd=targets)
        assert status == 2
        assert said in " ".join(text.split())
