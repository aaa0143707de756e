"""What is noted beside the numbers: places, names of arguments, which numbers are parameters."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradcheck
from gradcheck.errors import UsageError
from gradcheck.tracing import Alteration, trace
from gradcheck.tracing.numbers import _argument_names, with_own_numbers
from gradcheck.tracing.saturated import NEAR, exact_where_saturated
from gradcheck.tracing.sites import Sites

pytest.importorskip("torch")

V = np.array([0.5, -2.0])
HERE = str(Path(gradcheck.__file__).parent)


def traced_of(loss: Any, **parameters: Any) -> Any:
    values = {name: np.array(value) for name, value in parameters.items()}
    return trace(loss, (), values, values)


# places


def through(call: Any, *files: str) -> Any:
    """What ``call`` returns, called by a function in the first file, called by the next ..."""
    for file in files:
        space: dict[str, Any] = {"inner": call}
        exec(compile("def outer():\n    return inner()", file, "exec"), space)
        call = space["outer"]
    return call()


@pytest.mark.parametrize(
    ("files", "own"),
    [
        (["/home/me/model.py"], False),
        ([f"{HERE}/oracles/made.py"], True),
        ([f"{HERE}/oracles/made.py", "/home/me/model.py"], True),
        (["/home/me/model.py", f"{HERE}/oracles/made.py"], False),
        ([f"{HERE}/tracing/made.py", f"{HERE}/oracles/made.py"], True),
        ([f"{HERE}/diagnose/made.py", f"{HERE}/oracles/made.py"], True),
        ([f"{HERE}/tracing/made.py"], False),
        ([f"{HERE}/diagnose/made.py", "/home/me/model.py"], False),
        ([f"{Path(np.__file__).parent}/made.py", f"{HERE}/oracles/made.py"], True),
        ([f"{Path(np.__file__).parent}/made.py"], False),
    ],
)
def test_arithmetic_of_the_check_itself_is_told_from_the_user_s(
    files: list[str], own: bool
) -> None:
    assert through(Sites().is_own, *files) is own


def test_where_there_is_no_code_of_the_user_the_innermost_library_is_the_place() -> None:
    sites = Sites()
    sites._libraries = ("",)
    assert not through(sites.is_own, "/library/made.py")
    files = [f"{HERE}/tracing/made.py", "/library/first.py", "/library/second.py"]
    found = through(sites.here, *files)
    assert (found.file, found.line, found.function) == ("/library/first.py", 2, "outer")


# names


def test_arguments_that_a_rule_takes_by_place_are_named() -> None:
    def loss(a: Any) -> Any:
        return np.sum(np.squeeze(np.sum(a, 1, None, None, True), 1))

    found = {op.name: dict(op.keywords) for op in traced_of(loss, a=np.ones((2, 3))).operations}
    assert found["squeeze"] == {}
    first = next(op for op in traced_of(loss, a=np.ones((2, 3))).operations if op.name == "sum")
    assert dict(first.keywords) == {"axis": 1, "keepdims": True}


def test_of_several_results_the_first_one_s_shape_is_told() -> None:
    def loss(a: Any) -> Any:
        values, vectors = np.linalg.eigh(a)
        return np.sum(values) + np.sum(vectors**2)

    traced = traced_of(loss, a=np.diag([1.0, 2.0, 3.0]))
    (found,) = (op for op in traced.operations if op.name == "eigh")
    assert found.output_shape == (3,)
    assert traced.n_results(found.index) == 2
    assert traced.value(found.index).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (lambda a, b, c: None, ["a", "b", "c"]),
        (lambda a: None, ["a", "argument_1", "argument_2"]),
        (lambda a, *others: None, ["a", "argument_1", "argument_2"]),
        (lambda a, b=1, *, c=2: None, ["a", "b", "c"]),
        (max, ["argument_0", "argument_1", "argument_2"]),
        (3, ["argument_0", "argument_1", "argument_2"]),
    ],
)
def test_arguments_have_the_names_of_the_signature(target: Any, names: list[str]) -> None:
    assert _argument_names(target, 3) == names


def test_an_alteration_is_known_without_its_arrays() -> None:
    one, other = (Alteration("slope", 1, slope=np.ones(k), rule=lambda c: c) for k in (2, 3))
    assert one == other
    assert len({one, other}) == 1
    assert one != Alteration("slope", 2)


# numbers


def test_equal_numbers_are_parameters_of_their_own() -> None:
    def loss(a: float, b: float, c: Any) -> Any:
        return a * 2.0 + b * 3.0 + c[0] * 5.0 + c[1] * a

    one = 1.0
    paths = {"x": "a", "y": "b", "z": "c[1]"}
    found = trace(loss, (one, one), {"c": [one, one]}, {}, scalars=paths)
    assert found.backward() == {"x": 3.0, "y": 3.0, "z": 1.0}


@pytest.mark.parametrize("value", [2, True, np.float32(2.0), np.int64(2), 2.0])
def test_a_number_of_any_kind_becomes_a_float(value: Any) -> None:
    (args, _, found) = with_own_numbers(lambda c: c, (value,), {}, {"x": "c"})
    assert type(found["x"]) is float
    assert args[0] is found["x"]
    assert found["x"] == value


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match="c is str, not a number"):
        with_own_numbers(lambda c: c, ("2",), {}, {"x": "c"})
    with pytest.raises(UsageError, match="no number at e, d"):
        with_own_numbers(lambda c: c, (2.0,), {}, {"y": "e", "z": "d", "x": "c"})


# saturated functions


@pytest.mark.parametrize(("distance", "exact"), [(0.9 * NEAR, True), (1.1 * NEAR, False)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_function_is_saturated_next_to_1(distance: float, exact: bool, sign: float) -> None:
    z = sign * np.arctanh(1.0 - distance)
    found = exact_where_saturated(traced_of(lambda v: np.sum(np.tanh(v)), v=[0.3, z]))
    assert bool(found) is exact
    if exact:
        np.testing.assert_allclose(found["v"], 1.0 / np.cosh([0.3, z]) ** 2, rtol=1e-12)


@pytest.mark.parametrize("shape", [(3, 2), (1, 2)])
def test_what_is_broadcast_on_its_way_out_is_left_as_it_is(shape: Any) -> None:
    def loss(v: Any) -> Any:
        out = np.zeros(shape)
        np.tanh(v, out=out)
        return np.sum(out)

    assert exact_where_saturated(traced_of(loss, v=[20.0, 0.5])) == {}


def test_of_a_masked_function_nothing_is_said() -> None:
    def loss(v: Any) -> Any:
        out = v * 1.0
        np.tanh(v, out=out, where=[True, False])
        return np.sum(out)

    assert exact_where_saturated(traced_of(loss, v=[20.0, 0.5])) == {}


# iteration


def test_which_arguments_are_taken_apart() -> None:
    def loss(v: Any) -> Any:
        first, last = max(v), min(v[0], v[1])
        ahead = iter(v)
        (second, one) = next(ahead), next(iter([]), v[1])
        return (
            first + last * 10.0 + second * 100.0 + one * 1000.0
            + sum(itertools.islice(v, 1)) * 1e4
            + sum(x * y for x, y in itertools.product(v, [1e5, 1e5]))
            + sum(x for x, _ in itertools.zip_longest(v, [0.0]))
            + next(itertools.repeat(v))[1]
            + sum(map(lambda x, y: x * y, [1.0, 2.0], v))
        )  # fmt: skip

    expected = [1.0 + 100.0 + 1e4 + 2e5 + 1.0 + 1.0, 10.0 + 1000.0 + 2e5 + 1.0 + 1.0 + 2.0]
    assert traced_of(loss, v=V).backward()["v"].tolist() == expected
