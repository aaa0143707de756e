"""Where inputs come from, and which source wins."""

import numpy as np
import pytest

import gradcheck
from gradcheck.errors import UsageError
from gradcheck.targets.input_sources import load_inputs, plan_inputs
from gradcheck.targets.target import resolve


def shapes(inputs):
    return {name: np.shape(value) for name, value in inputs.items()}


def test_the_decorator_gives_specs_and_values():
    @gradcheck.inputs(W="randn(D, K)", X="randn(N, D)", reg=0.5, mode="'mean'", sizes={"N": 20})
    def loss(W, X, reg, mode): ...

    inputs = plan_inputs(loss).draw(0)
    assert inputs["X"].shape == (20, inputs["W"].shape[0])
    assert inputs["reg"] == 0.5
    assert inputs["mode"] == "mean"


def test_the_decorator_takes_a_factory_and_leaves_the_function_as_it_is():
    def loss(W): ...

    assert gradcheck.inputs(lambda: (np.ones(3),))(loss) is loss
    (w,) = plan_inputs(loss).draw(0)
    assert w.shape == (3,)


def test_a_bad_spec_is_refused_where_it_is_written():
    with pytest.raises(UsageError, match="no draw 'rndn'"):
        gradcheck.inputs(W="rndn(3)")
    with pytest.raises(UsageError, match="a factory or inputs by name"):
        gradcheck.inputs(lambda: 1, W="randn(3)")


def test_an_argument_on_the_command_line_wins_over_the_decorator():
    @gradcheck.inputs(W="randn(3)", X="randn(4)")
    def loss(W, X): ...

    assert shapes(plan_inputs(loss, args=["W=randn(9)"]).draw(0)) == {"W": (9,), "X": (4,)}


def test_the_decorator_wins_over_annotations_and_these_fill_what_is_missing():
    @gradcheck.inputs(W="randn(3)")
    def loss(W: "Float[np.ndarray, '8']", X: "Float[np.ndarray, '9']"): ...

    assert shapes(plan_inputs(loss).draw(0)) == {"W": (3,), "X": (9,)}


class TestModule:
    def plan(self, workplace, text, name="loss", **options):
        (workplace / "mine.py").write_text("import numpy as np\n" + text)
        resolved = resolve(f"mine:{name}")
        return plan_inputs(resolved.value, module=resolved.module, **options)

    def test_a_mapping_by_argument(self, workplace):
        plan = self.plan(
            workplace, "def loss(W, reg=0.1): ...\ngradcheck_inputs = {'W': 'randn(3)', 'reg': 2}\n"
        )
        assert plan.draw(0)["reg"] == 2
        assert plan.draw(0)["W"].shape == (3,)

    def test_a_function(self, workplace):
        plan = self.plan(
            workplace, "def loss(W): ...\ndef gradcheck_inputs(): return {'W': np.ones(2)}\n"
        )
        assert plan.draw(0)["W"].tolist() == [1, 1]

    def test_one_mapping_serves_functions_of_different_arguments(self, workplace):
        text = "def loss(W): ...\ndef other(W, X): ...\ngradcheck_inputs = {'W': 1.0, 'X': 2.0}\n"
        assert self.plan(workplace, text).draw(0) == {"W": 1.0}

    def test_a_mapping_by_function(self, workplace):
        text = "def loss(W): ...\ngradcheck_inputs = {'loss': {'W': 1.0}, 'other': {'W': 2.0}}\n"
        assert self.plan(workplace, text).draw(0) == {"W": 1.0}

    def test_positional_inputs(self, workplace):
        text = "def loss(W, X): ...\ndef gradcheck_inputs(): return np.ones(2), 3.0\n"
        assert len(self.plan(workplace, text).draw(0)) == 2

    def test_the_command_line_wins(self, workplace):
        text = "def loss(W): ...\ngradcheck_inputs = {'W': 1.0}\n"
        assert self.plan(workplace, text, args=["W=5.0"]).draw(0) == {"W": 5.0}

    def test_a_factory_that_returns_nothing_is_said(self, workplace):
        with pytest.raises(UsageError, match=r"gave None: .*is a return missing"):
            self.plan(workplace, "def loss(W): ...\ndef gradcheck_inputs(): pass\n")

    def test_a_factory_that_wants_arguments_is_said(self, workplace):
        with pytest.raises(UsageError, match="callable without arguments"):
            self.plan(workplace, "def loss(W): ...\ndef gradcheck_inputs(n): return 1\n")


