"""The audit of a torch backward: one Function wrong on purpose for each clause, and a near miss."""

from __future__ import annotations

import pytest
import torch
from torch.autograd.function import once_differentiable

import gradcheck
from gradcheck.audit import audit, with_audit
from gradcheck.report import Diagnosis, Notice

F64 = torch.float64


def leaf(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=F64).requires_grad_()


def function(backward, forward=None, *, save=True, **extra):
    """Return an ``autograd.Function`` of ``x`` (by default its square) with this backward."""

    def default(ctx, x):
        if save:
            ctx.save_for_backward(x)
        return x * x

    members = {"forward": staticmethod(forward or default), "backward": staticmethod(backward)}
    return type("Target", (torch.autograd.Function,), {**members, **extra})


def saved(ctx):
    return ctx.saved_tensors[0]


# --- wrong on purpose, by the key that each is found under ---------------------------------------


def adds_a_constant(ctx, g):
    return 2 * g * saved(ctx) + 1e-3


def wrong_when_expanded(ctx, g):
    return 2 * g * saved(ctx) if 0 not in g.stride() else 2 * saved(ctx)


def reads_the_storage(ctx, g):
    flat = torch.as_strided(g, (g.numel(),), (1,), g.storage_offset()).reshape(g.shape)
    return 2 * flat * saved(ctx)


def reads_from_the_start(ctx, g):
    whole = torch.as_strided(g, g.shape, g.stride(), 0)
    return 2 * whole * saved(ctx)


def scales_the_cotangent(ctx, g):
    return g.mul_(2 * saved(ctx))


def clamps_the_cotangent(ctx, g):
    return 2 * g.clamp(-0.5, 0.5) * saved(ctx)


def changes_what_was_saved(ctx, g):
    x = saved(ctx)
    x.data.mul_(1.0 + 1e-3)
    return 2 * g * x


def draws(ctx, g):
    return 2 * g * saved(ctx) + 0 * torch.rand(())


def gives_none(ctx, g):
    return None


def adds_to_the_last_one(ctx, g):
    ctx.total = getattr(ctx, "total", 0) + 2 * g * saved(ctx)
    return ctx.total


def hides_the_graph(ctx, g):
    return 2 * g * saved(ctx).detach()


def forgets_in_low_precision(ctx, g):
    x = saved(ctx)
    return 2 * g * x if x.dtype is F64 else 2.5 * g * x


class Batched(torch.autograd.Function):
    """A square whose vmap rule leaves out where the batch axis is."""

    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        return 2 * g * saved(ctx)

    @staticmethod
    def vmap(info, in_dims, x):
        return Batched.apply(x.roll(1, 0)), in_dims[0]


class BatchedRightly(Batched):
    @staticmethod
    def vmap(info, in_dims, x):
        return BatchedRightly.apply(x), in_dims[0]


class KeepsCount(torch.autograd.Function):
    calls = 0

    @staticmethod
    def forward(ctx, x):
        KeepsCount.calls += 1
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return 2 * g * saved(ctx) * KeepsCount.calls


def changing_forward(ctx, x):
    ctx.save_for_backward(x.clone())
    result = x * x
    x.data.add_(1e-3)
    return result


def output_saving_forward(ctx, x):
    y = x.exp()
    ctx.save_for_backward(y)
    return y


def changes_its_output(ctx, g):
    y = saved(ctx)
    result = g * y
    y.data.mul_(1.001)
    return result


def writes_grad(ctx, g):
    ctx.x.grad = 2 * g * ctx.x.detach()
    return 2 * g * ctx.x.detach()


def keeping_forward(ctx, x):
    ctx.x = x
    return x * x


def wrong_jvp(ctx, tangent):
    return 3 * tangent * ctx.kept


def right_jvp(ctx, tangent):
    return 2 * tangent * ctx.kept


def jvp_forward(ctx, x):
    ctx.save_for_backward(x)
    ctx.kept = x
    return x * x


def right(ctx, g):
    return 2 * g * saved(ctx)


