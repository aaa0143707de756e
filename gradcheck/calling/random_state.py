"""The global random generators of Python, NumPy and torch: seen to be drawn from, seeded, put back.

torch's generators, that of the CPU and those of CUDA devices in use, are looked at only where the
target's own code has imported torch.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

TURNS = threading.RLock()
"""Held while a target draws from the global generators: threads would draw each other's numbers."""


def snapshot() -> tuple[Any, ...]:
    """Return the states of the global generators."""
    states: tuple[Any, ...] = (random.getstate(), np.random.get_state(legacy=True))
    torch = sys.modules.get("torch")
    if torch is not None:
        states += (torch.get_rng_state(), *_of_cuda(torch))
    return states


def _of_cuda(torch: Any) -> tuple[Any, ...]:
    """The states of the CUDA devices' generators, where CUDA is in use; else nothing."""
    return tuple(torch.cuda.get_rng_state_all()) if torch.cuda.is_initialized() else ()


def restore(states: tuple[Any, ...]) -> None:
    """Put the global generators back to ``states``."""
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch = sys.modules.get("torch")
    if torch is not None and len(states) > 2:
        torch.set_rng_state(states[2])
        if len(states) > 3:
            torch.cuda.set_rng_state_all(list(states[3:]))
    elif torch is not None:
        # Imported since: torch begins with a seed that nobody knows.
        torch.seed()


def differ(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    """Return whether a draw was made between the two snapshots."""
    if before[0] != after[0]:
        return True
    one, two = before[1], after[1]
    if one[2:] != two[2:] or not np.array_equal(one[1], two[1]):
        return True
    if len(after) <= 2:
        return False
    untouched = before[2] if len(before) > 2 else _torch_as_imported()
    if not bool((untouched == after[2]).all()):
        return True
    # A device that came into use since then began with torch's seed, which was not looked at.
    pairs = zip(before[3:], after[3:], strict=False)
    return any(not bool((one == other).all()) for one, other in pairs)


def _torch_as_imported() -> Any:
    """The state of torch's global generator if nothing was drawn since it got its seed."""
    torch = sys.modules["torch"]
    return torch.Generator().manual_seed(torch.initial_seed()).get_state()


def seed_all(seed: int) -> None:
    """Seed the global generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)


def generators_of(values: Iterable[Any]) -> list[Any]:
    """Return the random generators of Python and NumPy among ``values``."""
    kinds = (np.random.Generator, np.random.RandomState, random.Random)
    return [value for value in values if isinstance(value, kinds)]


def state_of(generator: Any) -> Any:
    """Return the state of a generator, such as ``set_state`` takes."""
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    return generator.getstate()


def set_state(generator: Any, state: Any) -> None:
    """Put a generator to ``state``."""
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(state)
