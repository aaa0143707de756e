"""Checks analytic gradients: right or wrong, where, why, and on which line.

The public names are resolved when they are first used, so that importing the package imports
nothing else; ``python -m gradcheck --help`` says how to use it from the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import gradcheck.strategies as strategies
    from gradcheck.case import Case, correct, erroneous, faulty
    from gradcheck.declared import run_cases
    from gradcheck.errors import GradcheckError, GradientError, TargetError, UsageError
    from gradcheck.pipeline import assert_gradients, check
    from gradcheck.report import (
        Check,
        Comparison,
        Diagnosis,
        Entry,
        Expectation,
        Location,
        Notice,
        ParameterResult,
        Report,
        Story,
        TrainingTrace,
        Verdict,
    )
    from gradcheck.settings import Settings
    from gradcheck.targets.input_sources import inputs

__version__ = "0.1.0"

_MODULES = {
    "Case": "case",
    "correct": "case",
    "erroneous": "case",
    "faulty": "case",
    "GradcheckError": "errors",
    "GradientError": "errors",
    "TargetError": "errors",
    "UsageError": "errors",
    "inputs": "targets.input_sources",
    "assert_gradients": "pipeline",
    "check": "pipeline",
    "run_cases": "declared",
    "Check": "report",
    "Comparison": "report",
    "Diagnosis": "report",
    "Entry": "report",
    "Expectation": "report",
    "Location": "report",
    "Notice": "report",
    "ParameterResult": "report",
    "Report": "report",
    "Story": "report",
    "TrainingTrace": "report",
    "Verdict": "report",
    "Settings": "settings",
}

__all__ = [
    "Case",
    "Check",
    "Comparison",
    "Diagnosis",
    "Entry",
    "Expectation",
    "GradcheckError",
    "GradientError",
    "Location",
    "Notice",
    "ParameterResult",
    "Report",
    "Settings",
    "Story",
    "TargetError",
    "TrainingTrace",
    "UsageError",
    "Verdict",
    "__version__",
    "assert_gradients",
    "check",
    "correct",
    "erroneous",
    "faulty",
    "inputs",
    "run_cases",
    "strategies",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "strategies":
        return import_module("gradcheck.strategies")
    if name in _MODULES:
        value = getattr(import_module(f"gradcheck.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'gradcheck' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
