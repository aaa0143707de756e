"""What is no subgradient though gradients differ beside the point: smooth losses, other entries."""

import numpy as np
import pytest

import gradcheck
from gradcheck.verdict.clarke import INSIDE, LEFT, Pieces

RATES = np.array([1e-12, 1e-8, 1e-4, 1.0, 5.0])
TIMES = np.array([1e9, 1e6, 1e3, 1.0, 0.1])


@pytest.mark.parametrize("factor", [-1.0, 2.0, 1.0])
@pytest.mark.parametrize("kept", [slice(None), slice(1, None), slice(3)])
def test_a_smooth_loss_of_rates_of_many_sizes_has_no_pieces(factor, kept):
    k, t = RATES[kept], TIMES[kept]

    def loss(k):
        return -np.expm1(-k * t).sum(), {"k": factor * t * np.exp(-k * t)}

    check = gradcheck.check(loss, {"k": k.copy()}, autograd=False)
    assert check.verdict == ("pass" if factor == 1.0 else "fail")


@pytest.mark.parametrize("autograd", [True, False])
def test_a_median_of_equals_does_not_hide_a_mistake_a_million_times_smaller(autograd):
    def loss(x, w, factor):
        middle = 1e6 * (np.arange(3) == np.argsort(x, kind="stable")[1])
        return 1e6 * np.median(x) + np.sum(np.sin(w)), {"x": middle, "w": factor * np.cos(w)}

    start = {"x": np.ones(3), "w": np.array([0.3, 0.6])}
    wrt = ["x", "w"]
    right = gradcheck.check(loss, {**start, "factor": 1.0}, wrt=wrt, autograd=autograd)
    wrong = gradcheck.check(loss, {**start, "factor": -1.0}, wrt=wrt, autograd=autograd)
    assert (right.verdict, wrong.verdict) == ("pass", "fail")
    assert wrong.parameters["w"].verdict == "fail"


def test_an_entry_that_is_the_same_in_all_pieces_has_to_be_that():
    rows = [np.array([1.0, 0.0, 1e-6]), np.array([0.0, 1.0, 1e-6])]
    misses = np.array([np.inf, np.inf, 2e-6])
    far, near = 1.1 * LEFT * 2e-6, 0.9 * LEFT * 2e-6
    assert far < INSIDE
    for off, inside in ((far, False), (near, True)):
        pieces = Pieces.of(np.array([0.5, 0.5, 1e-6 + off]), rows, misses)
        assert pieces.contain() is inside


def test_an_entry_that_changes_has_to_be_met_by_the_combination_as_nearly():
    rows = [np.array([1.0, 1e-4]), np.array([0.0, 0.0])]
    for off, inside in ((3e-7, False), (0.0, True)):
        pieces = Pieces.of(np.array([0.5, 0.5e-4 + off]), rows, np.array([np.inf, 2e-5]))
        assert pieces.contain() is inside


@pytest.mark.parametrize("autograd", [True, False])
@pytest.mark.parametrize("width", [1e-9, 1e-8, 1e-7, 1e-6])
def test_pieces_that_meet_beside_the_point_are_no_excuse(width, autograd):
    def loss(x, switch):
        grad = np.where(x > 1 + switch, 2.0, 0.5)
        return np.sum(np.where(x > 1, 2 * (x - 1), 0.5 * (x - 1))), {"x": grad}

    def verdict(switch):
        point = {"x": np.array([1 + width / 2, 2.0]), "switch": switch}
        return gradcheck.check(loss, point, "x", autograd=autograd).verdict

    assert verdict(0.0) == "pass"
    assert verdict(width) == "fail"
