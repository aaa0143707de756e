"""Which inputs are the parameters, where nobody said so; and what wrt may name."""

from __future__ import annotations

import numpy as np
import pytest

from gradcheck.calling.calls import BoundInputs
from gradcheck.calling.choose import choose, live_parameters
from gradcheck.calling.returns import NOT_GIVEN
from gradcheck.errors import TargetError, UsageError

W, B, X = np.ones((2, 3)), np.ones(3), np.ones((5, 2))
Y = np.arange(5)


def inputs(**named):
    return BoundInputs((), named, ())


def names(bound, grads, *, wrt=None, live=None):
    return [leaf.name for leaf in choose(bound, grads, wrt=wrt, live=live).leaves]


def test_the_gradient_s_keys_name_the_parameters():
    assert names(inputs(X=X, W=W, b=B), {"b": B, "W": W}) == ["W", "b"]
    assert names(inputs(X=X, W=W, b=B), {"dW": W}) == ["W"]


def test_else_the_first_argument_with_the_gradient_s_shape():
    assert names(inputs(W=W, X=X), W) == ["W"]


def test_else_the_one_float_argument_that_has_it():
    assert names(inputs(X=X, y=Y, W=W), W) == ["W"]


def test_a_tree_is_named_by_its_keys():
    tree = {"layer": {"W": W}, "b": B}
    assert names(inputs(params=tree, X=X), {"layer": {"W": W}, "b": B}) == ["layer.W", "b"]


def test_several_gradients_after_the_loss_belong_to_the_first_arguments():
    assert names(inputs(W=W, b=B, X=X), (W, B)) == ["W", "b"]


def test_a_flat_gradient_belongs_to_the_first_argument():
    assert names(inputs(params={"W": W, "b": B}, X=X), np.ones(9)) == ["W", "b"]


def test_the_only_float_argument_is_meant_whatever_the_gradient_s_shape():
    assert names(inputs(W=W, y=Y), np.ones(5)) == ["W"]


def test_several_candidates_are_an_error_that_names_them():
    with pytest.raises(UsageError, match=r"X, W.*wrt"):
        names(inputs(X=X, W=W), np.ones(7))


def test_keys_that_name_no_input_are_a_missing_gradient():
    with pytest.raises(TargetError, match="'V'") as caught:
        names(inputs(X=X, W=W), {"V": W})
    assert caught.value.cause == "missing_gradient"


def test_no_float_input_is_an_error():
    with pytest.raises(UsageError, match="wrt"):
        names(inputs(y=Y, z=Y), NOT_GIVEN)


@pytest.mark.parametrize("number", [2.0, np.float32(2.0), np.float64(2.0)])
def test_a_single_number_is_the_parameter(number):
    assert names(inputs(x=number), 1.0) == ["x"]


@pytest.mark.parametrize("wrt", ["W", ["W"], [1], 1, ("W",), -1])
def test_wrt_names_or_counts_arguments(wrt):
    assert names(inputs(X=X, W=W), W, wrt=wrt) == ["W"]


def test_wrt_keeps_the_order_that_was_asked_for():
    assert names(inputs(X=X, W=W, b=B), (B, W), wrt=["b", "W"]) == ["b", "W"]


@pytest.mark.parametrize("wrt", ["layer.W", "params.layer.W", "params['layer']['W']"])
def test_wrt_may_name_a_leaf_by_key_or_path(wrt):
    bound = inputs(params={"layer": {"W": W}, "b": B}, X=X)
    assert names(bound, {}, wrt=[wrt]) == ["layer.W"]


def test_leaves_of_the_same_key_are_told_apart_by_their_argument():
    bound = inputs(encoder={"W": W}, decoder={"W": B})
    chosen = choose(bound, {}, wrt=["decoder.W"], live=None)
    assert [(leaf.name, leaf.value is B) for leaf in chosen.leaves] == [("decoder.W", True)]
    with pytest.raises(UsageError, match=r"encoder\.W"):
        names(bound, {}, wrt=["W"])


@pytest.mark.parametrize("wrt", ["V", 7, ["W", "V"]])
def test_an_unknown_name_lists_what_there_is(wrt):
    with pytest.raises(UsageError, match="X, W"):
        names(inputs(X=X, W=W), W, wrt=wrt)


class Model:
    def __init__(self, params):
        self.params = params

    def loss(self):
        return 0.0

    def __call__(self):
        return 0.0


def test_a_bound_method_s_params_are_found():
    model = Model({"W": W})
    assert live_parameters(model.loss, None) is model.params
    assert live_parameters(model, None) is model.params


def test_given_parameters_come_before_those_found():
    mine = {"V": W}
    assert live_parameters(Model({"W": W}).loss, mine) is mine


@pytest.mark.parametrize("params", [{}, None, [1.0], "adam"])
def test_params_that_are_no_dict_of_arrays_are_left_alone(params):
    assert live_parameters(Model(params).loss, None) is None


def test_a_plain_function_has_no_parameters_of_its_own():
    assert live_parameters(lambda x: x, None) is None


def test_live_parameters_are_chosen_where_there_are_any():
    chosen = choose(inputs(X=X), {"W": W}, wrt=None, live={"W": W})
    assert [(leaf.name, leaf.live, leaf.path) for leaf in chosen.leaves] == [
        ("W", True, "params['W']")
    ]
