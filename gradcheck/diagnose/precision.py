"""Numbers lost on the way: integers, and single or half precision."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gradcheck.blocks import flat, parts
from gradcheck.diagnose.evidence import Array, Evidence, Facts, Mask, largest_of
from gradcheck.diagnose.finding import Finding, spoken
from gradcheck.diagnose.matching import SLACK, quality

_COARSE = {"bfloat16": (8, 5e-2), "float16": (11, 5e-2), "float32": (24, 1e-3)}
"""Significant bits, and the relative errors that they explain, of the narrow types."""
_NOISE = (1e-9, 3e-6)
_SAMPLE = 20
_WHITE = 0.5
"""Correlation of the errors of neighbours, at most, that may be chance."""


def integer_truncation(evidence: Evidence) -> tuple[Finding, ...]:
    """Find gradients that are the right ones with their fractional part cut off or rounded."""
    found = []
    for facts in evidence.failing_facts:
        by_type = evidence.analytic_dtype.get(facts.name, "").startswith(("int", "uint"))
        if not all((claimed == np.trunc(claimed)).all() for claimed in _claimed(facts)):
            continue
        # Of a single number that is whole, or of zeros, chance makes as much.
        if not by_type and np.count_nonzero(facts.analytic[facts.support]) < 2:
            continue
        for cut, words in (
            (np.trunc, "cut off"),
            (np.round, "rounded"),
            (np.floor, "rounded down"),
        ):
            right = facts.reference
            grade = quality(facts, np.where(_whole(facts), np.round(right), cut(right)))
            if grade in ("exact", "likely"):
                found.append((facts.name, words, grade))
                break
    return tuple(
        Finding(
            cause="integer_truncation",
            parameters=(name,),
            message=f"The gradient of {name} is the right one {words} to whole numbers: it was "
            "stored in an array of integers.",
            remedy=f"Allocate the gradient of {name} with a float dtype (np.zeros_like of an "
            "integer array is an integer array).",
            confidence=grade,
            specificity=58,
            evidence={"words": words},
        )
        for name, words, grade in found
    )


def _whole(facts: Facts) -> Mask:
    """Say which entries of the right gradient are whole numbers, as far as is known."""
    off = np.abs(facts.reference - np.round(facts.reference))
    return np.asarray(off <= SLACK * facts.tolerance)


def low_precision(evidence: Evidence) -> tuple[Finding, ...]:
    """Find gradients that carry the rounding errors of a narrower float type than they should."""
    stored: dict[str, list[str]] = {}
    noisy: list[str] = []
    for facts in evidence.failing_facts:
        own = evidence.own_dtype.get(facts.name, "float64")
        narrow = _stored_in(facts, own)
        if narrow is not None:
            stored.setdefault(narrow, []).append(facts.name)
        elif own == "float64" and _looks_like_rounding(facts):
            noisy.append(facts.name)
    findings = [_finding(names, dtype, "likely") for dtype, names in stored.items()]
    if noisy:
        findings.append(_finding(noisy, "float32", "possible"))
    return tuple(findings)


def _stored_in(facts: Facts, own: str) -> str | None:
    """Return the type that is narrower than the parameter's own, and holds every entry."""
    error = largest_of(facts.residual, facts.known)
    scale = largest_of(facts.reference, facts.known)
    if error > max(limit for _, limit in _COARSE.values()) * scale:
        return None
    own_bits = _COARSE.get(own, (53, 0.0))[0]
    for dtype, (bits, limit) in _COARSE.items():
        if bits >= own_bits:
            break
        if error <= limit * scale and _fits(facts, dtype, bits):
            return dtype
    return None


def _fits(facts: Facts, dtype: str, bits: int) -> bool:
    """Whether every entry is a number of the narrow type, and some need all of its bits.

    Counts fit every type, and so does what is left of numbers near 1 where they cancel:
    multiples of one grain. They say nothing about it.
    """
    grain, largest = np.inf, 0.0
    for claimed in _claimed(facts):
        if not np.array_equal(_rounded(claimed, dtype), claimed):
            return False
        nonzero = claimed[claimed != 0.0]
        if nonzero.size:
            grain = min(grain, float(_lowest_bit(nonzero).min()))
            largest = max(largest, float(np.abs(nonzero).max()))
    return grain < 1.0 and largest >= grain * 2.0 ** (bits - 2)


def _rounded(values: Array, dtype: str) -> Array:
    """Return the values as the narrow type keeps them; those of bfloat16 are cut off."""
    with np.errstate(over="ignore"):
        if dtype != "bfloat16":
            return values.astype(dtype).astype(np.float64)
        single = values.astype(np.float32)
        kept = single.view(np.uint32) & np.uint32(0xFFFF0000)
        return kept.view(np.float32).astype(np.float64)


def _lowest_bit(values: Array) -> Array:
    """Return the power of two that the last bit set of each value stands for."""
    mantissas, exponents = np.frexp(values)
    whole = (mantissas * 2.0**53).astype(np.int64)
    return np.asarray(np.ldexp((whole & -whole).astype(np.float64), exponents - 53))


def _claimed(facts: Facts) -> Iterator[Array]:
    """Yield the known entries of the analytic gradient, a part at a time."""
    return (flat(facts.analytic, at)[flat(facts.known, at)] for at in parts(facts.analytic.size))


def _looks_like_rounding(facts: Facts) -> bool:
    size, count, upward = 0.0, 0, 0
    for at in parts(facts.reference.size):
        right = flat(facts.reference, at)
        known = flat(facts.known, at) & (right != 0.0)
        size = math.hypot(size, float(np.linalg.norm(right[known])))
        count += int(np.count_nonzero(known))
        off = flat(facts.residual, at)[known] * np.sign(right[known])
        upward += int(np.count_nonzero(off > 0))
    if count < _SAMPLE:
        return False
    either_way = 0.25 <= upward / count <= 0.75
    return _NOISE[0] <= facts.error / size <= _NOISE[1] and either_way and _is_white(facts)


def _is_white(facts: Facts) -> bool:
    """Whether the errors of neighbours have little to do with each other.

    Those of an iteration that stops early are smooth over the entries.
    """
    last, together = 0.0, 0.0
    for at in parts(facts.residual.size):
        off = flat(facts.residual, at)
        together += last * float(off[0]) + float(off[:-1] @ off[1:])
        last = float(off[-1])
    return together <= _WHITE * facts.error**2


def _finding(names: list[str], dtype: str, confidence: str) -> Finding:
    listed = spoken(names)
    how = (
        f"every entry is a {dtype} number"
        if confidence == "likely"
        else f"the error has the size and the random signs of {dtype} rounding"
    )
    return Finding(
        cause="low_precision_accumulation",
        parameters=tuple(names),
        message=f"The gradient of {listed} was computed or summed in {dtype}: {how}, and the "
        "errors are larger than the parameter's own type would cause.",
        remedy=f"Compute and accumulate the gradient of {listed} in the dtype of the parameter.",
        confidence=confidence,
        specificity=35 if confidence == "likely" else 5,
        evidence={"dtype": dtype},
    )
