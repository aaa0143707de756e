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

from gradcheck.report import JsonValue, Verdict

CELLS = 2500
"""Cells of heat maps on one page."""

POINTS = 1200
"""Points of scatter plots on one page."""

_FOLD = 64
_MAX_SLICES = 6
_LETTERS = np.array(["p", "i", "f", "e", "-"])  # by severity; -1, the last, is not checked
_SEVERITY_OF_WORD = {str(verdict): verdict.severity for verdict in Verdict} | {"": -1}

Values = dict[str, NDArray[Any]]


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
        slices, left_out = [_vector({k: v.reshape(-1) for k, v in values.items()}, max_cells)], 0
    elif len(shape) == 2:
        slices, left_out = [_matrix(values, max_cells, "matrix", [])], 0
    else:
        slices, left_out = _stack(values, max_cells)
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
        "analytic": _rounded(a[chosen]),
        "reference": _rounded(r[chosen]),
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


def four_digits(value: float) -> JsonValue:
    """Return ``value`` to four significant digits; a non-finite one as a string."""
    if np.isfinite(value):
        return float(f"{value:.4g}")
    return "nan" if np.isnan(value) else "inf" if value > 0 else "-inf"


def _rounded(values: NDArray[Any]) -> list[JsonValue]:
    return [four_digits(float(value)) for value in values]


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


def _badness(values: Values) -> NDArray[Any]:
    """Return the key by which a cell chooses the entry it shows: the state, then the error."""
    error = np.where(np.isnan(values["relative_error"]), np.inf, values["relative_error"])
    state = values["state"]
    error = np.where(state == "n", 0.0, np.minimum(error, 1e300))
    rank = np.zeros(state.shape)
    for position, letter in enumerate("-np.ife"):
        rank[state == letter] = position
    # errors lie in [0, 1e300]: squashed below one, they order entries of one state
    squashed = np.arctan(np.log(np.maximum(error, 1e-300)) / 300) / np.pi + 0.5
    return rank + squashed


def _cells(values: Values, groups: NDArray[Any], n_cells: int) -> Values:
    """Keep the worst entry of each cell; ``groups`` tells the cell of each flat entry."""
    badness = _badness(values).reshape(-1)
    order = np.lexsort((badness, groups))  # within a cell the worst comes last
    ends = np.searchsorted(groups[order], np.arange(n_cells), side="right") - 1
    worst = order[ends]
    return {name: array.reshape(-1)[worst] for name, array in values.items()}


def _block(rows: int, columns: int, max_cells: int) -> tuple[int, int]:
    """Return the block of entries that one cell stands for, nearly square."""
    if rows * columns <= max_cells:
        return 1, 1
    n_rows = min(rows, max(1, int(np.sqrt(max_cells * rows / columns))))
    n_columns = max(1, min(columns, max_cells // n_rows))
    n_rows = max(1, min(rows, max_cells // n_columns))
    return -(-rows // n_rows), -(-columns // n_columns)


def _matrix(values: Values, max_cells: int, kind: str, at: list[int]) -> dict[str, JsonValue]:
    rows, columns = values["analytic"].shape
    row_block, column_block = _block(rows, columns, max_cells)
    n_rows, n_columns = -(-rows // row_block), -(-columns // column_block)
    row, column = np.divmod(np.arange(rows * columns), columns)
    groups = (row // row_block) * n_columns + column // column_block
    cells = _cells(values, groups, n_rows * n_columns)
    return _slice(
        {name: array.reshape(n_rows, n_columns) for name, array in cells.items()},
        {"kind": kind, "at": at, "rows": rows, "columns": columns},
        (row_block, column_block),
    )


def _vector(values: Values, max_cells: int) -> dict[str, JsonValue]:
    size = values["analytic"].size
    block = -(-size // max(1, max_cells))
    n_cells = -(-size // block)
    cells = _cells(values, np.arange(size) // block, n_cells)
    n_columns = min(n_cells, _FOLD)
    n_rows = -(-n_cells // n_columns)
    result = _slice(
        {name: array[None, :] for name, array in cells.items()},
        {"kind": "vector", "at": [], "rows": 1, "columns": size},
        (1, block),
    )
    padding = n_rows * n_columns - n_cells
    for name in ("relative_error", "analytic", "reference", "autograd", "uncertainty", "entry"):
        if result[name] is not None:
            flat = result[name][0] + [None] * padding
            result[name] = [flat[i * n_columns : (i + 1) * n_columns] for i in range(n_rows)]
    letters = result["state"][0] + " " * padding
    result["state"] = [letters[i * n_columns : (i + 1) * n_columns] for i in range(n_rows)]
    return result


def _stack(values: Values, max_cells: int) -> tuple[list[dict[str, JsonValue]], int]:
    shape = values["analytic"].shape
    leading, last = shape[:-2], shape[-2:]
    n_slices = int(np.prod(leading))
    stacked = {name: array.reshape(n_slices, *last) for name, array in values.items()}
    groups = np.repeat(np.arange(n_slices), last[0] * last[1])
    worst = _cells(stacked, groups, n_slices)
    first = leading[0]
    overview = _matrix(
        {name: array.reshape(first, n_slices // first) for name, array in worst.items()},
        max(1, max_cells // 3),
        "overview",
        [],
    )
    overview["entry"] = overview["entry"] or worst["entry"].reshape(first, -1).tolist()
    order = np.argsort(-_badness(worst), kind="stable")[: min(n_slices, _MAX_SLICES)]
    each = max(1, (max_cells - max_cells // 3) // order.size)
    slices = [
        _matrix(
            {name: array[position] for name, array in stacked.items()},
            each,
            "slice",
            [int(i) for i in np.unravel_index(position, leading)],
        )
        for position in np.sort(order)
    ]
    return [overview, *slices], n_slices - len(slices)


def _slice(
    cells: Values, facts: dict[str, JsonValue], block: tuple[int, int]
) -> dict[str, JsonValue]:
    reduced = block != (1, 1)
    result = dict(facts) | {"row_block": block[0], "column_block": block[1], "autograd": None}
    for name, array in cells.items():
        if name == "state":
            result[name] = ["".join(row) for row in array]
        elif name == "entry":
            result[name] = array.tolist() if reduced else None
        else:
            result[name] = [_rounded(row) for row in array]
    return result
