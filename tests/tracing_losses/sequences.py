"""Recurrent networks, attention, chains and dynamic programs."""

import numpy as np
from scipy.special import expit, logsumexp, softmax

generator = np.random.default_rng(12)


def draw(*shape, scale=0.6):
    return scale * generator.normal(size=shape)


def sigmoid(x):
    pos_mask = x >= 0
    neg_mask = x < 0
    z = np.zeros_like(x)
    z[pos_mask] = np.exp(-x[pos_mask])
    z[neg_mask] = np.exp(x[neg_mask])
    top = np.ones_like(x)
    top[neg_mask] = z[neg_mask]
    return top / (1 + z)


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x.dot(Wx) + prev_h.dot(Wh) + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_forward(x, h0, Wx, Wh, b):
    N, T, D = x.shape
    H = h0.shape[1]
    h = np.zeros((N, T, H))
    cache = []
    prev = h0
    for t in range(T):
        h[:, t, :], step = rnn_step_forward(x[:, t, :], prev, Wx, Wh, b)
        prev = h[:, t]
        cache.append(step)
    return h, cache


def rnn(x, h0, Wx, Wh, b, target):
    h, _ = rnn_forward(x, h0, Wx, Wh, b)
    return ((h - target) ** 2).sum()


def rnn_characters(inputs, targets, hprev, Wxh, Whh, Why, bh, by):
    xs, hs, ys, ps = {}, {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((Wxh.shape[1], 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        ys[t] = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(ys[t]) / np.sum(np.exp(ys[t]))
        loss += -np.log(ps[t][targets[t], 0])
    return loss


def lstm_step(x, prev_h, prev_c, Wx, Wh, b):
    H = prev_h.shape[1]
    a = x @ Wx + prev_h @ Wh + b
    i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H : 2 * H]), sigmoid(a[:, 2 * H : 3 * H])
    g = np.tanh(a[:, 3 * H :])
    c = f * prev_c + i * g
    return o * np.tanh(c), c


def lstm(x, h0, Wx, Wh, b):
    h, c = h0, np.zeros_like(h0)
    states = []
    for t in range(x.shape[1]):
        h, c = lstm_step(x[:, t], h, c, Wx, Wh, b)
        states.append(h)
    return np.stack(states, axis=1).sum(axis=(0, 1)).dot(np.arange(1.0, 1 + h0.shape[1]))


def gru_split_gates(x, h, W, U):
    for row in x:
        z, r, n = np.split(np.hstack((row, h)) @ W, 3)
        z, r = expit(z), expit(r)
        h = (1 - z) * np.tanh(n + r * (U @ h)) + z * h
    return np.abs(h).sum()


def temporal_softmax(x, y, mask):
    N, T, V = x.shape
    x_flat = x.reshape(N * T, V)
    probs = np.exp(x_flat - np.max(x_flat, axis=1, keepdims=True))
    probs /= np.sum(probs, axis=1, keepdims=True)
    return -np.sum(mask.reshape(N * T) * np.log(probs[np.arange(N * T), y.reshape(N * T)])) / N


def attention(q, k, v, causal=True):
    scores = np.einsum("bqd,bkd->bqk", q, k) / np.sqrt(q.shape[-1])
    if causal:
        mask = np.triu(np.ones(scores.shape[-2:], dtype=bool), k=1)
        scores = np.where(mask, -1e9, scores)
    weights = softmax(scores, axis=-1)
    return ((weights @ v) ** 2).mean()


def multi_head_attention(x, Wq, Wk, Wv, Wo, heads=2):
    B, T, D = x.shape

    def split(z):
        return z.reshape(B, T, heads, D // heads).transpose(0, 2, 1, 3)

    q, k, v = (split(x @ W) for W in (Wq, Wk, Wv))
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(D // heads)
    scores = scores + np.triu(np.full((T, T), -np.inf), k=1)
    scores -= scores.max(axis=-1, keepdims=True)
    attn = np.exp(scores)
    attn /= attn.sum(-1, keepdims=True)
    out = (attn @ v).transpose(0, 2, 1, 3).reshape(B, T, D) @ Wo
    return np.sum(out**2)


def crf(emissions, transitions, start, tags):
    T, K = emissions.shape
    score = start[tags[0]] + emissions[0, tags[0]]
    for t in range(1, T):
        score += transitions[tags[t - 1], tags[t]] + emissions[t, tags[t]]
    alpha = start + emissions[0]
    for t in range(1, T):
        alpha = logsumexp(alpha[:, None] + transitions, axis=0) + emissions[t]
    return logsumexp(alpha) - score


def hmm_logaddexp(log_pi, log_A, log_B, observed):
    K = log_pi.size
    alpha = np.empty((len(observed), K))
    alpha[0] = log_pi + log_B[:, observed[0]]
    for t in range(1, len(observed)):
        for j in range(K):
            total = -np.inf
            for i in range(K):
                total = np.logaddexp(total, alpha[t - 1, i] + log_A[i, j])
            alpha[t, j] = total + log_B[j, observed[t]]
    return -np.logaddexp.reduce(alpha[-1])


def soft_dtw(x, y, gamma=0.5):
    n, m = len(x), len(y)
    R = np.full((n + 1, m + 1), 1e8)
    R[0, 0] = 0.0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            cost = (x[i - 1] - y[j - 1]) ** 2
            prev = np.array([R[i - 1, j], R[i, j - 1], R[i - 1, j - 1]])
            R[i, j] = cost - gamma * logsumexp(-prev / gamma)
    return R[n, m]


def recurrence_with_history(a, b, n=6):
    xs = [0.5]
    for _ in range(n):
        xs.append(a * xs[-1] * (1 - xs[-1]) + b[0])
    return sum(x**2 for x in xs) + b[1] * xs[-1]


def word2vec_negative_sampling(center, outside, negatives):
    z = expit(outside @ center)
    loss = -np.log(z)
    for row in negatives:
        loss -= np.log(expit(-row.dot(center)))
    return loss


def beam_of_positions(x, w):
    position = np.arange(x.shape[0])[:, np.newaxis]
    rates = 1 / np.power(100.0, 2 * (np.arange(x.shape[1])[np.newaxis, :] // 2) / x.shape[1])
    angles = position * rates
    angles[:, 0::2] = np.sin(angles[:, 0::2])
    angles[:, 1::2] = np.cos(angles[:, 1::2])
    return (((x + angles) @ w)[::-1].cumsum(axis=0)[::2] ** 2).sum()


LOSSES = {
    "rnn": (
        rnn,
        {"x": draw(2, 4, 3), "h0": draw(2, 5), "Wx": draw(3, 5), "Wh": draw(5, 5), "b": draw(5),
         "target": draw(2, 4, 5)},
        ["x", "h0", "Wx", "Wh", "b"],
    ),
    "rnn_characters": (
        rnn_characters,
        {"inputs": [0, 2, 1], "targets": [2, 1, 3], "hprev": draw(4, 1), "Wxh": draw(4, 4),
         "Whh": draw(4, 4), "Why": draw(4, 4), "bh": draw(4, 1), "by": draw(4, 1)},
        ["Wxh", "Whh", "Why", "bh", "by", "hprev"],
    ),
    "lstm": (
        lstm,
        {"x": draw(2, 3, 3), "h0": draw(2, 4), "Wx": draw(3, 16), "Wh": draw(4, 16),
         "b": draw(16)},
        ["x", "h0", "Wx", "Wh", "b"],
    ),
    "gru_split_gates": (
        gru_split_gates,
        {"x": draw(3, 2), "h": draw(4), "W": draw(6, 12), "U": draw(4, 4)},
        ["x", "h", "W", "U"],
    ),
    "temporal_softmax": (
        temporal_softmax,
        {"x": draw(2, 3, 4), "y": generator.integers(4, size=(2, 3)),
         "mask": generator.random((2, 3)) > 0.3},
        ["x"],
    ),
    "attention": (
        attention, {"q": draw(2, 3, 4), "k": draw(2, 3, 4), "v": draw(2, 3, 4)}, ["q", "k", "v"],
    ),
    "multi_head_attention": (
        multi_head_attention,
        {"x": draw(2, 3, 4), "Wq": draw(4, 4), "Wk": draw(4, 4), "Wv": draw(4, 4),
         "Wo": draw(4, 4)},
        ["x", "Wq", "Wk", "Wv", "Wo"],
    ),
    "crf": (
        crf,
        {"emissions": draw(4, 3), "transitions": draw(3, 3), "start": draw(3),
         "tags": [0, 2, 1, 1]},
        ["emissions", "transitions", "start"],
    ),
    "hmm_logaddexp": (
        hmm_logaddexp,
        {"log_pi": draw(2), "log_A": draw(2, 2), "log_B": draw(2, 3), "observed": [0, 2, 1]},
        ["log_pi", "log_A", "log_B"],
    ),
    "soft_dtw": (soft_dtw, {"x": draw(3), "y": draw(4)}, ["x", "y"]),
    "recurrence_with_history": (
        recurrence_with_history, {"a": np.array(1.3), "b": draw(2)}, ["a", "b"],
    ),
    "word2vec_negative_sampling": (
        word2vec_negative_sampling,
        {"center": draw(4), "outside": draw(4), "negatives": draw(3, 4)},
        ["center", "outside", "negatives"],
    ),
    "beam_of_positions": (beam_of_positions, {"x": draw(5, 4), "w": draw(4, 2)}, ["x", "w"]),
}  # fmt: skip
