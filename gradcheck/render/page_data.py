"""The numbers that a page's pictures are drawn from, as JSON inside the page."""

from __future__ import annotations

import json

from gradcheck.report import Check, JsonValue
from gradcheck.report_json import plain


def page_data(check: Check) -> dict[str, JsonValue]:
    """Return what the page's script draws: per parameter, in order, its pictures."""
    return {
        "parameters": [
            {
                "shape": list(result.shape),
                "grids": plain(result.grids),
                "scatter": plain(result.scatter),
                "histogram": plain(result.histogram),
                "curves": plain(result.curves),
            }
            for result in check.parameter_results
        ]
    }


def script_json(value: JsonValue) -> str:
    """Return JSON that no text inside can end the surrounding script element with."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
