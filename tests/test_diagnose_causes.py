"""Which cause an altered backward pass stands for: its kind, its factor, and what it cuts."""

import itertools

import numpy as np
import pytest
from test_diagnose_measures import space
from test_diagnose_patterns import evidence
from test_diagnose_places import CUT, number, operation, recurrence, trial

from gradcheck.diagnose.causes import (
    SPECIFICITY,
    Explanation,
    _plainest,
    _suits,
    cause_of,
    findings_from,
)
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.plan import Trial
from gradcheck.diagnose.space import make_space

VALUES = {"W": np.array([1.0, 2.0, -3.0]), "b": np.array([0.5, 4.0])}
RIGHT = {"W": np.array([0.3, 1.0, 0.7]), "b": np.array([1.0, 0.2])}
CLAIMED = {"W": np.array([1.3, -1.0, 2.7]), "b": np.array([1.0, 0.2])}
ERROR = np.array([1.0, -2.0, 2.0, 0.0, 0.0])
ZERO = number(0.0, "cut")
PARAMETER, OTHER, ARRAY = ("parameter", "W"), ("parameter", "b"), ("constant", "array")


def known(claimed=CLAIMED, values=VALUES):
    return evidence(claimed, RIGHT, values)


def kind(name, *sites, altered=None, runs=""):
    alterations = dict.fromkeys(sites if altered is None else altered, CUT)
    return Trial(name, alterations, sites, None, runs)


def explained(of, factor=None, *, change=ERROR, names="W", alone=False, confidence="exact"):
    return Explanation(of, factor, np.asarray(change), frozenset(names), alone, confidence)


def cause(of, graph, factor=None, *, change=ERROR, names="W", claimed=CLAIMED, values=VALUES):
    return cause_of(
        explained(of, factor, change=change, names=names), known(claimed, values), space(ERROR),
        Graph(tuple(graph)),
    )  # fmt: skip


def of(index, name, *inputs, shape=(3,), line=1, column=0):
    return operation(index, name, inputs, [shape] * len(inputs), shape, line, column)


# What a kind of alteration is about


@pytest.mark.parametrize(
    ("what", "names", "expected"),
    [
        ("transpose", ("matmul",), "transpose"),
        ("twice", ("multiply",), "extra_factor"),
        ("twice", ("multiply", "divide"), "extra_factor"),
        ("twice", ("tanh",), "extra_activation_derivative"),
        ("twice", ("multiply", "tanh"), "extra_activation_derivative"),
        ("identity", ("tanh",), "activation_derivative_missing"),
        ("identity", ("maximum",), "activation_mask_missing"),
        ("identity", ("max",), "activation_mask_missing"),
        ("identity", ("maximum", "exp"), "activation_derivative_missing"),
        ("identity", ("multiply",), "factor_missing"),
        ("identity", ("divide",), "factor_missing"),
    ],
)
def test_what_is_altered_tells_the_cause(what, names, expected):
    graph = [of(k, name, PARAMETER) for k, name in enumerate(names)]
    assert cause(kind(what, *range(len(names))), graph) == expected


@pytest.mark.parametrize(
    ("name", "inputs", "expected"),
    [
        ("divide", (ARRAY, PARAMETER), "activation_derivative_missing"),
        ("divide", (PARAMETER, ARRAY), "factor_missing"),
        ("divide", (PARAMETER, OTHER), "factor_missing"),
        ("multiply", (ARRAY, PARAMETER), "factor_missing"),
    ],
)
def test_one_over_a_parameter_is_a_curve(name, inputs, expected):
    assert cause(kind("identity", 0), [of(0, name, *inputs)]) == expected


# What a factor on a cut path is about


