"""The odd corners of NumPy and Python in which numbers travel."""

import abc
import collections
import contextlib
import copy
import dataclasses
import functools
import math
import operator
from functools import partial
from types import SimpleNamespace

import numpy as np
from numpy import dot, exp, zeros
from numpy import sum as total

generator = np.random.default_rng(15)


def draw(*shape, scale=0.8):
    return scale * generator.normal(size=shape)


SCALE = np.array([0.5, 2.0, -1.0])
BUFFER = np.zeros(3)


def names_imported_from_numpy(w, x):
    out = zeros(3)
    out[:] = exp(dot(x, w))
    return total(out)


def import_inside(w):
    import numpy

    a = numpy.ones((2, 3)) * w
    return numpy.sum(a * a)


def global_arrays(w):
    BUFFER[:] = SCALE * w
    BUFFER[1] *= 3
    return (BUFFER * BUFFER).sum()


def default_arguments(w, scale=np.array([1.0, 2.0, 3.0]), f=np.tanh):  # noqa: B008
    return f(scale * w).sum()


def plain_dot_method(w, X=SCALE.reshape(1, 3)):
    return float(X.dot(w)[0]) ** 2


def ufuncs_with_out(w, x):
    buffer = np.empty_like(x)
    np.multiply(w, x, out=buffer)
    np.exp(buffer, out=buffer)
    np.add(buffer, 1.0, out=buffer, where=x > 0)
    result = np.zeros(3)
    np.log(buffer, result, where=buffer > 0.5)
    return np.sum(result**2)


def views_and_aliases(w):
    a = np.zeros((3, 3))
    diagonal = a.reshape(-1)[::4]
    diagonal[...] = w
    upper = a[:2]
    upper += 1.5
    a.T[2] *= w
    same = a
    same[0, 0] -= 5 * w[1]
    return (a**3).sum() + a[::-1, ::-1][0, 0]


def swap_rows(W):
    W = W.copy()
    W[[0, 2]] = W[[2, 0]]
    W[0], W[1] = W[1].copy(), W[0].copy()
    return (W * np.arange(W.size).reshape(W.shape)).sum() + W[W > 0.1].sum()


def math_on_numbers(a, b):
    x = float(a[0])
    y = a[1].item()
    z = math.sqrt(x * x + y * y) + math.log(abs(x) + 1) + math.exp(-y)
    return max(z, 0.0) + min(x, y) + b.tolist()[0] ** 2 + pow(y, 2)


def printing_and_asserting(w, verbose=False):
    loss = np.mean(w**2)
    assert np.isfinite(loss), f"loss is {loss:.3f}"
    if verbose:
        print("loss", loss)
    message = f"{loss:.4f} {w!r}"
    if loss > 0 and len(message) > 3:
        loss += np.abs(w).max()
    history = [float(loss)]
    return history[-1]


def nested_parameters(params, x):
    for layer in params["layers"]:
        x = np.tanh(layer["W"] @ x + layer["b"])
    return x.sum() * params["gain"][0]


@dataclasses.dataclass
class Weights:
    W: np.ndarray
    b: np.ndarray

    @property
    def norm(self):
        return np.sqrt(np.sum(self.W**2))


def dataclass_weights(weights):
    return np.sum(np.sin(weights.W @ weights.b)) + weights.norm


class Dual:
    def __init__(self, value):
        self.value = value

    def __add__(self, other):
        return Dual(self.value + other.value)

    def __mul__(self, other):
        return Dual(self.value * np.asarray(getattr(other, "value", other)))

    def __getitem__(self, index):
        return self.value[index]


def own_operators(w, x):
    combined = Dual(w) * x + Dual(x * 2)
    return combined[0] * combined[1] + combined.value.sum()


def callbacks(w):
    squares = list(map(lambda v: v**2, w))  # noqa: C417
    product = functools.reduce(operator.mul, squares, 1.0)
    shifted = partial(np.add, 1.0)(w)
    return product + sum(filter(None, shifted)) + sorted(w)[0] + max(w, key=abs)


def generators_and_zip(W, v):
    def rows():
        for row in W:
            yield row * 2

    score = 0
    for k, (row, x) in enumerate(zip(rows(), v, strict=True)):
        score += k * row.sum() * x
    first, *rest = v
    a, b = W[:2]
    return score + first * len(rest) + np.dot(a, b) + sum(x for x in v if x > 0)


def concatenations(a, b):
    c = np.concatenate([a, b[:2], [1.0, 2.0]])
    d = np.r_[a, b] if False else np.hstack((a, b))
    e = np.vstack([a, b]).T
    f = np.column_stack([a, b])[::-1]
    g = np.append(a, b)
    h = np.insert(b, 1, a[0])
    return (c**2).sum() + d.prod() + (e * f).sum() + g[3] * h[1] + np.stack([a, b]).max()


