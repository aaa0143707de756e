"""What a trace notes of each operation, and what it does not lose or take for known."""

import functools
import importlib
import math
import operator

import numpy as np
import pytest

from gradcheck.errors import UsageError
from gradcheck.tracing import NotTraceable, trace
from gradcheck.tracing.memory import Shadow
from gradcheck.tracing.recorder import Recorder, _has_floats
from gradcheck.tracing.sites import Sites
from gradcheck.tracing.source import Rebuilder

V = np.array([0.7, -1.4, 0.25, 1.8])
A = np.array([[0.3, -1.2, 0.7], [1.5, 0.4, -0.6]])


def recorded(loss, *arrays):
    named = {str(k): np.array(array) for k, array in enumerate(arrays)}
    return trace(loss, tuple(named.values()), {}, named)


def operation(loss, *arrays, name):
    return next(op for op in recorded(loss, *arrays).operations if op.name == name)


@pytest.mark.parametrize(
    ("loss", "name", "inputs", "shapes"),
    [
        (lambda v: np.sum(v * 2), "multiply", (("parameter", "0"), ("constant", "2")), ((4,), ())),
        (lambda v: np.sum(v * [1, 2, 0.5, 4]), "multiply",
         (("parameter", "0"), ("constant", "array (4,)")), ((4,), (4,))),
        (lambda v: np.sum((1, 2, 0, True) - v), "subtract",
         (("constant", "array (4,)"), ("parameter", "0")), ((4,), (4,))),
        (lambda v: np.sum(v * [v[0], 2.0, v[1], v[2]]), "multiply",
         (("parameter", "0"), ("operation", 3)), ((4,), (4,))),
        (lambda v: np.sum(0.5 * v), "multiply",
         (("constant", "0.5"), ("parameter", "0")), ((), (4,))),
        (lambda v: np.sum(v * np.float64(0.5)), "multiply",
         (("parameter", "0"), ("constant", "0.5")), ((4,), ())),
        (lambda v: np.sum(True * v), "multiply",
         (("constant", "True"), ("parameter", "0")), ((), (4,))),
        (lambda v: np.sum(v + np.ones(4)), "add",
         (("parameter", "0"), ("constant", "array (4,)")), ((4,), (4,))),
        (lambda v: np.sum(np.maximum(0, v)), "maximum",
         (("constant", "0"), ("parameter", "0")), ((), (4,))),
        (lambda v: np.sum(np.stack([v, np.ones(4)])), "stack",
         (("parameter", "0"), ("constant", "array (4,)")), ((4,), (4,))),
        (lambda v: np.sum(v.sum(axis=0) * v), "sum", (("parameter", "0"),), ((4,),)),
        (lambda v: np.sum(np.exp(v) * np.floor(v)), "multiply",
         (("operation", 0), ("constant", "array (4,)")), ((4,), (4,))),
        (lambda v: np.sum(np.where(v > 0, v, 1.0)), "where",
         (("constant", "array (4,)"), ("parameter", "0")), ((4,), (4,))),
    ],
)  # fmt: skip
def test_inputs_are_named(loss, name, inputs, shapes):
    found = operation(loss, V, name=name)
    assert found.inputs == inputs
    assert found.input_shapes == shapes


@pytest.mark.parametrize(
    ("loss", "name", "keywords"),
    [
        (lambda a: np.sum(np.sum(a, 1)), "sum", {"axis": 1}),
        (lambda a: np.sum(np.sum(a, axis=(0, 1), keepdims=True)), "sum",
         {"axis": (0, 1), "keepdims": True}),
        (lambda a: np.sum(a.mean(0, keepdims=True)), "mean", {"axis": 0, "keepdims": True}),
        (lambda a: np.sum(np.linalg.norm(a, "fro")), "norm", {"ord": "fro"}),
        (lambda a: np.sum(np.sum(a, axis=None, dtype=None)), "sum", {}),
        (lambda a: np.sum(np.sum(a, 0, where=a > 0)), "sum", {"axis": 0}),
        (lambda a: np.sum(np.std(a, 1, ddof=0.5)), "std", {"axis": 1}),
        (lambda a: np.sum(np.nanmean(a, 1)), "nanmean", {"axis": 1}),
        (lambda a: np.sum(np.hypot(*a)), "hypot", {}),
        (lambda a: np.sum(np.add.reduce(a, 1)), "add.reduce", {"axis": 1}),
        (lambda a: np.sum(a * 2), "multiply", {}),
    ],
)  # fmt: skip
def test_arguments_that_are_plain_are_kept_by_name(loss, name, keywords):
    assert dict(operation(loss, A, name=name).keywords) == keywords