@pytest.mark.parametrize(
    ("name", "factor", "expected"),
    [
        ("exp", number(-1.0, "sign"), "sign"),
        ("exp", number(3.0, "size", 3), "batch_not_divided"),
        ("exp", number(1 / 3, "inverse_size", 3), "batch_divided_twice"),
        ("exp", number(2.0, "size", 2), "scale"),
        ("exp", number(0.5, "inverse_size", 2), "scale"),
        ("divide", number(2.0, "size", 2), "batch_not_divided"),
        ("divide", number(0.5, "inverse_size", 2), "batch_divided_twice"),
        ("exp", number(0.25), "scale"),
        ("exp", ZERO, "path_detached"),
    ],
)
def test_what_a_factor_says(name, factor, expected):
    assert cause(trial(0), [of(0, name, PARAMETER)], factor) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("max", "scale"), ("mean", "batch_divided_twice"), ("sum", "scale")]
)
def test_one_over_the_entries_of_a_maximum_is_no_mean(name, expected):
    graph = [operation(0, name, [PARAMETER], [(6,)], ())]
    assert cause(trial(0), graph, number(1 / 6)) == expected


@pytest.mark.parametrize(("factor", "expected"), [(0.0, "reg_missing"), (0.5, "reg_scale")])
def test_a_change_in_proportion_to_the_parameter_is_a_regulariser(factor, expected):
    along = np.array([0.1, 0.2, -0.3, 0.0, 0.0])
    graph = [of(0, "square", PARAMETER)]
    assert cause(trial(0), graph, number(factor), change=along) == expected
    beside = along + np.array([0.0, 0.01, 0.0, 0.0, 0.0])
    assert cause(trial(0), graph, number(factor), change=beside) in ("scale", "path_detached")


def branch(slope="0.2", user="where", extra=(), name="multiply"):
    return [
        of(0, "exp", PARAMETER),
        of(1, name, ("operation", 0), ("constant", slope)),
        of(2, user, ARRAY, ("operation", 0), ("operation", 1)),
        *extra,
    ]


@pytest.mark.parametrize(
    ("graph", "factor", "masked"),
    [
        (branch(), 5.0, True),
        (branch("np.float64(0.2)"), 5.0, True),
        (branch(), 5.0 * (1 + 0.9e-9), True),
        (branch(), 5.0 * (1 + 1.2e-9), False),
        (branch(), 5.0 * (1 - 1.2e-9), False),
        (branch(), 4.0, False),
        (branch("array"), 5.0, False),
        (branch(user="add"), 5.0, False),
        (branch(name="divide"), 5.0, False),
        (branch(extra=[of(3, "sum", ("operation", 1))]), 5.0, False),
        (branch()[:2], 5.0, False),
    ],
)
def test_the_slope_of_a_branch_left_out(graph, factor, masked):
    expected = "activation_mask_missing" if masked else "scale"
    assert cause(trial(1), graph, number(factor)) == expected
    assert cause(trial(0, 1), graph, number(factor)) == expected


# What is cut


def test_a_parameter_that_gets_nothing():
    graph, none = [of(0, "exp", PARAMETER)], {"W": np.zeros(3), "b": CLAIMED["b"]}
    assert cause(trial(0), graph, ZERO, claimed=none) == "zero_gradient"
    assert cause(trial(0), graph, ZERO, names="Wb", claimed=none) == "path_detached"
    one = {"W": np.array([0.0, 0.0, 1.0]), "b": CLAIMED["b"]}
    assert cause(trial(0), graph, ZERO, claimed=one) == "path_detached"


def test_a_path_is_cut_where_a_multiple_of_the_parameter_is_left():
    graph = [of(0, "getitem", PARAMETER)]

    def said(claimed, values=VALUES, names="W"):
        whole = {"b": CLAIMED["b"]} | claimed
        return cause(trial(0), graph, ZERO, claimed=whole, values=values, names=names)

    value = VALUES["W"]
    assert said({"W": 0.2 * value}) == "path_detached"
    assert said({"W": 0.2 * value + np.array([0.0, 0.0, 0.5e-9])}) == "path_detached"
    assert said({"W": 0.2 * value + np.array([0.0, 0.0, 1.5e-9])}) == "term_missing"
    assert said({"W": 0.2 * value, "b": 3 * VALUES["b"]}, names="Wb") == "path_detached"
    assert said({"W": 0.2 * value}, names="Wb") == "term_missing"
    # 0 has any multiple, and so has one number
    assert said({"W": 0.2 * value}, {"W": 0 * value, "b": VALUES["b"]}) == "term_missing"


