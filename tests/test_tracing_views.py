"""Views, aliases and writes of any layout: random programs on one array, linear in the parameter.

A linear function tells its gradient exactly: its values at the unit vectors.
"""

import numpy as np
import pytest

from gradcheck.tracing import trace

INDICES = {
    0: [(), None, Ellipsis],
    1: [0, -1, slice(1, None), slice(None, None, -1), slice(None, None, 2), None, [0, -1, 0],
        (Ellipsis, 0), slice(-2, None), slice(None, 1)],
    2: [0, -1, (0, 1), (slice(None), 1), (slice(None, None, -1), slice(1, None)), (0, slice(1, 2)),
        (slice(None), slice(None, None, -2)), (None, 0), ([0, 1], [1, 0]), (slice(None), [1, 0, 1]),
        (Ellipsis, -1), (slice(1, None), slice(None, 2)), (-1, Ellipsis),
        (slice(0, 2), slice(0, 2))],
    3: [0, (0, 1), (slice(None), 0), (Ellipsis, 1), (0, slice(None, None, -1), 0),
        (slice(None), slice(None), slice(None, None, -1)), (0, [0, 1], 1), (None, 0, 0, 0)],
}  # fmt: skip
"""Indices by the number of axes."""

SCALES = (2.0, -0.5, 1.5)


def laid_out(x, layout):
    """The parameter in another array, of some memory layout; the constants around it are ones."""
    if layout == "F":
        return np.asfortranarray(x * 1.0)
    if layout == "reversed":
        return (x * 1.0)[::-1, ::-1]
    if layout == "strided":
        wide = np.ones((2 * len(x), 3 * x.shape[1]))
        wide[1::2, ::3] = x
        return wide[1::2, ::-3]
    if layout == "stacked":
        return np.stack([x, 2 * x], axis=1)
    if layout == "itself":
        return x
    return x.copy()


LAYOUTS = ("C", "F", "reversed", "strided", "stacked", "itself")


def measured(view, number):
    return np.sum(view * np.cos(number + np.arange(view.size)).reshape(view.shape))


def run(x, layout, steps):
    """Follow the steps of a program; each names views by number."""
    views = [laid_out(x, layout)]
    total = 0.0
    for number, (kind, place, index, other, scale) in enumerate(steps):
        view = views[place]
        if kind == "view":
            views.append(view[index])
        elif kind == "turned":
            views.append(view.T)
        elif kind == "flat":
            views.append(view.reshape(-1))
        elif kind == "number":
            view[index] = scale
        elif kind == "element":
            view[index] = scale * views[other][(0,) * views[other].ndim]
        elif kind == "array":
            view[index] = views[other] * scale
        elif kind == "overlap":
            view[index] = view[index][..., ::-1]
        elif kind == "times":
            view[index] *= scale
        elif kind == "plus":
            view[index] += views[other][(-1,) * views[other].ndim]
        elif kind == "all":
            view *= scale
        elif kind == "through":
            part = view[index]
            part -= 2 * part[(0,) * part.ndim]
        else:
            total = total + measured(view, number)
    for number, view in enumerate(views):
        total = total + measured(view, 0.1 * number)
    return total


KINDS = (
    "view", "view", "view", "turned", "flat", "number", "element", "array", "overlap", "times",
    "plus", "all", "through", "read", "read",
)  # fmt: skip


def drawn(seed):
    """A program that NumPy can run, found by running it."""
    rng = np.random.default_rng(seed)
    layout = LAYOUTS[seed % len(LAYOUTS)]
    x = rng.normal(size=(2, 3) if seed % 4 else (3, 3))
    steps = []
    for _ in range(60):
        kind = KINDS[rng.integers(len(KINDS))]
        views = shapes(x, layout, steps)
        place, other = (int(k) for k in rng.integers(len(views), size=2))
        menu = INDICES.get(len(views[place]), [Ellipsis])
        index = menu[rng.integers(len(menu))]
        step = (kind, place, index, other, SCALES[rng.integers(3)])
        try:
            run(x.copy(), layout, [*steps, step])
        except (IndexError, ValueError, TypeError):
            continue
        if len(shapes(x, layout, [*steps, step])) < 7:
            steps.append(step)
        if len(steps) == 14:
            break
    return x, layout, steps


def shapes(x, layout, steps):
    """The shapes of the views that a program has made."""
    views = [np.empty(laid_out(x, layout).shape)]
    for kind, place, index, _, _ in steps:
        if kind == "view":
            views.append(np.asarray(views[place][index]))
        elif kind == "turned":
            views.append(views[place].T)
        elif kind == "flat":
            views.append(views[place].reshape(-1))
    return [view.shape for view in views]


def slopes(x, layout, steps):
    """The gradient of a linear function: what it adds to its value at 0."""
    zero = run(np.zeros_like(x), layout, steps)
    found = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        unit = np.zeros_like(x)
        unit[place] = 1.0
        found[place] = run(unit, layout, steps) - zero
    return found


@pytest.mark.parametrize("seed", range(90))
def test_every_view_shows_what_was_written_through_any_other(seed):
    x, layout, steps = drawn(seed)
    plain = float(run(x.copy(), layout, steps))
    traced = trace(run, (x, layout, steps), {}, {"x": x})
    assert traced.loss == plain, steps
    expected = slopes(x, layout, steps)
    np.testing.assert_allclose(
        traced.backward()["x"], expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max()
    )
