"""In which order kinks are settled together, and what is left alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from closed_problems import central, closed_problem, judged_by, noise_of

from gradcheck.oracle_runs import OracleRuns
from gradcheck.oracles.torch_autograd import NONE, Autograd
from gradcheck.report import Notice
from gradcheck.settings import Settings
from gradcheck.sweep.localize import Localisation
from gradcheck.sweep.selection import Selection
from gradcheck.sweep.wrong_blocks import WrongBlock
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS
from gradcheck.verdict.kinks_together import settle_kinks_together

NOTICES = tuple(Notice(key, key) for key in ("loss_jumps", "trace_discarded", "unsettled"))


def kinked(lower: Any, upper: Any) -> Any:
    """Central differences of a parameter that is at kinks where the two slopes differ."""
    lower, upper = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
    sides = {"lower": lower, "upper": upper, "kinks": lower < upper, "steps": 1e-3}
    return central(0.5 * (lower + upper), **sides)


def settled(
    loss: Any,
    gradient: Any,
    claims: Any,
    *,
    seen: Any,
    rtol: float | None = None,
    jumps: Any = None,
    trace: Any = None,
    dtype: Any = float,
    spread: float = 0.0,
    located: Localisation | None = None,
) -> Any:
    """Verdicts by parameter, keys of notices, causes, and how often the gradient was asked for."""
    values = {name: np.zeros(np.shape(claim), dtype) for name, claim in claims.items()}
    problem, looks = closed_problem(loss, gradient, claims, spread=spread, **values)
    parameters = {name: judged_by(claim, central=seen[name]) for name, claim in claims.items()}
    autograd = NONE if trace is None else Autograd({}, "trace", trace=trace)
    selection = Selection({}, sampled=False, localisation=located)
    runs = OracleRuns({}, autograd, selection, seen, NOTICES)
    noise = replace(noise_of(1e-18, 0.0, dtype), jumps=jumps)
    settings = Settings(rtol=rtol)
    generator = np.random.default_rng(0)
    found, runs, known = settle_kinks_together(
        problem, settings, noise, generator, parameters, runs
    )
    codes = {name: one.combined.codes.tolist() for name, one in found.items()}
    keys = [one.key for one in runs.notices]
    return codes, keys, [one.cause for one in known], len(looks.gradients)


KEYS = [one.key for one in NOTICES]


# What fails entry by entry


def largest(x: Any) -> Any:
    return x.max()


def first_of_largest(x: Any) -> Any:
    return {"x": 1.0 * (np.arange(x.size) == np.argmax(x))}


FAILS = {"loss": largest, "gradient": first_of_largest, "seen": {"x": central([0.0, 0.0])}}


def test_what_fails_passes_as_a_subgradient_and_the_trace_was_right() -> None:
    codes, keys, causes, looks = settled(claims={"x": [0.25, 0.75]}, **FAILS)
    assert codes == {"x": [PASS, PASS]}
    assert keys == ["loss_jumps", "unsettled"]
    assert causes == []
    assert looks == 16  # of eight points, and halfway to each


def test_what_is_none_fails_as_before() -> None:
    codes, keys, causes, _ = settled(claims={"x": [0.25, 0.76]}, **FAILS)
    assert (codes, keys, causes) == ({"x": [FAIL, FAIL]}, KEYS, [])


@pytest.mark.parametrize("how", [{"rtol": 1e-3}, {"spread": 1e-9}])
def test_by_a_plain_threshold_or_of_a_loss_that_is_drawn_nothing_is_looked_at(how: Any) -> None:
    codes, keys, _, looks = settled(claims={"x": [0.25, 0.75]}, **FAILS, **how)
    assert (codes, keys, looks) == ({"x": [FAIL, FAIL]}, KEYS, 0)


# What passes, or is open, entry by entry


def absolute(x: Any) -> Any:
    return np.abs(x) @ [1.0, 2.0]


def signs_times(factor: float) -> Any:
    return lambda x: {"x": factor * np.sign(x.astype(float)) * [1.0, 2.0][: x.size]}


KINKS = {"x": kinked([-1.0, -2.0], [1.0, 2.0])}


def test_what_is_right_beside_the_point_as_well_stays_as_it_is() -> None:
    found = settled(absolute, signs_times(1.0), {"x": [0.0, 0.5]}, seen=KINKS)
    assert found == ({"x": [PASS, PASS]}, KEYS, [], 2)


@pytest.mark.parametrize(("claim", "code"), [([0.0, 0.5], PASS), ([0.0, 3.0], INCONCLUSIVE)])
def test_what_is_wrong_there_fails_whether_it_passed_or_was_open(claim: Any, code: int) -> None:
    assert judged_by(claim, central=KINKS["x"]).combined.codes.tolist() == [PASS, code]
    codes, keys, causes, looks = settled(absolute, signs_times(3.0), {"x": claim}, seen=KINKS)
    assert (codes, keys, causes) == ({"x": [FAIL, FAIL]}, KEYS, ["kink"])
    assert looks == 4


@pytest.mark.parametrize(
    ("dtype", "part", "causes"),
    [
        (np.float64, 4.5e-5, []),
        (np.float64, 5.5e-5, ["kink"]),
        (np.float32, 2.2e-4, []),
        (np.float32, 2.8e-4, ["kink"]),
    ],
)
def test_a_twentieth_of_the_coarsest_uncertainty_is_none_there(
    dtype: Any, part: float, causes: list[str]
) -> None:
    # in exact arithmetic of the float32 steps: the loss is that of doubles
    def loss(x: Any) -> Any:
        return np.abs(x.astype(float)).sum()

    found = settled(
        loss, signs_times(1 + part), {"x": [0.5]}, seen={"x": kinked([-1], [1])}, dtype=dtype
    )
    assert found[2] == causes


def test_a_parameter_without_kinks_is_not_looked_at() -> None:
    found = settled(
        lambda x, y: np.abs(x).sum() + 4 * y.sum(),
        lambda x, y: {"x": np.sign(x), "y": np.full(1, 3.0)},
        {"x": [0.5], "y": [4.0]},
        seen={"x": kinked([-1], [1]), "y": central([4.0])},
    )
    assert found == ({"x": [PASS], "y": [PASS]}, KEYS, [], 2)


def test_of_a_loss_that_jumps_all_along_nothing_beside_is_looked_at() -> None:
    jumps: Any = SimpleNamespace()
    found = settled(absolute, signs_times(3.0), {"x": [0.0, 0.5]}, seen=KINKS, jumps=jumps)
    assert found == ({"x": [PASS, PASS]}, KEYS, [], 0)


def test_what_is_open_passes_as_a_subgradient_then() -> None:
    # of max(x, 0) - 0.1 max(-x, 0) every slope between is one: 0 is what no piece gives
    seen = {"x": kinked([0.1, 0.1], [1.0, 1.0])}

    def loss(x: Any) -> Any:
        return np.where(x > 0, x, 0.1 * x).sum()

    def gradient(x: Any) -> Any:
        return {"x": np.where(x > 0, 1.0, 0.1)}

    for claim, code in (([0.0, 0.5], INCONCLUSIVE), ([0.1 - 9e-7, 0.5], PASS)):
        assert judged_by(claim, central=seen["x"]).combined.codes[0] == INCONCLUSIVE
        codes, _, causes, looks = settled(loss, gradient, {"x": claim}, seen=seen)
        assert (codes["x"][0], causes) == (code, [])
        assert looks > 2
        _, _, _, looks = settled(loss, gradient, {"x": claim}, seen=seen, rtol=1e-3)
        assert looks == 2


# What contradicts the loss together

TIE = {"x": kinked([0.0, 0.0], [1.0, 1.0])}


def trace(*choices: Any, ties: int = 1) -> Any:
    """A trace of operations that sit on kinks, with their own choices of a subgradient."""
    gradients = [{"x": np.array(one, dtype=float)} for one in choices]
    return SimpleNamespace(ties=ties, subgradients=lambda: iter(gradients))


@pytest.mark.parametrize(
    ("claim", "of", "wrong"),
    [
        ([0.5, 0.5], None, False),
        ([1.0, 1.0], None, True),
        ([1.0, 1.0], trace([1, 0], [0, 1]), True),
        ([1.0, 1.0], trace([1, 0], [1, 1]), False),
        ([1.0, 1.0], trace([1, 0], [1, 1], ties=0), True),
    ],
)
def test_valid_slopes_of_each_fail_where_their_sum_is_none(
    claim: Any, of: Any, wrong: bool
) -> None:
    codes, keys, causes, looks = settled(
        largest, first_of_largest, {"x": claim}, seen=TIE, trace=of
    )
    assert codes == {"x": [FAIL if wrong else PASS] * 2}
    assert causes == ["kink"] * wrong
    assert keys == KEYS
    # then nothing is looked at beside the point, either
    assert looks == (0 if wrong else 2)


# What group testing has found beside the point


def located(*entries: tuple[str, int], beside: bool = True, whole: str = "") -> Localisation:
    """What was found wrong, with parameters that are wrong as wholes."""
    blocks = tuple(WrongBlock(name, "parameter", ((0, 2), (0, 2)), 4, 4) for name in whole)
    return Localisation(entries, blocks, (), 9, {}, True, True, beside=beside)


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        (None, {"x": [0, 3], "y": [1]}),
        (located(("x", 2), beside=False), {"x": [0, 3], "y": [1]}),
        # those that were found, and no other of their parameter
        (located(("x", 2)), {"x": [2], "y": [1]}),
        (located(("x", 2), ("y", 3), ("x", 0)), {"x": [0, 2], "y": [3]}),
        # of what is wrong as a whole, all that are at kinks
        (located(("x", 2), whole="x"), {"x": [0, 2, 3], "y": [1]}),
        (located(("x", 2), whole="y"), {"x": [2], "y": [1]}),
        # whether the parameter has kinks or not
        (located(("z", 1), whole="z"), {"x": [0, 3], "y": [1], "z": [1]}),
        (located(("elsewhere", 1)), {"x": [0, 3], "y": [1]}),
    ],
)
def test_what_was_found_wrong_beside_the_point_is_looked_at_whether_at_a_kink_or_not(
    where: Any, wrong: Any
) -> None:
    # of no two sets of entries is the sum the same
    weights = dict(zip("xyz", 2.0 ** np.arange(12).reshape(3, 2, 2), strict=True))

    def loss(**arrays: Any) -> float:
        return float(sum((weights[name] * np.abs(one)).sum() for name, one in arrays.items()))

    def gradient(**arrays: Any) -> Any:
        return {name: 3.0 * weights[name] * np.sign(one) for name, one in arrays.items()}

    def at(name: str, *kinks: int) -> Any:
        slopes = weights[name] * np.isin(np.arange(4), kinks).reshape(2, 2)
        return kinked(-slopes, slopes)

    claims = {name: np.zeros((2, 2)) for name in "xyz"}
    seen = {"x": at("x", 0, 3), "y": at("y", 1), "z": at("z")}
    codes, *_ = settled(loss, gradient, claims, seen=seen, located=where)
    failing = {name: np.flatnonzero(np.array(one) == FAIL).tolist() for name, one in codes.items()}
    assert {name: one for name, one in failing.items() if one} == wrong
