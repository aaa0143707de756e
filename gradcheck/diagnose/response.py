"""How a loss responds where its gradient by a parameter is zero: not at all, in steps, or smoothly.

The gradient alone does not tell a parameter that nothing reads from one behind ``sign`` or
``round``, or from one at its optimum; moves of it do.
"""

from __future__ import annotations

import numpy as np

from gradcheck.diagnose.evidence import Evidence, Facts, Mask

NEAR = 32.0
"""Small moves, in roots of the loss's rounding: a curved loss changes by a thousand roundings."""
NEAREST = 1e-2
"""The largest small move, in units of the parameter's values."""
FAR = (0.3, -0.3, 1.0, -1.0, 3.0, -3.0)
"""Large moves in those units."""


def response(evidence: Evidence, facts: Facts, penalty: float, region: Mask) -> str:
    """Return how the loss changes with a parameter, but for a penalty on the squares in a region.

    Args:
        evidence: what is known; nothing is tried unless it can evaluate the loss (``moved``).
        facts: the parameter.
        penalty: the gradient of the penalty over the parameter.
        region: the entries that the penalty is on.

    Returns:
        ``none``: not at all. ``steps``: not in small moves, and in large ones. ``smooth``: in
        small moves. Empty: it could not be evaluated.
    """
    if evidence.moved is None:
        return ""
    scale = float(np.abs(facts.value).max()) or 1.0
    share = min(NEAR * evidence.loss_rounding**0.5, NEAREST)
    generator = np.random.default_rng(31)
    responds = False
    for distances in ((share, -share), (share, -share), FAR):
        way = scale * generator.standard_normal(facts.value.shape)
        along = float(np.vdot(facts.value[region], way[region]))
        squares = float(np.vdot(way[region], way[region]))
        start, *losses = evidence.moved(facts.name, way, (0.0, *distances))
        known = False
        for t, loss in zip(distances, losses, strict=True):
            expected = penalty * t * (along + 0.5 * t * squares)
            if not np.isfinite(loss) or not np.isfinite(start):
                continue
            known = True
            size = max(abs(start), abs(loss), abs(expected))
            responds |= abs(loss - start - expected) > evidence.loss_rounding * size
        if not known:
            return ""
        if responds:
            return "steps" if distances is FAR else "smooth"
    return "none"
