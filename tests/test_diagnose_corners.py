"""Corners of the diagnosis: zeros, repeated rows, uses of several shapes, and shifts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_diagnose_patterns import DB, DW, B, W, evidence, only

import gradcheck
from gradcheck.diagnose.entries import duplicate_indices
from gradcheck.diagnose.flat import loss_ignores_parameter
from gradcheck.diagnose.regulariser import regulariser


def test_a_missing_regulariser_shows_where_the_parameter_is_not_zero() -> None:
    sparse = W.copy()
    sparse[0, 1] = sparse[2, 2] = 0.0
    found = only(
        regulariser(
            evidence({"W": DW}, {"W": DW + 0.2 * sparse}, {"W": sparse}, scalars={"reg": 0.1})
        )
    )
    assert found.cause == "reg_missing"
    assert "2 reg" in found.message


def test_the_rows_named_more_than_once_are_counted() -> None:
    wrong = DW.copy()
    wrong[1] *= 0.5
    idx = np.array([0, 1, 1, 2])
    found = only(duplicate_indices(evidence({"W": wrong}, {"W": DW}, integer_arrays={"idx": idx})))
    assert "names more than once (1 of 4)" in found.message
    assert found.evidence["repeated"] == 1


def test_where_the_claim_is_a_multiple_of_the_parameter_too_it_has_the_wrong_factor() -> None:
    claimed = {"W": 0.2 * W}
    right = evidence(claimed, {"W": 0.1 * W}, {"W": W}, scalars={"lam": 0.1})
    assert loss_ignores_parameter(right) == ()
    # near miss: the claim has a data term, and the loss has none
    right = evidence({"W": DW}, {"W": 0.1 * W}, {"W": W}, scalars={"lam": 0.1})
    assert only(loss_ignores_parameter(right)).cause == "loss_ignores_parameter"
    assert DB.shape == B.shape


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("wrong", [True, False], ids=["summed wrongly", "drawn"])
def test_a_bias_is_added_in_two_shapes_and_one_of_them_may_be_summed_wrongly(
    wrong: bool, order: tuple[int, int]
) -> None:
    pytest.importorskip("torch")
    draw = np.random.default_rng(0)
    inputs = {"b": draw.normal(size=5), "X": draw.normal(size=(7, 5)), "c": draw.normal(size=5)}
    drawn = draw.normal(size=5)

    def loss(b: Any, X: Any, c: Any) -> Any:
        terms = (lambda: np.sum(np.sin(X + b)), lambda: np.sum(np.cos(c + b)))
        first, second = (terms[k]() for k in order)
        one_row = np.cos(X + b)[-1] - np.sin(c + b)
        return first + second, one_row if wrong else drawn

    report = gradcheck.check(loss, inputs, "b")
    assert report.verdict == "fail"
    (found,) = report.diagnoses
    assert "error of gradcheck's own" not in found.message
    assert (found.confidence == "exact") is wrong


def test_a_missing_normaliser_is_found_behind_a_shift_that_cancels() -> None:
    pytest.importorskip("torch")
    draw = np.random.default_rng(1)
    inputs = {
        "W": draw.normal(size=(4, 3)),
        "X": draw.normal(size=(6, 4)),
        "T": draw.normal(size=(6, 3)),
    }

    def loss(W: Any, X: Any, T: Any) -> Any:
        s = X @ W
        e = np.exp(s - s.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        d = 2 * (p - T)
        # without what the sum of the exponentials contributes
        return np.sum((p - T) ** 2), {"W": X.T @ (d * p)}

    report = gradcheck.check(loss, inputs, "W")
    assert report.verdict == "fail"
    (found,) = report.diagnoses
    assert (found.cause, found.confidence) == ("path_detached", "exact")
    assert "sum" in found.message or "divide" in found.message


@pytest.mark.parametrize(("shifted", "cause"), [(False, "stale_value"), (True, "term_missing")])
def test_a_square_is_differentiated_at_another_value_or_without_its_shift(
    shifted: bool, cause: str
) -> None:
    pytest.importorskip("torch")
    draw = np.random.default_rng(0).normal
    inputs = {"p": draw(size=(4, 3)), "q": draw(size=(4, 3)), "c": draw(size=(4, 3))}

    def loss(p: Any, q: Any, c: Any) -> Any:
        base = p - 0.5 if shifted else p
        return np.sum(c * base**2) + np.sum(np.sin(q)), 2 * c * (p if shifted else q)

    report = gradcheck.check(loss, inputs, "p")
    (found,) = report.diagnoses
    assert (found.cause, found.confidence) == (cause, "exact")


def test_a_search_that_left_nothing_out_does_not_say_so() -> None:
    pytest.importorskip("torch")
    draw = np.random.default_rng(0).normal
    inputs = {"W": draw(size=(4, 3)), "X": draw(size=(5, 4))}
    drawn = draw(size=(4, 3))

    def loss(W: Any, X: Any) -> Any:
        return np.sum(np.tanh(X @ W) ** 2), drawn

    report = gradcheck.check(loss, inputs, "W")
    assert [one.cause for one in report.diagnoses] == ["unexplained"]
    assert not report.warnings
