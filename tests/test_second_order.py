"""Second derivatives: a Hessian, a product with a direction, and torch's double backward."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from quartic import X4, causes, quartic

from gradcheck.errors import UsageError
from gradcheck.pipeline import check
from gradcheck.report import Verdict

RNG = np.random.default_rng(5)


class TestSecondOrder:
    @staticmethod
    def hess(x):
        return np.diag(12 * x**2)

    def test_a_right_hessian_passes(self):
        result = check(quartic, X4, hess=self.hess)
        assert result.verdict is Verdict.PASS
        assert list(result.parameters) == ["x", "H x"]
        assert result.parameters["H x"].comparisons["analytic~central"].checked == 4

    def test_a_wrong_entry_is_found_in_its_row(self):
        def wrong(x):
            matrix = self.hess(x)
            matrix[2, 1] += 1e-3
            return matrix

        result = check(quartic, X4, hess=wrong)
        assert result.verdict is Verdict.FAIL
        assert result.parameters["x"].verdict is Verdict.PASS
        worst = result.parameters["H x"].comparisons["analytic~central"].worst[0]
        assert worst.index == (2,)

    def test_a_product_with_a_direction_is_taken_too(self):
        assert check(quartic, X4, hess=lambda x, p: 12 * x**2 * p).verdict is Verdict.PASS
        assert check(quartic, X4, hess=lambda x, p: 6 * x**2 * p).verdict is Verdict.FAIL

    def test_scipys_objectives_bring_theirs(self):
        from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod

        point = np.array([1.3, 0.7, 0.8, 1.9, 1.2])
        for hess in (rosen_hess, rosen_hess_prod):
            assert check(rosen, point, jac=rosen_der, hess=hess).verdict is Verdict.PASS

    def test_several_parameters_make_one_matrix(self):
        def loss(a, b):
            return np.sum(a) * np.sum(b**2), {"a": np.full(2, np.sum(b**2)), "b": 2 * a.sum() * b}

        def hess(a, b, wrong=0.0):
            matrix = np.zeros((5, 5))
            matrix[:2, 2:] = 2 * b
            matrix[2:, :2] = matrix[:2, 2:].T
            matrix[2:, 2:] = 2 * a.sum() * np.eye(3) * (1 + wrong)
            return matrix

        inputs = {"a": RNG.normal(size=2), "b": RNG.normal(size=3)}
        assert check(loss, inputs, hess=hess).verdict is Verdict.PASS
        wrong = check(loss, inputs, hess=lambda a, b: hess(a, b, 0.1))
        assert wrong.parameters["H a"].verdict is Verdict.PASS
        assert wrong.parameters["H b"].verdict is Verdict.FAIL

    def test_torchs_double_backward_is_checked(self):
        class Half(torch.autograd.Function):
            """Its backward is right, but detaches: the second derivative is lost."""

            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x**3

            @staticmethod
            def backward(ctx, cotangent):
                (x,) = ctx.saved_tensors
                return cotangent * 3 * x.detach() ** 2

        x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
        right = check(lambda x: (x**3).sum(), x, order=2)
        assert (right.verdict, list(right.parameters)) == (Verdict.PASS, ["x", "H x"])
        wrong = check(lambda x: Half.apply(x).sum(), x, order=2)
        assert wrong.parameters["x"].verdict is Verdict.PASS
        assert wrong.parameters["H x"].verdict is Verdict.FAIL

    def test_a_backward_that_is_differentiable_once_loses_the_second_derivative(self):
        class Once(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x**2

            @staticmethod
            @torch.autograd.function.once_differentiable
            def backward(ctx, cotangent):
                return cotangent * 2 * ctx.saved_tensors[0]

        x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
        result = check(lambda x: Once.apply(x).sum(), x, order=2)
        assert (result.verdict, causes(result)) == (Verdict.FAIL, ["zero_gradient"])

    def test_a_backward_that_cannot_be_differentiated_says_so(self):
        class Slope(torch.autograd.Function):
            @staticmethod
            def forward(ctx, cotangent, x):
                return cotangent * 2 * x

            @staticmethod
            def backward(ctx, cotangent):
                raise RuntimeError("no second derivative here")

        class Square(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x**2

            @staticmethod
            def backward(ctx, cotangent):
                return Slope.apply(cotangent, *ctx.saved_tensors)

        x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
        assert check(lambda x: Square.apply(x).sum(), x).verdict is Verdict.PASS
        result = check(lambda x: Square.apply(x).sum(), x, order=2)
        assert (result.verdict, causes(result)) == (Verdict.ERROR, ["second_order_impossible"])
        assert "no second derivative here" in result.diagnoses[0].message

    def test_there_must_be_something_to_check(self):
        with pytest.raises(UsageError, match="--hess"):
            check(quartic, X4, order=2)
        with pytest.raises(UsageError, match="direction"):
            check(quartic, X4, hess=lambda a, b, c: None)
        x = torch.ones(2, dtype=torch.float64, requires_grad=True)
        with pytest.raises(UsageError, match="NumPy targets"):
            check(lambda x: x.sum(), x, hess=self.hess)

    def test_a_matrix_of_another_shape_fails(self):
        result = check(quartic, X4, hess=lambda x: np.ones((3, 3)))
        assert (result.verdict, causes(result)) == (Verdict.FAIL, ["shape_mismatch"])
