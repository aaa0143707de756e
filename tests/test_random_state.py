"""Global random generators: draws are seen, seeds make them repeat, states are put back."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from gradcheck.calling import random_state

DRAWS = {
    "python": random.random,
    "numpy": np.random.rand,
    "numpy normal": lambda: np.random.normal(),
    "torch": lambda: float(torch.rand(())),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_draw_is_seen_and_undone(draw):
    before = random_state.snapshot()
    first = draw()
    assert random_state.differ(before, random_state.snapshot())
    random_state.restore(before)
    assert not random_state.differ(before, random_state.snapshot())
    assert draw() == first
    random_state.restore(before)


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_the_same_seed_gives_the_same_draw(draw):
    before = random_state.snapshot()
    random_state.seed_all(7)
    first = draw()
    random_state.seed_all(7)
    assert draw() == first
    random_state.seed_all(8)
    assert draw() != first
    random_state.restore(before)


def test_computing_without_drawing_is_no_draw():
    before = random_state.snapshot()
    np.random.default_rng(0).normal(size=3)
    np.linalg.norm(np.ones(3))
    assert not random_state.differ(before, random_state.snapshot())


@pytest.mark.parametrize(("code", "drawn"), [("torch.rand(3)", True), ("torch.ones(3)", False)])
def test_torch_imported_between_two_snapshots_has_drawn_only_if_it_drew(code, drawn):
    script = f"""
from gradcheck.calling import random_state
before = random_state.snapshot()
import torch
{code}
assert len(before) == 2
assert random_state.differ(before, random_state.snapshot()) is {drawn}
random_state.restore(before)
assert not random_state.differ(before, random_state.snapshot())
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=120)


@pytest.mark.parametrize(
    "generator",
    [np.random.default_rng(0), np.random.RandomState(0), random.Random(0)],
    ids=lambda generator: type(generator).__name__,
)
def test_a_generator_goes_back_to_its_state(generator):
    state = random_state.state_of(generator)
    first = generator.random()
    assert generator.random() != first
    random_state.set_state(generator, state)
    assert generator.random() == first


def test_generators_are_found_among_values():
    values = [1.0, np.random.default_rng(0), "text", random.Random(1), np.zeros(2)]
    assert random_state.generators_of(values) == [values[1], values[3]]
