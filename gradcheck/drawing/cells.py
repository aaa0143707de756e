"""Heat maps made smaller: a cell stands for a block of entries and shows the worst of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck.report import JsonValue, number

_FOLD = 64
_MAX_SLICES = 6

Values = dict[str, NDArray[Any]]
"""Arrays of one shape: the gradients, the errors, a letter for the state, the flat position."""


def four_digits(value: float) -> JsonValue:
    """Return ``value`` to four significant digits; a non-finite one as a string."""
    return number(float(f"{value:.4g}"))


def rounded(values: NDArray[Any]) -> list[JsonValue]:
    """Return an array of one dimension as plain numbers of four digits."""
    return [four_digits(float(value)) for value in values]


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


def matrix(values: Values, max_cells: int, kind: str, at: list[int]) -> dict[str, JsonValue]:
    """Return the slice of a matrix, reduced to at most ``max_cells`` nearly square blocks."""
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


def vector(values: Values, max_cells: int) -> dict[str, JsonValue]:
    """Return the slice of a vector, folded into rows."""
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


def stack(values: Values, max_cells: int) -> tuple[list[dict[str, JsonValue]], int]:
    """Return the overview, the worst slices, and how many slices are not among them."""
    shape = values["analytic"].shape
    leading, last = shape[:-2], shape[-2:]
    n_slices = int(np.prod(leading))
    stacked = {name: array.reshape(n_slices, *last) for name, array in values.items()}
    groups = np.repeat(np.arange(n_slices), last[0] * last[1])
    worst = _cells(stacked, groups, n_slices)
    first = leading[0]
    overview = matrix(
        {name: array.reshape(first, n_slices // first) for name, array in worst.items()},
        max(1, max_cells // 3),
        "overview",
        [],
    )
    overview["entry"] = overview["entry"] or worst["entry"].reshape(first, -1).tolist()
    order = np.argsort(-_badness(worst), kind="stable")[: min(n_slices, _MAX_SLICES)]
    each = max(1, (max_cells - max_cells // 3) // order.size)
    slices = [
        matrix(
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
            result[name] = [rounded(row) for row in array]
    return result
