"""Messages as sentences."""

from __future__ import annotations


def sentence(message: str) -> str:
    """Return a message as a sentence; one that begins with a name of the user's stays as it is."""
    if not message.startswith(("the ", "one ")):
        return message
    return f"{message[0].upper()}{message[1:].rstrip('.')}."


def accepting(worst: float) -> str:
    """Name the ``--rtol`` that accepts entries that are off by so much, if that is little."""
    for exponent in range(6, 2, -1):
        if worst <= 10.0**-exponent:
            return f", and may be accepted with --rtol 1e-{exponent}"
    return ""
