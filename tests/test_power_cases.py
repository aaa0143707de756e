"""The power study's collection: its labels hold against an independent truth."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("mpmath")

from benchmarks.cases import collection
from benchmarks.cases.contract import PowerCase, deviation, mislabelled

SAMPLE = 200


@pytest.fixture(scope="module")
def cases() -> list[PowerCase]:
    return collection()


def test_the_collection_is_large_enough(cases: list[PowerCase]) -> None:
    assert len(cases) >= 400
    assert sum(case.right for case in cases) >= 150
    assert sum(not case.right for case in cases) >= 250


def test_every_category_has_right_and_wrong_gradients(cases: list[PowerCase]) -> None:
    sides = Counter((case.category, case.right) for case in cases)
    for category in {case.category for case in cases}:
        assert sides[category, True] >= 2
        assert sides[category, False] >= 2


def test_only_few_cases_are_excused(cases: list[PowerCase]) -> None:
    excused = [case for case in cases if case.stochastic or case.beyond_arithmetic]
    assert len(excused) < 0.06 * len(cases)


def test_inputs_are_the_same_at_every_call_and_never_shared(cases: list[PowerCase]) -> None:
    for case in cases[:: len(cases) // 50]:
        first, second = case.inputs(), case.inputs()
        assert list(first) == list(second)
        for name in first:
            if isinstance(first[name], np.ndarray):
                np.testing.assert_array_equal(first[name], second[name])
        for name in case.wrt:
            if isinstance(first[name], np.ndarray) and first[name].ndim:
                assert not np.shares_memory(first[name], second[name])


def computable(case: PowerCase) -> bool:
    """Whether this version of torch has what the case needs in half precision, on a CPU."""
    if case.dtype == "float16" and case.torch_target:
        try:
            case.grad_only(**case.inputs())
        except RuntimeError as error:
            if "not implemented for 'Half'" not in str(error):
                raise
            return False
    return True


def test_a_seeded_sample_of_the_labels_holds(cases: list[PowerCase]) -> None:
    chosen = np.random.default_rng(2024).permutation(len(cases))[:SAMPLE]
    sample = [cases[k] for k in chosen if computable(cases[k])]
    assert len(sample) > 0.95 * SAMPLE
    assert [problem for case in sample if (problem := mislabelled(case))] == []


@pytest.mark.slow
def test_all_labels_hold(cases: list[PowerCase]) -> None:
    sample = [case for case in cases if computable(case)]
    assert [problem for case in sample if (problem := mislabelled(case))] == []


def test_a_wrong_gradient_labelled_right_is_seen(cases: list[PowerCase]) -> None:
    wrong = [case for case in cases if not case.right and not case.stochastic][::40]
    for case in wrong:
        assert mislabelled(dataclasses.replace(case, right=True)), case.name


def test_a_right_gradient_labelled_wrong_is_seen(cases: list[PowerCase]) -> None:
    # In half precision a right gradient may be off by more than that in its smallest entries.
    full = [case for case in cases if case.dtype in ("float64", "float32")]
    right = [case for case in full if case.right and not case.stochastic][::20]
    for case in right:
        assert mislabelled(dataclasses.replace(case, right=False)), case.name


def test_a_change_just_below_the_threshold_is_not_wrong(cases: list[PowerCase]) -> None:
    case = next(case for case in cases if case.name == "logistic/right")

    def nearly(**inputs: object) -> tuple[object, dict[str, object]]:
        loss, gradient = case.target(**inputs)
        return loss, {name: slope * (1 + 0.9e-4) for name, slope in gradient.items()}

    almost = dataclasses.replace(case, target=nearly, right=False)
    assert 0.8e-4 < deviation(almost).relative < 1e-4
    assert "off by" in mislabelled(almost)
