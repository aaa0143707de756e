"""The patterns that need no trace, in one list."""

from __future__ import annotations

from collections.abc import Callable

from gradcheck.diagnose.arrangement import permuted, swapped, transposed, wrong_axis
from gradcheck.diagnose.entries import duplicate_indices, isolated_entries
from gradcheck.diagnose.evidence import Evidence
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.flat import loss_ignores_parameter, zero_gradient
from gradcheck.diagnose.precision import integer_truncation, low_precision
from gradcheck.diagnose.proportional import constant_factor, data_term_factor
from gradcheck.diagnose.regulariser import regulariser

Pattern = Callable[[Evidence], tuple[Finding, ...]]

PATTERNS: tuple[Pattern, ...] = (
    zero_gradient,
    loss_ignores_parameter,
    constant_factor,
    data_term_factor,
    regulariser,
    transposed,
    permuted,
    swapped,
    wrong_axis,
    integer_truncation,
    low_precision,
    duplicate_indices,
    isolated_entries,
)


def match_patterns(evidence: Evidence) -> tuple[Finding, ...]:
    """Return what every pattern finds, in the order of the list."""
    return tuple(finding for pattern in PATTERNS for finding in pattern(evidence))