@pytest.mark.parametrize(("n", "expected"), [(1, "term_missing"), (2, "path_detached")])
def test_one_number_is_a_multiple_of_any(n, expected):
    value, right = np.array([4.0, 8.0])[:n], np.array([1.0, 7.0])[:n]
    seen = evidence({"W": value / 2}, {"W": right}, {"W": value})
    here = make_space(seen, {"W": right})
    change = np.array([1.0, -1.0])[:n]
    graph = Graph((of(0, "getitem", PARAMETER),))
    assert cause_of(explained(trial(0), ZERO, change=change), seen, here, graph) == expected


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ("last", "last_step_missing"),
        ("first", "term_missing"),
        ("all but the first", "term_missing"),
        ("all but the last", "term_missing"),
        ("one", "term_missing"),
        ("", "path_detached"),
        ("every", "path_detached"),
    ],
)
def test_which_runs_of_a_loop_are_cut(runs, expected):
    assert cause(trial(0, runs=runs, n_runs=4), [of(0, "exp", PARAMETER)], ZERO) == expected


def test_the_dependence_of_each_pass_on_the_one_before():
    operations = recurrence().operations
    state = trial(2, operand=1, altered=(2, 4, 6), runs="all but the first", n_runs=4)
    assert cause(state, operations, ZERO) == "path_detached"
    weights = trial(2, operand=0, altered=(2, 4, 6), runs="all but the first", n_runs=4)
    assert cause(weights, operations, ZERO) == "term_missing"


def test_one_use_of_what_the_last_run_made():
    operations = recurrence().operations
    assert cause(trial(8, operand=0), operations, ZERO) == "last_step_missing"
    assert cause(trial(8), operations, ZERO) == "path_detached"


def test_what_follows_itself_is_a_path_and_what_stands_beside_itself_a_term():
    def steps(following):
        state, made = ("constant", "array"), []
        for k in range(3):
            made.append(of(k, "add", PARAMETER, state, line=7))
            state = ("operation", k) if following else state
        return [*made, of(3, "add", ("operation", 2), ARRAY, line=8)]

    whole = trial(0, 3, altered=(0, 1, 2), runs="every", n_runs=3)
    assert cause(whole, steps(following=True), ZERO) == "path_detached"
    assert cause(whole, steps(following=False), ZERO) == "term_missing"
    single = trial(0, altered=(0, 1, 2), runs="", n_runs=3)
    assert cause(single, steps(following=True), ZERO) == "term_missing"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("getitem", "term_missing"), ("take", "term_missing"), ("multiply", "term_missing"),
     ("add", "term_missing"), ("negative", "term_missing"), ("mean", "path_detached"),
     ("exp", "path_detached")],
)  # fmt: skip
def test_a_term_or_a_path(name, expected):
    assert cause(trial(0), [of(0, name, PARAMETER)], ZERO) == expected


def statistic(uses):
    made = [of(0, "exp", PARAMETER), of(1, "mean", ("operation", 0))]
    return made + [of(2 + k, "subtract", ("operation", 0), ("operation", 1)) for k in range(uses)]


@pytest.mark.parametrize(
    ("cut", "uses", "expected"),
    [
        (trial(1, 2), 1, "path_detached"),
        (trial(1, 2), 2, "path_detached"),  # the statistic itself, with all that it does
        (trial(2, 1, operand=1), 1, "path_detached"),  # its only use
        (trial(2, 1, operand=1), 2, "term_missing"),  # one use of two
    ],
)
def test_a_statistic_taken_for_a_constant_is_cut_whole(cut, uses, expected):
    assert cause(cut, statistic(uses), ZERO) == expected


def test_a_statistic_of_two_is_not_cut_whole_at_one_of_them():
    graph = [of(0, "logaddexp", PARAMETER, OTHER), of(1, "multiply", PARAMETER, ARRAY)]
    assert cause(trial(0, 1, operand=0), graph, ZERO) == "term_missing"
    assert cause(trial(0, 1), graph, ZERO) == "path_detached"


# What comes to the same


