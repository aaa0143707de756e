"""Runs that differ: in what they read, hand on or leave open; and what stays for other looks."""

import numpy as np
import pytest
from test_diagnose_directions import after, of
from test_diagnose_flow import PARAMETER, Doubling
from test_diagnose_judged import ERROR, Counted, handing, off, repeating, rule
from test_diagnose_linear_rules import looked
from test_diagnose_measures import sketch
from test_diagnose_places import recurrence
from test_diagnose_search import factor_trial, judged

from gradcheck.diagnose.counterfactual import _is_unlikely
from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.handed import _alterations, _rows
from gradcheck.diagnose.wrong import Wrong


class Partly(Doubling):
    """Hands on nothing from some operations; results of one, two ... numbers for operands."""

    def __init__(self, *operations, nothing=(), operands=None):
        super().__init__(*operations)
        self.nothing, self.given = nothing, operands or {}

    def local(self, index, c):
        return (None,) if index in self.nothing else super().local(index, c)

    def operand_values(self, index):
        return tuple(np.full(shape, float(index)) for shape in self.given[index])


def handings(*operations, **how):
    return list(Flow(Partly(*operations, **how), Graph(tuple(operations))).handings())


RUNS = [of(k, "exp", PARAMETER, line=1) for k in range(3)]


def test_runs_of_which_one_hands_on_nothing_are_not_taken_together():
    assert [here.runs for here in handings(*RUNS)] == [(0, 1, 2), (0,), (1,), (2,)]
    assert [here.runs for here in handings(*RUNS, nothing=(1,))] == [(0,), (2,)]


def test_the_last_run_tells_the_paths_and_runs_without_one_are_left_out():
    first = of(0, "add", PARAMETER, ("constant", "1.0"), line=1)
    second = of(1, "add", PARAMETER, after(0), line=1)
    found = [(here.runs, here.operand) for here in handings(first, second)]
    assert found[:2] == [((0, 1), 0), ((1,), 1)]
    assert found[2:] == [((0,), 0), ((1,), 0), ((1,), 1)]


@pytest.mark.parametrize(
    ("operands", "stacked"),
    [
        ({0: [(2,), (3,)], 1: [(2,), (3,)]}, [(2, 2), (2, 3)]),
        ({0: [(2,), (3,)], 1: [(2,)]}, []),
        ({0: [(2,)], 1: [(2,), (3,)]}, []),
        ({0: [(2,), (3,)], 1: [(2,), (4,)]}, []),
        ({0: [(2,)], 1: [(1,)]}, []),
    ],
)
def test_operands_are_stacked_where_the_runs_have_the_same(operands, stacked):
    together = handings(*RUNS[:2], operands=operands)[0]
    assert together.runs == (0, 1)
    assert [one.shape for one in together.operands] == stacked


# Rules


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_rule_without_a_number_in_one_place_is_left_out(monkeypatch, value):
    somewhere = rule(np.where(off(1) > 0, value, 0.0), words="somewhere")
    everywhere, fine = rule(value, words="everywhere"), rule(off(1), words="fine")
    assert looked(monkeypatch, [everywhere, somewhere, fine], wanted=1.0)[0] == ["fine"]


@pytest.mark.parametrize(("left", "count"), [(4, 4), (5, 4), (9, 8), (10, 8), (14, 12), (15, 12)])
def test_of_five_passes_one_is_kept(monkeypatch, left, count):
    wrongs = {(): [rule(off(0, size=k + 1.0), words="none") for k in range(20)]}
    passes = Counted(left)
    tried, found = repeating(monkeypatch, wrongs, passes)
    assert (len(tried), found, passes.ran_out) == (count, None, True)


def test_a_rule_is_asked_for_one_run_at_a_time():
    asked = []

    def seen(c, runs):
        asked.append((c.shape, runs))
        return c

    for chains in ((), ((0,), (1,), (2,))):
        asked.clear()
        made = _alterations(handing(chains=chains), Wrong("sign", "", "", seen))
        for alteration in made.values():
            assert alteration.rule(np.ones(2)).shape == (2,)
        assert asked == [((1, 2), slice(k, k + 1)) for k in range(3)]


@pytest.mark.parametrize("blocks", [1, 3])
def test_the_directions_of_all_blocks_are_added_up(blocks):
    rows = _rows(sketch(blocks=blocks), None)
    np.testing.assert_array_equal(rows, np.hstack([np.eye(2)] * blocks))
    for block in range(blocks):
        own = _rows(sketch(blocks=blocks), block)
        np.testing.assert_array_equal(own @ rows.T, np.eye(2))
        assert own[:, 2 * block : 2 * block + 2].sum() == own.sum() == 2.0


# Alterations


@pytest.mark.parametrize(("factor", "waits"), [(-1.0, False), (-2.0, True), (-0.5, True),
                                               (0.5, True), (2.0, True)])  # fmt: skip
def test_a_wrong_sign_in_a_loop_is_likelier_than_other_factors(factor, waits):
    assert _is_unlikely(factor_trial(factor), recurrence()) is waits


@pytest.mark.parametrize(("beside", "alone"), [(5e-9, False), (8e-9, True), (3e-9, False)])
def test_a_parameter_that_is_right_may_be_off_by_a_little(beside, alone):
    """By 3e-9, where 4e-9 is within the tolerance: a change of 5e-9 comes near it."""
    small = np.array([0.0, 0.0, 0.0, 1.0, 0.0])
    found = judged(ERROR + beside * small, residual=ERROR + 3e-9 * small)
    assert found == ({"W"}, alone, "exact")
