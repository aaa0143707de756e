"""Likelihoods: counts, competing risks, groups, labels in sequence, copulas, ratings."""

from __future__ import annotations

from benchmarks.outside_cases.models import Model, Wrong

MODELS = (
    Model(
        "zip",
        """
from scipy.special import gammaln

def zip_nll(beta, gamma, X, Z, y):
    lam = np.exp(X @ beta)
    pi = 1 / (1 + np.exp(-Z @ gamma))
    zero = y == 0
    p0 = pi + (1 - pi) * np.exp(-lam)
    ll = np.where(zero, np.log(p0), np.log(1 - pi) - lam + y * np.log(lam) - gammaln(y + 1))
    dlam = np.where(zero, -(1 - pi) * np.exp(-lam) / p0, y / lam - 1)
    dpi = np.where(zero, (1 - np.exp(-lam)) / p0, -1 / (1 - pi))
    return -ll.sum(), {"beta": -X.T @ (dlam * lam), "gamma": -Z.T @ (dpi * pi * (1 - pi))}

loss = zip_nll

def make(seed=0):
    r = np.random.default_rng(seed)
    n = 50
    X = np.column_stack([np.ones(n), r.normal(size=(n, 3))])
    Z = np.column_stack([np.ones(n), r.normal(size=(n, 2))])
    return dict(beta=0.4 * r.normal(size=4), gamma=0.5 * r.normal(size=3), X=X, Z=Z, y=r.poisson(1.5, size=n) * (r.random(n) < 0.6))
""",
        wrongs=(
            Wrong("p0", "-(1 - pi) * np.exp(-lam) / p0", "-1.0"),
            Wrong("dpi0", "(1 - np.exp(-lam)) / p0,", "1 / p0,"),
            Wrong("nochain", "dpi * pi * (1 - pi))", "dpi * pi)"),
        ),
        variants="offset fortran readonly huge",
    ),
    Model(
        "competing",
        """
# cause-specific proportional hazards with two causes, Breslow ties, a shared frailty penalty
def loss(beta, X, time, cause, lam=0.3):
    value, grad = 0.0, np.zeros_like(beta)
    for k in (0, 1):
        eta = X @ beta[k]
        r = np.exp(eta)
        for i in np.flatnonzero(cause == k + 1):
            at = time >= time[i]
            S = r[at].sum()
            value -= eta[i] - np.log(S)
            grad[k] -= X[i] - r[at] @ X[at] / S
    value += 0.5 * lam * np.sum((beta[0] - beta[1]) ** 2)
    d = lam * (beta[0] - beta[1])
    grad[0] += d
    grad[1] -= d
    return value, {"beta": grad}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(beta=0.5 * r.normal(size=(2, 4)), X=r.normal(size=(30, 4)), time=r.integers(1, 12, size=30).astype(float), cause=r.integers(3, size=30))
""",
        wrongs=(
            Wrong("penalty", "grad[1] -= d", "grad[1] += d"),
            Wrong(
                "allrisk",
                "grad[k] -= X[i] - r[at] @ X[at] / S",
                "grad[k] -= X[i] - r @ X / r.sum()",
            ),
            Wrong("nopenalty", "    grad[0] += d\n", ""),
        ),
        variants="f32 offset buffer units",
    ),
    Model(
        "mixed_effects",
        """
def loss(beta, log_tau, log_sigma, X, y, group):
    tau2, s2 = np.exp(2 * log_tau), np.exp(2 * log_sigma)
    value, gb, gt, gs = 0.0, np.zeros_like(beta), 0.0, 0.0
    for g in np.unique(group):
        Xi, ri = X[group == g], (y - X @ beta)[group == g]
        n = len(ri)
        V = s2 * np.eye(n) + tau2
        Vi = np.linalg.inv(V)
        a = Vi @ ri
        value += 0.5 * (np.linalg.slogdet(V)[1] + ri @ a)
        gb -= Xi.T @ a
        M = 0.5 * (Vi - np.outer(a, a))
        gt += 2 * tau2 * M.sum()
        gs += 2 * s2 * np.trace(M)
    return value, {"beta": gb, "log_tau": gt, "log_sigma": gs}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(beta=r.normal(size=3), log_tau=-0.3, log_sigma=0.1, X=r.normal(size=(32, 3)), y=r.normal(size=32) * 2, group=r.integers(6, size=32))
""",
        wrongs=(
            Wrong("trace", "gt += 2 * tau2 * M.sum()", "gt += 2 * tau2 * np.trace(M)"),
            Wrong(
                "reml",
                "M = 0.5 * (Vi - np.outer(a, a))",
                "M = 0.5 * (Vi * (n - 1) / n - np.outer(a, a))",
            ),
            Wrong("log", "gs += 2 * s2 *", "gs += s2 *"),
        ),
        variants="offset tiny readonly huge",
    ),
    Model(
        "crf",
        """
def lse(a, axis):
    m = a.max(axis=axis, keepdims=True)
    return np.log(np.exp(a - m).sum(axis=axis)) + m.squeeze(axis)

def loss(E, T, start, tags):
    n, k = E.shape
    al, be = np.zeros((n, k)), np.zeros((n, k))
    al[0] = start + E[0]
    for i in range(1, n):
        al[i] = lse(al[i - 1][:, None] + T, 0) + E[i]
    for i in range(n - 2, -1, -1):
        be[i] = lse(T + E[i + 1] + be[i + 1], 1)
    Z = lse(al[-1], 0)
    score = start[tags[0]] + E[np.arange(n), tags].sum() + T[tags[:-1], tags[1:]].sum()
    gE = np.exp(al + be - Z)
    gstart = gE[0].copy()
    gE[np.arange(n), tags] -= 1
    gstart[tags[0]] -= 1
    gT = np.zeros_like(T)
    for i in range(1, n):
        gT += np.exp(al[i - 1][:, None] + T + E[i] + be[i] - Z)
        gT[tags[i - 1], tags[i]] -= 1
    return Z - score, {"E": gE, "T": gT, "start": gstart}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(E=r.normal(size=(9, 4)), T=r.normal(size=(4, 4)), start=r.normal(size=4), tags=r.integers(4, size=9))
""",
        wrongs=(
            Wrong(
                "noE",
                "np.exp(al[i - 1][:, None] + T + E[i] + be[i] - Z)",
                "np.exp(al[i - 1][:, None] + T + be[i] - Z)",
            ),
            Wrong(
                "lasttrans",
                "    for i in range(1, n):\n        gT",
                "    for i in range(1, n - 1):\n        gT",
            ),
            Wrong(
                "fancy",
                "        gT[tags[i - 1], tags[i]] -= 1\n",
                "        pass\n    gT[tags[:-1], tags[1:]] -= 1\n",
            ),
            Wrong("start", "    gstart[tags[0]] -= 1\n", ""),
        ),
        variants="offset fortran f32in buffer",
    ),
    Model(
        "elo",
        """
# ratings that are updated after every game: the loss of all predictions with respect to K and the start
def loss(R0, logK, white, black, score):
    K = np.exp(logK)
    R = R0.copy()
    n = len(R)
    J = np.eye(n)            # dR / dR0
    D = np.zeros(n)          # dR / dK
    value, g0, gK = 0.0, np.zeros(n), 0.0
    for w, b, s in zip(white, black, score):
        p = 1 / (1 + 10 ** (-(R[w] - R[b]) / 400))
        value -= s * np.log(p) + (1 - s) * np.log(1 - p)
        k = np.log(10) / 400
        g0 = g0 + (p - s) * k * (J[w] - J[b])
        gK = gK + (p - s) * k * (D[w] - D[b])
        dp = p * (1 - p) * k
        Jd, Dd = dp * (J[w] - J[b]), dp * (D[w] - D[b])
        step = K * (s - p)
        D[w] += (s - p) - K * Dd
        D[b] -= (s - p) - K * Dd
        J[w] = J[w] - K * Jd
        J[b] = J[b] + K * Jd
        R[w] += step
        R[b] -= step
    return value, {"R0": g0, "logK": gK * K}

def make(seed=0):
    r = np.random.default_rng(seed)
    w = r.integers(6, size=40)
    return dict(R0=1500 + 100 * r.normal(size=6), logK=np.log(24.0), white=w, black=(w + r.integers(1, 6, size=40)) % 6, score=r.choice([0.0, 0.5, 1.0], size=40))
""",
        wrongs=(
            Wrong("nofeedback", "D[w] += (s - p) - K * Dd", "D[w] += (s - p)"),
            Wrong("ln10", "k = np.log(10) / 400", "k = 1 / 400"),
            Wrong("chain", "gK * K}", "gK}"),
            Wrong("frozen", "J[w] = J[w] - K * Jd", "J[w] = J[w]"),
        ),
        variants="offset tiny readonly",
    ),
    Model(
        "gausscopula",
        """
from scipy.special import ndtri

def loss(L, U):
    z = ndtri(U)
    A = np.tril(L, -1)
    d = np.sqrt(1 + np.sum(A ** 2, axis=1))
    C = (A + np.eye(len(L))) / d[:, None]
    R = C @ C.T
    Ri = np.linalg.inv(R)
    n = len(U)
    S = z.T @ z
    value = 0.5 * n * np.linalg.slogdet(R)[1] + 0.5 * np.sum((Ri - np.eye(len(R))) * S)
    gR = 0.5 * n * Ri - 0.5 * Ri @ S @ Ri
    gC = 2 * gR @ C
    gA = gC / d[:, None] - (np.sum(gC * C, axis=1) / d ** 2)[:, None] * A
    return value, {"L": np.tril(gA, -1)}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(L=0.5 * r.normal(size=(4, 4)), U=r.random((40, 4)) * 0.98 + 0.01)
""",
        wrongs=(
            Wrong(
                "nonorm",
                "gA = gC / d[:, None] - (np.sum(gC * C, axis=1) / d ** 2)[:, None] * A",
                "gA = gC / d[:, None]",
            ),
            Wrong("upper", '"L": np.tril(gA, -1)', '"L": gA'),
            Wrong("half", "gC = 2 * gR @ C", "gC = gR @ C"),
        ),
        variants="offset strided huge",
    ),
    Model(
        "cauchy_huber",
        """
def loss(p, t, y, delta=0.5):
    A, k, c, w, ph = p
    e = np.exp(-k * t)
    s, co = np.sin(w * t + ph), np.cos(w * t + ph)
    r = A * e * s + c - y
    value = np.sum(np.where(np.abs(r) < delta, 0.5 * r ** 2, delta * np.abs(r) - 0.5 * delta ** 2)) + np.sum(np.log1p(r ** 2))
    psi = np.clip(r, -delta, delta) + 2 * r / (1 + r ** 2)
    return value, {"p": np.array([psi @ (e * s), psi @ (-A * t * e * s), psi.sum(), psi @ (A * e * co * t), psi @ (A * e * co)])}

def make(seed=0):
    r = np.random.default_rng(seed)
    t = np.linspace(0, 5, 60)
    y = 2 * np.exp(-0.3 * t) * np.sin(3 * t + 0.4) + 0.3 * r.standard_t(2, size=60)
    return dict(p=np.array([1.8, 0.33, 0.05, 2.9, 0.5]), t=t, y=y)
""",
        wrongs=(
            Wrong("cauchy", "2 * r / (1 + r ** 2)", "r / (1 + r ** 2)"),
            Wrong("t", "psi @ (A * e * co * t)", "psi @ (A * e * co)"),
            Wrong("ksign", "psi @ (-A * t * e * s)", "psi @ (A * t * e * s)"),
            Wrong("k4", "psi @ (-A * t * e * s)", "psi @ (-A * t * e * s) * 1.0004"),
        ),
        variants="f32 offset tiny huge readonly",
    ),
    Model(
        "ising",
        """
# naive mean field free energy of an Ising model; the couplings are symmetric by construction
def loss(theta, J, h, T=1.5):
    m = np.tanh(theta)
    S = 0.5 * (J + J.T)
    p, q = (1 + m) / 2, (1 - m) / 2
    E = -0.5 * m @ S @ m - h @ m
    entropy = -np.sum(p * np.log(p) + q * np.log(q))
    dm = -S @ m - h + T * np.arctanh(m)
    return E - T * entropy, {"theta": dm * (1 - m ** 2), "J": -0.5 * np.outer(m, m), "h": -m}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(theta=r.normal(size=14), J=r.normal(size=(14, 14)), h=0.3 * r.normal(size=14))
""",
        wrongs=(
            Wrong("half", "dm = -S @ m - h", "dm = -0.5 * S @ m - h"),
            Wrong("noT", "+ T * np.arctanh(m)", "+ np.arctanh(m)"),
            Wrong("Jdouble", '"J": -0.5 * np.outer(m, m)', '"J": -np.outer(m, m)'),
            Wrong("asym", "dm = -S @ m", "dm = -J @ m"),
        ),
        variants="offset f32 tiny strided fortran",
    ),
    Model(
        "gammareg",
        """
from scipy.special import gammaln, digamma

def nll(params, X, y):
    beta, shape = params["beta"], np.exp(params["logshape"])
    mu = np.exp(X @ beta)
    ll = shape * np.log(shape / mu) + (shape - 1) * np.log(y) - shape * y / mu - gammaln(shape)
    gb = -X.T @ (shape * (y / mu - 1))
    gs = -np.sum(np.log(shape / mu) + 1 + np.log(y) - y / mu - digamma(shape))
    return -ll.sum(), {"beta": gb, "logshape": gs * shape}

target = nll
TREE = "params"

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(params={"beta": 0.3 * r.normal(size=4), "logshape": np.array(0.7)}, X=r.normal(size=(45, 4)), y=r.gamma(2.0, size=45))
""",
        wrongs=(
            Wrong("one", "np.log(shape / mu) + 1 + np.log(y)", "np.log(shape / mu) + np.log(y)"),
            Wrong("shape", "-X.T @ (shape * (y / mu - 1))", "-X.T @ (y / mu - 1)"),
            Wrong("digam", "- digamma(shape))", "- np.log(shape))"),
        ),
        variants="f32 readonly",
    ),
    Model(
        "betabinom",
        """
from scipy.special import betaln, psi

def f(x, n, k):
    a, b = np.exp(x)
    return -np.sum(betaln(k + a, n - k + b) - betaln(a, b))

def df(x, n, k):
    a, b = np.exp(x)
    common = -psi(n + a + b) + psi(a + b)
    return -np.array([a * np.sum(psi(k + a) - psi(a) + common), b * np.sum(psi(n - k + b) - psi(b) + common)])

target = f
GRAD = "df"
WRT = "x"

def make(seed=0):
    r = np.random.default_rng(seed)
    n = r.integers(5, 30, size=20)
    return dict(x=np.array([0.5, 1.1]), n=n, k=r.binomial(n, 0.4))
""",
        wrongs=(
            Wrong("nocommon", "psi(n - k + b) - psi(b) + common)", "psi(n - k + b) - psi(b))"),
            Wrong("chain", "-np.array([a * np.sum", "-np.array([np.sum"),
            Wrong("k", "psi(k + a) - psi(a) + common", "psi(n - k + a) - psi(a) + common"),
        ),
    ),
    Model(
        "pinball_kink",
        """
# the intercept interpolates a data point exactly: one residual is 0
def loss(a, b, x, y, tau=0.5):
    r = y - a - b * x
    value = np.sum(np.where(r >= 0, tau * r, (tau - 1) * r))
    g = -np.where(r >= 0, tau, tau - 1)
    return value, {"a": g.sum(), "b": (g * x).sum()}

SUBGRADIENT = "the residual that is 0 takes the slope of the right side"

def make(seed=0):
    r = np.random.default_rng(seed)
    x = np.round(r.normal(size=21) * 8) / 8
    y = np.round(r.normal(size=21) * 8) / 8
    return dict(a=float(y[4] - 0.25 * x[4]), b=0.25, x=x, y=y)
""",
        wrongs=(
            Wrong(
                "sym", "g = -np.where(r >= 0, tau, tau - 1)", "g = -np.where(r >= 0, tau, 1 - tau)"
            ),
            Wrong("scale", "(g * x).sum()", "(g * x).mean()"),
        ),
    ),
    Model(
        "expectile_scales",
        """
def loss(beta, X, y, tau=0.8):
    r = y - X @ beta
    w = np.where(r > 0, tau, 1 - tau)
    return np.sum(w * r ** 2), {"beta": -2 * X.T @ (w * r)}

def make(seed=0):
    r = np.random.default_rng(seed)
    X = r.normal(size=(200, 30))
    return dict(beta=r.normal(size=30), X=X, y=r.normal(size=200) * 3)
""",
        wrongs=(
            Wrong("now", "-2 * X.T @ (w * r)", "-2 * X.T @ r"),
            Wrong("swap", "(w * r)}", "((1 - w) * r)}"),
            Wrong(
                "last",
                '{"beta": -2 * X.T @ (w * r)}',
                '{"beta": np.append((-2 * X.T @ (w * r))[:-1], 0.0)}',
            ),
        ),
        variants="units huge tiny offset f32",
    ),
    Model(
        "perceptual_half",
        """
SUBGRADIENT = 'b shifts all scores: its gradient is 0'
# a smooth ranking loss, data of counts, scores of float32 parameters
def loss(w, b, X, rel):
    s = (X @ w + b).astype(np.float32)
    d = s[:, None] - s[None, :]
    better = rel[:, None] > rel[None, :]
    value = np.sum(better * np.logaddexp(0, -d)) / better.sum()
    G = -1.0 * better / (1 + np.exp(d)) / better.sum()
    gs = G.sum(axis=1) - G.sum(axis=0)
    return value, {"w": X.T @ gs, "b": np.float32(gs.sum())}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(w=r.normal(size=6).astype(np.float32), b=np.float32(0.1), X=r.normal(size=(25, 6)).astype(np.float32), rel=r.integers(4, size=25))
""",
        wrongs=(
            Wrong("oneside", "gs = G.sum(axis=1) - G.sum(axis=0)", "gs = G.sum(axis=1)"),
            Wrong("plus", "gs = G.sum(axis=1) - G.sum(axis=0)", "gs = 2 * G.sum(axis=1)"),
            Wrong("nonorm", "/ (1 + np.exp(d)) / better.sum()", "/ (1 + np.exp(d))"),
        ),
    ),
    Model(
        "energydist",
        """
def loss(mu, log_s, Z, Y):
    X = mu + np.exp(log_s) * Z
    n, m = len(X), len(Y)
    dxy = X[:, None] - Y[None]
    nxy = np.sqrt((dxy ** 2).sum(-1))
    dxx = X[:, None] - X[None]
    nxx = np.sqrt((dxx ** 2).sum(-1))
    value = 2 * nxy.mean() - nxx.mean()
    safe = np.where(nxx > 0, nxx, 1.0)
    G = 2 / (n * m) * (dxy / nxy[..., None]).sum(axis=1) - 2 / n ** 2 * (dxx / safe[..., None]).sum(axis=1)
    return value, {"mu": G.sum(axis=0), "log_s": (G * Z).sum(axis=0) * np.exp(log_s)}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(mu=r.normal(size=2), log_s=0.2 * r.normal(size=2), Z=r.normal(size=(20, 2)), Y=r.normal(size=(25, 2)))
""",
        wrongs=(
            Wrong("once", "- 2 / n ** 2 * (dxx", "- 1 / n ** 2 * (dxx"),
            Wrong("noexp", "(G * Z).sum(axis=0) * np.exp(log_s)", "(G * Z).sum(axis=0)"),
            Wrong("nonorm", "(dxy / nxy[..., None])", "dxy"),
        ),
        variants="f32 offset fortran tiny huge",
    ),
)
