"""Shape annotations on a signature, in jaxtyping's form, read as input specs.

``X: Float[np.ndarray, "N D"]`` means an array of N rows and D columns. Annotations are understood
as objects and as text (``from __future__ import annotations``); jaxtyping itself is not needed.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradcheck.errors import UsageError
from gradcheck.targets.spec_grammar import Spec, parse

_FLOATS = ("Float", "Inexact", "Num", "Real", "Shaped")
_NAMES = re.compile(
    r"(BFloat16|Float(16|32|64)?|Inexact|Num|Real|Shaped|Complex(64|128)?|Bool|Integer|"
    r"U?Int(8|16|32|64)?)\Z"
)


@dataclass(frozen=True)
class Annotation:
    """What a shape annotation says: ``kind`` such as ``Float``, ``shape`` such as ``N D``."""

    kind: str
    array: str
    shape: str

    @property
    def is_tensor(self) -> bool:
        """Whether the array is to be a torch tensor."""
        return self.array.rpartition(".")[2] == "Tensor"


def read(annotation: Any) -> Annotation | None:
    """Return what ``annotation`` says of an array, or None if it says nothing."""
    if isinstance(annotation, str):
        return _from_text(annotation)
    shape = getattr(annotation, "dim_str", None)
    dtypes = getattr(annotation, "dtypes", None)
    if not isinstance(shape, str) or dtypes is None:
        return None
    array = getattr(annotation, "array_type", None)
    # Such as "Float[ndarray, 'N D']", in every version of jaxtyping.
    kind = getattr(annotation, "__name__", "Float").partition("[")[0]
    return Annotation(kind, getattr(array, "__name__", str(array)), shape)


def _from_text(text: str) -> Annotation | None:
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != text:
        return _from_text(node.value)
    if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple):
        return None
    kind = ast.unparse(node.value).rpartition(".")[2]
    items = node.slice.elts
    shape = items[1].value if len(items) == 2 and isinstance(items[1], ast.Constant) else None
    if not _NAMES.match(kind) or not isinstance(shape, str):
        return None
    return Annotation(kind, ast.unparse(items[0]), shape)


def specs_of(target: Callable[..., Any]) -> dict[str, tuple[Spec, bool]]:
    """Return a spec for every annotated argument without a default, and whether it is a tensor.

    Raises:
        UsageError: an annotated shape cannot be understood.
    """
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return {}
    found = {}
    for parameter in parameters:
        annotation = read(parameter.annotation)
        if annotation is not None and parameter.default is inspect.Parameter.empty:
            spec = parse(parameter.name, spec_text(parameter.name, annotation))
            found[parameter.name] = (spec, annotation.is_tensor)
    return found


def spec_text(name: str, annotation: Annotation) -> str:
    """Return the spec that draws an array as annotated.

    Integers are drawn from 0 and 1, which are valid labels whatever the number of classes.
    """
    shape = "(" + "".join(f"{size}, " for size in _sizes(name, annotation)) + ")"
    kind = annotation.kind
    if kind == "Bool":
        return f"integers(2, size={shape}, dtype=bool)"
    if kind.startswith(("Int", "UInt")):
        dtype = (
            "int64" if kind in ("Int", "Integer") else "uint8" if kind == "UInt" else kind.lower()
        )
        return f"integers(2, size={shape}, dtype={dtype})"
    if kind.startswith("Complex"):
        return f"normal(size={shape}) + 1j * normal(size={shape})"
    if kind in _FLOATS or kind == "Float64":
        return f"normal(size={shape})"
    if kind == "BFloat16":
        raise UsageError(f"{name}: NumPy has no bfloat16: give the input by a factory (--inputs)")
    return f"normal(size={shape}, dtype={kind.lower()})"


def _sizes(name: str, annotation: Annotation) -> list[str]:
    """The dimensions as sizes of the spec grammar; names become symbols."""
    sizes = []
    for position, word in enumerate(annotation.shape.split()):
        if word == "...":
            continue
        text = word.lstrip("*#?").rpartition("=")[2] if not word[0].isdigit() else word
        if text.startswith("_"):
            text = f"Free_{name}_{position}"
        named = re.sub(r"[A-Za-z_]\w*", lambda match: _symbol(match.group()), text)
        if not re.fullmatch(r"[\w+\-*/() ]+", named):
            raise UsageError(
                f"{name}: the shape {annotation.shape!r} is not understood at {word!r}; write "
                "names and numbers, such as 'N D' or 'N 3', or give the input with --arg"
            )
        sizes.append(named)
    return sizes


def _symbol(name: str) -> str:
    return name[0].upper() + name[1:]
