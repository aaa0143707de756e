"""When the rounding of a gradient is measured, over which steps, and what becomes of the guess."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradcheck.blocks import BLOCK
from gradcheck.noise import Noise, table_noise
from gradcheck.problem import Parameter
from gradcheck.verdict.gradient_noise import measured_rounding

EPS = float(np.finfo(np.float64).eps)
JITTER = [0.3, -0.8, 0.5, 0.9, -0.4, -0.7, 0.2, 0.6]
"""What eight places in a row add to a gradient."""
LEVEL = table_noise(JITTER)
FEW = np.ones(4)


def guess_of(share: float) -> Noise:
    """Noise that lets four of its deviations over a scale of 1 be this share of a gradient of 1."""
    return Noise(share / 4.0, 1e16, np.dtype(float))


class Gradient:
    """Remembers where it was asked for; ``rows`` say what each entry gives, call by call."""

    def __init__(self, rows: Any, value: Any = FEW) -> None:
        self.rows = rows
        self.parameter = Parameter("w", "w", value.copy(), value.dtype)
        self.start = value.copy()
        self.moves: list[Any] = []

    def __call__(self) -> dict[str, Any]:
        self.moves.append(self.parameter.value - self.start)
        return {"w": self.rows(len(self.moves))}


def measured(
    gradient: Gradient, share: float, *, base: Any = None, bound: Any = 1.0, budget: int = 10**6
) -> Any:
    """The bounds that come out, with the evaluations that were counted."""
    spent: list[int] = []

    def spend(n: int) -> bool:
        if sum(spent) + n > budget:
            return False
        spent.append(n)
        return True

    base = np.ones(gradient.start.shape) if base is None else base
    problem: Any = SimpleNamespace(
        parameters=[gradient.parameter], evaluator=SimpleNamespace(spend=spend)
    )
    bounds = {"w": np.broadcast_to(bound, base.shape).astype(float)}
    found = measured_rounding(
        problem, gradient, {"w": base}, bounds, guess_of(share), np.random.default_rng(0)
    )
    assert list(found) == ["w"]
    np.testing.assert_array_equal(gradient.parameter.value, gradient.start)
    assert sum(spent) >= len(gradient.moves)
    return found["w"]


def jittering(*sizes: float) -> Any:
    """Entries that jitter by so much each, and repeat themselves after eight calls."""
    return lambda call: 1.0 + np.array(sizes) * JITTER[(call - 1) % 8]


# Whether it is measured


@pytest.mark.parametrize("share", [1.1e-6, 1e-4, 0.09])
def test_the_noisiest_entry_counts_instead_of_the_guess(share: float) -> None:
    gradient = Gradient(jittering(1e-12, 3e-12, 2e-12, 0.0))
    found = measured(gradient, share, bound=share + 1e-9)
    np.testing.assert_allclose(found, 1e-9 + 8 * 3e-12 * LEVEL, rtol=1e-4)
    assert len(gradient.moves) == 8


@pytest.mark.parametrize("share", [0.9e-6, 0.11])
def test_a_guess_that_decides_nothing_or_may_hide_all_stays(share: float) -> None:
    gradient = Gradient(jittering(1e-12, 1e-12, 1e-12, 1e-12))
    assert (measured(gradient, share, bound=share + 1e-9) == share + 1e-9).all()
    assert not gradient.moves


def test_it_replaces_no_guess_that_is_smaller() -> None:
    gradient = Gradient(jittering(1.0, 1.0, 1.0, 1.0))
    assert measured(gradient, 1e-4, bound=1e-4 + 1e-9) == pytest.approx(1e-4 + 1e-9)


def test_what_a_move_by_a_rounding_left_below_the_guess_is_none() -> None:
    gradient = Gradient(jittering(*[1e-12] * 4))
    found = measured(gradient, 1e-4, bound=0.5e-4)
    np.testing.assert_allclose(found, 8 * 1e-12 * LEVEL, rtol=1e-3)


def test_a_gradient_of_zeros_hides_nothing() -> None:
    gradient = Gradient(jittering(*[1e-12] * 4))
    assert (measured(gradient, 1e-4, base=np.zeros(4), bound=1e-3) == 1e-3).all()
    assert not gradient.moves


@pytest.mark.parametrize(
    "value", [np.ones(BLOCK + 1), np.ones(4, dtype=np.float32)], ids=["large", "single"]
)
def test_large_parameters_and_lower_precision_keep_the_guess(value: Any) -> None:
    gradient = Gradient(lambda call: np.ones(value.shape), value)
    assert (measured(gradient, 1e-4, bound=1e-3) == 1e-3).all()
    assert not gradient.moves


def test_another_order_of_bytes_is_no_lower_precision() -> None:
    gradient = Gradient(jittering(*[1e-12] * 4), np.ones(4, dtype=">f8"))
    found = measured(gradient, 1e-4, bound=1e-4 + 1e-9)
    np.testing.assert_allclose(found, 1e-9 + 8 * 1e-12 * LEVEL, rtol=1e-4)


def test_one_of_a_block_is_looked_at() -> None:
    gradient = Gradient(lambda call: np.full(BLOCK, np.nan), np.ones(BLOCK))
    measured(gradient, 1e-4, bound=1e-4)
    assert len(gradient.moves) == 8


def test_a_parameter_without_bounds_is_left_alone() -> None:
    gradient = Gradient(jittering(*[1e-12] * 4))
    problem: Any = SimpleNamespace(parameters=[gradient.parameter])
    generator = np.random.default_rng(0)
    assert measured_rounding(problem, gradient, {}, {}, guess_of(1e-4), generator) == {}


@pytest.mark.parametrize("first", ["unbounded", "single", "flat"])
def test_the_others_are_looked_at_whatever_becomes_of_one(first: str) -> None:
    dtype = np.float32 if first == "single" else np.float64
    one, two = np.ones(4, dtype), np.ones(4)
    # of no claim the guess decides nothing
    base = {"u": np.full(4, 1e9 if first == "flat" else 1.0), "w": FEW}
    bounds = {"u": np.full(4, 1e-3), "w": np.full(4, 1e-4 + 1e-9)}
    if first == "unbounded":
        del bounds["u"]
    problem: Any = SimpleNamespace(
        parameters=[Parameter("u", "u", one, one.dtype), Parameter("w", "w", two, two.dtype)],
        evaluator=SimpleNamespace(spend=lambda n: True),
    )
    rows, calls = jittering(*[1e-12] * 4), []

    def gradient() -> dict[str, Any]:
        calls.append(1)
        return {"u": base["u"], "w": rows(len(calls))}

    args = (base, bounds, guess_of(1e-4), np.random.default_rng(0))
    found = measured_rounding(problem, gradient, *args)
    np.testing.assert_allclose(found["w"], 1e-9 + 8 * 1e-12 * LEVEL, rtol=1e-4)
    if "u" in bounds:
        np.testing.assert_array_equal(found["u"], bounds["u"])


# Where it is looked at


def test_places_lie_in_a_row_a_thousandth_of_each_entry_apart() -> None:
    value = np.array([2.0, -0.5, 0.0, 10.0])
    typical = float(np.sqrt((4 + 0.25 + 100) / 3))
    gradient = Gradient(jittering(*[1e-12] * 4), value)
    measured(gradient, 1e-4, bound=1e-4)
    steps = gradient.moves[0] / 1e-3 / [2.0, 0.5, typical, 10.0]
    assert (np.abs(steps) >= 0.5).all()
    assert (np.abs(steps) <= 1.0).all()
    assert len(set(np.sign(steps))) == 2
    for k, move in enumerate(gradient.moves[:8], 1):
        np.testing.assert_allclose(move, k * gradient.moves[0], rtol=1e-9)


def test_spacings_widen_sevenfold_until_more_than_half_of_the_entries_move() -> None:
    def rows(call: int) -> Any:
        moving = [2, 2, 3][(call - 1) // 8]
        sizes = np.where(np.arange(4) < moving, 1e-12 * np.arange(1, 5), 0.0)
        return 1.0 + sizes * JITTER[(call - 1) % 8]

    gradient = Gradient(rows)
    found = measured(gradient, 1e-4, bound=1e-4)
    np.testing.assert_allclose(found, 8 * 3e-12 * LEVEL, rtol=1e-3)
    assert len(gradient.moves) == 24
    first = np.abs(gradient.moves[0])
    np.testing.assert_allclose(np.abs(gradient.moves[8]), 7 * first, rtol=1e-9)
    np.testing.assert_allclose(np.abs(gradient.moves[16]), 49 * first, rtol=1e-9)


def test_below_its_grain_at_every_spacing_the_guess_stays() -> None:
    gradient = Gradient(lambda call: np.ones(4))
    assert measured(gradient, 1e-4, bound=1e-3) == pytest.approx(1e-3)
    assert len(gradient.moves) == 24  # the next spacing would be a third of the scale


@pytest.mark.parametrize(("budget", "calls"), [(7, 0), (8, 8), (15, 8), (16, 16)])
def test_every_gradient_counts_and_none_goes_beyond_a_budget(budget: int, calls: int) -> None:
    gradient = Gradient(lambda call: np.ones(4))
    assert measured(gradient, 1e-4, bound=1e-3, budget=budget) == pytest.approx(1e-3)
    assert len(gradient.moves) == calls


@pytest.mark.parametrize("at", [1, 5, 8])
@pytest.mark.parametrize("kind", ["raises", "nan", "inf"])
def test_off_its_domain_the_guess_stays(at: int, kind: str) -> None:
    def rows(call: int) -> Any:
        if call == at:
            if kind == "raises":
                raise ValueError("outside")
            return np.array([1.0, float(kind), 1.0, 1.0])
        return 1.0 + 1e-12 * JITTER[(call - 1) % 8] * np.ones(4)

    gradient = Gradient(rows)
    assert measured(gradient, 1e-4, bound=1e-3) == pytest.approx(1e-3)
    assert len(gradient.moves) == (at if kind == "raises" else 8)


# Gradients that do not change a rounding away


OWN = EPS * (8.0 + 2.0)
"""Bound of an entry of 1, beside others of 1, whose gradient a rounding did not change."""
SLIGHT = 1e-7


def of_each(gradient: Gradient, excess: float = 1.0, **options: Any) -> Any:
    return measured(gradient, SLIGHT, bound=SLIGHT + excess * OWN, **options) - SLIGHT


def test_of_one_that_stays_the_noise_of_each_entry_is_added() -> None:
    gradient = Gradient(jittering(0.0, 1e-9, 2e-7, 1e-6))
    found = of_each(gradient)
    np.testing.assert_allclose(found, 8 * LEVEL * np.array([0, 1e-9, 2e-7, 1e-6]), 1e-3, 1e-14)
    assert len(gradient.moves) == 8


def test_what_is_more_than_a_ten_thousandth_is_no_rounding() -> None:
    most = 1e-4 / (8 * LEVEL)
    found = of_each(Gradient(jittering(1.02 * most, 0.98 * most, 0.0, -0.98 * most)))
    np.testing.assert_allclose(found, [0.0, 0.98e-4, 0.0, 0.98e-4], rtol=1e-3, atol=1e-10)


def test_an_entry_is_measured_against_its_own_size() -> None:
    base = np.array([1e-3, 1.0, 1.0, 1.0])
    own = EPS * (8 * base + 2 * float(np.sqrt(np.mean(base**2))))
    gradient = Gradient(jittering(1e-6, 1e-6, 1e-6, 1e-6))
    found = measured(gradient, SLIGHT, base=base, bound=SLIGHT + own) - SLIGHT
    assert found[0] < 1e-9
    np.testing.assert_allclose(found[1:], 8 * LEVEL * 1e-6, rtol=1e-3)


@pytest.mark.parametrize(("excess", "calls"), [(1.01, 8), (1.03, 0), (20.0, 0)])
def test_a_gradient_that_changes_a_rounding_away_has_told_its_noise(
    excess: float, calls: int
) -> None:
    gradient = Gradient(jittering(*[1e-9] * 4))
    # the bounds are told to about 1e-22 beside the guess, which is a hundred million times OWN
    found = of_each(gradient, excess)
    assert len(gradient.moves) == calls
    assert (found > 1e-9).all() == bool(calls)


def test_one_entry_that_changes_tells_of_all() -> None:
    gradient = Gradient(jittering(*[1e-9] * 4))
    measured(gradient, SLIGHT, bound=SLIGHT + OWN * np.array([1.0, 1.0, 3.0, 1.0]))
    assert not gradient.moves


@pytest.mark.parametrize("rows", [lambda call: np.ones(4), lambda call: np.full(4, np.nan)])
def test_one_that_shows_no_noise_keeps_its_bounds(rows: Any) -> None:
    gradient = Gradient(rows)
    np.testing.assert_allclose(of_each(gradient), OWN, rtol=1e-3)
    assert len(gradient.moves) == 8


def test_nor_is_that_looked_at_beyond_a_budget() -> None:
    gradient = Gradient(jittering(*[1e-9] * 4))
    np.testing.assert_allclose(of_each(gradient, budget=7), OWN, rtol=1e-3)
    assert not gradient.moves


# Entries of many sizes


MIXED = np.array([1e-3, 1.0, 1.0, 1.0])
"""A small entry, whose terms may be a thousand times as large as those of the others."""


@pytest.mark.parametrize("loss", [1e16, 5e8])
def test_a_small_entry_of_a_tiny_gradient_gets_its_own_noise(loss: float) -> None:
    def gradient(size: float) -> Any:
        found = Gradient(jittering(size, 1e-12, 1e-12, 1e-12), MIXED)
        noise = Noise(2.5e-5, loss, np.dtype(float))
        problem: Any = SimpleNamespace(
            parameters=[found.parameter], evaluator=SimpleNamespace(spend=lambda n: True)
        )
        start = {"w": np.full(4, 2e-4)}
        args = (problem, found, {"w": FEW}, start, noise, np.random.default_rng(0))
        return measured_rounding(*args)["w"]

    slight, beyond = gradient(1e-3), gradient(10.0)
    if loss == 1e16:
        assert slight[0] == pytest.approx(8e-3 * LEVEL, rel=0.1)
        assert beyond[0] == pytest.approx(0.1, rel=0.1)  # four deviations over its own size
    else:
        assert max(slight[0], beyond[0]) < 3e-4
    assert max(slight[1:].max(), beyond[1:].max()) < 3e-4


@pytest.mark.parametrize(("size", "calls"), [(0.44, 16), (0.455, 8)])
def test_an_entry_is_small_where_its_own_terms_may_be_twice_the_guess(
    size: float, calls: int
) -> None:
    # half of the root mean square of all, on which the guess is made, is 0.447
    value = np.array([size, 1.0, 1.0, 1.0])
    gradient = Gradient(jittering(*[1e-12] * 4), value / np.sqrt(np.mean(value**2)))
    gradient.start = gradient.parameter.value.copy()
    measured(gradient, 1e-4, bound=2e-4)
    assert len(gradient.moves) == calls
