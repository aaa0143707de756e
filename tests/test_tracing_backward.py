"""The backward pass of a trace, as it is and altered, against closed forms; what it refuses."""

import numpy as np
import pytest

from gradcheck.tracing import Alteration, trace

generator = np.random.default_rng(12)
X = generator.normal(size=(5, 4))
W = generator.normal(size=(4, 3))
B = generator.normal(size=3)
S = generator.normal(size=(3, 3))
R = generator.normal(size=(5, 3))


def traced_of(loss, **parameters):
    values = {name: np.array(value) for name, value in parameters.items()}
    return trace(loss, (), values, values)


def index_of(traced, name, occurrence=0):
    return [op.index for op in traced.operations if op.name == name][occurrence]


def layer(W, B):
    Z = X @ W + B
    H = np.tanh(Z)
    return np.sum(H * R)


def altered(traced, name, kind, **options):
    return traced.backward({index_of(traced, name): Alteration(kind, **options)})


Z = X @ W + B
H = np.tanh(Z)
DZ = (1 - H**2) * R


class TestWhatFlows:
    def test_values_and_operands(self):
        traced = traced_of(layer, W=W, B=B)
        np.testing.assert_array_equal(traced.value(index_of(traced, "tanh")), H)
        product, bias = traced.operand_values(index_of(traced, "add"))
        np.testing.assert_array_equal(product, X @ W)
        np.testing.assert_array_equal(bias, B)
        assert [traced.n_results(op.index) for op in traced.operations] == [1] * 5
        traced.value(0)[...] = 0.0
        np.testing.assert_array_equal(traced.value(0), X @ W)

    def test_cotangents_are_the_derivatives_by_the_results(self):
        traced = traced_of(layer, W=W, B=B)
        found = traced.cotangents()
        expected = {"matmul": DZ, "add": DZ, "tanh": R, "multiply": np.ones((5, 3)), "sum": 1.0}
        for name, value in expected.items():
            np.testing.assert_allclose(found[index_of(traced, name)], value, rtol=1e-13)
        assert sorted(found) == [op.index for op in traced.operations]

    def test_a_result_that_nobody_reads_has_no_cotangent(self):
        symmetric = S @ S.T

        def loss(M):
            return np.sum(np.linalg.eigh(M)[1][:, 0] ** 2 * B)

        traced = traced_of(loss, M=symmetric)
        index = index_of(traced, "eigh")
        assert traced.n_results(index) == 2
        np.testing.assert_array_equal(traced.cotangents()[index], np.zeros(3))
        with pytest.raises(ValueError, match="eigh has several results"):
            traced.backward({index: Alteration("identity")})

    def test_a_pull_is_linear_and_knows_nothing_else(self):
        traced = traced_of(layer, W=W, B=B)
        tanh, add = index_of(traced, "tanh"), index_of(traced, "add")
        one, other = generator.normal(size=(2, 5, 3))
        pulled = traced.pull({tanh: one, add: other})
        arriving = (1 - H**2) * one + other
        np.testing.assert_allclose(pulled["W"], X.T @ arriving, rtol=1e-12)
        np.testing.assert_allclose(pulled["B"], arriving.sum(0), rtol=1e-12)
        pulled = traced.pull({tanh: one}, {tanh: Alteration("identity")})
        np.testing.assert_allclose(pulled["W"], X.T @ one, rtol=1e-12)
        assert not any(part.any() for part in traced.pull({}).values())

    def test_tangents_are_how_results_move(self):
        traced = traced_of(layer, W=W, B=B)
        tanh, add, total = (index_of(traced, name) for name in ("tanh", "add", "sum"))
        along, beside = generator.normal(size=W.shape), generator.normal(size=B.shape)
        both, one, none = traced.tangents([{"W": along, "B": beside}, {"B": beside}, {}])
        moved = (1 - H**2) * (X @ along + beside)
        np.testing.assert_allclose(both[tanh], moved, rtol=1e-12)
        np.testing.assert_allclose(both[total], np.sum(moved * R), rtol=1e-12)
        np.testing.assert_allclose(one[add], np.broadcast_to(beside, (5, 3)), rtol=1e-12)
        assert not one[index_of(traced, "matmul")].any()
        assert not any(part.any() for part in none.values())
        (found,) = traced.tangents([{"W": along}], {tanh: Alteration("scale", factor=3.0)})
        np.testing.assert_allclose(found[tanh], 3 * (1 - H**2) * (X @ along), rtol=1e-12)

    def test_what_one_operation_hands_on(self):
        traced = traced_of(layer, W=W, B=B)
        handed = traced.local(index_of(traced, "add"), R)
        np.testing.assert_array_equal(handed[0], R)
        np.testing.assert_allclose(handed[1], R.sum(0), rtol=1e-13)
        constant, weight = traced.local(index_of(traced, "matmul"), R)
        assert constant is None
        np.testing.assert_allclose(weight, X.T @ R, rtol=1e-13)

    def test_a_loss_that_depends_on_nothing(self):
        traced = traced_of(lambda W: 3.0 + 0 * len(W), W=W)
        assert (traced.loss, traced.operations, traced.ties) == (3.0, (), ())
        assert traced.cotangents() == {}
        np.testing.assert_array_equal(traced.backward()["W"], np.zeros(W.shape))

    def test_a_loss_that_depends_on_one_of_two(self):
        traced = traced_of(lambda W, B: np.sum(B**2), W=W, B=B)
        np.testing.assert_array_equal(traced.backward()["W"], np.zeros(W.shape))
        np.testing.assert_allclose(traced.backward()["B"], 2 * B, rtol=1e-15)
        (moved,) = traced.tangents([{"W": W, "B": B}])
        np.testing.assert_allclose(moved[0], 2 * B**2, rtol=1e-14)

    def test_of_complex_numbers_the_real_part_is_looked_at(self):
        traced = traced_of(lambda B: np.sum(np.abs(B * (2 + 1j)) ** 2), B=B)
        np.testing.assert_allclose(traced.value(index_of(traced, "multiply")), 2 * B)
        np.testing.assert_allclose(traced.backward()["B"], 10 * B, rtol=1e-13)