class TestAnnotations:
    def test_as_text(self):
        def loss(
            W: "Float[np.ndarray, 'D K']",
            X: "jaxtyping.Float32[np.ndarray, 'N D']",
            y: "Int[np.ndarray, 'N']",
            mask: "Bool[np.ndarray, 'N 1']",
            z: "Complex[np.ndarray, '2']",
            reg: float = 0.1,
        ): ...

        inputs = plan_inputs(loss).draw(0)
        d, k = inputs["W"].shape
        n = inputs["y"].shape[0]
        assert len({d, k, n}) == 3
        assert inputs["X"].shape == (n, d)
        assert inputs["X"].dtype == np.float32
        assert inputs["W"].dtype == np.float64
        assert set(inputs["y"]) <= {0, 1}
        assert inputs["y"].dtype == np.int64
        assert inputs["mask"].shape == (n, 1)
        assert inputs["mask"].dtype == bool
        assert inputs["z"].dtype == np.complex128
        assert "reg" not in inputs

    def test_as_jaxtypings_own_objects(self):
        jaxtyping = pytest.importorskip("jaxtyping")

        def loss(
            W: jaxtyping.Float[np.ndarray, "D K"],
            X: jaxtyping.Float32[np.ndarray, "*batch N D"],
            y: jaxtyping.Int[np.ndarray, "N"],
        ): ...

        inputs = plan_inputs(loss).draw(0)
        assert inputs["X"].shape[-1] == inputs["W"].shape[0]
        assert inputs["X"].shape[-2] == inputs["y"].shape[0]
        assert inputs["X"].dtype == np.float32

    @pytest.mark.parametrize(
        ("shape", "expected"),
        [
            ("", ()),
            ("3", (3,)),
            ("batch dim", (7, 5)),
            ("N+1", (8,)),
            ("#N D", (7, 5)),
            ("_ _", (7, 5)),
            ("... N", (7,)),
            ("rows=4 D", (4, 7)),
        ],
    )
    def test_shapes(self, shape, expected):
        def loss(x): ...

        loss.__annotations__ = {"x": f"Float[np.ndarray, {shape!r}]"}
        assert np.shape(plan_inputs(loss).draw(0)["x"]) == expected

    def test_tensors_are_torch_tensors_that_require_gradients(self):
        torch = pytest.importorskip("torch")

        def loss(w: "Float[torch.Tensor, '3']", y: "Int[torch.Tensor, '4']"): ...

        inputs = plan_inputs(loss).draw(0)
        assert inputs["w"].requires_grad
        assert inputs["y"].dtype == torch.int64

    def test_a_shape_that_is_not_understood_is_said(self):
        def loss(x: "Float[np.ndarray, 'N!']"): ...

        with pytest.raises(UsageError, match="the shape 'N!' is not understood"):
            plan_inputs(loss)

    def test_other_annotations_say_nothing(self):
        def loss(x: "dict[str, int]"): ...

        with pytest.raises(UsageError, match="x is missing"):
            plan_inputs(loss, name="mine:loss")


