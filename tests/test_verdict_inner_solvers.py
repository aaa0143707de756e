"""Which slight errors are left open for a solver of SciPy's, and which call is taken for one."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from closed_problems import central, closed_problem, judged_by

from gradcheck.blocks import BLOCK
from gradcheck.verdict.compare import FAIL, INCONCLUSIVE, PASS
from gradcheck.verdict.inner_solvers import left_open


def function_of(module: str, name: str, inside: Any = None) -> Any:
    """A function of Python's that a module has; it calls another inside."""
    space: dict[str, Any] = {"__name__": module, "inside": inside or (lambda: None)}
    exec(f"def {name}():\n    inside()", space)
    found = space[name]
    assert isinstance(found, FunctionType)
    return found


solver = function_of("scipy.optimize._root", "root")


def opened(
    claims: Any, value: Any, *, calls: Any = (solver,), budget: int | None = None, **options: Any
) -> Any:
    """What is left open of one parameter, what is said, and how often the loss was evaluated."""

    def loss(x: Any) -> float:
        for one in calls:
            one()
        return 0.0

    claims, value = np.asarray(claims, dtype=float), np.asarray(value, dtype=float)
    problem, looks = closed_problem(
        loss, None, {"x": claims}, x=np.zeros(claims.shape), budget=budget, value=0.0
    )
    parameters = {"x": judged_by(claims, central=central(value, **options))}
    found, said = left_open(problem, parameters)
    return found["x"], said, len(looks.losses)


# How much is slight. Of 3 and 4 the root mean square is 5 / sqrt(2).

SLIGHT = 1e-4 * 5 / np.sqrt(2)


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(("part", "slight"), [(0.99, True), (1.01, False)])
def test_a_ten_thousandth_of_the_typical_gradient_is_slight(
    part: float, slight: bool, side: float
) -> None:
    found, said, looks = opened([3.0 + side * part * SLIGHT, 4.0], [3.0, 4.0])
    assert found.combined.codes.tolist() == [INCONCLUSIVE if slight else FAIL, PASS]
    assert bool(said) is slight
    assert looks == slight


def test_one_that_is_more_leaves_all_as_it_is() -> None:
    found, said, looks = opened([3.0 + 0.5 * SLIGHT, 4.0 + 2 * SLIGHT], [3.0, 4.0])
    assert (found.combined.codes.tolist(), said, looks) == ([FAIL, FAIL], (), 0)


def test_what_does_not_fail_may_be_far_off() -> None:
    found, said, _ = opened(
        [3.0 + 0.5 * SLIGHT, 4.0, 8.0], [3.0, 4.0, 4.0], uncertainty=[1e-9, 1e-9, 9.0]
    )
    assert found.combined.codes.tolist() == [INCONCLUSIVE, PASS, INCONCLUSIVE]
    assert "at 1 of 3 entries" in said[0].message


def test_where_nothing_fails_nothing_is_evaluated() -> None:
    assert opened([3.0, 4.0], [3.0, 4.0])[1:] == ((), 0)


@pytest.mark.parametrize(("n", "asked"), [(BLOCK, 1), (BLOCK + 1, 0)])
def test_large_parameters_are_left_alone(n: int, asked: int) -> None:
    claims = np.ones(n)
    claims[0] += 1e-5
    found, said, looks = opened(claims, np.ones(n))
    assert (len(said), looks) == (asked, asked)
    assert found.combined.codes[0] == (INCONCLUSIVE if asked else FAIL)


def test_every_parameter_that_fails_has_to_be_slightly_off() -> None:
    claims = {"x": np.array([1 + 1e-5]), "y": np.array([2.0]), "z": np.array([1.0])}
    problem, _ = closed_problem(
        lambda **_: solver() or 0.0, None, claims, **{name: np.zeros(1) for name in "xyz"}
    )
    parameters = {name: judged_by(claims[name], central=central([1.0])) for name in "xyz"}
    found, said = left_open(problem, parameters)
    assert (found, said) == (parameters, ())
    parameters = {name: parameters[name] for name in "xz"}
    found, said = left_open(problem, parameters)
    assert [one.parameter for one in said] == ["x"]
    assert found["z"] is parameters["z"]


# What is a solver


