"""A wrong rule of many runs does to each run what it does to that run alone."""

from types import SimpleNamespace

import numpy as np
import pytest
from handed_rules import ALL, by_words

from gradcheck.diagnose.flow import Flow
from gradcheck.diagnose.graph import graph_of
from gradcheck.diagnose.pool import Other
from gradcheck.diagnose.wrong import wrong_extremes, wrong_ignored, wrong_slopes
from gradcheck.diagnose.wrong_products import wrong_matrix_products, wrong_products
from gradcheck.diagnose.wrong_shares import wrong_normalisations, wrong_shares
from gradcheck.diagnose.wrong_sums import wrong_broadcasts, wrong_reductions
from gradcheck.tracing import trace

generator = np.random.default_rng(5)


def draw(*shape):
    return generator.uniform(0.3, 2.0, size=shape).round(3)


A, B, C = draw(2, 3, 3), draw(2, 3, 3), draw(2, 3)
W, V, D = draw(3, 3), draw(3), draw(3, 1)


def twice(once):
    """The loss of two runs of one expression, each with data of its own."""

    def loss(W):
        total = 0.0
        for k in range(2):
            total = total + once(W, k)
        return total

    return loss


CASES = [
    ("multiply", 0, W, lambda W, k: np.sum(W * A[k] * B[k])),
    ("multiply", 0, V, lambda W, k: np.sum(W * A[k] * B[k])),
    ("multiply", 0, W, lambda W, k: np.sum(W * C[k] * B[k])),
    ("multiply", 0, D, lambda W, k: np.sum(W * C[k] * B[k])),
    ("divide", 0, W, lambda W, k: np.sum(W / A[k] * B[k])),
    ("divide", 1, W, lambda W, k: np.sum(A[k] / W * B[k])),
    ("divide", 1, V, lambda W, k: np.sum(A[k] / W * B[k])),
    ("divide", 1, W, lambda W, k: np.sum(C[k] / W * B[k])),
    ("add", 0, V, lambda W, k: np.sum((W + A[k]) * B[k])),
    ("subtract", 1, V, lambda W, k: np.sum((A[k] - W) * B[k])),
    ("divide", 0, V, lambda W, k: np.sum((W / A[k]) * B[k])),
    ("matmul", 0, W, lambda W, k: np.sum((W @ A[k]) * B[k])),
    ("matmul", 1, W, lambda W, k: np.sum((A[k] @ W) * B[k])),
    ("matmul", 0, W, lambda W, k: np.sum((W @ C[k]) * B[k, 0])),
    ("matmul", 1, V, lambda W, k: np.sum((A[k] @ W) * B[k, 0])),
    ("matmul", 0, V, lambda W, k: np.sum((W @ A[k]) * B[k, 0])),
    ("matmul", 1, W, lambda W, k: np.sum((C[k] @ W) * B[k, 0])),
    ("matmul", 0, V, lambda W, k: (W @ C[k]) * B[k, 0, 0]),
    ("sum", 0, W, lambda W, k: np.sum(np.sum(W, axis=0) * B[k, 0])),
    ("mean", 0, W, lambda W, k: np.sum(np.mean(W, axis=1, keepdims=True) * B[k])),
    ("cumsum", 0, W, lambda W, k: np.sum(np.cumsum(W, axis=0) * B[k])),
    ("tanh", 0, W, lambda W, k: np.sum(np.tanh(W * A[k]) * B[k])),
    ("square", 0, W, lambda W, k: np.sum(np.square(W - A[k]) * B[k])),
    ("maximum", 0, W, lambda W, k: np.sum(np.square(np.maximum(W, A[k])) * B[k])),
    ("max", 0, W, lambda W, k: np.max(W * A[k]) * B[k, 0, 0]),
    ("exp", 0, W, lambda W, k: np.log(np.sum(np.exp(W * A[k]))) * B[k, 0, 0]),
    ("exp", 0, W, lambda W, k: np.sum(np.log(np.sum(np.exp(W * A[k]), axis=1)) * B[k, 0])),
]


def softmax(W, k):
    E = W * A[k]
    return np.sum(E / E.sum(axis=1, keepdims=True) * B[k])


CASES.append(("divide", 0, W, softmax))


def offers(place):
    """Another value for each run, of the shape asked for; the same for the run alone."""

    def of_shape(shape, here):
        table = np.random.default_rng(6).uniform(0.1, 1.0, size=(2, *shape))
        yield Other(table[[place[index] for index in here.runs]], "another value")

    return SimpleNamespace(of_shape=of_shape)


def rules(here, pool):
    return by_words([
        *wrong_slopes(here, pool), *wrong_ignored(here), *wrong_extremes(here),
        *wrong_products(here, pool), *wrong_matrix_products(here, pool),
        *wrong_broadcasts(here), *wrong_reductions(here),
        *wrong_normalisations(here, pool), *wrong_shares(here, pool),
    ])  # fmt: skip


@pytest.mark.parametrize(("name", "operand", "value", "once"), CASES)
def test_each_run_by_itself_and_all_of_them_come_to_the_same(name, operand, value, once):
    traced = trace(twice(once), (), {"W": value}, {"W": value})
    flow = Flow(traced, graph_of(traced))
    found = {
        here.runs: here
        for here in flow.handings()
        if here.operation.name == name and here.operand == operand
    }
    whole = next(here for runs, here in found.items() if len(runs) == 2)
    pool = offers({index: k for k, index in enumerate(whole.runs)})
    together = rules(whole, pool)
    assert together
    for k, index in enumerate(whole.runs):
        alone = found[(index,)]
        own = rules(alone, pool)
        assert set(own) >= set(together) - {"passes without the factor"}
        for words, wrong in together.items():
            if words not in own:
                continue
            expected = own[words].rule(alone.cotangent, ALL)[0]
            one = slice(k, k + 1)
            np.testing.assert_allclose(wrong.rule(whole.cotangent, ALL)[k], expected, rtol=1e-12)
            np.testing.assert_allclose(
                wrong.rule(whole.cotangent[one], one)[0], expected, rtol=1e-12
            )
            assert expected.shape == alone.right.shape[1:]
