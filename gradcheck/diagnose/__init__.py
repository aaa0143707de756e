"""Why a gradient is wrong, and which line of the forward code it is about.

Imports point one way: evidence, matching < patterns, counterfactual < ranking < here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcheck.diagnose.curvature import largest_curvature, step_too_long
    from gradcheck.diagnose.evidence import Evidence
    from gradcheck.diagnose.ranking import diagnose, explained

__all__ = ["Evidence", "diagnose", "explained", "largest_curvature", "step_too_long"]

_HOMES = {
    "Evidence": "gradcheck.diagnose.evidence",
    "diagnose": "gradcheck.diagnose.ranking",
    "explained": "gradcheck.diagnose.ranking",
    "largest_curvature": "gradcheck.diagnose.curvature",
    "step_too_long": "gradcheck.diagnose.curvature",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
