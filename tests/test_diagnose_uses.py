"""What each use of a parameter adds to its gradient, and what it would be with another value."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_directions import after, of
from test_diagnose_patterns import evidence
from test_diagnose_places import operation

from gradcheck.diagnose import probe as probing
from gradcheck.diagnose import probes, repeated
from gradcheck.diagnose.evidence import Evidence
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.graph import Graph, graph_of
from gradcheck.diagnose.operations import derivative_in_words, is_elementwise
from gradcheck.diagnose.plan import _local
from gradcheck.diagnose.probe import Probe, Use, explains, other_factor
from gradcheck.diagnose.probes import (
    _factors,
    _reader,
    lost_duplicates,
    missing_factors,
    probe_findings,
    scaled_by_result,
    stale_cotangents,
    stale_factors,
    wrong_sums,
)
from gradcheck.diagnose.repeated import _added, _by_expression, _readings
from gradcheck.tracing import trace

W, B, ARRAY = ("parameter", "W"), ("parameter", "b"), ("constant", "array")
draw = np.random.default_rng(31).normal
X, Y, T = draw(size=(5, 3)), draw(size=(5, 3)), draw(size=(5, 2))
P = draw(size=(3, 2))


def asked(look, loss, claimed, *, left=float("inf"), integers=None, **values):
    """What one look says of a claimed gradient of the first parameter."""
    name = next(iter(values))
    traced = trace(loss, (), values, values)
    right = traced.backward()
    known = Evidence(
        names=tuple(values), values=values, analytic=right | {name: claimed}, reference=right,
        uncertainty={k: np.full(v.shape, 1e-12) for k, v in values.items()},
        failing={name: np.ones(claimed.shape, bool)}, integer_arrays=integers or {}, trace=traced,
    )  # fmt: skip
    probe = Probe(traced, graph_of(traced), traced.cotangents(), left)
    return look(known.facts[name], known, probe)


# One parameter after the other, one look after the other

LOOKS = ("wrong_sums", "lost_duplicates", "overwritten", "stale_factors", "stale_cotangents",
         "stale_in_loop", "missing_factors", "scaled_by_result")  # fmt: skip


def looked(monkeypatch, *, explaining=None, names="Wb", most=None, spend=0):
    made = []

    def look(name):
        def run(facts, _, probe):
            made.append((facts.name, name))
            probe.left -= spend
            found = Finding(name, (facts.name,), "", "", "exact", 1)
            return found if (facts.name, name) == explaining else None

        return run

    for name in LOOKS:
        home = repeated if name in ("overwritten", "stale_in_loop") else probes
        monkeypatch.setattr(home, name, look(name))
    ones = {"W": np.ones(3), "b": np.ones(2)}
    given = SimpleNamespace(value=None, pull=None, local=None, cotangents=dict)
    known = evidence(ones, ones, ones, trace=given)
    found, stopped = probe_findings(known, Graph(()), frozenset(names), most=most)
    return made, [one.parameters[0] for one in found], stopped


def test_each_parameter_is_looked_at_until_something_explains_it(monkeypatch):
    each = [(name, look) for name in "Wb" for look in LOOKS]
    assert looked(monkeypatch) == (each, [], False)
    assert looked(monkeypatch, names="b") == (each[8:], [], False)
    made, found, _ = looked(monkeypatch, explaining=("W", "overwritten"))
    assert (made, found) == (each[:3] + each[8:], ["W"])


@pytest.mark.parametrize(("most", "stopped"), [(None, False), (16, False), (15, True)])
def test_it_is_said_where_there_was_more_to_try(monkeypatch, most, stopped):
    assert looked(monkeypatch, most=most, spend=1)[2] is stopped


def test_without_values_and_cotangents_nothing_is_looked_at():
    ones = {"W": np.ones(3)}
    assert probe_findings(evidence(ones, ones, ones), Graph(()), frozenset("W")) == ([], False)


# Uses, counted


class Handing:
    """A trace that hands each operand what it is given."""

    def local(self, index, c):
        return (None, c) if index == 3 else (c, c)

    def operand_values(self, index):
        return (np.zeros(3), np.ones(3))


def probe(*operations, left=float("inf"), cotangents=range(9)):
    made = {index: np.full(3, index + 1.0) for index in cotangents}
    return Probe(Handing(), Graph(tuple(operations)), made, left)


READS = (of(0, "add", W, B), of(1, "add", B, W), of(2, "exp", B), of(3, "add", W, W))


def used(made, name="W"):
    return [(use.operation.index, use.operand, use.contribution[0]) for use in made.uses(name)]


def test_the_uses_of_a_parameter():
    assert used(probe(*READS)) == [(0, 0, 1.0), (1, 1, 2.0), (3, 1, 4.0)]
    assert used(probe(*READS), "b") == [(0, 1, 1.0), (1, 0, 2.0), (2, 0, 3.0)]
    assert used(probe(*READS, cotangents=(1, 2))) == [(1, 1, 2.0)]


@pytest.mark.parametrize(
    ("kept", "left", "count", "then"),
    [(12, 99.0, 3, 99.0), (11, 99.0, 0, -1), (11, float("inf"), 3, float("inf"))],
)
def test_uses_that_take_too_much_room_are_left_out_where_numbers_count(
    monkeypatch, kept, left, count, then
):
    """Four readings of three numbers, of which one has no gradient."""
    monkeypatch.setattr(probing, "MOST_KEPT", kept)
    made = probe(*READS, left=left)
    assert (len(made.uses("W")), made.left) == (count, then)


def test_gradients_are_tried_as_long_as_their_numbers_fit():
    ones = {"W": np.ones(3)}
    facts = evidence(ones, ones, ones).facts["W"]
    made = probe(left=6)
    assert [made.may_try(facts) for _ in range(3)] == [True, True, False]
    assert all(probe().may_try(facts) for _ in range(9))


def test_runs_of_a_long_loop_are_no_single_uses():
    loop = [of(k, "exp", W, line=4) for k in range(4)]
    made = probe(*loop, of(4, "exp", W, line=5))
    assert [use.operation.index for use in made.single_uses("W")] == [4]
    assert [one.index for one in made.outside_long_loops()] == [4]
    assert [one.index for one in probe(*loop[:3]).of_shape((3,))] == [0, 1, 2]
    assert list(made.of_shape((2,))) == []


@pytest.mark.parametrize(
    ("name", "inputs", "operand", "expected"),
    [("multiply", (W, B), 0, 1.0), ("matmul", (B, W), 1, 0.0), ("dot", (W, B), 0, 1.0),
     ("add", (W, B), 0, None), ("divide", (W, B), 0, None), ("multiply", (W, B, B), 0, None)],
)  # fmt: skip
def test_the_other_factor_of_a_product(name, inputs, operand, expected):
    use = Use(of(0, name, *inputs), operand, np.ones(3), np.ones(3))
    found = other_factor(use, probe(use.operation))
    assert found is None if expected is None else (found == expected).all()


@pytest.mark.parametrize(("off", "grade"), [(4.1e-9, "likely"), (3.9e-9, None)])
def test_a_change_within_the_tolerance_explains_nothing(off, grade):
    right = np.ones(3)
    facts = evidence({"W": right + off}, {"W": right}, {"W": right}).facts["W"]
    assert explains(facts, np.full(3, off)) == grade
    large = evidence({"W": right + 1.0}, {"W": right}, {"W": right}).facts["W"]
    assert explains(large, np.ones(3)) == "exact"


def test_pieces_are_added_where_all_are_there():
    one, two = np.ones(3), np.full(3, 2.0)
    np.testing.assert_array_equal(_added([one, two]), [3, 3, 3])
    assert _added([one, None]) is None
    assert _added([None]) is None
    assert _added([one, np.ones(2)]) is None
    assert _added([np.ones(2), one]) is None


def test_uses_of_one_expression_go_together():
    reads = [of(0, "add", W, W, line=4), of(1, "add", W, W, line=4), of(2, "exp", W, line=5)]
    uses = [
        Use(o, operand, np.ones(3), np.ones(3)) for o in reads for operand in range(len(o.inputs))
    ]
    groups = [
        [(use.operation.index, use.operand) for use in group]
        for group in _by_expression(uses, Graph(tuple(reads)))
    ]
    assert groups == [[(0, 0), (1, 0)], [(0, 1), (1, 1)], [(2, 0)]]


@pytest.mark.parametrize(
    ("name", "count", "most", "causes"),
    [
        ("add", 2, 6, ["term_missing"]), ("add", 2, 5, []), ("add", 1, 99, []),
        ("add", 3, 9, ["term_missing"]), ("add", 3, 8, []),
        ("getitem", 2, 18, ["term_missing", *["duplicate_indices"] * 2]),
        ("getitem", 2, 17, ["term_missing"]), ("getitem", 1, 9, ["duplicate_indices"] * 2),
        ("getitem", 1, 8, []),
    ],
)  # fmt: skip
def test_contributions_are_kept_one_by_one_where_there_is_room(
    monkeypatch, name, count, most, causes
):
    """Each adds three numbers; a look-up takes three of them."""
    monkeypatch.setattr(repeated, "MOST_ENTRIES", most)
    reads = [of(k, name, W, line=4) for k in range(count)]
    made = probe(*reads)
    assert [cause for cause, _ in _readings(made.uses("W"), made)] == causes


# Sums and look-ups


def shifted(b, X):
    return np.sum(np.sin(X + b) * Y)


def test_a_sum_in_another_place_is_none():
    b = draw(size=3)
    slopes = np.cos(X + b) * Y
    wrong = asked(wrong_sums, shifted, slopes[-1], b=b, X=X)
    assert (wrong.cause, wrong.parameters) == ("wrong_axis", ("b",))
    assert "taken from the last index of axis 0 alone" in wrong.message
    assert asked(wrong_sums, shifted, slopes[2], b=b, X=X) is None
    assert asked(wrong_sums, lambda b, X: np.sum(np.exp(b)), slopes[-1], b=b, X=X) is None


def twice(E):
    first = np.sin(E[IDX]) * T
    second = np.cos(E[IDX]) * T
    return np.sum(first) + np.sum(second)


IDX = np.array([0, 2, 2, 1, 0])


def added(*parts):
    total = np.zeros((4, 2))
    for part, whole in parts:
        if whole:
            np.add.at(total, IDX, part)
        else:
            total[IDX] += part
    return total


@pytest.mark.parametrize(
    ("first", "second", "also"), [(False, True, 0), (True, False, 0), (False, False, 1)]
)
def test_one_look_up_or_all_of_them_lose_what_is_named_twice(first, second, also):
    E = draw(size=(4, 2))
    parts = (np.cos(E[IDX]) * T, first), (-np.sin(E[IDX]) * T, second)
    found = asked(lost_duplicates, twice, added(*parts), integers={"idx": IDX}, E=E)
    assert (found.cause, found.confidence, len(found.also)) == ("duplicate_indices", "exact", also)
    if not also:
        assert ("sin" if second else "cos") in found.message or found.location is not None


def test_other_indices_lose_something_else():
    E = draw(size=(4, 2))
    claimed = added((np.cos(E[IDX]) * T, False), (-np.sin(E[IDX]) * T, True))
    for other in ([0, 1, 1, 3, 0], [0, 2, 2, 1, 9], [0, 1]):
        known = {"other": np.array(other)}
        assert asked(lost_duplicates, twice, claimed, integers=known, E=E) is None
    both = {"other": np.array([0, 2, 2, 1, 9]), "idx": IDX}
    assert asked(lost_duplicates, twice, claimed, integers=both, E=E).cause == "duplicate_indices"
    # two tables of eight numbers may be tried, and one is not enough
    assert asked(lost_duplicates, twice, claimed, integers={"idx": IDX}, left=16, E=E)
    assert asked(lost_duplicates, twice, claimed, integers={"idx": IDX}, left=15, E=E) is None


# Values and gradients of another place


def layers(V, W):
    H = np.tanh(X @ W)
    R = H * Y
    return np.sum(np.sin(R @ V) * T)


def layer_parts(V, W):
    H = np.tanh(X @ W)
    c = np.cos(H * Y @ V) * T
    return H, H * Y, c


def weights():
    return {"V": draw(size=(3, 2)), "W": draw(size=(3, 3))}


def test_another_value_or_gradient_of_the_same_shape():
    given = weights()
    H, R, c = layer_parts(**given)
    found = asked(stale_factors, layers, H.T @ c, **given)
    assert (found.cause, found.parameters, len(found.also)) == ("stale_value", ("V",), 1)
    assert "np.tanh(X @ W)" in found.message
    assert asked(stale_factors, layers, (H + 1).T @ c, **given) is None
    # X @ W, tanh and its product with Y: the second is it, each with six numbers to try
    assert asked(stale_factors, layers, H.T @ c, left=12, **given)
    assert asked(stale_factors, layers, H.T @ c, left=11, **given) is None
    before = T  # the gradient by the sine
    found = asked(stale_cotangents, layers, R.T @ before, **given)
    assert (found.cause, found.parameters) == ("stale_value", ("V",))
    assert asked(stale_cotangents, layers, R.T @ (before + 1), **given) is None
    assert asked(stale_cotangents, layers, R.T @ before, left=6, **given)
    assert asked(stale_cotangents, layers, R.T @ before, left=5, **given) is None


def weighted(W, V):
    S = np.exp(X @ V / 3)
    return np.sum((X @ W) * S)


def test_a_factor_that_is_left_out():
    W, V = draw(size=(3, 3)), draw(size=(3, 3))
    S = np.exp(X @ V / 3)
    found = asked(missing_factors, weighted, X.T @ np.ones_like(S), W=W, V=V)
    assert (found.cause, found.confidence) == ("factor_missing", "exact")
    assert "multiply by" in found.message
    assert asked(missing_factors, weighted, X.T @ S**2, W=W, V=V).message.count("divide by") == 1
    assert asked(missing_factors, weighted, X.T @ (S + 1), W=W, V=V) is None

    def two(W, V):
        return weighted(W, V) + np.sum(W)

    # of two uses nobody says which
    assert asked(missing_factors, two, X.T @ np.ones_like(S) + 1, W=W, V=V) is None


def test_a_whole_gradient_without_a_factor():
    v, w = draw(size=3), draw(size=3)

    def loss(v, w):
        return np.sum(np.sin(v) * np.exp(w))

    right = np.cos(v) * np.exp(w)
    found = asked(scaled_by_result, loss, right / np.exp(w), v=v, w=w)
    assert (found.cause, found.parameters) == ("factor_missing", ("v",))
    assert "does not multiply by" in found.message
    assert (
        "does not divide by" in asked(scaled_by_result, loss, right * np.exp(w), v=v, w=w).message
    )
    assert asked(scaled_by_result, loss, right + 1, v=v, w=w) is None


class Results(Handing):
    def __init__(self, *values):
        self.values = values

    def value(self, index):
        return np.asarray(self.values[index], float)


def test_results_that_may_be_factors():
    values = ([2.0, 4.0, 8.0], 3.0, [1.0, 0.0, 1.0], [1.0, 2.0], [[5.0], [6.0]])
    operations = [
        operation(k, "exp", [W], [(3,)], np.shape(v), line=k + 1) for k, v in enumerate(values)
    ]
    made = Probe(Results(*values), Graph(tuple(operations)), {})
    found = [(o.index, words, factor.ravel()[0]) for o, factor, words in _factors(made, (2, 3))]
    assert found == [(0, "divide", 2.0), (0, "multiply", 0.5), (4, "divide", 5.0),
                     (4, "multiply", 0.2)]  # fmt: skip
    assert [o.index for o, _, _ in _factors(made, (3,))] == [0, 0]


def test_the_product_that_reads_a_factor():
    made = probe(of(0, "exp", W), of(1, "add", after(0)), of(2, "multiply", after(0)),
                 of(3, "divide", after(0)))  # fmt: skip
    assert _reader(made, made.graph.operations[0]).index == 2
    assert _reader(made, made.graph.operations[3]).index == 3
    plain = probe(of(0, "exp", W), of(1, "add", after(0)))
    assert _reader(plain, plain.graph.operations[0]).index == 0


# Which alterations an operation has


def local(name, *inputs, shapes=None, output=(3,)):
    shapes = [(3,)] * len(inputs) if shapes is None else shapes
    made = operation(0, name, inputs, shapes, output)
    return [
        (kind, alteration.kind, alteration.operand)
        for kind, alteration in _local(made, Graph((made,)))
    ]


ONE = ("identity", "identity", None)


@pytest.mark.parametrize(
    ("name", "inputs", "expected"),
    [
        ("tanh", (W,), [ONE, ("twice", "twice", 0)]),
        ("maximum", (W, ARRAY), [ONE]),
        ("maximum", (W, B), [("identity", "identity", 0), ("identity", "identity", 1)]),
        ("multiply", (ARRAY, W), [ONE, ("twice", "twice", 1)]),
        ("multiply", (W, B), [("identity", "identity", 0), ("identity", "identity", 1),
                              ("twice", "twice", 0), ("twice", "twice", 1)]),
        ("max", (W,), [ONE]),
        ("max", (W, B), []),
        ("add", (W, B), []),
        ("setitem", (W, B), [("identity", "identity", 0)]),
        ("setitem", (ARRAY, W), []),
        ("matmul", (W, B), [("transpose", "transpose_operand", 0),
                            ("transpose", "transpose_operand", 1)]),
        ("matmul", (ARRAY, B), [("transpose", "transpose_operand", 1)]),
    ],
)  # fmt: skip
def test_the_alterations_of_an_operation(name, inputs, expected):
    assert local(name, *inputs) == expected


def test_only_an_operand_of_the_results_shape_gets_its_gradient_unchanged():
    wide = [(4, 3), (3,)]
    assert local("multiply", W, B, shapes=wide, output=(4, 3)) == [
        ("identity", "identity", 0), ("twice", "twice", 0),
    ]  # fmt: skip
    assert local("setitem", W, B, shapes=[(2,), (3,)]) == []
    both = local("multiply", W, B, shapes=[(4, 1), (3,)], output=(4, 3))
    assert both == [("twice", "twice", 0), ("twice", "twice", 1)]


def test_a_constant_number_as_a_factor_is_a_matter_of_scale():
    def product(kind, shape, name="multiply"):
        return operation(0, name, [W, (kind, "2.0")], [(3,), shape], (3,))

    assert not is_elementwise(product("constant", ()))
    assert not is_elementwise(product("constant", (1,), "divide"))
    assert is_elementwise(product("constant", ()), varies=True)
    assert is_elementwise(product("constant", (3,)))
    assert is_elementwise(product("parameter", ()))
    assert not is_elementwise(product("constant", (3,), "add"), varies=True)
    assert derivative_in_words(product("constant", (3,))) == "the other factor"
    assert derivative_in_words(product("constant", (3,), "divide")) == "1 over the divisor"
    assert derivative_in_words(of(0, "square", W)) == "2 z"
    assert derivative_in_words(of(0, "where", W)) == "the condition's mask"
