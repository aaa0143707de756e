"""A factor on the data term alone, beside a right regulariser: which are told, which are not."""

from dataclasses import replace

import numpy as np
import pytest
from test_diagnose_patterns import evidence

from gradcheck.diagnose.factors import Factor
from gradcheck.diagnose.proportional import constant_factor, data_term_factor, describe

generator = np.random.default_rng(101)
THETA, DATA = generator.normal(size=(2, 4, 3))
ROWS = ((300, "the rows of X"),)


def told(k, c, *, theta=THETA, data=DATA, scalars=None, **more):
    """What is said of ``k`` times the data term and ``c`` times the parameter."""
    right = {"W": data + c * theta}
    claimed = {"W": k * data + c * theta}
    known = evidence(claimed, right, {"W": theta}, scalars=scalars or {}, relative=1e-13, **more)
    return [(one.cause, one.evidence["words"], one.confidence) for one in data_term_factor(known)]


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (-1.0, ("sign", "-1", "exact")), (2.0, ("scale", "2", "exact")),
        (300.0, ("batch_not_divided", "300, the rows of X", "exact")),
        (1 / 300, ("batch_divided_twice", "1/300, one over the rows of X", "exact")),
        (2.3456, None), (1.0 + 0.9e-6, None), (0.0, None), (0.5e-9, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("c", [0.3, 0.15, -0.6])
def test_a_named_factor_beside_a_named_coefficient(k, c, expected):
    found = told(k, c, scalars={"reg": 0.3}, sizes=ROWS)
    assert found == ([] if expected is None else [expected])


@pytest.mark.parametrize(("scalars", "count"), [({}, 1), ({"reg": 0.3}, 0), ({"reg": 0.1234}, 1)])
def test_a_coefficient_without_a_name_is_taken_where_nothing_has_one(scalars, count):
    assert len(told(2.0, 0.1234, scalars=scalars)) == count


@pytest.mark.parametrize(("n", "count"), [(4, 0), (5, 1)])
def test_two_numbers_are_determined_by_five_entries(n, count):
    theta, data = THETA.ravel()[:n], DATA.ravel()[:n]
    assert len(told(2.0, 0.3, theta=theta, data=data, scalars={"reg": 0.3})) == count


def test_without_a_parameter_that_is_off_otherwise_it_is_a_factor_on_all():
    assert told(2.0, 0.0, scalars={"reg": 0.3}) == []
    assert told(2.0, 0.3, theta=0.0 * THETA) == []
    claimed, right = {"W": 2.0 * DATA}, {"W": DATA}
    assert constant_factor(evidence(claimed, right, {"W": THETA}))


def test_parameters_join_by_their_factor():
    right = {"W": DATA + 0.3 * THETA, "b": DATA[0], "c": DATA[1], "d": DATA[2]}
    claimed = {"W": 2 * DATA + 0.3 * THETA, "b": 2 * DATA[0], "c": -DATA[1], "d": 2.3456 * DATA[2]}
    values = {"W": THETA, "b": THETA[0], "c": THETA[1], "d": THETA[2]}
    found = data_term_factor(evidence(claimed, right, values, scalars={"reg": 0.3}))
    assert [(one.parameters, one.cause) for one in found] == [(("W", "b"), "scale"),
                                                              (("c",), "sign")]  # fmt: skip
    assert all(one.evidence["data_term_only"] is True for one in found)
    assert "beside a right regulariser" in found[0].message


@pytest.mark.parametrize(("share", "grade"), [(0.02, "exact"), (0.04, "likely"), (0.3, None)])
def test_how_well_the_right_gradient_is_known(share, grade):
    """The uncertainty of the right gradient counts as often as the factor says."""
    right = DATA + 0.3 * THETA
    claimed = 3.0 * DATA + 0.3 * THETA
    off = np.linalg.norm(claimed - right) / np.sqrt(12)
    known = evidence({"W": claimed}, {"W": right}, {"W": THETA}, scalars={"reg": 0.3},
                     relative=share / 3.0 * off / np.abs(right).max())  # fmt: skip
    found = data_term_factor(replace(known, failing={"W": np.ones((4, 3), bool)}))
    assert [one.confidence for one in found] == ([] if grade is None else [grade])


@pytest.mark.parametrize(
    ("factor", "data_term", "message", "remedy"),
    [
        (Factor(-1.0, "-1", "sign"), False,
         "The gradient of W has the wrong sign: it is -1 times the right one.",
         "Negate the gradient of W in the backward pass."),
        (Factor(-1.0, "-1", "sign"), True,
         "The data term of the gradient of W has the wrong sign, beside a right regulariser: "
         "it is -1 times the right one.",
         "Negate the data term of the gradient of W in the backward pass."),
        (Factor(9.0, "9, the rows of X", "size", 9), False,
         "The gradient of W is 9 times the right one (9, the rows of X): the loss divides by this "
         "number, the gradient does not.",
         "Divide the gradient of W by 9."),
        (Factor(1 / 9, "1/9, one over the rows of X", "inverse_size", 9), False,
         "The gradient of W is 1/9 of the right one (1/9, one over the rows of X): it is divided "
         "by this number once too often.",
         "Leave out one division by 9 from the gradient of W."),
        (Factor(4 / 3, "4/3, with 4 rows", "plain", 4), False,
         "The gradient of W is 4/3, with 4 rows times the right one.",
         "Divide the gradient of W by 4/3."),
        (Factor(2.3456, "2.3456", "unnamed"), True,
         "The data term of the gradient of W is 2.3456 times the right one, beside a right "
         "regulariser.",
         "Divide the data term of the gradient of W by 2.3456."),
    ],
)  # fmt: skip
def test_a_factor_is_said_by_what_it_means(factor, data_term, message, remedy):
    _, *said = describe(factor, ("W",), data_term=data_term)
    assert said == [message, remedy]
