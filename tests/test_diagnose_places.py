"""What a place says about a mistake: means, extremes, broadcasts, recurrences; names and order."""

import numpy as np
import pytest

from gradcheck.diagnose.factors import Factor
from gradcheck.diagnose.finding import Finding, merge, spoken
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.operations import _number
from gradcheck.diagnose.pairs import _ranked
from gradcheck.diagnose.places import (
    averaged,
    divides,
    is_last_run,
    is_recurrence,
    of_extreme,
    spreads,
)
from gradcheck.diagnose.plan import Trial
from gradcheck.diagnose.ranking import cover
from gradcheck.diagnose.sites import in_words, location
from gradcheck.tracing.contract import Alteration, Operation, Site

HERE = __file__
CUT = Alteration("constant")


def operation(index, name, inputs=(), shapes=(), output=(), line=1, column=0):
    site = Site(HERE, line, "loss", column, line, column + 5)
    return Operation(index, name, site, tuple(inputs), tuple(shapes), output, {})


def trial(*sites, operand=None, altered=None, runs="", n_runs=1):
    alterations = dict.fromkeys(sites if altered is None else altered, CUT)
    return Trial("cut", alterations, sites, operand, runs, n_runs)


def number(value, kind="plain", size=None):
    return Factor(value, str(value), kind, size)


def one(name, shape, output):
    return Graph((operation(0, name, [("parameter", "W")], [shape] if shape else [], output),))


@pytest.mark.parametrize(
    ("name", "shape", "output", "factor", "cause"),
    [
        ("mean", (6, 4), (4,), 6.0, "batch_not_divided"),
        ("mean", (6, 4), (4,), 1 / 6, "batch_divided_twice"),
        ("mean", (6, 4), (), 24.0, "batch_not_divided"),
        ("average", (3, 4), (4,), 3.0, "batch_not_divided"),
        ("nanmean", (3, 4), (4,), 1 / 3, "batch_divided_twice"),
        ("mean", (6, 4), (4,), 6.0 * (1 + 0.9e-9), "batch_not_divided"),
        ("mean", (6, 4), (4,), 6.0 * (1 + 1.1e-9), None),
        ("mean", (6, 4), (4,), 6.0 * (1 - 1.1e-9), None),
        ("mean", (6, 4), (4,), (1 + 0.9e-9) / 6, "batch_divided_twice"),
        ("mean", (6, 4), (4,), (1 + 1.1e-9) / 6, None),
        ("mean", (6, 4), (4,), (1 - 1.1e-9) / 6, None),
        ("mean", (6, 4), (4,), 4.0, None),
        ("mean", (2, 4), (4,), 2.0, None),  # 2 is more often a number than a size
        ("mean", (2, 4), (4,), 0.5, None),
        ("sum", (6, 4), (4,), 6.0, None),
        ("mean", None, (4,), 6.0, None),
        ("mean", (0,), (0,), 1.0, None),
    ],
)
def test_a_factor_that_is_how_many_a_mean_takes_together(name, shape, output, factor, cause):
    assert averaged(trial(0), number(factor), one(name, shape, output)) == cause


def test_every_place_of_the_same_effect_counts():
    graph = Graph(
        (
            operation(0, "exp", [("parameter", "W")], [(3,)], (3,)),
            operation(1, "mean", [("operation", 0)], [(3,)], ()),
        )
    )
    assert averaged(trial(0, 1), number(3.0), graph) == "batch_not_divided"
    assert averaged(trial(0), number(3.0), graph) is None
    assert divides(trial(0, 1), graph)
    assert not divides(trial(0), graph)


@pytest.mark.parametrize("name", ["divide", "true_divide", "average"])
def test_what_divides(name):
    assert divides(trial(0), one(name, (3,), (3,)))
    assert not divides(trial(0), one("multiply", (3,), (3,)))


@pytest.mark.parametrize(
    ("name", "shape", "output", "factor", "expected"),
    [
        ("max", (6, 4), (4,), 1 / 6, True),
        ("amin", (2, 4), (4,), 0.5, True),
        ("min", (6, 4), (), 1 / 24, True),
        ("max", (6, 4), (4,), (1 + 0.9e-9) / 6, True),
        ("max", (6, 4), (4,), (1 + 1.1e-9) / 6, False),
        ("max", (6, 4), (4,), (1 - 1.1e-9) / 6, False),
        ("max", (6, 4), (4,), 6.0, False),
        ("max", (4,), (4,), 1.0, False),
        ("mean", (6, 4), (4,), 1 / 6, False),
        ("max", None, (4,), 1 / 6, False),
    ],
)
def test_a_factor_that_spreads_an_extreme_evenly(name, shape, output, factor, expected):
    assert of_extreme(trial(0), number(factor), one(name, shape, output)) is expected


