"""Writes the table of what can be traced: ``python -m gradcheck.tracing.coverage > FILE``."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from gradcheck.tracing import special_calls, ufunc_calls
from gradcheck.tracing.registry import MODULES, registry

_INTRODUCTION = """# What can be traced

<!-- written by `python -m gradcheck.tracing.coverage > docs/traceable.md`; do not edit -->

A NumPy loss without a PyTorch twin is traced: it runs once as it is, on the user's own arrays, and
every operation on values that depend on a parameter is repeated in PyTorch, whose autograd
then gives the gradient. Each operation's value in PyTorch is compared with NumPy's; where they
differ, the operation counts as not traceable.

How it is seen: the target's functions, and whatever functions in Python they call (NumPy's and
SciPy's own included, the standard library and PyTorch excluded), are compiled anew from their
source with a hook in every operator, call, index, attribute, iteration and unpacking. The
module itself is not touched.

Beyond the functions below:

* indexing and assignment of every kind (slices, negative steps, `np.newaxis`, integer and boolean
  arrays, `.flat`), `+=` and its like, `out=` and `where=` of ufuncs, views and aliases, closed-over
  and global arrays, arrays in attributes, dicts, lists, dataclasses;
* loops, comprehensions, generators, unpacking, `zip`, `enumerate`, `map`, `sum`, `max`, `sorted`,
  `functools.reduce`, `functools.partial`, `operator`, properties, operators of the user's own
  classes;
* `float(x)`, `x.item()`, `x.tolist()`, arithmetic with the floats that come out, comparisons,
  `print`, f-strings, `assert`;
* every function of NumPy or SciPy that is itself written in Python over what is listed
  (`np.cov`, `np.gradient`, `scipy.stats.norm.logpdf` ...).

What a loss depends on and what is not covered raises `NotTraceable` with the operation, the file
and the line; what it does not depend on may be anything. Not covered: object arrays, sparse
matrices, functions whose source cannot be found (typed at a prompt, `exec`), other threads and
processes, and objects of compiled libraries that compute by themselves (`np.nditer`).

Complex numbers may occur on the way to a real loss: arithmetic, powers, exponentials, products,
sums, movement of elements, Fourier transforms, moduli, conjugates, parts (`.real` and `.imag`
cannot be written to).

At a kink (`maximum` of equal numbers, `abs` of 0, a maximum that several elements share, `clip` at
a bound) the derivative may be chosen; a claimed gradient may take any of these choices.
"""


def _module_of(function: Any, name: str) -> str:
    module = str(getattr(function, "__module__", "") or "")
    if module.startswith("scipy.special") or type(function).__name__ == "ufunc":
        import numpy as np

        return "numpy" if getattr(np, name, None) is function else "scipy.special"
    public = ("numpy.linalg", "numpy.lib.stride_tricks", "numpy.fft", *MODULES, "math")
    for known in public:
        if module.startswith(known):
            return known
    return {"": "builtins", "builtins": "builtins"}.get(module, module.split(".")[0])


def _names(functions: Any) -> dict[str, list[str]]:
    table: dict[str, set[str]] = {}
    for function in functions:
        name = function.__name__
        table.setdefault(_module_of(function, name), set()).add(name)
    return {module: sorted(names) for module, names in sorted(table.items())}


def _row(title: str, names: list[str]) -> str:
    return f"| {title} | {', '.join(f'`{name}`' for name in names)} |"


def coverage() -> str:
    """Return the page as Markdown."""
    for name in MODULES:
        importlib.import_module(name)  # whose rules are left out otherwise
    rules = registry()
    rows = ["| where | functions |", "|---|---|"]
    covered = {**rules.functions, **rules.ufuncs, **special_calls.SPECIAL}
    rows += [_row(f"`{module}`", names) for module, names in _names(covered).items()]
    rows.append(_row("methods of arrays", sorted(n for n in rules.methods if n[0] != "_")))
    for method, table in ufunc_calls.METHODS.items():
        rows.append(_row(f"`ufunc.{method}`", sorted(ufunc.__name__ for ufunc in table)))
    rows.append("| `ufunc.outer` | of every ufunc above |")
    constant = [f for f in rules.constant if _module_of(f, f.__name__) == "numpy"]
    rows.append(_row("constant (derivative 0)", sorted(f.__name__ for f in constant)))
    return "\n".join([_INTRODUCTION, *rows, ""])


if __name__ == "__main__":
    sys.stdout.write(coverage())
