"""Second derivatives: the gradient along a fixed random direction is a loss, too.

For ``s(x) = grad(x) . v`` with a fixed ``v`` the claimed gradient is ``H(x) v``. It is judged like
any other, against central differences of ``s``: a wrong entry of the Hessian ``H`` shows in its
row of the product, whatever the others are.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradcheck.assemble import assemble
from gradcheck.calling.calls import BoundInputs, Call
from gradcheck.calling.quiet import quiet
from gradcheck.errors import TargetError, UsageError
from gradcheck.examine import examine
from gradcheck.problem import FloatArray, LossFacts, Parameter, Problem
from gradcheck.report import Check, Notice, worst_verdict
from gradcheck.settings import Settings
from gradcheck.sweep.evaluator import Evaluator

Direction = Mapping[str, FloatArray]


def product_closure(
    call: Call, hess: Callable[..., Any], parameters: Sequence[Parameter]
) -> Callable[[Direction], Mapping[str, FloatArray]]:
    """Return the user's Hessian, times a direction by parameter name.

    ``hess`` is called as the target is and returns the matrix over all entries of the parameters
    in their order (an array, a sparse matrix or a linear operator); or it takes the direction
    behind its first argument, as SciPy's ``hessp``, and returns the product.

    Raises:
        UsageError: ``hess`` cannot be called in either way.
        TargetError: from the function returned: what came out has another shape.
    """
    place = _place_of_vector(hess, call.inputs)
    n = sum(parameter.value.size for parameter in parameters)

    def product(direction: Direction) -> Mapping[str, FloatArray]:
        flat = np.concatenate([direction[one.name].reshape(-1) for one in parameters])
        vector = flat.reshape(parameters[0].value.shape) if len(parameters) == 1 else flat
        result = replace(call, target=_with_vector(hess, place, vector))()
        if place is None:
            found = _times(result, flat)
        else:
            found = np.asarray(result, dtype=np.float64).reshape(-1)
            if found.size != n:
                raise _misshapen(np.shape(result), f"{n} entries")
        ends = np.cumsum([one.value.size for one in parameters])[:-1]
        return {
            one.name: part.reshape(one.value.shape)
            for one, part in zip(parameters, np.split(found, ends), strict=True)
        }

    return product


def _place_of_vector(hess: Callable[..., Any], inputs: BoundInputs) -> str | int | None:
    """Where ``hess`` takes a direction: a position, a name, or None if it takes none."""
    try:
        signature = inspect.signature(hess)
    except (TypeError, ValueError):
        return None
    args, kwargs = inputs.args, dict(inputs.kwargs)
    if _binds(signature, args, kwargs):
        return None
    if args and _binds(signature, (args[0], None, *args[1:]), kwargs):
        return 1
    missing = [
        one.name
        for one in signature.parameters.values()
        if one.default is one.empty and one.name not in kwargs
    ]
    if not args and len(missing) == 1 and _binds(signature, (), {**kwargs, missing[0]: None}):
        return missing[0]
    raise UsageError(
        f"hess (--hess) takes {signature}, which fits neither the target's inputs "
        f"({', '.join(name for name, _ in inputs.items())}) nor these with a direction behind the "
        "first: write hess(x, ...) or hessp(x, p, ...)"
    )


def _binds(signature: inspect.Signature, args: Any, kwargs: Any) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _with_vector(
    hess: Callable[..., Any], place: str | int | None, vector: FloatArray
) -> Callable[..., Any]:
    if place is None:
        return hess
    if isinstance(place, str):
        return lambda **kwargs: hess(**kwargs, **{place: vector})
    return lambda first, *rest, **kwargs: hess(first, vector, *rest, **kwargs)


def _times(matrix: Any, flat: FloatArray) -> FloatArray:
    """Return ``matrix @ flat`` for what SciPy takes as a Hessian."""
    n = flat.size
    if hasattr(matrix, "matvec"):
        return np.asarray(matrix.matvec(flat), dtype=np.float64).reshape(-1)
    dense = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)
    if dense.size != n * n or dense.dtype.kind not in "fiu":
        raise _misshapen(dense.shape, f"{n} rows and columns")
    return np.asarray(dense.reshape(n, n).astype(np.float64) @ flat)


def _misshapen(shape: tuple[int, ...], wanted: str) -> TargetError:
    return TargetError(
        "shape_mismatch",
        f"hess (--hess) returned an array of shape {tuple(shape)}; it should have {wanted}, over "
        "all entries of the parameters in their order",
        verdict_is_fail=True,
    )


def with_second_order(found: Check, problem: Problem, settings: Settings) -> Check:
    """Check the second derivatives as well, and add what came out to the check.

    Raises:
        TargetError: the gradient is not the same in every call, or not complete.
    """
    if problem.hessian_product is None:
        raise ValueError("the problem has no second derivatives")
    second = _as_problem(problem, problem.hessian_product, settings.seed)
    findings = examine(second, replace(settings, oracles=("central",), entries="all"))
    check = assemble(second, findings, settings)
    if second.evaluator.interrupted is not None:
        problem.evaluator.interrupt(second.evaluator.interrupted)
    return replace(
        found,
        verdict=worst_verdict([found.verdict, check.verdict]),
        parameter_results=(*found.parameter_results, *check.parameter_results),
        diagnoses=(*found.diagnoses, *check.diagnoses),
        warnings=(*found.warnings, *check.warnings),
        evaluations=check.evaluations,
    )


def _as_problem(
    problem: Problem,
    product: Callable[[Direction], Mapping[str, FloatArray]],
    seed: int,
) -> Problem:
    """Return the gradient along a random direction as a loss, with ``H v`` as its gradient."""
    gradient_at = problem.gradient_at
    if gradient_at is None or problem.gradient_problems:
        raise TargetError(
            "second_order_impossible",
            "the second derivatives cannot be checked: the gradient is not complete, or not the "
            "same in every call",
        )
    generator = np.random.default_rng((seed, 0x2ED))
    names = {one.name: f"H {one.name}" for one in problem.parameters}
    along = {one.name: generator.standard_normal(one.value.shape) for one in problem.parameters}

    def slope() -> float:
        gradient = gradient_at()
        return math.fsum(float(np.vdot(gradient[name], along[name])) for name in along)

    def claimed() -> Mapping[str, FloatArray]:
        return {names[name]: value for name, value in product(along).items()}

    with quiet():
        value, analytic = slope(), claimed()
    before = problem.evaluator
    values = [one.value for one in problem.parameters]
    evaluator = Evaluator(slope, values, budget=before.budget, deadline=before.deadline)
    evaluator.count, evaluator.finishes = before.count + 2, before.finishes
    if before.interrupted is not None:
        evaluator.interrupt(before.interrupted)
    dtype = min((one.value.dtype for one in problem.parameters), key=lambda one: one.itemsize)
    return replace(
        problem,
        parameters=tuple(replace(one, name=names[one.name]) for one in problem.parameters),
        analytic=analytic,
        analytic_rounding={name: np.zeros(array.shape) for name, array in analytic.items()},
        facts=LossFacts(value, dtype),
        evaluator=evaluator,
        notices=(_notice(),),
        complex_loss=None,
        extended_loss=None,
        twin_gradient=None,
        forward_gradient=None,
        gradient_at=claimed,
        hessian_product=None,
        trace_request=None,
        gradient_dtypes={},
        kind="numpy",
    )


def _notice() -> Notice:
    return Notice(
        "second_order",
        "rows that begin with H are second derivatives: the Hessian times a fixed random "
        "direction, against central differences of the gradient along it",
    )
