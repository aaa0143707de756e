import numpy as np


def init_mlp_params(layer_widths):
    rng = np.random.default_rng(0)
    return [dict(weights=rng.normal(size=(n_in, n_out)) * np.sqrt(2 / n_in), biases=np.ones(n_out))
            for n_in, n_out in zip(layer_widths[:-1], layer_widths[1:])]


params = init_mlp_params([1, 8, 6, 1])


def forward(params, x):
    *hidden, last = params
    for layer in hidden:
        x = np.tanh(x @ layer['weights'] + layer['biases'])
    return x @ last['weights'] + last['biases']


def loss_fn(params, x, y):
    return np.mean((forward(params, x) - y) ** 2)


def value_and_grad(params, x, y):
    acts = [x]
    *hidden, last = params
    for layer in hidden:
        acts.append(np.tanh(acts[-1] @ layer['weights'] + layer['biases']))
    out = acts[-1] @ last['weights'] + last['biases']
    loss = np.mean((out - y) ** 2)
    d = 2 * (out - y) / y.size
    grads = [dict(weights=acts[-1].T @ d, biases=d.sum(0))]
    d = d @ last['weights'].T
    for layer, h_in, h_out in list(zip(hidden, acts[:-1], acts[1:]))[::-1]:
        d = d * (1 - h_out ** 2)
        grads.insert(0, dict(weights=h_in.T @ d, biases=d.sum(0)))
        d = d @ layer['weights'].T
    return loss, grads