def broadcast(name="add", inputs=(("constant", "array"), ("parameter", "b")), small=(4,)):
    return Graph((operation(0, name, inputs, [(6, 4), small], (6, 4)),))


SIXTH = number(1 / 6, "inverse_size", 6)


def test_a_parameter_broadcast_along_as_many_as_a_factor_divides_by():
    assert spreads(0, trial(0), SIXTH, broadcast())
    assert spreads(0, trial(0), SIXTH, broadcast("subtract"))
    for graph in (
        broadcast("multiply"),
        broadcast(inputs=(("constant", "array"), ("constant", "array"))),
        broadcast(small=(1, 1)),
    ):
        assert not spreads(0, trial(0), SIXTH, graph)
    for factor in (None, number(1 / 6, "inverse_size"), number(6.0, "size", 6),
                   number(0.2, "inverse_size", 5), number(1 / 7, "inverse_size", 7)):  # fmt: skip
        assert not spreads(0, trial(0), factor, broadcast())
    same = Graph((operation(0, "add", [("parameter", "b")], [(4,)], (4,)),))
    assert not spreads(0, trial(0), number(1.0, "inverse_size", 1), same)


def test_an_operand_without_entries_is_broadcast_along_nothing():
    inputs = (("constant", "array"), ("parameter", "b"))
    graph = Graph((operation(0, "add", inputs, [(0, 4), (4,)], (0, 4)),))
    assert not spreads(0, trial(0), SIXTH, graph)


def test_a_parameter_that_is_broadcast_after_one_operation_more():
    def after(first):
        return Graph(
            (
                operation(0, "exp", [first], [(4,)], (4,)),
                operation(1, "add", [("constant", "array"), ("operation", 0)], [(6, 4), (4,)],
                          (6, 4)),
            )
        )  # fmt: skip

    assert spreads(1, trial(1), SIXTH, after(("parameter", "b")))
    assert not spreads(1, trial(0), SIXTH, after(("parameter", "b")))
    assert not spreads(1, trial(1), SIXTH, after(("constant", "array")))


def recurrence(runs=4):
    """``h = tanh(W @ h)``, starting from a constant; a sum of the last one."""
    operations = []
    state = ("constant", "array")
    for run in range(runs):
        index = 2 * run
        operations.append(
            operation(index, "matmul", [("parameter", "W"), state], [(3, 3), (3,)], (3,), 7, 4)
        )
        operations.append(operation(index + 1, "tanh", [("operation", index)], [(3,)], (3,), 7, 0))
        state = ("operation", index + 1)
    operations.append(operation(2 * runs, "sum", [state], [(3,)], (), 8))
    return Graph(tuple(operations))


def test_each_pass_depends_on_the_one_before():
    graph = recurrence()
    assert graph.loops == ((0, 2, 4, 6), (1, 3, 5, 7))

    def cut(*altered, operand=1, n_runs=4):
        return trial(*altered, operand=operand, altered=altered, n_runs=n_runs)

    assert is_recurrence(cut(2, 4, 6), graph)
    assert not is_recurrence(cut(2, 4, 6, operand=0), graph)
    assert not is_recurrence(cut(2, 4, 6, operand=None), graph)
    assert not is_recurrence(cut(4, 6), graph)
    assert not is_recurrence(cut(2, 4, 6, n_runs=3), graph)
    assert not is_recurrence(cut(0, 2, 4), graph)


def test_what_the_last_run_made():
    graph = recurrence()
    assert is_last_run(trial(8, operand=0), graph)
    assert not is_last_run(trial(8), graph)
    assert not is_last_run(trial(6, operand=1), graph)
    assert not is_last_run(trial(6, operand=0), graph)
    assert is_last_run(trial(6, operand=0), recurrence(3))
    assert not is_last_run(trial(4, operand=0), recurrence(2))  # two runs are no loop of steps


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.2", 0.2), ("-3", -3.0), ("np.float64(0.25)", 0.25), ("1e-3", 1e-3), ("array (3,)", None),
     ("", None)],
)  # fmt: skip
def test_a_number_is_read_as_it_was_written(text, value):
    assert _number(text) == value


# The best of what was found


def finding(cause, parameters, confidence="exact", specificity=50, n_sites=1):
    return Finding(cause, tuple(parameters), "", "", confidence, specificity, n_sites=n_sites)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (finding("a", "W", specificity=1), finding("b", "WV", "likely", 99)),
        (finding("a", "W", "likely", 1), finding("b", "WV", "possible", 99)),
        (finding("a", "WV", specificity=1), finding("b", "W", specificity=99)),
        (finding("a", "W", specificity=1), finding("b", "W", specificity=99, n_sites=2)),
        (finding("a", "W", specificity=51), finding("b", "W", specificity=50)),
        (finding("a", "W"), finding("b", "W")),  # the first of equals
    ],
)
def test_one_explanation_is_better_than_another(better, worse):
    assert cover([better, worse], ("W", "V"))[0] is better
    if better.specificity != worse.specificity:
        assert cover([worse, better], ("W", "V"))[0] is better


