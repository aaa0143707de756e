"""Declared checks, one after the other: what a package of them says of each is its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from gradcheck.assemble import error_check, make_report
from gradcheck.case import Case
from gradcheck.errors import GradcheckError, TargetError
from gradcheck.pipeline import check
from gradcheck.places import impersonal
from gradcheck.report import (
    Check,
    Expectation,
    Report,
    Story,
    TrainingTrace,
    Verdict,
)
from gradcheck.settings import Settings
from gradcheck.sweep.allowance import Allowance
from gradcheck.targets.make_problem import Progress, describe_target

DECLARED_ORACLES = ("central", "complex", "autograd", "forward")
"""Oracles of declared checks, where nobody chose: all that apply."""


def run_cases(
    cases: Iterable[Case],
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
    stories: Sequence[Story] = (),
    traces: Sequence[TrainingTrace] = (),
    pictures: bool = False,
) -> Report:
    """Run declared checks; a target that raises becomes a check with verdict ``error``."""
    listed = list(cases)
    allowance = Allowance(settings or Settings())
    done = []
    for number, case in enumerate(listed):
        if progress is not None:
            progress(number, len(listed), case.name)
        done.append(run_case(case, allowance.left(), pictures=pictures))
        allowance.spend(done[-1])
    if progress is not None:
        progress(len(listed), len(listed), "")
    return make_report(done, stories=stories, traces=traces)


def run_case(case: Case, settings: Settings, *, pictures: bool = False) -> Check:
    """Run one declared check with every oracle that applies, unless the settings choose."""
    chosen = settings
    if settings.oracles is None:
        excluded = () if settings.autograd else ("autograd", "forward")
        chosen = replace(
            settings, oracles=tuple(name for name in DECLARED_ORACLES if name not in excluded)
        )
    if settings.checkpoint is not None:
        # Each check of a package keeps its work in a file of its own.
        chosen = replace(chosen, checkpoint=f"{settings.checkpoint}.{_file_name(case.name)}")
    began = time.monotonic()
    expect = case.expect or Expectation(Verdict.PASS)
    try:
        target = _resolved(case.target)
        inputs = case.inputs() if callable(case.inputs) else case.inputs
        found = check(
            target,
            inputs,
            case.wrt,
            grad=case.grad,
            vjp=case.vjp,
            params=case.params,
            torch=case.torch,
            settings=chosen,
            name=case.name,
            expect=expect,
            learning_rate=case.learning_rate,
            pictures=pictures,
            thorough=True,
        )
    except GradcheckError as error:
        problem = TargetError("unusable", str(error))
        found = error_check(case.name, _target_text(case), problem, chosen, expect=expect)
    except (Exception, SystemExit) as error:
        if not _from_target(error):
            raise
        problem = TargetError("target_raised", f"{type(error).__name__}: {error}")
        found = error_check(case.name, _target_text(case), problem, chosen, expect=expect)
    found = replace(
        found,
        family=case.name.partition(".")[0],
        source=case.source,
        note=case.note,
        seconds=time.monotonic() - began,
    )
    return impersonal(found)


def _file_name(name: str) -> str:
    """Return a part of a file's name for a check: each its own, and none leaves its folder."""
    import hashlib

    from gradcheck.render.page_names import page_names

    (stem,) = page_names([name])
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return stem if stem == name else f"{stem}-{digest}"


def _from_target(error: BaseException) -> bool:
    """Whether an exception passed through code that is not ours."""
    import traceback
    from pathlib import Path

    own = str(Path(__file__).parent)
    frames = traceback.extract_tb(error.__traceback__)
    return any(not frame.filename.startswith(own) for frame in frames)


def _resolved(target: Callable[..., Any] | str) -> Callable[..., Any]:
    if not isinstance(target, str):
        return target
    from gradcheck.targets.target import callable_target, resolve

    return callable_target(resolve(target))


def _target_text(case: Case) -> str:
    return case.target if isinstance(case.target, str) else describe_target(case.target)
