"""Messages as sentences."""

from __future__ import annotations


def sentence(message: str) -> str:
    """Return a message as a sentence; one that begins with a name of the user's stays as it is."""
    if not message.startswith(("the ", "one ")):
        return message
    return f"{message[0].upper()}{message[1:].rstrip('.')}."
