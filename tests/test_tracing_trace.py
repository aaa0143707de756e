"""What a trace says: sites, alterations, kinks, what is lost; and what it leaves alone."""

import time
from pathlib import Path

import numpy as np
import pytest

from gradcheck.tracing import Alteration, trace

X = np.random.default_rng(3).normal(size=(5, 4))
T = np.random.default_rng(4).normal(size=(5, 3))


def two_layers(W, V):
    Z = X @ W
    A = np.maximum(0, Z)
    E = A @ V - T
    return 0.5 * np.sum(E**2) / len(X)


def parts(W, V):
    Z = X @ W
    A = np.maximum(0, Z)
    D = (A @ V - T) / len(X)
    return Z, A, D


@pytest.fixture
def weights():
    generator = np.random.default_rng(5)
    return {"W": generator.normal(size=(4, 6)), "V": generator.normal(size=(6, 3))}


def index_of(traced, name, occurrence=0):
    return [op.index for op in traced.operations if op.name == name][occurrence]


def test_operations_name_their_place_in_the_source(weights):
    traced = trace(two_layers, (), weights, weights)
    names = [operation.name for operation in traced.operations]
    assert names == [
        "matmul", "maximum", "matmul", "subtract", "power", "sum", "multiply", "divide",
    ]  # fmt: skip
    maximum = traced.operations[1]
    assert maximum.site.file == __file__
    assert maximum.site.function == "two_layers"
    source = Path(__file__).read_text().splitlines()[maximum.site.line - 1]
    assert source[maximum.site.column : maximum.site.end_column] == "np.maximum(0, Z)"
    assert maximum.inputs == (("constant", "0"), ("operation", 0))
    assert maximum.input_shapes == ((), (5, 6))
    assert traced.operations[2].inputs == (("operation", 1), ("parameter", "V"))
    assert traced.operations[0].inputs[1] == ("parameter", "W")


def test_operations_that_the_loss_does_not_depend_on_are_left_out(weights):
    def loss(W, V):
        np.fft.fft2(W)
        _ = np.exp(W)
        return np.sum(V**2)

    traced = trace(loss, (), weights, weights)
    assert [operation.name for operation in traced.operations] == ["power", "sum"]
    assert np.all(traced.backward()["W"] == 0)


def test_gradient_is_exact(weights):
    Z, A, D = parts(**weights)
    gradient = trace(two_layers, (), weights, weights).backward()
    np.testing.assert_allclose(gradient["V"], A.T @ D, rtol=1e-13)
    np.testing.assert_allclose(gradient["W"], X.T @ (D @ weights["V"].T * (Z > 0)), rtol=1e-13)