@pytest.mark.parametrize(
    ("turned", "name"),
    [
        (lambda c: c.transpose(1, 2, 0), "transpose"), (lambda c: c.transpose(), "transpose"),
        (lambda c: c.transpose((2, 0, 1)), "transpose"), (lambda c: c.transpose(None), "transpose"),
        (lambda c: np.transpose(c, (1, 0, 2)), "transpose"), (lambda c: c.T, "transpose"),
        (lambda c: np.swapaxes(c, 0, 2), "swapaxes"), (lambda c: c.swapaxes(1, 2), "swapaxes"),
        (lambda c: np.moveaxis(c, 0, -1), "moveaxis"), (lambda c: np.squeeze(c[:, :1]), "squeeze"),
        (lambda c: np.expand_dims(c, 1), "expand_dims"), (lambda c: c.reshape(4, 6), "reshape"),
        (lambda c: np.broadcast_to(c[0], (2, 3, 4)), "broadcast_to"),
        (lambda c: np.diagonal(c, 0, 1, 2), "diagonal"), (lambda c: c.ravel(), "ravel"),
        (lambda c: np.flip(c, 1), "flip"), (lambda c: c[1], "getitem"),
    ],
)  # fmt: skip
def test_a_view_is_an_operation_of_its_own(turned, name):
    c = np.arange(24.0).reshape(2, 3, 4)
    traced = recorded(lambda c: np.sum(np.sin(turned(c))), c)
    names = [op.name for op in traced.operations]
    assert names[-3:] == [name, "sin", "sum"]
    assert traced.operations[-3].output_shape == turned(c).shape


def test_what_is_made_of_constants_need_not_be_covered():
    def loss(v):
        share = np.quantile(np.arange(4.0), 0.3, method="hazen")
        hidden = np.sum(np.abs(np.linalg.eig(np.diag([1.0, 2.0]))[0]))
        return np.sum(v * share) * hidden

    assert len(recorded(loss, V).operations) == 3


def test_amax_has_the_name_of_max():
    assert [op.name for op in recorded(lambda a: np.amax(a) + np.amin(a), A).operations] == [
        *("max", "min", "add"),
    ]


@pytest.mark.parametrize("depth", [1, 2, 4, 7])
def test_values_in_nested_lists_are_found(depth):
    def nested(v):
        value = [v[0] * 2, v[1]]
        for _ in range(depth - 1):
            value = [value]
        return np.sum(np.array(value) ** 2)

    gradient = recorded(nested, V).backward()["0"]
    np.testing.assert_allclose(gradient, [8 * V[0], 2 * V[1], 0, 0], rtol=1e-14)


# What is lost


def recorder_with(array):
    import torch

    recorder = Recorder(torch)
    leaf = torch.from_numpy(array.copy()).requires_grad_(True)
    recorder.track(array, Shadow(leaf, ("parameter", "v")))
    return recorder


REASON = NotTraceable("unknown", None, "its derivative is not known")


def is_lost(recorder, value):
    shadow = recorder.shadow(value)
    return shadow is not None and shadow.lost is REASON


def test_of_what_unknown_code_returns_all_floats_are_lost():
    recorder = recorder_with(V.copy())
    numbers, whole, words = [np.float64(0.5), 0.25], np.arange(3), "text"
    tree = {"a": (numbers[0], [numbers[1]]), "b": {np.float64(1.5)}, "c": whole, "d": words}
    recorder.lose(tree, REASON)
    assert is_lost(recorder, numbers[0])
    assert is_lost(recorder, numbers[1])
    (inside,) = tree["b"]
    assert is_lost(recorder, inside)
    assert recorder.shadow(whole) is None


def test_what_is_known_stays_known_unless_it_was_overwritten():
    v, other = V.copy(), np.ones(3)
    recorder = recorder_with(v)
    recorder.lose([v, other], REASON)
    assert not is_lost(recorder, v)
    assert is_lost(recorder, other)
    recorder.lose(v, REASON, wrote=True)
    assert is_lost(recorder, v)


def test_what_was_handed_in_may_be_handed_back():
    recorder, other, inner = recorder_with(V.copy()), np.ones(3), np.ones(2)
    recorder.lose([other, (inner,)], REASON, known=frozenset({id(other)}))
    assert recorder.shadow(other) is None
    assert is_lost(recorder, inner)


@pytest.mark.parametrize("depth", [1, 5, 9])
def test_containers_are_searched_to_any_depth(depth):
    recorder, value = recorder_with(V.copy()), np.ones(2)
    tree = value
    for _ in range(depth):
        tree = [tree]
    recorder.lose(tree, REASON)
    assert is_lost(recorder, value)


def test_an_array_that_changed_behind_the_trace_is_lost():
    v = V.copy()
    recorder = recorder_with(v)
    recorder.check_unchanged(v, REASON)
    assert not is_lost(recorder, v)
    recorder.check_unchanged([v], REASON)
    v[0] = 9.0
    recorder.check_unchanged(v, REASON)
    assert is_lost(recorder, v)


def test_of_an_object_of_a_library_what_it_hands_out_is_lost():
    recorder = recorder_with(V.copy())
    made, own, plain = np.random.default_rng(0), Rebuilder(), np.dtype(float)
    for value in (made, own, plain):
        recorder.lose(value, REASON)
    assert recorder.hidden_in(made) is REASON
    assert recorder.hidden_in(own) is None
    assert recorder.hidden_in(plain) is None
    assert recorder.hidden_in(np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.ones(2), True), (np.ones(2, complex), True), (np.float32(1), True), (1.0, True),
        (1j, True), (np.arange(2), False), (np.array([True]), False), (np.int64(3), False),
        (3, False), ("text", False), (None, False), ([], False), ([1, "a"], False),
        ([1, (2, [3.0])], True), ((np.arange(2), 3), False), (np.array([1, None]), True),
    ],
)  # fmt: skip
def test_what_may_depend_on_a_parameter_holds_floats(value, expected):
    assert _has_floats(value) is expected


