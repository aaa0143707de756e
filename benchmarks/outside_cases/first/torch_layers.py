"""Layers in torch whose backward passes are written by hand."""

from __future__ import annotations

from benchmarks.outside_cases.models import Model, Wrong

MODELS = (
    Model(
        "t_swish",
        """
class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, beta):
        s = torch.sigmoid(beta * x)
        ctx.save_for_backward(x, beta, s)
        return x * s

    @staticmethod
    def backward(ctx, g):
        x, beta, s = ctx.saved_tensors
        dx = s + beta * x * s * (1 - s)
        dbeta = x * x * s * (1 - s)
        return g * dx, (g * dbeta).sum()

def loss(x, beta, W):
    return (torch.tanh(Swish.apply(x, beta) @ W)).pow(2).sum()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    return dict(x=torch.randn(6, 5, generator=g, dtype=torch.float64, requires_grad=True),
                beta=torch.tensor(1.3, dtype=torch.float64, requires_grad=True),
                W=torch.randn(5, 3, generator=g, dtype=torch.float64, requires_grad=True))
""",
        wrongs=(
            Wrong("nobeta", "dx = s + beta * x", "dx = s + x"),
            Wrong("xonce", "dbeta = x * x * s", "dbeta = x * s"),
            Wrong("nosum", "(g * dbeta).sum()", "(g * dbeta).mean()"),
        ),
        variants="tf32 tf32in toffset tstrided ttiny tbf16",
        torch=True,
    ),
    Model(
        "t_layernorm",
        """
class LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        mu = x.mean(-1, keepdim=True)
        var = x.var(-1, unbiased=False, keepdim=True)
        rstd = (var + eps).rsqrt()
        xhat = (x - mu) * rstd
        ctx.save_for_backward(xhat, rstd, weight)
        return xhat * weight + bias

    @staticmethod
    def backward(ctx, g):
        xhat, rstd, weight = ctx.saved_tensors
        gx = g * weight
        m1 = gx.mean(-1, keepdim=True)
        m2 = (gx * xhat).mean(-1, keepdim=True)
        dx = rstd * (gx - m1 - xhat * m2)
        return dx, (g * xhat).sum(0), g.sum(0), None

def loss(x, weight, bias, t):
    return F.mse_loss(LayerNorm.apply(x, weight, bias, 1e-5), t)

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(x=r(7, 8).requires_grad_(), weight=r(8).requires_grad_(), bias=r(8).requires_grad_(), t=r(7, 8))
""",
        wrongs=(
            Wrong("nom2", "gx - m1 - xhat * m2", "gx - m1"),
            Wrong("nomean", "gx - m1 - xhat * m2", "gx - xhat * m2"),
            Wrong("noweight", "gx = g * weight", "gx = g"),
            Wrong("axis", "(g * xhat).sum(0)", "(g * xhat).sum(0).flip(0)"),
        ),
        variants="tf32 tf16 toffset thuge tstrided",
        torch=True,
    ),
    Model(
        "t_ste",
        """
class ClampedRelu6(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(0, 6) / 6 * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        inside = ((x > 0) & (x < 6)).to(x.dtype)
        return g * (x.clamp(0, 6) / 6 + inside * x / 6)

def loss(x, v):
    return (ClampedRelu6.apply(3 * x) * v).sum()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(x=(2 * r(50)).requires_grad_(), v=r(50))
""",
        wrongs=(
            Wrong("noinside", " + inside * x / 6)", ")"),
            Wrong("nozero", "((x > 0) & (x < 6))", "(x < 6)"),
            Wrong("upper", "((x > 0) & (x < 6))", "(x > 0)"),
        ),
        variants="tf32 tbf16 toffset tstrided",
        torch=True,
    ),
    Model(
        "t_planarflow",
        '''
class Planar(torch.autograd.Function):
    """log|det| of z + u tanh(w.z + b), its gradient by hand"""
    @staticmethod
    def forward(ctx, z, u, w, b):
        t = torch.tanh(z @ w + b)
        d = 1 + (1 - t * t) * (u @ w)
        ctx.save_for_backward(z, u, w, t, d)
        return torch.log(d.abs())

    @staticmethod
    def backward(ctx, g):
        z, u, w, t, d = ctx.saved_tensors
        h1 = 1 - t * t
        h2 = -2 * t * h1
        k = g / d
        da = k * h2 * (u @ w)
        duw = (k * h1).sum()
        return da[:, None] * w, duw * w, duw * u + da @ z, da.sum()

def loss(z, u, w, b):
    f = z + u * torch.tanh(z @ w + b)[:, None]
    return 0.5 * (f ** 2).sum() - Planar.apply(z, u, w, b).sum()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    w = r(4)
    return dict(z=r(9, 4).requires_grad_(), u=(0.3 * w).requires_grad_(), w=w.requires_grad_(), b=r(1)[0].requires_grad_())
''',
        wrongs=(
            Wrong("sign", "h2 = -2 * t * h1", "h2 = 2 * t * h1"),
            Wrong("nopath", "duw * u + da @ z", "da @ z"),
            Wrong("nod", "k = g / d", "k = g"),
        ),
        variants="tf32 toffset tf32in",
        torch=True,
    ),
    Model(
        "t_vae",
        """
class Reparam(torch.autograd.Function):
    @staticmethod
    def forward(ctx, mu, logvar):
        eps = torch.randn_like(mu)
        std = torch.exp(0.5 * logvar)
        ctx.save_for_backward(eps, std)
        return mu + eps * std

    @staticmethod
    def backward(ctx, g):
        eps, std = ctx.saved_tensors
        return g, g * eps * std * 0.5

def loss(We, Wd, x):
    h = x @ We
    mu, logvar = h[:, :2], torch.tanh(h[:, 2:])
    z = Reparam.apply(mu, logvar)
    rec = ((torch.tanh(z @ Wd) - x) ** 2).sum()
    kl = -0.5 * (1 + logvar - mu ** 2 - logvar.exp()).sum()
    return (rec + kl) / len(x)

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(We=(0.5 * r(7, 4)).requires_grad_(), Wd=r(2, 7).requires_grad_(), x=r(11, 7))
""",
        wrongs=(
            Wrong("nohalf", "g * eps * std * 0.5", "g * eps * std"),
            Wrong("nostd", "g * eps * std * 0.5", "g * eps * 0.5"),
            Wrong("nologvar", "return g, g * eps * std * 0.5", "return g, None"),
        ),
        variants="toffset tf32 ttiny",
        torch=True,
    ),
    Model(
        "t_gradpenalty_scan",
        """
class CumLogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = torch.logcumsumexp(x, dim=0)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        n = len(x)
        gx = torch.zeros_like(x)
        for i in range(n):
            gx[: i + 1] += g[i] * torch.exp(x[: i + 1] - y[i])
        return gx

def loss(x, w):
    return (CumLogSumExp.apply(x) * w).sum()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(x=r(20).requires_grad_(), w=r(20))
""",
        wrongs=(
            Wrong(
                "exclusive",
                "gx[: i + 1] += g[i] * torch.exp(x[: i + 1] - y[i])",
                "gx[: i] += g[i] * torch.exp(x[: i] - y[i])",
            ),
            Wrong("last", "for i in range(n):", "for i in range(n - 1):"),
            Wrong("noexp", "torch.exp(x[: i + 1] - y[i])", "torch.exp(x[: i + 1] - y[-1])"),
        ),
        variants="tf32 toffset ttiny thuge",
        torch=True,
    ),
    Model(
        "t_conv",
        """
class Conv1d(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, k, b):
        ctx.save_for_backward(x, k)
        return F.conv1d(x, k, b, padding=1)

    @staticmethod
    def backward(ctx, g):
        x, k = ctx.saved_tensors
        gx = F.conv_transpose1d(g, k, padding=1)
        xp = F.pad(x, (1, 1))
        gk = torch.stack([torch.einsum("nol,nil->oi", g, xp[:, :, j:j + g.shape[2]]) for j in range(3)], dim=2)
        return gx, gk, g.sum((0, 2))

def loss(x, k, b):
    return torch.relu(Conv1d.apply(x, k, b)).pow(2).mean()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(x=r(3, 2, 12).requires_grad_(), k=r(4, 2, 3).requires_grad_(), b=(0.1 * r(4)).requires_grad_())
""",
        wrongs=(
            Wrong(
                "flip",
                "F.conv_transpose1d(g, k, padding=1)",
                "F.conv_transpose1d(g, k.flip(2), padding=1)",
            ),
            Wrong("shift", "xp[:, :, j:j + g.shape[2]]", "xp[:, :, 2 - j:2 - j + g.shape[2]]"),
            Wrong("batchonly", "g.sum((0, 2))", "g.sum(0)[:, 0]"),
        ),
        variants="tf32 toffset tbf16 tf32in",
        torch=True,
    ),
    Model(
        "t_module_hook",
        """
class ScaleGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * w.sigmoid()

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        s = w.sigmoid()
        return g * s, (g * x * s * (1 - s)).sum(0)

class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.lin = nn.Linear(5, 6, dtype=torch.float64)
        self.gate = nn.Parameter(torch.randn(6, dtype=torch.float64))
        self.out = nn.Linear(6, 2, dtype=torch.float64)

    def forward(self, x):
        return self.out(torch.tanh(ScaleGrad.apply(self.lin(x), self.gate))).square().sum()

net = Gated()
target = net

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    return dict(x=torch.randn(8, 5, generator=g, dtype=torch.float64))
""",
        wrongs=(
            Wrong("nosig", "(g * x * s * (1 - s)).sum(0)", "(g * x * s).sum(0)"),
            Wrong("gs", "return g * s,", "return g,"),
            Wrong("x2", "(g * x * s * (1 - s)).sum(0)", "(g * x * s * (1 - s)).sum(0) * 1.0002"),
        ),
        torch=True,
    ),
    Model(
        "t_rmsnorm_half",
        """
class RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        r = torch.rsqrt((x.to(torch.float32) ** 2).mean(-1, keepdim=True) + 1e-6)
        ctx.save_for_backward(x, w, r)
        return (x.to(torch.float32) * r).to(x.dtype) * w

    @staticmethod
    def backward(ctx, g):
        x, w, r = ctx.saved_tensors
        gf, xf = g.to(torch.float32) * w.to(torch.float32), x.to(torch.float32)
        d = r * gf - xf * r ** 3 * (gf * xf).mean(-1, keepdim=True)
        return d.to(x.dtype), (g.to(torch.float32) * xf * r).sum(0).to(w.dtype)

def loss(x, w, v):
    return (RMSNorm.apply(x, w) * v).sum()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g).to(torch.bfloat16)
    return dict(x=r(6, 16).requires_grad_(), w=r(16).requires_grad_(), v=r(6, 16))
""",
        wrongs=(
            Wrong("noproj", " - xf * r ** 3 * (gf * xf).mean(-1, keepdim=True)", ""),
            Wrong("r2", "xf * r ** 3", "xf * r"),
            Wrong("now", "g.to(torch.float32) * w.to(torch.float32), x", "g.to(torch.float32), x"),
        ),
        torch=True,
    ),
    Model(
        "t_big_embedding",
        """
class Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx, E, idx):
        ctx.save_for_backward(idx)
        ctx.rows = E.shape[0]
        return E[idx]

    @staticmethod
    def backward(ctx, g):
        (idx,) = ctx.saved_tensors
        out = torch.zeros(ctx.rows, g.shape[-1], dtype=g.dtype)
        out.index_add_(0, idx, g)
        return out, None

def loss(E, w, idx, y):
    return F.binary_cross_entropy_with_logits(Lookup.apply(E, idx) @ w, y)

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(E=r(300, 10).requires_grad_(), w=r(10).requires_grad_(), idx=torch.randint(300, (200,), generator=g),
                y=torch.randint(2, (200,), generator=g).double())
""",
        wrongs=(
            Wrong("overwrite", "out.index_add_(0, idx, g)", "out[idx] = g"),
            Wrong(
                "offby", "out.index_add_(0, idx, g)", "out.index_add_(0, (idx + 1) % ctx.rows, g)"
            ),
            Wrong(
                "rowscale",
                "        return out, None",
                "        out[idx[3]] *= 1.05\n        return out, None",
            ),
        ),
        variants="tf32 toffset ttiny",
        torch=True,
    ),
)
