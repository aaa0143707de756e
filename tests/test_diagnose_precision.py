"""Which rounding a gradient shows: how many bits, how far off, of which signs, beside what."""

import numpy as np
import pytest
from test_diagnose_patterns import evidence

from gradcheck.diagnose import precision
from gradcheck.diagnose.precision import integer_truncation, low_precision

generator = np.random.default_rng(61)


def named(claimed, right, **more):
    """The type that is named for a gradient, with how sure that is; None for none."""
    arrays = {"v": np.asarray(claimed, float)}, {"v": np.asarray(right, float)}
    found = low_precision(evidence(*arrays, arrays[1], relative=1e-15, **more))
    return [(one.evidence["dtype"], one.confidence) for one in found]


# Stored in a narrow type


@pytest.mark.parametrize(("dtype", "bits"), [("bfloat16", 8), ("float16", 11), ("float32", 24)])
@pytest.mark.parametrize("grain", [0.5, 2.0**-12])
def test_some_entry_needs_all_but_two_of_the_bits(dtype, bits, grain):
    """Of whole multiples of a grain the largest is that many times as large."""
    enough = 2.0 ** (bits - 2)
    for largest, expected in ((enough, [(dtype, "likely")]), (enough - 1, [])):
        claimed = grain * np.array([1.0, enough - 1, -largest, 3.0, 0.0])
        assert named(claimed, claimed * 1.0001 + grain * 1e-5) == expected


def test_counts_say_nothing_of_the_type_that_holds_them():
    counts = np.array([64.0, 3.0, -127.0, 0.0])
    assert named(counts, counts * 1.001 + 0.02) == []
    assert named(0.5 * counts, 0.5 * counts * 1.001 + 0.02) == [("bfloat16", "likely")]


@pytest.mark.parametrize(
    ("own", "told"), [("float64", True), ("float32", True), ("float16", False)]
)
def test_what_the_parameter_is_stored_in_itself_explains_nothing(own, told):
    right = generator.uniform(0.5, 0.9, size=40)
    half = right.astype(np.float16).astype(float)
    found = named(half, right, own_dtype={"v": own})
    assert found == ([("float16", "likely")] if told else [])


@pytest.mark.parametrize(
    ("dtype", "most"), [("bfloat16", 5e-2), ("float16", 5e-2), ("float32", 1e-3)]
)
def test_a_narrow_type_explains_errors_of_its_size(dtype, most):
    """The largest error, of the largest entry of the right gradient."""
    right = generator.uniform(0.5, 0.9, size=12).astype(np.float32).astype(float)
    kept = precision._rounded(right, dtype)
    for share, expected in ((0.98, [(dtype, "likely")]), (1.02, [])):
        off = kept.copy()
        off[3] += share * most  # the entry that is off
        off[3] = precision._rounded(off[3:4], dtype)[0]
        true = kept.copy()
        true[3] = off[3] - np.sign(off[3]) * share * most * 0.999
        true[5] = 1.0
        assert named(np.where(np.arange(12) == 5, 1.0, off), true) == expected


def test_what_no_narrow_type_holds_is_not_stored_in_one():
    right = np.array([1.0e6, 3.0, 1.0 / 3.0, 70000.5, 2.0**-30 / 3])
    assert named(right * (1 + 1e-4), right) == []
    single = np.array([1.0e6 + 0.0625, 3.0, 1 / 3, 70000.5]).astype(np.float32).astype(float)
    assert named(single, single * (1 + 1e-5)) == [("float32", "likely")]
    assert named(np.array([1e150, 1.0, 1 / 3]), np.array([1.001e150, 1.0, 1 / 3])) == []


def test_bfloat16_keeps_the_upper_half_of_a_single():
    values = np.array([1.0, 1.0 + 2.0**-7, 1.0 + 2.0**-8, -(1.0 + 2.0**-7 + 2.0**-9), 3.0e38])
    np.testing.assert_array_equal(
        precision._rounded(values, "bfloat16")[:4],
        [1.0, 1.0 + 2.0**-7, 1.0, -(1.0 + 2.0**-7)],
    )


@pytest.mark.parametrize(
    ("value", "bit"),
    [(1.0, 1.0), (3.0, 1.0), (12.0, 4.0), (-0.75, 0.25), (2.0**-40, 2.0**-40), (0.1, 2.0**-55),
     (1.0 + 2.0**-52, 2.0**-52)],
)  # fmt: skip
def test_the_lowest_bit_of_a_number(value, bit):
    assert precision._lowest_bit(np.array([value]))[0] == bit


