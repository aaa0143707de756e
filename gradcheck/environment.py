"""What a report says of the place it was made in: versions and nothing personal."""

from __future__ import annotations


def describe_environment() -> dict[str, str]:
    """Return the versions of Python and of the libraries a result may depend on."""
    import importlib.metadata
    import platform

    found = {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
    }
    for name in ("numpy", "scipy", "torch"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
