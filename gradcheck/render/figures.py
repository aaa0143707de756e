"""Which pictures a parameter's row has, with their captions; the page's script draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gradcheck.render.text import visible
from gradcheck.render.words import COMPARISON_WORDS
from gradcheck.report import JsonValue, ParameterResult

_NARROW = 24
_CURVE_KEYS = {"step", "error", "chosen_step", "uncertainty", "offset", "loss", "analytic"}


@dataclass(frozen=True, slots=True)
class Figure:
    """A place for a picture: what to draw, from which curve, and what to say above it."""

    kind: str
    title: str
    caption: str
    wide: bool = False
    curve: int = 0


def figures(result: ParameterResult) -> list[Figure]:
    """Return the pictures for which ``result`` has data of the form that ``pictures`` writes."""
    found = []
    slices = result.grids.get("slices")
    if isinstance(slices, list) and slices:
        found.append(
            Figure(
                "grids",
                "Where.",
                f"Relative error of each entry against {_oracle_words(result.grids)}",
                wide=_is_wide(slices),
            )
        )
    if _has(result.scatter, "analytic", "reference", "state", "entry"):
        words = _oracle_words(result.scatter)
        found.append(
            Figure("scatter", f"Analytic against {words}.", "A right gradient lies on the line.")
        )
    if "edges" in result.histogram and "counts" in result.histogram:
        found.append(
            Figure(
                "histogram",
                "How large.",
                "Entries by relative error; the dashed line is the resolution.",
            )
        )
    for position, curve in enumerate(result.curves):
        if set(curve) >= _CURVE_KEYS:
            found += _curve_figures(curve, position)
    return found


def _curve_figures(curve: Mapping[str, JsonValue], position: int) -> list[Figure]:
    entry = visible(str(curve["index"]))[:60] if "index" in curve else "one entry"
    kink = "It has a kink here. " if curve.get("kink") else ""
    return [
        Figure(
            "steps",
            f"Error against the step, {entry}.",
            "|central difference − analytic|; without a mistake it comes down between roundoff "
            "on the left and truncation on the right.",
            curve=position,
        ),
        Figure(
            "line",
            f"The loss along {entry}.",
            f"{kink}The dashed line has the slope that the gradient claims.",
            curve=position,
        ),
    ]


def _has(data: Mapping[str, JsonValue], *keys: str) -> bool:
    return all(isinstance(data.get(key), list | str) and data[key] for key in keys)


def _oracle_words(data: Mapping[str, JsonValue]) -> str:
    return COMPARISON_WORDS.get(str(data.get("oracle")), "the oracle")


def _is_wide(slices: list[JsonValue]) -> bool:
    """Return whether a heat map needs the width of the page."""
    state = slices[0].get("state") if isinstance(slices[0], Mapping) else None
    return len(slices) > 1 or not state or len(state[0]) > _NARROW
