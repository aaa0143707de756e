"""Each pattern fires on its mistake, and stays silent on the near miss beside it."""

import numpy as np
import pytest

from gradcheck.diagnose import Evidence, diagnose
from gradcheck.diagnose.arrangement import permuted, swapped, transposed, wrong_axis
from gradcheck.diagnose.entries import duplicate_indices, isolated_entries
from gradcheck.diagnose.flat import loss_ignores_parameter, zero_gradient
from gradcheck.diagnose.precision import integer_truncation, low_precision
from gradcheck.diagnose.proportional import constant_factor, data_term_factor
from gradcheck.diagnose.regulariser import regulariser

rng = np.random.default_rng(7)
W, B = rng.standard_normal((4, 3)), rng.standard_normal(3)
DW, DB = rng.standard_normal((4, 3)), rng.standard_normal(3)


def evidence(analytic, reference, values=None, *, relative=1e-9, **more):
    """Evidence from arrays by name; the uncertainty is ``relative`` to the largest entry."""
    values = values or {
        name: {"W": W, "b": B}.get(name, rng.standard_normal(np.shape(g)))
        for name, g in reference.items()
    }
    uncertainty = {
        name: np.full(np.shape(g), relative * max(np.abs(g).max(), 1e-300))
        for name, g in reference.items()
    }
    failing = {
        name: np.abs(analytic[name] - reference[name]) > 1e3 * uncertainty[name]
        for name in reference
    }
    return Evidence(
        names=tuple(reference),
        values=values,
        analytic=analytic,
        reference=reference,
        uncertainty=uncertainty,
        failing=failing,
        **more,
    )


def only(findings):
    assert len(findings) == 1
    return findings[0]


# constant factors


def test_a_negated_gradient_is_a_sign():
    found = only(constant_factor(evidence({"W": -DW, "b": -DB}, {"W": DW, "b": DB})))
    assert (found.cause, found.parameters, found.confidence) == ("sign", ("W", "b"), "exact")


def test_a_factor_that_is_an_array_size_is_a_forgotten_division():
    sizes = ((300, "the rows of X"), (3, "the columns of W"))
    found = only(constant_factor(evidence({"W": 300 * DW}, {"W": DW}, sizes=sizes)))
    assert found.cause == "batch_not_divided"
    assert "300" in found.message
    assert "the rows of X" in found.message
    assert found.evidence["factor"] == 300.0


def test_the_inverse_of_an_array_size_is_a_division_too_many():
    sizes = ((300, "the rows of X"),)
    found = only(constant_factor(evidence({"W": DW / 300}, {"W": DW}, sizes=sizes)))
    assert found.cause == "batch_divided_twice"


def test_another_factor_is_a_scale_with_its_number():
    found = only(
        constant_factor(evidence({"W": 2 * DW}, {"W": DW}, sizes=((300, "the rows of X"),)))
    )
    assert (found.cause, found.evidence["factor"]) == ("scale", 2.0)
    found = only(constant_factor(evidence({"W": 2.7182 * DW}, {"W": DW})))
    assert (found.cause, found.evidence["words"]) == ("scale", "2.7182")


def test_n_over_n_minus_one_is_named():
    found = only(
        constant_factor(evidence({"W": DW * 20 / 19}, {"W": DW}, sizes=((20, "the rows of X"),)))
    )
    assert found.cause == "scale"
    assert "20/19" in found.evidence["words"]


def test_a_factor_with_one_entry_off_is_no_factor():
    wrong = 300 * DW
    wrong[1, 2] *= 1.001
    assert constant_factor(evidence({"W": wrong}, {"W": DW}, sizes=((300, "the rows of X"),))) == ()


def test_a_single_number_has_every_factor_so_an_unnamed_one_says_nothing():
    c, dc = np.array(0.3), np.array(1.7)
    assert constant_factor(evidence({"c": 3.1 * dc}, {"c": dc}, {"c": c})) == ()
    found = only(constant_factor(evidence({"c": -dc}, {"c": dc}, {"c": c})))
    assert (found.cause, found.confidence) == ("sign", "likely")


