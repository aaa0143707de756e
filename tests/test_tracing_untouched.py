"""A trace leaves values, functions and threads as they were, and long loops affordable."""

import threading
import time

import numpy as np
import pytest
from test_tracing_trace import two_layers

from gradcheck.tracing import trace


@pytest.fixture
def weights():
    generator = np.random.default_rng(5)
    return {"W": generator.normal(size=(4, 6)), "V": generator.normal(size=(6, 3))}


class TestNothingIsTouched:
    def test_values_types_and_identities_are_those_of_a_plain_call(self):
        seen = []

        def loss(w):
            scalar = np.sum(w)
            seen.append((type(w), type(scalar), type(float(scalar)), w is given, w.base is None))
            return scalar

        given = np.ones(3)
        trace(loss, (given,), {}, {"w": given})
        plain = seen.pop()
        loss(given)
        assert plain == seen.pop()

    def test_globals_and_functions_stay_as_they_are(self, weights):
        before = dict(two_layers.__globals__)
        code = two_layers.__code__
        trace(two_layers, (), weights, weights)
        assert two_layers.__code__ is code
        assert all(before[name] is value for name, value in two_layers.__globals__.items())

    def test_an_exception_of_the_target_passes_through(self):
        def loss(w):
            w[0] = 7.0
            raise ZeroDivisionError("mine")

        w = np.ones(2)
        with pytest.raises(ZeroDivisionError, match="mine"):
            trace(loss, (w,), {}, {"w": w})
        assert w.tolist() == [1.0, 1.0]
        assert trace(lambda w: np.sum(w), (w,), {}, {"w": w}).backward()["w"].tolist() == [1, 1]

    def test_parameters_that_the_target_writes_to_are_put_back(self):
        def loss(w):
            w *= 2
            return np.sum(w**2)

        w = np.array([1.0, 2.0])
        traced = trace(loss, (w,), {}, {"w": w})
        assert w.tolist() == [1.0, 2.0]
        assert traced.backward()["w"].tolist() == [8.0, 16.0]

    def test_gradients_do_not_share_memory_with_anything(self, weights):
        traced = trace(two_layers, (), weights, weights)
        first = traced.backward()
        first["W"][...] = 0
        weights["V"][...] = 0
        assert np.any(traced.backward()["W"])

    def test_functions_made_under_a_trace_work_after_it(self):
        kept = []

        def loss(w):
            kept.append(lambda v: np.sum(v[::2] * 3) + v[0])
            return kept[-1](w)

        w = np.arange(4.0)
        assert trace(loss, (w,), {}, {"w": w}).backward()["w"].tolist() == [4, 0, 3, 0]
        assert kept[0](np.ones(4)) == 7.0

    def test_threads_do_not_see_each_other(self):
        pytest.importorskip("torch")

        def loss(w, barrier):
            barrier.wait(10)
            total = 0.0
            for x in w:
                total = total + x * w.sum()
            barrier.wait(10)
            return total

        barrier = threading.Barrier(3)
        results = {}

        def run(name, size):
            w = np.arange(1.0, size + 1)
            results[name] = trace(loss, (w, barrier), {}, {"w": w}).backward()["w"]

        threads = [threading.Thread(target=run, args=(k, k + 2)) for k in range(2)]
        for thread in threads:
            thread.start()
        plain = loss(np.ones(4), barrier)
        for thread in threads:
            thread.join()
        assert plain == 16.0
        assert results[0].tolist() == [6.0, 6.0]
        assert results[1].tolist() == [12.0, 12.0, 12.0]


def test_long_loops_stay_affordable():
    def loss(w):
        total = 0.0
        for i in range(1500):
            total += w[i % 5] * np.sin(w[i % 3])
        return total

    w = np.linspace(0.1, 0.5, 5)
    start = time.process_time()
    traced = trace(loss, (w,), {}, {"w": w})
    traced.backward()
    assert len(traced.operations) > 4000
    assert time.process_time() - start < 8


def test_filling_an_array_element_by_element_costs_no_copy_for_each():
    def loss(w):
        out = np.zeros((60, 60))
        for i in range(60):
            for j in range(60):
                out[i, j] = w[i] * w[j]
        return np.sum(out**2)

    w = np.linspace(-1, 1, 60)
    start = time.process_time()
    gradient = trace(loss, (w,), {}, {"w": w}).backward()["w"]
    assert time.process_time() - start < 8
    np.testing.assert_allclose(gradient, 4 * w * np.sum(w**2), rtol=1e-10, atol=1e-12)
