"""The largest curvature, and steps that are too long for it."""

import numpy as np
import pytest

from gradcheck.diagnose import largest_curvature, step_too_long
from gradcheck.diagnose.curvature import Curvature, difference_of_gradients


def quadratic(seed, eigenvalues):
    basis, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(eigenvalues),) * 2))
    return basis @ np.diag(eigenvalues) @ basis.T


@pytest.mark.parametrize("seed", range(3))
def test_the_largest_eigenvalue_of_a_quadratic(seed):
    H = quadratic(seed, [413.6, 3.0, 0.1])
    found = largest_curvature(lambda v: H @ v, 3, seed=seed)
    assert found.converged
    assert found.value == pytest.approx(413.6, rel=1e-3)
    assert found.n_products < 30


def test_a_large_negative_curvature_does_not_hide_the_largest_positive_one():
    H = quadratic(0, [-50.0, 7.0, 1.0])
    found = largest_curvature(lambda v: H @ v, 3)
    assert found.value == pytest.approx(7.0, rel=1e-2)


def test_a_flat_loss_has_none():
    assert largest_curvature(np.zeros_like, 4) == Curvature(0.0, 1, converged=True)


def test_a_product_that_is_not_finite_gives_up():
    found = largest_curvature(lambda v: v * np.nan, 4)
    assert np.isnan(found.value)
    assert not found.converged
    assert step_too_long(found, 1.0) is None


def test_products_from_differences_of_gradients():
    point = np.array([0.3, -1.2])
    product = difference_of_gradients(lambda w: np.array([w[0] ** 3, w[0] * w[1]]), point)
    expected = np.array([[3 * 0.3**2, 0.0], [-1.2, 0.3]]) @ np.array([2.0, -1.0])
    np.testing.assert_allclose(product(np.array([2.0, -1.0])), expected, rtol=1e-8)


def test_the_published_regression_diverges_because_its_step_is_too_long():
    x = np.arange(1.0, 6.0)
    Psi = np.stack([x**0, x, x**2], axis=1)
    H = 2 / 5 * Psi.T @ Psi
    found = largest_curvature(lambda v: H @ v, 3)
    notice = step_too_long(found, 0.01)
    assert notice.key == "step_too_long"
    assert "0.0048355" in notice.message
    assert "413.612" in notice.message


def test_a_step_just_below_the_limit_is_not_too_long():
    found = Curvature(413.612, 10, converged=True)
    assert step_too_long(found, 0.0048) is None
    assert step_too_long(found, 0.0049) is not None


def test_a_small_positive_curvature_above_a_large_negative_one():
    H = np.diag([-9.0, 2.0])
    calls = []

    def product(v):
        calls.append(v)
        return H @ v

    found = largest_curvature(product, 2, rtol=1e-10)
    assert found.value == pytest.approx(2.0, rel=1e-6)
    assert (found.n_products, found.converged) == (len(calls), True)
    # of a third as many the first search takes all
    short = largest_curvature(lambda v: H @ v, 2, rtol=1e-14, max_products=3)
    assert (short.n_products, short.converged) == (3, False)


def test_the_products_are_counted():
    assert largest_curvature(lambda v: 3.0 * v, 4) == Curvature(pytest.approx(3.0), 2, True)
    never = largest_curvature(lambda v: np.diag([3.0, 2.9]) @ v, 2, rtol=0.0, max_products=7)
    assert (never.n_products, never.converged) == (7, False)
    assert np.isnan(largest_curvature(lambda v: v, 2, max_products=0).value)


def test_the_step_of_a_difference_is_a_share_of_the_point():
    seen = []

    def gradient(w):
        seen.append(w.copy())
        return w**2

    point = np.array([0.5, -40.0])
    along = np.array([0.0, 2.0])
    np.testing.assert_allclose(
        difference_of_gradients(gradient, point)(along), [0.0, -160.0], rtol=1e-8
    )
    forward, backward = seen
    assert forward[1] - point[1] == pytest.approx(40 * 2.0 ** (-52 / 3), rel=1e-6)
    assert point[1] - backward[1] == pytest.approx(40 * 2.0 ** (-52 / 3), rel=1e-6)
    seen.clear()
    difference_of_gradients(gradient, point, step=0.25)(along)
    np.testing.assert_allclose(seen, [[0.5, -39.75], [0.5, -40.25]])
    seen.clear()
    assert not difference_of_gradients(gradient, point)(0 * along).any()
    assert seen == []
    small = difference_of_gradients(gradient, np.array([0.01, 0.0]))
    small(along)
    assert seen[0][1] == pytest.approx(2.0 ** (-52 / 3), rel=1e-6)


def test_a_curvature_that_is_not_sure_is_at_least_so_large():
    sure, unsure = (Curvature(10.0, 3, converged=done) for done in (True, False))
    assert "at least 10" in step_too_long(unsure, 0.3).message
    assert "at least" not in step_too_long(sure, 0.3).message
    assert step_too_long(sure, 0.2) is None
    assert step_too_long(Curvature(-1.0, 3, converged=True), 9.0) is None
    assert step_too_long(Curvature(0.0, 3, converged=True), 9.0) is None
