"""Which entries of a large torch target get a central difference of their own."""

import pytest

import gradcheck

torch = pytest.importorskip("torch")

N = 6000


class Square(torch.autograd.Function):
    """The squares; ``off`` makes one small entry of the gradient wrong by 1e-4 of itself."""

    @staticmethod
    def forward(ctx, x, off):
        ctx.save_for_backward(x)
        ctx.off = off
        return x * x

    @staticmethod
    def backward(ctx, cotangent):
        (x,) = ctx.saved_tensors
        grad = 2 * x * cotangent
        grad[7] *= 1 + ctx.off
        return grad, None


def start():
    values = torch.linspace(1.0, 2.0, N, dtype=torch.float64)
    values[7] = 0.01
    return (values,)


@pytest.mark.parametrize(("off", "verdict"), [(0.0, "pass"), (1e-4, "fail")])
def test_of_a_target_whose_entries_are_evaluated_together_every_one_is_swept(off, verdict):
    check = gradcheck.check(lambda x: Square.apply(x, off).sum(), start(), audit=False)
    assert check.verdict == verdict
    assert check.parameters["x"].checked == N
    assert check.evaluations < 2.1 * N


def test_one_that_branches_on_values_is_searched_along_directions():
    def loss(x):
        # which branch is taken may differ from row to row, so that no batch can take it
        return Square.apply(x, 1e-4).sum() if x[0] > 0 else x.sum()

    check = gradcheck.check(loss, start(), audit=False)
    assert "located" in [notice.key for notice in check.warnings]
    assert check.parameters["x"].checked < 100
    assert check.evaluations < 300


def test_more_entries_than_are_swept_together_are_searched_too(monkeypatch):
    monkeypatch.setattr("gradcheck.sweep.selection.FULL_TOGETHER", N - 1)
    check = gradcheck.check(lambda x: Square.apply(x, 0.0).sum(), start(), audit=False)
    assert check.parameters["x"].checked < 100
    monkeypatch.setattr("gradcheck.sweep.selection.FULL_TOGETHER", N)
    check = gradcheck.check(lambda x: Square.apply(x, 0.0).sum(), start(), audit=False)
    assert check.parameters["x"].checked == N
