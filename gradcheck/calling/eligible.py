"""Which values can be parameters: arrays and numbers of real floats."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from gradcheck.calling.choose import Chosen, ChosenLeaf
from gradcheck.errors import TargetError, UsageError
from gradcheck.report import Notice


def refuse_ineligible(chosen: Chosen) -> list[Notice]:
    """Refuse what cannot be perturbed; return a notice for each Python int, which is converted.

    Raises:
        UsageError: there is no parameter, or one is not an array or number of real floats.
        TargetError: a parameter is an array of integers.
    """
    if not chosen.leaves:
        raise UsageError("the parameters hold no arrays; name others with wrt= (--wrt)")
    notices = []
    for leaf in chosen.leaves:
        if isinstance(leaf.value, np.ndarray | np.generic):
            _refuse_array(leaf)
        elif isinstance(leaf.value, bool) or not isinstance(leaf.value, int | float):
            raise UsageError(
                f"{leaf.path} is {type(leaf.value).__name__}, not an array of floats; convert it "
                "with numpy.asarray, or leave it out of wrt (--wrt)"
            )
        elif isinstance(leaf.value, int):
            notices.append(
                Notice(
                    "integer_parameter",
                    f"the parameter {leaf.name} is the Python int {leaf.value}; it was converted "
                    f"to a float: write {float(leaf.value)}",
                )
            )
    return notices


def _refuse_array(leaf: ChosenLeaf) -> None:
    value = leaf.value
    # numpy.ma is slow to import; where nobody did, no array is masked.
    if "numpy.ma" in sys.modules and isinstance(value, np.ma.MaskedArray):
        raise UsageError(f"{leaf.name} is a masked array; pass the plain array ({leaf.name}.data)")
    if value.dtype.kind in "iub":
        raise TargetError(
            "integer_parameter",
            f"the parameter {leaf.name} holds integers ({value.dtype}): a small step added to an "
            f"entry is lost, so that no numeric gradient exists; pass {leaf.name}.astype(float)",
            parameter=leaf.name,
        )
    if value.dtype.kind != "f":
        raise UsageError(
            f"{leaf.name} has dtype {value.dtype}; parameters are arrays of real floats"
        )


def without_empty(chosen: Chosen) -> tuple[Chosen, list[Notice]]:
    """Leave out parameters without entries, with a notice that names them.

    Raises:
        TargetError: there are no others; the check is inconclusive.
    """
    empty = [leaf.name for leaf in chosen.leaves if np.size(leaf.value) == 0]
    if not empty:
        return chosen, []
    said = f"there is nothing to check in {', '.join(empty)}, which holds no entries"
    if len(empty) == len(chosen.leaves):
        raise TargetError("empty_parameter", f"{said}: a shape of 0 is empty")
    kept = tuple(leaf for leaf in chosen.leaves if leaf.name not in empty)
    return replace(chosen, leaves=kept), [Notice("empty_parameter", said)]