def test_an_array_without_entries_has_no_tensor():
    recorder, v = recorder_with(V.copy()), V.copy()
    empty = v[:0]
    recorder.track(empty, Shadow(None, ("constant", "")))
    assert recorder.shadow(empty) is None
    assert not recorder.is_tracked(empty)
    assert recorder.memory(empty)[0] is None


def test_memory_that_is_gone_is_forgotten():
    import gc

    array = V.copy()
    recorder = recorder_with(array)
    number = id(array)
    assert number in recorder._memories
    del array
    gc.collect()
    assert number not in recorder._memories


def test_unknown_code_that_leaves_an_array_as_it_was():
    def loss(v, w):
        np.broadcast(v, w)
        return np.sum(v * np.where(np.isnan(w), 2.0, w))

    w = np.array([np.nan, 1.0, 3.0, np.nan])
    v = V.copy()
    found = trace(loss, (v, w), {}, {"v": v}).backward()["v"]
    np.testing.assert_array_equal(found, [2.0, 1.0, 3.0, 2.0])


@pytest.mark.parametrize("depth", [1, 4])
def test_what_unknown_code_hands_back_is_what_it_was_given(depth):
    def loss(v):
        box, same = [], v[:2] * 2
        for _ in range(depth):
            box = [box, same]
        found = operator.methodcaller("__getitem__", 1)(box)
        return np.sum(found * v[:2])

    found = recorded(loss, V).backward()["0"]
    np.testing.assert_allclose(found, [4 * V[0], 4 * V[1], 0, 0], rtol=1e-14)


def test_a_list_that_holds_itself_is_no_obstacle():
    def loss(v):
        ring, table = [v[0] * 1.0], {"v": v[1]}
        ring.append(ring)
        table["self"] = table
        count = operator.methodcaller("__len__")
        return v[2] * count(ring) * count(table)

    assert recorded(loss, V).backward()["0"].tolist() == [0.0, 0.0, 4.0, 0.0]


# Where


def test_the_innermost_frame_of_the_user_is_the_site():
    def helper(sites):
        return sites.here()

    found = helper(Sites())
    assert found.file == __file__
    assert found.function.endswith("helper")
    assert found.line == helper.__code__.co_firstlineno + 1
    assert (found.column, found.end_line) == (15, found.line)
    assert found.end_column == 15 + len("sites.here()")


def test_libraries_are_no_users_code():
    statistics, sites = importlib.import_module("scipy.stats"), Sites()
    assert sites._user_file(__file__)
    for module in (np, math, functools, statistics):
        file = getattr(module, "__file__", None)
        if file is not None:
            assert not sites._user_file(file)
    library = functools.__file__.removesuffix("functools.py")
    assert sites._user_file(f"{library}site-packages/mine/model.py")
    assert sites._user_file(f"{library}dist-packages/mine/model.py")
    assert not sites._user_file(f"{library}mine/model.py")


def test_code_of_a_library_alone_has_its_own_frame():
    space = {}
    library = functools.__file__.removesuffix("functools.py")
    exec(compile("def where(sites):\n    return sites.here()", f"{library}made.py", "exec"), space)
    sites = Sites()
    sites._is_user[__file__] = False
    seen = space["where"](sites)
    assert seen.file.startswith((library, __file__)) or seen.line > 0


# Parameters


@pytest.mark.parametrize("value", [np.arange(3), np.array([1j]), np.array(["a"]), 3, "a", None])
def test_only_floats_are_parameters(value):
    kind = getattr(value, "dtype", type(value).__name__)
    with pytest.raises(UsageError, match=f"parameter w is {kind}: pass a float array"):
        trace(lambda w: 1.0, (value,), {}, {"w": value})


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda v: v * 2, r"loss: it has shape \(4,\); a loss is one number"),
        (lambda v: v[:0], r"it has shape \(0,\)"),
        (lambda v: v[0] * 1j, "it is complex; a loss is one real number"),
    ],
)
def test_a_loss_is_one_real_number(loss, words):
    with pytest.raises(NotTraceable, match=words):
        recorded(loss, V)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_loss_of_one_entry_may_have_any_shape(shape):
    traced = recorded(lambda v: np.reshape(np.sum(v**2), shape), V)
    assert traced.loss == np.sum(V**2)
    np.testing.assert_allclose(traced.backward()["0"], 2 * V, rtol=1e-15)


def test_missing_numbers_in_a_parameter_are_put_back_only_if_it_changed():
    v = np.array([np.nan, 1.0, 2.0])
    v.flags.writeable = False
    traced = trace(lambda v: np.nansum(v**2), (v,), {}, {"v": v})
    np.testing.assert_array_equal(traced.backward()["v"][1:], [2.0, 4.0])
