"""What an alteration changes, along a few directions of the parameters, without a backward pass.

The change that a wrong derivative makes is linear in what it hands on wrongly, as long as it does
not meet itself again in a loop. Its component along a direction of the parameters is the scalar
product with the tangent of the operand that gets it. So a few tangents of the whole trace tell of
every alteration at every operation whether it can explain the error at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradcheck.diagnose.evidence import Array
from gradcheck.diagnose.flow import Flow, Source
from gradcheck.diagnose.limits import MOST_STORED, flowing
from gradcheck.diagnose.plan import Trial
from gradcheck.diagnose.space import Space
from gradcheck.tracing.contract import Alteration

MOST_BLOCKS = 8
"""Wrong parameters that get directions of their own."""

ALONG = 1e-2
"""A factor on a cut path is looked at where this part of the error, at most, is not along it."""

WIDER = 8
"""Directions more, for the search over pairs."""


@dataclass(frozen=True, eq=False)
class Sketch:
    """Random directions of the parameters, the tangents of a trace along them, and the error.

    Of a large parameter only the entries that the space has are moved. ``blocks`` names the
    parameters that each direction moves: each wrong one alone, and all right
    ones together. ``weights`` holds ``n_each`` for each block, one block after the other.
    """

    flow: Flow
    space: Space
    blocks: tuple[frozenset[str], ...]
    n_wrong: int
    n_each: int
    weights: Array
    tangents: tuple[Mapping[int, Array], ...]
    residual: Array
    slack: Array

    def of(self, change: Array) -> Array:
        """Return the components of a change of the gradient (a vector of the space)."""
        return np.asarray(self.weights @ change, dtype=np.float64)

    def given(self, sources: Sequence[Source], extra: Sequence[Array]) -> Array:
        """Return the components of what ``extra`` for these operands changes."""
        return np.asarray(self.stacked(sources) @ self.joined(sources, extra), dtype=np.float64)

    def joined(self, sources: Sequence[Source], handed: Iterable[Array]) -> Array:
        """Return in one vector what operands are handed, as ``stacked`` has its columns."""
        if not self.space.picks and isinstance(handed, np.ndarray):
            return handed.reshape(-1)
        pairs = zip(sources, handed, strict=True)
        return np.concatenate(
            [
                self.space.pick(str(name), part) if kind == "parameter" else part.ravel()
                for (kind, name), part in pairs
            ]
        )

    def moved(self, source: Source, k: int) -> Array:
        """Return how an operand moves along direction ``k``, flat."""
        kind, name = source
        if kind == "operation":
            return self.tangents[k][int(name)].ravel()
        here = self.space.slices[str(name)]
        return np.asarray(self.weights[k][here] / self.space.scale[here], dtype=np.float64)

    def stacked(self, sources: Sequence[Source]) -> Array:
        """Return how the operands move, one row for each direction."""
        return np.stack(
            [np.concatenate([self.moved(s, k) for s in sources]) for k in range(len(self.weights))]
        )

    def predicted(self, trial: Trial) -> Array | None:
        """Return the components of a trial's change; None where only a pass can tell them."""
        total = np.zeros(len(self.weights))
        indices = sorted(trial.alterations)
        if len(indices) > 1 and self._meets_itself(indices, trial):
            return None
        for index in indices:
            part = self._of_one(index, trial.alterations[index])
            if part is None:
                return None
            total += part
        return total

    def _meets_itself(self, indices: list[int], trial: Trial) -> bool:
        """Say whether what one alteration hands on wrongly arrives at another."""
        operand, graph = trial.alterations[indices[0]].operand, self.flow.graph
        if operand is not None:
            inputs = [graph.by_index[index].inputs for index in indices]
            if all(operand < len(i) and i[operand][0] == "parameter" for i in inputs):
                return False
        return self.flow.depend(indices)

    def _of_one(self, index: int, alteration: Alteration) -> Array | None:
        cotangent = self.flow.cotangents.get(index)
        if cotangent is None or not self.flow.is_known(("operation", index)):
            return None
        if alteration.kind == "constant":
            return self.given([("operation", index)], [-cotangent])
        if alteration.kind == "drop_operand" and alteration.operand is not None:
            handed = self.flow.local(index, alteration.operand)
            if handed is None:
                return None
            source = self.flow.graph.by_index[index].inputs[alteration.operand]
            return self.given([source], [-handed]) if self.flow.is_known(source) else None
        if alteration.kind in ("identity", "twice"):
            return self._of_slope(index, alteration.kind, alteration.operand)
        return None

    def _of_slope(self, index: int, kind: str, operand: int | None) -> Array | None:
        graph, c = self.flow.graph, self.flow.cotangents[index]
        paths = graph.paths_in(index) if operand is None else (operand,)
        if len(paths) != 1:
            return None
        handed = self.flow.local(index, paths[0])
        if handed is None or handed.shape != c.shape:
            return None
        wrong = c
        if kind == "twice":
            slope = self.flow.trace.local(index, np.ones_like(c))[paths[0]]
            if slope is None:
                return None
            wrong = handed * slope
        source = graph.by_index[index].inputs[paths[0]]
        return self.given([source], [wrong - handed]) if self.flow.is_known(source) else None

    def explains(self, found: Array, *, by_factor: bool) -> bool:
        """Say whether a change with these components may explain some wrong parameter.

        With ``by_factor`` a multiple of the change is enough.
        """
        for b in range(self.n_wrong):
            here = slice(b * self.n_each, (b + 1) * self.n_each)
            change, error = found[here], self.residual[here]
            square = float(change @ change)
            if not square:
                continue
            strength = float(change @ error) / square if by_factor else 1.0
            left = float(np.linalg.norm(error - strength * change))
            if left <= ALONG * float(np.linalg.norm(error)) + float(self.slack[here].sum()):
                return True
        return False