class TestLoad:
    def test_a_factory_and_a_constant(self, softmax):
        assert shapes(load_inputs("homework:make_inputs")) == {"W": (4, 3), "X": (7, 4), "y": (7,)}
        assert shapes(load_inputs("homework.py:inputs"))["W"] == (4, 3)

    def test_an_npz(self, workplace):
        np.savez("data.npz", W=np.ones((2, 3)), y=np.arange(2))
        inputs = load_inputs("data.npz")
        assert shapes(inputs) == {"W": (2, 3), "y": (2,)}

    def test_an_npz_is_never_unpickled(self, workplace):
        np.savez("data.npz", W=np.array([{"a": 1}], dtype=object))
        with pytest.raises(UsageError, match="cannot be read without unpickling"):
            load_inputs("data.npz")

    def test_a_file_that_is_no_npz(self, workplace):
        (workplace / "data.npz").write_text("no")
        with pytest.raises(UsageError, match="cannot be read without unpickling"):
            load_inputs("data.npz")

    def test_a_missing_npz_has_a_near_name(self, workplace):
        np.savez("data.npz", W=np.ones(2))
        with pytest.raises(UsageError, match=r"did you mean 'data\.npz'"):
            load_inputs("dta.npz")


class TestGiven:
    def test_an_unknown_input_is_refused_with_the_nearest(self):
        def loss(weights, X): ...

        with pytest.raises(UsageError, match=r"no argument 'weight' \(did you mean 'weights'\?\)"):
            plan_inputs(loss, given={"weight": 1.0, "X": 1.0}, name="mine:loss")

    def test_arguments_join_a_dict(self):
        def loss(W, reg): ...

        assert plan_inputs(loss, given={"W": 1.0}, args=["reg=2"]).draw(0) == {"W": 1.0, "reg": 2}

    def test_arguments_do_not_join_a_tuple(self):
        def loss(W, reg): ...

        with pytest.raises(UsageError, match="--inputs gave a tuple"):
            plan_inputs(loss, given=(1.0,), args=["reg=2"])

    def test_an_input_is_given_once(self):
        def loss(W): ...

        with pytest.raises(UsageError, match="W is given already"):
            plan_inputs(loss, args=["W=1", "W=2"])

    def test_a_dict_may_be_the_one_argument(self):
        def loss(params): ...

        given = {"W": np.ones(2), "b": np.ones(1)}
        assert plan_inputs(loss, given=given).draw(0) is given

    def test_positional_only_arguments_are_passed_in_order(self):
        def loss(x, y, /): ...

        assert plan_inputs(loss, args=["y=2", "x=1"]).draw(0) == (1, 2)

    def test_starred_arguments_are_passed_in_order(self):
        def loss(*xs): ...

        assert plan_inputs(loss, args=["b=2", "a=1"]).draw(0) == (2, 1)


def stub_in(message):
    """The lines to paste that a message ends with."""
    lines = message.splitlines()
    first = lines.index("    gradcheck_inputs = {")
    return "\n".join(line[4:] for line in lines[first:])


class TestMissing:
    def test_the_message_shows_signature_names_and_a_stub(self):
        def loss(W, X, y, reg=0.1): ...

        with pytest.raises(UsageError) as caught:
            plan_inputs(loss, args=["y=integers(3, size=7)"], name="homework:loss")
        text = str(caught.value)
        assert "homework:loss cannot be called yet: W, X are missing." in text
        assert "loss(W, X, y, reg=0.1)" in text
        assert "gradcheck_inputs = {" in text
        assert "python -m gradcheck homework:loss" in text
        assert max(map(len, text.splitlines())) <= 80

    @pytest.mark.parametrize(
        "signature",
        [
            "W, X, y",
            "W1, b1, W2, b2, X, y, reg",
            "w, X, y",
            "x",
            "theta, X, y, lam",
            "logits, labels",
        ],
    )
    def test_the_stub_when_pasted_gives_every_input(self, workplace, signature):
        source = f"def loss({signature}):\n    return 0.0\n"
        (workplace / "mine.py").write_text(source)
        resolved = resolve("mine:loss")
        with pytest.raises(UsageError) as caught:
            plan_inputs(resolved.value, module=resolved.module, name="mine:loss")
        stub = stub_in(str(caught.value))
        (workplace / "pasted.py").write_text(f"{source}\n{stub}\n")
        pasted = resolve("pasted:loss")
        inputs = plan_inputs(pasted.value, module=pasted.module).draw(0)
        assert sorted(inputs) == sorted(signature.split(", "))
