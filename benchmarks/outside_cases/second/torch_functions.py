"""Torch targets whose backward passes are written by hand."""

from __future__ import annotations

from benchmarks.outside_cases.models import Model, Wrong

MODELS = (
    Model(
        "t_gelu",
        """
class Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        c = 0.7978845608028654
        t = torch.tanh(c * (x + 0.044715 * x ** 3))
        ctx.save_for_backward(x, t)
        return 0.5 * x * (1 + t)

    @staticmethod
    def backward(ctx, g):
        x, t = ctx.saved_tensors
        c = 0.7978845608028654
        return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x ** 2))

def loss(x, W, y):
    return ((Gelu.apply(x) @ W - y) ** 2).mean()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(x=r(8, 6).requires_grad_(), W=r(6, 3).requires_grad_(), y=r(8, 3))
""",
        wrongs=(
            Wrong("three", "(1 + 3 * 0.044715 * x ** 2)", "(1 + 0.044715 * x ** 2)"),
            Wrong("noc", "(1 - t * t) * c *", "(1 - t * t) *"),
            Wrong("cubic", "0.5 * (1 + t) + 0.5 * x", "0.5 * (1 + t) + x"),
        ),
        variants="tf32 tf16 tbf16 toffset tstrided",
        torch=True,
    ),
    Model(
        "t_attention",
        """
class SDPA(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        p = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, dim=-1)
        ctx.save_for_backward(q, k, v, p)
        return p @ v

    @staticmethod
    def backward(ctx, g):
        q, k, v, p = ctx.saved_tensors
        dv = p.transpose(-1, -2) @ g
        dp = g @ v.transpose(-1, -2)
        ds = p * (dp - (dp * p).sum(-1, keepdim=True))
        ds = ds / q.shape[-1] ** 0.5
        return ds @ k, ds.transpose(-1, -2) @ q, dv

def loss(q, k, v, m):
    return (SDPA.apply(q, k, v) * m).sum()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(q=r(2, 5, 4).requires_grad_(), k=r(2, 6, 4).requires_grad_(), v=r(2, 6, 3).requires_grad_(), m=r(2, 5, 3))
""",
        wrongs=(
            Wrong("noscale", "        ds = ds / q.shape[-1] ** 0.5\n", ""),
            Wrong("scalek", "ds / q.shape[-1] ** 0.5", "ds / k.shape[-2] ** 0.5"),
            Wrong("nosum", "ds = p * (dp - (dp * p).sum(-1, keepdim=True))", "ds = p * dp"),
            Wrong("axis", "(dp * p).sum(-1, keepdim=True)", "(dp * p).sum(-2, keepdim=True)"),
        ),
        variants="tf32 tbf16 tf16 tf32in toffset",
        torch=True,
    ),
    Model(
        "t_focal",
        """
class SigmoidFocal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, y, gamma):
        p = torch.sigmoid(z)
        pt = torch.where(y > 0.5, p, 1 - p)
        ctx.save_for_backward(pt, y)
        ctx.gamma = gamma
        return (-(1 - pt) ** gamma * torch.log(pt)).mean()

    @staticmethod
    def backward(ctx, g):
        pt, y = ctx.saved_tensors
        q = 1 - pt
        d = ctx.gamma * q ** (ctx.gamma - 1) * torch.log(pt) - q ** ctx.gamma / pt
        s = torch.where(y > 0.5, 1.0, -1.0)
        return g * d * pt * q * s / y.numel(), None, None

def loss(w, X, y):
    return SigmoidFocal.apply(X @ w, y, 2.0)

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(w=r(6).requires_grad_(), X=r(30, 6), y=(torch.rand(30, generator=g) < 0.4).double())
""",
        wrongs=(
            Wrong("mean", " * s / y.numel()", " * s"),
            Wrong("sign", "* pt * q * s /", "* pt * q /"),
            Wrong("nofirst", "d = ctx.gamma * q ** (ctx.gamma - 1) * torch.log(pt) - q", "d = -q"),
        ),
        variants="tf32 toffset ttiny thuge",
        torch=True,
    ),
    Model(
        "t_solve",
        """
class Solve(torch.autograd.Function):
    @staticmethod
    def forward(ctx, A, b):
        x = torch.linalg.solve(A, b)
        ctx.save_for_backward(A, x)
        return x

    @staticmethod
    def backward(ctx, g):
        A, x = ctx.saved_tensors
        gb = torch.linalg.solve(A.T, g)
        return -torch.outer(gb, x), gb

def loss(A, b, c):
    return (Solve.apply(A, b) * c).sum().sin()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(A=(r(5, 5) + 4 * torch.eye(5, dtype=torch.float64)).requires_grad_(), b=r(5).requires_grad_(), c=r(5))
""",
        wrongs=(
            Wrong("notrans", "torch.linalg.solve(A.T, g)", "torch.linalg.solve(A, g)"),
            Wrong("outer", "-torch.outer(gb, x)", "-torch.outer(x, gb)"),
            Wrong("sign", "return -torch.outer(gb, x), gb", "return torch.outer(gb, x), gb"),
        ),
        variants="tf32 toffset tstrided thuge",
        torch=True,
    ),
    Model(
        "t_fixedpoint",
        """
class Equilibrium(torch.autograd.Function):
    @staticmethod
    def forward(ctx, W, x):
        z = torch.zeros_like(x)
        for _ in range(200):
            z = torch.tanh(W @ z + x)
        ctx.save_for_backward(W, z)
        return z

    @staticmethod
    def backward(ctx, g):
        W, z = ctx.saved_tensors
        D = 1 - z ** 2
        J = D[:, None] * W
        u = torch.linalg.solve(torch.eye(len(z), dtype=z.dtype) - J.T, g)
        return torch.outer(u * D, z), u * D

def loss(W, x, c):
    return (Equilibrium.apply(0.3 * W, x) - c).pow(2).sum()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(W=r(5, 5).requires_grad_(), x=r(5).requires_grad_(), c=r(5))
""",
        wrongs=(
            Wrong(
                "onestep",
                "u = torch.linalg.solve(torch.eye(len(z), dtype=z.dtype) - J.T, g)",
                "u = g",
            ),
            Wrong("jt", "- J.T, g)", "- J, g)"),
            Wrong("noD", "torch.outer(u * D, z), u * D", "torch.outer(u * D, z), u"),
        ),
        variants="toffset tf32 ttiny",
        torch=True,
    ),
    Model(
        "t_bce_module",
        """
class BalancedBCE(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, y):
        pos = y.mean()
        w = torch.where(y > 0.5, 0.5 / pos, 0.5 / (1 - pos))
        ctx.save_for_backward(z, y, w)
        return (w * (F.softplus(z) - y * z)).mean()

    @staticmethod
    def backward(ctx, g):
        z, y, w = ctx.saved_tensors
        return g * w * (torch.sigmoid(z) - y) / z.numel(), None

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.embed = nn.Embedding(20, 6)
        self.gru = nn.GRU(6, 5, batch_first=True)
        self.head = nn.Linear(5, 1)
        self.double()

    def forward(self, ids, y):
        h, _ = self.gru(self.embed(ids))
        return BalancedBCE.apply(self.head(h[:, -1])[:, 0], y)

net = Model()
target = net

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    return dict(ids=torch.randint(20, (8, 5), generator=g), y=torch.tensor([1, 0, 0, 1, 0, 0, 0, 1.0], dtype=torch.float64))
""",
        wrongs=(
            Wrong("now", "g * w * (torch.sigmoid(z) - y)", "g * (torch.sigmoid(z) - y)"),
            Wrong("nomean", "/ z.numel(), None", ", None"),
        ),
        torch=True,
    ),
    Model(
        "t_dropout",
        """
class Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, p):
        mask = (torch.rand_like(x) > p).to(x.dtype) / (1 - p)
        ctx.save_for_backward(mask)
        return x * mask

    @staticmethod
    def backward(ctx, g):
        (mask,) = ctx.saved_tensors
        return g * mask, None

def loss(W1, W2, x, y):
    h = Dropout.apply(torch.tanh(x @ W1), 0.4)
    return F.mse_loss(h @ W2, y)

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(W1=r(5, 8).requires_grad_(), W2=r(8, 2).requires_grad_(), x=r(10, 5), y=r(10, 2))
""",
        wrongs=(
            Wrong("nomask", "return g * mask, None", "return g, None"),
            Wrong("noscale", "return g * mask, None", "return g * (mask > 0), None"),
        ),
        variants="toffset ttiny tstrided",
        torch=True,
    ),
    Model(
        "t_bilinear_sample",
        """
class Sample1d(torch.autograd.Function):
    @staticmethod
    def forward(ctx, signal, pos):
        i = pos.floor().long().clamp(0, len(signal) - 2)
        a = pos - i
        ctx.save_for_backward(signal, i, a)
        return (1 - a) * signal[i] + a * signal[i + 1]

    @staticmethod
    def backward(ctx, g):
        signal, i, a = ctx.saved_tensors
        gs = torch.zeros_like(signal)
        gs.index_add_(0, i, g * (1 - a))
        gs.index_add_(0, i + 1, g * a)
        return gs, g * (signal[i + 1] - signal[i])

def loss(signal, pos, target):
    return (Sample1d.apply(signal, pos) - target).square().sum()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(signal=r(15).requires_grad_(), pos=(torch.rand(25, generator=g, dtype=torch.float64) * 13.8).requires_grad_(), target=r(25))
""",
        wrongs=(
            Wrong("swap", "gs.index_add_(0, i, g * (1 - a))", "gs.index_add_(0, i, g * a)"),
            Wrong("nearest", "g * (signal[i + 1] - signal[i])", "g * signal[i + 1]"),
            Wrong("dup", "gs.index_add_(0, i + 1, g * a)", "gs[i + 1] = gs[i + 1] + g * a"),
        ),
        variants="tf32 toffset tf32in ttiny thuge",
        torch=True,
    ),
    Model(
        "t_arcface",
        """
class Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        n = x.norm(dim=-1, keepdim=True)
        y = x / n
        ctx.save_for_backward(y, n)
        return y

    @staticmethod
    def backward(ctx, g):
        y, n = ctx.saved_tensors
        return (g - y * (g * y).sum(-1, keepdim=True)) / n

def loss(x, W, label):
    cos = Normalize.apply(x) @ Normalize.apply(W).T
    margin = torch.zeros_like(cos)
    margin[torch.arange(len(x)), label] = 0.35
    return F.cross_entropy(16.0 * (cos - margin), label)

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(x=r(9, 5).requires_grad_(), W=r(4, 5).requires_grad_(), label=torch.randint(4, (9,), generator=g))
""",
        wrongs=(
            Wrong("noproj", "(g - y * (g * y).sum(-1, keepdim=True)) / n", "g / n"),
            Wrong(
                "non",
                "(g - y * (g * y).sum(-1, keepdim=True)) / n",
                "(g - y * (g * y).sum(-1, keepdim=True))",
            ),
            Wrong("axis", "(g * y).sum(-1, keepdim=True)", "(g * y).sum(0, keepdim=True)"),
        ),
        variants="tf32 tf16 toffset tstrided thuge",
        torch=True,
    ),
    Model(
        "t_poissonnll",
        """
class PoissonNLL(torch.autograd.Function):
    @staticmethod
    def forward(ctx, eta, y, exposure):
        mu = exposure * eta.exp()
        ctx.save_for_backward(mu, y)
        return (mu - y * (eta + exposure.log())).sum()

    @staticmethod
    def backward(ctx, g):
        mu, y = ctx.saved_tensors
        return g * (mu - y), None, None

def loss(beta, X, y, exposure):
    return PoissonNLL.apply(X @ beta, y, exposure)

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(beta=(0.3 * r(4)).requires_grad_(), X=r(40, 4), y=torch.poisson(torch.ones(40, dtype=torch.float64), generator=g), exposure=torch.rand(40, generator=g, dtype=torch.float64) + 0.5)
""",
        wrongs=(
            Wrong("noexp", "ctx.save_for_backward(mu, y)", "ctx.save_for_backward(eta.exp(), y)"),
            Wrong("sign", "g * (mu - y)", "g * (y - mu)"),
            Wrong("rel", "g * (mu - y)", "g * (mu - y) / mu"),
        ),
        variants="tf32 tf32in toffset ttiny thuge",
        torch=True,
    ),
    Model(
        "t_segment_softmax",
        """
class SegmentSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, s, seg, n):
        top = torch.full((n,), float("-inf"), dtype=s.dtype).scatter_reduce(0, seg, s, "amax")
        e = torch.exp(s - top[seg])
        z = torch.zeros(n, dtype=s.dtype).index_add(0, seg, e)
        a = e / z[seg]
        ctx.save_for_backward(a, seg)
        ctx.n = n
        return a

    @staticmethod
    def backward(ctx, g):
        a, seg = ctx.saved_tensors
        dot = torch.zeros(ctx.n, dtype=a.dtype).index_add(0, seg, a * g)
        return a * (g - dot[seg]), None, None

def loss(s, v, seg):
    return (SegmentSoftmax.apply(s, seg, 5) * v).sum()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(s=r(30).requires_grad_(), v=r(30), seg=torch.randint(5, (30,), generator=g))
""",
        wrongs=(
            Wrong("global", "a * (g - dot[seg])", "a * (g - (a * g).sum())"),
            Wrong("mean", "a * (g - dot[seg])", "a * g"),
            Wrong("overwrite", ".index_add(0, seg, a * g)", ".index_copy(0, seg, a * g)"),
        ),
        variants="tf32 toffset tstrided ttiny",
        torch=True,
    ),
    Model(
        "t_straight",
        """
def loss(w, scale, x, y):
    wq = w * torch.sigmoid(scale * w)
    return ((x @ wq - y) ** 2).mean()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(w=r(6).requires_grad_(), scale=torch.tensor(0.7, dtype=torch.float64, requires_grad=True), x=r(20, 6), y=r(20))
""",
        wrongs=(
            Wrong(
                "ste",
                "wq = w * torch.sigmoid(scale * w)",
                "wq = w + (w * torch.sigmoid(scale * w) - w).detach()",
            ),
            Wrong("nograd", "torch.sigmoid(scale * w)", "torch.sigmoid(scale * w).detach()"),
            Wrong("scale", "torch.sigmoid(scale * w)", "torch.sigmoid(scale.detach() * w)"),
        ),
        variants="tf32 toffset tbf16 tstrided",
        torch=True,
    ),
    Model(
        "t_cholesky_gp",
        """
class GPNLL(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logell, logsn, x, y):
        d2 = (x[:, None] - x[None]).pow(2)
        Kf = torch.exp(-0.5 * d2 / logell.exp() ** 2)
        K = Kf + logsn.exp() ** 2 * torch.eye(len(x), dtype=x.dtype)
        L = torch.linalg.cholesky(K)
        a = torch.cholesky_solve(y[:, None], L)[:, 0]
        ctx.save_for_backward(logell, logsn, d2, Kf, L, a)
        return 0.5 * y @ a + L.diagonal().log().sum()

    @staticmethod
    def backward(ctx, g):
        logell, logsn, d2, Kf, L, a = ctx.saved_tensors
        M = 0.5 * (torch.cholesky_inverse(L) - torch.outer(a, a))
        return g * (M * Kf * d2 / logell.exp() ** 2).sum(), g * 2 * logsn.exp() ** 2 * M.trace(), None, None

def loss(logell, logsn, x, y):
    return GPNLL.apply(logell, logsn, x, y)

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    x = r(12)
    return dict(logell=torch.tensor(-0.2, dtype=torch.float64, requires_grad=True), logsn=torch.tensor(-1.0, dtype=torch.float64, requires_grad=True), x=x, y=torch.sin(2 * x) + 0.2 * r(12))
""",
        wrongs=(
            Wrong("cube", "d2 / logell.exp() ** 2).sum()", "d2 / logell.exp() ** 3).sum()"),
            Wrong("noln", "g * 2 * logsn.exp() ** 2 * M", "g * 2 * logsn.exp() * M"),
            Wrong(
                "fit", "torch.cholesky_inverse(L) - torch.outer(a, a)", "torch.cholesky_inverse(L)"
            ),
        ),
        variants="toffset tf32 thuge",
        torch=True,
    ),
    Model(
        "t_softthresh_kink",
        """
SUBGRADIENT = "one entry lies 1e-7 beside the kink, where differences cannot see the slope"
class SoftThreshold(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, lam):
        ctx.save_for_backward(x, lam)
        return torch.sign(x) * torch.relu(x.abs() - lam)

    @staticmethod
    def backward(ctx, g):
        x, lam = ctx.saved_tensors
        m = (x.abs() > lam).to(x.dtype)
        return g * m, -(g * m * torch.sign(x)).sum()

def loss(x, lam, A, y):
    return 0.5 * (A @ SoftThreshold.apply(x, lam) - y).square().sum()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    x = r(16)
    x[3], x[7] = 0.0, 0.5 + 1e-7
    return dict(x=x.requires_grad_(), lam=torch.tensor(0.5, dtype=torch.float64, requires_grad=True), A=r(10, 16), y=r(10))
""",
        wrongs=(
            Wrong("nosign", "-(g * m * torch.sign(x)).sum()", "-(g * m).sum()"),
            Wrong("nomask", "return g * m, -(", "return g, -("),
            Wrong("nolam", "-(g * m * torch.sign(x)).sum()", "None"),
        ),
        variants="tf32 toffset tf32in",
        torch=True,
    ),
)
