"""What cannot be traced is named with its line; which numbers may be parameters."""

from pathlib import Path

import numpy as np
import pytest

from gradcheck.errors import UsageError
from gradcheck.tracing import NotTraceable, trace


def unknown_operation(w):
    values, _ = np.linalg.eig(np.outer(w, w[::-1]))
    return np.sum(np.abs(values) ** 2)


def through_an_object(w):
    total = 0.0
    for x in np.nditer(w):
        total = total + x * x
    return total


class TestLost:
    @pytest.mark.parametrize(
        ("function", "operation", "line"),
        [(unknown_operation, "eig", 1), (through_an_object, "nditer", 2)],
    )
    def test_what_cannot_be_traced_is_named_with_its_line(self, function, operation, line):
        w = np.arange(1.0, 5.0)
        with pytest.raises(NotTraceable) as caught:
            trace(function, (w,), {}, {"w": w})
        assert operation in caught.value.operation
        assert caught.value.site.line == function.__code__.co_firstlineno + line
        assert f"{Path(__file__).name}:{caught.value.site.line}" in str(caught.value)

    def test_a_function_without_source(self):
        space = {}
        exec("def loss(w): return (w * w).sum()", space)
        w = np.ones(2)
        with pytest.raises(NotTraceable, match="source cannot be found"):
            trace(space["loss"], (w,), {}, {"w": w})

    def test_unknown_code_that_writes_into_an_array(self):
        def loss(w):
            v = w.copy()
            np.random.default_rng(0).shuffle(v)
            return np.sum(v * np.arange(4))

        w = np.arange(1.0, 5.0)
        with pytest.raises(NotTraceable, match="shuffle"):
            trace(loss, (w,), {}, {"w": w})

    def test_unknown_code_that_writes_into_another_array(self):
        from scipy.interpolate import CubicSpline

        def loss(w):
            return CubicSpline(np.arange(4.0), w)(1.3)

        w = np.arange(1.0, 5.0) ** 2
        with pytest.raises(NotTraceable, match="ppoly"):
            trace(loss, (w,), {}, {"w": w})

    @pytest.mark.parametrize("dtype", [[("a", float), ("b", int)], object])
    def test_arrays_that_hold_no_plain_floats(self, dtype):
        def loss(w):
            box = np.zeros(3, dtype=dtype)
            if box.dtype.names:
                box["a"] = w
                return np.sum(box["a"])
            box[:] = w
            return np.real(np.sum(box * 2))

        w = np.ones(3)
        with pytest.raises(NotTraceable, match=r"dtype|complex"):
            trace(loss, (w,), {}, {"w": w})

    def test_what_the_loss_does_not_depend_on_may_be_anything(self):
        def loss(w):
            report = {"spectrum": np.fft.rfft(w), "order": np.argsort(w), "text": f"{w}"}
            assert len(report) == 3
            return np.sum(w**2)

        w = np.arange(1.0, 4.0)
        assert trace(loss, (w,), {}, {"w": w}).backward()["w"].tolist() == [2, 4, 6]

    def test_a_loss_that_is_no_number(self):
        w = np.ones(3)
        with pytest.raises(NotTraceable, match="shape"):
            trace(lambda w: w * 2, (w,), {}, {"w": w})

    def test_parameters_must_be_floats(self):
        w = np.arange(3)
        with pytest.raises(UsageError, match="int64"):
            trace(lambda w: w.sum(), (w,), {}, {"w": w})


class TestNumbers:
    def test_python_numbers_are_parameters_by_path(self):
        def loss(w, params):
            return np.sum(w) * params["c"] + params["d"][1] ** 2

        w = np.ones(2)
        inputs = (w, {"c": 0, "d": [1.0, 3.0]})
        traced = trace(
            loss, inputs, {}, {"w": w}, scalars={"c": "params['c']", "d": "params['d'][1]"}
        )
        gradient = traced.backward()
        assert gradient["c"] == 2.0
        assert gradient["d"] == 6.0
        assert inputs[1] == {"c": 0, "d": [1.0, 3.0]}

    def test_a_path_to_no_number(self):
        with pytest.raises(UsageError, match="no number at"):
            trace(lambda w: w, (1.0,), {}, {}, scalars={"c": "w['c']"})

    def test_float32_is_kept(self):
        w = np.array([0.1, 0.2], dtype=np.float32)

        def loss(w):
            assert (w * 2).dtype == np.float32
            return np.sum(np.exp(w * 2))

        traced = trace(loss, (w,), {}, {"w": w})
        assert traced.loss == float(loss(w))
        np.testing.assert_allclose(traced.backward()["w"], 2 * np.exp(2 * w), rtol=1e-6)
