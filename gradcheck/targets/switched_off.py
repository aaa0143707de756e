"""Penalties that are off by default: what they add to the gradient is not checked then."""

from __future__ import annotations

import re
from collections.abc import Container

from gradcheck.report import Notice
from gradcheck.targets.signature import Signature


def switched_off(signature: Signature, given: Container[str]) -> list[str]:
    """Return the strengths that are 0 by default, and with them a part of the loss."""
    return [
        one.name
        for one in signature.parameters or ()
        if is_strength(one.name)
        and isinstance(one.default, int | float)
        and not isinstance(one.default, bool)
        and one.default == 0
        and one.name not in given
    ]


def is_strength(name: str) -> bool:
    """Whether an argument of this name is the factor of a penalty."""
    return bool(
        re.fullmatch(r"(?:l[12]_?)?reg(?:_?\w*)?|lam|lambda?_?|lmbda|Lambda|weight_decay", name)
    )


def switched_off_notices(signature: Signature, given: Container[str]) -> list[Notice]:
    """Return a notice for the penalties that a call leaves off; ``given`` are its arguments."""
    return [
        Notice(
            "switched_off",
            f"{name} is 0 by default, so that what it multiplies was not checked: give it a value, "
            f"such as --arg {name}=0.1",
        )
        for name in switched_off(signature, given)
    ]
