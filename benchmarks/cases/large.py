"""Arrays of 200 to 2000 entries: the cost of a check counts, and one wrong entry hides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from benchmarks.cases.changes import changed, family
from benchmarks.cases.contract import PowerCase, Target, by_autograd
from benchmarks.cases.networks import ACTIVATIONS, dense, dense_twin, drawn

NAMES = ("w1", "b1", "w2", "b2")


def _one(index: tuple[int, ...], how: str) -> Callable[[Any, Any], Any]:
    """Return the change of a single entry: its sign, a factor, or a shift by the typical size."""

    def change(gradient: Any, _parameter: Any) -> Any:
        wrong = np.array(gradient, copy=True)
        if how == "sign":
            wrong[index] *= -1
        elif how == "factor":
            wrong[index] *= 1.01
        elif how == "tiny_factor":
            wrong[index] *= 1.0005
        else:
            wrong[index] += np.sqrt(np.mean(gradient**2))
        return wrong

    return change


def _classifier(bug: str = "") -> Target:
    def target(w: Any, X: Any, labels: Any) -> tuple[Any, dict[str, Any]]:
        scores = X @ w
        shifted = scores - scores.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        rows = np.arange(len(X))
        loss = -np.mean(log_p[rows, labels]) + 0.5e-4 * np.sum(w * w)
        d = np.exp(log_p)
        d[rows, labels] -= 1.0
        slope = X.T @ d / (1 if bug == "mean_missing" else len(X))
        return loss, {"w": slope if bug == "decay_missing" else slope + 1e-4 * w}

    return target


def _classifier_twin(w: Any, X: Any, labels: Any) -> Any:
    import torch

    return torch.nn.functional.cross_entropy(X @ w, labels) + 0.5e-4 * w.square().sum()


def _separable(bug: str = "") -> Target:
    """A sum over entries of quite different curvature, one parameter of 2000."""

    def target(w: Any, a: Any) -> tuple[Any, dict[str, Any]]:
        return np.sum(np.sin(a * w)) + 0.5 * np.mean(w) ** 2, {
            "w": a * np.cos(a * w) + (0.0 if bug == "coupling_missing" else np.mean(w) / w.size)
        }

    return target


def _single_entries(
    name: str,
    category: str,
    make: Callable[..., Target],
    inputs: Callable[[], dict[str, Any]],
    twin: Callable[..., Any],
    wrt: tuple[str, ...],
    spots: Mapping[str, tuple[str, tuple[int, ...]]],
    **rest: Any,
) -> Iterator[PowerCase]:
    """Yield cases with one wrong entry each; ``spots`` maps a change to parameter and index."""
    for how, (parameter, index) in spots.items():
        target = changed(make(""), parameter, _one(index, how))
        yield PowerCase(
            f"{name}/one_entry_{how}",
            category,
            target,
            inputs,
            wrt,
            False,
            by_autograd(twin, wrt),
            **rest,
        )


def cases() -> Iterator[PowerCase]:
    """Yield the large cases."""
    for k, (features, classes) in enumerate(((50, 4), (60, 10), (100, 10), (200, 10))):
        draw = drawn(131 + k, w=(features, classes), X=(15, features))
        size = features * classes
        common: dict[str, Any] = {
            "make": _classifier,
            "twin": _classifier_twin,
            "wrt": ("w",),
            "inputs": lambda d=draw, c=classes: {
                **{n: v * (0.3 if n == "w" else 1) for n, v in d().items()},
                "labels": np.arange(15) % c,
            },
        }
        yield from family(
            f"classifier_{size}",
            "large",
            bugs=("mean_missing", "decay_missing"),
            changes={"row": "w", "speckled_3e-4": "w"},
            **common,
        )
        spots = {
            how: ("w", (7 * k + 3, j))
            for j, how in enumerate(("sign", "factor", "tiny_factor", "shift"))
        }
        yield from _single_entries(f"classifier_{size}", "large", spots=spots, **common)
    for k, activation in enumerate(ACTIVATIONS):
        smooth = activation != "relu"
        draw = drawn(
            141 + k,
            w1=(10, 20 + 10 * k),
            b1=(20 + 10 * k,),
            w2=(20 + 10 * k, 5),
            b2=(5,),
            X=(12, 10),
            Y=(12, 5),
        )
        yield from family(
            f"network_{activation}_{(20 + 10 * k) * 16 + 5}",
            "large",
            dense(activation),
            draw,
            wrt=NAMES,
            twin=dense_twin(activation),
            smooth=smooth,
            bugs=("derivative_missing", "reversed_weights"),
            changes={"column": "w1"},
        )
        yield from _single_entries(
            f"network_{activation}",
            "large",
            dense(activation),
            draw,
            dense_twin(activation),
            NAMES,
            {"sign": ("w1", (k, 3)), "factor": ("w2", (2 * k, 1)), "shift": ("b1", (k,))},
            smooth=smooth,
        )
    rng = np.random.default_rng(151)
    w, a = rng.normal(size=2000), rng.uniform(0.2, 5.0, size=2000)
    common = {
        "make": _separable,
        "inputs": lambda: {"w": w.copy(), "a": a.copy()},
        "wrt": ("w",),
        "twin": lambda w, a: (a * w).sin().sum() + 0.5 * w.mean() ** 2,
    }
    yield from family("separable_2000", "large", changes={"factor_2": "w"}, **common)
    yield from _single_entries(
        "separable_2000",
        "large",
        spots={"sign": ("w", (1234,)), "factor": ("w", (77,)), "shift": ("w", (1999,))},
        **common,
    )
