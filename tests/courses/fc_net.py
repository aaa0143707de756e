import numpy as np
from layers import affine_forward, affine_backward, relu_forward, relu_backward, softmax_loss as _sl


def softmax_loss(x, y):
    loss, dx = _sl(x, y)
    return loss, dx / x.shape[0]


class FullyConnectedNet(object):
    def __init__(self, hidden_dims, input_dim=3 * 4 * 4, num_classes=10, reg=0.0, weight_scale=1e-2, dtype=np.float32):
        self.reg = reg
        self.num_layers = 1 + len(hidden_dims)
        self.dtype = dtype
        self.params = {}
        dims = [input_dim] + hidden_dims + [num_classes]
        for i in range(self.num_layers):
            self.params['W%d' % (i + 1)] = weight_scale * np.random.randn(dims[i], dims[i + 1])
            self.params['b%d' % (i + 1)] = np.zeros(dims[i + 1])
        for k, v in self.params.items():
            self.params[k] = v.astype(dtype)

    def loss(self, X, y=None):
        X = X.astype(self.dtype)
        mode = "test" if y is None else "train"
        caches = []
        a = X
        for i in range(1, self.num_layers):
            z, fc = affine_forward(a, self.params['W%d' % i], self.params['b%d' % i])
            a, rc = relu_forward(z)
            caches.append((fc, rc))
        scores, fc = affine_forward(a, self.params['W%d' % self.num_layers], self.params['b%d' % self.num_layers])
        if mode == "test":
            return scores
        loss, grads = 0.0, {}
        loss, dout = softmax_loss(scores, y)
        for i in range(1, self.num_layers + 1):
            loss += 0.5 * self.reg * np.sum(self.params['W%d' % i] ** 2)
        n = self.num_layers
        da, grads['W%d' % n], grads['b%d' % n] = affine_backward(dout, fc)
        for i in range(n - 1, 0, -1):
            fc, rc = caches[i - 1]
            dz = relu_backward(da, rc)
            da, grads['W%d' % i], grads['b%d' % i] = affine_backward(dz, fc)
        for i in range(1, n):
            grads['W%d' % i] += self.reg * self.params['W%d' % i]
        return loss, grads


np.random.seed(231)
N, D, H1, H2, C = 2, 15, 20, 30, 10
X = np.random.randn(N, D)
y = np.random.randint(C, size=(N,))
model = FullyConnectedNet([H1, H2], input_dim=D, num_classes=C, reg=3.14, weight_scale=5e-2, dtype=np.float64)
