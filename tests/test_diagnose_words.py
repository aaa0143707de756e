"""Every pattern's findings in full, and the names of numbers and places: what a reader is told."""

import numpy as np
import pytest
from gold_files import assert_gold
from test_diagnose_patterns import evidence

from gradcheck.diagnose.factors import name_coefficient, name_factor
from gradcheck.diagnose.matching import fit, quality
from gradcheck.diagnose.patterns import match_patterns
from gradcheck.diagnose.where import place

generator = np.random.default_rng(11)
W, B, V = (generator.normal(size=shape) for shape in ((6, 4), (4,), (4, 4)))
DW, DB, DV = (10 * generator.normal(size=shape) for shape in ((6, 4), (4,), (4, 4)))
T, DT = generator.normal(size=(2, 3, 4)), generator.normal(size=(2, 3, 4))
LONG, DLONG = generator.normal(size=30), generator.normal(size=30)
ROWS = (300, "the rows of X")
SIZES = (ROWS, (7, "the columns of X"))
REG = {"reg": 0.7}
VALUES = {"W": W, "b": B, "V": V, "T": T, "v": LONG}
RIGHT = {"W": DW, "b": DB, "V": DV, "T": DT, "v": DLONG}


def wrong(more=None, **analytic):
    """Evidence of a wrong gradient; parameters without a claimed one are right."""
    more = dict(more or {})
    right = {**RIGHT, **more.pop("right", {})}
    names = [name for name in VALUES if name in analytic]
    return evidence(
        {name: analytic[name] for name in names},
        {name: right[name] for name in names},
        {name: VALUES[name] for name in names},
        **more,
    )


def changed(array, index, by=3.0):
    result = array.copy()
    result[index] += by
    return result


def times_rows(array, rows, factor):
    result = array.copy()
    result[rows] *= factor
    return result


