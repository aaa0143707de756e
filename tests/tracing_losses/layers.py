"""Layers of feed-forward and convolutional networks, in the style of course assignments."""

import numpy as np

generator = np.random.default_rng(11)


def draw(*shape, scale=1.0):
    return scale * generator.normal(size=shape)


def affine_forward(x, w, b):
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def relu_forward(x):
    out = np.maximum(0, x)
    cache = x
    return out, cache


def softmax_loss(x, y):
    shifted_logits = x - np.max(x, axis=1, keepdims=True)
    Z = np.sum(np.exp(shifted_logits), axis=1, keepdims=True)
    log_probs = shifted_logits - np.log(Z)
    N = x.shape[0]
    return -np.sum(log_probs[np.arange(N), y]) / N


def svm_loss(x, y):
    N = x.shape[0]
    correct_class_scores = x[np.arange(N), y]
    margins = np.maximum(0, x - correct_class_scores[:, np.newaxis] + 1.0)
    margins[np.arange(N), y] = 0
    return np.sum(margins) / N


def affine_relu_softmax(x, w1, b1, w2, b2, y):
    a, _ = affine_forward(x, w1, b1)
    h, _ = relu_forward(a)
    scores, _ = affine_forward(h, w2, b2)
    return softmax_loss(scores, y)


def affine_svm(x, w1, b1, y):
    scores, _ = affine_forward(x, w1, b1)
    return svm_loss(scores, y)


def svm_naive(W, X, y, reg):
    num_classes = W.shape[1]
    num_train = X.shape[0]
    loss = 0.0
    for i in range(num_train):
        scores = X[i].dot(W)
        correct_class_score = scores[y[i]]
        for j in range(num_classes):
            if j == y[i]:
                continue
            margin = scores[j] - correct_class_score + 1
            if margin > 0:
                loss += margin
    loss /= num_train
    loss += reg * np.sum(W * W)
    return loss


def softmax_naive(W, X, y, reg):
    loss = 0.0
    for i in range(X.shape[0]):
        scores = X[i].dot(W)
        scores -= np.max(scores)
        p = np.exp(scores) / np.sum(np.exp(scores))
        loss += -np.log(p[y[i]])
    return loss / X.shape[0] + reg * np.sum(W**2)


def batchnorm(x, gamma, beta, target, eps=1e-5):
    mu = x.mean(axis=0)
    xmu = x - mu
    var = np.mean(xmu**2, axis=0)
    ivar = 1.0 / np.sqrt(var + eps)
    out = gamma * (xmu * ivar) + beta
    return 0.5 * np.sum((out - target) ** 2)


def batchnorm_with_running_averages(x, gamma, beta, target, bn_param):
    eps, momentum = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    D = x.shape[1]
    running_mean = bn_param.get("running_mean", np.zeros(D, dtype=x.dtype))
    sample_mean, sample_var = np.mean(x, axis=0), np.var(x, axis=0)
    running_mean = momentum * running_mean + (1 - momentum) * sample_mean
    x_hat = (x - sample_mean) / np.sqrt(sample_var + eps)
    out = x_hat * gamma + beta
    bn_param["running_mean"] = running_mean
    return np.sum(np.abs(out - target) ** 1.5)


def layernorm(x, gamma, beta, target):
    mu = np.mean(x, axis=1, keepdims=True)
    sigma = np.std(x, axis=-1, ddof=1, keepdims=True)
    return np.square((x - mu) / (sigma + 1e-6) * gamma + beta - target).mean()


