"""Networks, embeddings, flows and trees."""

from __future__ import annotations

from benchmarks.outside_cases.models import Model, Wrong

MODELS = (
    Model(
        "lstm",
        """
def sig(a):
    return 1 / (1 + np.exp(-a))

def loss(Wx, Wh, b, xs, target):
    H = Wh.shape[0]
    h, c, cache = np.zeros(H), np.zeros(H), []
    for x in xs:
        a = x @ Wx + h @ Wh + b
        i, f, o, g = sig(a[:H]), sig(a[H:2 * H]), sig(a[2 * H:3 * H]), np.tanh(a[3 * H:])
        c_new = f * c + i * g
        h_new = o * np.tanh(c_new)
        cache.append((x, h, c, i, f, o, g, c_new))
        h, c = h_new, c_new
    value = np.sum((h - target) ** 2)
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dh, dc = 2 * (h - target), np.zeros(H)
    for x, hp, cp, i, f, o, g, cn in reversed(cache):
        t = np.tanh(cn)
        do = dh * t
        dc = dc + dh * o * (1 - t ** 2)
        da = np.concatenate([dc * g * i * (1 - i), dc * cp * f * (1 - f), do * o * (1 - o), dc * i * (1 - g ** 2)])
        dWx += np.outer(x, da)
        dWh += np.outer(hp, da)
        db += da
        dh = Wh @ da
        dc = dc * f
    return value, {"Wx": dWx, "Wh": dWh, "b": db}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(Wx=r.normal(size=(3, 16)), Wh=0.5 * r.normal(size=(4, 16)), b=0.2 * r.normal(size=16), xs=r.normal(size=(6, 3)),
                target=r.normal(size=4))
""",
        wrongs=(
            Wrong("nocarry", "dc = dc + dh * o", "dc = dh * o"),
            Wrong("forget", "        dc = dc * f\n", ""),
            Wrong("wrongc", "dc * cp * f * (1 - f)", "dc * cn * f * (1 - f)"),
            Wrong("tanhg", "dc * i * (1 - g ** 2)", "dc * i * (1 - g)"),
        ),
        variants="f32 offset buffer fortran f32in strided",
    ),
    Model(
        "glove",
        """
def loss(W, C, bw, bc, X, xmax=20.0, alpha=0.75):
    seen = X > 0
    weight = np.where(X < xmax, (X / xmax) ** alpha, 1.0) * seen
    logX = np.log(np.where(seen, X, 1.0))
    diff = W @ C.T + bw[:, None] + bc[None, :] - logX
    value = np.sum(weight * diff ** 2)
    G = 2 * weight * diff
    return value, {"W": G @ C, "C": G.T @ W, "bw": G.sum(axis=1), "bc": G.sum(axis=0)}

def make(seed=0):
    r = np.random.default_rng(seed)
    X = r.poisson(3.0, size=(25, 25)) * r.integers(0, 10, size=(25, 25))
    return dict(W=0.3 * r.normal(size=(25, 6)), C=0.3 * r.normal(size=(25, 6)), bw=np.zeros(25), bc=np.zeros(25), X=X.astype(float))
""",
        wrongs=(
            Wrong("two", "G = 2 * weight * diff", "G = weight * diff"),
            Wrong("noweight", "G = 2 * weight * diff", "G = 2 * seen * diff"),
            Wrong("transposed", '"C": G.T @ W', '"C": G @ W'),
            Wrong("biasaxis", '"bw": G.sum(axis=1)', '"bw": G.sum(axis=0)'),
        ),
        variants="f32 mixed offset readonly huge tiny",
    ),
    Model(
        "skipgram",
        """
def loss(V, U, pairs):
    n = len(pairs)
    gV, gU = np.zeros_like(V), np.zeros_like(U)
    total = 0.0
    for c, o in pairs:
        s = U @ V[c]
        m = s.max()
        e = np.exp(s - m)
        total += m + np.log(e.sum()) - s[o]
        d = e / e.sum()
        d[o] -= 1
        gV[c] += U.T @ d
        gU += np.outer(d, V[c])
    return total / n, {"V": gV / n, "U": gU / n}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(V=r.normal(size=(10, 5)), U=r.normal(size=(10, 5)), pairs=r.integers(7, size=(15, 2)))
""",
        wrongs=(
            Wrong("nominus", "        d[o] -= 1\n", ""),
            Wrong("assign", "gV[c] += U.T @ d", "gV[c] = U.T @ d"),
            Wrong("notn", '"U": gU / n', '"U": gU'),
            Wrong("leak", "gU += np.outer(d, V[c])", "gU[o] += d[o] * V[c]"),
        ),
        variants="f32 strided units sgd buffer",
    ),
    Model(
        "gcn",
        """
def loss(W1, W2, A, X, labels, train):
    d = 1 / np.sqrt(A.sum(axis=1))
    S = d[:, None] * A * d[None, :]
    P = S @ X
    Z1 = P @ W1
    H = np.where(Z1 > 0, Z1, 0.2 * Z1)
    Q = S @ H
    Z = Q @ W2
    Z = Z - Z.max(axis=1, keepdims=True)
    logp = Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))
    idx = np.flatnonzero(train)
    value = -logp[idx, labels[idx]].mean()
    G = np.exp(logp)
    G[np.arange(len(X)), labels] -= 1
    G = G * train[:, None] / len(idx)
    dH = S.T @ (G @ W2.T)
    dZ1 = dH * np.where(Z1 > 0, 1.0, 0.2)
    return value, {"W1": P.T @ dZ1, "W2": Q.T @ G}

def make(seed=0):
    r = np.random.default_rng(seed)
    n = 18
    A = (r.random((n, n)) < 0.2).astype(float)
    A = np.maximum(A, A.T) + np.eye(n)
    A = np.minimum(A, 1.0)
    return dict(W1=r.normal(size=(5, 8)), W2=r.normal(size=(8, 3)), A=A, X=r.normal(size=(n, 5)), labels=r.integers(3, size=n), train=r.random(n) < 0.5)
""",
        wrongs=(
            Wrong("noprop", "dH = S.T @ (G @ W2.T)", "dH = G @ W2.T"),
            Wrong("leak", "np.where(Z1 > 0, 1.0, 0.2)", "np.where(Z1 > 0, 1.0, 0.0)"),
            Wrong("alltrain", "G = G * train[:, None] / len(idx)", "G = G / len(idx)"),
            Wrong("unprop", '"W1": P.T @ dZ1', '"W1": X.T @ dZ1'),
        ),
        variants="f32 f32in offset fortran units",
    ),
    Model(
        "coupling",
        """
# one affine coupling layer, negative log likelihood under a normal base
def loss(Ws, bs, Wt, bt, x):
    h = x.shape[1] // 2
    x1, x2 = x[:, :h], x[:, h:]
    a = np.tanh(x1 @ Ws + bs)
    t = x1 @ Wt + bt
    z2 = x2 * np.exp(a) + t
    n = len(x)
    value = (0.5 * np.sum(z2 ** 2) + 0.5 * np.sum(x1 ** 2) - a.sum()) / n
    dz = z2 / n
    da = dz * x2 * np.exp(a) - 1 / n
    ds = da * (1 - a ** 2)
    return value, {"Ws": x1.T @ ds, "bs": ds.sum(axis=0), "Wt": x1.T @ dz, "bt": dz.sum(axis=0)}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(Ws=r.normal(size=(3, 3)), bs=r.normal(size=3), Wt=r.normal(size=(3, 3)), bt=r.normal(size=3), x=r.normal(size=(16, 6)))
""",
        wrongs=(
            Wrong("nologdet", "da = dz * x2 * np.exp(a) - 1 / n", "da = dz * x2 * np.exp(a)"),
            Wrong("logdetn", "np.exp(a) - 1 / n", "np.exp(a) - 1"),
            Wrong("noexp", "da = dz * x2 * np.exp(a)", "da = dz * x2"),
            Wrong("notanh", "ds = da * (1 - a ** 2)", "ds = da"),
        ),
        variants="f32 offset strided buffer sgd tiny",
    ),
    Model(
        "diffusion",
        """
# denoising loss with random times and noise from the global generator
def loss(W1, W2, temb, x0):
    n = len(x0)
    steps = np.random.randint(0, len(temb), size=n)
    eps = np.random.randn(*x0.shape)
    ab = np.cos(0.5 * np.pi * (steps + 0.5) / len(temb)) ** 2
    xt = np.sqrt(ab)[:, None] * x0 + np.sqrt(1 - ab)[:, None] * eps
    h = np.tanh(xt @ W1 + temb[steps])
    r = h @ W2 - eps
    value = np.mean(r ** 2)
    dr = 2 * r / r.size
    dh = dr @ W2.T * (1 - h ** 2)
    gt = np.zeros_like(temb)
    np.add.at(gt, steps, dh)
    return value, {"W1": xt.T @ dh, "W2": h.T @ dr, "temb": gt}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(W1=r.normal(size=(4, 10)), W2=0.3 * r.normal(size=(10, 4)), temb=r.normal(size=(6, 10)), x0=r.normal(size=(12, 4)))
""",
        wrongs=(
            Wrong("x0", '"W1": xt.T @ dh', '"W1": x0.T @ dh'),
            Wrong("assign", "np.add.at(gt, steps, dh)", "gt[steps] += dh"),
            Wrong("size", "dr = 2 * r / r.size", "dr = 2 * r / n"),
        ),
        variants="f32 offset buffer mixed",
    ),
    Model(
        "softtree",
        """
def sig(z):
    return 1 / (1 + np.exp(-z))

def loss(w, b, leaf, X, y, depth=3, temp=2.0):
    n = len(X)
    inner = 2 ** depth - 1
    s = sig(temp * (X @ w.T + b))
    prob = np.ones((n, 2 * inner + 1))
    for k in range(inner):
        prob[:, 2 * k + 1] = prob[:, k] * (1 - s[:, k])
        prob[:, 2 * k + 2] = prob[:, k] * s[:, k]
    out = prob[:, inner:] @ leaf
    r = out - y
    value = np.mean(r ** 2)
    dr = 2 * r / n
    dleaf = prob[:, inner:].T @ dr
    dp = np.zeros_like(prob)
    dp[:, inner:] = dr[:, None] * leaf
    ds = np.zeros_like(s)
    for k in range(inner - 1, -1, -1):
        ds[:, k] = prob[:, k] * (dp[:, 2 * k + 2] - dp[:, 2 * k + 1])
        dp[:, k] = dp[:, 2 * k + 1] * (1 - s[:, k]) + dp[:, 2 * k + 2] * s[:, k]
    dz = ds * s * (1 - s) * temp
    return value, {"w": dz.T @ X, "b": dz.sum(axis=0), "leaf": dleaf}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(w=r.normal(size=(7, 4)), b=0.2 * r.normal(size=7), leaf=r.normal(size=8), X=r.normal(size=(25, 4)), y=r.normal(size=25))
""",
        wrongs=(
            Wrong("notemp", "ds * s * (1 - s) * temp", "ds * s * (1 - s)"),
            Wrong(
                "swap",
                "dp[:, 2 * k + 1] * (1 - s[:, k]) + dp[:, 2 * k + 2] * s[:, k]",
                "dp[:, 2 * k + 1] * s[:, k] + dp[:, 2 * k + 2] * (1 - s[:, k])",
            ),
            Wrong("noprob", "ds[:, k] = prob[:, k] * (dp", "ds[:, k] = (dp"),
            Wrong("root", "range(inner - 1, -1, -1)", "range(inner - 1, 0, -1)"),
        ),
        variants="f32 f32in offset fortran sgd",
    ),
    Model(
        "maxpool",
        """
def loss(K, b, V, X, y):
    n, H, W = X.shape
    F_, kh, kw = K.shape
    oh, ow = H - kh + 1, W - kw + 1
    win = np.lib.stride_tricks.sliding_window_view(X, (kh, kw), axis=(1, 2))
    out = np.einsum("nijkl,fkl->nfij", win, K) + b[None, :, None, None]
    blocks = out.reshape(n, F_, oh // 2, 2, ow // 2, 2)
    pooled = blocks.max(axis=(3, 5))
    act = np.maximum(pooled, 0)
    flat = act.reshape(n, -1)
    r = flat @ V - y
    value = 0.5 * np.mean(r ** 2)
    dflat = np.outer(r, V) / n
    dpool = dflat.reshape(pooled.shape) * (pooled > 0)
    mask = blocks == pooled[:, :, :, None, :, None]
    dout = (mask * dpool[:, :, :, None, :, None]).reshape(out.shape)
    return value, {"K": np.einsum("nijkl,nfij->fkl", win, dout), "b": dout.sum(axis=(0, 2, 3)), "V": flat.T @ r / n}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(K=r.normal(size=(3, 3, 3)), b=0.1 * r.normal(size=3), V=r.normal(size=27), X=r.normal(size=(6, 8, 8)), y=r.normal(size=6))
""",
        wrongs=(
            Wrong("nomax", "dout = (mask * dpool", "dout = (np.ones_like(mask) * dpool"),
            Wrong("norelu", ".reshape(pooled.shape) * (pooled > 0)", ".reshape(pooled.shape)"),
            Wrong(
                "flip",
                'np.einsum("nijkl,nfij->fkl", win, dout)',
                'np.einsum("nijkl,nfij->fkl", win, dout)[:, ::-1, ::-1]',
            ),
            Wrong("quarter", "dout = (mask * dpool", "dout = (0.25 * np.ones(mask.shape) * dpool"),
        ),
        variants="f32 offset f32in mixed readonly",
    ),
    Model(
        "neuralode",
        """
def loss(W, b, z0, target, steps=12, dt=0.15):
    zs, z = [], z0
    for _ in range(steps):
        k1 = np.tanh(z @ W + b)
        k2 = np.tanh((z + dt * k1) @ W + b)
        zs.append((z, k1, k2))
        z = z + 0.5 * dt * (k1 + k2)
    r = z - target
    value = np.sum(r ** 2)
    gW, gb, a = np.zeros_like(W), np.zeros_like(b), 2 * r
    for z, k1, k2 in reversed(zs):
        d2 = 0.5 * dt * a * (1 - k2 ** 2)
        gW += (z + dt * k1).T @ d2
        gb += d2.sum(axis=0)
        back2 = d2 @ W.T
        d1 = (0.5 * dt * a + dt * back2) * (1 - k1 ** 2)
        gW += z.T @ d1
        gb += d1.sum(axis=0)
        a = a + back2 + d1 @ W.T
    return value, {"W": gW, "b": gb, "z0": a}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(W=r.normal(size=(4, 4)), b=r.normal(size=4), z0=r.normal(size=(5, 4)), target=r.normal(size=(5, 4)))
""",
        wrongs=(
            Wrong("nostage", "d1 = (0.5 * dt * a + dt * back2)", "d1 = (0.5 * dt * a)"),
            Wrong("noback2", "a = a + back2 + d1 @ W.T", "a = a + d1 @ W.T"),
            Wrong("zatk", "gW += (z + dt * k1).T @ d2", "gW += z.T @ d2"),
        ),
        variants="f32 offset fortran strided f32in buffer",
    ),
)
