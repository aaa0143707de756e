"""Losses of each entry that torch adds up itself."""

from __future__ import annotations

REDUCED = {
    "aten::mse_loss": 2,
    "aten::huber_loss": 2,
    "aten::smooth_l1_loss": 2,
    "aten::soft_margin_loss": 2,
    "aten::binary_cross_entropy": 3,
    "aten::binary_cross_entropy_with_logits": 4,
}
"""Losses of each entry, and which argument says whether they are added up; 0 for no."""
