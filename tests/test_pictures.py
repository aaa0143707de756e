"""Pictures' data: reduced without losing the worst entry, small, and plain JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradcheck.drawing.curves import error_curve
from gradcheck.drawing.pictures import CELLS, grids, histogram, scatter, share
from gradcheck.report import Verdict

SHAPES = [(), (1,), (7,), (100,), (9001,), (4, 8), (784, 100), (3, 20000), (3, 4, 5), (16, 8, 3, 3)]


def made(shape, *, wrong=None, seed=0):
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=shape)
    analytic = reference.copy()
    verdicts = np.full(shape, "pass", dtype="U12")
    if wrong is not None:
        analytic[wrong] *= 1.5
        verdicts[wrong] = "fail"
    error = np.abs(analytic - reference) / np.maximum(np.abs(analytic), np.abs(reference))
    return {
        "analytic": analytic,
        "reference": reference,
        "uncertainty": np.full(shape, 1e-9),
        "relative_error": error,
        "verdicts": verdicts,
    }


def n_cells(result):
    return sum(len(row) for piece in result["slices"] for row in piece["relative_error"])


@pytest.mark.parametrize("shape", SHAPES)
def test_grids_are_small_and_plain(shape):
    result = grids(**made(shape))
    json.dumps(result, allow_nan=False)
    # a vector's last row may be padded
    assert n_cells(result) <= CELLS + 64
    assert result["shape"] == list(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_one_wrong_entry_is_seen_whatever_the_size(shape):
    wrong = tuple(n // 2 for n in shape)
    result = grids(**made(shape, wrong=wrong))
    for piece in result["slices"][:1]:
        assert "".join(piece["state"]).count("f") == 1
    position = int(np.ravel_multi_index(wrong, shape)) if shape else 0
    shown = [
        piece["entry"][r][c] if piece["entry"] else None
        for piece in result["slices"]
        for r, letters in enumerate(piece["state"])
        for c, letter in enumerate(letters)
        if letter == "f"
    ]
    assert all(entry in (None, position) for entry in shown)


def test_a_small_matrix_stands_as_it_is():
    made_up = made((2, 3), wrong=(1, 2))
    (piece,) = grids(**made_up, autograd=made_up["reference"])["slices"]
    assert piece["state"] == ["ppp", "ppf"]
    assert piece["entry"] is None
    assert (piece["row_block"], piece["column_block"]) == (1, 1)
    np.testing.assert_allclose(piece["analytic"], made_up["analytic"], rtol=5e-4)
    np.testing.assert_allclose(piece["autograd"], made_up["reference"], rtol=5e-4)
    assert piece["relative_error"][1][2] == pytest.approx(1 / 3, rel=1e-3)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 200), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_cell_shows_the_largest_error_of_its_block(rows, columns, max_cells, seed):
    made_up = made((rows, columns), seed=seed)
    made_up["relative_error"] = np.random.default_rng(seed).random((rows, columns))
    (piece,) = grids(**made_up, max_cells=max_cells)["slices"]
    high, wide = piece["row_block"], piece["column_block"]
    assert len(piece["state"]) * len(piece["state"][0]) <= max_cells
    for r, row in enumerate(piece["relative_error"]):
        for c, value in enumerate(row):
            block = made_up["relative_error"][r * high : (r + 1) * high, c * wide : (c + 1) * wide]
            assert value == pytest.approx(block.max(), rel=1e-3)


def test_a_wrong_entry_hides_behind_no_larger_error():
    """What passes at a large relative error (lost in noise) does not cover what fails."""
    made_up = made((1, 4), wrong=(0, 1))
    made_up["relative_error"][0, 3] = 1.0
    made_up["uncertainty"][0, 3] = 10.0
    (piece,) = grids(**made_up, max_cells=1)["slices"]
    assert piece["state"] == ["f"]
    assert piece["entry"] == [[1]]
    (piece,) = grids(**made_up)["slices"]
    assert piece["state"] == ["pfpn"]


def test_entries_that_were_not_checked_are_blank():
    made_up = made((2, 2))
    made_up["relative_error"][0, 0] = np.nan
    made_up["verdicts"][0, 0] = ""
    assert grids(**made_up)["slices"][0]["state"] == ["-p", "pp"]
    assert grids(**made_up, max_cells=1)["slices"][0]["state"] == ["p"]


def test_severities_are_taken_for_verdicts():
    made_up = made((1, 4))
    words = np.array([["pass", "inconclusive", "fail", ""]])
    ranks = np.array([[0, 1, 2, -1]])
    assert Verdict.FAIL.severity == 2
    by_word = grids(**(made_up | {"verdicts": words}))
    by_rank = grids(**(made_up | {"verdicts": ranks}))
    assert by_word == by_rank
    assert by_rank["slices"][0]["state"] == ["pif-"]


def test_a_word_that_is_no_verdict_is_refused():
    with pytest.raises(KeyError):
        grids(**(made((2,)) | {"verdicts": np.array(["pass", "passed"])}))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"reference has shape \(3,\)"):
        grids(**(made((2,)) | {"reference": np.zeros(3)}))


def test_non_finite_gradients_are_drawn():
    made_up = made((1, 3), wrong=(0, 1))
    made_up["analytic"][0, 1] = np.nan
    made_up["relative_error"][0, 1] = np.nan
    made_up["analytic"][0, 2] = -np.inf
    (piece,) = grids(**made_up)["slices"]
    assert piece["analytic"][0][1:] == ["nan", "-inf"]
    assert piece["state"] == ["pfp"]
    assert grids(**made_up, max_cells=1)["slices"][0]["entry"] == [[1]]


def test_more_dimensions_are_slices_below_an_overview():
    result = grids(**made((16, 8, 3, 3), wrong=(5, 2, 1, 1)))
    overview, *slices = result["slices"]
    assert overview["kind"] == "overview"
    assert overview["state"][5][2] == "f"
    assert len(slices) == 6
    assert result["left_out"] == 16 * 8 - 6
    (found,) = [piece for piece in slices if piece["at"] == [5, 2]]
    assert found["state"] == ["ppp", "pfp", "ppp"]


def test_a_long_vector_is_folded():
    (piece,) = grids(**made((100,), wrong=(70,)))["slices"]
    assert [len(row) for row in piece["state"]] == [64, 64]
    assert piece["state"][1][6] == "f"
    assert piece["analytic"][1][36:] == [None] * 28


def test_nothing_to_draw():
    assert grids(**made((0, 3)))["slices"] == []
    assert scatter(np.zeros(0), np.zeros(0))["analytic"] == []
    assert histogram(np.zeros(0), np.nan)["counts"] == []


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40))
def test_small_parameters_keep_all_their_cells(sizes):
    shares = share(sizes)
    assert sum(shares) <= CELLS + len(sizes)
    fair = CELLS // len(sizes)
    for size, given_cells in zip(sizes, shares, strict=True):
        assert given_cells >= min(max(size, 1), fair)


def test_scatter_keeps_the_worst_and_both_ends():
    made_up = made((5000,), wrong=(1234,))
    data = scatter(
        made_up["analytic"], made_up["reference"], verdicts=made_up["verdicts"], max_points=200
    )
    assert len(data["entry"]) <= 200
    assert 1234 in data["entry"]
    assert data["state"][data["entry"].index(1234)] == "f"
    assert data["entries"] == 5000
    assert int(np.argmax(made_up["reference"])) in data["entry"]
    assert int(np.argmin(made_up["reference"])) in data["entry"]


def test_scatter_leaves_out_what_has_no_number():
    data = scatter([1.0, np.nan, 3.0], [1.0, 2.0, np.nan], verdicts=["pass", "fail", ""])
    assert data["entry"] == [0]


def test_histogram_counts_every_checked_entry_once():
    error = np.array([0.0, 0.0, 1e-16, 3e-12, 0.5, 1.0, np.inf, np.nan, 0.9])
    noise = np.zeros(9, dtype=bool)
    noise[-1] = True
    data = histogram(error, 1e-8, below_noise=noise)
    assert sum(data["counts"]) + data["zero"] + data["non_finite"] + data["in_noise"] == 8
    assert (data["zero"], data["non_finite"], data["in_noise"]) == (2, 1, 1)
    assert len(data["counts"]) == len(data["edges"]) - 1 <= 40
    assert data["resolution"] == 1e-8


def test_histogram_of_wide_spread_stays_small():
    data = histogram(10.0 ** np.linspace(-300, 2, 1000), 1.0)
    assert len(data["counts"]) <= 40
    assert sum(data["counts"]) == 1000


def curve(loss_at, analytic, **options):
    known = {"scale": 1.0, "noise": 2e-16, "chosen_step": 6e-6, "uncertainty": 1e-10}
    return error_curve(loss_at, analytic, **(known | options))


def test_v_curve_has_its_two_slopes():
    data = curve(lambda t: float(np.exp(1 + t)), float(np.e))
    json.dumps(data, allow_nan=False)
    # truncation of a central difference: the third derivative by six
    assert data["truncation"]["coefficient"] == pytest.approx(np.e / 6, rel=0.05)
    errors = np.array(data["error"])
    steps = np.array(data["step"])
    best = steps[errors.argmin()]
    assert 1e-7 < best < 1e-4
    assert errors[0] > 1e3 * errors.min()
    assert errors[-1] > 1e3 * errors.min()
    assert data["kink"] is None


def test_v_curve_of_a_wrong_gradient_never_comes_down():
    data = curve(lambda t: float(np.exp(1 + t)), 2 * float(np.e))
    assert min(data["error"]) > 2.5


def test_kink_has_its_one_sided_slopes():
    data = curve(lambda t: max(0.0, t) - 0.25 * min(0.0, t) + t * t, 0.0)
    assert data["kink"]["left_slope"] == pytest.approx(-0.25, abs=1e-4)
    assert data["kink"]["right_slope"] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("loss_at", [lambda t: 1e3 * t * t, lambda t: 3 * t, lambda t: 0.0])
def test_curvature_is_no_kink(loss_at):
    assert curve(loss_at, 0.0)["kink"] is None


def test_a_noisy_loss_is_no_kink():
    rng = np.random.default_rng(0)
    data = curve(lambda t: t + 1e-6 * rng.normal(), 1.0, noise=1e-6)
    assert data["kink"] is None


def test_quadratic_has_no_truncation_to_draw():
    assert curve(lambda t: 1.0 + t + t * t, 1.0)["truncation"] is None


@pytest.mark.parametrize("loss", [abs, lambda t: t * t, lambda t: 0.0])
def test_evaluations_are_counted(loss):
    calls = []

    def loss_at(offset):
        calls.append(offset)
        return loss(offset)

    assert curve(loss_at, 0.0)["evaluations"] == len(calls)


def test_edge_of_the_domain_is_drawn_as_it_is():
    data = curve(lambda t: float(np.sqrt(t)) if t >= 0 else float("nan"), 0.0)
    json.dumps(data, allow_nan=False)
    assert "nan" in data["loss"]
    assert data["kink"] is None


def test_what_the_loss_raises_passes_through():
    with pytest.raises(ZeroDivisionError):
        curve(lambda t: 1 / 0, 0.0)
