"""Losses and mistakes written from the documentation alone, in two sets.

They come from what the documentation promises, without a look at the code or at the losses that
the checker had been tried on. The texts stand as they were written, style and all.
"""

from __future__ import annotations

from benchmarks.outside_cases import first, second
from benchmarks.outside_cases.models import Case
from benchmarks.outside_cases.variants import cases

TOO_SMALL = "off by less than 1e-2 of any entry, in float32"
NOT_WRONG = "the same number, written otherwise"
LEFT_OUT = {
    "sinkhorn__noKu": "converged: the other iterate is the same to 2e-10",
    "irt__oneentry_f32in": TOO_SMALL,
    "tukey__small_tiny": "changes one entry, far below a thousandth of the rms",
    "t_softmax_ce__square": NOT_WRONG,
    "t_vae__right_tf32": "draws other random numbers in float32: no truth in float64",
    "crf__fancy": "no transition occurs twice: nothing is lost",
    "cpd__wrongfactor_f32": TOO_SMALL,
}
"""Cases that are not counted, and why: their label does not hold, or cannot be verified."""


def everything() -> list[Case]:
    """Every case of both sets, with those that are left out."""
    sets = {"first": first.MODELS, "second": second.MODELS}
    return [
        case for name, models in sets.items() for model in models for case in cases(model, name)
    ]


def collection() -> list[Case]:
    """The cases that count."""
    return [case for case in everything() if case.name not in LEFT_OUT]
