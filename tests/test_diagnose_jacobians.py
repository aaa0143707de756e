"""The derivative of an operation, written down as numbers: known, asked once, or asked each time.

A made-up trace hands on what a matrix for each operand says, and counts how often it is asked.
"""

from dataclasses import replace

import numpy as np
import pytest
from test_diagnose_places import operation

from gradcheck.diagnose import jacobians
from gradcheck.diagnose.jacobians import MOST_COTANGENTS, Jacobians, _labels, probed

draw = np.random.default_rng(211)
W, V, ARRAY = ("parameter", "W"), ("parameter", "V"), ("constant", "array")
A, B = draw.uniform(0.5, 2.0, size=(2, 3)), draw.uniform(0.5, 2.0, size=3)


class Asked:
    """A trace of operations with these operands, each handed on by a matrix; None: no gradient."""

    def __init__(self, operands=(), matrices=(), selected=None):
        self.operands, self.matrices, self.asked = operands, matrices, []
        self.entries = selected

    def operand_values(self, _):
        return tuple(np.asarray(one, float) for one in self.operands)

    def local(self, index, c):
        self.asked.append((index, c))
        return tuple(None if m is None else c.reshape(-1) @ m for m in self.matrices)


class Viewing(Asked):
    def selected(self, _):
        return self.entries


def dense(block, n_out, n_in):
    """The matrix that a block stands for."""
    matrix = np.zeros((n_out, n_in))
    np.add.at(matrix, (block.out, block.into), block.values)
    return matrix


def of(name, inputs, *shapes, output, index=0):
    return operation(index, name, inputs, shapes, output)


# Sums, products and quotients


SPREAD = np.tile(np.eye(3), (2, 1))
ARITHMETIC = {
    "add": (np.eye(6), SPREAD),
    "subtract": (np.eye(6), -SPREAD),
    "multiply": (np.diag(np.tile(B, 2)), np.diag(A.ravel()) @ SPREAD),
    "divide": (np.diag(np.tile(1 / B, 2)), np.diag((-A / B**2).ravel()) @ SPREAD),
    "true_divide": (np.diag(np.tile(1 / B, 2)), np.diag((-A / B**2).ravel()) @ SPREAD),
}


@pytest.mark.parametrize("name", ARITHMETIC)
def test_sums_products_and_quotients_are_known_without_asking(name):
    trace = Asked((A, B))
    both = of(name, (W, V), (2, 3), (3,), output=(2, 3))
    first, second = Jacobians(trace, True).of(both)
    np.testing.assert_allclose(dense(first, 6, 6), ARITHMETIC[name][0], rtol=1e-15)
    np.testing.assert_allclose(dense(second, 6, 3), ARITHMETIC[name][1], rtol=1e-15)
    c = draw.normal(size=(2, 3))
    handed = second.handed(c, (3,))
    np.testing.assert_allclose(handed, c.reshape(-1) @ ARITHMETIC[name][1], rtol=1e-13)
    nothing, second = Jacobians(trace, True).of(replace(both, inputs=(ARRAY, V)))
    assert nothing is None
    np.testing.assert_allclose(dense(second, 6, 3), ARITHMETIC[name][1], rtol=1e-15)
    assert trace.asked == []


@pytest.mark.parametrize(("name", "slopes"), [("add", (1, 1)), ("subtract", (1, -1)),
                                              ("multiply", (4, 3)), ("divide", (1 / 4, -3 / 16)),
                                              ("negative", (-1,))])  # fmt: skip
def test_numbers_have_slopes(name, slopes):
    trace = Asked((3.0, 4.0)[: len(slopes)])
    inputs, shapes = (W, V)[: len(slopes)], ((), ())[: len(slopes)]
    found = Jacobians(trace, True).of(of(name, inputs, *shapes, output=()))
    assert [block.values.tolist() for block in found] == [[slope] for slope in slopes]
    assert all((block.out.tolist(), block.into.tolist()) == ([0], [0]) for block in found)
    for block, slope in zip(found, slopes, strict=True):
        np.testing.assert_array_equal(block.handed(np.array(2.0), ()), 2.0 * slope)
    assert trace.asked == []


