"""Each operation under the trace beside plain NumPy: values, shapes, dtypes, aliasing, derivative.

Arrays are drawn of many shapes (none, one element, no elements), dtypes and memory layouts.
"""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from traced_calls import A, B, Call, Spec, compare
from traced_cases import CASES
from traced_operations import Draw

from gradcheck.tracing import special_calls
from gradcheck.tracing.agreement import close
from gradcheck.tracing.memory import Shadow
from gradcheck.tracing.recorder import Recorder
from gradcheck.tracing.registry import registry


def named(key):
    """The name of an operation, as it is written."""
    if isinstance(key, str):
        return key
    return f"{getattr(key, '__module__', None) or type(key).__module__}.{key.__name__}"


NAMED = [
    pytest.param(case, id=f"{kind} {named(key)}")
    for kind, cases in CASES.items()
    for key, case in cases.items()
]
DRAWN = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def _quiet():
    """NumPy's own warnings (a mean of nothing, an overflow) are the same in both runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_every_operation_of_the_registry_has_a_case():
    rules = registry()
    assert set(rules.ufuncs) <= set(CASES["ufunc"])
    assert set(rules.functions) <= set(CASES["function"])
    assert set(special_calls.SPECIAL) <= set(CASES["special"])
    methods = {name for name in rules.methods if hasattr(np.ndarray, name)}
    assert methods <= set(CASES["method"])


@pytest.mark.parametrize("case", NAMED)
def test_traced_call_is_the_plain_one_and_its_derivative_is_right(case):
    """Ordinary arrays: the trace follows, and the derivative is compared."""
    outcomes: Counter[str] = Counter()
    for number in range(3):
        rng = np.random.default_rng(number)
        draw = Draw(lambda low, high, rng=rng: int(rng.integers(low, high + 1)), plain=True)
        call, specs = case(draw)
        outcomes[compare(call, specs)] += 1
    assert outcomes["gradient"] >= 1, outcomes


@pytest.mark.slow
@pytest.mark.parametrize("case", NAMED)
def test_traced_call_is_the_plain_one_for_arrays_of_every_kind(case):
    @settings(DRAWN, max_examples=15)
    @given(st.data())
    def drawn(data):
        call, specs = case(Draw(lambda low, high: data.draw(st.integers(low, high))))
        note(f"{call}\n{specs}")
        compare(call, specs)

    drawn()


def test_arrays_of_every_kind_in_short():
    """One call of each operation on arrays of any layout and dtype."""
    outcomes: Counter[str] = Counter()
    for number, parameter in enumerate(NAMED):
        (case,) = parameter.values
        rng = np.random.default_rng(100 + number)
        draw = Draw(lambda low, high, rng=rng: int(rng.integers(low, high + 1)))
        call, specs = case(draw)
        try:
            outcomes[compare(call, specs)] += 1
        except AssertionError as error:
            raise AssertionError(f"{call} {specs}: {error}") from error
    assert outcomes["gradient"] > 0.7 * len(NAMED), outcomes
    assert outcomes["lost"] < 0.1 * len(NAMED), outcomes


def test_terms_that_cancel_are_traced():
    def balanced(a):
        return np.sum(np.concatenate([a, -a]))

    for seed in range(20):
        assert compare(Call(balanced, (A,)), [Spec((7,), seed=seed)]) == "gradient"


def test_what_is_left_of_cancelling_terms_is_judged_by_the_terms():
    import torch

    terms = torch.tensor([1.0, -1.0, 1e-17], dtype=torch.float64)
    left, computed = torch.tensor(1e-17).double(), torch.tensor(0.0).double()
    assert close(torch, computed, left, "sum", [terms])
    # the near misses: more than rounding leaves, and an operation that adds nothing up
    assert not close(torch, computed, torch.tensor(1e-13).double(), "sum", [terms])
    assert not close(torch, computed, left, "maximum", [terms])


@pytest.mark.parametrize("name", ["gammainc", "gammaincc", "zeta"])
def test_a_derivative_that_torch_does_not_know_is_not_traced(name):
    import scipy.special

    array = Spec((3,), low=1.2, high=2.0)
    function = getattr(scipy.special, name)
    assert compare(Call(function, (A, 1.3)), [array]) == "lost"
    assert compare(Call(function, (1.3, A)), [array]) == "gradient"


def test_a_rule_that_hands_on_no_derivative_makes_no_constant():
    import torch

    recorder, array = Recorder(torch), np.array([0.4, 0.8])
    leaf = torch.tensor([0.4, 0.8], dtype=torch.float64, requires_grad=True)
    recorder.track(array, Shadow(leaf, ("parameter", "x")))

    def doubled(a):
        return 2 * a

    kept = recorder.apply("kept", lambda context, a: 2 * a, doubled, (array,), {})
    cut = recorder.apply("cut", lambda context, a: 2 * a.detach(), doubled, (array,), {})
    assert recorder.shadow(kept).tensor.requires_grad
    assert "derivative" in str(recorder.shadow(cut).lost)


def test_outside_a_mask_a_function_need_not_be_defined():
    def logarithm(p):
        return np.log(p, where=p > 0, out=np.zeros_like(p))

    def ratio(a, b):
        return np.divide(a, b, where=b != 0, out=np.zeros_like(a))

    zeros = Spec((4,), low=0.0, high=0.0)
    both = Spec((7,), low=-2.0, high=2.0)
    integers = Spec((7,), "int64", low=-1.5, high=1.5)
    assert compare(Call(logarithm, (A,)), [both]) == "gradient"
    assert compare(Call(logarithm, (A,)), [zeros]) in ("gradient", "values")
    assert compare(Call(ratio, (A, B)), [both, integers]) == "gradient"
    assert 0 in integers.build()
