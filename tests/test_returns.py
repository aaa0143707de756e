"""What a target may return, and how its gradients find their parameters."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.calling.returns import (
    NOT_GIVEN,
    leaf_name,
    loss_as_number,
    match_gradients,
    require_gradient,
    split_result,
)
from gradcheck.calling.tree import leaves
from gradcheck.errors import TargetError

W, B = np.ones((2, 3)), np.zeros(3)
PARAMETERS = [("W", (2, 3)), ("b", (3,))]
GROUPS = [("W", ("W",)), ("b", ("b",))]
TREE = [("params", ("W", "b"))]


@pytest.mark.parametrize("loss", [1.5, 2, np.float32(1.5), np.array(1.5), np.array([1.5])])
def test_a_loss_alone_comes_without_gradients(loss):
    found, grads = split_result(loss, gradient_elsewhere=False)
    assert float(np.asarray(found).reshape(())) == float(np.asarray(loss).reshape(()))
    assert grads is NOT_GIVEN


@pytest.mark.parametrize("grads", [{"W": W}, W, [W, B], None, np.array([1.0])])
@pytest.mark.parametrize("loss", [1.5, np.array(1.5), np.float64(1.5)])
def test_loss_and_gradients_come_in_either_order(loss, grads):
    assert split_result((loss, grads), gradient_elsewhere=False) == (loss, grads) or (
        split_result((loss, grads), gradient_elsewhere=False)[1] is grads
    )
    if grads is not None:
        found, rest = split_result((grads, loss), gradient_elsewhere=False)
        assert found is loss
        assert rest is grads


def test_several_gradients_after_the_loss_stay_together():
    loss, grads = split_result((1.5, W, B), gradient_elsewhere=False)
    assert loss == 1.5
    assert grads[0] is W
    assert grads[1] is B


def test_of_two_numbers_the_first_is_the_loss():
    assert split_result((1.5, 2.5), gradient_elsewhere=False) == (1.5, 2.5)


def test_what_comes_with_the_loss_is_left_alone_if_the_gradient_has_its_own_function():
    assert split_result((1.5, {"cache": W}), gradient_elsewhere=True) == (1.5, NOT_GIVEN)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, "None"),
        ("text", "str"),
        (W, r"shape \(2, 3\)"),
        ({"loss": 1.0}, "loss"),
        ((W, B), "ndarray of shape"),
        ((), "tuple"),
        (True, "bool"),
    ],
)
def test_a_result_without_a_scalar_is_refused_with_what_it_was(result, words):
    with pytest.raises(TargetError, match=words):
        split_result(result, gradient_elsewhere=False)


@pytest.mark.parametrize("loss", [1 + 2j, np.array([1.0, 2.0]), "text"])
def test_a_loss_that_is_not_one_real_number_is_refused(loss):
    with pytest.raises(TargetError) as caught:
        loss_as_number(loss)
    assert caught.value.cause == "loss_not_scalar"


def test_the_dtype_of_the_loss_is_kept_but_integers_become_floats():
    assert loss_as_number(np.float32(1.5)).dtype == np.float32
    assert loss_as_number(3).dtype == np.float64


@pytest.mark.parametrize(("grads", "word"), [(None, "None"), (NOT_GIVEN, "only a loss")])
def test_no_gradient_is_refused_with_what_to_write(grads, word):
    with pytest.raises(TargetError, match=word) as caught:
        require_gradient(grads)
    assert caught.value.cause == "missing_gradient"
    assert "grad=" in str(caught.value)


@pytest.mark.parametrize(
    "grads",
    [
        {"W": W, "b": B},
        {"b": B, "W": W},
        {"dW": W, "db": B},
        {"grad_W": W, "b_grad": B},
        {"d_W": W, "b": list(B)},
        (W, B),
        [W, B],
        np.concatenate([W.ravel(), B]),
    ],
    ids=["by name", "any order", "d-", "grad_", "lists", "tuple", "list", "flat"],
)
def test_gradients_find_their_parameters(grads):
    for groups in (GROUPS, TREE):
        matched = match_gradients(grads, PARAMETERS, groups)
        assert not matched.problems
        np.testing.assert_array_equal(matched.arrays["W"], W)
        np.testing.assert_array_equal(matched.arrays["b"], B)


def test_a_tree_may_come_back_under_its_name():
    matched = match_gradients({"params": {"W": W, "b": B}}, PARAMETERS, TREE)
    assert set(matched.arrays) == {"W", "b"}
    assert not matched.problems


def test_a_missing_gradient_is_named_and_the_near_key_too():
    (missing, unknown) = sorted(
        match_gradients({"W": W, "bias": B}, PARAMETERS, GROUPS).problems,
        key=lambda problem: problem.cause,
    )
    assert (missing.cause, missing.parameter) == ("missing_gradient", "b")
    assert (unknown.cause, unknown.parameter) == ("unknown_gradient", "bias")


def test_a_gradient_of_another_input_is_left_alone():
    grads = {"W": W, "b": B, "X": np.ones((5, 2)), "dy": B}
    assert not match_gradients(grads, PARAMETERS, GROUPS, known_names=["X", "y"]).problems


def test_a_gradient_of_nothing_is_unknown():
    problems = match_gradients({"W": W, "b": B, "w1": W}, PARAMETERS, GROUPS).problems
    assert [problem.cause for problem in problems] == ["unknown_gradient"]
    assert "did you mean" not in problems[0].message or "'W'" in problems[0].message


@pytest.mark.parametrize(
    ("gradient", "hint", "cause"),
    [
        (W.T, "transposed", "shape_mismatch"),
        (np.ones(6), "reshape", "shape_mismatch"),
        (np.ones((1, *W.shape)), "reshape", "shape_mismatch"),
        (np.ones((4, *W.shape)), "summed over", "broadcast_not_summed"),
        (np.ones((3, 3)), "parameter's shape", "shape_mismatch"),
    ],
)
def test_a_wrong_shape_says_what_to_do(gradient, hint, cause):
    (problem,) = match_gradients({"W": gradient, "b": B}, PARAMETERS, GROUPS).problems
    assert problem.cause == cause
    assert problem.parameter == "W"
    assert hint in problem.message


def test_a_single_element_fits_whatever_its_dimensions():
    matched = match_gradients({"c": np.array([[2.0]])}, [("c", ())], [("c", ("c",))])
    assert matched.arrays["c"].shape == ()


@pytest.mark.parametrize("gradient", [np.array([1j, 2j, 3j]), np.array(["a", "b", "c"])])
def test_a_gradient_that_is_not_real_is_refused(gradient):
    (problem,) = match_gradients({"W": W, "b": gradient}, PARAMETERS, GROUPS).problems
    assert problem.cause == "shape_mismatch"


def test_an_integer_gradient_is_read_as_floats():
    matched = match_gradients(np.array([1, 2, 3]), [("b", (3,))], [("b", ("b",))])
    assert matched.arrays["b"].dtype == np.float64


def test_a_gradient_is_copied():
    matched = match_gradients(B, [("b", (3,))], [("b", ("b",))])
    assert not np.shares_memory(matched.arrays["b"], B)


def test_names_of_leaves_are_their_keys():
    tree = {"layer1": {"W": 1.0}, "blocks": [2.0, {"b": 3.0}]}
    names = [leaf_name(leaf, "params") for leaf in leaves(tree, "params")]
    assert names == ["layer1.W", "blocks[0]", "blocks[1].b"]
    assert [leaf_name(leaf, "theta") for leaf in leaves([1.0, 2.0], "theta")] == [
        "theta[0]",
        "theta[1]",
    ]
    assert leaf_name(leaves(1.0, "w")[0], "w") == "w"