def test_a_number_beside_an_array_is_handed_the_sum():
    found = Jacobians(Asked((2.0, B)), True).of(of("multiply", (W, V), (), (3,), output=(3,)))
    np.testing.assert_array_equal(dense(found[0], 3, 1), B[:, None])
    np.testing.assert_array_equal(dense(found[1], 3, 3), 2 * np.eye(3))
    (found,) = Jacobians(Asked((B,)), True).of(of("negative", (W,), (3,), output=(3,)))
    np.testing.assert_array_equal(dense(found, 3, 3), -np.eye(3))


MATRIX = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [4.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    "strange",
    [
        replace(of("add", (W, V), (3,), (3,), output=(3,)), keywords={"where": "array"}),
        of("add", (W, V), (2,), (1,), output=(3,)),  # not what broadcasting makes of them
        of("add", (W, V), (4,), (1,), output=(3,)),
        of("add", (W, V, V), (3,), (3,), (3,), output=(3,)),
        of("subtract", (W,), (3,), output=(3,)),
        of("negative", (W, V), (3,), (3,), output=(3,)),
        of("exp", (W,), (3,), output=(3,)),
        of("matmul", (W, V), (3, 3), (3,), output=(3,)),
    ],
)
def test_what_is_not_of_the_usual_form_is_asked(strange):
    trace = Asked((MATRIX, B), (MATRIX,))
    (block,) = Jacobians(trace, True).of(strange)
    np.testing.assert_allclose(dense(block, 3, 3), MATRIX)
    assert trace.asked != []


def test_without_what_is_known_each_operation_is_asked():
    trace = Asked((A, B), (np.eye(6), SPREAD))
    for _ in range(2):
        found = Jacobians(trace, False).of(of("add", (W, V), (2, 3), (3,), output=(2, 3)))
        np.testing.assert_array_equal(dense(found[0], 6, 6), np.eye(6))
        np.testing.assert_array_equal(dense(found[1], 6, 3), SPREAD)
    assert len(trace.asked) == 2 * (2 + 6)  # two rows are added up: one by one


# Products of matrices


@pytest.mark.parametrize("name", ["matmul", "dot"])
def test_a_product_of_matrices_is_known_up_to_a_size(name, monkeypatch):
    X, Y = draw.normal(size=(2, 3)), draw.normal(size=(3, 4))
    by_first, by_second = np.kron(np.eye(2), Y.T), np.kron(X, np.eye(4))
    product = of(name, (W, V), (2, 3), (3, 4), output=(2, 4))
    monkeypatch.setattr(jacobians, "MOST_IN_BLOCKS", 24)
    trace = Asked((X, Y), (by_first, by_second))
    first, second = Jacobians(trace, True).of(product)
    assert trace.asked == []
    np.testing.assert_allclose(dense(first, 8, 6), by_first)
    np.testing.assert_allclose(dense(second, 8, 12), by_second)
    nothing, second = Jacobians(trace, True).of(replace(product, inputs=(ARRAY, V)))
    assert (nothing, trace.asked) == (None, [])
    np.testing.assert_allclose(dense(second, 8, 12), by_second)
    monkeypatch.setattr(jacobians, "MOST_IN_BLOCKS", 23)
    first, _ = Jacobians(trace, True).of(product)
    assert trace.asked != []
    np.testing.assert_allclose(dense(first, 8, 6), by_first)


def test_a_derivative_has_a_million_numbers_at_most():
    assert 1_000_000 <= jacobians.MOST_IN_BLOCKS <= 1_050_000


