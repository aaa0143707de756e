"""When an error is the regulariser's: which entries, which coefficient, how well it is known."""

import numpy as np
import pytest

from gradcheck.diagnose.evidence import Evidence
from gradcheck.diagnose.regulariser import regulariser

generator = np.random.default_rng(97)
VECTOR, MATRIX = generator.uniform(0.5, 2.0, size=10), generator.uniform(0.5, 2.0, size=(4, 5))
ALL = slice(None)


def told(theta, where, coefficient, *, unknown=1e-12, known=(), right=None):
    """What is said of an error that is so many times the parameter in some of its entries."""
    theta = np.asarray(theta, float)
    right = np.cos(7.0 * theta) if right is None else np.asarray(right, float)
    error = np.zeros_like(theta)
    error[where] = coefficient * theta[where]
    evidence = Evidence(
        names=("v",), values={"v": theta}, analytic={"v": right + error}, reference={"v": right},
        uncertainty={"v": np.full(theta.shape, unknown)}, failing={"v": error != 0.0},
        scalars={"reg": 0.3} if "reg" in known else {},
    )  # fmt: skip
    return [
        (one.cause, one.evidence["words"], one.confidence, one.evidence["where"])
        for one in regulariser(evidence)
    ]


FEW = (np.array([0, 3]),)
FEW_OF_MATRIX = (np.array([0, 1, 3]), np.array([0, 3, 1]))


@pytest.mark.parametrize(
    ("theta", "where", "coefficient", "expected"),
    [
        # a vector, or some of its entries: as far as the coefficient has a name, and is too much
        (VECTOR, ALL, 0.3, [("reg_extra", "reg", "exact", "all entries")]),
        (VECTOR, ALL, 0.1234567, [("reg_extra", "0.1234567", "exact", "all entries")]),
        (VECTOR, ALL, -0.3, [("reg_missing", "-reg", "likely", "all entries")]),
        (VECTOR, ALL, -0.6, [("reg_missing", "-2 reg", "exact", "all entries")]),
        (VECTOR, FEW, 0.3, [("reg_extra", "reg", "likely", "entries [0] and [3]")]),
        (VECTOR, FEW, -0.3, []),
        (VECTOR, FEW, 0.1234567, []),
        # a matrix, its rows, a block of it; scattered entries of it prove nothing
        (MATRIX, ALL, 0.3, [("reg_scale", "reg", "likely", "all entries")]),
        (MATRIX, ALL, -0.6, [("reg_missing", "-2 reg", "exact", "all entries")]),
        (MATRIX, (slice(1, 3),), 0.3, [("reg_extra", "reg", "exact", "rows 1 and 2")]),
        (MATRIX, (slice(0, 3), slice(0, 3)), 0.3,
         [("reg_extra", "reg", "exact", "the block [0:3, 0:3]")]),
        (MATRIX, FEW_OF_MATRIX, 0.3, []),
    ],
)  # fmt: skip
def test_which_entries_are_off_by_a_multiple_of_themselves(theta, where, coefficient, expected):
    assert told(theta, where, coefficient, known=("reg",)) == expected


def test_two_entries_determine_no_coefficient_without_a_name():
    two = VECTOR[:2]
    assert told(two, ALL, 0.1234567) == []
    assert told(two, ALL, 0.3, known=("reg",)) == [("reg_extra", "reg", "likely", "all entries")]
    assert told(VECTOR[:3], ALL, 0.1234567) == [
        ("reg_extra", "0.1234567", "exact", "all entries")
    ]  # fmt: skip


@pytest.mark.parametrize(("share", "grade"), [(0.029, "exact"), (0.031, "likely"),
                                              (0.24, "likely"), (0.26, None)])  # fmt: skip
@pytest.mark.parametrize("where", [ALL, FEW])
def test_how_well_the_error_is_known(where, share, grade):
    """The uncertainty is a share of the error; of a few entries it has to be a small one."""
    error = np.zeros_like(VECTOR)
    error[where] = 0.3 * VECTOR[where]
    unknown = share * np.linalg.norm(error) / np.sqrt(VECTOR.size)
    found = told(VECTOR, where, 0.3, unknown=unknown, known=("reg",))
    if where is FEW:
        # as few as two have their coefficient by its name alone
        assert [one[2] for one in found] == (["likely"] if grade == "exact" else [])
    else:
        assert [one[2] for one in found] == ([] if grade is None else [grade])


def test_where_the_parameter_is_zero_nothing_shows_and_nothing_is_said():
    holes = np.where(np.arange(10) % 3 == 0, 0.0, VECTOR)
    assert told(holes, ALL, 0.3, known=("reg",)) == [("reg_extra", "reg", "exact", "all entries")]
    assert told(0.0 * VECTOR, ALL, 0.3, known=("reg",)) == []


def test_a_loss_that_is_the_square_of_its_parameter_has_no_regulariser():
    assert told(VECTOR, ALL, 0.3, known=("reg",), right=2 * VECTOR) == []


def test_every_parameter_is_asked():
    """One whose error is no multiple of it stands before two that lack the same regulariser."""
    right = np.cos(7.0 * VECTOR)
    names = ("a", "b", "c")
    values = {"a": VECTOR, "b": VECTOR, "c": VECTOR[::-1].copy()}
    claimed = {"a": right + 1.0, **{name: right - 0.6 * values[name] for name in "bc"}}
    known = Evidence(
        names=names, values=values, analytic=claimed, reference=dict.fromkeys(names, right),
        uncertainty={name: np.full(10, 1e-12) for name in names},
        failing=dict.fromkeys(names, np.ones(10, bool)), scalars={"reg": 0.3},
    )  # fmt: skip
    (found,) = regulariser(known)
    assert (found.cause, found.parameters) == ("reg_missing", ("b", "c"))
    assert found.message.startswith("The gradient of b and c is too small by exactly 2 reg times")
