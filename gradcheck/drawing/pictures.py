"""Per-entry arrays reduced to the small plain data that the report's pages draw.

Arrays stop here: what these functions return is made of dicts, lists, strings, ints and floats of
four significant digits, with non-finite numbers as ``"nan"``, ``"inf"``, ``"-inf"``. It fills the
fields of the same name of ``gradcheck.report.ParameterResult``.

``verdicts`` is an array of the parameter's shape, either of the words ``"pass"``, ``"fail"``,
``"inconclusive"`` with ``""`` for an entry that was not checked, or of the severities 0 to 3 with
-1 for not checked. In the result an entry's state is one letter: ``p`` pass, ``n`` pass but lost
in the noise (its relative error means nothing), ``i`` inconclusive, ``f`` fail, ``e`` error, ``-``
not checked, ``.`` verdict not given.

``grids``::

    {"oracle": "central", "shape": [4, 8], "left_out": 0,
     "slices": [{
        "kind": "matrix",           # or "vector", "slice", "overview"
        "at": [],                   # leading indices of a "slice"
        "rows": 4, "columns": 8,    # of the array shown, before reduction
        "row_block": 1, "column_block": 1,    # entries that one cell stands for
        "relative_error": [[...]], "analytic": [[...]], "reference": [[...]],
        "autograd": [[...]] or None, "uncertainty": [[...]],
        "state": ["ppf-ppnp", ...], # a string a row of cells
        "entry": [[...]] or None    # reduced: flat position in the array of the entry shown
     }]}

A cell shows the worst of its entries. A vector is folded into rows of at most 64 cells; cells past
its end are None. Arrays of more than two dimensions begin with an ``"overview"`` in which a cell is
a whole slice over the last two dimensions (rows: the first index; columns: the other leading ones,
flattened), followed by the worst slices; ``left_out`` counts the slices not among them.

``scatter``::

    {"oracle": "central", "entries": 32, "entry": [flat positions], "analytic": [...],
     "reference": [...], "state": "ppf..."}

``histogram``::

    {"edges": [-16.0, -15.5, ...],  # decimal logarithms of the relative error
     "counts": [...],               # one fewer than the edges
     "zero": 3, "non_finite": 0, "in_noise": 2, "resolution": 1e-08}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradcheck.drawing.cells import Values, four_digits, matrix, rounded, stack, vector
from gradcheck.report import JsonValue, Verdict

CELLS = 2500
"""Cells of heat maps on one page."""

POINTS = 1200
"""Points of scatter plots on one page."""

_LETTERS = np.array(["p", "i", "f", "e", "-"])  # by severity; -1, the last, is not checked
_SEVERITY_OF_WORD = {str(verdict): verdict.severity for verdict in Verdict} | {"": -1}


def share(sizes: Sequence[int], total: int = CELLS) -> list[int]:
    """Divide ``total`` cells among parameters of the given sizes: small ones keep all of theirs."""
    shares = [0] * len(sizes)
    left, waiting = total, sorted(range(len(sizes)), key=lambda position: sizes[position])
    while waiting:
        position = waiting.pop(0)
        shares[position] = max(1, min(sizes[position], left // (len(waiting) + 1)))
        left = max(0, left - shares[position])
    return shares


def grids(
    analytic: ArrayLike,
    reference: ArrayLike,
    uncertainty: ArrayLike,
    relative_error: ArrayLike,
    *,
    autograd: ArrayLike | None = None,
    verdicts: ArrayLike | None = None,
    max_cells: int = CELLS,
    oracle: str = "central",
) -> dict[str, JsonValue]:
    """Return heat maps of the relative error of one parameter (form: see the module).

    Args:
        analytic: the user's gradient, of the parameter's shape; so are the other arrays.
        reference: the oracle's gradient; NaN where it was not evaluated.
        uncertainty: of the difference of the two.
        relative_error: of each entry; NaN where it was not checked.
        autograd: a further gradient to show beside these.
        verdicts: of each entry (see the module).
        max_cells: most cells in all the parameter's maps together.
        oracle: which one ``reference`` is from.
    """
    values = _values(analytic, reference, uncertainty, relative_error, autograd, verdicts)
    shape = values["analytic"].shape
    if values["analytic"].size == 0:
        slices: list[dict[str, JsonValue]] = []
        left_out = 0
    elif len(shape) < 2:
        slices, left_out = [vector({k: v.reshape(-1) for k, v in values.items()}, max_cells)], 0
    elif len(shape) == 2:
        slices, left_out = [matrix(values, max_cells, "matrix", [])], 0
    else:
        slices, left_out = stack(values, max_cells)
    return {"oracle": oracle, "shape": list(shape), "left_out": left_out, "slices": slices}


def scatter(
    analytic: ArrayLike,
    reference: ArrayLike,
    *,
    uncertainty: ArrayLike | None = None,
    verdicts: ArrayLike | None = None,
    max_points: int = 400,
    oracle: str = "central",
) -> dict[str, JsonValue]:
    """Return pairs (reference, analytic) of one parameter: the worst entries and an even choice.

    Args:
        analytic: the user's gradient.
        reference: the oracle's gradient; entries where it is NaN are left out.
        uncertainty: of the difference, to tell entries that are lost in the noise.
        verdicts: of each entry (see the module).
        max_points: most points to keep.
        oracle: which one ``reference`` is from.
    """
    a = np.asarray(analytic, dtype=float).reshape(-1)
    r = np.asarray(reference, dtype=float).reshape(-1)
    u = np.zeros_like(a) if uncertainty is None else np.asarray(uncertainty, float).reshape(-1)
    state = _states(a, r, u, np.zeros_like(a), verdicts)
    candidates = np.flatnonzero(np.isfinite(a) & np.isfinite(r) & (state != "-"))
    chosen = candidates
    if candidates.size > max_points:
        difference = np.abs(a[candidates] - r[candidates])
        worst = candidates[np.argsort(-difference, kind="stable")[: max_points // 4]]
        rest = np.setdiff1d(candidates, worst)
        rest = rest[np.argsort(r[rest], kind="stable")]
        even = np.linspace(0, rest.size - 1, max_points - worst.size).round().astype(int)
        chosen = np.sort(np.concatenate([worst, rest[np.unique(even)]]))
    return {
        "oracle": oracle,
        "entries": int(a.size),
        "entry": [int(position) for position in chosen],
        "analytic": rounded(a[chosen]),
        "reference": rounded(r[chosen]),
        "state": "".join(state[chosen]),
    }


def histogram(
    relative_error: ArrayLike,
    resolution: float,
    *,
    below_noise: ArrayLike | None = None,
    max_bins: int = 40,
) -> dict[str, JsonValue]:
    """Return how the relative errors of one parameter are spread over the decades.

    Args:
        relative_error: of each entry; NaN where it was not checked.
        resolution: of the parameter, to be marked.
        below_noise: where the entry is lost in noise, so that its relative error means nothing.
        max_bins: most bins; they are halves, whole or double decades.
    """
    error = np.asarray(relative_error, dtype=float).reshape(-1)
    noise = np.zeros(error.shape, dtype=bool)
    if below_noise is not None:
        noise = np.asarray(below_noise, dtype=bool).reshape(-1)
    shown = error[~noise & ~np.isnan(error)]
    logs = np.log10(shown[(shown > 0) & np.isfinite(shown)])
    edges = np.zeros(0)
    if logs.size:
        for width in (0.5, 1.0, 2.0, 5.0, 20.0):
            low, high = np.floor(logs.min() / width), np.floor(logs.max() / width) + 1
            edges = width * np.arange(low, high + 1)
            if edges.size - 1 <= max_bins:
                break
    counts = np.histogram(logs, bins=edges)[0] if logs.size else np.zeros(0, dtype=int)
    return {
        "edges": [float(edge) for edge in edges],
        "counts": [int(count) for count in counts],
        "zero": int(np.count_nonzero(shown == 0)),
        "non_finite": int(np.count_nonzero(np.isinf(shown))),
        "in_noise": int(np.count_nonzero(noise)),
        "resolution": four_digits(resolution),
    }


def _values(
    analytic: ArrayLike,
    reference: ArrayLike,
    uncertainty: ArrayLike,
    relative_error: ArrayLike,
    autograd: ArrayLike | None,
    verdicts: ArrayLike | None,
) -> Values:
    values: Values = {
        "analytic": np.asarray(analytic, dtype=float),
        "reference": np.asarray(reference, dtype=float),
        "uncertainty": np.asarray(uncertainty, dtype=float),
        "relative_error": np.asarray(relative_error, dtype=float),
    }
    if autograd is not None:
        values["autograd"] = np.asarray(autograd, dtype=float)
    shape = values["analytic"].shape
    for name, array in values.items():
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, analytic has {shape}")
    values["state"] = _states(
        values["analytic"],
        values["reference"],
        values["uncertainty"],
        values["relative_error"],
        verdicts,
    )
    values["entry"] = np.arange(values["analytic"].size).reshape(shape)
    return values


def _states(
    analytic: NDArray[Any],
    reference: NDArray[Any],
    uncertainty: NDArray[Any],
    relative_error: NDArray[Any],
    verdicts: ArrayLike | None,
) -> NDArray[Any]:
    """Return a letter for each entry."""
    if verdicts is None:
        return np.where(np.isnan(relative_error), "-", ".")
    given = np.asarray(verdicts).reshape(analytic.shape)
    if given.dtype.kind not in "iu":
        words = [_SEVERITY_OF_WORD[str(word)] for word in given.reshape(-1)]
        given = np.array(words, dtype=int).reshape(given.shape)
    letters = _LETTERS[given]
    magnitude = np.fmax(np.abs(analytic), np.abs(reference))
    in_noise = (letters == "p") & (magnitude <= uncertainty)
    return np.where(in_noise, "n", letters)