class TestIdentity:
    """The gradient by the result, handed on unchanged, in the shape of the operand."""

    def test_of_a_broadcast_operand_its_copies_are_added(self):
        traced = traced_of(lambda B: np.sum(np.multiply(B, R) * X[:, :3]), B=B)
        found = altered(traced, "multiply", "identity", operand=0)
        np.testing.assert_allclose(found["B"], X[:, :3].sum(0), rtol=1e-13)

    @pytest.mark.parametrize(
        ("reduced", "cotangent"),
        [
            (lambda C: np.mean(C, axis=1), lambda r: r.reshape(2, 1, 4)),
            (lambda C: np.mean(C, axis=-1), lambda r: r.reshape(2, 3, 1)),
            (lambda C: np.mean(C, axis=(0, 2)), lambda r: r.reshape(1, 3, 1)),
            (lambda C: np.mean(C, (2, 0)), lambda r: r.reshape(1, 3, 1)),
            (lambda C: np.mean(C, axis=1, keepdims=True), lambda r: r),
            (lambda C: np.mean(C), lambda r: r.reshape(1, 1, 1)),
        ],
    )
    def test_of_a_reduction_it_is_spread(self, reduced, cotangent):
        C = generator.normal(size=(2, 3, 4))
        weights = generator.normal(size=np.shape(reduced(C)))
        traced = traced_of(lambda C: np.sum(reduced(C) * weights), C=C)
        found = altered(traced, "mean", "identity")["C"]
        np.testing.assert_allclose(found, np.broadcast_to(cotangent(weights), C.shape), rtol=1e-13)

    def test_of_another_arrangement_of_the_same_number_it_is_rearranged(self):
        weights = generator.normal(size=(6, 2))
        traced = traced_of(lambda W: np.sum(np.reshape(W, (6, 2)) * weights), W=W)
        found = altered(traced, "reshape", "identity")["W"]
        np.testing.assert_array_equal(found, weights.reshape(4, 3))

    @pytest.mark.parametrize(
        "loss", [lambda W: np.sum((X @ W) ** 2), lambda W: np.sum(np.cumsum(W)[2:] ** 2)]
    )
    def test_elsewhere_it_is_impossible(self, loss):
        traced = traced_of(loss, W=W)
        name = traced.operations[0].name if traced.operations[0].name == "matmul" else "getitem"
        with pytest.raises(ValueError, match="not to be taken for the identity"):
            altered(traced, name, "identity")


