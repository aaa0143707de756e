"""When the noise along an entry is measured anew: small steps that fall below a loss's grain."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from test_climb_steps import H, climbed, measured

from gradcheck.oracles.climb import _settled

HIDDEN = 0.1
"""What noise hides of the slope at the shortest step, a fourth of the first: no step is shorter."""
NOISE = HIDDEN * H / 16


def looked_for(apart, nearer, further=0.0):
    """How far noise is looked for where three slopes leave a claim, the shortest farthest off.

    Args:
        apart: of the two shortest steps' slopes, in units of what noise hides of the first.
        nearer: distance of the longest step's slope from the claim, to that of the shortest one's.
        further: by how much the longest step's slope is nearer than the second, in these units.
    """
    first, last = 3.0 + apart * HIDDEN, 3.0 - further * HIDDEN
    claim = (last - nearer * first) / (1 - nearer)

    def loss(x):
        return 1.0 + x * (first if abs(x) < H / 2 else 3.0 if abs(x) < 2 * H else last)

    # no longer steps, either
    reading, _, asked = climbed(loss, claim, noise=NOISE, scales=np.full(1, 16 * H))
    return measured(asked, 0.0), len(asked), reading


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("apart", "grainy"), [(1.95, False), (2.05, True)])
def test_slopes_that_differ_by_more_than_twice_what_noise_hides_show_a_grain(apart, grainy, sign):
    reach, asked, reading = looked_for(sign * apart, 0.5, sign * 0.5)
    assert reach == (pytest.approx(16 * H) if grainy else None)
    assert reading.value == pytest.approx(3.0 + sign * apart * HIDDEN * 16 / 15, rel=0.05)
    assert asked == (4 + 16 if grainy else 4)


@pytest.mark.parametrize(("nearer", "grainy"), [(0.69, True), (0.71, False)])
def test_where_longer_steps_come_hardly_nearer_to_the_claim_it_is_wrong(nearer, grainy):
    assert (looked_for(3.0, nearer)[0] is not None) is grainy


@pytest.mark.parametrize(
    ("steps", "off", "settled"),
    [
        ((1, 64, 256), (16.0, 0.99, 0.99), 64),
        ((1, 64, 256), (16.0, 1.01, 0.5), None),
        ((1, 64, 256), (16.0, 0.5, 1.01), None),
        ((1, 63, 252), (16.0, 0.5, 0.5), None),
        # the worst of those small enough
        ((1, 2, 4, 64, 256, 1024), (1.0, 16.0, 1.0, 0.5, 0.5, 0.5), 256),
        ((1, 2, 4, 64, 128, 256), (1.0, 16.0, 1.0, 0.5, 0.99, 0.99), 128),
    ],
)
def test_two_slopes_settle_where_small_ones_are_sixteen_times_as_far_off(steps, off, settled):
    ordered = [SimpleNamespace(up=float(step)) for step in steps]
    assert _settled(ordered, np.array(off)) == settled