def make_sketch(
    flow: Flow,
    space: Space,
    background: Mapping[int, Alteration],
    *,
    most_stored: int = MOST_STORED,
) -> Sketch | None:
    """Return the sketch of a trace, with at most 18 directions; None where it would not fit."""
    named = [frozenset({name}) for name in space.failing[:MOST_BLOCKS]]
    if len(space.failing) > MOST_BLOCKS:
        named[-1] |= frozenset(space.failing[MOST_BLOCKS:])
    right = frozenset(space.names) - space.wrong
    blocks = (*named, right) if right else tuple(named)
    n_each = 3 if len(blocks) <= 3 else 2
    if flowing(flow.graph.operations) * n_each * len(blocks) > most_stored:
        return None
    return _sketched(flow, space, background, blocks, len(named), n_each, seed=20)


def wider(sketch: Sketch, space: Space, background: Mapping[int, Alteration]) -> Sketch:
    """Return a sketch with more directions, each of all parameters."""
    everything = (frozenset(space.names),)
    return _sketched(sketch.flow, space, background, everything, 1, WIDER, seed=21)


def _sketched(
    flow: Flow,
    space: Space,
    background: Mapping[int, Alteration],
    blocks: tuple[frozenset[str], ...],
    n_wrong: int,
    n_each: int,
    *,
    seed: int,
) -> Sketch:
    rng = np.random.default_rng(seed)
    rows = []
    for names in blocks:
        use = np.zeros(space.residual.shape, bool)
        for name in names:
            use[space.slices[name]] = True
        use &= space.known
        rows += [np.where(use, rng.standard_normal(use.shape), 0.0) for _ in range(n_each)]
    weights = np.stack(rows)
    return Sketch(
        flow=flow,
        space=space,
        blocks=blocks,
        n_wrong=n_wrong,
        n_each=n_each,
        weights=weights,
        tangents=tuple(flow.trace.tangents((space.moved(row) for row in weights), background)),
        residual=weights @ space.residual,
        slack=4.0 * np.linalg.norm(weights * space.tolerance, axis=1),
    )
