"""Recurrent steps, attention and log-sum-exp recursions, differentiated through time by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import special

from benchmarks.cases.changes import family, rotation
from benchmarks.cases.contract import PowerCase, Target
from benchmarks.cases.networks import drawn


def _rnn(bug: str = "") -> Target:
    """Elman network over a sequence, squared error of the last state's readout at every step."""

    def target(wx: Any, wh: Any, b: Any, wo: Any, X: Any, Y: Any) -> Any:
        states = [np.zeros(len(b))]
        for x in X:
            states.append(np.tanh(wx @ x + wh @ states[-1] + b))
        errors = [wo @ h - y for h, y in zip(states[1:], Y, strict=True)]
        loss = 0.5 * sum(float(e @ e) for e in errors)
        d_wx, d_wh, d_b, d_wo = (np.zeros_like(a) for a in (wx, wh, b, wo))
        carry = np.zeros(len(b))
        for t in reversed(range(len(X))):
            if t == len(X) - 1 and bug == "last_step_missing":
                continue
            d_wo += np.outer(errors[t], states[t + 1])
            d_h = wo.T @ errors[t] + (0 if bug == "carry_dropped" else carry)
            d_z = d_h * (1 - states[t + 1] ** 2)
            d_wx += np.outer(d_z, X[t])
            d_wh += np.outer(d_z, states[t + 1 if bug == "state_shifted" else t])
            d_b += d_z
            carry = (wh if bug == "not_transposed" else wh.T) @ d_z
        return loss, {"wx": d_wx, "wh": d_wh, "b": d_b, "wo": d_wo}

    return target


def _rnn_twin(wx: Any, wh: Any, b: Any, wo: Any, X: Any, Y: Any) -> Any:
    import torch

    h, loss = torch.zeros_like(b), 0.0
    for x, y in zip(X, Y, strict=True):
        h = torch.tanh(wx @ x + wh @ h + b)
        loss = loss + 0.5 * ((wo @ h - y) ** 2).sum()
    return loss


def _lstm(bug: str = "") -> Target:
    """Three LSTM steps, sum of squares of the last hidden state plus a linear term."""

    def target(w: Any, b: Any, X: Any, V: Any) -> Any:
        n = len(b) // 4
        h, c, tape = np.zeros(n), np.zeros(n), []
        for x in X:
            z = np.concatenate([x, h])
            gates = w @ z + b
            i, f, o = special.expit(gates[: 3 * n]).reshape(3, n)
            g = np.tanh(gates[3 * n :])
            previous, c = c, f * c + i * g
            h = o * np.tanh(c)
            tape.append((z, i, f, o, g, previous, c))
        loss = float(h @ h + V @ h)
        d_w, d_b = np.zeros_like(w), np.zeros_like(b)
        d_h, d_c = 2 * h + V, np.zeros(n)
        for z, i, f, o, g, previous, c in reversed(tape):
            squash = np.tanh(c)
            d_o = d_h * squash
            d_c = d_c + d_h * o * (1 if bug == "cell_tanh_missing" else 1 - squash**2)
            d_i, d_g, d_f = d_c * g, d_c * i, d_c * previous
            if bug == "forget_derivative_missing":
                d_f = d_f / np.maximum(f * (1 - f), 1e-3)
            d_gates = np.concatenate(
                [d_i * i * (1 - i), d_f * f * (1 - f), d_o * o * (1 - o), d_g * (1 - g**2)]
            )
            d_w += np.outer(d_gates, z)
            d_b += d_gates
            d_h = (w.T @ d_gates)[len(z) - n :]
            d_c = d_c * (i if bug == "input_for_forget" else f)
            if bug == "cell_carry_dropped":
                d_c = np.zeros(n)
        return loss, {"w": d_w, "b": d_b}

    return target


def _lstm_twin(w: Any, b: Any, X: Any, V: Any) -> Any:
    import torch

    n = b.shape[0] // 4
    order = [*range(n), *range(n, 2 * n), *range(3 * n, 4 * n), *range(2 * n, 3 * n)]
    h = c = torch.zeros(1, n, dtype=torch.float64)
    inputs = X.shape[1]
    for x in X:
        h, c = torch.lstm_cell(
            x[None], (h, c), w[order, :inputs], w[order, inputs:], b[order], torch.zeros_like(b)
        )
    return (h @ h.T + h @ V).sum()


