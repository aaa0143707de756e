"""What ``--arg`` understands, and what it refuses."""

import numpy as np
import pytest

from gradcheck.errors import UsageError
from gradcheck.targets.input_specs import PRIMES, choose_sizes, draw_inputs
from gradcheck.targets.spec_grammar import parse, parse_sizes


def draw(text, seed=0, **sizes):
    return draw_inputs([parse("x", text)], seed=seed, sizes=sizes)["x"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", 0.1),
        ("-3", -3),
        ("1e-4", 1e-4),
        ("True", True),
        ("None", None),
        ("'mean'", "mean"),
        ("(3, 4)", (3, 4)),
        ("['a', 'b']", ["a", "b"]),
        ("{'a': 1}", {"a": 1}),
        ("2*3 + 1", 7),
        ("1/4", 0.25),
        ("[[1, 2], [3]]", [[1, 2], [3]]),
    ],
)
def test_literals_are_values(text, value):
    assert draw(text) == value
    assert type(draw(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "dtype", "value"),
    [
        ("[1.0, 2.0]", np.float64, [1.0, 2.0]),
        ("[0, 2, 1]", np.int64, [0, 2, 1]),
        ("[[1, 2], [3, 4]]", np.int64, [[1, 2], [3, 4]]),
        ("zeros(3)", np.float64, [0, 0, 0]),
        ("ones(2, dtype=float32)", np.float32, [1, 1]),
        ("zeros((2, 1))", np.float64, [[0], [0]]),
        ("arange(3)", np.int64, [0, 1, 2]),
        ("linspace(0, 1, 3)", np.float64, [0, 0.5, 1]),
        ("eye(2)", np.float64, [[1, 0], [0, 1]]),
        ("full((2,), 7.0)", np.float64, [7, 7]),
        ("array([1, 2], dtype='float32')", np.float32, [1, 2]),
        ("integers(1, size=3)", np.int64, [0, 0, 0]),
        ("[nan, inf]", np.float64, [np.nan, np.inf]),
    ],
)
def test_numbers_in_brackets_and_constructions_are_arrays(text, dtype, value):
    drawn = draw(text)
    assert drawn.dtype == dtype
    np.testing.assert_array_equal(drawn, value)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("randn(4,8)", (4, 8)),
        ("randn(size=(4,8))", (4, 8)),
        ("rand(3)", (3,)),
        ("normal(size=5)", (5,)),
        ("normal(0, 2, 5)", (5,)),
        ("normal(0, 2, size=(5, 2))", (5, 2)),
        ("uniform(-1, 1, size=5)", (5,)),
        ("integers(3, size=20)", (20,)),
        ("integers(2, 9, size=(3, 2))", (3, 2)),
        ("exponential(2.0, size=4)", (4,)),
        ("permutation(6)", (6,)),
        ("0.1 * randn(4, 8) + 1", (4, 8)),
        ("-randn(3)", (3,)),
        ("normal(N, D)", (7, 5)),
        ("normal(N, 2)", (7, 2)),
        ("normal((N, D))", (7, 5)),
        ("uniform(N)", (7,)),
        ("randn(2*N, D + 1)", (14, 6)),
        ("randn(N, N)", (7, 7)),
        ("uniform(-1, 1, size=(N, D))", (7, 5)),
        ("integers(K, size=N)", (5,)),
    ],
)
def test_draws_have_the_shape_that_is_written(text, shape):
    assert draw(text).shape == shape


def test_a_draw_without_a_size_is_a_number():
    assert np.ndim(draw("normal()")) == 0


def test_draws_are_what_numpys_generator_gives():
    many = draw("normal(3, 0.5, size=20000)")
    assert abs(many.mean() - 3) < 0.02
    assert abs(many.std() - 0.5) < 0.02
    labels = draw("integers(3, size=2000)")
    assert set(labels) == {0, 1, 2}
    spread = draw("uniform(-1, 1, size=2000)")
    assert -1 <= spread.min() < -0.9
    assert 0.9 < spread.max() <= 1


