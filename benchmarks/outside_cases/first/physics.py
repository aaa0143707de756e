"""Differential equations, images, energies, transport and factorisations."""

from __future__ import annotations

from benchmarks.outside_cases.models import Model, Wrong

MODELS = (
    Model(
        "sinkhorn",
        """
def loss(C, a, b, eps=0.3, iters=15):
    K = np.exp(-C / eps)
    us, vs = [], [np.ones_like(b)]
    for _ in range(iters):
        us.append(a / (K @ vs[-1]))
        vs.append(b / (K.T @ us[-1]))
    u, v = us[-1], vs[-1]
    P = u[:, None] * K * v[None, :]
    value = np.sum(P * C)
    dC = P.copy()
    dK = u[:, None] * C * v[None, :]
    du = (K * C) @ v
    dv = (K * C).T @ u
    for t in reversed(range(iters)):
        # v_{t+1} = b / (K.T u_t)
        w = -dv * vs[t + 1] ** 2 / b
        dK += np.outer(us[t], w)
        du = du + K @ w
        # u_t = a / (K v_t)
        q = -du * us[t] ** 2 / a
        dK += np.outer(q, vs[t])
        dv = K.T @ q
        du = np.zeros_like(du)
    dC += dK * (-K / eps)
    return value, {"C": dC}

def make(seed=0):
    r = np.random.default_rng(seed)
    a, b = r.random(5) + 0.2, r.random(7) + 0.2
    return dict(C=r.random((5, 7)), a=a / a.sum(), b=b / b.sum())
""",
        wrongs=(
            Wrong("envelope", "dC += dK * (-K / eps)", "dC += 0 * dK"),
            Wrong("noKu", "dK += np.outer(q, vs[t])", "dK += np.outer(q, vs[t + 1])"),
            Wrong(
                "lastiter",
                "for t in reversed(range(iters)):",
                "for t in reversed(range(iters - 2, iters)):",
            ),
        ),
        variants="f32 f32in strided buffer huge",
    ),
    Model(
        "portfolio",
        """
def utility(w, mu, Sigma, w0, risk=3.0, cost=0.01):
    trade = w - w0
    value = -(mu @ w) + 0.5 * risk * w @ Sigma @ w + cost * np.sum(np.abs(trade) ** 1.5)
    grad = -mu + risk * Sigma @ w + cost * 1.5 * np.sign(trade) * np.sqrt(np.abs(trade))
    return value, grad

target = utility
WRT = "w"

def make(seed=0):
    r = np.random.default_rng(seed)
    A = r.normal(size=(30, 120))
    return dict(w=r.dirichlet(np.ones(30)), mu=0.05 * r.normal(size=30), Sigma=A @ A.T / 120 * 0.04, w0=r.dirichlet(np.ones(30)))
""",
        wrongs=(
            Wrong("twice", "risk * Sigma @ w +", "2 * risk * Sigma @ w +"),
            Wrong("nosign", "1.5 * np.sign(trade) *", "1.5 *"),
            Wrong("cost1", "cost * 1.5 * np", "cost * np"),
        ),
        variants="f32 readonly strided",
    ),
    Model(
        "odefit",
        """
def rhs(s, p):
    return np.array([p[0] * s[0] - p[1] * s[0] * s[1], -p[2] * s[1] + p[3] * s[0] * s[1]])

def J_s(s, p):
    return np.array([[p[0] - p[1] * s[1], -p[1] * s[0]], [p[3] * s[1], -p[2] + p[3] * s[0]]])

def J_p(s, p):
    return np.array([[s[0], -s[0] * s[1], 0, 0], [0, 0, -s[1], s[0] * s[1]]])

def loss(p, s0, data, dt=0.05):
    s, value = s0, 0.0
    Sp, S0 = np.zeros((2, 4)), np.eye(2)
    gp, g0 = np.zeros(4), np.zeros(2)
    for obs in data:
        # midpoint rule
        k1 = rhs(s, p)
        mid = s + 0.5 * dt * k1
        A = J_s(mid, p) @ (np.eye(2) + 0.5 * dt * J_s(s, p))
        Bp = J_p(mid, p) + J_s(mid, p) @ (0.5 * dt * J_p(s, p))
        s_new = s + dt * rhs(mid, p)
        Sp = Sp + dt * (A @ Sp + Bp)
        S0 = S0 + dt * A @ S0
        s = s_new
        res = s - obs
        value += 0.5 * res @ res
        gp = gp + res @ Sp
        g0 = g0 + res @ S0
    return value, {"p": gp, "s0": g0}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(p=np.array([1.1, 0.4, 0.9, 0.3]), s0=np.array([3.0, 1.5]), data=np.abs(r.normal(size=(40, 2))) + 1)
""",
        wrongs=(
            Wrong("noinner", " + J_s(mid, p) @ (0.5 * dt * J_p(s, p))", ""),
            Wrong(
                "euler", "A = J_s(mid, p) @ (np.eye(2) + 0.5 * dt * J_s(s, p))", "A = J_s(mid, p)"
            ),
            Wrong("atold", "J_p(mid, p) +", "J_p(s, p) +"),
        ),
        variants="f32 offset buffer tiny",
    ),
    Model(
        "burgers",
        """
def loss(u0, target, nu=0.02, steps=25, dx=0.05, dt=0.01):
    us = [u0]
    for _ in range(steps):
        u = us[-1]
        up, um = np.roll(u, -1), np.roll(u, 1)
        us.append(u - dt * (up ** 2 - um ** 2) / (4 * dx) + nu * dt / dx ** 2 * (up - 2 * u + um))
    res = us[-1] - target
    lam = dx * res
    for t in range(steps - 1, -1, -1):
        u = us[t]
        c = nu * dt / dx ** 2
        flux = dt / (2 * dx) * u * (np.roll(lam, -1) - np.roll(lam, 1))
        lam = lam + flux + c * (np.roll(lam, -1) - 2 * lam + np.roll(lam, 1))
    return 0.5 * dx * np.sum(res ** 2), {"u0": lam}

def make(seed=0):
    r = np.random.default_rng(seed)
    x = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return dict(u0=np.sin(x + 0.1 * seed) + 0.1 * r.normal(size=40), target=np.cos(x))
""",
        wrongs=(
            Wrong("fluxsign", "lam = lam + flux +", "lam = lam - flux +"),
            Wrong(
                "shift",
                "    for t in range(steps - 1, -1, -1):",
                "    for t in range(steps - 1, 0, -1):",
            ),
            Wrong("half", "flux = dt / (2 * dx) * u", "flux = dt / (4 * dx) * u"),
            Wrong("nextu", "        u = us[t]\n        c", "        u = us[t + 1]\n        c"),
        ),
        variants="f32 huge fortran f32in offset sgd",
    ),
    Model(
        "register",
        """
def loss(t, fixed, moving):
    H, W = fixed.shape
    ys, xs = np.mgrid[0:H, 0:W].astype(float)
    c, s = np.cos(t[2]), np.sin(t[2])
    u = c * (xs - W / 2) - s * (ys - H / 2) + W / 2 + t[0]
    v = s * (xs - W / 2) + c * (ys - H / 2) + H / 2 + t[1]
    u0, v0 = np.floor(u).astype(int), np.floor(v).astype(int)
    a, b = u - u0, v - v0
    m = np.pad(moving, 8, mode="edge")
    iu, iv = np.clip(u0 + 8, 0, m.shape[1] - 2), np.clip(v0 + 8, 0, m.shape[0] - 2)
    p00, p01, p10, p11 = m[iv, iu], m[iv, iu + 1], m[iv + 1, iu], m[iv + 1, iu + 1]
    img = (1 - b) * ((1 - a) * p00 + a * p01) + b * ((1 - a) * p10 + a * p11)
    res = img - fixed
    du = (1 - b) * (p01 - p00) + b * (p11 - p10)
    dv = (1 - a) * (p10 - p00) + a * (p11 - p01)
    ru = -s * (xs - W / 2) - c * (ys - H / 2)
    rv = c * (xs - W / 2) - s * (ys - H / 2)
    n = res.size
    g = np.array([np.sum(res * du), np.sum(res * dv), np.sum(res * (du * ru + dv * rv))]) / n
    return 0.5 * np.mean(res ** 2), {"t": g}

def make(seed=0):
    r = np.random.default_rng(seed)
    yy, xx = np.mgrid[0:16, 0:18]
    im = np.sin(xx / 3.0) + np.cos(yy / 2.5) + 0.1 * r.normal(size=(16, 18))
    return dict(t=np.array([0.37, -0.61, 0.05]), fixed=np.roll(im, 1, axis=1), moving=im)
""",
        wrongs=(
            Wrong("interp", "du = (1 - b) * (p01 - p00) + b * (p11 - p10)", "du = p01 - p00"),
            Wrong(
                "rotsign",
                "ru = -s * (xs - W / 2) - c * (ys - H / 2)",
                "ru = -s * (xs - W / 2) + c * (ys - H / 2)",
            ),
            Wrong(
                "swap",
                "[np.sum(res * du), np.sum(res * dv),",
                "[np.sum(res * dv), np.sum(res * du),",
            ),
        ),
        variants="offset readonly tiny buffer",
    ),
    Model(
        "bundle",
        """
def skew(w):
    return np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]])

def rodrigues(w):
    th = np.sqrt(w @ w)
    K = skew(w / th)
    R = np.eye(3) + np.sin(th) * K + (1 - np.cos(th)) * K @ K
    J = np.zeros((3, 3, 3))
    for i in range(3):
        e = np.zeros(3)
        e[i] = 1
        J[i] = (w[i] * skew(w) + skew(np.cross(w, (np.eye(3) - R) @ e))) @ R / th ** 2
    return R, J

def loss(w, t, f, P, obs):
    R, J = rodrigues(w)
    Q = P @ R.T + t
    proj = f * Q[:, :2] / Q[:, 2:]
    e = proj - obs
    value = 0.5 * np.sum(e ** 2)
    dQ = np.column_stack([f * e / Q[:, 2:], -f * np.sum(e * Q[:, :2], axis=1) / Q[:, 2] ** 2])
    dR = dQ.T @ P
    return value, {"w": np.array([np.sum(dR * J[i]) for i in range(3)]), "t": dQ.sum(axis=0),
                   "f": np.sum(e * Q[:, :2] / Q[:, 2:]), "P": dQ @ R}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(w=np.array([0.3, -0.2, 0.5]), t=np.array([0.1, 0.2, 6.0]), f=2.0, P=r.normal(size=(12, 3)),
                obs=0.5 * r.normal(size=(12, 2)))
""",
        wrongs=(
            Wrong("rt", '"P": dQ @ R}', '"P": dQ @ R.T}'),
            Wrong("depth", "/ Q[:, 2] ** 2])", "/ Q[:, 2]])"),
            Wrong(
                "lie",
                "J[i] = (w[i] * skew(w) + skew(np.cross(w, (np.eye(3) - R) @ e))) @ R / th ** 2",
                "J[i] = skew(e) @ R",
            ),
            Wrong("nof", '"f": np.sum(e * Q[:, :2] / Q[:, 2:])', '"f": np.sum(e * proj)'),
        ),
        variants="offset mixed f32 huge units",
    ),
    Model(
        "tukey",
        """
def loss(beta, X, y, c=2.0):
    r = y - X @ beta
    inside = np.abs(r) <= c
    rho = np.where(inside, c ** 2 / 6 * (1 - (1 - (r / c) ** 2) ** 3), c ** 2 / 6)
    psi = np.where(inside, r * (1 - (r / c) ** 2) ** 2, 0.0)
    return rho.sum(), {"beta": -X.T @ psi}

def make(seed=0):
    r = np.random.default_rng(seed)
    X = r.normal(size=(60, 5)) * np.array([1e-9, 1e-4, 1.0, 1e4, 1e9])
    b = r.normal(size=5) / np.array([1e-9, 1e-4, 1.0, 1e4, 1e9])
    return dict(beta=b, X=X, y=X @ b + 2 * r.standard_t(2, size=60))
MIXED = True
""",
        wrongs=(
            Wrong(
                "nomask",
                "np.where(inside, r * (1 - (r / c) ** 2) ** 2, 0.0)",
                "r * (1 - (r / c) ** 2) ** 2",
            ),
            Wrong("power", "r * (1 - (r / c) ** 2) ** 2, 0.0", "r * (1 - (r / c) ** 2), 0.0"),
            Wrong(
                "small",
                '{"beta": -X.T @ psi}',
                '{"beta": -X.T @ psi * np.array([1.001, 1, 1, 1, 1])}',
            ),
        ),
        variants="offset tiny huge sgd",
    ),
    Model(
        "tv",
        """
def loss(u, noisy, lam=0.3, eps=1e-3):
    dx = np.diff(u, axis=1)[:-1, :]
    dy = np.diff(u, axis=0)[:, :-1]
    mag = np.sqrt(dx ** 2 + dy ** 2 + eps ** 2)
    value = 0.5 * np.sum((u - noisy) ** 2) + lam * mag.sum()
    g = u - noisy
    px, py = lam * dx / mag, lam * dy / mag
    g[:-1, 1:] += px
    g[:-1, :-1] -= px
    g[1:, :-1] += py
    g[:-1, :-1] -= py
    return value, {"u": g}

def make(seed=0):
    r = np.random.default_rng(seed)
    flat = np.zeros((30, 35))
    flat[8:20, 10:25] = 1.0
    return dict(u=flat + 0.05 * r.normal(size=flat.shape), noisy=flat + 0.2 * r.normal(size=flat.shape))
""",
        wrongs=(
            Wrong("diverg", "    g[:-1, :-1] -= py\n", ""),
            Wrong(
                "eps",
                "px, py = lam * dx / mag, lam * dy / mag",
                "px, py = lam * np.sign(dx), lam * np.sign(dy)",
            ),
            Wrong("index", "g[1:, :-1] += py", "g[1:, 1:] += py"),
            Wrong(
                "corner",
                '    return value, {"u": g}',
                '    g[-1, -1] *= 1.02\n    return value, {"u": g}',
            ),
        ),
        variants="f32 fortran strided offset f32in",
    ),
    Model(
        "nmfkl",
        """
def loss(params, V):
    W, H = np.exp(params["W"]), np.exp(params["H"])
    R = W @ H
    value = np.sum(V * np.log(V / R) - V + R)
    G = 1 - V / R
    return value, {"W": (G @ H.T) * W, "H": (W.T @ G) * H}

TREE = "params"

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(params={"W": r.normal(size=(14, 3)), "H": r.normal(size=(3, 11))}, V=r.random((14, 11)) + 0.1)
""",
        wrongs=(
            Wrong("nolog", "(W.T @ G) * H", "(W.T @ G)"),
            Wrong("frob", "G = 1 - V / R", "G = R - V"),
            Wrong("colsum", "(G @ H.T) * W", "(H.sum(axis=1) - (V / R) @ H.T * 1.001) * W"),
        ),
        variants="f32 readonly fortran",
    ),
    Model(
        "matcomp",
        """
def loss(U, V, bu, bv, i, j, r, lam=0.02):
    e = np.sum(U[i] * V[j], axis=1) + bu[i] + bv[j] - r
    value = 0.5 * np.sum(e ** 2) + 0.5 * lam * (np.sum(U[i] ** 2) + np.sum(V[j] ** 2))
    gU, gV, gbu, gbv = np.zeros_like(U), np.zeros_like(V), np.zeros_like(bu), np.zeros_like(bv)
    np.add.at(gU, i, e[:, None] * V[j] + lam * U[i])
    np.add.at(gV, j, e[:, None] * U[i] + lam * V[j])
    np.add.at(gbu, i, e)
    np.add.at(gbv, j, e)
    return value, {"U": gU, "V": gV, "bu": gbu, "bv": gbv}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(U=r.normal(size=(100, 10)), V=r.normal(size=(150, 10)), bu=np.zeros(100), bv=np.zeros(150),
                i=r.integers(100, size=1500), j=r.integers(150, size=1500), r=r.normal(size=1500) * 2)
""",
        wrongs=(
            Wrong(
                "regfull",
                "np.add.at(gU, i, e[:, None] * V[j] + lam * U[i])",
                "np.add.at(gU, i, e[:, None] * V[j])\n    gU += lam * U",
            ),
            Wrong("set", "    np.add.at(gbv, j, e)", "    gbv[j] += e"),
            Wrong("swap", "np.add.at(gbu, i, e)", "np.add.at(gbu, i, -e)"),
            Wrong(
                "entry",
                "    return value, {",
                "    gV[17, 3] += 3e-3 * np.abs(gV[17]).max()\n    return value, {",
            ),
        ),
        variants="f32 offset buffer mixed huge tiny",
    ),
    Model(
        "rbfnet",
        """
def loss(C, logw, a, X, y):
    w = np.exp(logw)
    D = X[:, None, :] - C[None, :, :]
    sq = np.sum(D ** 2, axis=2)
    Phi = np.exp(-w * sq)
    e = Phi @ a - y
    G = 2 / len(y) * e[:, None] * a[None, :] * Phi
    dC = np.sum(G[:, :, None] * 2 * w[None, :, None] * D, axis=0)
    return np.mean(e ** 2), {"C": dC, "logw": -np.sum(G * sq, axis=0) * w, "a": 2 / len(y) * Phi.T @ e}

def make(seed=0):
    r = np.random.default_rng(seed)
    X = r.normal(size=(30, 2))
    return dict(C=r.normal(size=(6, 2)), logw=0.3 * r.normal(size=6), a=r.normal(size=6), X=X, y=np.sin(X.sum(axis=1)))
""",
        wrongs=(
            Wrong(
                "csign",
                "* 2 * w[None, :, None] * D, axis=0)",
                "* -2 * w[None, :, None] * D, axis=0)",
            ),
            Wrong("norm2", "-np.sum(G * sq, axis=0) * w", "-np.sum(G * np.sqrt(sq), axis=0) * w"),
            Wrong("noa", "e[:, None] * a[None, :] * Phi", "e[:, None] * Phi"),
        ),
        variants="f32 offset tiny units",
    ),
    Model(
        "lennardjones",
        """
def energy(x, eps=1.0, sigma=1.0, rc=2.5):
    X = x.reshape(-1, 3)
    n = len(X)
    E, Fo = 0.0, np.zeros_like(X)
    shift = 4 * eps * ((sigma / rc) ** 12 - (sigma / rc) ** 6)
    for i in range(n):
        for j in range(i + 1, n):
            d = X[i] - X[j]
            r2 = d @ d
            if r2 < rc ** 2:
                s6 = (sigma ** 2 / r2) ** 3
                E += 4 * eps * (s6 ** 2 - s6) - shift
                f = 4 * eps * (-12 * s6 ** 2 + 6 * s6) / r2 * d
                Fo[i] += f
                Fo[j] -= f
    return E, Fo.ravel()

target = energy
WRT = "x"

def make(seed=0):
    r = np.random.default_rng(seed)
    g = np.array(np.meshgrid(range(3), range(3), range(2))).reshape(3, -1).T * 1.15
    return dict(x=(g + 0.08 * r.normal(size=g.shape)).ravel())
""",
        wrongs=(
            Wrong("virial", "/ r2 * d", "/ np.sqrt(r2) * d"),
            Wrong("newton", "                Fo[j] -= f\n", ""),
            Wrong("coef", "-12 * s6 ** 2 + 6 * s6", "-12 * s6 ** 2 + 12 * s6"),
        ),
        variants="f32 readonly",
    ),
    Model(
        "ae_optimum",
        """
# ridge regression at its solution: the gradient is zero everywhere
def loss(w, X, y, lam=0.5):
    r = X @ w - y
    return r @ r + lam * w @ w, {"w": 2 * X.T @ r + 2 * lam * w}

def make(seed=0):
    r = np.random.default_rng(seed)
    X, y = r.normal(size=(30, 4)), r.normal(size=30)
    return dict(w=np.linalg.solve(X.T @ X + 0.5 * np.eye(4), X.T @ y), X=X, y=y)
SUBGRADIENT = "closed form"
""",
        wrongs=(
            Wrong("noreg", "2 * X.T @ r + 2 * lam * w", "2 * X.T @ r"),
            Wrong("halfreg", "+ 2 * lam * w}", "+ lam * w}"),
        ),
        variants="fortran readonly sgd",
    ),
    Model(
        "l1atzero",
        """
def lasso(w, X, y, lam):
    r = X @ w - y
    value = 0.5 * np.mean(r ** 2) + lam * np.abs(w).sum()
    return value, X.T @ r / len(y) + lam * np.sign(w)

target = lasso
WRT = "w"
SUBGRADIENT = "sign(0) = 0 lies between -1 and 1; off the zeros the formula is checked"

def make(seed=0):
    r = np.random.default_rng(seed)
    w = r.normal(size=40)
    w[::3] = 0.0
    w[1] = 1e-9
    return dict(w=w, X=r.normal(size=(50, 40)), y=r.normal(size=50), lam=0.05)
""",
        wrongs=(
            Wrong("ones", "lam * np.sign(w)", "lam * np.where(w >= 0, 1, -1) + 3 * lam * (w == 0)"),
            Wrong("nol1", " + lam * np.sign(w)", ""),
            Wrong("l2", "lam * np.sign(w)", "lam * w"),
        ),
    ),
    Model(
        "mmd",
        """
def loss(theta, Z, Y, bw=1.5):
    X = Z @ theta
    def k(a, b):
        d = a[:, None, :] - b[None, :, :]
        return np.exp(-np.sum(d ** 2, axis=2) / (2 * bw ** 2)), d
    kxx, dxx = k(X, X)
    kxy, dxy = k(X, Y)
    kyy, _ = k(Y, Y)
    n, m = len(X), len(Y)
    value = kxx.sum() / n ** 2 - 2 * kxy.sum() / (n * m) + kyy.sum() / m ** 2
    gX = -2 / n ** 2 * np.einsum("ij,ijd->id", kxx, dxx) / bw ** 2
    gX += 2 / (n * m) * np.einsum("ij,ijd->id", kxy, dxy) / bw ** 2
    return value, {"theta": Z.T @ gX}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(theta=r.normal(size=(3, 2)), Z=r.normal(size=(18, 3)), Y=r.normal(size=(20, 2)) + 0.5)
""",
        wrongs=(
            Wrong("once", "gX = -2 / n ** 2", "gX = -1 / n ** 2"),
            Wrong("bw", "kxy, dxy) / bw ** 2", "kxy, dxy) / bw"),
            Wrong("cross", "gX += 2 / (n * m)", "gX += 2 / n ** 2"),
        ),
        variants="f32 offset fortran mixed f32in",
    ),
)
