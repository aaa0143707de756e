"""The step of an entry's first central difference: what it balances, and its bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck.oracles.steps import first_steps, typical_change

NAN, INF = float("nan"), float("inf")
BELOW, ABOVE = 1.41, 1.42
"""The root of 2 lies between: a step is the power of two nearest to what is wanted, by ratio."""


def step(claimed: Any, noise: float, *, scale: float = 1.0, loss: float = 1.0, **kw: Any) -> float:
    """The step of the first of some entries of one scale, as a power of two."""
    claims = np.atleast_1d(np.array(claimed, dtype=float))
    steps = first_steps(claims, np.full(claims.shape, scale), noise, loss, **kw)
    fractions, exponents = np.frexp(steps)
    assert (fractions == 0.5).all()
    return float(exponents[0] - 1)


ROUNDED = pytest.mark.parametrize(("share", "more"), [(BELOW, 0), (ABOVE, 1)])


@ROUNDED
@pytest.mark.parametrize("claim", [1.0, -8.0])
@pytest.mark.parametrize("scale", [1.0, 2.0**-3])
def test_noise_is_to_be_a_hundred_millionth_of_the_claim(
    share: float, more: int, claim: float, scale: float
) -> None:
    noise = share * 2.0**-26 * abs(claim) * 1e-8 / 4
    assert step(claim, noise, scale=scale) == -26 + more


@ROUNDED
@pytest.mark.parametrize("claim", [1.0, -8.0])
@pytest.mark.parametrize("scale", [1.0, 2.0**-3])
def test_or_else_to_balance_what_curvature_leaves(
    share: float, more: int, claim: float, scale: float
) -> None:
    noise = (share * 2.0**-9) ** 3 / 3 * abs(claim) * scale
    assert step(claim, noise, scale=scale) == -9 + more + np.log2(scale)


@ROUNDED
def test_small_entries_are_taken_for_a_hundredth_of_a_typical_one(share: float, more: int) -> None:
    noise = share * 2.0**-26 * 1e-2 * 4.0 * 1e-8 / 4
    for claim in (0.0, 1e-9, 3.9e-2, NAN, INF):
        assert step(claim, noise, typical=4.0) == -26 + more
    assert step(8e-2, noise, typical=4.0) == -27 + more
    assert step([0.0, 4.0], noise, typical=4.0) == -26 + more
    # in units of the scale, over which it changes the loss
    for scale in (2.0**-3, 2.0):
        assert step(0.0, noise, typical=4.0, scale=scale) == -26 + more + np.log2(scale)
    noise = (share * 2.0**-9) ** 3 / 3 * 4.0
    for claim in (0.0, 1e-9, 3.9):
        assert step(claim, noise, typical=4.0) == -9 + more
    assert step(32.0, noise, typical=4.0) == -10 + more


@ROUNDED
@pytest.mark.parametrize("loss", [4.0, -4.0])
def test_where_no_claim_tells_the_size_of_the_loss_does(
    share: float, more: int, loss: float
) -> None:
    noise = (share * 2.0**-9) ** 3 / 3 * 4.0
    for claims in (0.0, [0.0, 0.0], [NAN, 0.0]):
        assert step(claims, noise, loss=loss) == -9 + more
    assert step(0.0, noise * 2.0**-9, loss=loss, scale=8.0) == -9 + more


def test_where_nothing_does_it_is_long() -> None:
    assert step(0.0, 1e-20, loss=0.0) == -7
    # the cube root of 1e-16
    assert step(0.0, 0.0, loss=0.0) == -18
    assert step(0.0, 0.0, loss=0.0, scale=1024.0) == -8


def test_bounds_are_in_units_of_the_scale() -> None:
    for scale, more in ((1.0, 0), (1024.0, 10), (2.0**-20, -20)):
        assert step(1.0, 1e-40, scale=scale) == -40 + more
        assert step(1.0, 1e10, scale=scale) == -7 + more


def test_a_typical_change_is_that_of_claims_times_scales() -> None:
    claims, scales = np.array([3.0, NAN, 0.0, -4.0]), np.array([1.0, 1.0, 5.0, 2.0])
    assert typical_change(claims, scales) == pytest.approx(np.sqrt((9 + 64) / 4))
    noise = 1e-12
    own = first_steps(claims, scales, noise, 1.0)
    given = first_steps(claims, scales, noise, 1.0, typical_change(claims, scales))
    assert own.tolist() == given.tolist()
