"""Control, inverse problems, springs, splines, factorisations, barriers."""

from __future__ import annotations

from benchmarks.outside_cases.models import Model, Wrong

MODELS = (
    Model(
        "lqr",
        """
# open loop control of a pendulum, adjoint over time
def loss(u, x0, dt=0.05, rho=0.01):
    xs = [x0]
    for k in range(len(u)):
        th, om = xs[-1]
        xs.append(np.array([th + dt * om, om + dt * (-9.81 * np.sin(th) - 0.1 * om + u[k])]))
    value = rho * dt * np.sum(u ** 2) + 10 * ((xs[-1][0] - np.pi) ** 2 + 0.1 * xs[-1][1] ** 2)
    value += dt * sum((x[0] - np.pi) ** 2 for x in xs[:-1])
    p = 10 * np.array([2 * (xs[-1][0] - np.pi), 0.2 * xs[-1][1]])
    g = np.zeros_like(u)
    for k in range(len(u) - 1, -1, -1):
        g[k] = dt * p[1] + 2 * rho * dt * u[k]
        th = xs[k][0]
        p = np.array([p[0] - dt * 9.81 * np.cos(th) * p[1] + 2 * dt * (th - np.pi), dt * p[0] + (1 - 0.1 * dt) * p[1]])
    return value, {"u": g}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(u=3 * r.normal(size=60), x0=np.array([0.1, 0.0]))
""",
        wrongs=(
            Wrong("norunning", " + 2 * dt * (th - np.pi),", ","),
            Wrong("damping", "(1 - 0.1 * dt) * p[1]", "p[1]"),
            Wrong("nextstate", "th = xs[k][0]\n", "th = xs[k + 1][0]\n"),
            Wrong("control", "+ 2 * rho * dt * u[k]", "+ rho * dt * u[k]"),
            Wrong("first", "range(len(u) - 1, -1, -1)", "range(len(u) - 1, 0, -1)"),
        ),
        variants="f32 offset sgd buffer f32in huge",
    ),
    Model(
        "poisson_pde",
        """
# coefficient identification: -(k u')' = f with u=0 at the ends, adjoint method
def solve(logk, f, h):
    k = np.exp(logk)
    A = np.diag(k[:-1] + k[1:]) - np.diag(k[1:-1], 1) - np.diag(k[1:-1], -1)
    A = A / h ** 2
    return A, np.linalg.solve(A, f), k

def objective(logk, f, data, alpha):
    h = 1.0 / len(logk)
    A, u, k = solve(logk, f, h)
    res = u - data
    dk = np.diff(logk)
    value = 0.5 * h * res @ res + 0.5 * alpha * dk @ dk
    lam = np.linalg.solve(A.T, h * res)
    du = np.diff(np.concatenate([[0.0], u, [0.0]]))
    dl = np.diff(np.concatenate([[0.0], lam, [0.0]]))
    g = -k * du * dl / h ** 2
    g[1:] += alpha * dk
    g[:-1] -= alpha * dk
    return value, g

target = objective
WRT = "logk"

def make(seed=0):
    r = np.random.default_rng(seed)
    n = 25
    return dict(logk=0.5 * r.normal(size=n), f=np.ones(n - 1), data=0.1 * r.random(n - 1), alpha=1e-3)
""",
        wrongs=(
            Wrong("nok", "g = -k * du * dl", "g = -du * dl"),
            Wrong("reg", "    g[:-1] -= alpha * dk\n", ""),
            Wrong("h", "np.linalg.solve(A.T, h * res)", "np.linalg.solve(A.T, res)"),
        ),
        variants="fortran readonly strided",
    ),
    Model(
        "posegraph",
        """
def wrap(a):
    return a - 2 * np.pi * np.round(a / (2 * np.pi))

def loss(x, y, th, i, j, meas, info):
    dx, dy = x[j] - x[i], y[j] - y[i]
    c, s = np.cos(th[i]), np.sin(th[i])
    ex = c * dx + s * dy - meas[:, 0]
    ey = -s * dx + c * dy - meas[:, 1]
    et = wrap(th[j] - th[i] - meas[:, 2])
    value = 0.5 * np.sum(info[0] * ex ** 2 + info[1] * ey ** 2 + info[2] * et ** 2)
    ax, ay, at = info[0] * ex, info[1] * ey, info[2] * et
    gx, gy, gt = np.zeros_like(x), np.zeros_like(y), np.zeros_like(th)
    fx, fy = c * ax - s * ay, s * ax + c * ay
    np.add.at(gx, j, fx)
    np.add.at(gx, i, -fx)
    np.add.at(gy, j, fy)
    np.add.at(gy, i, -fy)
    np.add.at(gt, j, at)
    np.add.at(gt, i, -at + ax * (-s * dx + c * dy) + ay * (-c * dx - s * dy))
    return value, {"x": gx, "y": gy, "th": gt}

def make(seed=0):
    r = np.random.default_rng(seed)
    n = 20
    i = np.concatenate([np.arange(n - 1), r.integers(0, 8, size=6)])
    j = np.concatenate([np.arange(1, n), r.integers(10, n, size=6)])
    return dict(x=np.arange(n) + 0.1 * r.normal(size=n), y=r.normal(size=n), th=3 * r.normal(size=n), i=i, j=j,
                meas=r.normal(size=(len(i), 3)), info=np.array([10.0, 10.0, 100.0]))
""",
        wrongs=(
            Wrong(
                "rot",
                "fx, fy = c * ax - s * ay, s * ax + c * ay",
                "fx, fy = c * ax + s * ay, -s * ax + c * ay",
            ),
            Wrong(
                "noang",
                "np.add.at(gt, i, -at + ax * (-s * dx + c * dy) + ay * (-c * dx - s * dy))",
                "np.add.at(gt, i, -at)",
            ),
            Wrong("loopclosure", "    np.add.at(gy, i, -fy)", "    gy[i] -= fy"),
            Wrong("ayterm", " + ay * (-c * dx - s * dy))", " - ay * (-c * dx - s * dy))"),
        ),
        variants="f32 offset mixed strided buffer",
    ),
    Model(
        "dictlearn",
        """
def loss(D, A, Y, lam=0.1):
    n = np.sqrt((D ** 2).sum(axis=0))
    Dn = D / n
    R = Dn @ A - Y
    value = 0.5 * np.sum(R ** 2) + lam * np.abs(A).sum()
    gn = R @ A.T
    gD = (gn - Dn * (Dn * gn).sum(axis=0)) / n
    return value, {"D": gD, "A": Dn.T @ R + lam * np.sign(A)}

def make(seed=0):
    r = np.random.default_rng(seed)
    A = r.normal(size=(12, 20))
    return dict(D=r.normal(size=(8, 12)), A=A, Y=r.normal(size=(8, 20)))
""",
        wrongs=(
            Wrong("noproj", "gD = (gn - Dn * (Dn * gn).sum(axis=0)) / n", "gD = gn / n"),
            Wrong("axis", "(Dn * gn).sum(axis=0)", "(Dn * gn).sum(axis=0).mean()"),
            Wrong("nol1", '"A": Dn.T @ R + lam * np.sign(A)', '"A": Dn.T @ R'),
            Wrong("unnorm", '"A": Dn.T @ R +', '"A": D.T @ R +'),
        ),
        variants="f32 fortran offset units mixed",
    ),
    Model(
        "cpd",
        """
def loss(factors, T, w):
    A, B, C = factors
    R = np.einsum("ir,jr,kr->ijk", A, B, C) - T
    value = 0.5 * np.sum(w * R ** 2)
    G = w * R
    return value, [np.einsum("ijk,jr,kr->ir", G, B, C), np.einsum("ijk,ir,kr->jr", G, A, C), np.einsum("ijk,ir,jr->kr", G, A, B)]

WRT = "factors"
TREE = "factors"

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(factors=[r.normal(size=(6, 3)), r.normal(size=(5, 3)), r.normal(size=(4, 3))], T=r.normal(size=(6, 5, 4)),
                w=(r.random((6, 5, 4)) < 0.8).astype(float))
""",
        wrongs=(
            Wrong("mask", "G = w * R", "G = R"),
            Wrong(
                "wrongfactor",
                'np.einsum("ijk,ir,kr->jr", G, A, C)',
                'np.einsum("ijk,ir,kr->jr", G, A, C) * (1 + 2e-3 * (np.arange(5)[:, None] == 2))',
            ),
        ),
        variants="f32 readonly strided",
    ),
    Model(
        "spline",
        """
# penalised cubic B-spline with a free knot-independent log smoothing parameter
def basis(x, knots, k=3):
    B = [(x >= knots[i]) & (x < knots[i + 1]) for i in range(len(knots) - 1)]
    B = [b.astype(float) for b in B]
    for d in range(1, k + 1):
        B = [(x - knots[i]) / (knots[i + d] - knots[i]) * B[i] + (knots[i + d + 1] - x) / (knots[i + d + 1] - knots[i + 1]) * B[i + 1]
             for i in range(len(B) - 1)]
    return np.stack(B, axis=1)

def loss(c, loglam, x, y, knots):
    B = basis(x, knots)
    lam = np.exp(loglam)
    r = B @ c - y
    d2 = np.diff(c, n=2)
    n = len(c)
    value = 0.5 * r @ r + 0.5 * lam * d2 @ d2 - 0.5 * (n - 2) * loglam
    g = B.T @ r
    g[2:] += lam * d2
    g[1:-1] -= 2 * lam * d2
    g[:-2] += lam * d2
    return value, {"c": g, "loglam": 0.5 * lam * d2 @ d2 - 0.5 * (n - 2)}

def make(seed=0):
    r = np.random.default_rng(seed)
    knots = np.arange(-3, 14) / 10.0
    x = np.sort(r.random(60))
    return dict(c=r.normal(size=13), loglam=-1.0, x=x, y=np.sin(6 * x) + 0.1 * r.normal(size=60), knots=knots)
""",
        wrongs=(
            Wrong("mid", "g[1:-1] -= 2 * lam * d2", "g[1:-1] -= lam * d2"),
            Wrong("dof", "d2 - 0.5 * (n - 2)}", "d2}"),
            Wrong("end", "    g[:-2] += lam * d2\n", "    g[1:-2] += lam * d2[1:]\n"),
        ),
        variants="offset strided huge readonly",
    ),
    Model(
        "springs",
        """
def potential(q, rest, i, j, k=50.0, m=1.0, g=9.81):
    X = q.reshape(-1, 2)
    d = X[i] - X[j]
    L = np.sqrt((d ** 2).sum(axis=1))
    V = 0.5 * k * np.sum((L - rest) ** 2) + m * g * X[:, 1].sum()
    f = (k * (L - rest) / L)[:, None] * d
    G = np.zeros_like(X)
    np.add.at(G, i, f)
    np.add.at(G, j, -f)
    G[:, 1] += m * g
    return V, G.ravel()

target = potential
WRT = "q"

def make(seed=0):
    r = np.random.default_rng(seed)
    g = np.array([(a, b) for a in range(5) for b in range(5)], dtype=float)
    pairs = [(a, b) for a in range(25) for b in range(a) if 0 < ((g[a] - g[b]) ** 2).sum() <= 2]
    i, j = np.array(pairs).T
    return dict(q=(g + 0.15 * r.normal(size=g.shape)).ravel(), rest=np.sqrt(((g[i] - g[j]) ** 2).sum(axis=1)), i=i, j=j)
""",
        wrongs=(
            Wrong("nograv", "    G[:, 1] += m * g\n", ""),
            Wrong("nonorm", "(k * (L - rest) / L)", "(k * (L - rest))"),
            Wrong("dup", "np.add.at(G, j, -f)", "G[j] -= f"),
        ),
        variants="f32 readonly",
    ),
    Model(
        "tiny_weights",
        """
# concentrations in mol/l: 1e-9 to 1e-3, equilibrium misfit
def loss(c, K, target):
    prod = c[:, None] * c[None, :]
    bound = prod / (K + c[:, None] + c[None, :])
    total = c + bound.sum(axis=1)
    r = np.log(total / target)
    value = 0.5 * r @ r
    dt = r / total
    d = K + c[:, None] + c[None, :]
    dbi = c[None, :] / d - prod / d ** 2
    dbj = c[:, None] / d - prod / d ** 2
    g = dt + dt * dbi.sum(axis=1) + dbj.T @ dt
    return value, {"c": g}

MIXED = True

def make(seed=0):
    r = np.random.default_rng(seed)
    K = 10.0 ** r.uniform(-7, -4, size=(6, 6))
    return dict(c=10.0 ** np.array([-9, -8, -6.5, -5, -4, -3.0]), K=0.5 * (K + K.T), target=10.0 ** r.uniform(-8, -3, size=6))
""",
        wrongs=(
            Wrong("nocross", " + dbj.T @ dt", ""),
            Wrong("quotient", "dbi = c[None, :] / d - prod / d ** 2", "dbi = c[None, :] / d"),
            Wrong("transp", "dbj.T @ dt", "dbj @ dt"),
        ),
        variants="offset fortran readonly",
    ),
    Model(
        "log_barrier",
        """
def barrier(x, c, A, b, t=50.0):
    s = b - A @ x
    return t * (c @ x) - np.sum(np.log(s)) + OFFSET, t * c + A.T @ (1 / s)

OFFSET = 1e8
target = barrier
WRT = "x"

def make(seed=0):
    r = np.random.default_rng(seed)
    A = r.normal(size=(25, 8))
    x = r.normal(size=8)
    return dict(x=x, c=r.normal(size=8), A=A, b=A @ x + r.random(25) + 0.2)
""",
        wrongs=(
            Wrong("sq", "A.T @ (1 / s)", "A.T @ (1 / s ** 2)"),
            Wrong("sign", "t * c + A.T", "t * c - A.T"),
            Wrong("t", "t * c + A.T", "c + A.T"),
        ),
    ),
    Model(
        "groupnorm_zero",
        """
# group lasso: two of the groups are exactly zero; their subgradient is chosen as 0
def loss(W, X, Y, lam=0.2, gam=0.0):
    R = X @ W - Y
    norms = np.sqrt((W ** 2).sum(axis=1))
    value = 0.5 * np.sum(R ** 2) / len(X) + lam * norms.sum()
    direction = np.zeros_like(W)
    nz = norms > 0
    direction[nz] = W[nz] / norms[nz][:, None]
    return value, {"W": X.T @ R / len(X) + lam * direction}

SUBGRADIENT = "0 is in the unit ball"

def make(seed=0):
    r = np.random.default_rng(seed)
    W = r.normal(size=(9, 4))
    W[[2, 6]] = 0
    return dict(W=W, X=r.normal(size=(30, 9)), Y=r.normal(size=(30, 4)))
""",
        wrongs=(
            Wrong("unnorm", "direction[nz] = W[nz] / norms[nz][:, None]", "direction[nz] = W[nz]"),
            Wrong("nolasso", " + lam * direction}", "}"),
            Wrong("outside", "direction = np.zeros_like(W)", "direction = 3 * np.ones_like(W)"),
        ),
        variants="f32 offset buffer",
    ),
    Model(
        "wasserstein1d",
        """
def loss(w, X, y):
    s = X @ w
    order, ref = np.argsort(s), np.sort(y)
    d = s[order] - ref
    value = np.mean(d ** 2)
    g = np.zeros_like(s)
    g[order] = 2 * d / len(s)
    return value, {"w": X.T @ g}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(w=r.normal(size=5), X=r.normal(size=(40, 5)), y=r.normal(size=40))
""",
        wrongs=(
            Wrong("unsorted", "g[order] = 2 * d / len(s)", "g[:] = 2 * d / len(s)"),
            Wrong("inverse", "g[order] = 2 * d / len(s)", "g = 2 * d[order] / len(s)"),
            Wrong("two", "g[order] = 2 * d / len(s)", "g[order] = d / len(s)"),
        ),
        variants="f32 offset f32in sgd huge",
    ),
    Model(
        "svdpp_big",
        """
# 3000 parameters, elastic net logistic regression in float32 data
def loss(w, X, y, l2=1e-3):
    z = X @ w
    value = np.mean(np.logaddexp(0, -y * z)) + 0.5 * l2 * w @ w
    s = -y / (1 + np.exp(y * z))
    return value, {"w": X.T @ s / len(y) + l2 * w}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(w=0.1 * r.normal(size=3000), X=r.normal(size=(80, 3000)), y=r.choice([-1.0, 1.0], size=80))
""",
        wrongs=(
            Wrong("l2", " + l2 * w}", "}"),
            Wrong("mean", "X.T @ s / len(y)", "X.T @ s"),
            Wrong(
                "one",
                '{"w": X.T @ s / len(y) + l2 * w}',
                '{"w": X.T @ s / len(y) + l2 * w + (np.arange(3000) == 1234) * 0.02}',
            ),
        ),
        variants="f32 offset readonly mixed",
    ),
    Model(
        "optimum_zero_param",
        """
# at the optimum of a, while b is free
SUBGRADIENT = 'a is the mean'
def loss(a, b, x, y):
    r1 = a - x
    r2 = b * y - np.tanh(b)
    return np.sum(r1 ** 2) + np.sum(r2 ** 2), {"a": 2 * np.sum(a - x, axis=0), "b": 2 * np.sum(r2 * (y - (1 - np.tanh(b) ** 2)), axis=0)}

def make(seed=0):
    r = np.random.default_rng(seed)
    x = np.round(r.normal(size=(8, 3)) * 16) / 16
    return dict(a=x.mean(axis=0), b=r.normal(size=3), x=x, y=r.normal(size=(5, 3)))
""",
        wrongs=(
            Wrong("wrongb", "(y - (1 - np.tanh(b) ** 2))", "y"),
            Wrong("wronga", "2 * np.sum(a - x, axis=0)", "2 * (a - x)[0]"),
        ),
        variants="f32 offset tiny buffer",
    ),
    Model(
        "kmeans_soft",
        """
def loss(C, X, beta=3.0):
    D = X[:, None, :] - C[None, :, :]
    d2 = (D ** 2).sum(-1)
    m = d2.min(axis=1, keepdims=True)
    e = np.exp(-beta * (d2 - m))
    value = np.sum(m[:, 0] - np.log(e.sum(axis=1)) / beta)
    r = e / e.sum(axis=1, keepdims=True)
    return value, {"C": -2 * np.einsum("nk,nkd->kd", r, D)}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(C=r.normal(size=(5, 3)), X=r.normal(size=(40, 3)) * 2)
""",
        wrongs=(
            Wrong(
                "hard",
                'np.einsum("nk,nkd->kd", r, D)',
                'np.einsum("nk,nkd->kd", r == r.max(axis=1, keepdims=True), D)',
            ),
            Wrong("sign", "-2 * np.einsum", "2 * np.einsum"),
            Wrong("beta", "-2 * np.einsum", "-2 * beta * np.einsum"),
            Wrong(
                "axis",
                "r = e / e.sum(axis=1, keepdims=True)",
                "r = e / e.sum(axis=0, keepdims=True)",
            ),
        ),
        variants="f32 units offset f32in tiny strided",
    ),
)
