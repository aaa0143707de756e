"""The derivative of a loss that jumps all along: by what it works in, by autograd, or in doubt."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcheck import across_jumps
from gradcheck.across_jumps import across_or_between
from gradcheck.jumps import Jumps
from gradcheck.noise import Noise
from gradcheck.oracles.estimate import smooth_estimate
from gradcheck.oracles.torch_autograd import Autograd
from gradcheck.settings import Settings

JUMPS = Jumps([np.array([1.0, 0.0])], 1.0, 3.0, 1e-15)
"""Along the first entry, a slope of 1 between the jumps and of 3 across them."""
NOISE = Noise(1e-7, 2.0, np.dtype(float), 5.0, jumps=JUMPS)


def settled(
    monkeypatch: Any,
    *,
    claim: float,
    autograd: float | None = None,
    noise: Noise = NOISE,
    inside: Any = None,
    kind: str = "numpy",
    jumps: Jumps = JUMPS,
) -> tuple[Noise, Any]:
    estimates: Any = {}
    if autograd is not None:
        slopes = np.array([autograd, 7.0])
        estimates = {"x": smooth_estimate("autograd", slopes, np.zeros(2))}
    monkeypatch.setattr(across_jumps, "autograd_of", lambda *_: Autograd(estimates))
    problem: Any = SimpleNamespace(
        parameters=[SimpleNamespace(name="x")],
        analytic={"x": np.array([claim, 7.0])},
        precision_inside=inside,
        kind=kind,
        facts=SimpleNamespace(spread=0.0),
    )
    return across_or_between(problem, Settings(), noise, jumps, np.random.default_rng(0))


@pytest.mark.parametrize("claim", [1.0, 3.0])
def test_where_all_works_in_double_precision_the_steps_are_meant(
    monkeypatch: Any, claim: float
) -> None:
    inside = np.dtype(np.float64)
    noise, said = settled(monkeypatch, claim=claim, autograd=3.0, inside=inside)
    assert (noise.level, noise.jumps, said) == (1e-15, None, ())
    lower = settled(monkeypatch, claim=3.0, autograd=3.0, inside=np.dtype(np.float32))
    assert lower[0].jumps is JUMPS


@pytest.mark.parametrize("claim", [1.0, 3.0])
def test_else_autograd_says_which_slope_it_is(monkeypatch: Any, claim: float) -> None:
    noise, said = settled(monkeypatch, claim=claim, autograd=1.0)
    assert (noise.level, noise.jumps, said) == (1e-15, None, ())
    noise, (notice,) = settled(monkeypatch, claim=claim, autograd=3.0)
    assert noise is NOISE
    assert notice.key == "loss_jumps"
    assert "is 3 across the jumps, which counts, and 1 between them" in notice.message


def test_without_it_a_claim_of_the_slope_between_is_in_doubt(monkeypatch: Any) -> None:
    noise, said = settled(monkeypatch, claim=1.0)
    assert noise.level == 2.0
    assert noise.jumps is JUMPS
    assert len(said) == 1
    assert settled(monkeypatch, claim=3.0)[0] is NOISE


def test_a_jump_is_the_least_that_the_loss_jitters_by_across_them(monkeypatch: Any) -> None:
    for height, level in ((1e-4, 1e-4), (1e-8, 1e-7)):
        jumps = replace(JUMPS, height=height)
        found = settled(monkeypatch, claim=3.0, noise=replace(NOISE, jumps=jumps), jumps=jumps)
        assert found[0].level == level
    # Between them it is what was seen there.
    jumps = replace(JUMPS, height=1e-4)
    assert settled(monkeypatch, claim=1.0, autograd=1.0, jumps=jumps)[0].level == 1e-15


def test_noise_larger_than_that_stays(monkeypatch: Any) -> None:
    noisy = replace(NOISE, level=4.0)
    assert settled(monkeypatch, claim=1.0, noise=noisy)[0].level == 4.0


def test_forward_mode_knows_as_well(monkeypatch: Any) -> None:
    assert settled(monkeypatch, claim=1.0, kind="torch")[0] is NOISE


@pytest.mark.parametrize(("loss", "variation"), [(2.0, 5.0), (-5.0, 2.0)])
@pytest.mark.parametrize(("share", "doubt"), [(1.01e-5, True), (0.99e-5, False)])
def test_jumps_larger_than_single_precision_makes_leave_every_claim_in_doubt(
    monkeypatch: Any, share: float, doubt: bool, loss: float, variation: float
) -> None:
    noise = replace(NOISE, level=5.0 * share, loss=loss, variation=variation)
    found, said = settled(monkeypatch, claim=3.0, noise=noise)
    assert found.level == (2.0 if doubt else noise.level)
    assert len(said) == 1
    assert settled(monkeypatch, claim=3.0, noise=noise, autograd=3.0)[0] is noise