HALVES = generator.integers(0, 5, size=(6, 4)) + 0.25 + 0.5 * generator.integers(0, 2, size=(6, 4))
CASES = {
    "sign": wrong(W=-DW, b=-DB),
    "sign of one": wrong(W=-DW, b=DB),
    "times the rows": wrong({"sizes": SIZES}, W=300 * DW),
    "over the rows": wrong({"sizes": SIZES}, W=DW / 300, b=DB / 300),
    "times the columns": wrong({"sizes": SIZES}, W=7 * DW),
    "over the columns": wrong({"sizes": SIZES}, W=DW / 7),
    "2": wrong(W=2 * DW),
    "1/2": wrong(W=DW / 2, b=DB / 2),
    "n/(n-1)": wrong({"sizes": SIZES}, W=DW * 300 / 299),
    "reg": wrong({"scalars": REG}, W=0.7 * DW),
    "1/reg": wrong({"scalars": REG}, W=DW / 0.7),
    "a number": wrong(W=2.345678 * DW),
    "two numbers": wrong(W=2.345678 * DW, b=-2.0 * DB),
    "almost 1": wrong(W=(1 + 1e-8) * DW),
    "a coarse reference": wrong({"relative": 1e-4}, W=2 * DW),
    "too coarse a reference": wrong({"relative": 0.1}, W=2 * DW),
    "nine tenths off": wrong(W=2 * DW + 1e-3),
    "data term": wrong(
        {"sizes": SIZES, "scalars": REG, "right": {"W": DW + 0.7 * W}},
        W=300 * DW + 0.7 * W,
        b=300 * DB,
    ),
    "data term's sign": wrong(
        {"scalars": REG, "right": {"W": DW + 1.4 * W}}, W=-DW + 1.4 * W, b=-DB
    ),
    "data term without scalars": wrong({"right": {"W": DW + 0.7 * W}}, W=2 * DW + 0.7 * W),
    "data term, another coefficient": wrong(
        {"scalars": REG, "right": {"W": DW + 0.41 * W}}, W=2 * DW + 0.41 * W
    ),
    "regulariser missing": wrong({"scalars": REG}, W=DW - 0.7 * W),
    "regulariser missing, doubled": wrong({"scalars": REG}, W=DW - 1.4 * W),
    "regulariser missing, averaged": wrong(
        {"scalars": REG, "sizes": SIZES}, W=DW - 0.7 / 300 * W, V=DV - 0.7 / 300 * V
    ),
    "regulariser too large": wrong({"scalars": REG}, W=DW + 0.35 * W),
    "regulariser of a number": wrong(W=DW + 0.123 * W),
    "regulariser missing beside another mistake": wrong({"scalars": REG}, W=3 * DW, V=DV - 0.7 * V),
    "transposed beside another mistake": wrong(W=np.abs(DW), V=DV.T),
    "regularised bias": wrong({"scalars": REG}, b=DB + 0.7 * B),
    "regularised row": wrong({"scalars": REG}, W=DW + 0.7 * W * (np.arange(6) == 5)[:, None]),
    "regularised block": wrong(
        {"scalars": REG}, W=DW + 0.7 * np.pad(W[1:4, 1:3], ((1, 2), (1, 1)))
    ),
    "a column not regularised": wrong(
        {"scalars": REG}, W=DW - 0.7 * np.pad(W[:, 1:], ((0, 0), (1, 0)))
    ),
    "the square alone": wrong({"scalars": REG, "right": {"W": 2 * W}}, W=1.3 * W),
    "transposed": wrong(V=DV.T),
    "column by column": wrong(W=DW.T.reshape(6, 4)),
    "axes of three": wrong({"right": {"T": DT}}, T=DT.transpose(1, 0, 2).reshape(2, 3, 4)),
    "last two axes": wrong(T=DT.transpose(0, 2, 1).reshape(2, 3, 4)),
    "rows reversed": wrong(W=DW[::-1]),
    "columns reversed": wrong(W=DW[:, ::-1]),
    "both reversed": wrong(W=DW[::-1, ::-1]),
    "vector reversed": wrong(v=DLONG[::-1]),
    "slices reversed": wrong(T=DT[:, ::-1]),
    **{f"rows shifted by {k}": wrong(W=np.roll(DW, k, axis=0)) for k in (1, 2, 3, 4, 5)},
    "columns shifted": wrong(W=np.roll(DW, -1, axis=1)),
    "vector shifted": wrong(v=np.roll(DLONG, -4)),
    "slices shifted": wrong(T=np.roll(DT, 1, axis=2)),
    "rows in another order": wrong(W=DW[[2, 0, 1, 5, 4, 3]]),
    "entries in another order": wrong(W=DW.reshape(-1)[generator.permutation(24)].reshape(6, 4)),
    **{
        f"{words} over axis {axis}": wrong(W=np.broadcast_to(how(axis, keepdims=True), DW.shape))
        for axis in (0, 1)
        for words, how in (("sum", DW.sum), ("mean", DW.mean))
    },
    "sum over two axes": wrong(W=np.broadcast_to(DW.sum(), DW.shape)),
    "mean over two of three axes": wrong(
        T=np.broadcast_to(DT.mean((0, 2), keepdims=True), DT.shape)
    ),
    "zero": wrong(W=0 * DW, b=0 * DB),
    "zero of integers": wrong({"analytic_dtype": {"W": "int64"}}, W=0 * DW),
    "flat": wrong({"right": {"W": 0 * DW}}, W=DW),
    "flat within the noise": wrong(
        {"right": {"W": 1e-9 * np.sign(DW)}, "relative": 1.0}, W=np.where(DW > 0, DW, 1.0)
    ),
    "flat but for the regulariser": wrong(
        {"right": {"W": 0.7 * W, "V": 0.7 * V}, "scalars": REG}, W=DW, V=DV
    ),
    "flat but for a regularised row": wrong(
        {"right": {"W": 1.4 * W * (np.arange(6) == 2)[:, None]}, "scalars": REG}, W=DW
    ),
    "two regularisers": wrong({"right": {"W": 0.7 * W}, "scalars": REG}, W=1.4 * W),
    "cut off": wrong({"analytic_dtype": {"W": "int64"}}, W=np.trunc(DW)),
    "rounded": wrong({"right": {"W": HALVES}}, W=np.round(HALVES)),
    "rounded down": wrong({"analytic_dtype": {"W": "uint8"}}, W=np.floor(DW)),
    "single precision": wrong({"relative": 1e-14}, W=DW.astype("f4").astype(float)),
    "half precision": wrong({"relative": 1e-14}, W=DW.astype("f2").astype(float), b=DB),
    "summed in single precision": wrong(
        {"relative": 1e-15}, v=DLONG * (1 + 1e-7 * generator.normal(size=30))
    ),
    "too few for noise": wrong(
        {"relative": 1e-15}, V=DV * (1 + 1e-7 * generator.normal(size=(4, 4)))
    ),
    "rows named twice": wrong(
        {"integer_arrays": {"idx": np.array([0, 1, 1, 2, -1, 5])}}, W=times_rows(DW, [1, 5], 0.3)
    ),
    "columns named twice": wrong(
        {"integer_arrays": {"idx": np.array([0, 3, 3])}}, W=times_rows(DW.T, [3], 0.3).T
    ),
    "slices named twice": wrong(
        {"integer_arrays": {"idx": np.array([0, 2, 2])}}, T=changed(DT, (slice(None), 2))
    ),
    "indices beyond": wrong(
        {"integer_arrays": {"idx": np.array([0, 1, 1, 6])}}, W=times_rows(DW, [1], 0.3)
    ),
    "an entry": wrong(W=changed(DW, (2, 3))),
    "two entries": wrong(W=changed(changed(DW, (2, 3)), (0, 1))),
    "a row": wrong(W=changed(DW, 2)),
    "a column": wrong(W=changed(DW, (slice(None), 1))),
    "a block": wrong(W=changed(DW, (slice(1, 4), slice(1, 4)))),
    "half of the rows": wrong(W=changed(DW, slice(0, 3))),
    "more than half": wrong(W=changed(DW, slice(0, 4))),
    "a fifth of a vector": wrong(v=changed(DLONG, slice(0, 28, 5))),
    "more than a fifth": wrong(v=changed(DLONG, slice(0, 28, 4))),
}


