"""A training curve as a small picture that needs no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gradcheck.render.text import value_text
from gradcheck.report import TrainingTrace

_WIDTH, _HEIGHT, _MARGIN = 600.0, 220.0, 8.0


@dataclass(frozen=True, slots=True)
class TracePicture:
    """Paths in a box of ``width`` x ``height``, and what to write at the ends of the axes."""

    line: str
    dots: str
    low: str
    high: str
    first: str
    last: str
    width: float = _WIDTH
    height: float = _HEIGHT


def trace_picture(trace: TrainingTrace) -> TracePicture | None:
    """Return the reproduced curve and the published points; None where nothing can be drawn."""
    reproduced = _drawable(trace.reproduced, log_scale=trace.log_scale)
    published = _drawable(trace.published, log_scale=trace.log_scale)
    points = reproduced + published
    if not points:
        return None
    steps = [step for step, _ in points]
    heights = [height for _, height in points]
    low, high = min(heights), max(heights)

    def position(point: tuple[int, float]) -> tuple[float, float]:
        along = (point[0] - min(steps)) / ((max(steps) - min(steps)) or 1)
        up = (point[1] - low) / ((high - low) or 1.0)
        x = _MARGIN + along * (_WIDTH - 2 * _MARGIN)
        return round(x, 2), round(_HEIGHT - _MARGIN - up * (_HEIGHT - 2 * _MARGIN), 2)

    places = [position(point) for point in reproduced]
    line = " ".join(f"{'L' if i else 'M'}{x} {y}" for i, (x, y) in enumerate(places))
    dots = " ".join("M{} {}h0".format(*position(point)) for point in published)
    ends = [10**value if trace.log_scale else value for value in (low, high)]
    return TracePicture(
        line=line,
        dots=dots,
        low=value_text(ends[0], 4),
        high=value_text(ends[1], 4),
        first=f"{min(steps):,}",
        last=f"{max(steps):,}",
    )


def _drawable(points: Sequence[tuple[int, float]], *, log_scale: bool) -> list[tuple[int, float]]:
    """Return the finite points, on a log axis their decimal logarithms."""
    kept = [(step, value) for step, value in points if math.isfinite(value)]
    if not log_scale:
        return kept
    return [(step, math.log10(value)) for step, value in kept if value > 0]