@pytest.mark.parametrize(
    ("module", "name", "solves"),
    [
        ("scipy.optimize._root", "root", True),
        ("scipy.optimize._zeros_py", "brentq", True),
        ("scipy.integrate._ivp.ivp", "solve_ivp", True),
        ("scipy.sparse.linalg._isolve.iterative", "cg", True),
        ("scipy.optimize._root", "other", False),
        ("scipy.integrate._ivp.ivp", "root", False),
        ("scipy.optimizers.mine", "root", False),
        ("mine.scipy.optimize.root", "root", False),
        ("mine", "root", False),
    ],
)
def test_a_solver_is_known_by_its_name_and_package(module: str, name: str, solves: bool) -> None:
    found, said, looks = opened([1 + 1e-5], [1.0], calls=[function_of(module, name)])
    assert looks == 1
    assert bool(said) is solves
    assert found.combined.codes.tolist() == [INCONCLUSIVE if solves else FAIL]
    if solves:
        package = module.rpartition("._i" if "isolve" in module else "._")[0].partition("._")[0]
        assert f"{package}.{name} runs inside" in said[0].message


def test_the_first_of_several_is_named_also_where_another_runs_in_it() -> None:
    within = function_of("scipy.sparse.linalg._isolve", "gmres")
    without = function_of("scipy.optimize._nonlin", "newton_krylov", within)
    plain = function_of("mine", "root", without)
    (said,) = opened([1 + 1e-5], [1.0], calls=[plain, within, solver])[1]
    assert said.evidence["solver"] == "scipy.optimize.newton_krylov"


def test_a_module_without_a_name_is_none() -> None:
    space: dict[str, Any] = {"__name__": None}
    exec("def root(): pass", space)
    del space["__name__"]
    assert opened([1 + 1e-5], [1.0], calls=[space["root"]])[1] == ()


def test_nobody_elses_profiler_is_taken_away() -> None:
    def theirs(*_: Any) -> None:
        pass

    sys.setprofile(theirs)
    try:
        _, said, looks = opened([1 + 1e-5], [1.0])
        assert sys.getprofile() is theirs
    finally:
        sys.setprofile(None)
    assert (said, looks) == ((), 0)


def test_ours_is_taken_away_whatever_happens() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    opened([1 + 1e-5], [1.0])
    assert sys.getprofile() is None
    with pytest.raises(KeyboardInterrupt):
        opened([1 + 1e-5], [1.0], calls=[stop])
    assert sys.getprofile() is None


def test_beyond_the_limits_nothing_is_evaluated() -> None:
    problem, looks = closed_problem(
        lambda x: solver() or 0.0, None, {"x": np.array([1 + 1e-5])}, x=np.zeros(1)
    )
    parameters = {"x": judged_by([1 + 1e-5], central=central([1.0]))}
    problem.evaluator.exhausted = True
    assert left_open(problem, parameters) == (parameters, ())
    assert not looks.losses


# What follows


def test_every_comparison_is_open_where_it_failed() -> None:
    claims = np.array([3.0 + 0.5 * SLIGHT, 4.0])
    seen = central([3.0, 4.0])
    before = judged_by(claims, central=seen, autograd=replace(seen, oracle="autograd"))
    problem, _ = closed_problem(lambda x: solver() or 0.0, None, {"x": claims}, x=np.zeros(2))
    found, _ = left_open(problem, {"x": before})
    for one in (*found["x"].comparisons.values(), found["x"].combined):
        assert one.codes.tolist() == [INCONCLUSIVE, PASS]
        assert one.codes.dtype == np.int8


def test_what_is_said_is_how_far_off_the_worst_is() -> None:
    claims = np.array([1.0 + 2e-5, 4.0 - 2e-4, 4.0 + 1e-4, 4.0])
    (said,) = opened(claims, [1.0, 4.0, 4.0, 4.0])[1]
    assert (said.cause, said.parameter, said.confidence) == ("precision_limited", "x", "likely")
    worst = 2e-4 / 4.0  # of the larger of the two
    assert said.evidence == {
        "relative_error": pytest.approx(worst, rel=1e-9),
        "solver": "scipy.optimize.root",
    }
    assert "off by at most 5e-05 of its size at 3 of 4 entries" in said.message
    assert "scipy.optimize.root runs inside" in said.message
    assert "Tighten the tolerance of scipy.optimize.root" in said.remedy
    assert "--rtol" in said.remedy
    (said,) = opened([4.0 + 2e-4, 1.0], [4.0, 1.0])[1]
    assert said.evidence["relative_error"] == pytest.approx(2e-4 / (4.0 + 2e-4), rel=1e-9)
