"""Which lines a finding names: the look-ups, the users of a result, the lines of other rules."""

import numpy as np
import pytest
from test_diagnose_beside import located
from test_diagnose_directions import after, of
from test_diagnose_judged import RUNS, B, W, off, rule, said
from test_diagnose_measures import found
from test_diagnose_patterns import evidence

from gradcheck.diagnose.entries import duplicate_indices, unexplained
from gradcheck.diagnose.finding import Finding
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.handed_findings import best_of


@pytest.mark.parametrize("cause", ["batch_not_divided", "zero_gradient"])
def test_other_mistakes_are_not_about_look_ups(cause):
    looks = [of(0, "exp", W), of(1, "getitem", W), of(2, "getitem", W, line=9),
             of(3, "getitem", W, line=9)]  # fmt: skip
    assert located("duplicate_indices", looks) == (9, (2,))
    assert located(cause, looks) == (1, ())


def test_the_users_of_the_first_run_are_named_with_a_rule():
    users = [of(3, "sum", after(0)), of(4, "sum", after(1)), of(5, "sum", after(0))]
    graph = Graph((*RUNS.operations, *users))
    together = said(rule(off(0, 1, 2)), graph=graph)
    assert (together.location.line, [place.line for place in together.also]) == (1, [4, 6])
    second = said(rule(off(1, 2)), graph=graph)
    assert (second.location.line, [place.line for place in second.also]) == (2, [5])


def test_lines_before_the_best_place_are_named_too():
    best = best_of([found("sign", line=5, also=(3, 8)), found("stale_value", line=1)])
    assert (best.location.line, [place.line for place in best.also]) == (5, [3, 8, 1])
    best = best_of([found("sign", line=5), found("stale_value", line=None)])
    assert best.also == ()


def test_an_answer_is_about_one_place_unless_it_says_otherwise():
    plain = Finding("sign", ("W",), "", "", "exact", 50)
    assert (plain.n_sites, plain.location, plain.also, plain.evidence) == (1, None, (), {})
    assert plain.to_diagnosis(("W",)).parameter == "W"
    assert plain.to_diagnosis(("W", "b")).parameter == "W"


def test_the_parameter_that_is_off_most_is_what_has_to_be_accepted():
    right = {"v": np.array([3.0, 4.0]), "w": np.array([3.0, 4.0])}
    for off_v, off_w in ((4e-6, 5e-5), (5e-5, 4e-6)):
        claimed = {"v": right["v"] * (1 + off_v), "w": right["w"] * (1 + off_w)}
        told = unexplained(evidence(claimed, right, right, relative=1e-13), ("v", "w"))
        assert "may be accepted with --rtol 1e-4" in told.remedy


@pytest.mark.parametrize(("indices", "axes"), [([0, 4, 1, 2], []), ([0, -4, 1, 2], [0]), ([], [])])
def test_an_index_past_the_end_names_no_row(indices, axes):
    """The first of four rows of three is wrong."""
    right = np.ones((4, 3))
    claimed = right.copy()
    claimed[0] = 0.5
    known = evidence({"v": claimed}, {"v": right}, {"v": right},
                     integer_arrays={"idx": np.array(indices, int)})  # fmt: skip
    assert [one.evidence["axis"] for one in duplicate_indices(known)] == axes


def test_a_rule_says_where_the_other_value_comes_from():
    graph = Graph((*RUNS.operations, of(3, "tanh", B)))
    assert [place.line for place in said(rule(1.0, other=3), graph=graph).also] == [4]
    assert said(rule(1.0), graph=graph).also == ()
