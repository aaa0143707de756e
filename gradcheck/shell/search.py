"""``--search``: Hypothesis looks for the input at which a gradient is wrong, and shrinks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gradcheck.errors import UsageError
from gradcheck.report import Check, Verdict
from gradcheck.sweep.allowance import Allowance

if TYPE_CHECKING:
    from gradcheck.settings import Settings
    from gradcheck.shell.progress import Progress
    from gradcheck.targets.input_sources import Plan


@dataclass
class _Search:
    """What was seen so far."""

    target: Callable[..., Any]
    options: Mapping[str, Any]
    total: int
    progress: Progress | None
    allowance: Allowance
    tried: int = 0
    raised: list[Exception] = field(default_factory=list)
    worst: tuple[float, Any] | None = None

    def fails(self, inputs: Any) -> bool:
        """Whether the gradient is wrong at these inputs; Hypothesis is told how far off it is."""
        import hypothesis

        from gradcheck import pipeline

        if self.allowance.used_up:
            return False
        self.tried += 1
        if self.progress is not None:
            self.progress(min(self.tried, self.total), self.total, "searching")
        try:
            options = {**self.options, "settings": self.allowance.left()}
            check = pipeline.check(self.target, inputs, **options)
        except UsageError:
            raise
        except Exception as error:
            # Not every size and value lies in the target's domain.
            self.raised.append(error)
            return False
        self.allowance.spend(check)
        error_seen = largest_error(check)
        hypothesis.target(error_seen, label="relative error")
        if self.worst is None or error_seen > self.worst[0]:
            self.worst = (error_seen, inputs)
        return check.verdict is Verdict.FAIL


def largest_error(check: Check) -> float:
    """The largest finite relative error of the check's parameters; 0 where nothing was seen."""
    import math

    errors = [result.max_relative_error for result in check.parameter_results]
    return max((error for error in errors if math.isfinite(error)), default=0.0)


def find_worst(
    target: Callable[..., Any],
    plan: Plan,
    options: Mapping[str, Any],
    n_inputs: int,
    *,
    progress: Progress | None = None,
) -> tuple[Any, bool, int]:
    """Search ``n_inputs`` inputs for one at which the gradient fails, and shrink it.

    Returns:
        The smallest failing input, or else the one with the largest relative error; whether it
        fails; and how many inputs were tried.

    Raises:
        UsageError: the inputs are fixed, so that there is nothing to search.
        Exception: the target's own, if it raised for every input.
    """
    import random

    try:
        import hypothesis
        from hypothesis.errors import NoSuchExample
    except ImportError:
        raise UsageError(
            "--search needs Hypothesis, which is not installed: pip install gradcheck[hypothesis]"
        ) from None

    from gradcheck.strategies import planned

    if n_inputs < 1:
        raise UsageError(f"--search {n_inputs}: write how many inputs to try, such as --search 200")
    if not plan.specs:
        raise UsageError(
            "--search varies inputs that are given as draws, and all of these are fixed: write "
            "them as --arg 'W=randn(D,K)', as annotations, or in @gradcheck.inputs(W='randn(D,K)')"
        )
    settings = options["settings"]
    quick = replace(settings, oracles=settings.oracles or ("central",), autograd=False)
    state = _Search(
        target, {**options, "pictures": False}, n_inputs, progress, Allowance(halved(quick))
    )
    try:
        found = hypothesis.find(
            planned(plan),
            state.fails,
            settings=hypothesis.settings(
                max_examples=n_inputs,
                database=None,
                deadline=None,
                suppress_health_check=list(hypothesis.HealthCheck),
            ),
            random=random.Random(settings.seed),
        )
    except NoSuchExample:
        if state.worst is None:
            raise (state.raised or [UsageError("no input could be drawn")])[0] from None
        return state.worst[1], False, state.tried
    return found, True, state.tried


