"""When a loss does not depend on what is differentiated: how exactly, and of which entries."""

import numpy as np
import pytest

from gradcheck.diagnose.evidence import Evidence
from gradcheck.diagnose.flat import loss_ignores_parameter, zero_gradient

generator = np.random.default_rng(103)
THETA = generator.uniform(0.5, 2.0, size=(4, 5))
CLAIMED = generator.normal(size=(4, 5))
TOLERANCE = 1e-5


def told(right, *, theta=THETA, claimed=CLAIMED, scalars=(("lam", 0.1),)):
    values, analytic = {"W": theta}, {"W": claimed}
    known = Evidence(
        names=("W",), values=values, analytic=analytic, reference={"W": np.asarray(right, float)},
        uncertainty={"W": np.full(theta.shape, TOLERANCE)},
        failing={"W": np.ones(theta.shape, bool)}, scalars=dict(scalars),
    )  # fmt: skip
    return [one.message for one in loss_ignores_parameter(known)]


def beside(size, where=(2, 3)):
    """Nothing, but for one entry."""
    extra = np.zeros((4, 5))
    extra[where] = size * TOLERANCE
    return extra


@pytest.mark.parametrize(("size", "flat"), [(0.99, True), (-0.99, True), (1.01, False),
                                            (-1.01, False)])  # fmt: skip
def test_a_flat_loss_is_flat_to_its_uncertainty(size, flat):
    found = told(beside(size))
    assert bool(found) is flat
    assert not found or "the loss does not change with W at all" in found[0]


@pytest.mark.parametrize(("size", "flat"), [(3.9, True), (-3.9, True), (4.1, False),
                                            (-4.1, False)])  # fmt: skip
def test_what_remains_is_the_regulariser_to_four_uncertainties(size, flat):
    found = told(0.1 * THETA + beside(size))
    assert bool(found) is flat
    assert not found or "exactly lam times the parameter: the regulariser" in found[0]


def test_entries_that_are_not_known_do_not_count():
    unknown = np.where(beside(1.0) > 0, np.nan, 0.0)
    assert told(unknown)
    assert told(unknown + 0.1 * THETA)
    assert not told(unknown + beside(9.0, (0, 0)))


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (np.s_[:], ""), (np.s_[1:3], " (in rows 1 and 2)"), (np.s_[:, 4], " (in column 4)"),
        (np.s_[0:3, 0:3], " (in the block [0:3, 0:3])"), (np.s_[0, 0:2], None),
        (([0, 1, 2, 3, 0, 1, 2], [0, 1, 2, 3, 2, 3, 4]), None),
    ],
)  # fmt: skip
def test_the_regulariser_is_of_all_of_slices_or_of_a_block(region, words):
    right = np.zeros((4, 5))
    right[region] = 0.1 * THETA[region]
    found = told(right)
    if words is None:
        assert found == []
    else:
        assert f"lam times the parameter{words}: the regulariser" in found[0]


def test_what_remains_has_a_name_among_the_scalars():
    assert told(0.1 * THETA, scalars=()) == []
    assert told(0.1234 * THETA) == []
    assert told(0.2 * THETA)
    assert told(0.1 * THETA, theta=0.0 * THETA) == []


@pytest.mark.parametrize(("n", "found"), [(3, False), (4, True)])
def test_three_entries_are_too_few_for_a_regulariser_and_not_for_nothing(n, found):
    theta, claimed = THETA.ravel()[:n], CLAIMED.ravel()[:n]
    assert bool(told(0.1 * theta, theta=theta, claimed=claimed)) is found
    assert told(0.0 * theta, theta=theta, claimed=claimed)