def repeating(a, B):
    tiled = np.tile(a, (2, 1)) + np.repeat(a[None], 2, axis=0)
    wide = np.broadcast_to(a[:, None], (3, 2))
    rolled = np.roll(B, 1, axis=0) + np.flip(B, axis=1) + np.rot90(B, 2)
    padded = np.pad(B, 1, mode="edge")
    return (tiled**2).sum() + (wide * B).sum() + (rolled**2).sum() + padded[0].sum()


def taking(a, B):
    picked = np.take(B, [0, 2, 0], axis=0) + B.take([1, 1, 2], axis=0)
    window = B[np.ix_([0, 2], [1, 0])]
    mixed = B[1:, [0, 1]]
    new = B[..., np.newaxis, 0]
    sums = np.cumsum(a)[::-1] + np.cumsum(B, axis=0)[:, 1]
    return (picked**2).sum() + (window * mixed).sum() + new.sum() ** 2 + (sums**2).sum()


def products(a, B):
    value = np.inner(a, a) + np.vdot(B, B) + np.outer(a, a)[0, 1]
    value += np.einsum("ij,ij->", B, B) + np.einsum("i,ij,j", a, B @ B.T, a)
    value += np.tensordot(B, B, axes=([0, 1], [0, 1])) + np.matmul(a, B).sum()
    return value + np.linalg.multi_dot([a, B, B.T, a]) + np.trace(B @ B.T)


def norms(a, B):
    return (
        np.linalg.norm(a, 1) + np.linalg.norm(a, np.inf) + np.linalg.norm(B)
        + np.linalg.norm(B, axis=1).sum() + np.linalg.norm(a, ord=3)
    )  # fmt: skip


def averages(a, B):
    value = np.average(a, weights=[1, 2, 3]) + np.average(B, axis=0, weights=a**2).sum()
    value += B.var(axis=(0, 1), ddof=1) + B.std(axis=0).sum() + np.mean(B, where=B > 0)
    return value + np.ptp(a) + np.nanmean(B) + B.sum(axis=(0, 1)) + np.prod(a) + B.max(0).sum()


def selecting(a, b):
    x = np.select([a > 1, a > 0], [a**2, a * b], default=-a)
    y = np.choose([0, 1, 0], [a, b])
    z = np.piecewise(a, [a < 0, a >= 0], [lambda t: t**2, lambda t: t**3])
    w = np.nan_to_num(np.where(b > 0, np.sqrt(np.abs(b)), np.nan))
    return (x + y + z + w).sum()


def float32_kept(w):
    half = w.astype(np.float32)
    return np.float64((half * np.float32(2) + 1).sum())


def copying(params):
    private = copy.deepcopy(params)
    private["w"] *= 2
    other = {k: v.copy() for k, v in params.items()}
    other["b"][0] += private["w"][1]
    space = SimpleNamespace(**other)
    return np.sum(space.w * private["w"]) + space.b.sum()


def named_results(w):
    Result = collections.namedtuple("Result", "loss penalty")
    result = Result(loss=np.sum(w**2), penalty=np.abs(w).sum())
    return result.loss + 0.1 * result.penalty


def along_axes(B):
    ranges = np.apply_along_axis(lambda row: row.max() - row.min(), 1, B)
    table = np.fromiter((float(np.sum(row**2)) for row in B), dtype=float, count=len(B))
    filled = np.full(3, np.nan)
    filled.fill(0.5)
    np.copyto(filled, B[:, 0], where=B[:, 0] > 0)
    return ranges.sum() + filled.sum() + 0 * len(table)


def match_and_walrus(w, kind="square"):
    if (n := len(w)) > 2:
        w = w[: n - 1]
    match kind:
        case "square":
            loss = sum(w**2)
        case _:
            loss = 0.0
    with np.errstate(all="ignore"):
        try:
            loss = loss / w[0]
        finally:
            pass
    return loss if loss > -1e9 else 0.0


@contextlib.contextmanager
def scaled(x):
    yield x * 2


class Recorder:
    def __init__(self, x):
        self.x = x

    def __enter__(self):
        self.total = np.sum(self.x**2)
        return self

    def __exit__(self, *details):
        return False


def context_managers(w):
    with scaled(w) as doubled, Recorder(doubled) as recorder:
        return recorder.total + doubled[0]


@dataclasses.dataclass
class Penalty:
    W: np.ndarray
    reg: float = 0.1
    history: list = dataclasses.field(default_factory=list)

    def __post_init__(self):
        self.norm = np.sum(self.W**2)


class Activation(abc.ABC):
    def __init__(self, gain):
        self.squared = gain**2

    @abc.abstractmethod
    def __call__(self, x): ...


class Scaled(Activation):
    def __call__(self, x):
        return np.tanh(x) * self.squared[0]


class Bounded(Scaled):
    def __init__(self, gain, shift):
        super().__init__(gain)
        self.__shift = shift * 2

    def __call__(self, x):
        return np.minimum(super().__call__(x), 0.7) + self.__shift.sum()


