"""The exceptions that gradcheck raises, one family."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradcheck.report import Check


class GradcheckError(Exception):
    """Base class of every exception that gradcheck itself raises."""


class UsageError(GradcheckError, ValueError):
    """The call or the command line cannot be used as written; the message says what to write."""


class TargetError(GradcheckError):
    """The target could not be checked; ``cause`` is one of the published cause keys.

    ``parameter`` names the parameter concerned, or is empty when the whole call is.
    ``verdict_is_fail`` tells a gradient that is wrong by itself (a missing key, a wrong shape)
    from a target that cannot be judged at all.
    """

    def __init__(
        self, cause: str, message: str, *, parameter: str = "", verdict_is_fail: bool = False
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.parameter = parameter
        self.verdict_is_fail = verdict_is_fail


class GradientError(GradcheckError, AssertionError):
    """A gradient is wrong, or could not be shown to be right; the message is the table."""


class Interrupted(KeyboardInterrupt):
    """A check was interrupted (Ctrl-C, SIGTERM); ``check`` holds what was finished."""

    def __init__(self, check: Check) -> None:
        super().__init__("interrupted")
        self.check = check