def halved(settings: Settings) -> Settings:
    """Return the settings with half of the limits: the other half is for the check of the find."""
    budget = None if settings.budget is None else max(1, settings.budget // 2)
    seconds = None if settings.time is None else settings.time / 2
    return replace(settings, budget=budget, time=seconds)


def search(
    target: Callable[..., Any],
    plan: Plan,
    options: Mapping[str, Any],
    n_inputs: int,
    *,
    progress: Progress | None = None,
    place: tuple[str, str] | None = None,
) -> tuple[Check, str]:
    """Search, then check the input found in full; ``place`` is that of :func:`ready_test`.

    Returns:
        The check, whose note says what was searched, and a test to paste if it fails.
    """
    from gradcheck import pipeline

    inputs, fails, tried = find_worst(target, plan, options, n_inputs, progress=progress)
    rest = {**options, "settings": halved(options["settings"])}
    check = pipeline.check(target, inputs, progress=progress, **rest)
    if fails:
        note = f"The smallest failing input of {tried:,} tried."
        return replace(check, note=note), ready_test(target, inputs, options, place=place)
    note = f"The input with the largest relative error of {tried:,} tried; none failed."
    return replace(check, note=note), ""


def ready_test(
    target: Callable[..., Any],
    inputs: Any,
    options: Mapping[str, Any],
    *,
    place: tuple[str, str] | None = None,
) -> str:
    """Return a test that checks ``target`` at ``inputs``, ready to be pasted into a test file.

    ``place`` is the module and the attribute by which the target is reached, if these are known.
    """
    own = getattr(target, "__qualname__", type(target).__name__)
    module, name = place or (getattr(target, "__module__", ""), own)
    root = name.partition(".")[0]
    wrt = options.get("wrt")
    passed = [name, "inputs", *([f"wrt={list(wrt)!r}"] if wrt else [])]
    imports = [f"from {module} import {root}"]
    for option in ("grad", "vjp", "hess", "torch"):
        function = options.get(option)
        if function is None:
            continue
        owner = name.rpartition(".")[0]
        if owner and getattr(function, "__self__", None) is getattr(target, "__self__", target):
            passed.append(f"{option}={owner}.{function.__name__}")
        else:
            imports.append(f"from {function.__module__} import {function.__name__}")
            passed.append(f"{option}={function.__name__}")
    if isinstance(inputs, Mapping):
        rows = [f'        "{key}": {literal(value)},' for key, value in inputs.items()]
        body = ["    inputs = {", *rows, "    }"]
    else:
        items = inputs if isinstance(inputs, tuple) else (inputs,)
        body = ["    inputs = (", *(f"        {literal(item)}," for item in items), "    )"]
    libraries = [
        f"import {library}"
        for library, used in (("numpy as np", "np."), ("torch", "torch."))
        if any(used in line for line in body)
    ]
    return "\n".join(
        [
            *libraries,
            *([""] if libraries else []),
            "import gradcheck",
            *dict.fromkeys(imports),
            "",
            "",
            f"def test_gradient_of_{name.replace('.', '_')}():",
            *body,
            f"    gradcheck.assert_gradients({', '.join(passed)})",
            "",
        ]
    )


def literal(value: Any) -> str:
    """Return Python text that makes ``value`` again, exactly."""
    import numpy as np

    if isinstance(value, np.ndarray):
        usual = value.dtype in (np.dtype(np.float64), np.dtype(np.int64), np.dtype(bool))
        dtype = "" if usual and value.size else f", dtype=np.{value.dtype.name}"
        shape = f".reshape({value.shape})" if value.size == 0 else ""
        return f"np.array({value.tolist()!r}{dtype}){shape}"
    if isinstance(value, np.generic):
        return repr(value.item())
    if hasattr(value, "requires_grad"):
        made = f"tensor({value.tolist()!r}" if value.numel() else f"zeros({tuple(value.shape)}"
        tracked = ", requires_grad=True" if value.requires_grad else ""
        return f"torch.{made}, dtype={value.dtype}{tracked})"
    return repr(value)