def test_the_same_seed_draws_the_same_and_another_does_not():
    np.testing.assert_array_equal(draw("randn(5)"), draw("randn(5)"))
    assert not np.array_equal(draw("randn(5)"), draw("randn(5)", seed=1))


def test_an_input_does_not_depend_on_the_others():
    both = draw_inputs([parse("W", "randn(3)"), parse("x", "randn(5)")])
    np.testing.assert_array_equal(both["x"], draw("randn(5)"))
    assert not np.array_equal(both["W"], both["x"][:3])


class TestSizes:
    def test_symbols_are_shared_and_unbound_ones_are_distinct_primes(self):
        drawn = draw_inputs(
            [
                parse("X", "randn(N, D)"),
                parse("W", "randn(D, K)"),
                parse("y", "integers(K, size=N)"),
            ]
        )
        n, d = drawn["X"].shape
        k = drawn["W"].shape[1]
        assert drawn["W"].shape == (d, k)
        assert drawn["y"].shape == (n,)
        assert drawn["y"].max() < k
        assert len({n, d, k}) == 3
        assert {n, d, k} <= set(PRIMES)

    def test_a_bound_size_is_used_and_repeated_by_no_other(self):
        specs = [parse("X", "randn(N, D)")]
        assert choose_sizes(specs, {"N": 5}) == {"N": 5, "D": 7}

    def test_a_number_that_is_written_is_no_symbols_size(self):
        assert choose_sizes([parse("X", "randn(N, 7)")], {}) == {"N": 5}

    def test_a_size_that_no_input_has_is_refused(self):
        with pytest.raises(UsageError, match="no input has a size M; the sizes are N, D"):
            choose_sizes([parse("X", "randn(N, D)")], {"M": 3})

    @pytest.mark.parametrize("text", ["N", "N=", "N=0", "N=-1", "N=2.5", "n=3", "=3", "N=x"])
    def test_a_size_is_a_symbol_and_a_positive_number(self, text):
        with pytest.raises(UsageError, match="--size N=20"):
            parse_sizes([text])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("randn(4,", "cannot be read as a spec"),
        ("", "cannot be read as a spec"),
        ("mean", r"a string needs its quotes \('mean'\)"),
        ("rndn(3)", r"no draw 'rndn' \(did you mean 'randn'\?\)"),
        ("np.zeros(3)", "write the bare name"),
        ("__import__('os')", "no draw '__import__'"),
        ("().__class__", "not evaluated as Python code"),
        ("[x for x in (1, 2)]", "not evaluated as Python code"),
        ("lambda: 3", "not evaluated as Python code"),
        ("randn(3)[0]", "not evaluated as Python code"),
        ("9**9", r"only \+ - \* / //"),
        ("not True", "only - and"),
        ("randn(*(3, 4))", r"\* and \*\*"),
        ("{**{}}", r"\*\* has no place"),
        ("randn(2.5)", "whole number, not 2.5"),
        ("randn(-1)", "cannot be negative"),
        ("randn(10**6)", r"only \+ - \* / //"),
        ("randn(1000000, 1000000)", "too many"),
        ("randn(3, size=3)", "shape once"),
        ("normal(foo=3)", "normal has no argument 'foo'"),
        ("uniform(1, 2, 3, 4)", "at most 3 arguments"),
        ("normal(1, loc=2)", "loc twice"),
        ("integers(size=3)", "integers needs low"),
        ("integers(0, size=3)", "low >= high|high <= 0"),
        ("normal(scale=-1, size=3)", "scale < 0"),
        ("1/0", "division by zero"),
        ("randn(3, dtype='floot')", "floot"),
        ("'a' - 1", "unsupported operand"),
    ],
)
def test_whatever_is_not_in_the_grammar_is_refused_with_advice(text, message):
    with pytest.raises(UsageError, match=message) as caught:
        draw(text)
    assert "x=" in str(caught.value)