def test_findings_are_chosen_until_all_is_explained():
    each = [finding(name, name) for name in "ABCDE"]
    assert [f.cause for f in cover(each, tuple("ABCDE"))] == ["A", "B", "C"]
    assert [f.cause for f in cover(each, ("B", "D"))] == ["B", "D"]
    assert cover(each, ("Z",)) == ()
    assert cover([], ("A",)) == ()
    both = finding("both", "AB", specificity=1)
    assert cover([*each, both], ("A", "B")) == (both,)
    # what is explained already counts no more
    three = finding("three", "BCD", specificity=90)
    assert [f.cause for f in cover([both, three, *each], ("A", "B", "C"))] == ["three", "A"]


def test_a_merged_finding_is_as_sure_as_the_least_sure():
    parts = [finding("a", "W"), finding("a", "V", "possible"), finding("a", "b", "likely")]
    merged = merge(parts, "said", "done")
    assert (merged.parameters, merged.confidence) == (("W", "V", "b"), "possible")
    assert (merged.message, merged.remedy) == ("said", "done")
    alone = merge(parts[2:], "said", "done")
    assert (alone.parameters, alone.confidence, alone.message) == (("b",), "likely", "said")


def test_names_are_spoken():
    assert [spoken("ABC"[:n]) for n in range(4)] == ["", "A", "A and B", "A, B and C"]


def test_a_diagnosis_of_all_parameters_names_none():
    said = finding("a", ["W", "V"])
    assert said.to_diagnosis(("W", "V")).parameter == ""
    assert said.to_diagnosis(("W", "V", "b")).parameter == "W, V"
    assert finding("a", "W").to_diagnosis(("W",)).parameter == "W"


def test_pairs_are_ranked_by_what_they_leave():
    generator = np.random.default_rng(3)
    columns = generator.normal(size=(5, 40))
    error = 2.0 * columns[1] - 0.5 * columns[3]
    ranked = _ranked(columns @ columns.T, columns @ error, float(error @ error))
    first, second, x, y = ranked[0]
    assert (first, second) == (1, 3)
    assert (x, y) == pytest.approx((2.0, -0.5))
    for i, j, x, y in ranked:
        (best, *_) = np.linalg.lstsq(columns[[i, j]].T, error, rcond=None)
        assert (x, y) == pytest.approx(tuple(best))
        left = error - x * columns[i] - y * columns[j]
        assert left @ left <= 0.2 * (error @ error)
    doubled = np.stack([columns[0], 3 * columns[0]])
    assert _ranked(doubled @ doubled.T, doubled @ error, float(error @ error)) == []


# Places in words


def test_a_location_shows_the_lines_around(tmp_path, monkeypatch):
    path = tmp_path / "model.py"
    path.write_text("\n".join(f"line {k}" for k in range(1, 8)) + "\n")
    monkeypatch.chdir(tmp_path)
    found = location(Site(str(path), 3, "loss", 2, 3, 6))
    assert (found.file, found.line, found.source) == ("model.py", 3, "line 3")
    assert (found.column, found.end_column) == (2, 6)
    assert found.context == tuple((k, f"line {k}") for k in range(1, 6))
    assert location(Site(str(path), 1, "f", 0, 2, 3)).context[0] == (1, "line 1")
    assert location(Site(str(path), 1, "f", 0, 2, 3)).end_column == len("line 1")
    assert location(Site(str(path), 1, "f", 0, None, 3)).end_column == 3
    assert [k for k, _ in location(Site(str(path), 7, "f")).context] == [5, 6, 7]
    monkeypatch.chdir("/")
    assert location(Site(str(path), 3, "loss")).file in (str(path), str(path)[1:])


@pytest.mark.parametrize(
    ("name", "spoken_as"),
    [("maximum", "`maximum`"), ("setitem", "assignment"), ("assemble", "assignment"),
     ("getitem", "indexing")],
)  # fmt: skip
def test_an_operation_in_words(name, spoken_as, tmp_path):
    path = tmp_path / "model.py"
    path.write_text("\n    A = np.maximum(0, Z)\n")
    there = Operation(0, name, Site(str(path), 2, "loss"), (), (), (), {})
    assert in_words(there) == f"the {spoken_as} in line 2 (`A = np.maximum(0, Z)`)"
    nowhere = Operation(0, name, Site(str(tmp_path / "none.py"), 2, "loss"), (), (), (), {})
    assert in_words(nowhere) == f"the {spoken_as} in line 2"
