"""check() from end to end: what comes out of targets that are right, wrong or unusable."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gradcheck
from gradcheck import Case, Verdict, correct, erroneous, faulty
from gradcheck.declared import run_case
from gradcheck.settings import Settings

GENERATOR = np.random.default_rng(0)
INPUTS = {
    "W": GENERATOR.normal(size=(4, 3)),
    "b": GENERATOR.normal(size=3),
    "X": GENERATOR.normal(size=(7, 4)),
}


def check(target, inputs=INPUTS, wrt=None, **options):
    return gradcheck.check(target, inputs, wrt, autograd=False, **options)


def layer(W, b, X):
    h = np.tanh(X @ W + b)
    d = h * (1 - h * h)
    return 0.5 * np.sum(h * h), {"W": X.T @ d, "b": d.sum(axis=0)}


def changed(**changes):
    """The layer with some of its gradients passed through functions (None takes one out)."""

    def target(W, b, X):
        loss, grads = layer(W, b, X)
        for name, change in changes.items():
            value = grads.pop(name, None)
            if change is not None:
                grads[name] = change(value)
        return loss, grads

    return target


def test_a_right_gradient_passes_with_its_figures():
    found = check(layer)
    assert found.verdict is Verdict.PASS
    assert found.ok
    assert list(found.parameters) == ["W", "b"]
    assert found.parameters["W"].shape == (4, 3)
    assert found.parameters["W"].checked == found.parameters["W"].entries == 12
    assert found.parameters["W"].max_relative_error < 1e-6
    assert found.parameters["W"].resolution < 1e-6
    assert found.loss == layer(**INPUTS)[0]
    assert found.oracles == ("central",)
    assert found.diagnoses == ()


def test_a_wrong_parameter_fails_and_only_that():
    found = check(changed(b=lambda g: 1.01 * g))
    assert found.verdict is Verdict.FAIL
    assert {k: v.verdict for k, v in found.parameters.items()} == {
        "W": Verdict.PASS,
        "b": Verdict.FAIL,
    }
    assert {one.parameter for one in found.diagnoses} <= {"b", ""}
    assert found.diagnoses


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (None, "missing_gradient"),
        (lambda g: None, "missing_gradient"),
        (lambda g: g[:2], "shape_mismatch"),
        (lambda g: g[None] * np.ones((3, 3)), "broadcast_not_summed"),
        (lambda g: g * 1j, "shape_mismatch"),
    ],
    ids=["no key", "None", "short", "too many axes", "complex"],
)
def test_a_gradient_of_the_wrong_form_fails_by_its_cause(change, cause):
    found = check(changed(b=change), wrt=["W", "b"])
    assert found.verdict is Verdict.FAIL
    assert (found.diagnoses[0].cause, found.diagnoses[0].parameter) == (cause, "b")
    assert found.parameters["W"].verdict is Verdict.PASS
    assert found.parameters["b"].verdict is Verdict.FAIL
    assert found.parameters["b"].checked == 0


def test_a_gradient_of_nothing_fails_by_its_key():
    found = check(changed(bias=lambda _: np.zeros(3)))
    assert found.verdict is Verdict.FAIL
    assert (found.diagnoses[0].cause, found.diagnoses[0].parameter) == ("unknown_gradient", "bias")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["one", "all"])
def test_a_gradient_that_is_not_finite_fails(value, where):
    def spoil(gradient):
        gradient = gradient.copy()
        gradient[(0, 1) if where == "one" else ...] = value
        return gradient

    found = check(changed(W=spoil))
    assert found.verdict is Verdict.FAIL
    assert [(d.cause, d.parameter) for d in found.diagnoses] == [("non_finite_gradient", "W")]
    assert found.parameters["W"].verdict is Verdict.FAIL
    assert found.parameters["b"].verdict is Verdict.PASS


def test_a_gradient_that_is_not_finite_fails_also_where_it_was_not_sampled():
    x = GENERATOR.normal(size=400)

    def loss(x):
        gradient = np.cos(x)
        gradient[37] = np.nan
        return np.sum(np.sin(x)), gradient

    found = check(loss, x, entries=5)
    assert found.verdict is Verdict.FAIL
    assert found.diagnoses[0].cause == "non_finite_gradient"
    assert "1 of 400 entries, first at [37]" in found.diagnoses[0].message


@pytest.mark.parametrize("entries", [5, 50])
def test_a_sample_passes_and_says_how_much_was_checked(entries):
    x = GENERATOR.normal(size=400)
    found = check(lambda x: (np.sum(np.sin(x)), np.cos(x)), x, entries=entries)
    assert found.verdict is Verdict.PASS
    assert found.parameters["x"].checked == entries
    assert found.parameters["x"].entries == 400


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        (lambda W, b, X: (np.nan, {"W": W}), "non_finite_loss"),
        (lambda W, b, X: np.inf, "non_finite_loss"),
        (lambda W, b, X: 1.0, "missing_gradient"),
        (lambda W, b, X: (1.0, None), "missing_gradient"),
        (lambda W, b, X: (X, {"W": W}), "loss_not_scalar"),
        (lambda W, b, X: (1j, {"W": W}), "loss_not_scalar"),
        (lambda W, b, X: (1.0, {"no_such_name": W}), "missing_gradient"),
    ],
)
def test_a_target_that_cannot_be_judged_is_an_error_by_its_cause(target, cause):
    found = check(target)
    assert found.verdict is Verdict.ERROR
    assert found.diagnoses[0].cause == cause
    assert not found.ok
    assert math.isnan(found.loss)


def test_an_integer_parameter_is_an_error():
    found = check(lambda n: (float(n.sum()), np.ones(3)), {"n": np.arange(3)}, "n")
    assert found.verdict is Verdict.ERROR
    assert (found.diagnoses[0].cause, found.diagnoses[0].parameter) == ("integer_parameter", "n")


def test_the_target_s_own_exception_comes_through():
    def loss(W):
        raise ZeroDivisionError("of the user")

    with pytest.raises(ZeroDivisionError, match="of the user"):
        check(loss, INPUTS["W"])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: check(5), "int, which cannot be called"),
        (lambda: check(layer, {"W": INPUTS["W"]}), r"layer\(W, b, X\)"),
        (lambda: check(layer, INPUTS, "V"), "W, b, X"),
        (lambda: check(lambda X, Z: (1.0, np.zeros(9)), (np.ones(2), np.ones(3))), "wrt"),
        (lambda: check(layer, INPUTS, entrys=3), "did you mean 'entries'"),
        (lambda: check(layer, INPUTS, oracles=("centrall",)), "did you mean 'central'"),
        (lambda: check(layer, INPUTS, rtol=-1.0), "rtol=-1.0"),
    ],
)
def test_wrong_use_is_told_what_to_write_instead(call, words):
    with pytest.raises(gradcheck.UsageError, match=words):
        call()


# Options


@pytest.mark.parametrize(("rtol", "verdict"), [(1e-2, Verdict.PASS), (1e-4, Verdict.FAIL)])
def test_a_plain_threshold_decides_where_it_is_asked_for(rtol, verdict):
    assert check(changed(W=lambda g: g * 1.001), rtol=rtol).verdict is verdict


def test_an_oracle_that_was_asked_for_is_compared():
    found = check(layer, oracles=("central", "complex"))
    assert found.oracles == ("central", "complex")
    comparison = found.parameters["W"].comparisons["analytic~complex"]
    assert comparison.max_relative_error < 1e-13
    assert found.parameters["W"].best == "analytic~complex"


def test_a_complex_step_that_does_not_apply_is_refused_with_the_reason():
    def loss(x):
        return np.sum(np.abs(x) ** 3), 3 * x * np.abs(x)

    found = check(loss, GENERATOR.normal(size=3), oracles=("central", "complex"))
    assert found.verdict is Verdict.PASS
    assert [notice.key for notice in found.warnings] == ["complex_step_refused"]


def twin(W, b, X):
    h = (X @ W + b).tanh()
    return 0.5 * (h * h).sum()


def test_a_twin_gives_a_second_opinion():
    pytest.importorskip("torch")
    found = gradcheck.check(layer, INPUTS, torch=twin)
    assert found.verdict is Verdict.PASS
    assert set(found.parameters["W"].comparisons) >= {
        "analytic~central",
        "analytic~autograd",
        "autograd~central",
    }


def test_a_twin_of_another_loss_is_told_from_a_wrong_gradient():
    pytest.importorskip("torch")
    found = gradcheck.check(layer, INPUTS, torch=lambda W, b, X: twin(W, b, X) + (W * W).sum())
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.diagnoses[0].cause == "wrong_twin"


# Declared checks


def raises(W, b, X):
    raise RuntimeError("on purpose")


@pytest.mark.parametrize(
    ("target", "expect", "as_expected"),
    [
        (layer, correct(), True),
        (layer, None, True),
        (layer, faulty("scale", "W"), False),
        (changed(W=lambda g: 2 * g), correct(), False),
        (changed(W=lambda g: 2 * g), faulty("scale", "W"), True),
        (changed(W=lambda g: 2 * g), faulty("scale", "b"), False),
        (changed(W=lambda g: 2 * g), faulty("sign", "W"), False),
        (lambda W, b, X: 1.0, erroneous("missing_gradient"), True),
        (raises, erroneous("target_raised"), True),
        (raises, correct(), False),
    ],
)
def test_a_declared_check_comes_out_as_its_author_says_or_not(target, expect, as_expected):
    case = Case("family.variant", target, INPUTS, expect=expect)
    found = run_case(case, Settings(autograd=False, oracles=("central",)))
    assert found.as_expected is as_expected
    assert found.family == "family"


# Assertions


def test_assert_gradients_returns_a_pass_and_raises_on_the_rest():
    assert gradcheck.assert_gradients(layer, INPUTS, autograd=False).verdict is Verdict.PASS
    with pytest.raises(gradcheck.GradientError, match="fail") as caught:
        gradcheck.assert_gradients(changed(b=lambda g: -g), INPUTS, autograd=False)
    assert isinstance(caught.value, AssertionError)
    with pytest.raises(gradcheck.GradientError):
        gradcheck.assert_gradients(lambda W, b, X: 1.0, INPUTS, autograd=False)


def undecided(x):
    return 1e15 + np.sum(x), np.full(2, 1.0)


def test_inconclusive_is_accepted_only_where_it_is_allowed():
    x = np.array([1e-3, 2e-3])
    assert check(undecided, x).verdict is Verdict.INCONCLUSIVE
    with pytest.raises(gradcheck.GradientError):
        gradcheck.assert_gradients(undecided, x, autograd=False)
    gradcheck.assert_gradients(undecided, x, autograd=False, allow_inconclusive=True)


@pytest.mark.parametrize("autograd", [True, False])
def test_a_wrong_gradient_beside_an_empty_parameter_is_explained(autograd):
    def loss_fn(w, empty):
        return np.sum(w**2) + np.sum(empty), {"w": 4 * w, "empty": np.ones_like(empty)}

    inputs = {"w": np.arange(1.0, 4), "empty": np.zeros((0, 3))}
    found = gradcheck.check(loss_fn, inputs=inputs, autograd=autograd)
    assert found.verdict == "fail"
    assert found.diagnoses[0].parameter == "w"
