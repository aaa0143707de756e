"""Of several alterations that make the same change: which is kept, and at which place."""

import pytest
from test_diagnose_causes import (
    ARRAY,
    ERROR,
    PARAMETER,
    cause,
    explained,
    kind,
    of,
    place_of,
    said,
)
from test_diagnose_measures import space
from test_diagnose_places import number, trial

from gradcheck.diagnose.causes import _plainest

HALF, SIGN, ZERO = number(0.5), number(-1.0, "sign"), number(0.0, "cut")
NEAR = ERROR * (1 + 1e-10)


def kept(*explanations):
    here = space(ERROR, 1e-9)
    return [explanations.index(one) for one in _plainest(list(explanations), here)]


def test_a_chain_of_operations_is_a_factor_on_one_of_them_where_that_comes_to_the_same():
    chain = explained(kind("identity", 0, 1), change=NEAR)
    assert kept(chain, explained(trial(1), HALF)) == [1]
    assert kept(explained(trial(0, 5), HALF), chain) == [0]
    assert kept(chain, explained(trial(0), ZERO)) == [1]
    # near misses: at another place, of another change, of fewer parameters, one operation alone
    assert kept(chain, explained(trial(2), HALF)) == [0, 1]
    assert kept(chain, explained(trial(1), HALF, change=2 * ERROR)) == [0, 1]
    both = explained(kind("identity", 0, 1), names="Wb")
    assert kept(both, explained(trial(1), HALF)) == [0, 1]
    single = explained(kind("identity", 0))
    assert kept(single, explained(trial(0), HALF)) == [0, 1]
    # other alterations of a chain, and chains among themselves
    twice = explained(kind("twice", 0, 1))
    assert kept(twice, explained(trial(1), HALF)) == [0, 1]
    assert kept(chain, explained(kind("identity", 1, 2))) == [0, 1]


@pytest.mark.parametrize(
    ("factor", "place"),
    [(4.0, 1), (4.0 * (1 + 0.9e-9), 1), (4.0 * (1 - 0.9e-9), 1), (4.0 * (1 + 1.1e-9), 0),
     (4.0 * (1 - 1.1e-9), 0), (-4.0, 0), (0.25, 0)],
)  # fmt: skip
def test_a_constant_of_its_own_is_what_was_left_out(factor, place):
    """A quarter, which the factor undoes, before the variance that a scale is most often about."""
    graph = [of(0, "var", PARAMETER), of(1, "multiply", PARAMETER, ("constant", "0.25"))]
    each = [(k, explained(trial(0, 1), number(factor))) for k in range(2)]
    assert place_of(*each, graph=graph) == place
    divided = [graph[0], of(1, "divide", PARAMETER, ("constant", "4.0"))]
    assert place_of(*each, graph=divided) == place
    unknown = [graph[0], of(1, "multiply", PARAMETER, ARRAY)]
    assert place_of(*each, graph=unknown) == 0


@pytest.mark.parametrize(
    ("cut", "uses", "expected"),
    [
        (trial(0, 1), 1, "path_detached"),  # the mean is used once: nothing else of it is cut
        (trial(0, 1), 2, "term_missing"),
        (trial(0, 1, operand=0), 1, "path_detached"),
        (trial(0, 1, operand=0), 2, "term_missing"),
        (trial(1, 0), 2, "path_detached"),  # all that the mean does is cut
        (trial(1, 0, operand=0), 1, "term_missing"),
    ],
)
def test_a_statistic_is_cut_whole_by_itself_or_as_the_only_use(cut, uses, expected):
    """A product, its mean, and what is subtracted from it."""
    graph = [of(0, "multiply", PARAMETER, ARRAY), of(1, "mean", ("operation", 0))]
    graph += [of(2 + k, "subtract", ("operation", 0), ("operation", 1)) for k in range(uses)]
    assert cause(cut, graph, ZERO) == expected


@pytest.mark.parametrize("operand", [None, 0])
@pytest.mark.parametrize(("uses", "expected"), [(1, "path_detached"), (2, "term_missing")])
def test_a_statistic_is_cut_by_cutting_its_only_use(operand, uses, expected):
    graph = [of(0, "mean", PARAMETER)]
    graph += [of(1 + k, "multiply", ("operation", 0), ARRAY) for k in range(uses)]
    assert cause(trial(1, 0, operand=operand), graph, ZERO) == expected


@pytest.mark.parametrize(
    "factor", [number(0.4321, "unnamed"), number(-2.0), number(-0.5), number(-3.0, "unnamed")]
)
def test_any_other_factor_is_a_scale(factor):
    assert cause(trial(0), [of(0, "exp", PARAMETER)], factor) == "scale"


def test_a_branch_that_is_divided_has_no_slope_of_its_own():
    """A fifth, which the factor undoes."""
    for name, constant, expected in (
        ("divide", "5.0", "scale"),
        ("multiply", "0.2", "activation_mask_missing"),
    ):
        graph = [
            of(0, "exp", PARAMETER),
            of(1, name, ("operation", 0), ("constant", constant)),
            of(2, "where", ARRAY, ("operation", 0), ("operation", 1)),
        ]
        assert cause(trial(1), graph, number(5.0)) == expected


@pytest.mark.parametrize(
    ("first", "expected"),
    [("divide", "activation_derivative_missing"), ("true_divide", "activation_derivative_missing"),
     ("multiply", "factor_missing")],
)  # fmt: skip
def test_a_chain_taken_for_the_identity_is_about_its_first_operation(first, expected):
    graph = [of(0, first, ARRAY, PARAMETER), of(1, "multiply", ("operation", 0), ARRAY)]
    assert cause(kind("identity", 0), graph) == expected
    assert cause(kind("identity", 0, 1), graph) == expected
    assert cause(kind("identity", 1, 0), graph) == "factor_missing"


# How much each says


def says(*explanation, **how):
    return said(explained(*explanation, **how)).specificity


def test_what_explains_all_says_four_more():
    assert says(trial(0), SIGN, alone=True) == 63
    assert says(trial(0), SIGN) == 67
    assert says(kind("identity", 0)) == 74 + 4 == says(kind("identity", 0), alone=True) + 4


@pytest.mark.parametrize("name", ["solve", "inv", "cholesky"])
def test_the_sign_of_a_solution_says_ten_less(name):
    graph = [of(0, name, PARAMETER)]
    assert said(explained(trial(0), SIGN), graph=graph).specificity == 63 + 4 - 10
    assert said(explained(trial(0), HALF), graph=graph).specificity == 45 + 4
    assert said(explained(kind("transpose", 0)), graph=graph).specificity == 68 + 4
    assert says(trial(1), SIGN) == 67


def test_a_factor_without_a_name_says_least():
    assert says(trial(0), number(0.4321, "unnamed"), alone=True) == 22
    assert says(trial(0), HALF, alone=True) == 45