@pytest.mark.parametrize(
    ("operands", "output"),
    [
        ((MATRIX, np.ones(3)), (3, 1)),  # a vector
        ((np.ones(3), MATRIX), (1, 3)),
        ((MATRIX,), (3, 1)),
        ((MATRIX, np.ones((3, 1)), MATRIX), (3, 1)),
        ((np.ones((2, 3, 3)), np.ones((3, 1))), (3, 1)),  # several products
        ((MATRIX, np.ones((2, 1))), (3, 1)),  # of other lengths
        ((MATRIX, np.ones((4, 1))), (3, 1)),
        ((MATRIX, np.ones((3, 1))), (1, 3)),
        ((MATRIX, np.ones((3, 1))), (3,)),
        ((MATRIX, np.ones((3, 1))), (3, 1, 1)),
    ],
)
def test_what_is_no_product_of_two_matrices_is_asked(operands, output):
    trace = Asked(operands, (MATRIX,))
    shapes = [np.shape(one) for one in operands]
    (block,) = Jacobians(trace, True).of(of("matmul", (W,) * len(shapes), *shapes, output=output))
    np.testing.assert_allclose(dense(block, 3, 3), MATRIX)


# Views, and what is asked once


def test_a_view_hands_on_what_it_shows():
    view = of("getitem", (W,), (4,), output=(2,))
    trace = Viewing(selected=np.array([3, 1]))
    (block,) = Jacobians(trace, True).of(view)
    np.testing.assert_array_equal(dense(block, 2, 4), [[0, 0, 0, 1], [0, 1, 0, 0]])
    assert trace.asked == []
    shown = np.array([[0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 5.0, 0.0]])
    for entries in (None, np.array([3]), np.array([3, 1, 0])):
        trace = Viewing(matrices=(shown,), selected=entries)
        (block,) = Jacobians(trace, True).of(view)
        np.testing.assert_allclose(dense(block, 2, 4), shown)
        assert len(trace.asked) == 2


STACK = of("stack", (W, V), (3,), (3,), output=(2, 3))


@pytest.mark.parametrize(
    ("other", "asked"),
    [
        (STACK, 1),
        (replace(STACK, index=7), 1),
        (replace(STACK, inputs=(V, ("operation", 3))), 1),
        (replace(STACK, inputs=(W, ARRAY)), 2),
        (replace(STACK, name="hstack"), 2),
        (replace(STACK, keywords={"axis": 1}), 2),
        (replace(STACK, site=replace(STACK.site, line=9)), 2),
        (replace(STACK, input_shapes=((3,), (1, 3))), 2),
        (replace(STACK, output_shape=(3, 2)), 2),
    ],
)
def test_what_gathers_numbers_is_asked_once_for_all_runs_of_an_expression(other, asked):
    trace = Asked(matrices=(np.eye(6)[:, :3], np.eye(6)[:, 3:]))
    made = Jacobians(trace, True)
    first, second = made.of(STACK), made.of(other)
    assert (first is second) is (asked == 1)
    np.testing.assert_array_equal(dense(second[0], 6, 3), np.eye(6)[:, :3])
    assert len(trace.asked) == 2 * asked


def test_what_takes_too_much_is_not_kept():
    trace = Asked(matrices=(draw.normal(size=(MOST_COTANGENTS + 1, 2)),))
    made = Jacobians(trace, True)
    wide = of("sum", (W,), (2,), output=(MOST_COTANGENTS + 1,))
    assert (made.of(wide), made.of(wide)) == (None, None)
    assert len(trace.asked) == 4


# Maps that are asked


def counted(matrix):
    asked = []

    def pull(c):
        asked.append(c)
        return (c.reshape(-1) @ matrix,)

    return pull, asked


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_result_takes_one_question(shape):
    pull, asked = counted(np.array([[2.0, 0.0, -3.0]]))
    (block,) = probed(pull, shape)
    np.testing.assert_array_equal(asked, [np.ones(shape)])
    np.testing.assert_array_equal(dense(block, 1, 3), [[2.0, 0.0, -3.0]])
    assert block.into.tolist() == [0, 2]  # what is handed nothing is not listed


