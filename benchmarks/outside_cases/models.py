"""What a loss of these collections is: a source, and the mistakes made in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wrong:
    """A mistake: what stands in place of one piece of the source."""

    name: str
    piece: str
    """Occurs in the source exactly once."""
    instead: str


@dataclass(frozen=True)
class Model:
    """A loss with its right gradient, as text.

    The text defines ``make(seed)``, the inputs by name, and ``target`` or ``loss``. ``WRT`` names
    the parameter of a gradient that is given bare, ``TREE`` the input that is a tree of parameters,
    ``GRAD`` a separate function for the gradient. ``MIXED`` says that the entries of a parameter
    are of very different size, ``SUBGRADIENT`` why a gradient is right that differences cannot
    tell.
    """

    name: str
    source: str
    wrongs: tuple[Wrong, ...]
    variants: str = ""
    """Names of the variants that suit it, of which each case takes one or none."""
    torch: bool = False


@dataclass(frozen=True)
class Case:
    """One gradient to check."""

    name: str
    collection: str
    text: str
    right: bool
    right_text: str
    """The same variant of the same loss with the right gradient."""
