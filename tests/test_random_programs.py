"""Random programs: a right gradient raises no alarm, a broken one is not missed, nothing crashes.

The gradients come from rules of their own (``random_operations``, ``random_movements``), so that
nothing here is judged by itself.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import random_operations
from conftest import HAS_TORCH
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st
from random_movements import OPERATIONS
from random_programs import Break, Drawn, Program, Seeded, draw_break, forget, program

import gradcheck
from gradcheck import Verdict

HIDDEN = 1e-9
"""A gradient below this part of the loss may be lost in its rounding: then no verdict is due."""
NOTHING = 1e-13
"""A difference below this part of the loss is rounding."""
SEEN = 1e-4
"""Relative error that has to be seen where the gradient is not hidden."""
SAME = 1e-8
"""Relative error that counts as none."""

CAREFULLY = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def _sources_forgotten():
    yield
    forget()


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def examine(made: Program, change: Break, *, autograd: bool) -> str:
    """Check a program as it is and broken; return what became of the broken one."""
    right, wrong = made.function(), made.function(change)
    loss, truth = right(**made.inputs)
    size = max(1.0, abs(float(loss)))
    names = tuple(made.parameters)
    check = gradcheck.check(right, made.inputs, names, autograd=autograd)
    for name, result in check.parameters.items():
        hidden = rms(truth[name]) < HIDDEN * size
        assert result.verdict == Verdict.PASS or (
            hidden and result.verdict == Verdict.INCONCLUSIVE
        ), f"right gradient of {name}: {result.verdict}, {check.diagnoses}"
    if autograd:
        assert "autograd" in check.oracles, [notice.message for notice in check.warnings]
    claimed = wrong(**made.inputs)[1]
    broken = gradcheck.check(wrong, made.inputs, names, autograd=autograd)
    seen = [
        judged(broken.parameters[name], np.asarray(claimed[name]), np.asarray(truth[name]), size)
        for name in names
    ]
    if "seen" in seen:
        assert broken.verdict == Verdict.FAIL
        return "seen"
    return "small" if "small" in seen else "none"


def judged(
    result: gradcheck.ParameterResult, claimed: np.ndarray, truth: np.ndarray, size: float
) -> str:
    """Hold one parameter's verdict against how far its gradient was changed."""
    difference = np.abs(claimed - truth)
    difference = np.where(difference < NOTHING * size, 0.0, difference)
    typical = rms(truth)
    scale = np.maximum(np.maximum(np.abs(claimed), np.abs(truth)), typical)
    if not difference.any():
        assert result.verdict != Verdict.FAIL, f"{result.name} was not changed"
        return "none"
    if result.verdict == Verdict.PASS:
        stated = max(result.resolution, SAME) * scale
        assert np.all(difference <= stated), f"{result.name} missed above its resolution"
    own = np.maximum(np.maximum(np.abs(claimed), np.abs(truth)), 1e-3 * typical)
    large = difference > SEEN * own
    if large.any() and typical >= HIDDEN * size:
        assert result.verdict == Verdict.FAIL, f"{result.name}: {result.verdict}"
        return "seen"
    return "small"


def draw_and_examine(data: st.DataObject) -> None:
    draws = Drawn(data)
    made = program(draws, OPERATIONS)
    change = draw_break(draws, made)
    autograd = bool(draws.integer(0, 1)) and HAS_TORCH
    note(f"{change}, autograd={autograd}\n{made.source(change)}")
    examine(made, change, autograd=autograd)


@settings(CAREFULLY, max_examples=60)
@given(st.data())
def test_no_false_alarm_and_no_miss(data):
    draw_and_examine(data)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(4))
def test_no_false_alarm_and_no_miss_in_many_programs(part):
    @settings(CAREFULLY, max_examples=500)
    @seed(part)
    @given(st.data())
    def many(data):
        draw_and_examine(data)

    many()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_longer_programs_and_most_breaks_are_seen():
    outcomes: Counter[str] = Counter()
    for number in range(300):
        draws = Seeded(np.random.default_rng(10_000 + number))
        made = program(draws, OPERATIONS, most_steps=25)
        change = draw_break(draws, made)
        try:
            outcomes[examine(made, change, autograd=number % 2 == 0)] += 1
        except AssertionError as error:
            raise AssertionError(f"program {number}: {error}\n{made.source(change)}") from error
    assert outcomes["seen"] > 150, outcomes


def sampled_programs(count: int) -> list[Program]:
    return [program(Seeded(np.random.default_rng(number)), OPERATIONS) for number in range(count)]


def test_every_operation_is_met():
    met: Counter[str] = Counter()
    for number in range(400):
        draws = Seeded(np.random.default_rng(number))

        def counted(operation):
            def run(builder):
                step = operation(builder)
                met[operation.__name__] += step is not None
                return step

            return run

        program(draws, [counted(operation) for operation in OPERATIONS])
    assert {operation.__name__ for operation in OPERATIONS} == {n for n in met if met[n] >= 3}


def test_every_elementwise_rule_and_reduction_is_met():
    text = "\n".join(made.source() for made in sampled_programs(1500))
    for spelling, *_ in (*random_operations.UNARY, *random_operations.REDUCTIONS):
        assert spelling.split("{")[0] in text, spelling


def test_rules_agree_with_plain_differences():
    """The programs' own gradients against a difference formula written out here."""
    compared = 0
    for made in sampled_programs(60):
        function = made.function()
        loss, gradient = function(**made.inputs)
        for name, start in made.parameters.items():
            for place in np.ndindex(start.shape):
                values = []
                for step in (1e-4, -1e-4, 2e-4, -2e-4):
                    moved = made.inputs
                    moved[name][place] += step
                    values.append(float(function(**moved)[0]))
                numeric = (8 * (values[0] - values[1]) - (values[2] - values[3])) / 1.2e-3
                size = max(1.0, abs(float(loss)), abs(numeric))
                assert abs(float(np.asarray(gradient[name])[place]) - numeric) < 1e-6 * size
                compared += 1
    assert compared > 300
