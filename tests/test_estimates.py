"""The parts of an estimate: noise tables, first steps, the ladder, rounding, the complex step."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.noise import Noise, half_ulp, is_flat, loss_noise, table_noise
from gradcheck.numpy_target.problem import numpy_problem
from gradcheck.oracles.central import central_differences
from gradcheck.oracles.complex_step import complex_step
from gradcheck.oracles.ladder import RATIO, Rung, neville, read_ladder
from gradcheck.oracles.steps import LONGEST, SHORTEST, first_steps
from gradcheck.oracles.torch_twin import resolve_twin
from gradcheck.scales import entry_scales, rms
from gradcheck.variation import variation
from gradcheck.verdict.rounding import grain, is_single_precision, rounding_error

DOUBLE, SINGLE = np.dtype(np.float64), np.dtype(np.float32)
X = np.random.default_rng(0).normal(size=6)


def problem_of(loss, gradient, x=X):
    return numpy_problem(lambda x: (loss(x), gradient(x)), x)


# Noise


@pytest.mark.parametrize("level", [1e-12, 1e-6, 1e-3])
def test_a_table_sees_noise_through_a_smooth_function(level):
    generator = np.random.default_rng(0)
    estimates = []
    for _ in range(50):
        t = 1e-4 * level ** (1 / 8) * np.arange(8)
        estimates.append(table_noise((np.exp(t) + level * generator.normal(size=8)).tolist()))
    assert 0.3 * level < np.median(estimates) < 3 * level


def test_a_table_of_a_polynomial_has_no_noise():
    assert table_noise((np.arange(8.0) ** 3).tolist()) < 1e-10


@pytest.mark.parametrize(
    ("make", "low", "high"),
    [
        (lambda x: np.sum(np.sin(x)), 1e-17, 3e-15),
        (lambda x: 1e8 + np.sum(np.sin(x)), 5e-9, 1e-7),
        (lambda x: float(np.float32(np.sum(np.sin(x)) + 3)), 3e-8, 3e-6),
        (lambda x: np.sum(np.sin(x.astype(np.float32))).astype(float), 1e-9, 1e-5),
    ],
    ids=["double", "offset", "rounded to single", "single inside"],
)
def test_the_noise_of_a_loss_is_that_of_its_arithmetic(make, low, high):
    noise = loss_noise(problem_of(make, np.cos), np.random.default_rng(0))
    assert low < noise.level < high


def test_the_noise_is_never_below_half_a_unit_in_the_last_place():
    noise = loss_noise(problem_of(lambda x: 1e6, np.zeros_like), np.random.default_rng(0))
    assert noise.level >= 0.5 * np.spacing(1e6)


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE])
def test_half_a_unit_in_the_last_place_is_of_the_dtype(dtype):
    assert half_ulp(np.array([1.0]), dtype)[0] == 0.5 * np.finfo(dtype).eps


def test_noise_grows_with_the_loss_but_not_for_one_near_zero():
    plain = Noise(1e-16, 1.0, DOUBLE)
    assert plain.at(np.array([1.0]))[0] == 1e-16
    assert plain.at(np.array([1e6]))[0] == pytest.approx(1e-10, rel=0.5)
    near_zero = Noise(1e-16, 1e-17, DOUBLE, variation=1.0)
    assert near_zero.at(np.array([1e-3]))[0] == pytest.approx(1e-16, rel=0.5)


def test_a_table_on_one_step_of_a_staircase_is_flat():
    assert is_flat(np.array([1.0, 1, 1, 1, 2, 2, 2, 2]))
    assert not is_flat(np.arange(8.0))


# Steps and scales


@pytest.mark.parametrize("claimed", [0.0, 1e-30, 1.0, 1e30, np.nan, np.inf])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("loss", [0.0, 1.0, 1e8])
def test_first_steps_are_powers_of_two_within_bounds(claimed, scale, loss):
    steps = first_steps(np.array([claimed, 1.0]), np.full(2, scale), 1e-16, loss)
    assert (steps >= 0.7 * SHORTEST * scale).all()
    assert (steps <= 1.5 * LONGEST * scale).all()
    np.testing.assert_array_equal(np.frexp(steps)[0], 0.5)


def test_a_noisier_loss_takes_longer_steps():
    def step(noise):
        return first_steps(np.ones(1), np.ones(1), noise, 1.0)[0]

    assert step(1e-16) < step(1e-12) < step(1e-8)


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
def test_the_root_mean_square_neither_overflows_nor_underflows(size):
    assert rms(size * np.array([3.0, 4.0])) == pytest.approx(size * np.sqrt(12.5))
    assert rms(np.array([np.nan, 2.0])) == 2.0
    assert rms(np.zeros(0)) == 0.0


def test_a_steep_claim_shortens_the_scale_and_a_gentle_one_leaves_it():
    found = entry_scales(np.array([1e9, 1.0, 0.0, np.nan]), np.full(4, 100.0), 1.0)
    assert found[0] < 1e-7
    assert found[2] == found[3] == 100.0


def test_the_variation_is_what_the_loss_does_over_its_parameters_scale():
    found = variation(problem_of(lambda x: 1e3 + np.sum(x), np.ones_like), np.random.default_rng(0))
    assert 0.1 < found < 20
    flat = problem_of(lambda x: 5.0, np.zeros_like)
    assert variation(flat, np.random.default_rng(0)) == 0.0


# The ladder


def ladder(loss, x, steps):
    return {
        level: Rung(h, h, float(loss(x + h)), float(loss(x - h))) for level, h in enumerate(steps)
    }


STEPS = 1e-5 * RATIO ** np.arange(7)


def test_extrapolation_is_exact_for_even_polynomials():
    steps = np.array([0.1, 0.4, 1.6])
    value, weights = neville(steps, 2.0 + 3 * steps**2 - steps**4)
    assert value == pytest.approx(2.0)
    assert weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("loss", "x", "truth"),
    [(np.exp, 1.0, np.e), (np.sin, 0.5, np.cos(0.5)), (np.sqrt, 2.0, 0.5 / np.sqrt(2))],
)
def test_a_ladder_sharpens_a_smooth_slope(loss, x, truth):
    reading = read_ladder(ladder(loss, x, STEPS), float(loss(x)), 1e-16)
    assert not reading.kink
    assert reading.consistent
    assert abs(reading.value - truth) <= reading.uncertainty < 1e-9


@pytest.mark.parametrize("slopes", [(0.0, 1.0), (-1.0, 1.0), (0.1, 3.0), (2.0, -1.0)])
def test_a_ladder_sees_a_kink_and_its_two_slopes(slopes):
    left, right = slopes
    reading = read_ladder(
        ladder(lambda z: np.where(z > 0, right * z, left * z) + z * z, 0.0, STEPS), 0.0, 1e-17
    )
    assert reading.kink
    assert reading.lower == pytest.approx(min(slopes), abs=reading.uncertainty)
    assert reading.upper == pytest.approx(max(slopes), abs=reading.uncertainty)
    assert reading.uncertainty < 1e-4


def test_a_kink_within_the_steps_is_not_believed_at_large_ones():
    reading = read_ladder(ladder(lambda z: np.maximum(z - 1e-3, 0), 0.0, STEPS), 0.0, 1e-17)
    assert not reading.kink
    assert abs(reading.value) <= reading.uncertainty < 1e-9


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_loss_of_one_side_alone_gives_its_slope(side):
    def loss(z):
        return np.where(side * z >= 0, 3 * z + z * z, np.nan)

    reading = read_ladder(ladder(loss, 0.0, STEPS), 0.0, 1e-17)
    assert abs(reading.value - 3.0) <= reading.uncertainty < 1e-4


def test_nothing_finite_is_an_edge():
    reading = read_ladder(ladder(lambda z: np.nan, 0.0, STEPS), 0.0, 1e-17)
    assert reading.edge
    assert np.isnan(reading.value)


# Rounding of the claim


@pytest.mark.parametrize(("factor", "most"), [(1.0, 0), (1.0001, 300), (2.0, 300)])
def test_noise_that_was_found_too_small_makes_no_right_slope_wrong(factor, most):
    failing = 0
    for seed in range(12):
        generator = np.random.default_rng(seed)
        x, weights = generator.normal(size=(2, 25))

        def loss(x, weights=weights):
            jitter = np.random.default_rng(np.frombuffer(x.tobytes(), np.uint32)).normal()
            return float(weights @ np.sin(x)) + 6e-15 * jitter

        claimed = factor * weights * np.cos(x)
        problem = problem_of(loss, lambda x, claimed=claimed: claimed, x)
        noise = Noise(6e-15 / 8, problem.facts.value, DOUBLE, 1.0)
        found = central_differences(
            problem, noise, np.random.default_rng(0), selection={"x": np.arange(25)}
        )["x"]
        off = np.abs(np.where(found.kinks, claimed, found.value) - claimed)
        failing += int(((off > found.uncertainty) & (off > 1e-6 * np.abs(claimed))).sum())
    assert 0.9 * most <= failing <= most


def rounding_of(gradient, x=X, loss=1.0):
    problem = problem_of(lambda x: float(loss), gradient, x)
    noise = Noise(1e-16, loss, DOUBLE, variation=1.0)
    eps = float(np.finfo(float).eps)
    return rounding_error(
        problem.gradient_at, problem.parameters, np.random.default_rng(0), eps, noise
    )["x"]


def test_a_well_conditioned_gradient_is_rounded_little():
    assert (rounding_of(np.cos) < 1e-13).all()


def test_an_ill_conditioned_gradient_is_rounded_more():
    found = rounding_of(lambda x: np.sin(1e8 * x))
    assert (found > 1e-10).any()
    assert (found < 1e-5).all()


def test_a_mask_at_a_kink_is_no_rounding():
    found = rounding_of(
        lambda x: np.where(x > 0.7, 1.0, np.where(x < 0.7, 0.0, 0.5)), np.full(3, 0.7)
    )
    assert (found < 1e-13).all()


def test_parameters_are_put_back_after_rounding():
    problem = problem_of(lambda x: float(x @ x), lambda x: 2 * x)
    noise = Noise(1e-16, 1.0, DOUBLE)
    rounding_error(problem.gradient_at, problem.parameters, np.random.default_rng(0), 1e-16, noise)
    np.testing.assert_array_equal(problem.parameters[0].value, X)


def test_a_loss_near_zero_does_not_coarsen_its_gradient():
    assert grain(Noise(1e-16, 1e-17, DOUBLE, variation=1.0)) < 1e-12
    assert grain(Noise(1e-8, 1.0, DOUBLE, variation=1.0)) > 1e-6
    assert grain(Noise(1e-17, 1.0, DOUBLE, variation=1.0)) == 0.0


def test_single_precision_is_told_by_gradient_and_noise_together():
    coarse, fine = Noise(1e-7, 1.0, DOUBLE), Noise(1e-16, 1.0, DOUBLE)
    single = X.astype(np.float32).astype(float)
    assert is_single_precision(single, coarse)
    assert not is_single_precision(single, fine)
    assert not is_single_precision(X, coarse)
    assert not is_single_precision(np.ones(5), fine)


# The complex step


def estimates_of(loss, gradient, x=X):
    problem = problem_of(loss, gradient, x)
    generator = np.random.default_rng(0)
    selection = {"x": np.arange(x.size)}
    with np.errstate(all="ignore"):
        noise = loss_noise(problem, generator)
        central = central_differences(problem, noise, generator, selection=selection)
    return complex_step(problem, selection=selection, central=central, noise=noise)


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [
        (lambda x: np.sum(np.exp(x)), np.exp),
        (lambda x: np.sum(np.sin(x) ** 2), lambda x: np.sin(2 * x)),
        (lambda x: 1e6 + np.sum(x**3), lambda x: 3 * x**2),
    ],
)
def test_the_complex_step_is_exact_to_roundoff(loss, gradient):
    found = estimates_of(loss, gradient)
    assert found.refusal is None
    truth = gradient(X)
    np.testing.assert_allclose(found.estimates["x"].value, truth, rtol=1e-13)
    error = np.abs(found.estimates["x"].value - truth)
    assert (error <= found.estimates["x"].uncertainty).all()


@pytest.mark.parametrize(
    ("loss", "gradient", "reason"),
    [
        (lambda x: np.sum(np.abs(x) ** 1.5), lambda x: 1.5 * np.sqrt(np.abs(x)) * np.sign(x), ""),
        (lambda x: float(np.sum(x**2)), lambda x: 2 * x, "Complex|complex"),
        (lambda x: np.sum(x * np.conj(x)).real, lambda x: 2 * x, ""),
        (lambda x: 1e15 + np.sum(np.abs(x) ** 2), lambda x: 2 * x, "line"),
    ],
    ids=["abs", "cast", "conjugate", "abs below the noise"],
)
def test_the_complex_step_is_refused_where_the_imaginary_part_is_lost(loss, gradient, reason):
    found = estimates_of(loss, gradient)
    assert found.refusal is not None
    assert found.estimates == {}
    assert np.any([word in found.refusal for word in reason.split("|")])


# The twin


@pytest.mark.parametrize(
    "name", ["no_such_module:f", "gradcheck.report:no_such", "gradcheck.report:SCHEMA"]
)
def test_a_twin_that_cannot_be_used_is_refused_by_name(name):
    from gradcheck.errors import UsageError

    with pytest.raises(UsageError, match=name.partition(":")[2]):
        resolve_twin(name)


def test_a_twin_by_name_is_imported():
    assert resolve_twin("gradcheck.scales:rms") is rms


@pytest.mark.parametrize("seed", range(40))
def test_a_last_addition_that_cancels_leaves_its_grain_in_the_noise(seed):
    # The sum lies in [4, 8), the loss in [1/4, 1/2): its values are multiples of 2**-50, and the
    # rounding errors along a line may repeat themselves.
    generator = np.random.default_rng(seed)
    w = generator.normal(size=2)
    start = generator.uniform(4.2, 7.8)
    end = -start - generator.uniform(0.26, 0.48) - 0.5 * np.sum(w**2)
    problem = numpy_problem(lambda w: (start + 0.5 * np.sum(w**2) + end, w), w)
    assert loss_noise(problem, generator).level >= 2.0**-51
