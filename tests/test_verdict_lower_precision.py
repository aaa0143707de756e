"""When a trace tells that a loss computes in lower precision inside."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from closed_problems import closed_problem, noise_of

from gradcheck.lower_precision import knowing, lower_inside

HALF, SINGLE, DOUBLE = (np.dtype(one) for one in (np.float16, np.float32, np.float64))


def trace(dtype: Any) -> Any:
    return SimpleNamespace(precision=dtype)


def problem_of(*dtypes: Any, claimed: str = "xyz") -> Any:
    values = {name: np.ones(2, dtype) for name, dtype in zip("xyz", dtypes, strict=False)}
    claims = {name: np.full(2, 0.1) for name in values if name in claimed}
    problem, _ = closed_problem(lambda **_: 0.0, None, claims, **values)
    return problem


@pytest.mark.parametrize(
    ("dtypes", "inside", "found"),
    [
        ([DOUBLE], DOUBLE, None),
        ([DOUBLE], SINGLE, SINGLE),
        ([DOUBLE], HALF, HALF),
        ([SINGLE], SINGLE, None),
        ([SINGLE], HALF, HALF),
        ([HALF], SINGLE, None),
        ([SINGLE, DOUBLE], SINGLE, SINGLE),
        ([SINGLE, SINGLE], SINGLE, None),
    ],
    ids=str,
)
def test_it_is_what_is_lower_than_some_parameter(dtypes: Any, inside: Any, found: Any) -> None:
    assert lower_inside(problem_of(*dtypes), noise_of(0.0), trace(inside)) == found


def test_a_parameter_without_a_claim_does_not_count() -> None:
    problem = problem_of(SINGLE, DOUBLE, claimed="x")
    assert lower_inside(problem, noise_of(0.0), trace(SINGLE)) is None


def test_nor_one_whose_loss_or_gradient_is_as_low() -> None:
    assert lower_inside(problem_of(DOUBLE), noise_of(0.0, dtype=SINGLE), trace(SINGLE)) is None
    low = replace(problem_of(DOUBLE), gradient_dtypes={"x": SINGLE})
    assert lower_inside(low, noise_of(0.0), trace(SINGLE)) is None


def test_without_a_trace_or_once_it_is_known_nobody_looks() -> None:
    problem = problem_of(DOUBLE)
    assert lower_inside(problem, noise_of(0.0), None) is None
    known = replace(problem, precision_inside=DOUBLE)
    assert lower_inside(known, noise_of(0.0), trace(SINGLE)) is None


def test_the_loss_is_known_no_better_then() -> None:
    found = knowing(problem_of(DOUBLE), SINGLE)
    assert (found.precision_inside, found.facts.dtype) == (SINGLE, SINGLE)
    assert found.in_low_precision
