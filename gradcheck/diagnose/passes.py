"""The altered backward passes that a diagnosis makes, counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from gradcheck.blocks import MANY
from gradcheck.diagnose.alike import Key, key_of
from gradcheck.diagnose.evidence import Array, Evidence
from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import Cut, Graph, cut_alteration, detailed, graph_of
from gradcheck.diagnose.limits import LEAST_WRITTEN, MOST_OPERATIONS, Limits
from gradcheck.diagnose.matching import agrees
from gradcheck.diagnose.sketch import Sketch, make_sketch
from gradcheck.diagnose.space import Space
from gradcheck.tracing.contract import Alteration, Trace


class Passes:
    """The altered backward passes over one trace, counted.

    Over a large one no pass is made that would have to give what one before has given.
    """

    # ``ran_out`` and ``unsketched`` say what was not looked at for want of passes or of room.

    def __init__(
        self, evidence: Evidence, trace: Trace, space: Space, limits: Limits, base: Array
    ) -> None:
        self.evidence, self.trace, self.space, self.limits = evidence, trace, space, limits
        self.left = limits.passes
        self.reserved = limits.passes * 2 // 5
        self.ran_out = self.unsketched = False
        self.base = base
        self.background: dict[int, Alteration] = {}
        self.sketch: Sketch | None = None
        self._kept: tuple[Array, dict[int, Alteration], Sketch | None]
        self._latest: Mapping[str, Array] = {}
        self._graph = graph_of(trace)
        self._changes: dict[Key, Array] = {}
        self._confirmed: dict[tuple[Key, str], bool] = {}
        self._key: Key | None = None
        self._alterations: Mapping[int, Alteration] = {}

    def draw_sketch(self, graph: Graph) -> None:
        """Make a sketch, where the trace hands out what flows through it and passes are left."""
        trace = detailed(self.trace)
        if trace is None or not hasattr(trace, "tangents"):
            return
        flow = Flow(trace, graph, self.limits.largest)
        most = self.limits.stored
        sketch = make_sketch(flow, self.space, self.background, most_stored=most)
        self.unsketched = sketch is None or self.left <= 2 * len(sketch.weights)
        if sketch is not None and not self.unsketched:
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
        key = None
        if self.space.picks and not self.background:
            key = key_of(alterations, self._graph, self.trace)
        if key is not None and key in self._changes:
            if key != self._key:
                self._latest, self._key, self._alterations = {}, key, alterations
            return self._changes[key]
        change = self._made(alterations)
        if key is not None and change is not None:
            self._changes[key] = change
            self._key, self._alterations = key, alterations
        return change

    def _made(self, alterations: Mapping[int, Alteration]) -> Array | None:
        if not self._spend():
            return None
        try:
            altered = self.trace.backward({**self.background, **alterations})
        except ValueError:
            return None
        change = self.space.vector(altered) - self.base
        self._keep(altered)
        return change if np.isfinite(change).all() else None

    def pulled(
        self,
        cotangents: Mapping[int, Array],
        direct: Mapping[str, Array],
        *,
        background: Mapping[int, Alteration] | None = None,
    ) -> Array | None:
        """Return what cotangents of results, and of parameters, add to the gradient."""
        trace = detailed(self.trace)
        if not self._spend() or trace is None:
            return None
        made = self.background if background is None else background
        found = trace.pull(cotangents, made) if cotangents else {}
        added = {
            name: found.get(name, 0.0) + direct.get(name, np.zeros(self.space.shapes[name]))
            for name in self.space.names
        }
        if self.space.picks:
            facts = self.evidence.facts
            self._keep({name: facts[name].reference + part for name, part in added.items()})
        return self.space.vector(added)

    def confirmed(self, names: Iterable[str]) -> bool:
        """Say whether the latest pass made just the user's gradient of some parameters.

        Where all entries are in the space that is known already.
        """
        return all(self._agrees(name) for name in names if name in self.space.picks)

    def _agrees(self, name: str) -> bool:
        key = self._key
        if key is None:
            return agrees(self.evidence.facts[name], self._latest[name])
        if (key, name) not in self._confirmed:
            if not self._latest:
                if self._made(self._alterations) is None:
                    return False
                self._key = key
            found = agrees(self.evidence.facts[name], self._latest[name])
            self._confirmed[key, name] = found
        return self._confirmed[key, name]

    def _spend(self) -> bool:
        """Take one of the passes that are left; False if there is none."""
        self._latest, self._key = {}, None
        if self.left <= 0:
            self.ran_out = True
            return False
        self.left -= 1
        return True

    def _keep(self, gradients: Mapping[str, Array]) -> None:
        self._latest = {name: gradients[name] for name in self.space.picks}


def gradient_of(trace: Trace, evidence: Evidence) -> Mapping[str, Array]:
    """Return the gradient of a trace: what the evidence has of it, where another pass takes long.

    It may have no numbers where the right gradient is not known.
    """
    known = {name: evidence.reference[name] for name in evidence.of_trace}
    large = sum(one.size for one in known.values()) > MANY
    return known if large and len(trace.operations) < LEAST_WRITTEN else trace.backward()


def quick(trace: Trace, gradient: Mapping[str, Array]) -> Trace:
    """Return a trace of many operations in the form in which passes are quick, where it has one.

    ``gradient`` is what its backward pass gives.
    """
    full = detailed(trace)
    if full is None or not LEAST_WRITTEN <= len(trace.operations) <= MOST_OPERATIONS:
        return trace
    from gradcheck.diagnose.writing import written

    return written(full, gradient) or trace
