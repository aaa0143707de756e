"""What a report says in words: one place, so that every renderer says the same."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradcheck.render.text import checked_text, count_text, error_text, name_of
from gradcheck.report import Check, Comparison, ParameterResult, Report, Verdict

GLYPHS = {
    Verdict.PASS: "✓",
    Verdict.FAIL: "✗",
    Verdict.INCONCLUSIVE: "?",
    Verdict.ERROR: "!",
}

COMPARISON_WORDS = {
    "central": "central differences",
    "complex": "complex step",
    "autograd": "PyTorch autograd",
    "forward": "forward mode",
}


def headline(report: Report) -> str:
    """Return the verdict on the whole run, in one line of words."""
    checks = report.checks
    if not checks:
        return "Nothing was checked"
    n_declared = sum(check.expected is not None for check in checks)
    good = sum(check.as_expected for check in checks)
    did = "came out as declared" if n_declared == len(checks) else "came out as they should"
    did = did if n_declared else "passed"
    if len(checks) == 1:
        first = f"The check {did}" if good else f"The check {_not(did)}"
    else:
        first = f"{good:,} of {count_text(len(checks), 'check')} {did}"
    parts = [first, *_verdict_parts(checks)]
    return "; ".join(parts)


def _not(did: str) -> str:
    return "did not pass" if did == "passed" else did.replace("came", "did not come")


def _verdict_parts(checks: Sequence[Check]) -> list[str]:
    parts = []
    wrong = [check for check in checks if check.verdict is Verdict.FAIL]
    if wrong:
        parts.append(_wrong_gradients(wrong))
    for verdict, words in (
        (Verdict.INCONCLUSIVE, "inconclusive"),
        (Verdict.ERROR, "that could not be checked"),
    ):
        count = sum(check.verdict is verdict for check in checks)
        if count and verdict is Verdict.ERROR:
            parts.append(f"{count_text(count, 'target')} {words}")
        elif count:
            parts.append(f"{count:,} {words}")
    return parts


def _wrong_gradients(wrong: Sequence[Check]) -> str:
    explained = sum(is_explained(check) for check in wrong)
    counted = count_text(len(wrong), "wrong gradient")
    if explained == len(wrong):
        return f"{counted}, {'explained' if len(wrong) == 1 else 'each explained'}"
    if explained == 0:
        return counted
    return f"{counted}, {explained:,} of them explained"


def is_explained(check: Check) -> bool:
    """Return whether some diagnosis names a cause."""
    return any(diagnosis.cause != "unexplained" for diagnosis in check.diagnoses)


def check_sentence(check: Check) -> str:
    """Return the verdict on one check in a sentence."""
    results = check.parameter_results
    wrong = [name_of(result.name) for result in results if result.verdict is Verdict.FAIL]
    unclear = [name_of(r.name) for r in results if r.verdict is Verdict.INCONCLUSIVE]
    if check.verdict is Verdict.PASS:
        return _passing_sentence(check)
    if check.verdict is Verdict.ERROR:
        return "The target could not be checked."
    if check.verdict is Verdict.INCONCLUSIVE:
        if not unclear:
            return "The gradient could not be shown to be right or wrong."
        where = _listing(unclear)
        return f"Nothing is shown to be wrong, but {where} could not be decided."
    if not wrong:
        return "The gradient is wrong."
    if len(wrong) == len(results) > 1:
        return f"The gradient is wrong in every parameter: {_listing(wrong)}."
    if len(results) == 1:
        return f"The gradient is wrong: {wrong[0]}."
    return f"The gradient is wrong in {len(wrong)} of {len(results)} parameters: {_listing(wrong)}."


def _passing_sentence(check: Check) -> str:
    results = check.parameter_results
    resolutions = [result.resolution for result in results]
    checked = sum(result.checked for result in results)
    entries = sum(result.entries for result in results)
    right, where = "The gradient is right", "everywhere"
    if checked < entries:
        right += f" where it was checked, in {checked_text(checked, entries)} entries"
        where = "there"
    if not resolutions or not all(math.isfinite(resolution) for resolution in resolutions):
        return f"{right}."
    seen = error_text(max(resolutions))
    return f"{right}; a relative error above {seen} would have been seen {where}."


def _listing(names: Sequence[str], limit: int = 6) -> str:
    if len(names) > limit:
        return ", ".join(names[:limit]) + f" and {len(names) - limit} more"
    return " and ".join(names) if len(names) < 3 else ", ".join(names[:-1]) + f" and {names[-1]}"


def expectation_word(check: Check) -> str:
    """Return ``as declared``, ``not as declared``, or nothing where nothing was declared."""
    if check.expected is None:
        return ""
    return "as declared" if check.as_expected else "not as declared"


def expectation_sentence(check: Check) -> str:
    """Return what was declared of a check that did not come out so; else nothing."""
    expected = check.expected
    if expected is None or check.as_expected:
        return ""
    declared = f"declared {expected.verdict}"
    if expected.cause:
        declared += f" ({name_of(expected.cause)})"
    if expected.parameters:
        declared += f" on {_listing([name_of(name) for name in expected.parameters])}"
    causes = ", ".join(dict.fromkeys(diagnosis.cause for diagnosis in check.diagnoses))
    found = f"found {check.verdict}" + (f" ({name_of(causes, 200)})" if causes else "")
    failing = [name_of(r.name) for r in check.parameter_results if r.verdict is Verdict.FAIL]
    if failing:
        found += f" on {_listing(failing)}"
    return f"{declared}; {found}"


def worst_parameter(check: Check) -> ParameterResult | None:
    """Return the parameter to look at first: by verdict, then by relative error."""
    return max(
        check.parameter_results,
        key=lambda r: (r.verdict.severity, _rank(r.max_relative_error)),
        default=None,
    )


def _rank(value: float) -> float:
    return -1.0 if math.isnan(value) else value


def oracle_keys(checks: Sequence[Check]) -> list[str]:
    """Return the oracles that some comparison is against, in the order of ``COMPARISON_WORDS``."""
    present = {
        key.removeprefix("analytic~")
        for check in checks
        for result in check.parameter_results
        for key in result.comparisons
        if key.startswith("analytic~")
    }
    known = [key for key in COMPARISON_WORDS if key in present]
    return known + sorted(present - set(known))


def against(result: ParameterResult, oracle: str) -> Comparison | None:
    """Return the comparison of the analytic gradient with ``oracle``, if there is one."""
    return result.comparisons.get(f"analytic~{oracle}")


def references_by_oracle(result: ParameterResult) -> dict[str, dict[tuple[int, ...], float]]:
    """Return, by oracle, the values of the entries that its comparison lists as worst."""
    return {
        key.removeprefix("analytic~"): {entry.index: entry.reference for entry in found.worst}
        for key, found in result.comparisons.items()
        if key.startswith("analytic~")
    }


def comparison_title(key: str) -> str:
    """Return ``analytic against central differences`` for ``analytic~central``."""
    left, _, right = key.partition("~")
    words = [COMPARISON_WORDS.get(side, side) for side in (left, right)]
    return name_of(" against ".join(words), 80)


def parameter_facts(result: ParameterResult) -> list[str]:
    """Return the remarks about a parameter: how much was checked, kinks, entries in the noise."""
    facts = [f"{checked_text(result.checked, result.entries)} checked"]
    if result.kinks:
        facts.append(count_text(result.kinks, "kink"))
    best = result.best_comparison
    if best is not None and best.below_noise:
        facts.append(f"{best.below_noise:,} below the noise")
    return facts
