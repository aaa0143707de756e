"""The cases of a loss: right and wrong, each as it is or in another precision, layout or size.

Everything is text, so that a case is a module of its own when it is imported, with lines that a
traceback or a diagnosis can name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from benchmarks.outside_cases.models import Case, Model, Wrong

NUMPY_HEAD = "import numpy as np\n\n\n"
TORCH_HEAD = """\
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


"""

CAST = """
def _cast(tree, f):
    if isinstance(tree, dict):
        return {k: _cast(v, f) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_cast(v, f) for v in tree)
    if isinstance(tree, np.ndarray) and tree.dtype == np.float64:
        return f(tree)
    return tree
"""

VARIANTS = {
    "f32": CAST
    + """
_make = make
def make(seed=0):
    return _cast(_make(seed), lambda a: a.astype(np.float32))
""",
    "fortran": CAST
    + """
_make = make
def make(seed=0):
    return _cast(_make(seed), np.asfortranarray)
""",
    "strided": CAST
    + """
def _strided(a):
    big = np.full(tuple(2 * n for n in a.shape), 7.0)
    view = big[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view
_make = make
def make(seed=0):
    return _cast(_make(seed), _strided)
""",
    "readonly": CAST
    + """
def _frozen(a):
    a = a.copy()
    a.flags.writeable = False
    return a
_make = make
def make(seed=0):
    return _cast(_make(seed), _frozen)
""",
    "offset": """
OFFSET = 1e8
_plain = loss
def objective(**kw):
    value, grads = _plain(**kw)
    return value + OFFSET, grads
target = objective
""",
    "tiny": """
_plain = loss
def objective(**kw):
    value, grads = _plain(**kw)
    return 1e-12 * value, {k: 1e-12 * g for k, g in grads.items()}
target = objective
""",
    "huge": """
_plain = loss
def objective(**kw):
    value, grads = _plain(**kw)
    return 1e12 * value, {k: 1e12 * g for k, g in grads.items()}
target = objective
""",
    "buffer": """
_plain = loss
BUFFERS = {}
def objective(**kw):
    value, grads = _plain(**kw)
    for k, g in grads.items():
        g = np.asarray(g)
        if k not in BUFFERS or BUFFERS[k].shape != g.shape or BUFFERS[k].dtype != g.dtype:
            BUFFERS[k] = np.empty_like(g)
        BUFFERS[k][...] = g
    return value, BUFFERS
target = objective
""",
    "sgd": """
_plain = loss
def train_step(**kw):
    value, grads = _plain(**kw)
    grads = {k: np.array(g) for k, g in grads.items()}
    for k, g in grads.items():
        if isinstance(kw[k], np.ndarray) and kw[k].ndim:
            kw[k] -= 0.01 * g
    return value, grads
target = train_step
""",
    "units": """
def _units(shape):
    n = int(np.prod(shape))
    return 10.0 ** (np.arange(n) * 7 % 19 - 9.0).reshape(shape)
_make = make
_plain = loss
def _is(v):
    return isinstance(v, np.ndarray) and v.ndim > 0
def objective(**kw):
    names = list(_plain(**_make())[1])
    scaled = dict(kw)
    for k in names:
        if _is(kw[k]):
            scaled[k] = kw[k] * _units(kw[k].shape)
    value, grads = _plain(**scaled)
    return value, {k: g * _units(kw[k].shape) if _is(kw[k]) else g for k, g in grads.items()}
def make(seed=0):
    inputs = _make(seed)
    for k in _plain(**_make(seed))[1]:
        if _is(inputs[k]):
            inputs[k] = inputs[k] / _units(inputs[k].shape)
    return inputs
target = objective
""",
    "f32in": CAST
    + """
_plain = loss
def objective(**kw):
    value, grads = _plain(**_cast(kw, lambda a: a.astype(np.float32)))
    return np.float32(value), grads
target = objective
""",
    "mixed": CAST
    + """
_make = make
def make(seed=0):
    inputs = _make(seed)
    names = list(loss(**_make(seed))[1])
    return {k: v if k in names else _cast(v, lambda a: a.astype(np.float32))
            for k, v in inputs.items()}
""",
    "tf32": """
_make = make
def make(seed=0):
    return {k: v.detach().to(torch.float32).requires_grad_(v.requires_grad)
            if torch.is_tensor(v) and v.dtype == torch.float64 else v
            for k, v in _make(seed).items()}
""",
    "tf32in": """
_plain = loss
def objective(**kw):
    return _plain(**{
        k: v.to(torch.float32) if torch.is_tensor(v) and v.dtype == torch.float64 else v
        for k, v in kw.items()
    })
target = objective
""",
    "tbf16": """
_make = make
def make(seed=0):
    return {k: v.detach().to(torch.bfloat16).requires_grad_(v.requires_grad)
            if torch.is_tensor(v) and v.dtype == torch.float64 else v
            for k, v in _make(seed).items()}
""",
    "tf16": """
_make = make
def make(seed=0):
    return {k: v.detach().to(torch.float16).requires_grad_(v.requires_grad)
            if torch.is_tensor(v) and v.dtype == torch.float64 else v
            for k, v in _make(seed).items()}
""",
    "toffset": """
OFFSET = 1e8
_plain = loss
def objective(**kw):
    return _plain(**kw) + OFFSET
target = objective
""",
    "ttiny": """
_plain = loss
def objective(**kw):
    return _plain(**kw) * 1e-12
target = objective
""",
    "thuge": """
_plain = loss
def objective(**kw):
    return _plain(**kw) * 1e12
target = objective
""",
    "tstrided": """
_make = make
def _view(v):
    big = torch.zeros(tuple(2 * n for n in v.shape), dtype=v.dtype)
    view = big[tuple(slice(None, None, 2) for _ in v.shape)]
    view.copy_(v.detach())
    return view.requires_grad_(v.requires_grad)
def make(seed=0):
    return {k: _view(v) if torch.is_tensor(v) and v.dtype == torch.float64 and v.dim() else v
            for k, v in _make(seed).items()}
""",
}
"""What is appended to a source: other precisions, layouts, sizes, an offset, a step taken."""


def _number(text: str) -> int:
    """A number that is the same in every run: which variant a case takes."""
    return int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), 16)


def _mistaken(model: Model, source: str, wrong: Wrong) -> str:
    """The source with the mistake; raises ``ValueError`` unless its piece occurs exactly once."""
    found = source.count(wrong.piece)
    if found != 1:
        raise ValueError(
            f"{model.name}, {wrong.name}: {wrong.piece!r} occurs {found} times, not once"
        )
    return source.replace(wrong.piece, wrong.instead)


def cases(model: Model, collection: str) -> Iterator[Case]:
    """Yield the right gradient, the same in one variant, and each wrong one, of which half vary."""
    head = TORCH_HEAD if model.torch else NUMPY_HEAD
    source = model.source.strip("\n") + "\n"
    allowed = model.variants.split()

    def case(name: str, text: str, variant: str | None) -> Case:
        tail = VARIANTS[variant] if variant else ""
        full = f"{model.name}__{name}" + (f"_{variant}" if variant else "")
        right_text = head + source + tail
        return Case(full, collection, head + text + tail, name == "right", right_text)

    yield case("right", source, None)
    if allowed:
        yield case("right", source, allowed[_number(model.name) % len(allowed)])
    for k, wrong in enumerate(model.wrongs):
        varied = bool(allowed) and (_number(model.name) + k) % 2 == 1
        variant = allowed[_number(model.name + wrong.name) % len(allowed)] if varied else None
        yield case(wrong.name, _mistaken(model, source, wrong), variant)
