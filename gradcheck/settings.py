"""The options of a check, declared once for Python, the command line and pytest.

Every option is a field of :class:`Settings`; its metadata carry the sentence that the command line
shows as help. All values are judged in one place, :func:`validate`, when a ``Settings`` is made.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn, SupportsInt, cast

from gradcheck.errors import UsageError

ORACLES = ("central", "complex", "autograd", "forward")
"""Names of the oracles, in the order in which they are shown."""


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a target is checked. ``None`` means that the check decides by itself.

    Raises:
        UsageError: a value is outside what :func:`validate` allows.
    """

    oracles: tuple[str, ...] | None = _option(
        None, "which oracles: central, complex, autograd, forward (default: by the target)"
    )
    autograd: bool = _option(True, "use PyTorch autograd where it applies; off, torch stays out")
    entries: str | int = _option(
        "auto",
        "check all entries, at most N a parameter, or (auto) all up to 5,000 in total, of a torch "
        "target whose entries are evaluated together 20,000",
    )
    rtol: float | None = _option(
        None, "judge by this plain threshold on the relative error, not by the uncertainty"
    )
    seed: int = _option(0, "seed of inputs, directions and, for a target that draws, generators")
    jitter: float = _option(0.0, "move the parameters off a degenerate point by this times scale")
    repeats: int | None = _option(None, "loss evaluations averaged at a point, if it is stochastic")
    confidence: float = _option(0.999, "confidence of the verdict on a stochastic loss")
    budget: int | None = _option(None, "at most N loss evaluations")
    time: float | None = _option(None, "at most S seconds in all")
    timeout: float | None = _option(None, "at most S seconds for one evaluation of the target")
    workers: int | None = _option(None, "evaluate in N local processes")
    dask: str | None = _option(None, "evaluate on the Dask cluster at this address")
    checkpoint: str | None = _option(None, "keep finished work in this file, and go on from it")
    order: int = _option(1, "2 also checks the second derivatives")
    audit: bool | None = _option(
        None, "audit the contract of a torch backward (default: for autograd.Function)"
    )
    allow_inconclusive: bool = _option(
        False, "let assert_gradients and the pytest fixture accept inconclusive"
    )

    def __post_init__(self) -> None:
        validate(self)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], base: Settings | None = None) -> Settings:
        """Return ``base`` (or the defaults) with ``options`` put over it.

        Raises:
            UsageError: an option of that name does not exist, or its value is not allowed.
        """
        known = {item.name: getattr(base, item.name) for item in fields(cls)} if base else {}
        names = [item.name for item in fields(cls)]
        for name in options:
            if name not in names:
                raise UsageError(
                    f"there is no option {name!r}{near_name(name, names)}; "
                    f"the options are {', '.join(names)}"
                )
        values = {**known, **options}
        if isinstance(values.get("oracles"), list):
            values["oracles"] = tuple(values["oracles"])
        return cls(**values)


def near_name(name: str, names: list[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the name closest to ``name``, or nothing."""
    import difflib

    close = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def validate(settings: Settings) -> None:
    """Judge every value of ``settings``.

    Raises:
        UsageError: names the option, the value and what is allowed.
    """
    _validate_oracles(settings)
    entries = settings.entries
    allowed = "'all', 'auto' or a positive whole number"
    if isinstance(entries, str):
        if entries not in ("all", "auto"):
            _refuse("entries", entries, allowed)
    elif not _is_integer(entries) or entries < 1:
        _refuse("entries", entries, allowed)
    _validate_integer("seed", settings.seed, low=0, high=2**32 - 1)
    validate_real("jitter", settings.jitter, low=0.0, strict=False)
    validate_real("confidence", settings.confidence, low=0.0, high=1.0)
    for name in ("rtol", "time", "timeout"):
        if getattr(settings, name) is not None:
            validate_real(name, getattr(settings, name), low=0.0)
    for name, low in (("repeats", 2), ("budget", 1), ("workers", 1)):
        if getattr(settings, name) is not None:
            _validate_integer(name, getattr(settings, name), low=low)
    for name in ("dask", "checkpoint"):
        value = getattr(settings, name)
        if value is not None and not (isinstance(value, str) and value):
            _refuse(name, value, "a non-empty string")
    if not _is_integer(settings.order) or int(settings.order) not in (1, 2):
        _refuse("order", settings.order, "1 or 2")
    for name in ("autograd", "allow_inconclusive"):
        if not isinstance(getattr(settings, name), bool):
            _refuse(name, getattr(settings, name), "True or False")
    if settings.audit is not None and not isinstance(settings.audit, bool):
        _refuse("audit", settings.audit, "True, False or None")
    if settings.workers is not None and settings.dask is not None:
        raise UsageError("workers and dask exclude each other: give one of them")


def _validate_oracles(settings: Settings) -> None:
    oracles = settings.oracles
    if oracles is None:
        return
    allowed = ", ".join(ORACLES)
    if not isinstance(oracles, tuple) or not oracles:
        _refuse("oracles", oracles, f"a non-empty tuple out of {allowed}")
    for name in oracles:
        if name not in ORACLES:
            near = near_name(name, list(ORACLES)) if isinstance(name, str) else ""
            raise UsageError(f"there is no oracle {name!r}{near}; the oracles are {allowed}")
    if len(set(oracles)) != len(oracles):
        _refuse("oracles", oracles, "each oracle once")
    if not settings.autograd and {"autograd", "forward"} & set(oracles):
        raise UsageError("autograd=False (--no-autograd) excludes the oracles autograd and forward")


def _is_integer(value: object) -> bool:
    """Whether ``value`` is a whole number (NumPy's count; booleans and arrays do not)."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _validate_integer(name: str, value: object, *, low: int, high: int | None = None) -> None:
    allowed = f"a whole number of at least {low}" + ("" if high is None else f" and at most {high}")
    if not _is_integer(value):
        _refuse(name, value, allowed)
    number = int(cast(SupportsInt, value))
    if number < low or (high is not None and number > high):
        _refuse(name, value, allowed)


def validate_real(
    name: str, value: object, *, low: float, high: float = math.inf, strict: bool = True
) -> None:
    """Refuse what is no finite number above ``low`` (``strict``; else from it on), below ``high``.

    Raises:
        UsageError: names the option, the value and what is allowed.
    """
    bound = "above" if strict else "of at least"
    upper = "" if math.isinf(high) else f" and below {high:g}"
    allowed = f"a finite number {bound} {low:g}{upper}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        _refuse(name, value, allowed)
    number = float(value)
    above = number > low if strict else number >= low
    if not (math.isfinite(number) and above and number < high):
        _refuse(name, value, allowed)


def _refuse(name: str, value: object, allowed: str) -> NoReturn:
    raise UsageError(f"{name}={value!r} is not allowed: write {allowed}")