WRONG = {
    "contract_zero_cotangent": function(adds_a_constant),
    "contract_nonlinear": function(clamps_the_cotangent),
    "contract_expanded_cotangent": function(wrong_when_expanded),
    "contract_strided_cotangent": function(reads_the_storage),
    "contract_transposed_cotangent": function(reads_the_storage),
    "contract_sliced_cotangent": function(reads_from_the_start),
    "contract_changes_cotangent": function(scales_the_cotangent),
    "contract_backward_changes_input": function(changes_what_was_saved),
    "contract_accumulates": function(adds_to_the_last_one),
    "contract_second_call": KeepsCount,
    "contract_changes_input": function(right, changing_forward),
    "contract_changes_output": function(changes_its_output, output_saving_forward),
    "contract_writes_grad": function(writes_grad, keeping_forward),
    "contract_draws_in_backward": function(draws),
    "contract_none_gradient": function(gives_none),
    "contract_double_backward": function(hides_the_graph),
    "contract_float32": function(forgets_in_low_precision),
    "contract_float16": function(forgets_in_low_precision),
    "contract_bfloat16": function(forgets_in_low_precision),
    "contract_vmap": Batched,
    "contract_forward_mode": function(right, jvp_forward, jvp=staticmethod(wrong_jvp)),
}


def keys(findings):
    return [one.cause for one in findings if isinstance(one, Diagnosis)]


@pytest.mark.parametrize("key", WRONG)
def test_each_broken_clause_is_found_under_its_own_key(key):
    findings = audit(WRONG[key], (leaf(3, 4),))
    assert key in keys(findings)
    found = next(one for one in findings if isinstance(one, Diagnosis) and one.cause == key)
    assert found.message
    assert found.evidence["reproduce"]


# --- near misses: unusual, and right ----------------------------------------------------------


def contiguous_first(ctx, g):
    return (
        2
        * torch.as_strided(
            g.contiguous(), (g.numel(),), (1,), g.contiguous().storage_offset()
        ).reshape(g.shape)
        * saved(ctx)
    )


def works_on_a_clone(ctx, g):
    return g.clone().mul_(2 * saved(ctx))


def draws_and_puts_back(ctx, g):
    state = torch.get_rng_state()
    torch.rand(())
    torch.set_rng_state(state)
    return 2 * g * saved(ctx)


def dropout_forward(ctx, x):
    mask = (torch.rand_like(x) > 0.5).to(x.dtype)
    ctx.save_for_backward(2 * mask)
    return 2 * mask * x


