"""PyTorch autograd of unmodified NumPy code.

``trace`` runs a target once. NumPy computes every value as in a plain call, on the user's own
arrays; beside it each operation on values that depend on a parameter is recorded and
repeated in torch, whose autograd then gives the gradient of every entry.

How the operations are seen: the target's functions are compiled anew from their own source with
every operator, call, index, attribute and iteration going through a hook (``syntax.py``,
``source.py``). Arrays are recognised by the memory they look at (``memory.py``), so that views,
aliases, arrays in attributes, closures and globals need no replacement, and nothing of the user's
is changed: there is nothing to restore, and other threads notice nothing.
"""

from __future__ import annotations

from gradcheck.tracing.contract import Alteration, Operation, Site, Trace
from gradcheck.tracing.errors import NotTraceable
from gradcheck.tracing.tracer import trace

__all__ = ["Alteration", "NotTraceable", "Operation", "Site", "Trace", "trace"]
