"""Where ours and torch's verdicts differ, and why; ``tests/test_torch_operators.py`` shows each.

Keys are operators, or single samples as ``operator/number``.
"""

from __future__ import annotations

_BELOW_THE_GRAIN = "torch's step of 1e-6 is lost in the lower precision that the operator rounds to"
_GRADIENT_LIKE = (
    "mean and deviation of one number carry no graph and have the shapes of the parameters: ours "
    "takes them for the gradient, and says so"
)

TORCH_PASSES: dict[str, str] = {
    "as_strided:partial_views/2": (
        "it reads what lies beside its argument in memory, and ours hands over a copy"
    ),
    "native_layer_norm/9": _GRADIENT_LIKE,
    "native_layer_norm/10": _GRADIENT_LIKE,
    "nn.functional.hardsigmoid": (
        "torch's backward multiplies by 1/6 rounded to single precision: wrong by 3e-8, which is "
        "too little for ours to call wrong and too much to pass"
    ),
    "nn.functional.multi_head_attention_forward/0": (
        "a saturated softmax leaves gradients of 1e-13 beside a loss of 2000: below any "
        "resolution, and torch's absolute tolerance of 1e-5 passes whatever is there"
    ),
}
"""What torch passes and ours does not."""

OURS_PASSES: dict[str, str] = {
    **dict.fromkeys(("bfloat16", "cfloat", "chalf", "float", "half"), _BELOW_THE_GRAIN),
    "cov": "its weights are in single precision, in which torch's step of 1e-6 is mostly rounding",
    "linalg.lstsq": "torch's check mixes up outputs with and without a graph, and raises",
    "linalg.norm:subgradients_at_zero": (
        "a norm has a kink at zero, where torch's two-sided difference is no slope of either side"
    ),
}
"""What ours passes and torch does not."""


def reason_for(name: str) -> str | None:
    """Return why the checkers differ on ``operator/number``, if that is known."""
    operator = name.rpartition("/")[0]
    for reasons in (TORCH_PASSES, OURS_PASSES):
        found = reasons.get(name) or reasons.get(operator)
        if found:
            return found
    return None
