"""What a small check of a torch target imports."""

import subprocess
import sys

from conftest import environment, needs_torch

PROGRAM = """
import sys, torch, gradcheck


class Exponential(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.exp()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0].exp()


x = torch.linspace(-1.0, 1.0, 6, dtype=torch.float64).requires_grad_()
checks = [gradcheck.check(Exponential, (x,)), gradcheck.check(lambda x: (x**3).sum(), (x,))]
print(*(one.verdict.value for one in checks), "torch._dynamo" in sys.modules)
"""


@needs_torch
def test_the_compiler_of_torch_is_not_loaded(tmp_path):
    # It takes longer than the check.
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["pass", "pass", "False"]
