"""What is used at several places, or in several runs, and which of them a mistake is asked of."""

import numpy as np
from handed_rules import G, N, Z, by_words, handed
from test_diagnose_repeated import M, U, W, X, asked

from gradcheck.diagnose import repeated
from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.probe import Probe
from gradcheck.diagnose.probes import missing_factors, scaled_by_result
from gradcheck.diagnose.repeated import _readings, overwritten_results, stale_in_loop
from gradcheck.diagnose.wrong_products import summed_to
from gradcheck.diagnose.wrong_shares import wrong_shares
from gradcheck.tracing import trace


def test_what_is_used_once_has_no_factor_of_its_own_pass():
    def loss(U, W):
        return np.sum(np.sin((np.tanh(X[0] @ U) * M[0]) @ W))

    h = np.tanh(X[0] @ U)
    claimed = M[0].T @ np.cos((h * M[0]) @ W)
    assert asked(stale_in_loop, loss, "W", claimed, U=U, W=W) is None


def test_a_reading_after_the_loop_is_no_part_of_what_its_passes_overwrite():
    def loss(U):
        total = 0.0
        z = np.sin(U)
        for k in range(3):
            total = total + np.sum(z * (k + 1.0)) + np.sum(z * (k + 4.0))
        return total + np.sum(z * 9.0)

    traced = trace(loss, (U,), {}, {"U": U})
    found = list(overwritten_results(traced, graph_of(traced), traced.cotangents()))
    sine = next(o.index for o in traced.operations if o.name == "sin")
    # of 1 + 2 + 3 the last, of 4 + 5 + 6 the last, and of 5 + 7 + 9 the last pass
    changes = [extra[sine][0, 0] for _, extra in found]
    assert changes == [-3.0, -9.0, -12.0]
    assert [operation.name for operation, _ in found] == ["multiply", "multiply", "sin"]


def test_contributions_are_kept_up_to_a_number_of_entries(monkeypatch):
    table, bags = np.ones((5, 2)), (np.array([0, 1, 1]), np.array([3, 0, 3]))

    def loss(E):
        total = 0.0
        for k, bag in enumerate(bags):
            total = total + np.sum(np.sin(E[bag]) * (k + 1))
        return total

    traced = trace(loss, (), {"E": table}, {"E": table})
    probe = Probe(traced, graph_of(traced), traced.cotangents())
    uses = probe.uses("E")

    def causes(most):
        monkeypatch.setattr(repeated, "MOST_ENTRIES", most)
        return [cause for cause, _ in _readings(uses, probe)]

    # two runs of ten entries; six rows of ten
    assert causes(19) == []
    assert causes(20) == causes(59) == ["term_missing"]
    assert causes(60) == ["term_missing", "duplicate_indices", "duplicate_indices"]


def test_a_number_is_no_factor_that_was_left_out():
    def loss(p, q):
        return np.sum(p * 2.0 / np.exp(q))

    p, q = np.array([0.3, -1.2, 2.0]), np.array(0.7)
    claimed = np.full(3, 2.0)  # not divided by exp(q): a matter of scale
    assert asked(missing_factors, loss, "p", claimed, p=p, q=q) is None
    assert asked(scaled_by_result, loss, "p", claimed, p=p, q=q) is None
    wide = np.full(3, 0.7)
    assert asked(missing_factors, loss, "p", claimed, p=p, q=wide).cause == "factor_missing"


def shares_of_two_runs(summed_in):
    """Other shares offered for both runs of an exponential that is summed in one of them."""

    def loss(W):
        total = 0.0
        for k in range(2):
            E = np.exp(W * (1.0 + k))
            total = total + (np.sum(np.sum(E, axis=1)) if k == summed_in else np.sum(E * G))
        return total

    _, pool = handed(loss, "exp", {"W": Z}, data={"Q": N})
    flow = pool.flow
    (both,) = [h for h in flow.handings() if h.operation.name == "exp" and len(h.runs) == 2]
    return by_words(wrong_shares(both, pool))


def test_of_several_runs_the_first_says_whether_shares_are_taken():
    assert "is computed with Q itself in place of its own result" in shares_of_two_runs(0)
    assert shares_of_two_runs(1) == {}


def test_a_factor_of_another_shape_than_the_product_is_not_taken_in_its_place():
    """Though ``dW += m.T @ d`` of a column would add the same to each row."""
    columns = M[:, :, :1]

    def loss(U, W):
        total = 0.0
        for x, m in zip(X, columns, strict=True):
            s = np.tanh(x @ U) * m
            total = total + np.sum(np.sin(s @ W))
        return total

    moved = [np.cos((np.tanh(x @ U) * m) @ W) for x, m in zip(X, columns, strict=True)]
    row = sum(m.T @ d for m, d in zip(columns, moved, strict=True))
    claimed = np.tile(row, (3, 1))
    assert asked(stale_in_loop, loss, "W", claimed, U=U, W=W) is None


def test_an_axis_without_entries_is_summed_to_none():
    assert summed_to(np.zeros((2, 3, 0)), (0,)).shape == (2, 0)
    assert summed_to(np.ones((2, 3, 4)), (1, 4)).shape == (2, 1, 4)


def test_what_one_of_many_runs_gave_is_no_other_value_of_what_ran_once():
    def loss(W):
        total = 0.0
        for k in range(4):
            total = total + np.sum(np.sin(W * (k + 1.0)))
        return total + np.sum(np.exp(W) * G)

    here, pool = handed(loss, "exp", {"W": Z})
    found = [other.index for other in pool.of_shape(Z.shape, here) if other.index is not None]
    assert [pool.flow.graph.by_index[index].name for index in found] == ["exp", "multiply"]
