"""Layers that keep lists of parameters and of their gradients, and a model of them."""
import numpy as np


class MatMul:
    def __init__(self, W):
        self.params = [W]
        self.grads = [np.zeros_like(W)]
        self.x = None

    def forward(self, x):
        W, = self.params
        self.x = x
        return x @ W

    def backward(self, dout):
        W, = self.params
        dx = dout @ W.T
        self.grads[0][...] = self.x.T @ dout
        return dx


class Net:
    def __init__(self):
        self.l1 = MatMul(np.random.randn(4, 3))
        self.params = self.l1.params
        self.grads = self.l1.grads

    def forward(self, x, t):
        self.y = self.l1.forward(x)
        self.t = t
        return np.sum((self.y - t) ** 2)

    def backward(self, dout=1):
        d = 2 * (self.y - self.t) * dout
        return self.l1.backward(d)


class Model:
    """Loss with self.W dict-like and get_params/set_params."""
    def __init__(self, n):
        self.theta = np.random.randn(n)

    def get_params(self):
        return self.theta

    def set_params(self, theta):
        self.theta = theta

    def loss_grad(self, X, y):
        r = X @ self.theta - y
        return np.mean(r ** 2), 2 * X.T @ r / len(y)


layer = MatMul(np.random.randn(4, 3))
net = Net()
model = Model(4)
