"""What is said of an altered operation: its words, its runs, its factor, on the way to whom."""

import numpy as np
import pytest
from test_diagnose_directions import of
from test_diagnose_patterns import evidence

from gradcheck.diagnose.causes import Explanation
from gradcheck.diagnose.entries import unexplained
from gradcheck.diagnose.factors import Factor
from gradcheck.diagnose.plan import Trial
from gradcheck.diagnose.wording import word
from gradcheck.tracing.contract import Alteration

W = ("parameter", "W")
TANH, MASK = of(0, "tanh", W, line=4), of(0, "maximum", W, line=4)


def told(cause, operation=TANH, *, kind="cut", sites=(0,), altered=None, runs="", n=1, factor=None,
         alone=False, confidence="exact", names="W", edges=()):  # fmt: skip
    changes = dict.fromkeys(sites if altered is None else altered, Alteration("constant"))
    trial = Trial(kind, changes, sites, None, runs, n, dict(edges))
    known = frozenset(names)
    explanation = Explanation(trial, factor, np.ones(3), known, alone, confidence)
    message, remedy = word(cause, operation, tuple(names), explanation)
    source = message.split(" (`")
    rest = source[1].split("`)", 1)[1] if len(source) > 1 else ""
    return source[0] + rest, remedy


def test_a_mask_leaves_its_slope_out_where_a_path_is_cut():
    message, remedy = told("activation_mask_missing", MASK)
    assert message.endswith("leaves its constant slope out.")
    assert remedy == "In the backward pass of line 4, multiply by the slope of each branch."
    message, remedy = told("activation_mask_missing", MASK, kind="identity")
    assert message.endswith("is treated as the identity.")
    assert remedy.endswith("the mask: 1 where its input is above the bound, 0 elsewhere.")
    assert told("path_detached")[0].endswith("is treated as a constant.")
    assert told("activation_derivative_missing")[0].endswith("is treated as the identity.")


@pytest.mark.parametrize(
    ("kind", "sites", "altered", "words", "derivative"),
    [
        ("identity", (0, 1), (0, 1), "the expression in line 4", "the derivative of that"),
        ("twice", (0, 1), (0, 1, 5), "the expression in line 4", "the derivative of that"),
        ("identity", (0, 1), (0,), "the `tanh` in line 4", "1 - tanh(z)**2"),
        ("identity", (0, 1), (0, 5), "the `tanh` in line 4", "1 - tanh(z)**2"),
        ("cut", (0, 1), (0, 1), "the `tanh` in line 4", "1 - tanh(z)**2"),
    ],
)  # fmt: skip
def test_several_operations_in_a_row_are_an_expression(kind, sites, altered, words, derivative):
    cause = "activation_derivative_missing"
    message, remedy = told(cause, kind=kind, sites=sites, altered=altered)
    assert f"when {words}" in message
    assert derivative in remedy


@pytest.mark.parametrize(
    ("runs", "words"),
    [("", ""), ("every", " (in every one of its 3 runs)"), ("one", " (in one of its runs)"),
     ("last", " (in the last of its 3 runs)"), ("first", " (in the first of its 3 runs)"),
     ("all but the first", " (in all of its 3 runs but the first)"),
     ("all but the last", " (in all of its 3 runs but the last)")],
)  # fmt: skip
def test_which_runs_are_meant(runs, words):
    message, _ = told("path_detached", runs=runs, n=3)
    assert f"{words} is treated as a constant." in message


def test_how_sure_it_is_and_on_the_way_to_whom():
    message, _ = told("path_detached", names=("W", "b"))
    assert message.startswith("The gradient of W and b is exactly what you get when the result of")
    message, _ = told("path_detached", alone=True, confidence="possible")
    assert message.startswith("The gradient of W is nearly (99% of the error) what you get when")
    assert message.endswith(", on the way to W alone.")