def in_full(found):
    if not found:
        return "    nothing\n"
    return "".join(
        f"    {one.cause}, {', '.join(one.parameters)}: {one.confidence}, {one.specificity}\n"
        f"        {one.message}\n        {one.remedy}\n        {_plain(one.evidence)}\n"
        for one in found
    )


def _plain(values):
    items = (
        f"{key}={value:.6g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in values.items()
    )
    return ", ".join(items)


def test_what_each_pattern_says():
    text = "".join(f"{name}\n{in_full(match_patterns(case))}" for name, case in CASES.items())
    assert_gold("diagnoses.txt", text)


@pytest.mark.parametrize(
    ("value", "words", "kind", "size"),
    [
        (-1, "-1", "sign", None),
        (5, "5, the rows of X", "size", 5),
        (1 / 5, "1/5, one over the rows of X", "inverse_size", 5),
        (7, "7, the columns of W", "size", 7),
        (1 / 7, "1/7, one over the columns of W", "inverse_size", 7),
        (35, "35, the rows of X times the columns of W", "size", 35),
        (1 / 35, "1/35, one over the rows of X times the columns of W", "inverse_size", 35),
        (5 / 4, "5/4, with 5 the rows of X", "plain", 5),
        (4 / 5, "4/5, with 5 the rows of X", "plain", 5),
        (5 / 6, "5/6, with 5 the rows of X", "plain", 5),
        (-5, "-5, minus the rows of X", "plain", 5),
        (25, "5 squared, the rows of X", "plain", 5),
        (1 / 25, "one over 5 squared, the rows of X", "plain", 5),
        *((float(k), str(k), "plain", None) for k in (2, -2, 4, -4, 3)),
        *((1 / 2, "1/2", "plain", None), (-1 / 2, "-1/2", "plain", None)),
        *((1 / 3, "1/3", "plain", None), (2 / 3, "2/3", "plain", None)),
        *((3 / 2, "3/2", "plain", None), (1 / 4, "1/4", "plain", None)),
        *((3 / 4, "3/4", "plain", None), (4 / 3, "4/3", "plain", None)),
        *((0.7, "reg", "plain", None), (1 / 0.7, "1/reg", "plain", None)),
    ],
)
def test_a_number_has_its_name(value, words, kind, size):
    sizes = ((5, "the rows of X"), (7, "the columns of W"), (1, "the rows of y"))
    known = wrong({"sizes": sizes, "scalars": {"reg": 0.7, "one": 1.0, "zero": 0.0}}, W=2 * DW)
    for near in (value, value * (1 + 0.9e-3), value * (1 - 0.9e-3)):
        (found,) = name_factor(near, known)
        assert (found.words, found.kind, found.size) == (words, kind, size)
        assert found.value == pytest.approx(value, rel=1e-15)
    for far in (value * (1 + 1.1e-3), value * (1 - 1.1e-3), -9.9 * value):
        assert list(name_factor(far, known)) == []