class TestAlterations:
    def test_identity_leaves_out_the_mask(self, weights):
        _, A, D = parts(**weights)
        traced = trace(two_layers, (), weights, weights)
        altered = traced.backward({index_of(traced, "maximum"): Alteration("identity")})
        np.testing.assert_allclose(altered["W"], X.T @ (D @ weights["V"].T), rtol=1e-13)
        np.testing.assert_allclose(altered["V"], A.T @ D, rtol=1e-13)

    def test_constant_cuts_the_path(self, weights):
        traced = trace(two_layers, (), weights, weights)
        altered = traced.backward({index_of(traced, "maximum"): Alteration("constant")})
        assert np.all(altered["W"] == 0)
        np.testing.assert_array_equal(altered["V"], traced.backward()["V"])

    def test_scales_multiply(self, weights):
        traced = trace(two_layers, (), weights, weights)
        true = traced.backward()
        altered = traced.backward(
            {
                index_of(traced, "maximum"): Alteration("scale", factor=3.0),
                index_of(traced, "divide"): Alteration("scale", factor=5.0),
            }
        )
        np.testing.assert_allclose(altered["W"], 15 * true["W"], rtol=1e-13)
        np.testing.assert_allclose(altered["V"], 5 * true["V"], rtol=1e-13)

    def test_one_operand_is_dropped_or_scaled(self, weights):
        traced = trace(two_layers, (), weights, weights)
        true = traced.backward()
        product = index_of(traced, "matmul", 1)
        dropped = traced.backward({product: Alteration("drop_operand", operand=0)})
        assert np.all(dropped["W"] == 0)
        np.testing.assert_array_equal(dropped["V"], true["V"])
        scaled = traced.backward({product: Alteration("scale_operand", operand=1, factor=-1.0)})
        np.testing.assert_array_equal(scaled["V"], -true["V"])

    def test_twice_applies_the_local_derivative_again(self):
        w = np.array([0.3, -0.7])
        traced = trace(lambda w: np.sum(np.tanh(w)), (w,), {}, {"w": w})
        altered = traced.backward({index_of(traced, "tanh"): Alteration("twice")})
        np.testing.assert_allclose(altered["w"], (1 - np.tanh(w) ** 2) ** 2, rtol=1e-13)

    def test_transposed_factor(self):
        generator = np.random.default_rng(0)
        A, B = generator.normal(size=(3, 3)), generator.normal(size=(3, 3))
        traced = trace(lambda A, B: np.sum((A @ B) ** 2), (A, B), {}, {"A": A, "B": B})
        product = index_of(traced, "matmul")
        altered = traced.backward({product: Alteration("transpose_operand", operand=0)})
        np.testing.assert_allclose(altered["A"], 2 * A @ B @ B, rtol=1e-12)
        altered = traced.backward({product: Alteration("transpose_operand", operand=1)})
        np.testing.assert_allclose(altered["B"], A @ (2 * A @ B), rtol=1e-12)

    def test_a_reduction_as_identity_spreads_the_cotangent(self):
        w = np.arange(6.0).reshape(2, 3)
        traced = trace(lambda w: np.sum(np.mean(w, axis=1) ** 2), (w,), {}, {"w": w})
        altered = traced.backward({index_of(traced, "mean"): Alteration("identity")})
        expected = np.repeat(2 * w.mean(axis=1, keepdims=True), 3, axis=1)
        np.testing.assert_allclose(altered["w"], expected)

    def test_alterations_of_a_whole_line_in_a_loop(self):
        def loss(w):
            h = 0.1
            for _ in range(3):
                h = np.tanh(w * h)
            return h

        w = np.array(1.3)
        traced = trace(loss, (w,), {}, {"w": w})
        tanhs = [op.index for op in traced.operations if op.name == "tanh"]
        altered = traced.backward(dict.fromkeys(tanhs, Alteration("identity")))
        h1 = np.tanh(1.3 * 0.1)
        h2 = np.tanh(1.3 * h1)
        np.testing.assert_allclose(altered["w"], h2 + 1.3 * (h1 + 1.3 * 0.1), rtol=1e-13)

    @pytest.mark.parametrize(
        "alteration",
        [
            Alteration("drop_operand"),
            Alteration("drop_operand", operand=0),
            Alteration("transpose_operand", operand=1),
            Alteration("twice"),
            Alteration("nonsense"),
        ],
    )
    def test_impossible_alterations_are_refused_and_leave_no_trace(self, weights, alteration):
        traced = trace(two_layers, (), weights, weights)
        true = traced.backward()
        with pytest.raises(ValueError, match=r"\w"):
            traced.backward({index_of(traced, "matmul"): alteration})
        assert all(np.array_equal(true[name], traced.backward()[name]) for name in true)

    def test_two_hundred_alterations_cost_less_than_half_a_second(self):
        def loss(w):
            for _ in range(16):
                w = np.tanh(w) * 1.1 + 0.1
            return np.sum(w)

        w = np.ones((10, 10))
        traced = trace(loss, (w,), {}, {"w": w})
        assert len(traced.operations) == 49
        start = time.process_time()
        for k in range(200):
            traced.backward({k % 49: Alteration("constant")})
        assert time.process_time() - start < 0.5


