"""How far the search for a cause goes, in counts, and how much each answer says, on one scale.

These numbers are decisions about time, memory and preference; each is held here as it was taken.
"""

import inspect

import numpy as np
import pytest
from test_diagnose_directions import after, of
from test_diagnose_flow import PARAMETER, doubling

from gradcheck.diagnose import causes, counterfactual, flow, graph, handed, jacobians, limits
from gradcheck.diagnose.curvature import largest_curvature
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.limits import limits_for


@pytest.mark.parametrize(
    ("entries", "flowing", "operations", "written", "passes"),
    [
        (10, 10, 3, None, 200),
        (0, 0, 0, None, 200),
        (300_000, 200_000, 0, None, 200),
        (300_000, 200_001, 0, None, 199),
        (400_000, 100_000, 500, None, 159),  # 256 numbers for each operation besides
        (0, 0, 10_000, None, 39),
        (0, 99_000_000, 10_000, None, 16),  # the fewest
        (0, 0, 24_414, None, 16),
        (0, 0, 24_415, None, 15),  # but for very many operations
        (0, 0, 100_000, None, 3),
        (0, 0, 120_000, None, 3),
        (0, 0, 120_001, None, 0),
        # where derivatives are written down, their numbers alone count, six times each
        (300_000, 200_001, 500, 1_000, 600),
        (300_000, 200_001, 500, 27_777, 600),
        (300_000, 200_001, 500, 27_778, 599),
        (0, 0, 120_001, 1_000, 0),
    ],
)
def test_how_many_passes_are_made(entries, flowing, operations, written, passes):
    assert limits_for(entries, 1, flowing, operations, n_written=written).passes == passes


@pytest.mark.parametrize(("operations", "singly"), [(60_000, True), (60_001, False)])
@pytest.mark.parametrize("entries", [10, 200_000])
def test_operations_are_looked_at_one_by_one_up_to_a_number(operations, singly, entries):
    assert limits_for(entries, 1, 0, operations).singly is singly


@pytest.mark.parametrize(
    ("parameters", "of_each"), [(0, 32_768), (1, 32_768), (3, 10_922), (128, 256), (129, 256)]
)
def test_of_many_entries_a_sample_is_compared(parameters, of_each):
    assert limits_for(131_072, parameters, 0).sampled is None
    assert limits_for(131_073, parameters, 0).sampled == of_each


BOUNDS = {
    limits: {
        "DEFAULT_PASSES": 200, "FEWEST_PASSES": 16, "MOST_MOVED": 10**8, "EACH": 256,
        "EACH_WRITTEN": 6, "MORE_WRITTEN": 3, "MOST_OPERATIONS": 120_000,
        "MOST_LOOKED_AT": 60_000, "LEAST_WRITTEN": 200, "MOST_WRITTEN": 4 * 10**6,
        "MOST_STORED": 5 * 10**7, "STORED_OF_MANY": 4 * 10**6, "LARGEST_OF_MANY": 2**18,
        "SAMPLE": 2**15, "LEAST_OF_EACH": 2**8, "MOST_PROBED": 10**8,
    },
    graph: {"FEW_RUNS": 4, "FEW_BEFORE": 8, "MANY_RUNS": 100},
    flow: {"FEW": 4, "MOST_OPERANDS": 6},
    handed: {"MOST_WORK": 4 * 10**8, "MOST_CONFIRMED": 12},
    jacobians: {"MOST_COTANGENTS": 64, "MOST_IN_BLOCKS": 2**20},
}  # fmt: skip


@pytest.mark.parametrize("module", BOUNDS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_the_bounds_in_numbers(module):
    assert {name: getattr(module, name) for name in BOUNDS[module]} == BOUNDS[module]


def test_the_largest_curvature_takes_a_hundred_products_at_most():
    asked = []

    def never(v):
        asked.append(v)
        return np.diag([3.0, 2.9]) @ v

    assert largest_curvature(never, 2, rtol=0.0).n_products == len(asked) == 100
    first = np.random.default_rng(0).standard_normal(2)
    np.testing.assert_allclose(asked[0], first / np.linalg.norm(first), rtol=1e-15)
    assert inspect.signature(largest_curvature).parameters["rtol"].default == 1e-4


# What is seen up to a bound


@pytest.mark.parametrize(("operands", "looked_at"), [(6, 6), (7, 0)])
def test_what_gathers_many_values_is_not_looked_at(operands, looked_at):
    found = doubling(of(0, "stack", *[PARAMETER] * operands)).handings()
    assert [here.operand for here in found] == list(range(looked_at))


@pytest.mark.parametrize(("beside", "seen"), [(3, True), (4, False)])
def test_whether_runs_follow_one_another_is_asked_of_the_first_four(beside, seen):
    """Of runs of which only the last two follow each other."""
    runs = [of(k, "exp", PARAMETER, line=1) for k in range(beside + 1)]
    following = doubling(*runs, of(beside + 1, "exp", after(beside), line=1))
    assert following.depend(range(beside + 2)) is seen


def test_up_to_eight_operations_before_another_are_listed():
    chain = Graph((of(0, "exp", PARAMETER), *(of(k, "exp", after(k - 1)) for k in range(1, 12))))
    assert chain._few_before[8] == frozenset(range(8))
    assert chain._few_before[9] is None
    assert chain._few_before[11] is None
    both = Graph((*chain.operations, of(12, "add", after(2), after(11)),
                  of(13, "add", after(2), PARAMETER, after(4), ("constant", 5))))  # fmt: skip
    assert both._few_before[12] is None
    assert both._few_before[13] == frozenset(range(5))


# How much an answer says


SAYS = {
    "loss_ignores_parameter": 90, "zero_gradient": 85, "reg_missing": 80, "reg_scale": 80,
    "reg_extra": 80, "activation_mask_missing": 76, "activation_derivative_missing": 74,
    "extra_activation_derivative": 72, "last_step_missing": 70, "transpose": 68,
    "batch_not_divided": 66, "batch_divided_twice": 66, "factor_missing": 64, "sign": 63,
    "extra_factor": 62, "path_detached": 60, "term_missing": 59, "scale": 45,
}  # fmt: skip


def test_causes_are_on_the_scale_of_all_answers():
    """That of the patterns (``tests/gold/diagnoses.txt``) and of wrong rules: 54 and 64."""
    assert causes.SPECIFICITY == SAYS


def test_a_cut_is_a_factor_of_nothing():
    cut = counterfactual._CUT
    assert (cut.value, cut.words, cut.kind, cut.size) == (0.0, "0", "cut", None)