def _attention(bug: str = "") -> Target:
    """Single-head scaled dot-product attention, squared error of the output."""

    def target(wq: Any, wk: Any, wv: Any, X: Any, Y: Any) -> Any:
        q, k, v = X @ wq, X @ wk, X @ wv
        root = np.sqrt(wq.shape[1])
        scores = q @ k.T / root
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        error = p @ v - Y
        loss = 0.5 * np.sum(error**2)
        d_v = (p if bug == "not_transposed" else p.T) @ error
        d_p = error @ v.T
        d_s = p * (d_p - (p * d_p).sum(axis=1, keepdims=True))
        if bug == "softmax_diagonal":
            d_s = p * (1 - p) * d_p
        if bug == "row_sum_missing":
            d_s = p * d_p
        if bug != "root_missing":
            d_s = d_s / root
        return loss, {
            "wq": X.T @ (d_s @ k),
            "wk": X.T @ ((d_s if bug == "keys_not_transposed" else d_s.T) @ q),
            "wv": X.T @ d_v,
        }

    return target


def _attention_twin(wq: Any, wk: Any, wv: Any, X: Any, Y: Any) -> Any:
    import torch

    out = torch.nn.functional.scaled_dot_product_attention(
        (X @ wq)[None], (X @ wk)[None], (X @ wv)[None]
    )[0]
    return 0.5 * ((out - Y) ** 2).sum()


def _chain(bug: str = "") -> Target:
    """Log partition function of a linear chain by a log-sum-exp recursion, less a path's score."""

    def target(unary: Any, pair: Any, path: Any) -> Any:
        n, k = unary.shape
        alpha = [unary[0]]
        for t in range(1, n):
            alpha.append(unary[t] + special.logsumexp(alpha[-1][:, None] + pair, axis=0))
        log_z = special.logsumexp(alpha[-1])
        loss = log_z - unary[np.arange(n), path].sum() - pair[path[:-1], path[1:]].sum()
        beta = [np.zeros(k)]
        for t in reversed(range(1, n)):
            ahead = pair + unary[t] + beta[0]
            beta.insert(0, special.logsumexp(ahead, axis=1))
        d_unary = np.exp(np.array(alpha) + np.array(beta) - log_z)
        d_pair = np.zeros_like(pair)
        for t in range(1, n - 1 if bug == "last_step_missing" else n):
            joint = alpha[t - 1][:, None] + pair + unary[t] + beta[t]
            d_pair += np.exp(joint - log_z)
        if bug == "observed_missing":
            return loss, {"unary": d_unary, "pair": d_pair}
        np.add.at(d_unary, (np.arange(n), path), -1.0)
        if bug == "duplicates_lost":
            d_pair[path[:-1], path[1:]] -= 1.0
        else:
            np.add.at(d_pair, (path[:-1], path[1:]), -1.0)
        return loss, {"unary": d_unary, "pair": d_pair.T if bug == "transposed" else d_pair}

    return target


def _chain_twin(unary: Any, pair: Any, path: Any) -> Any:
    import torch

    alpha = unary[0]
    for t in range(1, len(unary)):
        alpha = unary[t] + torch.logsumexp(alpha[:, None] + pair, 0)
    score = unary[torch.arange(len(unary)), path].sum() + pair[path[:-1], path[1:]].sum()
    return torch.logsumexp(alpha, 0) - score


def _embedding(bug: str = "") -> Target:
    """Mean embedding of a bag of words, some words twice, under a logistic loss."""

    def target(table: Any, readout: Any, words: Any) -> Any:
        mean = table[words].mean(axis=0)
        score = float(mean @ readout)
        loss = np.log1p(np.exp(-score))
        d_score = -special.expit(-score)
        d_table = np.zeros_like(table)
        each = d_score * readout / len(words)
        if bug == "duplicates_lost":
            d_table[words] += each
        else:
            np.add.at(d_table, words, each)
        return loss, {"table": d_table, "readout": d_score * mean}

    return target


