"""PyTorch's own operator database: what torch's checker passes passes here, or there is a reason.

The samples are drawn with a fixed seed; ``python -m benchmarks.operators`` runs all of them.
"""

from __future__ import annotations

import warnings

import pytest
import torch

import gradcheck

pytest.importorskip("expecttest", reason="the operator database needs it")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

F64 = torch.float64
PARTS = 6
SAMPLES = 4
"""Samples of each operator, of some 11,000 in all."""


def sample(name):
    from benchmarks.operator_samples import all_samples

    ((_, found),) = all_samples(name)
    return found[0]


def ours(one):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gradcheck.check(one.function, one.inputs)


def torch_passes(function, *tensors):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.autograd.gradcheck(function, tensors, raise_exception=False)


def scaled(x, factor):
    """The tensor itself, with a gradient multiplied by ``factor``."""
    return factor * x + (1 - factor) * x.detach()


# The database


@pytest.mark.parametrize("part", range(PARTS))
def test_what_torch_passes_passes_or_has_a_reason(part):
    from benchmarks.operators import outcomes

    found = list(outcomes(limit=SAMPLES, part=(part, PARTS)))
    assert [(one.name, one.ours, one.detail) for one in found if one.unexplained] == []
    both = sum(one.theirs == one.ours == "pass" for one in found)
    assert both > 0.9 * len(found) > 200


def test_every_differentiable_operator_has_a_sample():
    from benchmarks.operator_samples import operators, samples

    found = operators()
    assert len(found) > 400
    assert [one.name for one in found[::20] if not samples(one, limit=1)] == []


def test_wrong_backward_passes_fail():
    from benchmarks.operators import wrong_outcomes

    found = list(wrong_outcomes(limit=1, part=(0, 4)))
    missed = [one for one in found if one[1] != "fail"]
    # An entry off by a thousandth is not resolved where the operator rounds to half precision.
    assert {name.split("/")[0] for name, _ in missed} <= {"bfloat16", "half", "chalf", "float"}
    assert all(verdict == "inconclusive" for _, verdict in missed)
    assert len(found) > 100


@pytest.mark.parametrize(
    ("theirs", "ours_says", "name", "told"),
    [
        ("pass", "pass", "sin/0", False),
        ("pass", "fail", "sin/0", True),
        ("pass", "inconclusive", "sin/0", True),
        ("not applicable", "error", "sin/0", True),
        ("fail", "fail", "sin/0", False),
        ("pass", "fail", "nn.functional.hardsigmoid/0", False),
    ],
)
def test_a_disagreement_without_a_reason_is_told(theirs, ours_says, name, told):
    from benchmarks.operators import Outcome, summary

    one = Outcome(name, theirs, ours_says, 0.1, 0.2, "what ours said")
    assert one.unexplained is told
    assert ("UNEXPLAINED what ours said" in summary([one])) is told


# The reasons


def test_no_reason_is_left_over():
    from benchmarks.operator_reasons import OURS_PASSES, TORCH_PASSES
    from benchmarks.operators import outcomes

    for reasons, theirs in ((TORCH_PASSES, True), (OURS_PASSES, False)):
        needed = set()
        for name, reason in reasons.items():
            apart = [one for one in outcomes(name) if not one.agree]
            assert all((one.theirs == "pass") is theirs for one in apart), name
            needed |= {reason} if apart else set()
        assert needed == set(reasons.values())


def test_hardsigmoid_s_backward_rounds_a_sixth_to_single_precision():
    x = torch.tensor([0.5, 1.5], dtype=F64, requires_grad=True)
    (found,) = torch.autograd.grad(torch.nn.functional.hardsigmoid(x).sum(), x)
    assert float(found[0]) == float(torch.tensor(1 / 6, dtype=torch.float32))
    assert abs(float(found[0]) - 1 / 6) > 4e-9
    check = gradcheck.check(lambda x: torch.nn.functional.hardsigmoid(x), (x,))
    assert check.verdict == "inconclusive"
    assert gradcheck.check(lambda x: (x / 6 + 0.5).clamp(0, 1), (x,)).verdict == "pass"


@pytest.mark.parametrize("name", ["round:decimals_3/0"])
def test_the_gradient_of_a_staircase_is_zero_although_it_depends_on_its_parameter(name):
    one = sample(name)
    tensors = one.tensors
    start = one.call(*tensors).detach()
    near = one.call(*(x + 1e-8 for x in tensors)).detach()
    far = one.call(*(x + 0.05 * x.abs().max() for x in tensors)).detach()
    assert torch.equal(start, near)
    assert not torch.equal(start, far)
    (found,) = torch.autograd.grad(one.call(*tensors).sum(), tensors[:1])
    assert not found.any()
    assert ours(one).verdict == "pass"


def test_below_the_resolution_torch_passes_a_wrong_gradient_too():
    one = sample("nn.functional.multi_head_attention_forward/0")
    query, *others = one.tensors
    (found,) = torch.autograd.grad(one.call(query, *others)[0].sum(), [query])
    assert found.abs().max() < 1e-10
    assert torch_passes(lambda x: one.call(scaled(x, 1e6), *others), query)
    assert ours(one).verdict == "inconclusive"


def test_numbers_beside_a_value_that_carry_no_graph_are_taken_for_gradients_and_told():
    one = sample("native_layer_norm/9")
    check = ours(one)
    assert check.verdict == "fail"
    assert "gradient_returned" in [notice.key for notice in check.warnings]
    first = gradcheck.check(lambda *inputs: one.function(*inputs)[0], one.inputs)
    assert first.verdict == "pass"


def test_what_lies_beside_an_argument_in_memory_is_not_handed_over():
    one = sample("as_strided:partial_views/2")
    (x,) = one.tensors
    assert x.untyped_storage().nbytes() > 8 * x.numel()
    with pytest.raises(RuntimeError, match="out of bounds for storage"):
        ours(one)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_step_below_the_grain_sees_no_slope(dtype):
    x = torch.tensor([1.5, -7.25], dtype=F64, requires_grad=True)
    assert not torch_passes(lambda x: x.to(dtype), x)
    assert gradcheck.check(lambda x: x.to(dtype), (x,)).verdict == "pass"
    assert gradcheck.check(lambda x: scaled(x, 2.0).to(dtype), (x,)).verdict != "pass"


def test_weights_in_single_precision_are_judged_in_double():
    one = sample("cov/11")
    low = [x for x in one.tensors if x.dtype is torch.float32]
    assert low
    wide = [x.detach().double().requires_grad_() for x in one.tensors]
    assert not torch_passes(one.call, *one.tensors)
    assert torch_passes(one.call, *wide)
    assert ours(one).verdict == "pass"


def test_at_the_kink_of_a_norm_a_slope_between_the_two_sides_passes():
    x = torch.zeros(3, 3, dtype=F64, requires_grad=True)
    norm = torch.linalg.matrix_norm
    assert not torch_passes(lambda x: norm(x, "nuc"), x)
    check = gradcheck.check(lambda x: norm(x, "nuc"), (x,))
    assert check.verdict == "pass"
    assert check.parameters["x"].kinks > 0


def test_torch_s_check_trips_over_outputs_without_a_graph():
    one = sample("linalg.lstsq/15")
    with pytest.raises(RuntimeError, match="expanded size"):
        torch_passes(one.call, *one.tensors)
    assert ours(one).verdict == "pass"
    solution = torch.autograd.gradcheck(lambda *x: one.call(*x)[0], tuple(one.tensors))
    assert solution
