"""The altered backward passes that a diagnosis makes, counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import Cut, Graph, cut_alteration, detailed
from gradcheck.diagnose.sketch import Sketch, make_sketch
from gradcheck.diagnose.space import Space
from gradcheck.tracing.contract import Alteration, Trace


class Passes:
    """The altered backward passes over one trace, counted."""

    def __init__(self, trace: Trace, space: Space, limit: int) -> None:
        self.trace, self.space, self.left = trace, space, limit
        self.reserved = limit * 2 // 5
        self.base = space.vector(trace.backward())
        self.background: dict[int, Alteration] = {}
        self.sketch: Sketch | None = None
        self._kept: tuple[Array, dict[int, Alteration], Sketch | None]

    def draw_sketch(self, graph: Graph) -> None:
        """Make a sketch, where the trace hands out what flows through it and passes are left."""
        trace = detailed(self.trace)
        if trace is None or not hasattr(trace, "tangents"):
            return
        sketch = make_sketch(Flow(trace, graph), self.space, self.background)
        if sketch is not None and self.left > 2 * len(sketch.weights):
            self.left -= 1 + len(sketch.weights)
            self.sketch = sketch

    def detach_shifts(self, cuts: Iterable[Cut]) -> None:
        """Cut the shifts that have no part in the gradient, in every further pass.

        ``exp(s - max(s))`` over its sum does not depend on the maximum, and hand-written gradients
        leave it out. A term that is left out as well shows only where the shift is out, too.
        """
        for cut in cuts:
            index, alteration = cut_alteration(cut)
            change = self.change({index: alteration})
            if change is not None and not self.space.changed(change):
                self.background[index] = alteration

    def take_as_made(
        self, alterations: Mapping[int, Alteration], change: Array, space: Space
    ) -> None:
        """Make further passes with these alterations, and measure changes from there."""
        self._kept = self.base, dict(self.background), self.sketch
        self.background.update(alterations)
        # A sketch tells of changes of the pass as it was.
        self.base, self.space, self.sketch = self.base + change, space, None

    def take_back(self, space: Space) -> None:
        """Undo ``take_as_made``."""
        (self.base, self.background, self.sketch), self.space = self._kept, space

    def change(self, alterations: Mapping[int, Alteration]) -> Array | None:
        """Return by how much the alterations change the gradient.

        None where an operation does not allow its alteration, the result is not finite, or no
        passes are left.
        """
        if self.left <= 0:
            return None
        self.left -= 1
        try:
            altered = self.trace.backward({**self.background, **alterations})
        except ValueError:
            return None
        change = self.space.vector(altered) - self.base
        return change if np.isfinite(change).all() else None

    def pulled(self, cotangents: Mapping[int, Array], direct: Mapping[str, Array]) -> Array | None:
        """Return what cotangents of results, and of parameters, add to the gradient."""
        if self.left <= 0:
            return None
        self.left -= 1
        trace = detailed(self.trace)
        if trace is None:
            return None
        found = trace.pull(cotangents, self.background) if cotangents else {}
        added = {
            name: found.get(name, 0.0) + direct.get(name, np.zeros(self.space.shapes[name]))
            for name in self.space.names
        }
        return self.space.vector(added)