def _integrator(bug: str = "") -> Target:
    """Eight Euler steps of a predator-prey model, squared distance to data, adjoint by hand."""

    def target(rates: Any, start: Any, Y: Any) -> Any:
        step, a, b, c, d = 0.1, *rates
        states = [start]
        for _ in Y[1:]:
            u, v = states[-1]
            states.append(
                np.array([u + step * (a * u - b * u * v), v + step * (c * u * v - d * v)])
            )
        loss = 0.5 * sum(float(np.sum((s - y) ** 2)) for s, y in zip(states, Y, strict=True))
        d_rates, adjoint = np.zeros(4), np.zeros(2)
        for t in reversed(range(len(Y))):
            adjoint = adjoint + states[t] - Y[t]
            if t == 0:
                break
            u, v = states[t - 1]
            d_rates += (
                step
                * np.array([u, -u * v, u * v, -v])
                * np.array([adjoint[0], adjoint[0], adjoint[1], adjoint[1]])
            )
            jacobian = np.array(
                [[1 + step * (a - b * v), -step * b * u], [step * c * v, 1 + step * (c * u - d)]]
            )
            if bug == "coupling_missing":
                jacobian = np.diag(np.diag(jacobian))
            if bug == "identity_missing":
                jacobian = jacobian - np.eye(2)
            adjoint = (jacobian if bug == "not_transposed" else jacobian.T) @ adjoint
        return loss, {"rates": d_rates, "start": adjoint}

    return target


def _integrator_twin(rates: Any, start: Any, Y: Any) -> Any:
    import torch

    a, b, c, d = rates
    state, loss = start, 0.0
    for t, y in enumerate(Y):
        if t:
            u, v = state
            state = state + 0.1 * torch.stack([u * (a - b * v), v * (c * u - d)])
        loss = loss + 0.5 * ((state - y) ** 2).sum()
    return loss


def cases() -> Iterator[PowerCase]:
    """Yield the sequence models."""
    import torch

    yield from family(
        "rnn",
        "smooth",
        _rnn,
        drawn(41, wx=(4, 3), wh=(4, 4), b=(4,), wo=(2, 4), X=(6, 3), Y=(6, 2)),
        wrt=("wx", "wh", "b", "wo"),
        twin=_rnn_twin,
        bugs=("last_step_missing", "carry_dropped", "state_shifted", "not_transposed"),
        changes=rotation(("wx", "wh", "b", "wo"), 1, 5),
    )
    yield from family(
        "lstm",
        "smooth",
        _lstm,
        drawn(42, w=(12, 5), b=(12,), X=(3, 2), V=(3,)),
        wrt=("w", "b"),
        twin=_lstm_twin,
        bugs=(
            "cell_tanh_missing",
            "forget_derivative_missing",
            "input_for_forget",
            "cell_carry_dropped",
        ),
        changes=rotation(("w", "b"), 2, 5),
    )
    yield from family(
        "attention",
        "smooth",
        _attention,
        drawn(43, wq=(4, 3), wk=(4, 3), wv=(4, 2), X=(5, 4), Y=(5, 2)),
        wrt=("wq", "wk", "wv"),
        twin=_attention_twin,
        bugs=(
            "not_transposed",
            "softmax_diagonal",
            "row_sum_missing",
            "root_missing",
            "keys_not_transposed",
        ),
        changes=rotation(("wq", "wk", "wv"), 3, 4),
    )
    yield from family(
        "chain",
        "smooth",
        _chain,
        lambda: {**drawn(44, unary=(6, 3), pair=(3, 3))(), "path": np.array([0, 1, 2, 2, 2, 0])},
        wrt=("unary", "pair"),
        twin=_chain_twin,
        bugs=("last_step_missing", "observed_missing", "duplicates_lost", "transposed"),
        changes=rotation(("unary", "pair"), 4, 4),
    )

    def embedding_twin(table: Any, readout: Any, words: Any) -> Any:
        return torch.nn.functional.softplus(-(table[words].mean(0) @ readout))

    yield from family(
        "embedding",
        "smooth",
        _embedding,
        lambda: {**drawn(45, table=(6, 3), readout=(3,))(), "words": np.array([1, 3, 3, 5])},
        wrt=("table", "readout"),
        twin=embedding_twin,
        bugs=("duplicates_lost",),
        changes={"row": "table", "factor_1.0001": "readout", "small_entry_1e-3": "table"},
    )
    yield from family(
        "predator_prey",
        "smooth",
        _integrator,
        lambda: {
            "rates": np.array([1.1, 0.4, 0.1, 0.4]),
            "start": np.array([10.0, 5.0]),
            "Y": np.random.default_rng(46).normal(size=(9, 2)) + np.array([9.0, 5.5]),
        },
        wrt=("rates", "start"),
        twin=_integrator_twin,
        bugs=("coupling_missing", "identity_missing", "not_transposed"),
        changes=rotation(("rates", "start"), 5, 4),
    )