def test_parameters_that_are_ignored_in_the_same_way_are_named_together():
    zero, ones = np.zeros(5), np.ones(5, bool)
    names = ("a", "b", "c")
    values = {"a": THETA[0], "b": THETA[1], "c": THETA[2]}
    known = Evidence(
        names=names, values=values, analytic=dict.fromkeys(names, CLAIMED[0]),
        reference={"a": zero, "b": 0.1 * THETA[1], "c": zero},
        uncertainty={name: np.full(5, 1e-9) for name in names},
        failing=dict.fromkeys(names, ones), scalars={"lam": 0.1},
    )  # fmt: skip
    first, second = loss_ignores_parameter(known)
    assert (first.parameters, second.parameters) == (("a", "c"), ("b",))
    assert first.message.startswith("The loss ignores a and c: the loss does not change with a and")
    assert (first.specificity, first.confidence) == (65, "exact")


def test_a_gradient_of_nothing_but_zeros_where_it_is_known():
    right = np.where(np.arange(4) == 2, np.nan, 1.0)

    def zeros(claimed):
        known = Evidence(
            names=("v",), values={"v": right}, analytic={"v": np.asarray(claimed, float)},
            reference={"v": right}, uncertainty={"v": np.full(4, 1e-9)},
            failing={"v": np.ones(4, bool)},
        )  # fmt: skip
        return [one.parameters for one in zero_gradient(known)]

    assert zeros([0, 0, 5, 0]) == [("v",)]
    assert zeros([0, 0, 0, 1e-300]) == []


@pytest.mark.parametrize("signs", [-1.0, np.where(generator.random(size=(4, 5)) < 0.5, -1.0, 1.0)])
@pytest.mark.parametrize(("rows", "words"), [(np.s_[:], ""), (np.s_[1:3], " (in rows 1 and 2)")])
def test_a_parameter_of_any_sign_has_a_regulariser(signs, rows, words):
    theta, right = signs * THETA, np.zeros((4, 5))
    right[rows] = 0.1 * theta[rows]
    assert f"lam times the parameter{words}: the regulariser" in told(right, theta=theta)[0]
    assert "-lam times the parameter" in told(-right, theta=theta)[0]


def test_of_an_entry_of_nothing_the_regulariser_is_nothing():
    theta = THETA.copy()
    theta[2, 1] = theta[0, 3] = 0.0
    assert "lam times the parameter: the regulariser" in told(0.1 * theta, theta=theta)[0]
    theta = THETA * (np.arange(5) > 0)
    assert "lam times the parameter: the regulariser" in told(0.1 * theta, theta=theta)[0]


def test_an_entry_of_its_uncertainty_is_nothing_of_a_regulariser():
    """What is there of it is in all columns but the last."""
    right = 0.1 * THETA
    right[:, 4] = TOLERANCE
    assert "(in all columns but column 4)" in told(right)[0]


def moving(losses, *, uncertain=False, failing=True):
    """What is said of a flat loss; one entry may be uncertain, and fail or not."""
    first = np.arange(20).reshape(4, 5) == 0
    known = Evidence(
        names=("W",), values={"W": THETA}, analytic={"W": CLAIMED}, reference={"W": 0 * THETA},
        uncertainty={"W": np.where(first & uncertain, 1.0, TOLERANCE)},
        failing={"W": ~first | failing},
        moved=None if losses is None else lambda name, along, at: losses(np.asarray(at, float)),
    )  # fmt: skip
    return [(one.message, one.remedy) for one in loss_ignores_parameter(known)]


def still(at):
    return np.zeros(at.size)


def test_a_loss_of_steps_is_told_from_one_that_ignores_its_parameter():
    ((message, remedy),) = moving(still)
    assert message.startswith("The loss ignores W: the loss does not change with W at all")
    assert remedy == "Let the forward pass of the loss read W from its arguments."
    ((message, remedy),) = moving(lambda at: np.where(np.abs(at) > 0.01, 1.0, 0.0))
    assert message.startswith("The forward pass is flat in W, and the backward pass is not: the")
    assert remedy.startswith("Where the estimator is meant, leave W out of the check (wrt)")
    assert moving(lambda at: at**2) == []  # an optimum


def test_entries_that_are_uncertain_may_be_close_to_a_step():
    """Moves of all together tell more; without them every entry has to be known."""
    assert moving(still, uncertain=True, failing=False)
    assert not moving(still, uncertain=True, failing=True)
    assert not moving(None, uncertain=True, failing=False)
    assert moving(None)
