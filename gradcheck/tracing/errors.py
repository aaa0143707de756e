"""What is raised when a target cannot be traced."""

from __future__ import annotations

from gradcheck.errors import GradcheckError
from gradcheck.tracing.contract import Site


class NotTraceable(GradcheckError):  # noqa: N818  (a state of the target, no mistake of anybody's)
    """The loss went through an operation whose derivative is not known here.

    Attributes:
        operation: name of the operation (``"numpy.fft.rfft"``).
        site: where the user's code ran it; ``None`` where no user code is concerned.
        message: what the matter is with it, without the place.
    """

    def __init__(self, operation: str, site: Site | None, message: str) -> None:
        place = f" ({site.file}:{site.line})" if site is not None else ""
        super().__init__(f"{operation}: {message}{place}")
        self.operation = operation
        self.site = site
        self.message = message


class UnsupportedError(GradcheckError):
    """Raised by a rule that does not cover the arguments it was given; the message says why."""