def test_two_parameters_with_different_factors_are_two_findings():
    found = constant_factor(evidence({"W": -DW, "b": 2 * DB}, {"W": DW, "b": DB}))
    assert [(f.cause, f.parameters) for f in found] == [("sign", ("W",)), ("scale", ("b",))]


def test_central_differences_are_enough_to_name_a_factor():
    reference = DW * (1 + 1e-7 * rng.standard_normal(DW.shape))
    found = only(
        constant_factor(
            evidence(
                {"W": 300 * DW}, {"W": reference}, relative=1e-6, sizes=((300, "the rows of X"),)
            )
        )
    )
    assert (found.cause, found.confidence) == ("batch_not_divided", "exact")


def test_an_undivided_data_term_beside_a_right_regulariser():
    sizes, scalars = ((300, "the rows of X"),), {"reg": 0.1}
    right = {"W": DW + 0.1 * W, "b": DB}
    wrong = {"W": 300 * DW + 0.1 * W, "b": 300 * DB}
    found = only(data_term_factor(evidence(wrong, right, sizes=sizes, scalars=scalars)))
    assert (found.cause, found.parameters) == ("batch_not_divided", ("W", "b"))
    assert found.evidence["data_term_only"] is True
    (first, *_) = diagnose(evidence(wrong, right, sizes=sizes, scalars=scalars))
    assert (first.cause, first.parameter) == ("batch_not_divided", "")


def test_a_data_term_beside_an_unknown_multiple_of_the_parameter_is_not_explained():
    right = {"W": DW + 0.1 * W}
    wrong = {"W": 300 * DW + 7.77 * W}
    sizes, scalars = ((300, "the rows of X"),), {"reg": 0.1}
    assert data_term_factor(evidence(wrong, right, sizes=sizes, scalars=scalars)) == ()


# the regulariser


def test_a_missing_regulariser():
    right = {"W": DW + 0.2 * W, "b": DB}
    found = only(regulariser(evidence({"W": DW, "b": DB}, right, scalars={"reg": 0.1})))
    assert (found.cause, found.parameters) == ("reg_missing", ("W",))
    assert "2 reg" in found.message


def test_a_regulariser_twice_too_large():
    right, wrong = {"W": DW + 0.1 * W}, {"W": DW + 0.2 * W}
    found = only(regulariser(evidence(wrong, right, scalars={"reg": 0.1})))
    assert (found.cause, found.confidence) == ("reg_scale", "likely")


def test_a_regularised_bias():
    found = only(regulariser(evidence({"b": DB + 0.2 * B}, {"b": DB}, scalars={"reg": 0.1})))
    assert (found.cause, found.parameters) == ("reg_extra", ("b",))


def test_a_regularised_bias_column():
    extra = np.zeros_like(W)
    extra[:, 0] = 0.1 / 20 * W[:, 0]
    found = only(
        regulariser(
            evidence(
                {"W": DW + extra}, {"W": DW}, scalars={"lam": 0.1}, sizes=((20, "the rows of X"),)
            )
        )
    )
    assert found.cause == "reg_extra"
    assert "column 0" in found.message
    assert "lam/20" in found.message


def test_a_residual_that_is_almost_the_parameter_is_not_the_regulariser():
    wrong = DW + 0.2 * W
    wrong[0, 0] += 1e-3
    assert regulariser(evidence({"W": wrong}, {"W": DW}, scalars={"reg": 0.1})) == ()


# arrangement


def test_a_transposed_square_gradient():
    square = rng.standard_normal((4, 4))
    found = only(transposed(evidence({"V": square.T}, {"V": square})))
    assert (found.cause, found.confidence) == ("transpose", "exact")


def test_a_gradient_read_column_by_column():
    found = only(transposed(evidence({"W": DW.T.reshape(4, 3)}, {"W": DW})))
    assert "reshaped" in found.message


