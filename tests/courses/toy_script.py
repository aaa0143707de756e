import numpy as np
import os

np.random.seed(0)
N = 50
X = np.random.randn(N, 2)
y = (X[:, 0] * X[:, 1] > 0).astype(int)

# Where a plot would be shown, and wait for somebody to close it.
assert os.environ.get("MPLBACKEND") == "Agg"

W = 0.01 * np.random.randn(2, 2)
b = np.zeros((1, 2))


def loss_and_grad(X, y, W, b, reg=1e-3):
    scores = np.dot(X, W) + b
    exp_scores = np.exp(scores)
    probs = exp_scores / np.sum(exp_scores, axis=1, keepdims=True)
    loss = -np.log(probs[range(len(y)), y]).mean() + 0.5 * reg * np.sum(W * W)
    dscores = probs
    dscores[range(len(y)), y] -= 1
    dscores /= len(y)
    dW = np.dot(X.T, dscores) + reg * W
    db = np.sum(dscores, axis=0, keepdims=True)
    return loss, dW, db


for i in range(20):
    loss, dW, db = loss_and_grad(X, y, W, b)
    if i % 10 == 0:
        print("iteration %d: loss %f" % (i, loss))
    W += -1.0 * dW
    b += -1.0 * db

print('training accuracy: %.2f' % (np.mean(np.argmax(X @ W + b, 1) == y)))