# Rounded on the way


def rounded(ups, downs, exact, *, size=1e-7):
    """A gradient of so many entries off upwards, downwards, and not at all, mixed."""
    count = ups + downs + exact
    signs = np.repeat([1.0, -1.0, 0.0], [ups, downs, exact])
    signs = np.random.default_rng(2).permutation(signs)
    right = np.where(np.arange(count) % 2, 1.0 / 3.0, -2.0 / 3.0)
    off = np.sign(right) * signs
    return right + off * size * np.linalg.norm(right) / np.linalg.norm(off), right


@pytest.mark.parametrize(
    ("ups", "downs", "exact", "expected"),
    [
        (10, 10, 0, True), (10, 6, 24, True), (9, 7, 24, False), (30, 10, 0, True),
        (31, 9, 0, False), (6, 10, 4, True),
    ],
)  # fmt: skip
def test_a_quarter_is_off_upwards_at_least_and_three_quarters_at_most(ups, downs, exact, expected):
    found = named(*rounded(ups, downs, exact))
    assert found == ([("float32", "possible")] if expected else [])


def test_entries_that_are_zero_or_not_known_do_not_count():
    claimed, right = rounded(10, 9, 0)
    assert named(claimed, right) == []
    more = np.append(claimed, 1 / 3 + 1e-9), np.append(right, 1 / 3)
    assert named(*more) == [("float32", "possible")]
    for beside, true in ((1e-9, 0.0), (1 / 3, np.nan)):
        assert named(np.append(claimed, beside), np.append(right, true)) == []


@pytest.mark.parametrize(("neighbours", "white"), [(0.49, True), (0.51, False)])
def test_errors_of_neighbours_have_less_than_half_to_do_with_each_other(neighbours, white):
    """``together`` is this share of the sum of the squares: each pair of the alike is one share."""
    count = 400
    pairs = round(neighbours * count)
    signs = np.ones(count)
    for k in range(1, count):
        # alternating but for the first so many, of which each agrees with the one before
        signs[k] = signs[k - 1] if k <= (count - 1 + pairs) // 2 + 0 else -signs[k - 1]
    together = float(signs[:-1] @ signs[1:])
    right = np.where(signs > 0, 1 / 3, 2 / 3) * np.where(np.arange(count) % 3, 1.0, -1.0)
    claimed = right + signs * 1e-8
    assert (together <= 0.5 * count) is white
    assert bool(named(claimed, right)) is white


def test_the_last_of_a_part_stands_beside_the_first_of_the_next(monkeypatch):
    """Two in each part: those of one part differ in sign, those that meet are alike, or not."""
    right = np.tile([1 / 3, -2 / 3], 12)
    for signs, white in (
        (np.tile([1.0, -1.0, -1.0, 1.0], 6), True),
        (np.tile([1.0, 1.0, 1.0, 1.0, 1.0, -1.0], 4), True),
    ):
        whole = named(right + signs * 1e-8, right)
        monkeypatch.setattr(
            precision, "parts", lambda size: (slice(k, k + 2) for k in range(0, size, 2))
        )
        assert named(right + signs * 1e-8, right) == whole
        monkeypatch.undo()
        assert bool(whole) is white


# Whole numbers


def cut(claimed, right, **more):
    arrays = {"v": np.asarray(claimed, float)}, {"v": np.asarray(right, float)}
    found = integer_truncation(evidence(*arrays, arrays[1], **more))
    return [one.evidence["words"] for one in found]


RIGHT = np.array([1.7, -2.6, 3.2, -0.4, 5.5, 7.9])


@pytest.mark.parametrize(
    ("claimed", "words"),
    [
        (np.trunc(RIGHT), ["cut off"]), (np.round(RIGHT), ["rounded"]),
        (np.floor(RIGHT), ["rounded down"]), (np.ceil(RIGHT), []), (np.trunc(RIGHT) + 0.5, []),
        (0 * RIGHT, []),
    ],
)  # fmt: skip
def test_a_gradient_of_whole_numbers(claimed, words):
    assert cut(claimed, RIGHT) == words


