"""Inputs in files and on the command line are read, never evaluated, unpickled or run."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck.errors import UsageError
from gradcheck.targets.input_sources import load_inputs
from gradcheck.targets.spec_grammar import parse

FORBIDDEN = (eval, exec, open, __import__, os.system)
"""Calls that no text of an input may make."""


class TestInputsAreNeverEvaluated:
    @pytest.mark.parametrize(
        "content",
        [
            {"W": np.array([{"a": 1}], dtype=object)},
            {"W": np.ones(3), "y": np.array([print], dtype=object)},
        ],
        ids=["an object", "one beside numbers"],
    )
    def test_an_npz_of_objects_is_refused_with_a_way_out(self, workplace, content):
        np.savez(workplace / "data.npz", **content)
        with pytest.raises(UsageError, match=r"without unpickling.*numpy\.savez from arrays"):
            load_inputs("data.npz")

    def test_a_pickle_in_the_place_of_an_npz_is_not_run(self, workplace):
        class Trap:
            def __reduce__(self):
                return Path.touch, (workplace / "sprung",)

        (workplace / "data.npz").write_bytes(pickle.dumps(Trap()))
        with pytest.raises(UsageError, match="without unpickling"):
            load_inputs("data.npz")
        array = np.empty(1, dtype=object)
        array[0] = Trap()
        np.savez(workplace / "data.npz", W=array)
        with pytest.raises(UsageError, match="without unpickling"):
            load_inputs("data.npz")
        assert not (workplace / "sprung").exists()
        pickle.loads(pickle.dumps(Trap()))
        assert (workplace / "sprung").exists()  # the trap works

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x80\x04."])
    def test_what_is_no_npz_is_refused(self, workplace, content):
        (workplace / "data.npz").write_bytes(content)
        with pytest.raises(UsageError, match="cannot be read"):
            load_inputs("data.npz")

    def test_an_npy_of_that_name_is_refused(self, workplace):
        with (workplace / "data.npz").open("wb") as file:
            np.save(file, np.ones(3))
        with pytest.raises(UsageError, match="cannot be read"):
            load_inputs("data.npz")

    @pytest.mark.parametrize(
        "spec",
        [
            "__import__('os').system('touch sprung')",
            "open('sprung', 'w')",
            "randn(4, open('sprung','w'))",
            "(lambda: 1)()",
            "[x for x in (1,)]",
            "randn.__class__",
            "f'{open}'",
            "(y := 1)",
            "1 if 2 else 3",
            "print",
            "10 ** 10 ** 10",
            "randn(*[3])",
            "{**{}}",
            "not 1",
            "1 < 2",
            "x[0]",
            "await x",
            "yield",
            "getattr(randn, 'x')",
            "numpy.zeros(3)",
            "array('x').tofile('sprung')",
        ],
    )
    def test_code_in_the_place_of_a_spec_is_refused(self, workplace, spec):
        with pytest.raises(UsageError):
            parse("W", spec)
        assert not list(workplace.iterdir())

    WORDS = st.sampled_from(
        [
            *("randn", "integers", "array", "N", "K", "3", "0.5", "'a'", "None", "eval", "open"),
            *("__import__", "(", ")", "[", "]", "{", "}", ",", "=", "size=", "+", "-", "*", "/"),
            *("**", ".", ":", ":=", "lambda", "for", "in", "if", "else", "not", "@", "~", "f'{x}'"),
            *("\n", ";", "#", "\\", "\x00", "é", "await", "yield", "%", "<<", "1e999", "0x", "_"),
        ]
    )

    @given(st.lists(WORDS, max_size=14).map("".join) | st.text(max_size=40))
    @settings(max_examples=400, deadline=None)
    def test_any_spec_is_understood_or_refused_and_calls_nothing(self, text):
        called = []
        sys.setprofile(
            lambda frame, event, argument: (
                called.append(argument) if event == "c_call" and argument in FORBIDDEN else None
            )
        )
        try:
            with contextlib.suppress(UsageError):
                parse("W", text)
        finally:
            sys.setprofile(None)
        assert not called

    @pytest.mark.parametrize(
        "text", ["(" * 5000, "-" * 5000 + "1", "[" * 200, "1+" * 5000 + "1", "1+" * 150 + "1"]
    )
    def test_deep_ones_are_refused_in_every_version_of_python(self, text):
        with pytest.raises(UsageError, match="cannot be read"):
            parse("W", text)

    def test_ones_of_ordinary_depth_are_read(self):
        assert parse("W", "[" * 30 + "1" + "]" * 30).text
        assert parse("W", "+".join("1" * 50)).text
