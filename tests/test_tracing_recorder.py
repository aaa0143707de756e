"""How an operation is recorded: what its rule returns is compared with what NumPy computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck.tracing.contract import Site
from gradcheck.tracing.errors import UnsupportedError
from gradcheck.tracing.memory import Shadow
from gradcheck.tracing.operation import Context, Recorded
from gradcheck.tracing.recorder import Recorder

torch = pytest.importorskip("torch")

V = np.array([0.5, -2.0])


@pytest.fixture
def recorder() -> Any:
    return Recorder(torch)


@pytest.fixture
def v(recorder: Any) -> Any:
    array = V.copy()
    leaf = torch.from_numpy(array.copy()).requires_grad_(True)
    recorder.track(array, Shadow(leaf, ("parameter", "v")))
    return array


def applied(recorder: Any, rule: Any, native: Any, *args: Any, **options: Any) -> Any:
    return recorder.shadow(recorder.apply("made", rule, native, args, {}, **options))


def doubled(value: Any) -> Any:
    return value * 2.0


def test_the_rule_s_result_is_the_value_s_shadow(recorder: Any, v: Any) -> None:
    found = applied(recorder, lambda context, x: x * 2.0, doubled, v)
    assert found.lost is None
    assert found.origin == ("operation", 0)
    assert found.tensor.tolist() == [1.0, -4.0]
    (operation,) = recorder.operations
    assert operation.inputs == [("parameter", "v")]
    assert len(operation.outputs) == 1


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (lambda context, x: (x * 2.0)[:1], "shape (1,) in torch, (2,) in NumPy"),
        (lambda context, x: x * 2.0 + 1e-3, "torch and NumPy disagree about its value"),
        (lambda context, x: (x * 2.0).detach(), "torch does not know its derivative"),
        (lambda context, x: x.no_such_method(), None),
        (lambda context, x: x.reshape(3), "shape '[3]' is invalid for input of size 2"),
    ],
)
def test_a_rule_that_fails_loses_the_value(recorder: Any, v: Any, rule: Any, words: Any) -> None:
    if words is None:
        with pytest.raises(AttributeError):
            applied(recorder, rule, doubled, v)
        return
    found = applied(recorder, rule, doubled, v)
    assert found.tensor is None
    assert (found.lost.operation, found.lost.message) == ("made", words)
    assert found.lost.site.file == __file__


@pytest.mark.parametrize("error", [TypeError, ValueError, RuntimeError, IndexError])
def test_of_what_a_rule_raises_the_first_line_is_told(recorder: Any, v: Any, error: Any) -> None:
    def rule(context: Any, x: Any) -> Any:
        raise error("first\nsecond\nthird")

    assert applied(recorder, rule, doubled, v).lost.message == "first"


def test_a_key_that_there_is_not_loses_the_value(recorder: Any, v: Any) -> None:
    found = applied(recorder, lambda context, x: {}["no such"], doubled, v)
    assert found.lost.message == "'no such'"


def off(number: float) -> Any:
    return lambda context, x: x * 2.0 + number


def cut(context: Any, x: Any) -> Any:
    return torch.cat([x * 2.0 + 1e-9, x])[:2]


def spread(context: Any, x: Any) -> Any:
    return torch.stack([x * 2.0 + 1e-9, x], 1)[:, 0]


@pytest.mark.parametrize("rule", [off(0.0), off(1e-9), cut, spread])
def test_both_agree_to_the_last_bit_in_the_end(recorder: Any, v: Any, rule: Any) -> None:
    found = applied(recorder, rule, doubled, v)
    assert found.tensor.tolist() == [1.0, -4.0]
    (slope,) = torch.autograd.grad(found.tensor.sum(), [recorder.shadow(v).tensor])
    assert slope.tolist() == [2.0, 2.0]


def test_what_is_no_number_stays_as_it_is(recorder: Any, v: Any) -> None:
    def native(value: Any) -> Any:
        return np.array([np.inf, value[1], np.nan])

    def rule(context: Any, x: Any) -> Any:
        wide = torch.stack([x[0] * np.inf, x[1] + 1e-9, x[0] * np.nan, x[0]])
        return wide[:3]

    assert applied(recorder, rule, native, v).tensor.tolist()[:2] == [np.inf, -2.0]


def test_a_result_without_a_derivative_is_no_result_of_the_operation(recorder: Any, v: Any) -> None:
    def native(value: Any) -> Any:
        return np.array([7.0]), value * 2.0, np.arange(2), value * 3.0

    first, second, counts, third = recorder.apply(
        "made", lambda context, x: (None, x * 2.0, x, x * 3.0), native, (v,), {}
    )
    assert recorder.shadow(first) is None
    assert recorder.shadow(counts) is None
    assert recorder.shadow(second).tensor.tolist() == [1.0, -4.0]
    assert recorder.shadow(third).tensor.tolist() == [1.5, -6.0]
    assert len(recorder.operations[0].outputs) == 2


def test_a_float32_result_of_a_float64_rule_is_of_float32(recorder: Any, v: Any) -> None:
    found = applied(
        recorder, lambda context, x: x * 2.0, lambda value: np.float32(2) * value.astype("f"), v
    )
    assert found.tensor.dtype == torch.float32


def test_what_is_written_shows_what_was_there_before(recorder: Any, v: Any) -> None:
    into = np.ones(2)
    seen: list[Any] = []

    def native(value: Any, out: Any) -> Any:
        out += value
        return out

    def rule(context: Any, x: Any, before: Any) -> Any:
        seen.append(before.copy())
        return x + torch.from_numpy(before)

    found = applied(recorder, rule, native, v, into, written=into)
    assert seen[0].tolist() == [1.0, 1.0]
    assert found.tensor.tolist() == into.tolist() == [1.5, -1.0]


def test_whole_numbers_that_come_of_it_have_no_shadow(recorder: Any, v: Any) -> None:
    assert applied(recorder, doubled, lambda value: np.argsort(value), v) is None
    assert not recorder.operations


@pytest.mark.parametrize("written", [False, True])
def test_what_is_lost_loses_what_is_made_of_it(recorder: Any, v: Any, written: bool) -> None:
    middle = recorder.apply("unknown", lambda context, x: x.reshape(3), doubled, (v,), {})
    out = v * 1.0 if written else None

    def native(value: Any) -> Any:
        return np.multiply(value, 3.0, out=out)

    found = applied(recorder, lambda context, x: x * 3.0, native, middle, written=out)
    assert found.lost.operation == "unknown"
    assert not recorder.operations


def test_numbers_are_known_by_their_identity(recorder: Any, v: Any) -> None:
    found = recorder.apply("made", lambda context, x: x.sum(), np.sum, (v,), {})
    assert recorder.is_tracked(found)
    assert not recorder.is_tracked(np.float64(found + 0.0))
    assert recorder.torch_dtype(1.5) is torch.float64
    assert recorder.torch_dtype(1.5j) is torch.complex128
    assert recorder.torch_dtype(np.float16(1)) is torch.float16


def test_an_array_is_put_together_where_it_was_written_last(recorder: Any, v: Any) -> None:
    tensor = recorder.shadow(v).tensor
    first = Shadow(tensor * 2.0, ("constant", ""))
    constant = Shadow(torch.ones(2), ("constant", ""))
    found = recorder.assemble([constant, first], lambda pieces: torch.cat(pieces))
    assert found.origin == ("operation", 0)
    assert recorder.operations[0].inputs == [("constant", "array"), ("constant", "")]
    assert recorder.operations[0].name == "assemble"
    assert recorder.operations[0].site.file == __file__
    found = recorder.assemble([constant, constant], lambda pieces: torch.cat(pieces))
    assert found.origin == ("constant", "")
    assert len(recorder.operations) == 1


# what a rule is given


@pytest.fixture
def context(recorder: Any) -> Any:
    return Context(recorder, Recorded("made", Site("", 1, "")), np.zeros(2))


def test_a_tensor_is_converted_only_where_that_is_asked_for(context: Any) -> None:
    single = torch.ones(2)
    assert context.tensor(single) is single
    assert context.tensor(single, torch.float32) is single
    assert context.tensor(single, torch.float64).dtype is torch.float64
    assert context.tensor(np.arange(2)).dtype is torch.int64
    assert context.tensor(np.arange(2), torch.float64).dtype is torch.float64
    assert context.tensor([1.0, 2.0]).tolist() == [1.0, 2.0]
    assert context.tensor(1 + 2j, torch.complex128).tolist() == 1 + 2j
    with pytest.raises(UnsupportedError, match="complex numbers are not covered"):
        context.tensor(1 + 2j, torch.float64)


def test_lists_that_hold_tensors_are_stacked(context: Any) -> None:
    number = torch.tensor(3.0, requires_grad=True)
    found = context.tensor([[1, number], (np.float32(2.0), 5.0)])
    assert found.dtype is torch.float64
    assert found.tolist() == [[1.0, 3.0], [2.0, 5.0]]
    assert found.requires_grad
    assert context.tensor([number], torch.float32).dtype is torch.float32


def test_a_factor_that_may_be_chosen_is_kept_with_its_choices(context: Any) -> None:
    content = torch.tensor([1.0, 0.0])
    assert context.weight(content, {}) is content
    assert context.ties == []
    weight = context.weight(content, {"low": torch.zeros(2)})
    assert weight is not content
    ((kept, choices),) = context.ties
    assert kept is weight
    assert choices["default"].tolist() == [1.0, 0.0]
    assert choices["default"] is not weight
    assert choices["low"].tolist() == [0.0, 0.0]