def groupnorm(x, gamma, beta, G=2, eps=1e-5):
    N, C, H, W = x.shape
    x = x.reshape((N * G, C // G * H * W))
    x = x.T
    mean, var = x.mean(axis=0), x.var(axis=0)
    normed = ((x - mean) / np.sqrt(var + eps)).T.reshape(N, C, H, W)
    out = normed * gamma + beta
    return (out**3).sum()


def dropout(x, w, mask, p=0.6):
    h = np.tanh(x @ w)
    h *= mask / p
    return (h**2).sum()


def conv_naive(x, w, b, target, stride=1, pad=1):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    H_out = 1 + (H + 2 * pad - HH) // stride
    W_out = 1 + (W + 2 * pad - WW) // stride
    x_pad = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="constant")
    out = np.zeros((N, F, H_out, W_out))
    for n in range(N):
        for f in range(F):
            for i in range(H_out):
                for j in range(W_out):
                    window = x_pad[n, :, i * stride : i * stride + HH, j * stride : j * stride + WW]
                    out[n, f, i, j] = np.sum(window * w[f]) + b[f]
    return np.mean((out - target) ** 2)


def max_pool_naive(x, weights, size=2, stride=2):
    N, C, H, W = x.shape
    out = np.empty((N, C, H // stride, W // stride))
    for i in range(H // stride):
        for j in range(W // stride):
            region = x[:, :, i * stride : i * stride + size, j * stride : j * stride + size]
            out[:, :, i, j] = np.max(region, axis=(2, 3))
    return (out * weights).sum()


def get_im2col_indices(x_shape, field_height, field_width, padding=1, stride=1):
    _, C, H, W = x_shape
    out_height = (H + 2 * padding - field_height) // stride + 1
    out_width = (W + 2 * padding - field_width) // stride + 1
    i0 = np.tile(np.repeat(np.arange(field_height), field_width), C)
    i1 = stride * np.repeat(np.arange(out_height), out_width)
    j0 = np.tile(np.arange(field_width), field_height * C)
    j1 = stride * np.tile(np.arange(out_width), out_height)
    i = i0.reshape(-1, 1) + i1.reshape(1, -1)
    j = j0.reshape(-1, 1) + j1.reshape(1, -1)
    k = np.repeat(np.arange(C), field_height * field_width).reshape(-1, 1)
    return k, i, j


def conv_im2col(x, w, b):
    p = 1
    x_padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), mode="constant")
    k, i, j = get_im2col_indices(x.shape, w.shape[2], w.shape[3], padding=p)
    cols = x_padded[:, k, i, j]
    cols = cols.transpose(1, 2, 0).reshape(w.shape[2] * w.shape[3] * x.shape[1], -1)
    res = w.reshape((w.shape[0], -1)).dot(cols) + b.reshape(-1, 1)
    out = res.reshape(w.shape[0], x.shape[2], x.shape[3], x.shape[0]).transpose(3, 0, 1, 2)
    return np.sum(np.tanh(out))


def conv_strided_windows(x, w):
    from numpy.lib.stride_tricks import sliding_window_view

    windows = sliding_window_view(x, w.shape)
    return float(np.einsum("ijkl,kl->ij", windows, w).var())


def conv_as_strided(x, w):
    s0, s1 = x.strides
    h, v = w.shape
    shape = (x.shape[0] - h + 1, x.shape[1] - v + 1, h, v)
    patches = np.lib.stride_tricks.as_strided(x, shape, (s0, s1, s0, s1))
    return (np.tensordot(patches, w, axes=([2, 3], [0, 1])) ** 2).sum()


def three_layer_convnet(x, W1, W2, y):
    N = x.shape[0]
    out = np.zeros((N, W1.shape[0], 4, 4))
    for i in range(4):
        for j in range(4):
            patch = x[:, :, i : i + 3, j : j + 3]
            out[:, :, i, j] = np.tensordot(patch, W1, axes=((1, 2, 3), (1, 2, 3)))
    out = out * (out > 0)
    pooled = out.reshape(N, W1.shape[0], 2, 2, 2, 2).max(axis=(3, 5))
    scores = pooled.reshape(N, -1) @ W2
    scores -= scores.max(axis=1, keepdims=True)
    logp = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return -logp[range(N), y].mean()


def leaky_and_elu(x, w):
    z = x @ w
    leaky = np.where(z > 0, z, 0.01 * z)
    elu = np.where(z > 0, z, 0.5 * (np.exp(z) - 1))
    return np.sum(leaky**2) + elu.sum()


def gelu_silu_softplus(x, w):
    from math import pi, sqrt

    z = np.dot(x, w)
    gelu = 0.5 * z * (1 + np.tanh(sqrt(2 / pi) * (z + 0.044715 * z**3)))
    silu = z / (1 + np.exp(-z))
    return (gelu + silu + np.log1p(np.exp(z))).mean()


def embedding_bag(table, words, w):
    vectors = table[words]
    bag = np.add.reduce(vectors, axis=1)
    return np.log(np.cosh(bag @ w)).sum()


def global_pool_residual(x, w):
    out = x + 0.1 * np.maximum.reduce([x @ w, np.sin(x), -x])
    return np.linalg.norm(out.mean(axis=(0,)))


class TwoLayerNet:
    def __init__(self, d, h, c):
        self.params = {
            "W1": draw(d, h, scale=0.5), "b1": draw(h),
            "W2": draw(h, c, scale=0.5), "b2": draw(c),
        }  # fmt: skip

    def loss(self, X, y, reg=0.1):
        W1, b1 = self.params["W1"], self.params["b1"]
        W2, b2 = self.params["W2"], self.params["b2"]
        N = X.shape[0]
        hidden = np.maximum(0, X.dot(W1) + b1)
        scores = hidden.dot(W2) + b2
        scores -= np.max(scores, axis=1).reshape(-1, 1)
        exp_scores = np.exp(scores)
        probs = exp_scores / exp_scores.sum(axis=1)[:, None]
        loss = np.sum(-np.log(probs[range(N), y])) / N
        loss += reg * (np.sum(W1 * W1) + np.sum(W2 * W2))
        grads = {k: np.zeros_like(v) for k, v in self.params.items()}
        return loss, grads


class Linear:
    def __init__(self, weight, bias):
        self.weight = weight
        self.bias = bias

    def __call__(self, x):
        self.x = x
        return x @ self.weight + self.bias


class Sequential:
    def __init__(self, *layers):
        self.layers = layers

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def built_from_objects(x, w1, b1, w2, b2, y):
    net = Sequential(Linear(w1, b1), np.tanh, Linear(w2, b2))
    return softmax_loss(net.forward(x), y)


_net = TwoLayerNet(4, 6, 3)
_labels = generator.integers(3, size=5)


def method_of_net(X, y):
    return _net.loss(X, y, reg=0.05)[0]


LOSSES = {
    "affine_relu_softmax": (
        affine_relu_softmax,
        {"x": draw(5, 2, 2), "w1": draw(4, 6), "b1": draw(6), "w2": draw(6, 3), "b2": draw(3),
         "y": _labels},
        ["x", "w1", "b1", "w2", "b2"],
    ),
    "affine_svm": (
        affine_svm,
        {"x": draw(5, 4), "w1": draw(4, 3), "b1": draw(3), "y": _labels},
        ["x", "w1", "b1"],
    ),
    "svm_naive": (
        svm_naive, {"W": draw(4, 3), "X": draw(5, 4), "y": _labels, "reg": 0.1}, ["W"],
    ),
    "softmax_naive": (
        softmax_naive, {"W": draw(4, 3), "X": draw(5, 4), "y": _labels, "reg": 0.1}, ["W", "X"],
    ),
    "batchnorm": (
        batchnorm,
        {"x": draw(6, 3), "gamma": draw(3), "beta": draw(3), "target": draw(6, 3)},
        ["x", "gamma", "beta"],
    ),
    "batchnorm_with_running_averages": (
        batchnorm_with_running_averages,
        {"x": draw(6, 3), "gamma": draw(3), "beta": draw(3), "target": draw(6, 3),
         "bn_param": {"eps": 1e-3}},
        ["x", "gamma", "beta"],
    ),
    "layernorm": (
        layernorm,
        {"x": draw(4, 5), "gamma": draw(5), "beta": draw(5), "target": draw(4, 5)},
        ["x", "gamma", "beta"],
    ),
    "groupnorm": (
        groupnorm,
        {"x": draw(2, 4, 3, 3), "gamma": draw(1, 4, 1, 1), "beta": draw(1, 4, 1, 1)},
        ["x", "gamma", "beta"],
    ),
    "dropout": (
        dropout,
        {"x": draw(5, 4), "w": draw(4, 6), "mask": generator.random((5, 6)) < 0.6},
        ["x", "w"],
    ),
    "conv_naive": (
        conv_naive,
        {"x": draw(2, 2, 4, 4), "w": draw(3, 2, 3, 3), "b": draw(3), "target": draw(2, 3, 4, 4)},
        ["x", "w", "b"],
    ),
    "max_pool_naive": (
        max_pool_naive, {"x": draw(2, 3, 4, 4), "weights": draw(2, 3, 2, 2)}, ["x"],
    ),
    "conv_im2col": (
        conv_im2col,
        {"x": draw(2, 2, 4, 4), "w": draw(3, 2, 3, 3), "b": draw(3)},
        ["x", "w", "b"],
    ),
    "conv_strided_windows": (conv_strided_windows, {"x": draw(6, 5), "w": draw(3, 2)}, ["x", "w"]),
    "conv_as_strided": (conv_as_strided, {"x": draw(6, 5), "w": draw(3, 2)}, ["x", "w"]),
    "three_layer_convnet": (
        three_layer_convnet,
        {"x": draw(5, 2, 6, 6), "W1": draw(3, 2, 3, 3), "W2": draw(12, 3), "y": _labels},
        ["x", "W1", "W2"],
    ),
    "leaky_and_elu": (leaky_and_elu, {"x": draw(5, 4), "w": draw(4, 3)}, ["x", "w"]),
    "gelu_silu_softplus": (gelu_silu_softplus, {"x": draw(5, 4), "w": draw(4, 3)}, ["x", "w"]),
    "embedding_bag": (
        embedding_bag,
        {"table": draw(7, 3), "words": generator.integers(7, size=(4, 5)), "w": draw(3)},
        ["table", "w"],
    ),
    "global_pool_residual": (global_pool_residual, {"x": draw(4, 4), "w": draw(4, 4)}, ["x", "w"]),
    "method_of_net": (method_of_net, {"X": draw(5, 4), "y": _labels}, ["X"]),
    "built_from_objects": (
        built_from_objects,
        {"x": draw(5, 4), "w1": draw(4, 6), "b1": draw(6), "w2": draw(6, 3), "b2": draw(3),
         "y": _labels},
        ["x", "w1", "b1", "w2", "b2"],
    ),
}  # fmt: skip
