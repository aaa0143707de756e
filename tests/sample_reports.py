"""Reports made by hand, for the tests of everything that shows a report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradcheck.drawing import pictures
from gradcheck.drawing.curves import error_curve
from gradcheck.report import (
    Check,
    Comparison,
    Diagnosis,
    Entry,
    Expectation,
    Location,
    Notice,
    ParameterResult,
    Report,
    Story,
    TrainingTrace,
    Verdict,
)

NASTY = (
    "<script>alert('x')</script>",
    "</script><img src=x onerror=alert(1)>",
    "\"quoted\" & 'single' `ticks` {{ 7 * 7 }} {% raw %}",
    "right\u202eot tfel\u2066",
    "../../../etc/passwd",
    "x" * 10_000,
    "\u200b\u200b",
    "",
    "   ",
    "CON",
    "index",
    "INDEX",
    "a|b\nc\x00\x1b[31mred",
    "\ud800 lone surrogate",
    "[link](javascript:alert(1)) **bold**",
)


def parameter(
    name: str,
    shape: tuple[int, ...],
    *,
    factor: float = 1.0,
    wrong: float = 0.0,
    unclear: bool = False,
    kinks: int = 0,
    seed: int = 0,
    max_cells: int = pictures.CELLS,
) -> ParameterResult:
    """A parameter whose gradient is off by ``factor`` on a share ``wrong`` of its entries."""
    rng = np.random.default_rng([seed, *shape])
    true = rng.normal(size=shape)
    central = true * (1 + 1e-10 * rng.normal(size=shape))
    off = rng.random(shape) < wrong
    analytic = np.where(off, factor * true, true * (1 + 1e-16 * rng.integers(0, 3, shape)))
    uncertainty = np.full(shape, 4e-10 if not unclear else 2e-2)
    error = np.abs(analytic - central) / np.maximum(np.abs(analytic), np.abs(central))
    verdict = Verdict.FAIL if off.any() else Verdict.PASS
    words = np.where(off, "fail", "pass").astype("U12")
    if unclear:
        verdict, words = Verdict.INCONCLUSIVE, np.full(shape, "inconclusive")
    comparisons = {
        "analytic~central": comparison(analytic, central, uncertainty, words),
        "analytic~autograd": comparison(analytic, true, np.abs(true) * 4e-15, words),
        "autograd~central": comparison(true, central, uncertainty, np.full(shape, "pass")),
    }
    curves = ()
    if wrong or kinks or unclear:
        index = np.unravel_index(int(np.argmax(error)), shape)
        curves = (curve(float(analytic[index]), float(true[index]), index, kink=bool(kinks)),)
    return ParameterResult(
        name=name,
        shape=shape,
        dtype="float64",
        entries=int(np.prod(shape)),
        checked=int(np.prod(shape)),
        verdict=verdict,
        kinks=kinks,
        comparisons=comparisons,
        best="analytic~autograd" if not unclear else "analytic~central",
        path=f'params["{name}"]',
        grids=pictures.grids(
            analytic,
            central,
            uncertainty,
            error,
            autograd=true,
            verdicts=words,
            max_cells=max_cells,
        ),
        scatter=pictures.scatter(analytic, central, verdicts=words),
        histogram=pictures.histogram(error, float(4e-10 / np.abs(true).min())),
        curves=curves,
    )


def comparison(analytic, reference, uncertainty, words) -> Comparison:
    a, r, u, w = (np.asarray(x).reshape(-1) for x in (analytic, reference, uncertainty, words))
    error = np.abs(a - r) / np.maximum(np.abs(a), np.abs(r))
    worst = np.argsort(-error, kind="stable")[:8]
    return Comparison(
        max_relative_error=float(error.max()),
        median_relative_error=float(np.median(error)),
        norm_relative_error=float(np.linalg.norm(a - r) / (np.linalg.norm(a) + np.linalg.norm(r))),
        resolution=float((u / np.maximum(np.abs(a), np.abs(r))).max()),
        checked=int(a.size),
        below_noise=0,
        failing_entries=int((w == "fail").sum()),
        inconclusive_entries=int((w == "inconclusive").sum()),
        worst=tuple(
            Entry(
                tuple(int(i) for i in np.unravel_index(k, np.shape(analytic))),
                float(a[k]),
                float(r[k]),
                float(error[k]),
                float(u[k]),
                Verdict(w[k]),
            )
            for k in worst
        ),
    )


def curve(analytic: float, true: float, index, *, kink: bool = False) -> dict:
    noise = 2e-16

    def loss_at(offset: float) -> float:
        bend = 0.8 * max(0.0, offset) if kink else 0.0
        jitter = noise * np.sin(1e7 * offset + 1e16 * offset)
        return 1.25 + true * offset + 0.4 * offset**2 + 0.3 * offset**3 + bend + jitter

    drawn = error_curve(
        loss_at, analytic, scale=1.0, noise=noise, chosen_step=6e-6, uncertainty=4e-10
    )
    return {"index": [int(i) for i in index], **drawn}


def passing_check(name: str = "spiral_softmax.mean_early") -> Check:
    return Check(
        name=name,
        target="reference_models.spiral_softmax:mean_early",
        verdict=Verdict.PASS,
        loss=1.0969560123,
        seed=0,
        evaluations=61,
        oracles=("central", "complex", "autograd"),
        parameter_results=(
            parameter("W", (2, 3), seed=1),
            parameter("b", (1, 3), seed=2),
        ),
        expected=Expectation(Verdict.PASS),
        reproduce="python -m gradcheck reference_models --only spiral_softmax.mean_early",
        family="spiral_softmax",
        source="A course's notes on a linear classifier, 2015",
        seconds=0.034,
    )


def failing_check(name: str = "two_layer_net.half_loss_double_grad") -> Check:
    location = Location(
        file="reference_models/two_layer_net.py",
        line=74,
        source='grads["W2"] = A.T @ dS + 2 * reg * W2',
        function="loss",
        column=25,
        end_column=37,
        context=(
            (72, "    dS = softmax_gradient(S, y)"),
            (73, '    grads["b2"] = dS.sum(axis=0)'),
            (74, '    grads["W2"] = A.T @ dS + 2 * reg * W2'),
            (75, "    dA = dS @ W2.T"),
            (76, "    dA[A <= 0] = 0"),
        ),
    )
    return Check(
        name=name,
        target="reference_models.two_layer_net:half_loss_double_grad",
        verdict=Verdict.FAIL,
        loss=1.3717213,
        seed=0,
        evaluations=412,
        oracles=("central", "autograd"),
        parameter_results=(
            parameter("W1", (4, 10), factor=1.3, wrong=0.3, seed=3),
            parameter("b1", (10,), seed=4),
            parameter("W2", (10, 3), factor=1.5, wrong=1.0, seed=5),
            parameter("b2", (3,), seed=6),
        ),
        diagnoses=(
            Diagnosis(
                cause="reg_scale",
                parameter="W2",
                message=(
                    "The difference is exactly 1.000000 times reg * W2: the regulariser enters the "
                    "gradient with twice the weight that it has in the loss."
                ),
                confidence="exact",
                location=location,
                evidence={"factor": 2.0, "residual": 3.1e-16, "explains": "all 30 entries"},
                remedy="Write reg * W2 here, or reg * sum(W2**2) in the loss.",
            ),
            Diagnosis(
                cause="isolated_entries",
                parameter="W1",
                message="12 of 40 entries are off by a factor of 1.3.",
                confidence="possible",
            ),
        ),
        warnings=(Notice("step_too_long", "The step 0.01 exceeds 2/lambda_max = 0.0048355."),),
        expected=Expectation(Verdict.FAIL, "reg_scale", ("W1", "W2")),
        reproduce=(
            "python -m gradcheck reference_models --only two_layer_net.half_loss_double_grad "
            "--seed 0"
        ),
        family="two_layer_net",
        note="The two conventions of the regulariser, mixed.",
        seconds=0.41,
    )


def inconclusive_check(name: str = "tanh_logistic_net.saturated") -> Check:
    return Check(
        name=name,
        target="reference_models.tanh_logistic_net:saturated",
        verdict=Verdict.INCONCLUSIVE,
        loss=31.25,
        seed=0,
        evaluations=980,
        oracles=("central",),
        parameter_results=(
            parameter("U", (3, 2), unclear=True, seed=7),
            parameter("c", (), seed=8),
        ),
        diagnoses=(
            Diagnosis(
                cause="precision_limited",
                parameter="U",
                message=(
                    "Rounding makes the loss a staircase here: 1 - y loses all its digits. The "
                    "smallest relative error that could have been seen is 0.31."
                ),
                confidence="likely",
                remedy="Write the loss with logaddexp, or check at smaller scores.",
            ),
        ),
        reproduce="python -m gradcheck reference_models --only tanh_logistic_net.saturated",
        family="tanh_logistic_net",
        seconds=1.2,
    )


def error_check(name: str = "mnist_relu_net.no_return") -> Check:
    return Check(
        name=name,
        target="reference_models.mnist_relu_net:no_return",
        verdict=Verdict.ERROR,
        loss=float("nan"),
        seed=0,
        evaluations=2,
        oracles=(),
        parameter_results=(),
        diagnoses=(
            Diagnosis(
                cause="missing_gradient",
                parameter="",
                message="The gradient is None: no_return() fills a dictionary and forgets it.",
                confidence="exact",
                remedy="End the backward pass with `return grads`.",
            ),
        ),
        expected=Expectation(Verdict.ERROR, "missing_gradient"),
        reproduce="python -m gradcheck reference_models --only mnist_relu_net.no_return",
        family="mnist_relu_net",
        seconds=0.01,
    )


def large_check(name: str = "random_relu_regression.published") -> Check:
    cells = pictures.share([100_000, 1000])
    results = (
        parameter("w1", (1000, 100), seed=9, max_cells=cells[0]),
        parameter("w2", (100, 10), seed=10, kinks=2, max_cells=cells[1]),
    )
    return Check(
        name=name,
        target="reference_models.random_relu_regression:published",
        verdict=Verdict.PASS,
        loss=2.98e7,
        seed=0,
        evaluations=2041,
        oracles=("central", "autograd"),
        parameter_results=(replace(results[0], checked=500), results[1]),
        expected=Expectation(Verdict.PASS),
        family="random_relu_regression",
        seconds=6.5,
    )


def tensor_check(name: str = "convolution.kernel") -> Check:
    return replace(
        failing_check(name),
        family="convolution",
        parameter_results=(parameter("K", (8, 3, 5, 5), factor=-1.0, wrong=0.02, seed=11),),
        expected=Expectation(Verdict.PASS),
        warnings=(),
    )


def nasty_check(text: str, position: int = 0) -> Check:
    """A check in which every string is ``text``."""
    location = Location(text, 1, text, text, 0, 5, ((1, text),))
    result = replace(
        parameter("p", (2, 2), factor=2.0, wrong=1.0, seed=position), name=text, note=text
    )
    return Check(
        name=text,
        target=text,
        verdict=Verdict.FAIL,
        loss=float("-inf"),
        seed=0,
        evaluations=1,
        oracles=(text,),
        parameter_results=(result,),
        diagnoses=(Diagnosis(text, text, text, text, location, {"key": text}, text, (location,)),),
        warnings=(Notice(text, text),),
        expected=Expectation(Verdict.PASS, text, (text,)),
        reproduce=text,
        family=text,
        source=text,
        note=text,
    )


def report(*checks: Check) -> Report:
    return Report(
        checks=checks,
        tool={"name": "gradcheck", "version": "0.1.0"},
        environment={"python": "3.11.2", "numpy": "2.3.0", "torch": "2.13.0", "platform": "Linux"},
        started="2025-01-02T03:04:05+00:00",
        seconds=12.5,
    )


def nasty_report() -> Report:
    made = report(*(nasty_check(text, position) for position, text in enumerate(NASTY)))
    return replace(
        made,
        environment={"<b>key</b>": NASTY[0]},
        stories=tuple(Story(text, text, text) for text in NASTY),
        traces=(TrainingTrace(NASTY[0], NASTY[1], ((0, 1.0), (1, 0.5)), ((0, 1.0),)),),
    )


def full_report() -> Report:
    made = report(
        passing_check(),
        failing_check(),
        inconclusive_check(),
        error_check(),
        large_check(),
        tensor_check(),
    )
    steps = range(0, 200, 10)
    return replace(
        made,
        stories=(
            Story(
                "The regulariser in two conventions",
                "The loss takes reg/2 and the gradient 2 reg. Training still works, with a "
                "regulariser of twice the strength that one asked for, which no loss curve shows.",
                "two_layer_net.half_loss_double_grad",
            ),
            Story(
                "The dictionary that never came back",
                "The backward pass fills its gradients and does not return them.",
                "mnist_relu_net.no_return",
            ),
        ),
        traces=(
            TrainingTrace(
                "spiral_softmax",
                "Softmax classifier on the spiral",
                tuple((step, 0.786 + 0.311 * 2.0 ** (-step / 12)) for step in steps),
                tuple((step, 0.786 + 0.311 * 2.0 ** (-step / 12)) for step in steps),
            ),
            TrainingTrace(
                "quadratic_regression",
                "Raw features: the step is too long",
                tuple((step, 25.45 * 10.0 ** (0.98 * step)) for step in range(21)),
                ((0, 25.45), (10, 2.10415e11), (20, 1.78208e21)),
                log_scale=True,
            ),
        ),
    )


def gold_report() -> Report:
    """A report in which every number is written down: what the gold files show."""
    exact = Comparison(2.1e-16, 1.1e-16, 8.0e-17, 4.0e-15, 2, 0, 0, 0)
    near = Comparison(3.25e-10, 1.5e-10, 2.0e-10, 1.1e-8, 2, 1, 0, 0)
    right = ParameterResult(
        "b", (2,), "float64", 2, 2, Verdict.PASS, 1,
        {"analytic~central": near, "analytic~autograd": exact, "autograd~central": near},
        "analytic~autograd", path='params["b"]',
    )  # fmt: skip
    off = Comparison(
        1.0, 0.5, 1 / 3, 2.5e-15, 6, 0, 2, 0,
        (
            Entry((0, 2), 0.5, 0.25, 0.5, 6.25e-16, Verdict.FAIL),
            Entry((1, 0), -1.5, 0.0, 1.0, 1e-15, Verdict.FAIL),
        ),
    )  # fmt: skip
    numeric = replace(off, resolution=1e-8, worst=off.worst[:1])
    wrong = ParameterResult(
        "W", (2, 3), "float64", 6, 6, Verdict.FAIL, 0,
        {"analytic~central": numeric, "analytic~autograd": off, "autograd~central": near},
        "analytic~autograd",
        histogram={"edges": [-1.0, 0.0, 1.0], "counts": [1, 1], "zero": 4, "non_finite": 0,
                   "in_noise": 0, "resolution": 2.5e-15},
    )  # fmt: skip
    sampled = replace(right, name="theta", shape=(50, 20), entries=1000, checked=500, kinks=0)
    location = Location(
        "models/net.py", 12, "dW = X.T @ (p - y)", "loss", 5, 10,
        ((10, "    p = sigmoid(X @ W)"), (11, ""), (12, "    dW = X.T @ (p - y)"),
         (13, "    return value, dW")),
    )  # fmt: skip
    diagnosis = Diagnosis(
        "batch_not_divided", "W", "The data term is 5 times too large, and N = 5.", "exact",
        location, {"factor": 5.0, "sizes": ["N"]}, "Divide by len(X).",
        (replace(location, line=10),),
    )  # fmt: skip
    loss = {"loss": 0.75, "seed": 3, "evaluations": 120, "oracles": ("central", "autograd")}
    checks = (
        Check("net.right", "models.net:right", Verdict.PASS, parameter_results=(right,),
              expected=Expectation(Verdict.PASS), family="net", seconds=0.5, **loss),
        Check("net.wrong", "models.net:wrong", Verdict.FAIL, parameter_results=(wrong, right),
              diagnoses=(diagnosis,), warnings=(Notice("mutates_input", "X was changed."),),
              expected=Expectation(Verdict.FAIL, "batch_not_divided", ("W",)),
              reproduce="python -m gradcheck models.net:wrong --seed 3", family="net",
              source="https://example.org/net?a=1&b=2", note="Summed, not averaged.", **loss),
        Check("net.surprise", "models.net:surprise", Verdict.FAIL, parameter_results=(wrong,),
              expected=Expectation(Verdict.PASS),
              reproduce="python -m gradcheck models.net:surprise", **loss),
        Check("sampled", "models.net:sampled", Verdict.PASS, parameter_results=(sampled,), **loss),
        Check("undecided", "models.net:undecided", Verdict.INCONCLUSIVE,
              parameter_results=(replace(right, verdict=Verdict.INCONCLUSIVE),), **loss),
        Check("broken", "models.net:broken", Verdict.ERROR, parameter_results=(),
              diagnoses=(Diagnosis("non_finite_loss", "", "The loss is nan.", "exact"),),
              **(loss | {"loss": float("nan")})),
    )  # fmt: skip
    made = report(*checks)
    return replace(
        made,
        stories=(Story("Summed, not averaged", "The step was 5 times as long.", "net.wrong"),),
        traces=(TrainingTrace("net", "The net's training", ((0, 2.0), (5, 1.0)), ((0, 2.0),)),),
    )