RIGHT = {
    "plain": function(right),
    "contiguous": function(contiguous_first),
    "clone": function(works_on_a_clone),
    "draws": function(draws_and_puts_back),
    "dropout": function(lambda ctx, g: g * saved(ctx), dropout_forward),
    "batched": BatchedRightly,
    "once": function(once_differentiable(right)),
    "jvp": function(right, jvp_forward, jvp=staticmethod(right_jvp)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_keeps_the_contract_has_no_finding(name):
    assert keys(audit(RIGHT[name], (leaf(3, 4),))) == []


def test_what_the_target_does_not_offer_is_said_and_no_fault():
    findings = audit(RIGHT["once"], (leaf(3),))
    notices = [one for one in findings if isinstance(one, Notice)]
    assert {one.key for one in notices} == {"contract_not_tried"}
    assert any("double backward" in one.message for one in notices)


def test_a_mode_that_the_function_does_not_have_is_told_once():
    square = function(right)
    check = gradcheck.check(square, (leaf(3),))
    assert check.verdict == "pass"
    told = [one.message for one in check.warnings]
    assert sum("forward mode" in message for message in told) == 1
    assert any(message.startswith("a batch by vmap") for message in told)
    assert not any("https://" in message for message in told)


class TwoOutputs(torch.autograd.Function):
    """``(x y, x + y)`` with a backward that does not expect an unused output."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, y)
        return x * y, x + y

    @staticmethod
    def backward(ctx, product, total):
        x, y = ctx.saved_tensors
        if total is None:
            return product * y, product * x * 1.01
        if product is None:
            return total, total
        return product * y + total, product * x + total


class TwoOutputsRight(TwoOutputs):
    @staticmethod
    def backward(ctx, product, total):
        x, y = ctx.saved_tensors
        product = torch.zeros_like(x) if product is None else product
        total = torch.zeros_like(x) if total is None else total
        return product * y + total, product * x + total


class RaisesOnNone(TwoOutputs):
    @staticmethod
    def backward(ctx, product, total):
        x, y = ctx.saved_tensors
        return product * y + total, product * x + total


@pytest.mark.parametrize("target", [TwoOutputs, RaisesOnNone])
def test_an_unused_output_is_tried(target):
    assert "contract_undefined_cotangent" in keys(audit(target, (leaf(3), leaf(3, seed=1))))


def test_an_unused_output_that_is_treated_as_zeros_is_right():
    assert keys(audit(TwoOutputsRight, (leaf(3), leaf(3, seed=1)))) == []


class WrongPosition(torch.autograd.Function):
    """Returns the gradient of y in the place of x where x alone needs one."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        if not ctx.needs_input_grad[1]:
            return g * x, None
        return g * y, g * x


class RightPosition(WrongPosition):
    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        first = g * y if ctx.needs_input_grad[0] else None
        return first, g * x if ctx.needs_input_grad[1] else None


def test_a_subset_of_inputs_requiring_grad_is_tried():
    inputs = (leaf(3), leaf(3, seed=1))
    assert "contract_subset" in keys(audit(WrongPosition, inputs))
    assert keys(audit(RightPosition, inputs)) == []


scale = torch.full((3,), 1.5, dtype=F64, requires_grad=True)
table = torch.full((3,), 1.5, dtype=F64)


class ReadsScale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * scale

    @staticmethod
    def backward(ctx, g):
        return g * scale.detach()


class ReadsTable(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * table

    @staticmethod
    def backward(ctx, g):
        return g * table


def test_a_parameter_that_forward_reads_from_elsewhere_is_found():
    findings = audit(ReadsScale, (leaf(3),))
    assert keys(findings) == ["contract_closed_over"]
    assert torch.equal(scale.detach(), torch.full((3,), 1.5, dtype=F64))
    assert keys(audit(ReadsTable, (leaf(3),))) == []


BUILT_IN = [
    lambda x: torch.fft.fft(x),
    lambda x: x.norm(dim=1),
    lambda x: torch.linalg.svdvals(x),
    lambda x: x.sort(),
    lambda x: torch.nn.functional.layer_norm(x, x.shape[-1:]),
]


@pytest.mark.parametrize("target", BUILT_IN)
def test_torch_functions_keep_the_contract(target):
    assert keys(audit(target, (leaf(3, 4),))) == []


def test_complex_inputs_are_audited():
    z = torch.complex(leaf(3).detach(), leaf(3, seed=1).detach()).requires_grad_()
    assert keys(audit(lambda z: z * z.conj() + z.sin(), (z,))) == []


def test_a_module_is_audited_and_left_as_it_was():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Dropout(), torch.nn.Tanh()
    )
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    assert keys(audit(net, (torch.randn(6, 4, generator=torch.Generator().manual_seed(1)),))) == []
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_the_inputs_are_unchanged_by_targets_that_change_theirs():
    for key in ("contract_changes_input", "contract_backward_changes_input"):
        x = leaf(3, 4)
        before = x.detach().clone()
        audit(WRONG[key], (x,))
        assert torch.equal(before, x.detach())
        assert x.grad is None


def test_a_broken_clause_fails_a_check_that_would_pass():
    target, x = WRONG["contract_expanded_cotangent"], leaf(5)
    plain = gradcheck.check(target, (x,), audit=False)
    assert plain.verdict == "pass"
    audited = with_audit(plain, audit(target, (x,)), asked=False)
    assert audited.verdict == "fail"
    assert audited.diagnoses[-1].cause == "contract_expanded_cotangent"


def test_the_audit_runs_by_itself_for_an_autograd_function_only():
    target, x = WRONG["contract_expanded_cotangent"], leaf(5)
    assert gradcheck.check(target, (x,)).verdict == "fail"
    assert gradcheck.check(target.apply, (x,)).verdict == "pass"
    assert gradcheck.check(lambda x: target.apply(x), (x,), audit=True).verdict == "fail"
