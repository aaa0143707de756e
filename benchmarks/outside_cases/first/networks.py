"""Networks, embeddings and losses of metric learning."""

from __future__ import annotations

from benchmarks.outside_cases.models import Model, Wrong

MODELS = (
    Model(
        "twolayer",
        """
def loss(W1, b1, W2, b2, X, y, reg=0.05):
    n = X.shape[0]
    z = X @ W1 + b1
    h = np.maximum(0, z)
    s = h @ W2 + b2
    s = s - np.max(s, axis=1, keepdims=True)
    e = np.exp(s)
    p = e / e.sum(axis=1, keepdims=True)
    nll = -np.log(p[np.arange(n), y]).sum() / n
    total = nll + reg * np.sum(W1 ** 2) + reg * np.sum(W2 ** 2)
    ds = p.copy()
    ds[np.arange(n), y] -= 1
    ds /= n
    dW2 = h.T @ ds + 2 * reg * W2
    db2 = ds.sum(axis=0)
    dh = ds @ W2.T
    dz = dh * (z > 0)
    dW1 = X.T @ dz + 2 * reg * W1
    db1 = dz.sum(axis=0)
    return total, {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(W1=r.normal(size=(6, 9)), b1=0.1 * r.normal(size=9), W2=r.normal(size=(9, 4)), b2=r.normal(size=4),
                X=r.normal(size=(12, 6)), y=r.integers(4, size=12))
""",
        wrongs=(
            Wrong("nomask", "dz = dh * (z > 0)", "dz = dh"),
            Wrong("halfreg", "X.T @ dz + 2 * reg * W1", "X.T @ dz + reg * W1"),
            Wrong("noreg2", "h.T @ ds + 2 * reg * W2", "h.T @ ds"),
            Wrong("maskh2", "dz = dh * (z > 0)", "dz = dh * (z > 0.3)"),
            Wrong("biasmean", "db2 = ds.sum(axis=0)", "db2 = ds.mean(axis=0)"),
        ),
        variants="f32 f32in offset buffer fortran sgd units mixed strided",
    ),
    Model(
        "svm",
        """
def svm_loss(W, X, y, reg):
    n = X.shape[0]
    scores = X.dot(W)
    correct = scores[np.arange(n), y][:, None]
    margins = np.maximum(0, scores - correct + 1.0)
    margins[np.arange(n), y] = 0
    total = margins.sum() / n + reg * np.sum(W * W)
    mask = (margins > 0).astype(W.dtype)
    mask[np.arange(n), y] = -mask.sum(axis=1)
    dW = X.T.dot(mask) / n + 2 * reg * W
    return total, dW

def loss(W, X, y, reg=1e-2):
    total, dW = svm_loss(W, X, y, reg)
    return total, {"W": dW}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(W=0.3 * r.normal(size=(15, 6)), X=r.normal(size=(40, 15)), y=r.integers(6, size=40))
""",
        wrongs=(
            Wrong("count1", "-mask.sum(axis=1)", "-1.0 * (mask.sum(axis=1) > 0)"),
            Wrong("nodivide", "X.T.dot(mask) / n", "X.T.dot(mask)"),
            Wrong("reg1", "+ 2 * reg * W", "+ reg * W"),
            Wrong("margin0", "(margins > 0).astype", "(margins > 1).astype"),
        ),
        variants="f32 offset readonly units f32in tiny",
    ),
    Model(
        "batchnorm",
        """
def loss(x, gamma, beta, target, eps=1e-5):
    n = x.shape[0]
    mu = x.mean(axis=0)
    xc = x - mu
    var = (xc ** 2).mean(axis=0)
    inv = 1.0 / np.sqrt(var + eps)
    xhat = xc * inv
    out = gamma * xhat + beta
    diff = np.tanh(out) - target
    value = 0.5 * (diff ** 2).sum()
    dout = diff * (1 - np.tanh(out) ** 2)
    dgamma = (dout * xhat).sum(axis=0)
    dbeta = dout.sum(axis=0)
    dxhat = dout * gamma
    dvar = (dxhat * xc * -0.5 * inv ** 3).sum(axis=0)
    dmu = -(dxhat * inv).sum(axis=0) + dvar * (-2.0 * xc).mean(axis=0)
    dx = dxhat * inv + dvar * 2 * xc / n + dmu / n
    return value, {"x": dx, "gamma": dgamma, "beta": dbeta}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(x=r.normal(size=(10, 5)) * [1, 2, 3, 0.1, 5] + 3, gamma=r.normal(size=5), beta=r.normal(size=5),
                target=r.normal(size=(10, 5)))
""",
        wrongs=(
            Wrong("novar", "dvar * 2 * xc / n + dmu / n", "dmu / n"),
            Wrong("nomu", "+ dvar * 2 * xc / n + dmu / n", "+ dvar * 2 * xc / n"),
            Wrong("inv2", "-0.5 * inv ** 3", "-0.5 * inv ** 2"),
            Wrong("gammaxc", "dgamma = (dout * xhat)", "dgamma = (dout * xc)"),
            Wrong("nminus1", "dvar * 2 * xc / n +", "dvar * 2 * xc / (n - 1) +"),
        ),
        variants="f32 fortran strided offset buffer sgd huge",
    ),
    Model(
        "rnn",
        """
def loss(Wx, Wh, b, h0, X, Y):
    T = len(X)
    hs = [h0]
    for t in range(T):
        hs.append(np.tanh(X[t] @ Wx + hs[-1] @ Wh + b))
    value = sum(0.5 * np.sum((hs[t + 1] - Y[t]) ** 2) for t in range(T))
    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    carry = np.zeros_like(h0)
    for t in reversed(range(T)):
        dh = hs[t + 1] - Y[t] + carry
        da = dh * (1 - hs[t + 1] ** 2)
        dWx += np.outer(X[t], da)
        dWh += np.outer(hs[t], da)
        db += da
        carry = da @ Wh.T
    return value, {"Wx": dWx, "Wh": dWh, "b": db, "h0": carry}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(Wx=r.normal(size=(3, 5)), Wh=0.5 * r.normal(size=(5, 5)), b=r.normal(size=5) * 0.1, h0=r.normal(size=5),
                X=r.normal(size=(7, 3)), Y=r.normal(size=(7, 5)))
""",
        wrongs=(
            Wrong("laststep", "for t in reversed(range(T)):", "for t in reversed(range(1, T)):"),
            Wrong("truncated", "carry = da @ Wh.T", "carry = 0.0 * (da @ Wh.T)"),
            Wrong("transposed", "carry = da @ Wh.T", "carry = da @ Wh"),
            Wrong("offbyone", "np.outer(hs[t], da)", "np.outer(hs[t + 1], da)"),
        ),
        variants="f32 f32in fortran offset mixed",
    ),
    Model(
        "sgns",
        """
def sigmoid(x):
    return 1 / (1 + np.exp(-x))

def loss(V, U, centers, contexts, negatives):
    gV, gU = np.zeros_like(V), np.zeros_like(U)
    value = 0.0
    for c, o, ks in zip(centers, contexts, negatives):
        v = V[c]
        s = sigmoid(U[o] @ v)
        value -= np.log(s)
        gV[c] += (s - 1) * U[o]
        gU[o] += (s - 1) * v
        for k in ks:
            q = sigmoid(-U[k] @ v)
            value -= np.log(q)
            gV[c] += (1 - q) * U[k]
            gU[k] += (1 - q) * v
    return value, {"V": gV, "U": gU}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(V=r.normal(size=(12, 4)), U=r.normal(size=(12, 4)), centers=r.integers(8, size=10),
                contexts=r.integers(8, size=10), negatives=r.integers(8, size=(10, 3)))
""",
        wrongs=(
            Wrong("dupes", "            gU[k] += (1 - q) * v", "            gU[k] = (1 - q) * v"),
            Wrong("nov", "gV[c] += (1 - q) * U[k]", "gV[c] += (1 - q) * U[o]"),
            Wrong("sign", "gV[c] += (s - 1) * U[o]", "gV[c] += (1 - s) * U[o]"),
        ),
        variants="f32 strided buffer offset readonly",
    ),
    Model(
        "attention",
        """
def softmax(a):
    e = np.exp(a - a.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

def loss(Wq, Wk, Wv, X, R):
    d = Wq.shape[1]
    Q, K, V = X @ Wq, X @ Wk, X @ Wv
    S = Q @ K.T / np.sqrt(d)
    causal = np.tril(np.ones(S.shape, dtype=bool))
    S = np.where(causal, S, -1e9)
    P = softmax(S)
    O = P @ V
    value = np.sum(O * R)
    dV = P.T @ R
    dP = R @ V.T
    dS = P * (dP - (dP * P).sum(axis=-1, keepdims=True))
    dS = dS / np.sqrt(d)
    dQ = dS @ K
    dK = dS.T @ Q
    return value, {"Wq": X.T @ dQ, "Wk": X.T @ dK, "Wv": X.T @ dV}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(Wq=r.normal(size=(6, 4)), Wk=r.normal(size=(6, 4)), Wv=r.normal(size=(6, 3)), X=r.normal(size=(8, 6)),
                R=r.normal(size=(8, 3)))
""",
        wrongs=(
            Wrong("noscale", "dS = dS / np.sqrt(d)", "dS = dS / d"),
            Wrong(
                "softaxis",
                "(dP * P).sum(axis=-1, keepdims=True)",
                "(dP * P).sum(axis=0, keepdims=True)",
            ),
            Wrong("kt", "dK = dS.T @ Q", "dK = dS @ Q"),
            Wrong("nosoft", "P * (dP - (dP * P).sum(axis=-1, keepdims=True))", "P * dP"),
            Wrong("vP", "dV = P.T @ R", "dV = P @ R"),
        ),
        variants="f32 f32in offset fortran tiny huge",
    ),
    Model(
        "focal",
        """
def loss(w, b, X, y, alpha=0.25, gamma=2.0):
    z = X @ w + b
    p = 1 / (1 + np.exp(-z))
    pt = np.where(y == 1, p, 1 - p)
    at = np.where(y == 1, alpha, 1 - alpha)
    value = np.mean(-at * (1 - pt) ** gamma * np.log(pt))
    dpt = at * (gamma * (1 - pt) ** (gamma - 1) * np.log(pt) - (1 - pt) ** gamma / pt)
    dz = dpt * pt * (1 - pt) * np.where(y == 1, 1.0, -1.0) / len(y)
    return value, {"w": X.T @ dz, "b": dz.sum()}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(w=r.normal(size=7), b=0.3, X=r.normal(size=(25, 7)), y=r.integers(2, size=25))
""",
        wrongs=(
            Wrong(
                "detached", "gamma * (1 - pt) ** (gamma - 1) * np.log(pt) - (1 - pt)", "-(1 - pt)"
            ),
            Wrong("alpha", "at * (gamma * (1 - pt)", "alpha * (gamma * (1 - pt)"),
            Wrong("exponent", "(gamma - 1) * np.log", "gamma * np.log"),
        ),
        variants="f32 offset readonly tiny mixed sgd",
    ),
    Model(
        "dice",
        """
def loss(theta, image, mask, smooth=1.0):
    p = 1 / (1 + np.exp(-(theta["scale"] * image + theta["bias"])))
    inter = (p * mask).sum()
    denom = p.sum() + mask.sum() + smooth
    value = 1 - (2 * inter + smooth) / denom
    dp = -(2 * mask * denom - (2 * inter + smooth)) / denom ** 2
    da = dp * p * (1 - p)
    return value, {"scale": np.sum(da * image), "bias": da}

TREE = "theta"

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(theta={"scale": np.array(0.7), "bias": r.normal(size=(9, 11))}, image=r.normal(size=(9, 11)),
                mask=(r.random((9, 11)) < 0.4).astype(float))
""",
        wrongs=(
            Wrong("nosmooth", "- (2 * inter + smooth)) / denom ** 2", "- 2 * inter) / denom ** 2"),
            Wrong("factor2", "-(2 * mask * denom", "-(mask * denom"),
            Wrong("scalemean", "np.sum(da * image)", "np.sum(da * image[::-1])"),
        ),
    ),
    Model(
        "triplet",
        """
def loss(E, anchors, positives, negatives, margin=0.5):
    value = 0.0
    dE = np.zeros_like(E)
    for a, p, n in zip(anchors, positives, negatives):
        dp = E[a] - E[p]
        dn = E[a] - E[n]
        gap = np.sqrt(dp @ dp) - np.sqrt(dn @ dn) + margin
        if gap > 0:
            value += gap
            up = dp / np.sqrt(dp @ dp)
            un = dn / np.sqrt(dn @ dn)
            dE[a] += up - un
            dE[p] -= up
            dE[n] += un
    return value / len(anchors), {"E": dE / len(anchors)}

def make(seed=0):
    r = np.random.default_rng(seed)
    t = np.array([r.permutation(20)[:3] for _ in range(30)])
    return dict(E=r.normal(size=(22, 5)), anchors=t[:, 0], positives=t[:, 1], negatives=t[:, 2])
""",
        wrongs=(
            Wrong("noanchor", "dE[a] += up - un", "dE[a] += up"),
            Wrong("signneg", "dE[n] += un", "dE[n] -= un"),
            Wrong("squared", "un = dn / np.sqrt(dn @ dn)", "un = dn"),
        ),
        variants="f32 f32in units strided buffer",
    ),
    Model(
        "infonce",
        """
def loss(A, B, tau):
    na = np.linalg.norm(A, axis=1, keepdims=True)
    nb = np.linalg.norm(B, axis=1, keepdims=True)
    a, b = A / na, B / nb
    L = a @ b.T / tau
    top = L.max(axis=1, keepdims=True)
    lse = np.log(np.exp(L - top).sum(axis=1)) + top[:, 0]
    n = len(A)
    value = np.mean(lse - np.diag(L))
    G = (np.exp(L - lse[:, None]) - np.eye(n)) / n
    da = G @ b / tau
    db = G.T @ a / tau
    dtau = -np.sum(G * L) / tau
    dA = (da - a * (a * da).sum(axis=1, keepdims=True)) / na
    dB = (db - b * (b * db).sum(axis=1, keepdims=True)) / nb
    return value, {"A": dA, "B": dB, "tau": dtau}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(A=r.normal(size=(9, 6)), B=r.normal(size=(9, 6)), tau=0.2)
""",
        wrongs=(
            Wrong(
                "noprojection",
                "dA = (da - a * (a * da).sum(axis=1, keepdims=True)) / na",
                "dA = da / na",
            ),
            Wrong(
                "wrongnorm",
                "dB = (db - b * (b * db).sum(axis=1, keepdims=True)) / nb",
                "dB = (db - b * (b * db).sum(axis=1, keepdims=True)) / na",
            ),
            Wrong("tausign", "dtau = -np.sum(G * L) / tau", "dtau = np.sum(G * L) / tau"),
            Wrong("tau2", "dtau = -np.sum(G * L) / tau", "dtau = -np.sum(G * L)"),
        ),
        variants="offset f32 fortran",
    ),
    Model(
        "dead_units",
        """
# one hidden unit is never active: its column has exactly zero gradient, and one input is always zero
def loss(W, b, v, X, y):
    a = X @ W + b
    h = a * (a > 0)
    e = h @ v - y
    n = len(y)
    dh = np.outer(e, v) / n
    da = dh * (a > 0)
    return 0.5 * np.mean(e ** 2), {"W": X.T @ da, "b": da.sum(axis=0), "v": h.T @ e / n}

def make(seed=0):
    r = np.random.default_rng(seed)
    X = r.normal(size=(20, 5))
    X[:, 2] = 0
    b = 0.1 * r.normal(size=6)
    b[3] = -50.0
    return dict(W=r.normal(size=(5, 6)), b=b, v=r.normal(size=6), X=X, y=r.normal(size=20))
""",
        wrongs=(
            Wrong("nomask", "da = dh * (a > 0)", "da = dh"),
            Wrong("vmask", '"v": h.T @ e / n', '"v": a.T @ e / n'),
            Wrong("norm", "dh = np.outer(e, v) / n", "dh = np.outer(e, v)"),
        ),
        variants="f32 offset f32in strided mixed",
    ),
    Model(
        "dropout_np",
        """
def loss(W1, W2, X, y, keep=0.7):
    h = np.tanh(X @ W1)
    mask = (np.random.rand(*h.shape) < keep) / keep
    d = h * mask
    e = d @ W2 - y
    dd = np.outer(e, W2) / len(y)
    dh = dd * mask
    return 0.5 * np.mean(e ** 2), {"W1": X.T @ (dh * (1 - h ** 2)), "W2": d.T @ e / len(y)}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(W1=r.normal(size=(4, 8)), W2=r.normal(size=8), X=r.normal(size=(15, 4)), y=r.normal(size=15))
""",
        wrongs=(
            Wrong("nomask", "dh = dd * mask", "dh = dd"),
            Wrong("usesd", "(1 - h ** 2)", "(1 - d ** 2)"),
            Wrong("keep", "dh = dd * mask", "dh = dd * mask * keep"),
        ),
        variants="f32 offset buffer",
    ),
    Model(
        "weights_large",
        """
# 2400 weights of a softmax regression, kept in a list with a bias
def loss(theta, X, y, decay=1e-3):
    W, b = theta
    n = len(y)
    z = X @ W + b
    z = z - z.max(axis=1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    value = -logp[np.arange(n), y].mean() + 0.5 * decay * (W * W).sum()
    d = np.exp(logp)
    d[np.arange(n), y] -= 1
    d /= n
    return value, [X.T @ d + decay * W, d.sum(axis=0)]

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(theta=[0.1 * r.normal(size=(120, 20)), np.zeros(20)], X=r.normal(size=(64, 120)), y=r.integers(20, size=64))

WRT = "theta"
TREE = "theta"
""",
        wrongs=(
            Wrong("nodecay", "X.T @ d + decay * W", "X.T @ d"),
            Wrong("notmean", "    d /= n\n", ""),
            Wrong("onerow", "    return value, [X", "    d[5] *= 1.01\n    return value, [X"),
        ),
    ),
    Model(
        "gru_step",
        """
def sig(a):
    return 0.5 * (1 + np.tanh(0.5 * a))

def loss(p, xs, h0, target):
    T, h = len(xs), h0
    cache = []
    for x in xs:
        z = sig(p["Wz"] @ x + p["Uz"] @ h)
        r = sig(p["Wr"] @ x + p["Ur"] @ h)
        c = np.tanh(p["Wh"] @ x + p["Uh"] @ (r * h))
        cache.append((x, h, z, r, c))
        h = (1 - z) * h + z * c
    value = 0.5 * np.sum((h - target) ** 2)
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dh = h - target
    for x, hp, z, r, c in reversed(cache):
        dc = dh * z * (1 - c ** 2)
        dz = dh * (c - hp) * z * (1 - z)
        drh = p["Uh"].T @ dc
        dr = drh * hp * r * (1 - r)
        g["Wh"] += np.outer(dc, x)
        g["Uh"] += np.outer(dc, r * hp)
        g["Wz"] += np.outer(dz, x)
        g["Uz"] += np.outer(dz, hp)
        g["Wr"] += np.outer(dr, x)
        g["Ur"] += np.outer(dr, hp)
        dh = dh * (1 - z) + drh * r + p["Uz"].T @ dz + p["Ur"].T @ dr
    return value, g

TREE = "p"

def make(seed=0):
    r = np.random.default_rng(seed)
    p = {}
    for k in "zrh":
        p["W" + k] = r.normal(size=(5, 3))
        p["U" + k] = 0.6 * r.normal(size=(5, 5))
    return dict(p=p, xs=r.normal(size=(6, 3)), h0=r.normal(size=5), target=r.normal(size=5))
""",
        wrongs=(
            Wrong("noreset", "+ drh * r +", "+ drh +"),
            Wrong("hp", 'g["Uh"] += np.outer(dc, r * hp)', 'g["Uh"] += np.outer(dc, hp)'),
            Wrong("noUr", ' + p["Ur"].T @ dr', ""),
            Wrong("zsign", "dz = dh * (c - hp)", "dz = dh * (c + hp)"),
        ),
        variants="f32 fortran strided readonly",
    ),
)