def test_a_symmetric_gradient_or_another_matrix_is_not_transposed():
    square = rng.standard_normal((4, 4))
    symmetric = square + square.T
    assert transposed(evidence({"V": 2 * symmetric}, {"V": symmetric})) == ()
    assert transposed(evidence({"V": square.T + 1e-6}, {"V": square})) == ()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (DW[::-1], "rows reversed"),
        (DW[:, ::-1], "columns reversed"),
        (np.roll(DW, 1, axis=0), "rows shifted by 1"),
        (DW[[2, 0, 3, 1]], "rows in another order"),
        (DW.ravel()[rng.permutation(12)].reshape(4, 3), "entries in another order"),
    ],
)
def test_permuted_gradients(wrong, words):
    found = only(permuted(evidence({"W": wrong}, {"W": DW})))
    assert found.cause == "permuted"
    assert words in found.message


def test_a_permutation_with_a_changed_entry_is_none():
    wrong = DW[::-1].copy()
    wrong[0, 0] *= 1.01
    assert permuted(evidence({"W": wrong}, {"W": DW})) == ()


def test_exchanged_gradients():
    one, two = rng.standard_normal((3, 3)), rng.standard_normal((3, 3))
    found = only(swapped(evidence({"U": two, "V": one}, {"U": one, "V": two})))
    assert (found.cause, found.parameters) == ("swapped_parameters", ("U", "V"))
    assert "exchanged" in found.message


def test_the_gradient_of_another_parameter():
    one, two = rng.standard_normal((3, 3)), rng.standard_normal((3, 3))
    found = only(swapped(evidence({"U": two, "V": two}, {"U": one, "V": two})))
    assert found.parameters == ("U",)


def test_gradients_that_only_resemble_each_other_are_not_exchanged():
    one, two = rng.standard_normal((3, 3)), rng.standard_normal((3, 3))
    assert swapped(evidence({"U": two * 1.01, "V": one}, {"U": one, "V": two})) != ()
    assert swapped(evidence({"U": two * 1.01, "V": one * 1.01}, {"U": one, "V": two})) == ()


@pytest.mark.parametrize("axis", [0, 1])
def test_a_sum_too_many(axis):
    wrong = np.broadcast_to(DW.sum(axis, keepdims=True), DW.shape)
    found = only(wrong_axis(evidence({"W": wrong}, {"W": DW})))
    assert found.cause == "wrong_axis"
    assert f"sum over axis {axis}" in found.message
    assert wrong_axis(evidence({"W": wrong + 1e-4 * DW}, {"W": DW})) == ()


# zero and flat


def test_a_zero_gradient():
    found = only(zero_gradient(evidence({"W": 0 * DW, "b": DB}, {"W": DW, "b": DB})))
    assert (found.cause, found.parameters) == ("zero_gradient", ("W",))


def test_a_tiny_gradient_is_not_zero():
    assert zero_gradient(evidence({"W": 1e-30 * DW}, {"W": DW})) == ()


def test_a_loss_that_ignores_its_parameter_but_for_the_regulariser():
    remains = 0.05 * W
    remains[:, 0] = 0.0
    found = only(
        loss_ignores_parameter(
            evidence(
                {"W": DW + remains},
                {"W": remains},
                scalars={"lam": 1.0},
                sizes=((20, "the rows of X"),),
            )
        )
    )
    assert found.cause == "loss_ignores_parameter"
    assert "lam/20 times the parameter (in all columns but column 0)" in found.message


def test_a_loss_that_is_flat():
    found = only(loss_ignores_parameter(evidence({"W": DW}, {"W": 0 * DW})))
    assert "does not change" in found.message


def test_a_small_true_gradient_is_not_a_flat_loss():
    assert (
        loss_ignores_parameter(
            evidence({"W": DW}, {"W": 1e-3 * rng.standard_normal((4, 3))}, scalars={"lam": 1.0})
        )
        == ()
    )