def classes_of_every_kind(w, x):
    penalty = Penalty(w)
    penalty.history.append(penalty.norm)
    return penalty.reg * penalty.history[-1] + Bounded(w, x)(x).sum()


def starred_targets(W):
    (a, b), *rest, last = W
    head, *tail = last
    return a * b + sum(r.prod() for r in rest) - head * len(tail) + tail[0] ** 2


def scalars_as_arrays(w):
    total = np.sum(w)
    column = total[..., None] * np.ones(2)
    return column.sum() + total[()] + total.real * total.T


def elimination(A, b):
    A, b = A.copy() + 3 * np.eye(3), b.copy()
    for i in range(3):
        for j in range(i + 1, 3):
            factor = A[j, i] / A[i, i]
            A[j] -= factor * A[i]
            b[j] -= factor * b[i]
    x = np.zeros(3)
    for i in range(2, -1, -1):
        x[i] = (b[i] - A[i, i + 1 :] @ x[i + 1 :]) / A[i, i]
    return x.sum()


def library_density(mu, A, x):
    from scipy import stats

    covariance = A @ A.T + np.eye(3)
    return -stats.multivariate_normal.logpdf(x, mean=mu, cov=covariance).sum()


LOSSES = {
    "context_managers": (context_managers, {"w": draw(3)}, ["w"]),
    "classes_of_every_kind": (
        classes_of_every_kind,
        {"w": draw(3), "x": draw(4)},
        ["w", "x"],
    ),
    "starred_targets": (starred_targets, {"W": draw(4, 2)}, ["W"]),
    "scalars_as_arrays": (scalars_as_arrays, {"w": draw(3)}, ["w"]),
    "elimination": (elimination, {"A": draw(3, 3), "b": draw(3)}, ["A", "b"]),
    "library_density": (
        library_density,
        {"mu": draw(3), "A": draw(3, 3), "x": draw(4, 3)},
        ["mu", "A"],
    ),
    "names_imported_from_numpy": (
        names_imported_from_numpy, {"w": draw(3), "x": draw(3, 3)}, ["w", "x"],
    ),
    "import_inside": (import_inside, {"w": draw(3)}, ["w"]),
    "global_arrays": (global_arrays, {"w": draw(3)}, ["w"]),
    "default_arguments": (default_arguments, {"w": draw(3)}, ["w"]),
    "plain_dot_method": (plain_dot_method, {"w": draw(3)}, ["w"]),
    "ufuncs_with_out": (ufuncs_with_out, {"w": draw(3), "x": draw(3)}, ["w", "x"]),
    "views_and_aliases": (views_and_aliases, {"w": draw(3)}, ["w"]),
    "swap_rows": (swap_rows, {"W": draw(3, 2)}, ["W"]),
    "math_on_numbers": (math_on_numbers, {"a": draw(2), "b": draw(2)}, ["a", "b"]),
    "printing_and_asserting": (printing_and_asserting, {"w": draw(4)}, ["w"]),
    "nested_parameters": (
        nested_parameters,
        {"params": {"layers": [{"W": draw(3, 3), "b": draw(3)}, {"W": draw(2, 3), "b": draw(2)}],
                    "gain": draw(1)},
         "x": draw(3)},
        ["x"],
    ),
    "dataclass_weights": (
        dataclass_weights, {"weights": Weights(draw(2, 3), draw(3))}, [],
    ),
    "own_operators": (own_operators, {"w": draw(3), "x": draw(3)}, ["w", "x"]),
    "callbacks": (callbacks, {"w": draw(4)}, ["w"]),
    "generators_and_zip": (generators_and_zip, {"W": draw(3, 2), "v": draw(3)}, ["W", "v"]),
    "concatenations": (concatenations, {"a": draw(3), "b": draw(3)}, ["a", "b"]),
    "repeating": (repeating, {"a": draw(3), "B": draw(3, 2)}, ["a", "B"]),
    "taking": (taking, {"a": draw(3), "B": draw(3, 2)}, ["a", "B"]),
    "products": (products, {"a": draw(3), "B": draw(3, 2)}, ["a", "B"]),
    "norms": (norms, {"a": draw(3), "B": draw(3, 2)}, ["a", "B"]),
    "averages": (averages, {"a": draw(3), "B": draw(3, 2)}, ["a", "B"]),
    "selecting": (selecting, {"a": draw(3), "b": draw(3)}, ["a", "b"]),
    "copying": (copying, {"params": {"w": draw(3), "b": draw(2)}}, []),
    "named_results": (named_results, {"w": draw(3)}, ["w"]),
    "along_axes": (along_axes, {"B": draw(3, 2)}, ["B"]),
    "match_and_walrus": (match_and_walrus, {"w": draw(4)}, ["w"]),
}  # fmt: skip