def test_sizes_of_one_and_two_are_names_of_rows_only():
    one = ((1, "the rows of Y"), (1, "the columns of Y"))
    sizes = ((2, "the rows of X"), (2, "the columns of X"), *one)
    known = wrong({"sizes": sizes}, W=2 * DW)
    assert [one.words for one in name_factor(2.0, known)] == ["2, the rows of X", "2"]
    assert [one.words for one in name_factor(1.0, known)] == []
    several = wrong({"sizes": ((3, "the columns of X"), (3, "the examples"))}, W=2 * DW)
    assert next(name_factor(3.0, several)).words == "3, the examples"


@pytest.mark.parametrize(
    ("value", "exact", "words"),
    [
        (0.7, 0.7, "reg"),
        (-0.7, -0.7, "-reg"),
        (1.4, 1.4, "2 reg"),
        (0.35, 0.35, "reg/2"),
        (-2.8, -2.8, "-4 reg"),
        (0.14, 0.14, "reg/5"),
        (-0.28, -0.28, "-2 reg/5"),
        (0.4, 0.4, "4 reg/7"),
        (0.7006, 0.7, "reg"),
    ],
)
def test_a_coefficient_has_its_name(value, exact, words):
    sizes = ((5, "the rows of X"), (7, "the columns of W"))
    for scalar in (0.7, -0.7):
        known = wrong({"sizes": sizes, "scalars": {"reg": scalar}}, W=2 * DW)
        assert name_coefficient(value, known) == (pytest.approx(exact, rel=1e-15), words)


@pytest.mark.parametrize("value", [0.701, 0.699, 0.0, 7.0, -0.71])
def test_another_coefficient_has_none(value):
    known = wrong({"sizes": SIZES, "scalars": {"reg": 0.7, "zero": 0.0}}, W=2 * DW)
    assert name_coefficient(value, known) is None


def marked(shape, *indices):
    mask = np.zeros(shape, bool)
    for index in indices:
        mask[index] = True
    return mask


ALL = slice(None)


@pytest.mark.parametrize(
    ("mask", "kind", "words", "region"),
    [
        (marked((3, 4), ALL), "all", "all entries", 12),
        (marked((3, 4), 1), "slices", "row 1", 4),
        (marked((5, 4), 0, 1), "slices", "rows 0 and 1", 8),
        (marked((5, 4), 0, 1, 2, 4), "slices", "all rows but row 3", 16),
        (marked((7, 4), *range(5)), "slices", "all rows but rows 5 and 6", 20),
        (marked((9, 4), *range(6)), "slices", "rows 0, 1, 2, 3, 4 and 5", 24),
        (marked((12, 4), *range(7)), "slices", "7 rows", 28),
        (marked((3, 4), (ALL, 2)), "slices", "column 2", 3),
        (marked((3, 4, 2), (ALL, 1)), "slices", "index of axis 1 1", 6),
        (marked((3, 4, 2), (ALL, 1), (ALL, 2)), "slices", "indices of axis 1 1 and 2", 12),
        (marked((3, 4), (1, 2)), "few", "entry [1, 2]", 1),
        (marked((3, 4), (1, 2), (0, 3)), "few", "entries [0, 3] and [1, 2]", 2),
        (marked((6,), 1, 3, 4), "few", "entries [1], [3] and [4]", 3),
        (marked((9,), *range(6)), "few", "entries [0], [1], [2], [3], [4] and [5]", 6),
        (marked((9,), *range(7)), "scattered", "7 of 9 entries", 7),
        (marked((4, 5), (slice(1, 4), slice(2, 5))), "block", "the block [1:4, 2:5]", 9),
        (
            marked((4, 5), ([0, 0, 1, 1, 2, 3, 3], [0, 1, 0, 4, 2, 1, 3])),
            "scattered",
            "7 of 20 entries",
            7,
        ),
    ],
)
def test_a_place_has_its_words(mask, kind, words, region):
    found = place(mask)
    assert (found.kind, found.words, int(found.region.sum())) == (kind, words, region)
    assert (found.region >= mask).all()


