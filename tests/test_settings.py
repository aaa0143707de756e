"""Options are judged at the door, with the allowed values in the message."""

from dataclasses import fields

import numpy as np
import pytest

from gradcheck.errors import UsageError
from gradcheck.settings import Settings

ALLOWED = {
    "oracles": ("central", "complex"),
    "autograd": False,
    "entries": 7,
    "rtol": 1e-6,
    "seed": 3,
    "jitter": 0.1,
    "repeats": 20,
    "confidence": 0.99,
    "budget": 100,
    "time": 1.5,
    "timeout": 0.5,
    "workers": 2,
    "dask": "tcp://there:8786",
    "checkpoint": "work.ckpt",
    "order": 2,
    "audit": True,
    "allow_inconclusive": True,
}


@pytest.mark.parametrize("name", [item.name for item in fields(Settings)])
def test_every_option_is_taken(name):
    assert getattr(Settings(**{name: ALLOWED[name]}), name) == ALLOWED[name]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("oracles", (), "non-empty tuple"),
        ("oracles", "central", "non-empty tuple"),
        ("oracles", ("centrl",), "did you mean 'central'"),
        ("oracles", ("central", "central"), "each oracle once"),
        ("entries", "some", "'all', 'auto'"),
        ("entries", 0, "'all', 'auto'"),
        ("entries", True, "'all', 'auto'"),
        ("entries", np.ones(2), "'all', 'auto'"),
        ("rtol", 0, "above 0"),
        ("rtol", "1e-6", "finite number"),
        ("rtol", np.nan, "finite number"),
        ("seed", -1, "at least 0"),
        ("seed", 2**32, "at most 4294967295"),
        ("seed", 1.0, "whole number"),
        ("jitter", -1.0, "at least 0"),
        ("confidence", 0.0, "above 0 and below 1"),
        ("confidence", 1.0, "above 0 and below 1"),
        ("repeats", 1, "at least 2"),
        ("budget", 0, "at least 1"),
        ("time", 0.0, "above 0"),
        ("timeout", -1, "above 0"),
        ("workers", 0, "at least 1"),
        ("dask", "", "non-empty string"),
        ("checkpoint", 3, "non-empty string"),
        ("order", 3, "1 or 2"),
        ("autograd", 1, "True or False"),
        ("audit", "yes", "True, False or None"),
        ("allow_inconclusive", None, "True or False"),
    ],
)
def test_a_value_that_is_not_allowed_names_what_is(name, value, message):
    with pytest.raises(UsageError, match=message):
        Settings(**{name: value})


def test_no_autograd_excludes_what_needs_torch():
    for oracle in ("autograd", "forward"):
        with pytest.raises(UsageError, match="--no-autograd"):
            Settings(autograd=False, oracles=("central", oracle))


def test_options_are_put_over_settings():
    base = Settings(seed=3, rtol=1e-5)
    changed = Settings.from_options({"seed": 4, "oracles": ["central"]}, base)
    assert (changed.seed, changed.rtol, changed.oracles) == (4, 1e-5, ("central",))


def test_an_unknown_option_has_a_near_name():
    with pytest.raises(UsageError, match=r"no option 'sed' \(did you mean 'seed'\?\)"):
        Settings.from_options({"sed": 3})


def test_numpys_numbers_are_numbers():
    assert Settings(seed=np.int64(3), rtol=np.float32(0.5)).seed == 3
