"""Losses in torch whose backward passes are written by hand, or that are cut off."""

from __future__ import annotations

from benchmarks.outside_cases.models import Model, Wrong

MODELS = (
    Model(
        "t_huber_fn",
        """
class Huber(torch.autograd.Function):
    @staticmethod
    def forward(ctx, r, delta):
        ctx.save_for_backward(r)
        ctx.delta = delta
        a = r.abs()
        return torch.where(a <= delta, 0.5 * r * r, delta * (a - 0.5 * delta)).sum()

    @staticmethod
    def backward(ctx, g):
        (r,) = ctx.saved_tensors
        return g * r.clamp(-ctx.delta, ctx.delta), None

def loss(w, X, y):
    return Huber.apply(X @ w - y, 1.0)

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(w=r(6).requires_grad_(), X=r(40, 6), y=2 * r(40))
""",
        wrongs=(
            Wrong("noclamp", "g * r.clamp(-ctx.delta, ctx.delta)", "g * r"),
            Wrong("ignoreg", "return g * r.clamp", "return 0.5 * g * r.clamp"),
            Wrong("sign", "g * r.clamp(-ctx.delta, ctx.delta)", "g * ctx.delta * r.sign()"),
        ),
        variants="tf32 tf32in toffset ttiny thuge",
        torch=True,
    ),
    Model(
        "t_softmax_ce",
        """
class CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target, smoothing):
        n, k = logits.shape
        logp = logits - torch.logsumexp(logits, dim=1, keepdim=True)
        q = torch.full_like(logits, smoothing / k)
        q[torch.arange(n), target] += 1 - smoothing
        ctx.save_for_backward(logp, q)
        return -(q * logp).sum() / n

    @staticmethod
    def backward(ctx, g):
        logp, q = ctx.saved_tensors
        return g * (logp.exp() - q) / logp.shape[0], None, None

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.fc1 = nn.Linear(6, 16)
        self.fc2 = nn.Linear(16, 5)

    def forward(self, x, target):
        return CrossEntropy.apply(self.fc2(torch.relu(self.fc1(x))), target, 0.1)

net = Net().double()
target = net

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    return dict(x=torch.randn(10, 6, generator=g, dtype=torch.float64), target=torch.randint(5, (10,), generator=g))
""",
        wrongs=(
            Wrong("nosmooth", "(logp.exp() - q)", "(logp.exp() - (q > 0.5).to(q.dtype))"),
            Wrong("noaverage", " / logp.shape[0], None", ", None"),
            Wrong("square", "logp.exp() - q", "logp.exp() * (1 - q) - q * (1 - logp.exp())"),
        ),
        torch=True,
    ),
    Model(
        "t_logdet",
        """
class LogDet(torch.autograd.Function):
    @staticmethod
    def forward(ctx, A):
        L = torch.linalg.cholesky(A)
        ctx.save_for_backward(A)
        return 2 * torch.log(torch.diagonal(L)).sum()

    @staticmethod
    def backward(ctx, g):
        (A,) = ctx.saved_tensors
        return g * torch.linalg.inv(A).T

def loss(B, logs, x):
    A = B @ B.T + torch.diag(logs.exp())
    return 0.5 * LogDet.apply(A) + 0.5 * x @ torch.linalg.solve(A, x)

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(B=r(6, 2).requires_grad_(), logs=r(6).requires_grad_(), x=r(6))
""",
        wrongs=(
            Wrong("diag", "g * torch.linalg.inv(A).T", "g * torch.diag(1 / torch.diagonal(A))"),
            Wrong("half", "g * torch.linalg.inv(A).T", "0.5 * g * torch.linalg.inv(A).T"),
            Wrong("noinv", "torch.linalg.inv(A).T", "torch.linalg.inv(A).T * 1.0005"),
        ),
        variants="toffset tstrided tf32 thuge",
        torch=True,
    ),
    Model(
        "t_detach",
        """
def loss(logits, values, adv):
    p = torch.softmax(logits, dim=1)
    logp = torch.log_softmax(logits, dim=1)
    entropy = -(p * logp).sum(1)
    baseline = values.mean()
    gap = adv - baseline
    return (0.5 * gap ** 2).mean() - 0.01 * entropy.mean() + (p[:, 0] * gap).mean()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(logits=r(8, 4).requires_grad_(), values=r(8).requires_grad_(), adv=r(8))
""",
        wrongs=(
            Wrong("detachgap", "(p[:, 0] * gap).mean()", "(p[:, 0] * gap.detach()).mean()"),
            Wrong("detachp", "-(p * logp).sum(1)", "-(p.detach() * logp).sum(1)"),
            Wrong("data", "baseline = values.mean()", "baseline = values.data.mean()"),
        ),
        variants="toffset tf32 tf16 tstrided",
        torch=True,
    ),
    Model(
        "t_maxmargin_tie",
        """
class TopTwoGap(torch.autograd.Function):
    @staticmethod
    def forward(ctx, s):
        v, i = s.topk(2, dim=1)
        ctx.save_for_backward(i)
        ctx.shape = s.shape
        return (v[:, 0] - v[:, 1])

    @staticmethod
    def backward(ctx, g):
        (i,) = ctx.saved_tensors
        out = torch.zeros(ctx.shape, dtype=g.dtype)
        out.scatter_(1, i[:, :1], g[:, None])
        out.scatter_(1, i[:, 1:], -g[:, None])
        return out

def loss(W, X):
    return F.softplus(-TopTwoGap.apply(X @ W)).sum()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(W=r(5, 6).requires_grad_(), X=r(20, 5))
""",
        wrongs=(
            Wrong("noneg", "        out.scatter_(1, i[:, 1:], -g[:, None])\n", ""),
            Wrong("plus", "i[:, 1:], -g[:, None]", "i[:, 1:], g[:, None]"),
        ),
        variants="tf32 toffset tf32in",
        torch=True,
    ),
    Model(
        "t_contrastive_distance",
        """
class PairDist(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        diff = a[:, None] - b[None]
        d = diff.pow(2).sum(-1).sqrt()
        ctx.save_for_backward(diff, d)
        return d

    @staticmethod
    def backward(ctx, g):
        diff, d = ctx.saved_tensors
        u = g[..., None] * diff / d[..., None]
        return u.sum(1), -u.sum(0)

def loss(a, b, same):
    d = PairDist.apply(a, b)
    return (same * d ** 2 + (1 - same) * torch.relu(2.0 - d) ** 2).mean()

def make(seed=0):
    g = torch.Generator().manual_seed(seed)
    r = lambda *s: torch.randn(*s, generator=g, dtype=torch.float64)
    return dict(a=r(7, 3).requires_grad_(), b=r(9, 3).requires_grad_(), same=(torch.rand(7, 9, generator=g) < 0.3).double())
""",
        wrongs=(
            Wrong("axis", "return u.sum(1), -u.sum(0)", "return u.sum(1), u.sum(0)"),
            Wrong("nod", "diff / d[..., None]", "diff"),
            Wrong("b0", "u.sum(1), -u.sum(0)", "u.sum(1), None"),
        ),
        variants="tf32 tstrided ttiny toffset",
        torch=True,
    ),
)
