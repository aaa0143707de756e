"""``report.json`` as text: plain ASCII, so that no name can break it, and a line per check."""

from __future__ import annotations

import json

from gradcheck.report import JsonValue, Report
from gradcheck.report_json import report_to_dict


def render(report: Report) -> str:
    """Return the report as JSON text (see ``gradcheck/report_schema.json``)."""
    items = []
    for key, value in report_to_dict(report).items():
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join(_dumps(item) for item in value) + "\n]"
        else:
            text = _dumps(value)
        items.append(f"{_dumps(key)}: {text}")
    return "{\n" + ",\n".join(items) + "\n}\n"


def _dumps(value: JsonValue) -> str:
    return json.dumps(value, allow_nan=False)
