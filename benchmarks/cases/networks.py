"""Feed-forward networks with hand-written backward passes: dense, convolutional, normalised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special

from benchmarks.cases.changes import family, rotation
from benchmarks.cases.contract import PowerCase, Target


def drawn(seed: int, **shapes: tuple[int, ...]) -> Callable[[], dict[str, Any]]:
    """Return a factory of normal draws; names in capitals are data, the rest parameters."""

    def inputs() -> dict[str, Any]:
        rng = np.random.default_rng(seed)
        return {
            name: rng.normal(size=shape) * (1.0 if name.isupper() else 0.6)
            for name, shape in shapes.items()
        }

    return inputs


ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(0, z), lambda z: (z > 0).astype(z.dtype)),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.where(z > 0, 1.0, np.exp(np.minimum(z, 0))),
    ),
    "gelu": (
        lambda z: z * special.ndtr(z),
        lambda z: special.ndtr(z) + z * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi),
    ),
    "swish": (
        lambda z: z * special.expit(z),
        lambda z: special.expit(z) * (1 + z * (1 - special.expit(z))),
    ),
    "sigmoid": (special.expit, lambda z: special.expit(z) * (1 - special.expit(z))),
}


def dense(activation: str) -> Callable[[str], Target]:
    """Return the maker of a two-layer regression network."""
    act, slope = ACTIVATIONS[activation]

    def make(bug: str = "") -> Target:
        def target(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
            z = X @ w1 + b1
            h = act(z)
            error = h @ w2 + b2 - Y
            loss = np.mean(error**2)
            d_out = 2 * error / error.size
            if bug == "batch_only":
                d_out = 2 * error / len(error)
            d_h = d_out @ (w2.T[:, ::-1] if bug == "reversed_weights" else w2.T)
            d_z = d_h * slope(z)
            if bug == "derivative_missing":
                d_z = d_h
            if bug == "derivative_of_output":
                d_z = d_h * slope(h)
            return loss, {
                "w1": X.T @ d_z,
                "b1": d_z.sum(axis=0),
                "w2": (z if bug == "pre_activation" else h).T @ d_out,
                "b2": d_out.sum(axis=0),
            }

        return target

    return make


def dense_twin(activation: str) -> Callable[..., Any]:
    """Return the torch loss of the two-layer network."""
    import torch
    from torch.nn import functional

    act = {
        "tanh": torch.tanh,
        "relu": torch.relu,
        "elu": functional.elu,
        "gelu": functional.gelu,
        "swish": functional.silu,
        "sigmoid": torch.sigmoid,
    }[activation]

    def twin(w1: Any, b1: Any, w2: Any, b2: Any, X: Any, Y: Any) -> Any:
        return functional.mse_loss(
            functional.linear(act(functional.linear(X, w1.T, b1)), w2.T, b2), Y
        )

    return twin


def _conv(bug: str = "") -> Target:
    """Valid convolution, ReLU, 2x2 max pooling, linear readout."""

    def target(kernel: Any, bias: Any, readout: Any, X: Any) -> Any:
        n, side = X.shape[0], X.shape[-1] - kernel.shape[-1] + 1
        k = kernel.shape[-1]
        patches = np.lib.stride_tricks.sliding_window_view(X, (k, k), axis=(2, 3))
        z = np.einsum("ncijuv,fcuv->nfij", patches, kernel) + bias[None, :, None, None]
        a = np.maximum(z, 0)
        tiles = a.reshape(n, -1, side // 2, 2, side // 2, 2).transpose(0, 1, 2, 4, 3, 5)
        flat = tiles.reshape(*tiles.shape[:4], 4)
        winner = flat.argmax(axis=-1)
        pooled = flat.max(axis=-1)
        out = pooled.reshape(n, -1) @ readout
        loss = 0.5 * np.sum(out**2) / n
        d_out = out / n
        d_pooled = np.outer(d_out, readout).reshape(pooled.shape)
        d_flat = np.zeros_like(flat)
        if bug == "pool_everywhere":
            d_flat[...] = d_pooled[..., None]
        elif bug == "pool_first":
            d_flat[..., 0] = d_pooled
        else:
            np.put_along_axis(d_flat, winner[..., None], d_pooled[..., None], axis=-1)
        d_a = d_flat.reshape(tiles.shape).transpose(0, 1, 2, 4, 3, 5).reshape(a.shape)
        d_z = d_a if bug == "relu_missing" else d_a * (z > 0)
        d_kernel = np.einsum("ncijuv,nfij->fcuv", patches, d_z)
        if bug == "kernel_flipped":
            d_kernel = d_kernel[:, :, ::-1, ::-1]
        return loss, {
            "kernel": d_kernel,
            "bias": d_z.sum(axis=(0, 2, 3)),
            "readout": pooled.reshape(n, -1).T @ d_out,
        }

    return target


def _norm(axis: int) -> Callable[[str], Target]:
    """Return the maker of a normalised layer: over the batch (axis 0), or over features (1)."""

    def make(bug: str = "") -> Target:
        def target(w: Any, gain: Any, shift: Any, X: Any, Y: Any) -> Any:
            z = X @ w
            centred = z - z.mean(axis=axis, keepdims=True)
            inverse = 1 / np.sqrt((centred**2).mean(axis=axis, keepdims=True) + 1e-5)
            unit = centred * inverse
            error = np.tanh(gain * unit + shift) - Y
            loss = 0.5 * np.sum(error**2)
            d_y = error * (1 - np.tanh(gain * unit + shift) ** 2)
            d_unit = d_y * gain
            d_z = inverse * (
                d_unit
                - d_unit.mean(axis=axis, keepdims=True)
                - unit * (d_unit * unit).mean(axis=axis, keepdims=True)
            )
            if bug == "statistics_detached":
                d_z = inverse * d_unit
            if bug == "variance_detached":
                d_z = inverse * (d_unit - d_unit.mean(axis=axis, keepdims=True))
            if bug == "wrong_axis":
                d_z = inverse * (
                    d_unit
                    - d_unit.mean(axis=1 - axis, keepdims=True)
                    - unit * (d_unit * unit).mean(axis=1 - axis, keepdims=True)
                )
            return loss, {
                "w": X.T @ d_z,
                "gain": (d_y * (centred if bug == "unscaled" else unit)).sum(axis=0),
                "shift": d_y.sum(axis=0),
            }

        return target

    return make


def _norm_twin(axis: int) -> Callable[..., Any]:
    import torch
    from torch.nn import functional

    def twin(w: Any, gain: Any, shift: Any, X: Any, Y: Any) -> Any:
        z = X @ w
        if axis == 0:
            y = functional.batch_norm(z, None, None, gain, shift, training=True, eps=1e-5)
        else:
            y = functional.layer_norm(z, z.shape[1:], gain, shift, eps=1e-5)
        return 0.5 * torch.sum((torch.tanh(y) - Y) ** 2)

    return twin


def _softmax_classifier(bug: str = "") -> Target:
    def target(w: Any, b: Any, X: Any, labels: Any) -> Any:
        scores = X @ w + b
        shifted = scores - scores.max(axis=1, keepdims=True)
        p = np.exp(shifted)
        p /= p.sum(axis=1, keepdims=True)
        rows = np.arange(len(X))
        loss = -np.mean(np.log(p[rows, labels])) + 1e-4 * np.sum(w * w)
        d = p.copy()
        d[rows, labels] -= 0.0 if bug == "label_not_subtracted" else 1.0
        if bug == "neighbour_label":
            d[rows, labels] += 1
            d[rows, (labels + 1) % d.shape[1]] -= 1
        if bug != "batch_not_divided":
            d /= len(X)
        decay = {"decay_missing": 0.0, "decay_halved": 1e-4}.get(bug, 2e-4)
        return loss, {"w": X.T @ d + decay * w, "b": d.sum(axis=0)}

    return target


def cases() -> Iterator[PowerCase]:
    """Yield the networks."""
    import torch
    from torch.nn import functional

    shapes = {"w1": (4, 4), "b1": (4,), "w2": (4, 3), "b2": (3,), "X": (7, 4), "Y": (7, 3)}
    for k, name in enumerate(ACTIVATIONS):
        yield from family(
            f"dense_{name}",
            "corners" if name == "relu" else "smooth",
            dense(name),
            drawn(20 + k, **shapes),
            wrt=("w1", "b1", "w2", "b2"),
            twin=dense_twin(name),
            bugs=(
                ("derivative_missing", "pre_activation", "reversed_weights"),
                ("derivative_of_output" if name != "relu" else "pre_activation", "batch_only"),
            )[k % 2],
            changes={**rotation(("w1", "b1", "w2", "b2"), k + 4, 4), "transposed": "w1"},
            smooth=name != "relu",
        )

    def conv_twin(kernel: Any, bias: Any, readout: Any, X: Any) -> Any:
        pooled = functional.max_pool2d(torch.relu(functional.conv2d(X, kernel, bias)), 2)
        return 0.5 * (pooled.flatten(1) @ readout).square().sum() / len(X)

    yield from family(
        "conv_maxpool",
        "corners",
        _conv,
        drawn(31, kernel=(3, 2, 3, 3), bias=(3,), readout=(12,), X=(3, 2, 6, 6)),
        wrt=("kernel", "bias", "readout"),
        twin=conv_twin,
        bugs=("pool_everywhere", "pool_first", "relu_missing", "kernel_flipped"),
        changes=rotation(("kernel", "bias", "readout"), 5, 4),
        smooth=False,
    )
    for axis, name in enumerate(("batch_norm", "layer_norm")):
        yield from family(
            name,
            "smooth",
            _norm(axis),
            drawn(33 + axis, w=(4, 5), gain=(5,), shift=(5,), X=(8, 4), Y=(8, 5)),
            wrt=("w", "gain", "shift"),
            twin=_norm_twin(axis),
            bugs=("statistics_detached", "variance_detached", "wrong_axis", "unscaled"),
            changes=rotation(("w", "gain", "shift"), 6 + axis, 4),
        )

    def labelled() -> dict[str, Any]:
        found = drawn(36, w=(5, 4), b=(4,), X=(9, 5))()
        return {**found, "labels": np.arange(9) % 4}

    def softmax_twin(w: Any, b: Any, X: Any, labels: Any) -> Any:
        return functional.cross_entropy(X @ w + b, labels) + 1e-4 * (w * w).sum()

    yield from family(
        "softmax",
        "smooth",
        _softmax_classifier,
        labelled,
        wrt=("w", "b"),
        twin=softmax_twin,
        bugs=(
            "label_not_subtracted",
            "neighbour_label",
            "batch_not_divided",
            "decay_missing",
            "decay_halved",
        ),
        changes=rotation(("w", "b"), 8, 4),
    )
