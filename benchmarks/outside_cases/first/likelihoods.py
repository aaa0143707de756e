"""Likelihoods: counts, survival times, ranks, states, ratings, angles."""

from __future__ import annotations

from benchmarks.outside_cases.models import Model, Wrong

MODELS = (
    Model(
        "quantile",
        """
def loss(beta, X, y, tau=0.3):
    r = y - X @ beta
    value = np.mean(np.maximum(tau * r, (tau - 1) * r))
    g = np.where(r > 0, tau, tau - 1)
    return value, {"beta": -X.T @ g / len(y)}

def make(seed=0):
    r = np.random.default_rng(seed)
    X = np.column_stack([np.ones(50), r.normal(size=(50, 4)), 1000 * r.normal(size=50)])
    return dict(beta=np.array([1.0, 0.5, -0.3, 0.2, 0.9, 1e-3]), X=X, y=r.normal(size=50) * 2)
""",
        wrongs=(
            Wrong("swapped", "np.where(r > 0, tau, tau - 1)", "np.where(r > 0, 1 - tau, -tau)"),
            Wrong("symmetric", "np.where(r > 0, tau, tau - 1)", "0.5 * np.sign(r) + 0 * tau"),
            Wrong("sign", "-X.T @ g / len(y)", "X.T @ g / len(y)"),
        ),
        variants="offset f32 readonly tiny fortran",
    ),
    Model(
        "tweedie",
        """
def loss(beta, X, y, w, power=1.5):
    mu = np.exp(X @ beta)
    dev = -y * mu ** (1 - power) / (1 - power) + mu ** (2 - power) / (2 - power)
    value = np.sum(w * dev) / np.sum(w)
    dmu = -y * mu ** (-power) + mu ** (1 - power)
    return value, {"beta": X.T @ (w * dmu * mu) / np.sum(w)}

def make(seed=0):
    r = np.random.default_rng(seed)
    X = np.column_stack([np.ones(40), r.normal(size=(40, 5))])
    return dict(beta=0.3 * r.normal(size=6), X=X, y=r.gamma(2.0, size=40) * (r.random(40) < 0.7), w=r.random(40) + 0.5)
""",
        wrongs=(
            Wrong("link", "w * dmu * mu)", "w * dmu)"),
            Wrong("weight", "(w * dmu * mu) / np.sum(w)", "(w * dmu * mu) / len(w)"),
            Wrong("power", "mu ** (-power) +", "mu ** (1 - power) * 0.9995 / mu +"),
        ),
        variants="f32 offset units sgd mixed",
    ),
    Model(
        "negbin",
        """
from scipy.special import gammaln, digamma

def loss(beta, log_r, X, y):
    mu = np.exp(X @ beta)
    r = np.exp(log_r)
    ll = gammaln(y + r) - gammaln(r) - gammaln(y + 1) + r * np.log(r / (r + mu)) + y * np.log(mu / (r + mu))
    value = -ll.sum()
    deta = (y - mu) * r / (r + mu)
    dr = digamma(y + r) - digamma(r) + np.log(r / (r + mu)) + 1 - (r + y) / (r + mu)
    return value, {"beta": -X.T @ deta, "log_r": -np.sum(dr) * r}

def make(seed=0):
    r = np.random.default_rng(seed)
    X = np.column_stack([np.ones(30), r.normal(size=(30, 3))])
    return dict(beta=0.4 * r.normal(size=4), log_r=0.6, X=X, y=r.poisson(2.0, size=30))
""",
        wrongs=(
            Wrong("plus1", "+ 1 - (r + y) / (r + mu)", "- (r + y) / (r + mu)"),
            Wrong("logr", "-np.sum(dr) * r}", "-np.sum(dr)}"),
            Wrong("poisson", "(y - mu) * r / (r + mu)", "(y - mu)"),
            Wrong("digamma", "digamma(y + r) - digamma(r)", "np.log(y + r) - np.log(r)"),
        ),
        variants="offset fortran buffer huge",
    ),
    Model(
        "ordinal",
        """
def sig(z):
    return 1.0 / (1.0 + np.exp(-z))

def loss(beta, cuts, X, y):
    eta = X @ beta
    edges = np.concatenate([[-np.inf], cuts, [np.inf]])
    hi, lo = sig(edges[y + 1] - eta), sig(edges[y] - eta)
    prob = hi - lo
    value = -np.sum(np.log(prob))
    dhi, dlo = hi * (1 - hi), lo * (1 - lo)
    g_eta = (dhi - dlo) / prob
    g_cuts = np.zeros_like(cuts)
    for k in range(len(cuts)):
        g_cuts[k] = -np.sum((dhi / prob)[y == k]) + np.sum((dlo / prob)[y == k + 1])
    return value, {"beta": X.T @ g_eta, "cuts": g_cuts}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(beta=r.normal(size=3), cuts=np.array([-1.0, 0.2, 1.4]), X=r.normal(size=(35, 3)), y=r.integers(4, size=35))
""",
        wrongs=(
            Wrong("onlyupper", " + np.sum((dlo / prob)[y == k + 1])", ""),
            Wrong("shift", "(dlo / prob)[y == k + 1]", "(dlo / prob)[y == k]"),
            Wrong("sign", "g_eta = (dhi - dlo) / prob", "g_eta = (dhi + dlo) / prob"),
        ),
        variants="offset readonly sgd tiny",
    ),
    Model(
        "cox_efron",
        """
def loss(beta, X, time, event):
    eta = X @ beta
    risk = np.exp(eta)
    value, grad = 0.0, np.zeros_like(beta)
    for t in np.unique(time[event == 1]):
        at = time >= t
        tied = (time == t) & (event == 1)
        d = tied.sum()
        S, T = risk[at].sum(), risk[tied].sum()
        XS, XT = risk[at] @ X[at], risk[tied] @ X[tied]
        value -= eta[tied].sum()
        grad -= X[tied].sum(axis=0)
        for l in range(d):
            value += np.log(S - l / d * T)
            grad += (XS - l / d * XT) / (S - l / d * T)
    return value, {"beta": grad}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(beta=0.5 * r.normal(size=4), X=r.normal(size=(40, 4)), time=r.integers(1, 9, size=40).astype(float),
                event=(r.random(40) < 0.7).astype(int))
""",
        wrongs=(
            Wrong("breslow", "grad += (XS - l / d * XT) / (S - l / d * T)", "grad += XS / S"),
            Wrong("half", "(XS - l / d * XT)", "XS"),
            Wrong("strict", "XS, XT = risk[at] @ X[at]", "XS, XT = risk[time > t] @ X[time > t]"),
        ),
        variants="f32 offset units strided",
    ),
    Model(
        "kalman",
        """
def loss(a, logq, logr, y):
    q, r = np.exp(logq), np.exp(logr)
    m, P = 0.0, 1.0
    dm, dP = np.zeros(3), np.zeros(3)   # with respect to a, q, r
    value, grad = 0.0, np.zeros(3)
    for obs in y:
        dm = a * dm + np.array([m, 0, 0])
        m = a * m
        dP = a * a * dP + np.array([2 * a * P, 1, 0])
        P = a * a * P + q
        S = P + r
        dS = dP + np.array([0, 0, 1])
        v = obs - m
        dv = -dm
        value += 0.5 * (np.log(2 * np.pi * S) + v * v / S)
        grad = grad + 0.5 * (dS / S + 2 * v * dv / S - v * v * dS / S ** 2)
        K = P / S
        dK = dP / S - P * dS / S ** 2
        m = m + K * v
        dm = dm + dK * v + K * dv
        dP = dP * (1 - K) - P * dK
        P = (1 - K) * P
    return value, {"a": grad[0], "logq": grad[1] * q, "logr": grad[2] * r}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(a=0.8, logq=-0.5, logr=0.2, y=np.cumsum(r.normal(size=30)) * 0.3 + r.normal(size=30))
""",
        wrongs=(
            Wrong("noP", "np.array([2 * a * P, 1, 0])", "np.array([0, 1, 0])"),
            Wrong("gain", "dm = dm + dK * v + K * dv", "dm = dm + K * dv"),
            Wrong("v2", "- v * v * dS / S ** 2)", "- 2 * v * v * dS / S ** 2)"),
            Wrong("chainq", "grad[1] * q,", "grad[1] * q * 1.0003,"),
        ),
        variants="offset tiny huge readonly",
    ),
    Model(
        "hmm",
        """
def loss(logA, logB, logpi, obs):
    def norm(L):
        e = np.exp(L - L.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)
    A, B, pi = norm(logA), norm(logB), norm(logpi)
    T, S = len(obs), len(pi)
    alpha, c = np.zeros((T, S)), np.zeros(T)
    for t in range(T):
        alpha[t] = (pi if t == 0 else alpha[t - 1] @ A) * B[:, obs[t]]
        c[t] = alpha[t].sum()
        alpha[t] /= c[t]
    beta = np.ones((T, S))
    for t in range(T - 2, -1, -1):
        beta[t] = A @ (B[:, obs[t + 1]] * beta[t + 1]) / c[t + 1]
    gamma = alpha * beta
    xi = np.zeros_like(A)
    for t in range(T - 1):
        xi += alpha[t][:, None] * A * (B[:, obs[t + 1]] * beta[t + 1])[None, :] / c[t + 1]
    emit = np.zeros_like(B)
    for t in range(T):
        emit[:, obs[t]] += gamma[t]
    gA = -(xi - xi.sum(axis=1, keepdims=True) * A)
    gB = -(emit - emit.sum(axis=1, keepdims=True) * B)
    gpi = -(gamma[0] - pi)
    return -np.log(c).sum(), {"logA": gA, "logB": gB, "logpi": gpi}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(logA=r.normal(size=(3, 3)), logB=r.normal(size=(3, 5)), logpi=r.normal(size=3), obs=r.integers(5, size=20))
""",
        wrongs=(
            Wrong(
                "laststep",
                "for t in range(T - 1):\n        xi",
                "for t in range(T - 2):\n        xi",
            ),
            Wrong("nonorm", "gA = -(xi - xi.sum(axis=1, keepdims=True) * A)", "gA = -xi"),
            Wrong(
                "emit", "        emit[:, obs[t]] += gamma[t]", "        emit[:, obs[t]] += alpha[t]"
            ),
            Wrong("nopi", "-(gamma[0] - pi)", "-(gamma[0] - 1.0 / S)"),
        ),
        variants="offset fortran buffer f32in",
    ),
    Model(
        "irt",
        """
def loss(theta, a, b, R, observed, lam=0.1):
    z = a[None, :] * (theta[:, None] - b[None, :])
    p = 1 / (1 + np.exp(-z))
    ll = R * np.log(p) + (1 - R) * np.log(1 - p)
    value = -np.sum(observed * ll) + 0.5 * lam * np.sum(theta ** 2)
    e = observed * (p - R)
    return value, {"theta": (e * a).sum(axis=1) + lam * theta,
                   "a": (e * (theta[:, None] - b[None, :])).sum(axis=0),
                   "b": -(e * a).sum(axis=0)}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(theta=r.normal(size=60), a=r.random(12) + 0.5, b=r.normal(size=12),
                R=r.integers(2, size=(60, 12)).astype(float), observed=(r.random((60, 12)) < 0.8).astype(float))
""",
        wrongs=(
            Wrong("prior", "(e * a).sum(axis=1) + lam * theta", "(e * a).sum(axis=1)"),
            Wrong("missing", "e = observed * (p - R)", "e = p - R"),
            Wrong("bsign", '"b": -(e * a)', '"b": (e * a)'),
            Wrong(
                "oneentry", "e = observed * (p - R)", "e = observed * (p - R)\n    e[0, 0] *= 1.02"
            ),
        ),
        variants="f32 offset mixed strided units f32in",
    ),
    Model(
        "bradleyterry",
        """
def loss(s, home, winners, losers, at_home):
    d = s[winners] - s[losers] + home * at_home
    value = np.sum(np.logaddexp(0, -d))
    q = -1 / (1 + np.exp(d))
    g = np.zeros_like(s)
    np.add.at(g, winners, q)
    np.add.at(g, losers, -q)
    return value, {"s": g, "home": np.sum(q * at_home)}

def make(seed=0):
    r = np.random.default_rng(seed)
    w = r.integers(8, size=40)
    return dict(s=r.normal(size=8), home=0.3, winners=w, losers=(w + r.integers(1, 8, size=40)) % 8,
                at_home=r.choice([-1.0, 1.0], size=40))
""",
        wrongs=(
            Wrong("buffered", "    np.add.at(g, winners, q)", "    g[winners] += q"),
            Wrong("homeside", "np.sum(q * at_home)", "np.sum(q)"),
            Wrong("onlywin", "    np.add.at(g, losers, -q)\n", ""),
        ),
        variants="f32 units sgd readonly huge",
    ),
    Model(
        "gp",
        """
def loss(log_ell, log_sf, log_sn, X, y):
    ell, sf, sn = np.exp(log_ell), np.exp(log_sf), np.exp(log_sn)
    n = len(y)
    Z = X / ell
    D2 = ((Z[:, None, :] - Z[None, :, :]) ** 2).sum(axis=-1)
    Kf = sf ** 2 * np.exp(-0.5 * D2)
    K = Kf + sn ** 2 * np.eye(n)
    L = np.linalg.cholesky(K)
    Ki = np.linalg.inv(K)
    alpha = np.linalg.solve(K, y)
    value = 0.5 * y @ alpha + np.log(np.diag(L)).sum() + 0.5 * n * np.log(2 * np.pi)
    G = 0.5 * (Ki - np.outer(alpha, alpha))
    g_ell = np.array([np.sum(G * Kf * (Z[:, None, d] - Z[None, :, d]) ** 2) for d in range(X.shape[1])])
    return value, {"log_ell": g_ell, "log_sf": 2 * np.sum(G * Kf), "log_sn": 2 * sn ** 2 * np.trace(G)}

def make(seed=0):
    r = np.random.default_rng(seed)
    X = r.normal(size=(15, 3))
    return dict(log_ell=0.3 * r.normal(size=3), log_sf=0.2, log_sn=-1.0, X=X, y=np.sin(X[:, 0]) + 0.1 * r.normal(size=15))
""",
        wrongs=(
            Wrong(
                "nologdet",
                "G = 0.5 * (Ki - np.outer(alpha, alpha))",
                "G = 0.5 * (-np.outer(alpha, alpha))",
            ),
            Wrong("sn1", "2 * sn ** 2 * np.trace(G)", "2 * sn * np.trace(G)"),
            Wrong("half", '"log_sf": 2 * np.sum(G * Kf)', '"log_sf": 2 * np.sum(G * K)'),
        ),
        variants="offset huge readonly",
    ),
    Model(
        "studentt",
        """
from scipy.special import gammaln, digamma

def loss(mu, log_sigma, log_nu, x):
    sigma, nu = np.exp(log_sigma), np.exp(log_nu)
    z = (x - mu) / sigma
    ll = (gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(np.pi * nu) - np.log(sigma)
          - (nu + 1) / 2 * np.log1p(z ** 2 / nu))
    w = (nu + 1) / (nu + z ** 2)
    gmu = -np.sum(w * z) / sigma
    gls = -np.sum(w * z ** 2 - 1)
    gnu = -np.sum(0.5 * digamma((nu + 1) / 2) - 0.5 * digamma(nu / 2) - 0.5 / nu - 0.5 * np.log1p(z ** 2 / nu)
                  + 0.5 * w * z ** 2 / nu)
    return -ll.sum(), {"mu": gmu, "log_sigma": gls, "log_nu": gnu * nu}

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(mu=0.2, log_sigma=0.1, log_nu=1.2, x=r.standard_t(3, size=60))
""",
        wrongs=(
            Wrong("w", "w = (nu + 1) / (nu + z ** 2)", "w = nu / (nu + z ** 2)"),
            Wrong("normaliser", "- 0.5 / nu - 0.5", "- 0.5"),
            Wrong("minus1", "-np.sum(w * z ** 2 - 1)", "-np.sum(w * z ** 2) + 1"),
        ),
        variants="offset f32in tiny",
    ),
    Model(
        "vonmises",
        """
from scipy.special import i0e, i1e

def negloglik(x, theta):
    m, k = x
    return -np.sum(k * np.cos(theta - m)) + len(theta) * (np.log(2 * np.pi * i0e(k)) + k)

def gradient(x, theta):
    m, k = x
    return np.array([-np.sum(k * np.sin(theta - m)), -np.sum(np.cos(theta - m)) + len(theta) * i1e(k) / i0e(k)])

target = negloglik
GRAD = "gradient"
WRT = "x"

def make(seed=0):
    r = np.random.default_rng(seed)
    return dict(x=np.array([0.4, 2.5]), theta=r.vonmises(0.3, 2.0, size=50))
""",
        wrongs=(
            Wrong("ratio", "len(theta) * i1e(k) / i0e(k)", "len(theta) * i0e(k) / i1e(k)"),
            Wrong("nonorm", " + len(theta) * i1e(k) / i0e(k)", ""),
            Wrong("kmissing", "-np.sum(k * np.sin(theta - m))", "-np.sum(np.sin(theta - m))"),
        ),
    ),
    Model(
        "saturated",
        """
# logistic regression, far along: most points are classified with certainty
def loss(w, X, y):
    z = X @ w
    value = np.sum(np.logaddexp(0, -y * z))
    s = 1 / (1 + np.exp(y * z))
    return value, {"w": -X.T @ (y * s)}

def make(seed=0):
    r = np.random.default_rng(seed)
    X = r.normal(size=(30, 4))
    w = np.array([40.0, -30.0, 20.0, 50.0])
    return dict(w=w, X=X, y=np.sign(X @ w))
""",
        wrongs=(
            Wrong("nos", "-X.T @ (y * s)", "-X.T @ (y * s * (1 - s))"),
            Wrong("sign", "-X.T @ (y * s)", "X.T @ (y * s)"),
        ),
        variants="tiny fortran sgd huge",
    ),
)
