"""When a value in torch counts as NumPy's: to the digits of its dtype, and of the operation."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gradcheck.tracing.agreement import close  # noqa: E402 - needs torch

EPS = 2.0**-52
INF, NAN = float("inf"), float("nan")


def agree(exact, data, name="exp", operands=(), dtype="float64"):
    kind = getattr(torch, dtype)
    return close(
        torch, torch.tensor(data, dtype=kind), torch.tensor(exact, dtype=kind), name, operands
    )


TOLERANCES = {
    "float64": 1e-7, "float32": 1e-3, "float16": 0.1, "complex128": 1e-7, "complex64": 1e-3,
}  # fmt: skip


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_an_entry_is_judged_by_itself_and_by_the_largest_together(dtype):
    unit = TOLERANCES[dtype]
    for sign in (1, -1):
        assert agree([1.0, -4.0], [1 + sign * 4.8 * unit, -4.0], dtype=dtype)
        assert not agree([1.0, -4.0], [1 + sign * 5.2 * unit, -4.0], dtype=dtype)
        assert agree([1.0, -4.0], [1.0, -4 + sign * 7.8 * unit], dtype=dtype)
        assert not agree([1.0, -4.0], [1.0, -4 + sign * 8.2 * unit], dtype=dtype)


@pytest.mark.parametrize(
    ("exact", "data", "expected"),
    [
        ([], [], True),
        ([0.0, 0.0], [0.0, 0.0], True),
        ([0.0, 0.0], [5e-301, 0.0], True),
        ([0.0, 0.0], [1e-299, 0.0], False),
        ([1.0, INF], [1.0, INF], True),
        ([1.0, INF], [1 + 1.9e-7, INF], True),
        ([1.0, INF], [1 + 2.1e-7, INF], False),
        ([1.0, INF], [1.0, -INF], False),
        ([1.0, INF], [1.0, 5.0], False),
        ([1.0, 5.0], [1.0, INF], False),
        ([1.0, NAN], [1.0, NAN], True),
        ([1.0, NAN], [1.0, 2.0], False),
        ([1.0, 2.0], [1.0, NAN], False),
        ([NAN, NAN], [NAN, NAN], True),
        ([-INF], [-INF], True),
    ],
)
def test_what_is_no_finite_number_has_to_be_the_same(exact, data, expected):
    assert agree(exact, data) is expected


TERMS = np.array([3.0, -3.0])


@pytest.mark.parametrize(
    ("name", "operands", "roundings"),
    [
        ("sum", [TERMS], 8 * 3 * 2),
        ("sum", [-TERMS], 8 * 3 * 2),
        ("subtract", [TERMS, np.array(5.0)], 8 * 5 * 2),
        ("add.reduce", [np.array([3, -3, 1])], 8 * 3 * 3),
        ("matmul", [TERMS, np.array([0.5, 5.0, 1.0])], 8 * 15 * 3),
        ("average", [TERMS, np.array([2.0])], 8 * 6 * 2),
        ("sum", [np.array([3.0, -3.0, INF])], 8 * 3 * 3),
        ("sum", [np.array([INF, NAN])], 0),
        ("sum", [np.array([])], 0),
        ("sum", [np.array([True, False])], 0),
        ("sum", [np.array(["a", "b"]), TERMS], 8 * 3 * 2),
        ("sum", [], 0),
        ("exp", [TERMS], 0),
        ("maximum", [TERMS], 0),
    ],
)
def test_what_is_left_of_terms_that_cancel_may_be_rounding(name, operands, roundings):
    traced = [torch.tensor(o, requires_grad=True) if o.dtype == np.float64 else o for o in operands]
    for given in (operands, traced):
        assert agree([0.0], [max(0.97 * roundings * EPS, 1e-301)], name, given)
        assert not agree([0.0], [max(1.03 * roundings * EPS, 1e-299)], name, given)


def test_the_roundings_are_those_of_the_dtype():
    assert agree([0.0], [47 * 2.0**-23], "sum", [TERMS], "float32")
    assert not agree([0.0], [49 * 2.0**-23], "sum", [TERMS], "float32")
