"""What several checks may use together: evaluations and seconds are limits on all of them."""

from __future__ import annotations

import time
from dataclasses import replace

from gradcheck.report import Check
from gradcheck.settings import Settings

SPENT = 1e-9
"""Seconds given to a check for which no time is left: it is reported as not checked."""


class Allowance:
    """Divides ``budget`` and ``time`` of the settings among checks, in their order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._evaluations = 0
        self._deadline = None if settings.time is None else time.monotonic() + settings.time

    @property
    def used_up(self) -> bool:
        """Whether nothing is left."""
        budget = self._settings.budget
        late = self._deadline is not None and time.monotonic() >= self._deadline
        return late or (budget is not None and self._evaluations >= budget)

    def left(self) -> Settings:
        """Return the settings with what is left."""
        budget, seconds = self._settings.budget, None
        if budget is not None:
            budget = max(1, budget - self._evaluations)
        if self._deadline is not None:
            seconds = max(SPENT, self._deadline - time.monotonic())
        return replace(self._settings, budget=budget, time=seconds)

    def spend(self, check: Check) -> None:
        """Take off what a check has used."""
        self._evaluations += check.evaluations
