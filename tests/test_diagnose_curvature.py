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
