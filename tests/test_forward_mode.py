"""Forward-mode differentiation as an oracle of torch targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradcheck.oracles import forward_mode as module
from gradcheck.oracles.forward_mode import disagreement, forward_mode
from gradcheck.torch_target.problem import torch_problem

F64 = torch.float64


def leaf(*shape, seed=0, dtype=F64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()


class SlowExp(torch.autograd.Function):
    """An exponential with a forward formula in the old style, which torch.func refuses."""

    @staticmethod
    def forward(ctx, x):
        ctx.y = x.exp()
        return ctx.y

    @staticmethod
    def backward(ctx, g):
        return g * ctx.y * 1.5

    @staticmethod
    def jvp(ctx, tangent):
        return tangent * ctx.y


def run(problem):
    try:
        return forward_mode(problem, np.random.default_rng(0))
    finally:
        problem.cleanup()


CLOSED_FORMS = [
    (lambda x: x.exp().sum(), np.exp),
    (lambda x: (x**3).sum(), lambda x: 3 * x**2),
    (lambda x: torch.where(x > 0, x.sin(), 2 * x).sum(), lambda x: np.where(x > 0, np.cos(x), 2)),
    (lambda x: torch.cumsum(x, 0).sum(), lambda x: np.arange(x.size, 0, -1.0)),
    (lambda x: SlowExp.apply(x).sum(), np.exp),
]


@pytest.mark.parametrize(("target", "derivative"), CLOSED_FORMS)
def test_derivatives_are_exact_to_roundoff(target, derivative):
    x = leaf(6)
    outcome = run(torch_problem(target, (x,)))
    assert outcome.refusal is None
    (estimate,) = outcome.estimates.values()
    truth = derivative(x.detach().numpy())
    assert np.all(np.abs(estimate.value - truth) <= estimate.uncertainty)
    assert np.all(estimate.uncertainty <= 1e-12 * (1 + np.abs(truth)))


def test_a_wrong_backward_has_no_part_in_it():
    x = leaf(4)
    problem = torch_problem(SlowExp, (x,))
    (estimate,) = run(problem).estimates.values()
    assert not np.allclose(problem.analytic["x"], estimate.value)


def test_complex_tensors_have_derivatives_by_both_parts():
    z = leaf(3, dtype=torch.complex128)
    outcome = run(torch_problem(lambda z: (z * z).real.sum(), (z,)))
    expected = np.stack([2 * z.detach().real, -2 * z.detach().imag], axis=-1)
    np.testing.assert_allclose(outcome.estimates["z"].value, expected, rtol=1e-14)


def test_what_a_closure_holds_gets_tangents_too():
    w, x = leaf(4), leaf(4, seed=1).detach()
    problem = torch_problem(lambda x: (w * x).sin().sum(), (x,))
    outcome = run(problem)
    expected = (w * x).cos() * x
    np.testing.assert_allclose(outcome.estimates["w"].value, expected.detach(), rtol=1e-14)


def test_a_held_tensor_that_goes_to_a_function_is_refused_not_taken_for_constant():
    w = leaf(4)
    outcome = run(torch_problem(lambda x: (SlowExp.apply(w) * x).sum(), (leaf(4).detach(),)))
    assert not outcome.estimates
    assert "pass the tensor as an input" in outcome.refusal


def test_an_operation_without_a_forward_formula_is_a_refusal():
    class NoFormula(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g

    outcome = run(torch_problem(NoFormula, (leaf(3),)))
    assert not outcome.estimates
    assert "jvp" in outcome.refusal


@pytest.mark.parametrize(("factor", "checked"), [(1.0, 5), (1.0 + 1e-6, 60)])
def test_of_a_large_parameter_directions_decide_whether_every_entry_is_computed(
    monkeypatch, factor, checked
):
    monkeypatch.setattr(module, "FULL", 50)
    monkeypatch.setattr(module, "SAMPLE", 5)

    def claimed(x):
        gradient = x.detach().cos()
        gradient[7] *= factor
        return x.sin().sum(), {"x": gradient}

    outcome = run(torch_problem(claimed, {"x": leaf(60)}))
    assert int(outcome.estimates["x"].checked.sum()) == checked
    assert outcome.disagreeing == (("x",) if factor != 1.0 else ())


def test_central_differences_overrule_it_where_tangents_are_stopped():
    problem = torch_problem(lambda x: (x * x.detach()).sum(), (leaf(3),))
    found = run(problem).estimates
    right = {"x": module.smooth_estimate("central", 2 * found["x"].value, np.full(3, 1e-9))}
    assert "stops tangents" in disagreement(found, right)
    assert disagreement(found, found) is None