@pytest.mark.parametrize(
    ("factor", "size"),
    [
        (Factor(5.0, "5, the rows of X", "size", 5), 5), (Factor(0.2, "1/5, all", "plain"), 5),
        (Factor(-4.0, "-4", "plain"), 4), (Factor(1 / 3, "1/3", "plain", 7), 7),
        (Factor(0.0, "0", "cut"), 1),
    ],
)  # fmt: skip
def test_a_factor_says_how_many(factor, size):
    message, remedy = told("batch_not_divided", factor=factor)
    assert f"is {size} times too large ({factor.words})" in message
    assert remedy == f"In the backward pass of line 4, divide by {size}."
    message, remedy = told("scale", factor=factor)
    assert message.endswith(f"is multiplied by {factor.words.split(',')[0]}.")


# What nothing explains


def left(right, off, *, names="v", **more):
    """What is said of a gradient that is off by this."""
    right = {name: np.asarray(right, float) for name in names}
    claimed = {name: value + off for name, value in right.items()}
    return unexplained(evidence(claimed, right, right, relative=1e-13, **more), tuple(names))


@pytest.mark.parametrize(("share", "slight"), [(0.99e-4, True), (1.01e-4, False)])
def test_a_slight_error_may_be_that_of_an_iteration(share, slight):
    """The largest error of an entry, as a share of the norm of the gradient, which is 5."""
    found = left([3.0, 4.0, 0.0], np.array([0.0, 5.0 * share, -4.0 * share]))
    assert ("An iteration inside that stops" in found.message) is slight
    assert found.remedy.startswith("If something inside iterates" if slight else "Check the")
    assert (found.cause, found.confidence, found.specificity) == ("unexplained", "possible", 0)


def test_of_several_parameters_the_one_that_is_off_most_counts():
    right = {"v": np.array([3.0, 4.0]), "w": np.array([3.0, 4.0])}
    claimed = {"v": right["v"] * (1 + 1e-5), "w": right["w"] * 1.01}
    both = unexplained(evidence(claimed, right, right, relative=1e-13), ("v", "w"))
    assert "An iteration inside" not in both.message
    assert "v is off in all entries by 1e-05 of its norm; w is off in" in both.message


def test_an_error_of_a_gradient_of_nothing_is_not_slight():
    found = left([0.0, 0.0], np.array([1e-9, 2e-9]))
    assert "An iteration inside" not in found.message
    assert "by 1 of its norm" in found.message


def test_the_error_is_that_of_the_larger_norm():
    found = left([3.0, 4.0], np.array([3.0, 4.0]))
    assert found.evidence["parameters"]["v"]["relative_error"] == pytest.approx(0.5)
    found = left([3.0, 4.0], np.array([-1.5, -2.0]))
    assert found.evidence["parameters"]["v"]["relative_error"] == pytest.approx(0.5)


def test_what_is_accepted_covers_the_largest_error_of_an_entry():
    """Entries of nothing do not show; of the others one is off by 3e-5 of its own size."""
    found = left([4.0, 1.0, 0.0], np.array([4e-6, 3e-5, 0.0]))
    assert "1e-4" in found.remedy or "1e-04" in found.remedy or "0.0001" in found.remedy


def of_name(name, operand, cause="sign", index=0):
    message, _ = told(cause, of(0, name, W, W, line=4), edges={index: operand})
    return message.removeprefix("The gradient of W is exactly what you get when ")


def test_an_operand_is_named_where_the_other_is_right():
    add = "operand of the `add` in line 4 has the wrong sign."
    assert of_name("add", 0) == f"the gradient through the first {add}"
    assert of_name("add", 1) == f"the gradient through the second {add}"
    assert of_name("stack", 5).startswith("the gradient through the sixth operand of the `stack`")
    assert of_name("stack", 6).startswith("the gradient through operand 7 of the `stack`")


def test_the_whole_operation_is_named_where_all_of_it_is_meant():
    whole = "the gradient through the `add` in line 4 has the wrong sign."
    assert of_name("add", None) == of_name("add", 1, index=5) == whole


def test_what_an_assignment_puts_together():
    assert of_name("setitem", 1).startswith("the gradient through the value of the assignment in")
    assert of_name("setitem", 0).startswith("the gradient through what was there before the assig")


def test_an_operand_is_no_result():
    detached = "operand of the `add` in line 4 is treated as a constant."
    assert of_name("add", 1, "path_detached") == f"the second {detached}"
    assert of_name("add", None, "path_detached").startswith("the result of the `add` in line 4 is")