def test_of_alterations_that_come_to_the_same_the_plainer_is_kept():
    here = space(ERROR, 1e-3)
    cut = explained(trial(0), ZERO)
    every = explained(trial(0, runs="every", n_runs=4), ZERO)
    near = ERROR + np.array([3.9e-3, 0, 0, 0, -3.9e-3])
    far = ERROR + np.array([4.1e-3, 0, 0, 0, 0])
    assert _plainest([cut, explained(kind("identity", 0))], here) == [cut]
    assert _plainest([explained(kind("identity", 0), change=near), cut], here) == [cut]
    assert _plainest([cut, explained(kind("identity", 0), names="Wb")], here)[1:] != []
    assert len(_plainest([cut, explained(kind("identity", 0), change=far)], here)) == 2
    for runs in ("last", "first", "all but the last", "all but the first", "one"):
        part = explained(trial(0, runs=runs, n_runs=4), ZERO)
        for plain in (cut, every):
            assert _plainest([part, plain], here) == [plain]
        assert _plainest([part], here) == [part]
        assert len(_plainest([part, explained(kind("identity", 0))], here)) == 1
    last, first = (explained(trial(0, runs=runs, n_runs=4), ZERO) for runs in ("last", "first"))
    assert _plainest([last, first], here) == [last, first]
    assert _plainest([cut, every], here) == [cut, every]
    half = explained(trial(0), number(0.5))
    assert len(_plainest([half, explained(kind("identity", 0))], here)) == 2


# Where, and how much it says


def test_the_causes_by_how_much_they_say():
    assert sorted(SPECIFICITY, key=lambda name: -SPECIFICITY[name]) == [
        "loss_ignores_parameter", "zero_gradient", "reg_missing", "reg_scale", "reg_extra",
        "activation_mask_missing", "activation_derivative_missing", "extra_activation_derivative",
        "last_step_missing", "transpose", "batch_not_divided", "batch_divided_twice",
        "factor_missing", "sign", "extra_factor", "path_detached", "term_missing", "scale",
    ]  # fmt: skip
    # the regularisers say equally much, and so do the two divisions
    assert len(set(SPECIFICITY.values())) == len(SPECIFICITY) - 3
    assert SPECIFICITY["reg_missing"] == SPECIFICITY["reg_scale"] == SPECIFICITY["reg_extra"]
    assert SPECIFICITY["batch_not_divided"] == SPECIFICITY["batch_divided_twice"]


def findings(*explanations, graph):
    return findings_from(explanations, known(), space(ERROR), Graph(tuple(graph)))


PLAIN = [of(k, name, PARAMETER, line=k + 1) for k, name in enumerate(["exp", "subtract", "solve"])]


def said(*explanations, graph=PLAIN):
    (found,) = findings(*explanations, graph=graph)
    return found


def test_what_explains_all_says_more_than_what_explains_some_alone():
    sign = number(-1.0, "sign")
    whole = said(explained(trial(0), sign)).specificity
    alone = said(explained(trial(0), sign, alone=True)).specificity
    assert alone == SPECIFICITY["sign"]
    # more than a cause that says a little more, less than one that says a lot more
    assert SPECIFICITY["batch_not_divided"] < whole < SPECIFICITY["transpose"]


def test_the_sign_of_a_solution_says_less_than_a_term_and_an_unnamed_factor_least():
    sign, strange = number(-1.0, "sign"), number(0.4321, "unnamed")
    assert said(explained(trial(2), sign, alone=True)).specificity < SPECIFICITY["term_missing"]
    assert said(explained(trial(1), sign, alone=True)).specificity > SPECIFICITY["term_missing"]
    unnamed = said(explained(trial(0), strange)).specificity
    assert unnamed < said(explained(trial(0), number(0.5))).specificity - 10
    spread = [operation(0, "max", [PARAMETER], [(6,)], ())]
    found = said(explained(trial(0), number(1 / 6), alone=True), graph=spread)
    assert (found.cause, found.specificity) == ("scale", SPECIFICITY["batch_divided_twice"])


