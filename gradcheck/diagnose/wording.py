"""The sentences of a diagnosis that a trace supports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcheck.diagnose.finding import spoken
from gradcheck.diagnose.operations import derivative_in_words
from gradcheck.diagnose.sites import in_words
from gradcheck.tracing.contract import Operation

if TYPE_CHECKING:
    from gradcheck.diagnose.causes import Explanation
    from gradcheck.diagnose.factors import Factor
    from gradcheck.diagnose.plan import Trial

_RUNS = {
    "": "",
    "every": " (in every one of its {n} runs)",
    "last": " (in the last of its {n} runs)",
    "first": " (in the first of its {n} runs)",
    "all but the last": " (in all of its {n} runs but the last)",
    "all but the first": " (in all of its {n} runs but the first)",
    "one": " (in one of its runs)",
}

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")

_TEXTS = {
    "activation_mask_missing": (
        "{which} is treated as the identity",
        "In the backward pass of line {line}, multiply the gradient by the mask: {derivative}.",
    ),
    "activation_derivative_missing": (
        "{which} is treated as the identity",
        "In the backward pass of line {line}, multiply the gradient by {derivative}.",
    ),
    "factor_missing": (
        "{which} is treated as the identity: its factor is missing",
        "In the backward pass of line {line}, multiply the gradient by {derivative}.",
    ),
    "extra_activation_derivative": (
        "the derivative of {which} is applied twice",
        "Apply {derivative} once: the gradient that arrives at line {line} contains it already.",
    ),
    "extra_factor": (
        "the other factor of {which} is applied twice",
        "In the backward pass of line {line}, multiply by {derivative} once.",
    ),
    "transpose": (
        "the other factor of {which} is used transposed",
        "In the backward pass of line {line}, transpose the other factor of the product.",
    ),
    "sign": (
        "the gradient through {which} has the wrong sign",
        "In the backward pass of line {line}, negate what is handed on.",
    ),
    "batch_not_divided": (
        "the gradient through {which} is {size} times too large ({words}): a division is missing",
        "In the backward pass of line {line}, divide by {size}.",
    ),
    "batch_divided_twice": (
        "the gradient through {which} is divided by {size} once too often ({words})",
        "In the backward pass of line {line}, leave out one division by {size}.",
    ),
    "scale": (
        "the gradient through {which} is multiplied by {factor}",
        "In the backward pass of line {line}, take the factor {factor} out.",
    ),
    "reg_missing": (
        "the regulariser in {which} is left out",
        "Add the derivative of the regulariser of line {line} to the gradient.",
    ),
    "reg_scale": (
        "the regulariser in {which} counts {factor} times in the gradient",
        "Make the regulariser's gradient the derivative of the term in line {line}: it is "
        "{factor} times that now.",
    ),
    "path_detached": (
        "{result} is treated as a constant",
        "Add the gradient that flows through line {line}.",
    ),
    "term_missing": (
        "the gradient's term through {which} is left out",
        "Add the term that comes from line {line}.",
    ),
    "last_step_missing": (
        "the gradient through {which} is left out",
        "Let the backward loop begin at the last run of line {line}.",
    ),
    "zero_gradient": (
        "nothing flows back through {which}: it is zero in every entry",
        "Compute the gradient through line {line} and store it where it is returned from.",
    ),
}
"""Message and remedy by cause; after 'what you get when'."""


def word(
    cause: str, operation: Operation, names: tuple[str, ...], explanation: Explanation
) -> tuple[str, str]:
    """Return message and remedy for a cause at an operation."""
    what = spoken(names)
    trial = explanation.trial
    which = _subject(operation, trial) + _RUNS[trial.runs].format(n=trial.n_runs)
    sure = "exactly" if explanation.confidence == "exact" else "nearly (99% of the error)"
    opening = f"The gradient of {what} is {sure} what you get when"
    closing = f", on the way to {what} alone" if explanation.alone else ""
    told, remedy = _told(cause, operation, which, explanation)
    return f"{opening} {told}{closing}.", remedy


def _subject(operation: Operation, trial: Trial) -> str:
    """Return the operation in words, or its operand, or the expression that it is the last of."""
    words = in_words(operation)
    if _is_expression(trial):
        return f"the expression in line {words.split(' in line ', 1)[1]}"
    operand = trial.edges.get(operation.index)
    if operand is None:
        return words
    if operation.name == "setitem":
        return f"{'the value of' if operand else 'what was there before'} {words}"
    if operand >= len(_ORDINALS):
        return f"operand {operand + 1} of {words}"
    return f"the {_ORDINALS[operand]} operand of {words}"


def _is_expression(trial: Trial) -> bool:
    """Say whether several operations in a row were altered as one activation."""
    altered = set(trial.alterations)
    return trial.kind in ("identity", "twice") and len(altered & set(trial.sites)) > 1


def _size(factor: Factor) -> int:
    """Return how many entries a factor says, be it their number or one over it."""
    return factor.size or round(max(abs(factor.value), 1.0 / (abs(factor.value) or 1.0)))


def _told(
    cause: str, operation: Operation, which: str, explanation: Explanation
) -> tuple[str, str]:
    together = _is_expression(explanation.trial)
    derivative = "the derivative of that expression" if together else derivative_in_words(operation)
    factor = "" if explanation.factor is None else explanation.factor.words.split(",")[0]
    words = "" if explanation.factor is None else explanation.factor.words
    size = None if explanation.factor is None else _size(explanation.factor)
    line = operation.site.line
    if cause == "activation_mask_missing" and explanation.trial.kind == "cut":
        return (
            f"{which} leaves its constant slope out",
            f"In the backward pass of line {line}, multiply by the slope of each branch.",
        )
    message, remedy = _TEXTS[cause]
    is_operand = explanation.trial.edges.get(operation.index) is not None
    said = {
        "which": which,
        "result": which if is_operand else f"the result of {which}",
        "derivative": derivative,
        "factor": factor,
        "words": words,
        "size": size,
        "line": line,
    }
    return message.format(**said), remedy.format(**said)
