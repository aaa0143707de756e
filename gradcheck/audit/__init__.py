"""The contract of a torch backward pass, audited case by case in one run.

Wrong backward passes ship because their tests try contiguous random cotangents in float64, once.
Autograd hands over others: expanded ones from a sum, zeros, none at all for an unused output; it
runs the pass twice, differentiates it, batches it. Each clause has its own key.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gradcheck.audit.bench import Bench, Case, finding
from gradcheck.audit.closure_case import closed_over_parameter
from gradcheck.audit.cotangent_cases import CASES as COTANGENTS
from gradcheck.audit.cotangent_cases import UNUSED_OUTPUT
from gradcheck.audit.effect_cases import CASES as EFFECTS
from gradcheck.audit.mode_cases import CASES as MODES
from gradcheck.audit.mode_cases import FORWARD_MODE, SECOND_DERIVATIVE
from gradcheck.audit.precision_cases import ALLOWED, low_precision
from gradcheck.calling import random_state
from gradcheck.calling.calls import bind_inputs
from gradcheck.report import Check, Diagnosis, Notice, Verdict, worst_verdict
from gradcheck.torch_target.kinds import is_function_class, understand
from gradcheck.torch_target.outputs import numpy_dtype
from gradcheck.torch_target.parameters import (
    by_request,
    candidates,
    default_choice,
    is_empty,
    validate,
)
from gradcheck.torch_target.precision_inside import lowest_in_backward, lowest_precision
from gradcheck.torch_target.setup import (
    buffers_of,
    hold,
    make_call,
    modules_in,
    with_private_modules,
)

if TYPE_CHECKING:
    import torch

Finding = Diagnosis | Notice

BEYOND = {"contract_double_backward", *(f"contract_{name}" for name in ALLOWED)}
"""Clauses on something else than the first derivative in the precision of the inputs."""
EXACT = 1e-9
"""Relative difference up to which two gradients of float64 are the same."""
TOLERANCES = {"float32": ALLOWED["float32"], "float16": ALLOWED["bfloat16"]}
"""The same of a target that computes in lower precision inside, as after ``x.float()``."""

CASES: tuple[Case, ...] = (*EFFECTS, *COTANGENTS, *MODES)
"""Every clause but those on precision and on closed-over parameters."""


def audit(
    target: Callable[..., Any],
    inputs: Any,
    wrt: Sequence[str | int] | str | int | None = None,
    *,
    params: Any = None,
    seed: int = 0,
) -> tuple[Finding, ...]:
    """Try every clause of the contract on a torch target.

    Returns:
        A ``Diagnosis`` for each broken clause, with the case that failed, how to reproduce it
        (``evidence["reproduce"]``) and a remedy; a ``Notice`` ``contract_not_tried`` for what the
        target does not offer (no forward formula, no vmap, no such precision). Empty if the
        contract is kept in all cases.

    Raises:
        UsageError: the inputs do not fit the target, or the parameters cannot be told.
    """
    return _looked_at(_Auditor.findings, _Auditor(target, inputs, wrt, params, seed))


def audit_outputs(
    target: Callable[..., Any],
    inputs: Any,
    wrt: Sequence[str | int] | str | int | None = None,
    *,
    params: Any = None,
    seed: int = 0,
) -> tuple[Finding, ...]:
    """Try the one clause that concerns any target of several outputs: that each counts alone.

    The gradient of all outputs together may be right where that of one alone is not. Arguments,
    result and exceptions are those of ``audit``.
    """
    auditor = _Auditor(target, inputs, wrt, params, seed)
    return _looked_at(lambda one: one.tried(UNUSED_OUTPUT), auditor)


def _looked_at(look: Callable[[_Auditor], list[Finding]], auditor: _Auditor) -> tuple[Finding, ...]:
    states = random_state.snapshot()
    try:
        return tuple(look(auditor))
    finally:
        auditor.put_back()
        random_state.restore(states)


def with_audit(check: Check, findings: Sequence[Finding], *, asked: bool) -> Check:
    """Return the check with the findings of an audit; a broken clause is a wrong gradient.

    Clauses beyond the gradient that was checked, on second derivatives and on other precisions,
    are warnings where nobody ``asked`` for an audit.
    """
    beside = [one for one in findings if isinstance(one, Diagnosis) and one.cause in BEYOND]
    beside = [] if asked else beside
    broken = tuple(one for one in findings if isinstance(one, Diagnosis) and one not in beside)
    notices = tuple(one for one in findings if isinstance(one, Notice))
    told = [Notice(one.cause, f"{one.message}; to mend it, {one.remedy}") for one in beside]
    notices += tuple(told)
    if any(one.key == "forward_refused" for one in check.warnings):
        # The check has said already why there is no forward mode.
        notices = tuple(one for one in notices if not one.message.startswith(FORWARD_MODE))
    verdict = worst_verdict([check.verdict, Verdict.FAIL]) if broken else check.verdict
    return replace(
        check,
        verdict=verdict,
        diagnoses=(*check.diagnoses, *broken),
        warnings=(*check.warnings, *notices),
    )


class _Auditor:
    """The target with what it takes to put it on a bench, again for each case."""

    def __init__(self, target: Any, inputs: Any, wrt: Any, params: Any, seed: int) -> None:
        self.target = target
        self.subject = understand(target, params)
        self.bound = with_private_modules(bind_inputs(self.subject.function, inputs))
        known = candidates(self.bound, self.subject)
        self.parameters = (
            default_choice(known) if wrt is None else by_request(wrt, known, self.bound)
        )
        self.parameters = [one for one in self.parameters if not is_empty(one)]
        validate(self.parameters)
        chosen = {id(one.tensor) for one in self.parameters}
        self.others = [x.tensor for x in known if x.held and id(x.tensor) not in chosen]
        modules = [(one.label, one.module) for one in self.subject.modules]
        self.buffers = buffers_of([*modules, *modules_in(self.bound)])
        self.put_back = hold(self.parameters, self.buffers, self.others)
        self.seed = seed
        self.inside: np.dtype[Any] | None = None
        """The lowest precision that the target computes in where all it is given is float64."""

    @functools.cached_property
    def refused(self) -> str:
        """What the target raises where all it is given is float64, if it takes its own inputs.

        Else nothing.
        """
        try:
            self._made(wide=True).gradient()
        except Exception as error:
            # A constant of its own, in lower precision, does not mix with float64.
            why = _said(error)
        else:
            return ""
        try:
            self._made(wide=False).gradient()
        except Exception:
            # It does so on its own inputs, too, as each case says.
            return ""
        return why

    def findings(self) -> list[Finding]:
        cases = [case for case in CASES if not self.refused or case is not SECOND_DERIVATIVE]
        found = [one for case in cases for one in self.tried(case)]
        if is_function_class(self.target):
            closure = Case(
                "contract_closed_over",
                "parameters read from elsewhere",
                lambda bench: closed_over_parameter(bench, self.target),
                optional=True,
            )
            found += self.tried(closure)
        if self.refused:
            text = (
                "a run in float64 was not tried, nor what is compared with it (second derivatives, "
                "other precisions), but all else in the precision of the inputs: in float64 the "
                f"target raises {self.refused}"
            )
            return [*found, Notice("contract_not_tried", text)]
        for name in ALLOWED:
            case = Case(
                f"contract_{name}",
                f"a run in {name}",
                lambda _, name=name: low_precision(self.bench, name),  # type: ignore[misc]
                optional=True,
            )
            found += self.tried(case)
        return found

    def tried(self, case: Case) -> list[Finding]:
        """Return what one case finds."""
        try:
            found = case.look(self.bench(None))
        except Exception as error:
            # Whatever the target raises in a case is what that case finds, and says.
            text = _said(error)
            if case.optional:
                first = re.split(r"(?<=\w)\. (?=[A-Z])", text)[0]
                return [Notice("contract_not_tried", f"{case.tries} was not tried: {first}")]
            return [
                finding(
                    case.key, f"{case.tries} makes the target raise {text}", reproduce=case.tries
                )
            ]
        return [] if found is None else [found]

    def bench(self, dtype: torch.dtype | None) -> Bench:
        """Return a bench in float64, or with all floating-point tensors in ``dtype``.

        Of a target that refuses float64 it is one in the precision of its own inputs.
        """
        bench = self._made(wide=not self.refused, dtype=dtype)
        if dtype is None:
            if self.inside is None:
                self.inside = _narrowest(bench)
                bench.rewind()
            bench.tolerance = TOLERANCES.get(self.inside.name, EXACT)
        return bench

    def _made(self, *, wide: bool, dtype: torch.dtype | None = None) -> Bench:
        self.put_back()
        call = make_call(
            self.subject.function,
            self.bound,
            self.parameters,
            self.others,
            self.buffers,
            wide=wide,
            dtype=dtype,
        )
        call.seed = self.seed
        names = tuple(one.name for one in self.parameters)
        return Bench(call, names, tolerance=EXACT)


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")


def _is_inexact(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _narrowest(bench: Bench) -> np.dtype[Any]:
    """Return the lowest precision of what the target is given and what it computes in."""
    found = [lowest_precision(bench.call), lowest_in_backward(bench.gradient)]
    found += [numpy_dtype(one.dtype) for one in bench.call.watched() if _is_inexact(one)]
    return min(found, key=lambda one: one.itemsize)