class TestAlterations:
    def test_a_factor_on_all_operands_or_on_one(self):
        def loss(U, V):
            return np.sum((U * V) * S)

        traced = traced_of(loss, U=S.T, V=S + 1)
        product = index_of(traced, "multiply")
        true = traced.backward()
        found = traced.backward({product: Alteration("scale", factor=-2.5)})
        for name in "UV":
            np.testing.assert_allclose(found[name], -2.5 * true[name], rtol=1e-14)
        found = traced.backward({product: Alteration("scale", operand=1, factor=-2.5)})
        np.testing.assert_array_equal(found["U"], true["U"])
        np.testing.assert_allclose(found["V"], -2.5 * true["V"], rtol=1e-14)
        found = traced.backward({product: Alteration("twice")})
        np.testing.assert_allclose(found["U"], S * (S + 1) ** 2, rtol=1e-13)
        np.testing.assert_allclose(found["V"], S * S.T**2, rtol=1e-13)
        found = traced.backward({product: Alteration("drop_operand", operand=0)})
        assert not found["U"].any()
        np.testing.assert_array_equal(found["V"], true["V"])

    def test_a_given_slope_and_a_given_rule(self):
        traced = traced_of(layer, W=W, B=B)
        slope = generator.normal(size=(5, 3))
        found = altered(traced, "tanh", "slope", slope=slope)
        np.testing.assert_allclose(found["B"], (slope * R).sum(0), rtol=1e-13)
        found = altered(traced, "add", "rule", operand=1, rule=lambda c: 2 * c[0])
        np.testing.assert_allclose(found["B"], 2 * DZ[0], rtol=1e-13)
        np.testing.assert_allclose(found["W"], X.T @ DZ, rtol=1e-13)

    def test_the_factors_of_products_of_matrices(self):
        def loss(W, S):
            return np.sum(np.dot(W, S) * W[::-1])

        traced = traced_of(loss, W=W, S=S)
        found = altered(traced, "dot", "transpose_operand", operand=0)
        right = traced.backward()["W"]
        np.testing.assert_allclose(found["W"] - right, W[::-1] @ S - W[::-1] @ S.T, rtol=1e-10)
        with pytest.raises(ValueError, match="the other factor is not square"):
            altered(traced, "dot", "transpose_operand", operand=1)

    @pytest.mark.parametrize(
        ("name", "alteration", "words"),
        [
            ("tanh", Alteration("drop_operand"), "drop_operand needs an operand"),
            ("tanh", Alteration("scale", operand=1), "operand 1 of tanh carries no gradient"),
            ("matmul", Alteration("scale", operand=0), "operand 0 of matmul carries no gradient"),
            ("tanh", Alteration("other"), "there is no alteration 'other'"),
            ("tanh", Alteration("slope"), "there is no alteration 'slope'"),
            ("tanh", Alteration("rule"), "there is no alteration 'rule'"),
            ("tanh", Alteration("slope", slope=np.ones(3)), "tanh is not elementwise"),
            ("add", Alteration("twice", operand=1), "add is not elementwise in this operand"),
            ("add", Alteration("slope", operand=1, slope=B), "add is not elementwise"),
            ("tanh", Alteration("transpose_operand", operand=0), "no product of two matrices"),
        ],
    )
    def test_what_cannot_be_is_refused_with_its_reason(self, name, alteration, words):
        traced = traced_of(layer, W=W, B=B)
        with pytest.raises(ValueError, match=words):
            traced.backward({index_of(traced, name): alteration})
        np.testing.assert_allclose(traced.backward()["B"], DZ.sum(0), rtol=1e-13)

    @pytest.mark.parametrize("index", [-1, 5])
    def test_an_operation_that_there_is_not(self, index):
        traced = traced_of(layer, W=W, B=B)
        assert len(traced.operations) == 5
        with pytest.raises(ValueError, match=f"there is no operation {index}"):
            traced.backward({index: Alteration("constant")})

    @pytest.mark.parametrize("product", [lambda U, V: U @ V, lambda U, V: U.dot(V)])
    def test_a_product_of_square_matrices_is_not_elementwise(self, product):
        traced = traced_of(lambda U, V: np.sum(product(U, V)), U=S, V=S.T)
        with pytest.raises(ValueError, match="is not elementwise"):
            traced.backward({0: Alteration("twice", operand=0)})
        vector = traced_of(lambda U, V: np.sum(product(U, V)), U=S, V=B)
        with pytest.raises(ValueError, match="no product of two matrices"):
            vector.backward({0: Alteration("transpose_operand", operand=0)})


class TestChoicesAtKinks:
    """The order of the choices, for operations that each stand on a kink of their own."""

    def test_two_of_them(self):
        def loss(w):
            return np.maximum(w[0], 0.0) + 10 * np.maximum(0.0, w[1])

        traced = traced_of(loss, w=[0.0, 0.0])
        assert len(traced.ties) == 2
        found = [gradient["w"].tolist() for gradient in traced.subgradients()]
        none, first, second, both = [0.0, 0.0], [1.0, 0.0], [0.0, 10.0], [1.0, 10.0]
        assert found == [none, none, both, [0.5, 5.0], first, second, second, first]
        assert traced.backward()["w"].tolist() == none

    def test_one_of_them(self):
        traced = traced_of(lambda w: np.sum(np.abs(w)), w=[0.0, -2.0])
        found = [gradient["w"].tolist() for gradient in traced.subgradients()]
        assert found == [[0.0, -1.0], [-1.0, -1.0], [1.0, -1.0], [0.0, -1.0]]

    @pytest.mark.parametrize(("count", "choices"), [(3, 10), (16, 36), (17, 36)])
    def test_of_many_the_first_few_are_chosen_alone(self, count, choices):
        def loss(w):
            total = 0.0
            for x in w:
                total = total + np.maximum(x, 0.0)
            return total

        traced = traced_of(loss, w=np.zeros(count))
        assert len(traced.ties) == count
        found = [gradient["w"] for gradient in traced.subgradients()]
        assert len(found) == choices
        assert found[-1].sum() == count - 1

    def test_only_the_operations_of_the_loss_count(self):
        def loss(w):
            np.sum(np.abs(w))
            return np.sum(np.exp(np.maximum(w, 0.0)))

        traced = traced_of(loss, w=[0.0, 1.0])
        assert traced.ties == (index_of(traced, "maximum"),)
