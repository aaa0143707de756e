"""Differences of losses kept in a byte or two, and sweeps made anew from them, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.blocks import BLOCK, parts
from gradcheck.noise import Noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles.central import Refinement
from gradcheck.oracles.climb import ORDINARY
from gradcheck.oracles.counted import counted, packed, unpacked
from gradcheck.oracles.first_pass import prepare
from gradcheck.oracles.parted import ARRAYS
from gradcheck.oracles.swept import Swept

NAN = float("nan")
UNIT = 2.0**-52


def kept(differences, expected):
    differences, expected = np.array(differences, dtype=float), np.array(expected, dtype=float)
    found = counted(differences, expected)
    again = found.differences(expected, slice(0, len(differences)))
    np.testing.assert_array_equal(again, np.where(np.isfinite(differences), differences, NAN))
    return found


@pytest.mark.parametrize(
    ("off", "kind"),
    [
        (0, np.int8),
        (127, np.int8),
        (-127, np.int8),
        (128, np.int16),
        (-128, np.int16),
        (2**15 - 1, np.int16),
        (2**15, np.int32),
        (2**31 - 1, np.int32),
        (2**31, float),
    ],
)
def test_as_few_bytes_are_kept_as_hold_how_far_the_count_is_off(off, kind):
    whole = np.array([1000.0, 1001.0, 3.0])
    found = kept((whole + off) * UNIT, whole * UNIT)
    assert found.missed.dtype == kind
    assert found.grain == (0.0 if kind is float else UNIT)


@pytest.mark.parametrize("special", [NAN, np.inf, -np.inf])
def test_what_is_not_finite_is_told_as_no_number(special):
    found = kept([special, 4 * UNIT, 0.0], [0.0, 5 * UNIT, 0.0])
    assert found.missed.dtype == np.int8
    assert found.grain == 4 * UNIT
    assert kept([special, special], [0.0, 1.0]).missed.dtype == np.int8


def test_the_grain_is_the_largest_power_of_two_that_divides_all():
    assert kept([6.0, -4.0, 0.0], [0.0, 0.0, 0.0]).grain == 2.0
    assert kept([0.5, 0.75], [0.0, 0.0]).grain == 0.25
    assert kept([0.0, 0.0], [0.0, 0.0]).grain == 1.0
    assert kept([3 * 2.0**-1000], [0.0]).grain == 2.0**-1000


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1.0, 2.0**-60], [0.0, 0.0]),  # too far apart to be counted
        ([1e-310], [0.0]),
        ([1.0, 1.0 + UNIT], [0.0, 1e30]),
        ([1e300, -1e300], [0.0, 0.0]),
    ],
)
def test_what_cannot_be_counted_is_kept_as_it_is(differences, expected):
    kept(differences, expected)


def test_a_part_is_told_by_what_is_expected_of_it():
    draw = np.random.default_rng(0)
    whole = draw.integers(-(10**6), 10**6, 50).astype(float)
    expected = (whole + draw.integers(-50, 50, 50)) * UNIT + 0.3 * UNIT
    found = counted(whole * UNIT, expected)
    assert found.missed.dtype == np.int8
    np.testing.assert_array_equal(
        found.differences(expected[7:30], slice(7, 30)), whole[7:30] * UNIT
    )


@pytest.mark.parametrize("n", [1, 7, 8, 9, 100])
def test_marks_that_are_all_alike_take_no_bytes_and_others_one_in_eight(n):
    assert packed(np.ones(n, dtype=bool)) is True
    assert packed(np.zeros(n, dtype=bool)) is False
    assert unpacked(True, slice(2, 5)).tolist() == [True] * 3
    marks = np.random.default_rng(n).random(n) < 0.5
    if marks.any() and not marks.all():
        assert len(packed(marks)) == -(-n // 8)
    for at in (slice(0, n), slice(n // 2, n), slice(0, n // 2)):
        np.testing.assert_array_equal(unpacked(packed(marks), at), marks[at])


# Sweeps

N = BLOCK + 700


def features(every):
    """A loss with kinks, flat entries and an edge; a claim that is wrong in one of so many."""
    draw = np.random.default_rng(0)
    weights = draw.normal(size=N)
    weights[::101] = 0.0
    x = draw.uniform(0.5, 1.5, N)
    x[3::997] = 0.0
    bent = np.zeros(N)
    bent[3::997] = 1.0

    def loss(x):
        inside = 0.0 if x[5] == start[5] else NAN
        return float(weights @ x + np.abs(x[3::997]).sum() + inside)

    start = x.copy()
    claimed = weights.copy()
    claimed[3::997] += 0.5
    claimed[7::every] *= 2
    return loss, claimed, x


@pytest.mark.parametrize(("every", "left_some"), [(5000, False), (50, True)])
def test_a_sweep_gives_back_each_entry_as_it_was_found(every, left_some):
    loss, claimed, x = features(every)
    problem = numpy_problem(lambda x: (loss(x), claimed), {"x": x})
    noise = Noise(1e-12, problem.facts.value, np.dtype(float), 1.0)
    generator = np.random.default_rng(0)
    prepared = prepare(problem, noise, 0)
    refinement = Refinement(problem, noise, generator, 8, ORDINARY)
    swept, found = Swept(prepared), []
    with np.errstate(all="ignore"):
        for at in parts(N):
            changes = prepared.changes(at)
            first = prepared.evaluated(at, changes)
            refined = refinement.of(first, None)
            swept.add(at, changes, first, refined)
            found.append(refined[0])
        again = swept.estimate()
    assert again.size == N
    assert refined[1].any() is np.bool_(left_some)
    assert found[0].kinks.any() or left_some
    assert found[0].edges.any()
    assert np.asarray(found[0].flat).any()
    for at, one in zip(parts(N), found, strict=True):
        assert not again.is_empty(at)
        for some in (at, slice(at.start + 3, at.start + 400), slice(at.stop - 9, at.stop)):
            inner = slice(some.start - at.start, some.stop - at.start)
            expected, got = one.part(inner), again.part(some)
            for name in ARRAYS:
                np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
