"""A multilayer perceptron in the style of scikit-learn."""
import numpy as np


def _pack(coefs_, intercepts_):
    return np.hstack([l.ravel() for l in coefs_ + intercepts_])


class MLP:
    def __init__(self, hidden_layer_sizes=(5,), alpha=0.0001):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.alpha = alpha

    def _init(self, n_in, n_out, seed=0):
        rng = np.random.RandomState(seed)
        units = [n_in] + list(self.hidden_layer_sizes) + [n_out]
        self.n_layers_ = len(units)
        self.coefs_ = [rng.randn(a, b) for a, b in zip(units[:-1], units[1:])]
        self.intercepts_ = [rng.randn(b) for b in units[1:]]
        self._coef_indptr, self._intercept_indptr = [], []
        start = 0
        for a, b in zip(units[:-1], units[1:]):
            self._coef_indptr.append((start, start + a * b, (a, b)))
            start += a * b
        for b in units[1:]:
            self._intercept_indptr.append((start, start + b))
            start += b

    def _unpack(self, packed_parameters):
        for i in range(self.n_layers_ - 1):
            start, end, shape = self._coef_indptr[i]
            self.coefs_[i] = np.reshape(packed_parameters[start:end], shape)
            start, end = self._intercept_indptr[i]
            self.intercepts_[i] = packed_parameters[start:end]

    def _forward_pass(self, activations):
        for i in range(self.n_layers_ - 1):
            activations[i + 1] = activations[i] @ self.coefs_[i] + self.intercepts_[i]
            if i + 1 != self.n_layers_ - 1:
                activations[i + 1] = np.tanh(activations[i + 1])
        return activations

    def _backprop(self, X, y, activations, deltas, coef_grads, intercept_grads):
        n = X.shape[0]
        activations = self._forward_pass(activations)
        loss = ((y - activations[-1]) ** 2).mean() / 2
        values = sum(np.dot(s.ravel(), s.ravel()) for s in self.coefs_)
        loss += 0.5 * self.alpha * values / n
        last = self.n_layers_ - 2
        deltas[last] = activations[-1] - y
        for i in range(last, -1, -1):
            coef_grads[i] = (activations[i].T @ deltas[i] + self.alpha * self.coefs_[i]) / n
            intercept_grads[i] = np.mean(deltas[i], 0)
            if i > 0:
                deltas[i - 1] = deltas[i] @ self.coefs_[i].T
                deltas[i - 1] *= 1 - activations[i] ** 2
        return loss, coef_grads, intercept_grads

    def _loss_grad_lbfgs(self, packed_coef_inter, X, y, activations, deltas, coef_grads, intercept_grads):
        self._unpack(packed_coef_inter)
        loss, coef_grads, intercept_grads = self._backprop(X, y, activations, deltas, coef_grads, intercept_grads)
        grad = _pack(coef_grads, intercept_grads)
        return loss, grad


model = MLP((5,), alpha=0.3)
model._init(3, 2)


def gradcheck_inputs():
    rng = np.random.RandomState(1)
    X, y = rng.randn(7, 3), rng.randn(7, 2)
    n = model.n_layers_
    return {
        "packed_coef_inter": _pack(model.coefs_, model.intercepts_),
        "X": X, "y": y,
        "activations": [X] + [None] * (n - 1),
        "deltas": [None] * (n - 1),
        "coef_grads": [np.empty_like(c) for c in model.coefs_],
        "intercept_grads": [np.empty_like(c) for c in model.intercepts_],
    }