def test_a_whole_number_that_is_known_from_a_little_below_stays_what_it_is():
    below = np.array([3.0 - 1e-9])
    integers = {"analytic_dtype": {"v": "int64"}}
    assert cut([2.0], below, **integers) == []
    assert cut([2.0], below - 1e-7, **integers) == ["cut off"]
    assert cut([1.0, 3.0], np.array([1.7, 3.0 - 1e-9]), **integers) == ["cut off"]


def test_one_wrong_whole_number_tells_nothing_by_itself():
    assert cut([1.0, 2.5], np.array([1.7, 2.5])) == []
    assert cut([1.0, 3.0], np.array([1.7, 3.0])) == []
    assert cut([1.0, 2.0], np.array([1.7, 2.5])) == ["cut off"]


def test_a_gradient_of_nothing_was_cut_off_if_it_is_stored_as_whole_numbers():
    for dtype, words in (("int64", ["cut off"]), ("uint8", ["cut off"]), ("float64", [])):
        assert cut(0 * RIGHT[:1], RIGHT[:1] * 0.5, analytic_dtype={"v": dtype}) == words


# Sizes and signs


def noisy(count, relative, upward):
    right = np.abs(generator.normal(size=count)) + 0.5
    # spread evenly: errors of neighbours have nothing to do with each other
    steps = np.floor(np.arange(count + 1) * round(upward * count) / count)
    error = np.where(np.diff(steps) > 0, 1.0, -1.0)
    error *= relative * np.linalg.norm(right) / np.linalg.norm(error)
    return evidence({"v": right + error}, {"v": right}, {"v": right}, relative=1e-15)


@pytest.mark.parametrize(
    ("count", "relative", "upward", "expected"),
    [
        (20, 1e-7, 0.5, True), (19, 1e-7, 0.5, False), (40, 1.1e-9, 0.5, True),
        (40, 0.9e-9, 0.5, False), (40, 2.9e-6, 0.5, True), (40, 3.1e-6, 0.5, False),
        (40, 1e-7, 0.25, True), (40, 1e-7, 0.2, False), (40, 1e-7, 0.75, True),
        (40, 1e-7, 0.8, False),
    ],
)  # fmt: skip
def test_rounding_has_its_size_and_either_sign(count, relative, upward, expected):
    assert bool(low_precision(noisy(count, relative, upward))) is expected


def test_errors_that_are_smooth_over_the_entries_are_no_rounding():
    place = np.linspace(0, 1, 60)
    right = np.cos(4 * np.pi * place)
    for error, expected in (
        (np.sin(np.pi * place), False),
        (generator.normal(size=60), True),
    ):
        off = 1e-7 * right.std() * error
        known = evidence({"v": right + off}, {"v": right}, {"v": right}, relative=1e-15)
        assert bool(low_precision(known)) is expected


def stored(dtype, relative=1e-14, **change):
    right = generator.normal(size=12)
    claimed = right.astype(dtype).astype(float) * change.get("factor", 1.0)
    return evidence({"v": claimed}, {"v": right}, {"v": right}, relative=relative)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_gradient_that_is_all_numbers_of_a_narrower_type(dtype):
    (found,) = low_precision(stored(dtype))
    assert (found.confidence, found.specificity) == ("likely", 35)
    assert found.evidence == {"dtype": dtype}
    assert f"every entry is a {dtype} number" in found.message


@pytest.mark.parametrize(
    ("dtype", "factor", "named"),
    [
        ("float32", 1 + 2.0**-11, True), ("float32", 1.5, False), ("float16", 1 + 2.0**-6, True),
        ("float16", 1.125, False), ("float64", 1 + 2.0**-11, False),
    ],
)  # fmt: skip
def test_a_narrow_number_that_is_far_off_is_another_mistake(dtype, factor, named):
    right = np.round(generator.normal(size=12), 3)
    right[np.abs(right) < 0.1] += 0.5
    narrow = (right * factor).astype(dtype).astype(float)
    known = evidence({"v": narrow}, {"v": right}, {"v": right}, relative=1e-14)
    assert bool(low_precision(known)) is named


def test_whole_numbers_say_nothing_about_their_type():
    right = np.arange(1.0, 13.0)
    claimed = right.copy()
    claimed[3] += 1.0
    assert low_precision(evidence({"v": claimed}, {"v": right * 1000.0001}, {"v": right})) == ()
