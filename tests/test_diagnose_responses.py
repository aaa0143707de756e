"""How a loss answers to moves of a parameter whose gradient is zero: not, in steps, smoothly."""

from dataclasses import replace

import numpy as np
import pytest
from test_diagnose_patterns import evidence

from gradcheck.diagnose.response import FAR, response

VALUE = np.array([2.0, -1.0, 0.5])
NONE = np.zeros(3, bool)


def answer(loss, *, penalty=0.0, region=NONE, value=VALUE, rounding=1e-14):
    """What is said of a loss of the distance moved; and the moves that it was asked for."""
    asked = []

    def moved(name, way, distances):
        asked.append((name, way, tuple(distances)))
        return np.array([loss(t, way) for t in distances])

    zero = np.zeros(value.shape)
    known = evidence({"W": zero + 1.0}, {"W": zero}, {"W": value})
    known = replace(known, moved=moved, loss_rounding=rounding)
    return response(known, known.facts["W"], penalty, region), asked


def test_a_loss_that_cannot_be_moved_says_nothing():
    zero = np.zeros(3)
    known = evidence({"W": zero + 1.0}, {"W": zero}, {"W": VALUE})
    assert response(known, known.facts["W"], 0.0, NONE) == ""


@pytest.mark.parametrize("step", [0.3, -0.3, 1.0, -1.0, 3.0, -3.0])
def test_a_step_is_seen_on_either_side_near_and_far(step):
    assert answer(lambda t, _: float(t == step))[0] == "steps"
    assert answer(lambda t, _: 5.0)[0] == "none"
    assert step in FAR


@pytest.mark.parametrize(("rounding", "share"), [(1e-14, 3.2e-6), (1e-6, 1e-2), (1e-4, 1e-2)])
def test_two_small_moves_and_a_large_one_each_another_way(rounding, share):
    said, asked = answer(lambda t, _: 5.0, rounding=rounding)
    assert said == "none"
    assert [name for name, _, _ in asked] == ["W"] * 3
    near = pytest.approx((0.0, share, -share))
    assert [distances for *_, distances in asked] == [near, near, (0.0, *FAR)]
    drawn = np.random.default_rng(31).standard_normal((3, 3))
    np.testing.assert_allclose([way for _, way, _ in asked], 2.0 * drawn)  # 2: the largest value


def test_a_parameter_of_zeros_is_moved_by_ones():
    _, asked = answer(lambda t, _: 5.0, value=np.zeros(3))
    drawn = np.random.default_rng(31).standard_normal((3, 3))
    np.testing.assert_allclose([way for _, way, _ in asked], drawn)


def test_whoever_answers_to_small_moves_is_asked_no_more():
    said, asked = answer(lambda t, way: 5.0 + way[0] * t)
    assert (said, len(asked)) == ("smooth", 1)
    ways = []

    def second(t, way):
        if t == 0:
            ways.append(way)
        return 5.0 + (t if len(ways) == 2 else 0.0)

    said, asked = answer(second)
    assert (said, len(asked)) == ("smooth", 2)


@pytest.mark.parametrize("region", [np.ones(3, bool), np.array([True, False, True])])
@pytest.mark.parametrize(("factor", "said"), [(1.0, "none"), (1.01, "smooth"), (0.0, "smooth")])
def test_a_penalty_on_the_squares_is_no_answer(region, factor, said):
    def penalised(t, way):
        return 5.0 + 0.5 * 0.3 * np.sum((VALUE + t * way)[region] ** 2)

    found, _ = answer(penalised, penalty=0.3 * factor, region=region, rounding=1e-10)
    assert found == said


@pytest.mark.parametrize(("start", "moved"), [(1.0, 3.0), (3.0, 1.0), (-1.0, -3.0), (-3.0, -1.0)])
@pytest.mark.parametrize(("rounding", "said"), [(0.6, "smooth"), (0.7, "none")])
def test_rounding_is_relative_to_the_larger_of_both(start, moved, rounding, said):
    """A change of 2 is more than 0.6 times 3, and less than 0.7 times 3."""
    assert answer(lambda t, _: start if t == 0 else moved, rounding=rounding)[0] == said


def test_what_is_not_finite_says_nothing():
    nan, inf = float("nan"), float("inf")
    assert answer(lambda t, _: inf if t > 0 else 5.0)[0] == "none"
    assert answer(lambda t, _: nan if t > 0 else 5.0 - t)[0] == "smooth"
    assert answer(lambda t, _: 5.0 if t == 0 else nan)[0] == ""
    assert answer(lambda t, _: nan if t == 0 else 5.0)[0] == ""
    # answered near by, and not far away
    assert answer(lambda t, _: nan if abs(t) > 0.1 else 5.0)[0] == ""
