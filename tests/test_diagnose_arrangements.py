"""What stands elsewhere keeps its own uncertainty; what is said of it, and how much it says."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_at_bounds import facts_of
from test_diagnose_patterns import evidence, only

from gradcheck.diagnose.arrangement import (
    _axis_orders,
    _reductions,
    _reorderings,
    permuted,
    swapped,
    transposed,
    wrong_axis,
)
from gradcheck.diagnose.factors import name_factor

draw = np.random.default_rng(67).uniform


@pytest.mark.parametrize("arranged", [_axis_orders, _reorderings, _reductions])
@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (2, 3, 4), (1, 4)])
def test_each_entry_keeps_its_own_uncertainty(arranged, shape):
    """Here it is as large as the entry."""
    right, claimed = draw(1.0, 2.0, shape), draw(1.0, 2.0, shape)
    facts = SimpleNamespace(value=right, analytic=claimed, reference=right, tolerance=right)
    found = list(arranged(facts))
    assert found
    for candidate, tolerance, words in found:
        assert candidate.shape == tolerance.shape == shape
        np.testing.assert_array_equal(candidate, tolerance, err_msg=words)


def only_of(look, claimed, right):
    return only(look(evidence({"v": claimed}, {"v": right}, {"v": right})))


@pytest.mark.parametrize(("mean", "words"), [(False, "sum"), (True, "mean")])
def test_a_sum_too_many_is_left_out(mean, words):
    right = draw(1.0, 2.0, (4, 3))
    total = right.mean(1, keepdims=True) if mean else right.sum(1, keepdims=True)
    found = only_of(wrong_axis, np.broadcast_to(total, right.shape).copy(), right)
    assert found.remedy == f"Leave out the {words} over that axis, or take the other."
    assert f"is the {words} over axis 1 of the right one, the same all along it" in found.message
    assert (found.specificity, found.confidence) == (50, "exact")


def test_how_much_arrangements_say():
    right = draw(1.0, 2.0, (3, 3))
    assert only_of(transposed, right.T, right).specificity == 50
    assert only_of(permuted, right[::-1], right).specificity == 45
    both = {"v": right, "w": right[::-1] ** 2}
    found = only(swapped(evidence({"v": both["w"], "w": both["v"]}, both, both)))
    assert (found.specificity, found.remedy) == (
        55, "Return the gradient of v under the name (or at the place) of v."
    )  # fmt: skip


@pytest.mark.parametrize(("n", "found"), [(2, 0), (3, 1), (4, 1)])
def test_three_entries_may_be_permuted(n, found):
    right = draw(1.0, 2.0, n)
    assert len(permuted(evidence({"v": right[::-1]}, {"v": right}, {"v": right}))) == found


# Sizes, and what sums cost


@pytest.mark.parametrize(
    ("sizes", "value", "words"),
    [
        ([(3, "columns")], 3.0, ["3, columns", "3"]),
        ([(3, "columns")], 1 / 3, ["1/3, one over columns", "1/3"]),
        ([(3, "columns")], 1.5, ["3/2, with 3 columns", "3/2"]),
        ([(3, "columns")], -3.0, ["-3, minus columns"]),
        ([(2, "columns")], 2.0, ["2"]),
        ([(2, "columns")], 0.5, ["1/2"]),
        ([(7, "columns"), (2, "depth")], 14.0, ["14, columns times depth"]),
        ([(2, "depth"), (7, "columns")], 1 / 14, ["1/14, one over depth times columns"]),
        ([(2, "rows"), (7, "columns")], 2.0, ["2, rows", "2"]),
        ([(2, "examples")], 0.5, ["1/2, one over examples", "1/2"]),
    ],
)
def test_the_names_of_a_size(sizes, value, words):
    right = {"v": draw(1.0, 2.0, 3)}
    known = evidence(right, right, right, sizes=tuple(sizes))
    assert [factor.words for factor in name_factor(value, known)] == words


@pytest.mark.parametrize(("claimed", "right"), [(4.0, 2.0), (2.0, 4.0), (-4.0, 2.0), (2.0, -4.0)])
def test_the_larger_of_both_gradients_tells_what_a_sum_costs(claimed, right):
    facts = facts_of([1.0, claimed], [1.0, right], 0.0)
    assert facts.tolerance.tolist() == [4e-12, 4e-12]
