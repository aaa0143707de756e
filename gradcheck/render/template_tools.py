"""What the templates call: words, numbers, marks; everything that they print passes ``shown``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gradcheck.render import text, words
from gradcheck.render.excerpt import excerpt, place
from gradcheck.render.figures import figures
from gradcheck.render.trace_picture import trace_picture
from gradcheck.report import Check, JsonValue, ParameterResult, Report, Verdict

if TYPE_CHECKING:
    from markupsafe import Markup

_DECADES = 16
_LONGEST = 20_000


def shown(value: Any) -> Any:
    """Make what a template prints visible and bounded; markup made by templates stays as it is."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return text.clip(value, _LONGEST)
    return value


def bar_percent(error: float) -> float:
    """Return how far a relative error reaches on a logarithmic bar from 1e-16 to 1, in percent."""
    if math.isnan(error) or error <= 0:
        return 0.0
    if math.isinf(error):
        return 100.0
    return round(100 * min(1.0, max(0.0, 1 + math.log10(error) / _DECADES)), 1)


def sort_number(value: float) -> str:
    """Return a number for a table's script to sort by; empty where there is none."""
    return "" if math.isnan(value) else repr(float(value))


def verdict_counts(report: Report) -> list[tuple[Verdict, int]]:
    """Return how many checks there are of each verdict that occurs."""
    counts = [(verdict, sum(c.verdict is verdict for c in report.checks)) for verdict in Verdict]
    return [(verdict, count) for verdict, count in counts if count]


def is_link(source: str) -> bool:
    """Return whether a source can be followed as a link."""
    return source.startswith(("https://", "http://")) and text.visible(source) == source


def evidence_items(evidence: Mapping[str, JsonValue]) -> list[tuple[str, str]]:
    """Return the evidence of a diagnosis as words."""
    return [(key.replace("_", " "), evidence_text(value)) for key, value in evidence.items()]


def opens(check: Check, result: ParameterResult) -> bool:
    """Return whether a parameter's row is open at first: the first to look at."""
    return len(check.parameter_results) == 1 or (
        result.verdict is not Verdict.PASS and result is words.worst_parameter(check)
    )


def prose(message: str) -> Markup:
    """Return a message, its pieces between backticks as code."""
    from markupsafe import Markup, escape

    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if is_code else escape(piece)
        for is_code, piece in text.code_spans(text.clip(message))
    )


def breakable(name: str) -> Markup:
    """Return a name that may break after a dot, an underscore, a colon or a slash."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([._:/]+)(?=[^._:/])", r"\1<wbr>", str(escape(name))))


def slope_text(value: JsonValue, digits: int) -> str:
    """Return a measured number of a directional check; a dash where there is none."""
    return text.value_text(value, digits) if isinstance(value, int | float) else "–"


def evidence_text(value: JsonValue) -> str:
    """Return one value of some evidence as words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return text.value_text(value, 6)
    if isinstance(value, list | tuple):
        return ", ".join(evidence_text(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {evidence_text(item)}" for key, item in value.items())
    return str(value)


FILTERS: dict[str, Callable[..., Any]] = {
    "breakable": breakable,
    "name": text.name_of,
    "prose": prose,
    "clip": text.clip,
    "error": text.error_text,
    "value": text.value_text,
    "shape": text.shape_text,
    "index": text.index_text,
    "seconds": text.seconds_text,
}

FUNCTIONS: dict[str, Any] = {
    "against": words.against,
    "bar_percent": bar_percent,
    "check_sentence": words.check_sentence,
    "checked_text": text.checked_text,
    "comparison_title": words.comparison_title,
    "count_text": text.count_text,
    "evidence_items": evidence_items,
    "evidence_text": evidence_text,
    "slope_text": slope_text,
    "excerpt": excerpt,
    "expectation_sentence": words.expectation_sentence,
    "expectation_word": words.expectation_word,
    "figures": figures,
    "glyphs": words.GLYPHS,
    "headline": words.headline,
    "is_link": is_link,
    "opens": opens,
    "oracle_keys": words.oracle_keys,
    "oracle_words": words.COMPARISON_WORDS,
    "parameter_facts": words.parameter_facts,
    "place": place,
    "references_by_oracle": words.references_by_oracle,
    "sort_number": sort_number,
    "trace_picture": trace_picture,
    "verdict_counts": verdict_counts,
    "worst_parameter": words.worst_parameter,
}
