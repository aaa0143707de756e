"""Hypothesis strategies that draw a target's inputs, sizes included.

    @given(gradcheck.strategies.inputs(W="randn(D, K)", X="randn(N, D)", y="integers(K, size=N)"))
    def test_gradient(gradcheck, inputs):
        gradcheck(loss, inputs)

Hypothesis is imported when a strategy is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gradcheck.errors import UsageError
from gradcheck.targets.input_sources import Plan, plan_inputs
from gradcheck.targets.input_specs import Source
from gradcheck.targets.spec_grammar import Spec, parse

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy


def inputs(
    target: Callable[..., Any] | None = None,
    /,
    *,
    sizes: Mapping[str, int] | None = None,
    max_size: int = 5,
    **specs: Any,
) -> SearchStrategy[Any]:
    """Return a strategy for the inputs of ``gradcheck.check``.

    Args:
        target: a function whose annotations, decorator or module say what its inputs are.
        sizes: symbolic sizes that are fixed; the others are drawn from 1 to ``max_size``, so that
            square, single-row and single-column cases occur.
        max_size: largest size drawn.
        specs: inputs by name: a spec such as ``"randn(N, D)"``, a strategy, or a fixed value.

    Raises:
        UsageError: nothing says what to draw, or a spec cannot be read.
    """
    import sys

    from hypothesis.strategies import SearchStrategy

    if max_size < 1:
        raise UsageError(f"max_size={max_size}: write a whole number of at least 1")
    parsed = {
        name: parse(name, value) if isinstance(value, str) else value
        for name, value in specs.items()
    }
    fixed = {name: value for name, value in parsed.items() if not isinstance(value, Spec)}
    own = tuple(value for value in parsed.values() if isinstance(value, Spec))
    strategies = {
        name: fixed.pop(name) for name in list(fixed) if isinstance(fixed[name], SearchStrategy)
    }
    if target is None:
        plan = Plan(fixed=fixed, specs=own, sizes=sizes or {})
    else:
        module = sys.modules.get(getattr(target, "__module__", ""))
        name = getattr(target, "__qualname__", type(target).__name__)
        found = plan_inputs(
            target, module=module, given=dict.fromkeys(parsed) or None, sizes=sizes, name=name
        )
        plan = Plan(
            fixed={**found.fixed, **fixed},
            specs=(*found.specs, *own),
            sizes=found.sizes,
            tensors=found.tensors,
            make=found.make,
            positional=found.positional,
        )
    if not plan.specs and not strategies:
        raise UsageError(
            "nothing to draw: give specs, inputs(W='randn(D, K)'), or a function with shape "
            "annotations"
        )
    return planned(plan, max_size=max_size, strategies=strategies)


def planned(
    plan: Plan,
    *,
    max_size: int = 5,
    strategies: Mapping[str, SearchStrategy[Any]] | None = None,
) -> SearchStrategy[Any]:
    """Return a strategy for the inputs of a plan; ``strategies`` draw further inputs by name."""
    from dataclasses import replace

    from hypothesis import strategies as st

    symbols = list(dict.fromkeys(name for spec in plan.specs for name in spec.symbols()))

    @st.composite
    def draw_inputs(draw: DrawFn) -> Any:
        chosen = {
            name: plan.sizes[name] if name in plan.sizes else draw(st.integers(1, max_size))
            for name in symbols
        }
        drawn = {name: draw(strategy) for name, strategy in (strategies or {}).items()}
        complete = replace(plan, fixed={**plan.fixed, **drawn})
        return complete.fill(chosen, lambda _: hypothesis_source(draw))

    return draw_inputs()


def hypothesis_source(draw: DrawFn) -> Source:
    """Return a source whose values shrink: towards 1, towards the lower end, towards 0."""

    def source(kind: str, arguments: Mapping[str, Any], shape: tuple[int, ...]) -> Any:
        import numpy as np
        from hypothesis import strategies as st
        from hypothesis.extra import numpy as arrays

        if kind == "permutation":
            given = arguments["x"]
            items = list(range(given)) if isinstance(given, int) else list(given)
            return np.array(draw(st.permutations(items)))
        elements = _elements(kind, arguments)
        dtype = np.int64 if kind in ("integers", "poisson", "binomial") else np.float64
        return draw(arrays.arrays(dtype, shape, elements=elements, fill=st.nothing()))

    return source


def _elements(kind: str, arguments: Mapping[str, Any]) -> SearchStrategy[Any]:
    from hypothesis import strategies as st

    if kind == "integers":
        low, high = arguments.get("low", 0), arguments.get("high")
        low, high = (0, low) if high is None else (low, high)
        if high <= low:
            raise UsageError(f"integers({low}, {high}): there is no integer in this range")
        return st.integers(low, high - 1)
    if kind == "binomial":
        return st.integers(0, arguments["n"])
    if kind == "poisson":
        return st.integers(0, max(1, round(3 * arguments["lam"])))
    if kind in ("uniform", "random", "beta"):
        low = arguments.get("low", 0.0) if kind == "uniform" else 0.0
        high = arguments.get("high", 1.0) if kind == "uniform" else 1.0
        # beta's ends are excluded: densities are infinite there.
        first = 1 if kind == "beta" else 0
        return st.integers(first, 63).map(lambda k: low + (high - low) * k / 64)
    if kind in ("exponential", "standard_exponential", "gamma", "lognormal"):
        scale = arguments.get("scale", 1.0)
        return st.sampled_from(_MAGNITUDES).map(lambda value: scale * value)
    location = arguments.get("loc", 0.0)
    scale = arguments.get("scale", 1.0)
    return st.sampled_from(_SIGNED).map(lambda value: location + scale * value)


def _simplest_first() -> tuple[float, ...]:
    """Sixteenths up to 3, whole numbers first, then halves, quarters ..."""
    values = [k / 16 for k in range(1, 49)]
    return tuple(sorted(values, key=lambda value: (value.as_integer_ratio()[1], value)))


_MAGNITUDES = _simplest_first()
# Zero is left out: it hides mistakes, and puts the point on the kinks of relu and abs.
_SIGNED = tuple(signed for value in _MAGNITUDES for signed in (value, -value))