def test_a_slice_is_wholly_wrong_where_all_that_would_show_is():
    left = marked((3, 4), (ALL, slice(0, 2)))
    assert place(left, left).kind == "all"
    assert place(left & marked((3, 4), 1), left).words == "row 1"
    assert place(left & marked((3, 4), 1)).words == "entries [1, 0] and [1, 1]"
    hollow = marked((4, 5), (slice(0, 3), slice(0, 3)))
    hollow[1, 1] = False
    assert place(hollow, hollow | ~marked((4, 5), (1, 1))).words == "the block [0:3, 0:3]"
    assert place(hollow).kind == "scattered"


# How well an explanation fits


def graded(error, tolerance, left):
    """The grade of a candidate that leaves ``left`` of an error, all in each of 16 entries."""
    facts = wrong({"relative": 1e-12}, V=DV + error).facts["V"]
    return quality(facts, DV + error - left, np.full((4, 4), tolerance))


@pytest.mark.parametrize(
    ("tolerance", "left", "grade"),
    [
        (1e-9, 0.0, "exact"),
        (1e-9, 3.9e-9, "exact"),
        (1e-9, 4.1e-9, "possible"),
        (0.029, 0.0, "exact"),
        (0.031, 0.0, "likely"),
        (0.249, 0.9, "likely"),
        (0.251, 0.0, None),
        (1e-9, 0.0099, "possible"),
        (1e-9, 0.0101, None),
    ],
)
def test_a_grade_is_by_what_is_left_and_by_what_is_known(tolerance, left, grade):
    assert graded(1.0, tolerance, left) == grade


def test_what_is_known_must_be_predicted():
    facts = wrong(V=2 * DV).facts["V"]
    unknown = np.where(np.eye(4, dtype=bool), np.nan, 2 * DV)
    assert quality(facts, 2 * DV) == "exact"
    assert quality(facts, unknown) is None
    assert quality(facts, (2 * DV)[:2]) is None
    assert quality(wrong(V=DV).facts["V"], DV) is None


def test_a_fit_needs_more_entries_than_coefficients():
    facts = wrong(V=2 * DV).facts["V"]
    one = fit(facts, facts.analytic, facts.reference)
    assert one.coefficients == pytest.approx((2.0,), rel=1e-12)
    assert one.overdetermined
    few = marked((4, 4), (0, ALL))
    assert not fit(facts, facts.analytic, facts.reference, V, where=few).overdetermined
    assert fit(
        facts, facts.analytic, facts.reference, V, where=few | marked((4, 4), (1, 0))
    ).overdetermined
    assert fit(facts, facts.analytic, facts.reference, 3 * facts.reference) is None
    assert fit(facts, facts.analytic, 0 * facts.reference) is None
    assert fit(facts, facts.analytic, V, facts.reference, where=marked((4, 4), (0, 0))) is None


@pytest.mark.parametrize(
    ("looked_at", "words"),
    [
        ([(3, 4)], "entry [3, 4]"),
        ([(3, 4), (5, 4)], "entry [3, 4]"),
        ([(k, 4) for k in range(6)], "column 4"),
    ],
)
def test_one_wrong_entry_of_a_sample_is_no_column(looked_at, words):
    known, wrong = np.zeros((2, 6, 8), dtype=bool)
    known[0] = True
    for index in looked_at:
        known[index] = True
        wrong[index] = index == (3, 4) or words == "column 4"
    assert place(wrong, consider=known).words == words