class TestFlow:
    def test_values_cotangents_and_pull(self, weights):
        _, A, D = parts(**weights)
        traced = trace(two_layers, (), weights, weights)
        product = index_of(traced, "matmul", 1)
        np.testing.assert_array_equal(traced.value(index_of(traced, "maximum")), A)
        np.testing.assert_array_equal(traced.operand_values(product)[1], weights["V"])
        cotangents = traced.cotangents()
        np.testing.assert_allclose(cotangents[product], D, rtol=1e-13)
        pulled = traced.pull({product: cotangents[product]})
        np.testing.assert_allclose(pulled["V"], traced.backward()["V"], rtol=1e-13)

    def test_an_array_filled_in_pieces_is_put_together_by_one_operation(self):
        def loss(w):
            out = np.zeros(3)
            for i in range(3):
                out[i] = w[i] ** 2
            return np.sum(out * [1, 2, 3])

        w = np.array([0.5, 1.0, 2.0])
        traced = trace(loss, (w,), {}, {"w": w})
        whole = traced.operations[index_of(traced, "assemble")]
        stored = [op.index for op in traced.operations if op.name == "setitem"]
        assert [source for _, source in whole.inputs[1:]] == stored
        last = traced.backward({whole.index: Alteration("drop_operand", operand=3)})
        np.testing.assert_allclose(last["w"], [1.0, 4.0, 0.0])


class TestKinks:
    def gradients(self, loss, **arrays):
        traced = trace(loss, (), arrays, arrays)
        return traced, [g["w"].tolist() for g in traced.subgradients()]

    def test_a_rectifier_at_zero_may_have_either_derivative(self):
        traced, found = self.gradients(
            lambda w: np.sum(np.maximum(0, w)), w=np.array([0.0, 1.0, -1.0])
        )
        assert traced.ties == (0,)
        assert found[0] == [0.0, 1.0, 0.0]
        assert [1.0, 1.0, 0.0] in found
        assert [0.5, 1.0, 0.0] in found

    def test_no_tie_no_choice(self):
        traced, found = self.gradients(lambda w: np.sum(np.maximum(0, w)), w=np.array([0.1, -1.0]))
        assert traced.ties == ()
        assert found == [[1.0, 0.0]]

    def test_each_operation_may_choose_for_itself(self):
        def leaky(w):
            return np.sum(np.maximum(w, 0) - 0.1 * np.maximum(-w, 0))

        traced, found = self.gradients(leaky, w=np.array([0.0]))
        assert len(traced.ties) == 2
        for value in (0.0, 1.0, 0.1, 1.1, 0.55):
            assert any(np.isclose(gradient[0], value) for gradient in found)

    def test_absolute_value_maximum_and_clip(self):
        _, found = self.gradients(lambda w: np.sum(np.abs(w)), w=np.array([0.0, 2.0]))
        assert {tuple(g) for g in found} == {(0.0, 1.0), (-1.0, 1.0), (1.0, 1.0)}
        _, found = self.gradients(lambda w: np.max(w), w=np.array([2.0, 2.0, 1.0]))
        assert {tuple(g) for g in found} == {(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.5, 0.5, 0.0)}
        _, found = self.gradients(lambda w: np.sum(np.clip(w, 0, 1)), w=np.array([0.0, 1.0, 0.5]))
        assert (0.0, 0.0, 1.0) in {tuple(g) for g in found}
        assert (1.0, 1.0, 1.0) in {tuple(g) for g in found}

    def test_a_choice_is_undone(self):
        w = np.array([0.0])
        traced = trace(lambda w: np.sum(np.maximum(0, w)), (w,), {}, {"w": w})
        assert traced.backward(subgradients={0: "high"})["w"] == 1
        assert traced.backward()["w"] == 0