@pytest.mark.parametrize("bend", [0.0, 0.9e-11, -0.9e-11, 1.1e-11, -1.1e-11])
def test_one_result_of_what_may_not_be_linear_is_asked_for_its_opposite(bend):
    def pull(c):
        return np.array([2.0, 0.0, -3.0]) * c * (1.0 if c > 0 else 1.0 + bend), None

    found = probed(pull, (), linear=False)
    if abs(bend) > 1e-11:
        assert found is None
    else:
        block, nothing = found
        np.testing.assert_array_equal(dense(block, 1, 3), [[2.0, 0.0, -3.0]])
        assert nothing is None
    assert probed(pull, ()) is not None  # a derivative is linear: taken at its word


def test_what_has_a_part_that_does_not_depend_is_not_linear():
    assert probed(lambda c: (c + 1.0,), (), linear=False) is None
    assert probed(lambda c: (None, c + 1.0), (), linear=False) is None
    assert probed(lambda c: (0.0 * c + 1.0,), (1,), linear=False) is None
    assert probed(lambda c: (c + 1.0,), (2,)) is None
    assert probed(lambda c: (c - c[::-1],), (2,)) is not None


def permutation(order, factors):
    matrix = np.zeros((len(order), len(order)))
    matrix[order, np.arange(len(order))] = factors
    return matrix


N = MOST_COTANGENTS + 36
CASES = {
    "each to itself": np.diag(draw.normal(size=N)),
    "backwards, a third of each": permutation(np.arange(N)[::-1], 1 / 3),
    "in another order": permutation(draw.permutation(N), draw.normal(size=N)),
    "some of them, of both signs": permutation(np.arange(N), -1.0)[:, ::3],
    "to several": np.repeat(permutation(draw.permutation(N), 0.7), 2, axis=1),
    "with nothing between": np.diag(np.where(np.arange(N) % 2, 0.0, 5.0)),
    "one result to all": np.eye(N)[:, [17] * 4] * [1.0, -2.0, 3.0, 0.5],
}


@pytest.mark.parametrize("name", CASES)
def test_where_each_entry_feeds_one_result_two_questions_tell(name):
    pull, asked = counted(CASES[name])
    (block,) = probed(pull, (N // 2, 2))
    assert len(asked) == 2
    assert block.values.all()
    np.testing.assert_allclose(dense(block, *CASES[name].shape), CASES[name], rtol=1e-14)


@pytest.mark.parametrize(("n", "known"), [(MOST_COTANGENTS, True), (MOST_COTANGENTS + 1, False)])
def test_what_is_mixed_takes_a_question_for_each_result(n, known):
    mixed = draw.normal(size=(n, 3)) * [1.0, 0.0, 1.0]
    pull, asked = counted(mixed)
    found = probed(pull, (n,))
    assert len(asked) == 2 + n * known
    if known:
        np.testing.assert_array_equal(dense(found[0], n, 3), mixed)
        assert set(found[0].into.tolist()) == {0, 2}
    else:
        assert found is None


def test_differences_of_results_are_not_lost():
    """A cotangent of ones tells nothing of them."""
    matrix = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    found = probed(lambda c: (c @ matrix, None, c @ matrix[:, :1], c @ matrix[:, 2:]), (3,))
    assert found[1] is None
    for block, columns in ((found[0], slice(3)), (found[2], slice(1)), (found[3], slice(2, 3))):
        expected = matrix[:, columns]
        np.testing.assert_array_equal(dense(block, *expected.shape), expected)


@pytest.mark.parametrize(("bend", "known"), [(0.3e-11, True), (1e-9, False)])
def test_what_no_question_of_one_entry_foretells_is_not_linear(bend, known):
    matrix = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])

    def pull(c):
        return (c @ matrix * (1.0 + bend * (np.count_nonzero(c) == 3)),)

    assert (probed(pull, (3,)) is not None) is known


def test_labels_are_drawn_once_and_have_both_signs():
    assert _labels(40) is _labels(40)
    assert 0 < np.count_nonzero(_labels(40) < 0) < 40


def test_a_block_takes_the_room_of_its_numbers_alone():
    (block,) = probed(lambda c: (c,), (2,))
    assert not hasattr(block, "__dict__")
