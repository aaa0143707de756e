"""Components along directions: of operands side by side, of samples, and of what may explain."""

from types import SimpleNamespace

import numpy as np
import pytest
from test_diagnose_directions import after, of
from test_diagnose_measures import space

from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import Graph
from gradcheck.diagnose.plan import Trial
from gradcheck.diagnose.sketch import Sketch
from gradcheck.diagnose.space import Space
from gradcheck.tracing.contract import Alteration

W, B = ("parameter", "W"), ("parameter", "b")


def sketched(weights, *, tangents=(), picks=None, scale=1.0, flow=None, residual=(), slack=()):
    """A sketch of W, of three entries, and of b, of two; of picked ones there are fewer."""
    picked = {} if picks is None else {"W": np.array(picks)}
    n = 3 if picks is None else len(picks)
    known = Space(
        names=("W", "b"), slices={"W": slice(0, n), "b": slice(n, n + 2)},
        scale=np.full(n + 2, scale), known=np.ones(n + 2, bool), residual=np.ones(n + 2),
        tolerance=np.ones(n + 2), failing=("W",), shapes={"W": (3,), "b": (2,)}, picks=picked,
    )  # fmt: skip
    return Sketch(
        flow=flow, space=known, blocks=(frozenset("W"), frozenset("b")), n_wrong=1, n_each=1,
        weights=np.asarray(weights, float), tangents=tuple(tangents),
        residual=np.asarray(residual, float), slack=np.asarray(slack, float),
    )  # fmt: skip


MOVES = [{4: np.array([[1.0, 2.0]])}, {4: np.array([[10.0, 20.0]])}]


def test_operands_side_by_side_move_along_each_direction():
    here = sketched([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]], tangents=MOVES, scale=2.0)
    np.testing.assert_array_equal(
        here.stacked([W, after(4), B]),
        [[0.5, 1, 1.5, 1, 2, 2, 2.5], [3, 3.5, 4, 10, 20, 4.5, 5]],
    )
    given = here.given([after(4), B], [np.array([[1.0, -1.0]]), np.array([2.0, 0.0])])
    np.testing.assert_array_equal(given, [1 - 2 + 4, 10 - 20 + 9])
    np.testing.assert_array_equal(here.of(np.array([1.0, 0, 0, 0, 1.0])), [6, 16])


@pytest.mark.parametrize(("picks", "of_w"), [(None, [1, 2, 3]), ([0, 2], [1, 3])])
def test_of_a_sampled_parameter_the_sample_is_joined(picks, of_w):
    here = sketched([[0] * 5], picks=picks)
    handed = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    np.testing.assert_array_equal(here.joined([W, after(4)], handed), [*of_w, 4, 5, 6])
    np.testing.assert_array_equal(here.joined([after(4), W], list(handed[::-1])), [4, 5, 6, *of_w])
    with pytest.raises(ValueError, match="argument 2 is"):
        here.joined([W, W, W], list(handed))


# What meets itself


def foreseen(trial, *operations, known=True):
    graph = Graph(tuple(operations))
    ones = {o.index: np.ones(3) for o in operations}
    trace = SimpleNamespace(
        n_results=lambda _: 1 if known else 2, cotangents=lambda: dict(ones),
        local=lambda index, c: (2.0 * c, 3.0 * c),
    )  # fmt: skip
    moves = [{o.index: np.full(3, o.index + 1.0) for o in operations}]
    here = sketched([[1, 1, 1, 1, 1]], tangents=moves, flow=Flow(trace, graph))
    found = here.predicted(trial)
    return None if found is None else float(found[0])


def cut(*indices, operand=None):
    kind = "constant" if operand is None else "drop_operand"
    return Trial("cut", dict.fromkeys(indices, Alteration(kind, operand=operand)), indices, operand)


TWO = (of(0, "add", W, W), of(1, "add", W, after(0)))
APART = (of(0, "add", W, W), of(1, "add", W, W))


def test_where_a_parameter_is_read_nothing_arrives_from_another_place():
    """Each hands -2 or -3 times one to three entries of W that move by one."""
    assert foreseen(cut(0, 1, operand=0), *TWO) == -12.0
    assert foreseen(cut(0, 1, operand=1), *TWO) is None
    assert foreseen(cut(0, 1, operand=1), *APART) == -18.0
    assert foreseen(cut(0, 1), *TWO) is None
    assert foreseen(cut(0, 1), *APART) == -(3.0 + 6.0)
    assert foreseen(cut(1), *TWO) == -6.0
    assert foreseen(cut(1, operand=1), *TWO) == -9.0
    assert foreseen(cut(1), *TWO, known=False) is None
    assert foreseen(cut(1, operand=1), *TWO, known=False) is None


def test_an_operand_that_one_of_them_does_not_have_may_meet_itself():
    fewer = (of(0, "exp", W), of(1, "add", after(0), W))
    assert foreseen(cut(0, 1, operand=1), *fewer) is None


# What may explain


@pytest.mark.parametrize(
    ("change", "by_factor", "expected"),
    [
        ([1.0, 0.0], False, True), ([0.0, 0.0], False, False), ([0.0, 0.0], True, False),
        ([-5.0, 0.0], True, True), ([-5.0, 0.0], False, False), ([1.009, 9.0], False, True),
        ([1.031, 9.0], False, False), ([0.971, 9.0], False, True), ([0.0, 1.0], True, False),
    ],
)  # fmt: skip
def test_the_block_of_a_wrong_parameter_decides(change, by_factor, expected):
    """A hundredth of the error, and two hundredths of slack."""
    here = sketched([[1] * 5] * 2, residual=[1.0, 7.0], slack=[0.02, 9.0])
    assert here.explains(np.array(change), by_factor=by_factor) is expected


# Places of the space


def test_what_no_parameter_has_changes_none():
    here = space(np.ones(5), 0.01)
    assert here.changed(np.zeros(5)) == frozenset()
    assert here.wrong == {"W"}
    assert here.matched(np.ones(5)) == {"W", "b"}
