"""Loss evaluations at perturbed parameters: in place, put back, counted, within limits."""

from __future__ import annotations

import time

import numpy as np
import pytest

from gradcheck.sweep.evaluator import Evaluator


def cubes(*values, **options):
    return Evaluator(lambda: float(sum(np.sum(v**3) for v in values)), values, **options)


LAYOUTS = {
    "C": lambda: np.arange(6.0).reshape(2, 3),
    "Fortran": lambda: np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": lambda: np.arange(24.0).reshape(4, 6)[::2, ::2],
    "scalar": lambda: np.array(2.0),
    "float32": lambda: np.arange(6.0, dtype=np.float32),
}


@pytest.mark.parametrize("make", LAYOUTS.values(), ids=LAYOUTS)
def test_single_entries_are_set_in_c_order_and_put_back(make):
    value = make()
    before = value.copy()
    evaluator = cubes(value)
    indices = np.arange(value.size)
    found = evaluator.entries(0, indices, np.full(value.size, 10.0))
    for index, loss in zip(indices, found, strict=True):
        moved = before.copy()
        moved[np.unravel_index(index, moved.shape)] = 10.0
        assert loss == pytest.approx(float(np.sum(moved**3)))
    np.testing.assert_array_equal(value, before)
    assert evaluator.count == value.size


@pytest.mark.parametrize("make", LAYOUTS.values(), ids=LAYOUTS)
def test_all_parameters_move_along_a_direction_and_are_put_back(make):
    values = [make(), np.ones(2)]
    before = [value.copy() for value in values]
    evaluator = cubes(*values)
    steps = [np.full(value.shape, 0.5) for value in values]
    found = evaluator.along(steps, [0.0, 1.0, -2.0])
    for distance, loss in zip([0.0, 1.0, -2.0], found, strict=True):
        expected = sum(np.sum((value + 0.5 * distance) ** 3) for value in before)
        assert loss == pytest.approx(float(expected), rel=1e-6)
    for value, start in zip(values, before, strict=True):
        np.testing.assert_array_equal(value, start)
    assert evaluator.count == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("how", ["entries", "along"])
def test_parameters_are_put_back_when_the_user_interrupts(error, how):
    value = np.arange(3.0)
    calls = 0

    def loss():
        nonlocal calls
        calls += 1
        if calls > 2:
            raise error
        return 0.0

    evaluator = Evaluator(loss, [value])
    evaluate = {
        "entries": lambda: evaluator.entries(0, np.arange(3), np.full(3, 7.0)),
        "along": lambda: evaluator.along([np.ones(3)], [1.0, 2.0, 3.0]),
    }
    with pytest.raises(error):
        evaluate[how]()
    np.testing.assert_array_equal(value, [0.0, 1.0, 2.0])


def test_an_evaluation_that_raises_is_not_a_number_and_what_it_raised_is_kept():
    value = np.ones(2)

    def loss():
        if value[0] > 1:
            raise ValueError(f"{value[0]} is outside")
        return 1.0

    evaluator = Evaluator(loss, [value])
    found = evaluator.entries(0, np.array([0, 1]), np.array([2.0, 2.0]))
    np.testing.assert_array_equal(found, [np.nan, 1.0])
    assert evaluator.first_error is not None
    assert evaluator.first_error.startswith("ValueError: 2.0 is outside, in ")
    assert "test_evaluator.py:" in evaluator.first_error
    assert evaluator.first_error.endswith("(loss)")
    assert np.isnan(evaluator.along([np.ones(2)], [1.0])).all()


def test_the_loss_at_the_point_itself_is_counted_too():
    evaluator = cubes(np.array([2.0]))
    assert evaluator.current() == 8.0
    assert evaluator.count == 1


def test_a_budget_stops_before_it_is_exceeded_and_splits_no_pair():
    evaluator = cubes(np.ones(10), budget=5)
    found = evaluator.entries(0, np.arange(10), np.full(10, 2.0))
    assert int(np.isfinite(found).sum()) == 4
    assert evaluator.count == 4
    assert evaluator.exhausted


def test_a_budget_that_suffices_does_not_exhaust():
    evaluator = cubes(np.ones(10), budget=10)
    assert np.isfinite(evaluator.entries(0, np.arange(10), np.full(10, 2.0))).all()
    assert not evaluator.exhausted


def test_a_direction_is_evaluated_whole_or_not_at_all():
    evaluator = cubes(np.ones(2), budget=2)
    assert np.isnan(evaluator.along([np.ones(2)], [1.0, 2.0, 3.0])).all()
    assert evaluator.count == 0
    assert evaluator.exhausted


def test_after_the_deadline_nothing_is_begun():
    evaluator = cubes(np.ones(4), deadline=time.monotonic() - 1)
    assert np.isnan(evaluator.entries(0, np.arange(4), np.ones(4))).all()
    assert evaluator.exhausted


def test_progress_is_told_and_grows():
    told = []
    evaluator = cubes(np.ones(500))
    evaluator.on_progress(told.append)
    evaluator.entries(0, np.arange(500), np.ones(500))
    assert told == sorted(told)
    assert told[-1] == 500


@pytest.mark.parametrize("asked", ["nothing", "a deadline", "progress"])
def test_a_batch_is_handed_all_at_once_unless_someone_asks_for_the_time(asked):
    value = np.zeros(500)
    handed = []

    def batch(parameter, indices, values):
        handed.append(len(indices))
        return values[:100] ** 3

    options = {
        "nothing": {},
        "a deadline": {"deadline": time.monotonic() + 1e3},
        "progress": {"progress": lambda count: None},
    }[asked]
    evaluator = cubes(value, batch=batch, **options)
    moved = np.arange(500.0)
    np.testing.assert_array_equal(evaluator.entries(0, np.arange(500), moved), moved**3)
    assert handed[0] == (500 if asked == "nothing" else 64)
    assert evaluator.count == 500


def test_what_no_batch_takes_is_evaluated_a_few_at_a_time():
    value = np.zeros(150)
    handed = []

    def batch(parameter, indices, values):
        handed.append(len(indices))
        return np.empty(0)

    evaluator = cubes(value, batch=batch)
    moved = np.arange(150.0)
    np.testing.assert_array_equal(evaluator.entries(0, np.arange(150), moved), moved**3)
    assert handed == [150, 86, 22]