# precision


def test_a_gradient_stored_in_integers():
    right = 10 * DW
    found = only(
        integer_truncation(
            evidence({"W": np.trunc(right)}, {"W": right}, analytic_dtype={"W": "int64"})
        )
    )
    assert found.cause == "integer_truncation"
    assert integer_truncation(evidence({"W": np.trunc(right) + 1}, {"W": right})) == ()


def test_a_gradient_summed_in_single_precision():
    right = rng.standard_normal((6, 5))
    single = right.astype(np.float32).astype(np.float64)
    found = only(low_precision(evidence({"V": single}, {"V": right}, relative=1e-14)))
    assert (found.cause, found.evidence["dtype"]) == ("low_precision_accumulation", "float32")


def test_a_gradient_that_is_off_by_a_tiny_factor_is_not_rounding():
    right = rng.standard_normal((6, 5))
    assert low_precision(evidence({"V": right * (1 + 1e-7)}, {"V": right}, relative=1e-14)) == ()


# places


def test_rows_that_an_index_array_names_twice():
    wrong = DW.copy()
    wrong[1] *= 0.5
    idx = np.array([0, 1, 1, 2])
    found = only(duplicate_indices(evidence({"W": wrong}, {"W": DW}, integer_arrays={"idx": idx})))
    assert (found.cause, found.evidence["indices"]) == ("duplicate_indices", "idx")


def test_wrong_rows_that_are_not_the_repeated_ones():
    wrong = DW.copy()
    wrong[2] *= 0.5
    idx = np.array([0, 1, 1, 2])
    assert duplicate_indices(evidence({"W": wrong}, {"W": DW}, integer_arrays={"idx": idx})) == ()


def test_labels_that_all_occur_twice_are_not_taken_for_indices():
    wrong = DW.copy()
    wrong[:3] *= 0.5
    labels = np.array([0, 1, 2, 0, 1, 2])
    assert duplicate_indices(evidence({"W": wrong}, {"W": DW}, integer_arrays={"y": labels})) == ()


def test_isolated_entries_rows_and_columns():
    wrong = rng.standard_normal((10, 10))
    for where, words in [((3, 4), "entry [3, 4]"), ((2,), "row 2"), ((slice(None), 7), "column 7")]:
        off = wrong.copy()
        off[where] += 1.0
        found = only(isolated_entries(evidence({"V": off}, {"V": wrong})))
        assert words in found.message


def test_a_wholly_wrong_gradient_is_not_isolated():
    assert isolated_entries(evidence({"W": DW + 1.0}, {"W": DW})) == ()


# the answer


def test_nothing_failing_gets_no_diagnosis():
    assert diagnose(evidence({"W": DW, "b": DB}, {"W": DW, "b": DB})) == ()


def test_noise_is_unexplained_and_says_where():
    wrong = DW + rng.standard_normal(DW.shape)
    (found,) = diagnose(evidence({"W": wrong, "b": DB}, {"W": DW, "b": DB}))
    assert (found.cause, found.parameter) == ("unexplained", "W")
    assert "all entries" in found.message


def test_never_more_than_three():
    names = [f"p{k}" for k in range(5)]
    right = {name: rng.standard_normal(6) for name in names}
    factors = [-1.0, 2.0, 3.3, 4.4, 5.5]
    wrong = {name: f * right[name] for name, f in zip(names, factors, strict=True)}
    assert len(diagnose(evidence(wrong, right))) == 3


def test_unchecked_entries_do_not_matter():
    reference = DW.copy()
    reference[0, 0] = np.nan
    values = {"W": W}
    uncertainty = {"W": np.full(DW.shape, 1e-9)}
    failing = {"W": np.isfinite(reference)}
    (found,) = diagnose(
        Evidence(("W",), values, {"W": -DW}, {"W": reference}, uncertainty, failing)
    )
    assert found.cause == "sign"