def test_one_finding_for_each_cause_parameters_and_factor():
    half, quarter = number(0.5), number(0.25)
    rows = number(7.0, "size", 7)
    for one, other, count in (
        (explained(trial(0), half), explained(trial(1), half), 1),
        (explained(trial(0), half), explained(trial(1), number(0.5 + 1e-11)), 1),
        (explained(trial(0), half), explained(trial(1), number(0.5 + 1e-8)), 2),
        (explained(trial(0), half), explained(trial(1), quarter), 2),
        (explained(trial(0), half), explained(trial(1), half, names="Wb"), 2),
        (explained(trial(0), half), explained(trial(1), half, alone=True), 2),
        (explained(trial(0), half), explained(trial(1), half, confidence="possible"), 2),
        # an array's size is about the average, wherever it could sit
        (explained(trial(0), rows), explained(trial(1), rows, alone=True), 1),
    ):
        assert len(findings(one, other, graph=PLAIN)) == count


def test_what_a_finding_holds():
    change = ERROR * np.array([1.0, 1.0, 0.5, 1.0, 1.0])
    cut = trial(0, 2, runs="every", n_runs=3)
    found = said(explained(cut, number(0.5), change=change, names="bW"))
    assert found.parameters == ("W", "b")
    assert (found.evidence["factor"], found.evidence["runs"]) == (0.5, "every")
    assert found.evidence["alteration"] == "cut"
    assert found.evidence["parameters_alone"] is False
    # 1 of an error of 3 is left
    assert found.evidence["unexplained_part"] == pytest.approx(1 / 3, abs=1e-3)
    assert (found.location.line, [place.line for place in found.also]) == (3, [1])
    assert "factor" not in said(explained(kind("identity", 0))).evidence


def test_a_parameter_without_an_error_leaves_nothing():
    assert said(explained(trial(0), ZERO, names="b")).evidence["unexplained_part"] == 0.0


def place_of(*candidates, graph, about="scale"):
    ranked = sorted(candidates, key=lambda c: _suits(about, c[0], c[1], Graph(tuple(graph))))
    return ranked[0][0]


def test_the_place_that_suits_a_cause_best():
    names = ["exp", "multiply", "mean", "square", "var", "subtract"]
    graph = [of(k, name, PARAMETER) for k, name in enumerate(names)]
    each = [(k, explained(trial(k), number(0.5))) for k in range(6)]
    assert place_of(*each, graph=graph) == 4
    assert place_of(*each[:4], graph=graph) == 3
    assert place_of(*each[:3], graph=graph) == 2
    assert place_of(*each[:2], each[5], graph=graph) == 1
    assert place_of(each[0], each[5], graph=graph) == 5  # the later one of equals
    assert place_of(*each, graph=graph, about="sign") == 5
    assert place_of(*each, graph=graph, about="batch_not_divided") == 2
    single = explained(trial(4, runs="one", n_runs=9), number(0.5))
    assert place_of((4, single), each[0], graph=graph) == 0
    for few, many in itertools.permutations((0, 4)):
        small = explained(kind("identity", few))
        large = explained(kind("identity", many, altered=(0, 4)))
        assert place_of((few, small), (many, large), graph=graph) == few


def test_the_mean_over_what_a_bias_was_broadcast_along():
    graph = [
        operation(0, "add", [ARRAY, OTHER], [(6, 4), (4,)], (6, 4)),
        operation(1, "mean", [("operation", 0)], [(6, 4)], (4,)),
    ]
    sixth = number(1 / 6, "inverse_size", 6)

    def chosen(names):
        each = [(k, explained(trial(0, 1), sixth, names=names)) for k in range(2)]
        return place_of(*each, graph=graph, about="batch_divided_twice")

    assert chosen("b") == 0
    assert chosen("Wb") == 1  # of several parameters it is none's broadcast


def test_the_extreme_that_was_spread_evenly():
    graph = [
        operation(0, "max", [PARAMETER], [(6,)], ()),
        operation(1, "var", [PARAMETER], [(6,)], ()),
    ]
    each = [(k, explained(trial(0, 1), number(1 / 6))) for k in range(2)]
    assert place_of(*each, graph=graph) == 0
    each = [(k, explained(trial(0, 1), number(1 / 5))) for k in range(2)]
    assert place_of(*each, graph=graph) == 1
