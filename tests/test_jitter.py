"""Moving off a degenerate point: by how much, what moves, and that it is put back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from quartic import causes, keys

from gradcheck.pipeline import check
from gradcheck.report import Verdict


def wrong_at_zero(x):
    """A dead ReLU hides the missing factor of 2 at zero and below."""
    return np.sum(np.maximum(x, 0.0) ** 2), np.maximum(x, 0.0)


class TestJitter:
    def test_a_point_where_nothing_shows_is_left(self):
        assert check(wrong_at_zero, np.zeros(6)).verdict is Verdict.PASS
        moved = check(wrong_at_zero, np.zeros(6), jitter=0.01)
        assert moved.verdict is Verdict.FAIL
        assert "moved_point" in keys(moved)

    def test_the_vacuous_point_offers_it(self):
        still = check(wrong_at_zero, np.zeros(6))
        assert "vacuous_point" in keys(still)
        assert "--jitter 0.01" in next(
            one.message for one in still.warnings if one.key == "vacuous_point"
        )

    def test_the_way_is_the_jitter_times_the_scale_and_drawn_from_the_seed(self):
        seen = []

        def loss(x):
            seen.append(x.copy())
            return np.sum(x**2), 2 * x

        start = np.array([3.0, -4.0, 0.0])
        first = check(loss, start, jitter=1e-2, autograd=False)
        scale = np.maximum(np.abs(start), np.sqrt((9 + 16) / 2))
        near = next(one for one in seen if (one != start).all())
        moves = np.abs(near - start) / scale
        assert (moves >= 0.5e-2 * (1 - 1e-9)).all()
        assert (moves <= 1e-2 * (1 + 1e-9)).all()
        assert check(loss, start, jitter=1e-2, autograd=False).loss == first.loss
        assert check(loss, start, jitter=1e-2, autograd=False, seed=1).loss != first.loss

    def test_it_leaves_a_point_at_which_the_loss_is_not_finite(self):
        def loss(x):
            return np.sum(x * np.log(x * x)), np.log(x * x) + 2

        assert causes(check(loss, np.zeros(3))) == ["non_finite_loss"]
        assert check(loss, np.zeros(3), jitter=0.1).verdict is Verdict.PASS

    def test_parameters_read_from_elsewhere_are_moved_and_put_back(self):
        params = {"w": np.zeros(3)}
        seen = []

        def loss():
            seen.append(params["w"].copy())
            return np.sum(params["w"] ** 2), {"w": 2 * params["w"]}

        result = check(loss, None, params=params, jitter=0.1)
        assert result.verdict is Verdict.PASS
        assert result.loss > 1e-3
        assert (params["w"] == 0).all()

    def test_numbers_trees_and_low_precision_move_as_what_they_are(self):
        def loss(p, c):
            return float(np.sum(p["a"]) * c), {
                "p": {"a": np.full(2, np.float32(c))},
                "c": p["a"].sum(),
            }

        inputs = {"p": {"a": np.zeros(2, dtype=np.float32)}, "c": 0.5}
        result = check(loss, inputs, ["p", "c"], jitter=0.1)
        assert result.verdict is Verdict.PASS
        assert result.loss != 0.0
        assert inputs["p"]["a"].dtype == np.float32
        assert not inputs["p"]["a"].any()

    def test_torch_parameters_are_moved_and_put_back(self):
        module = torch.nn.Linear(3, 1, bias=False, dtype=torch.float64)
        torch.nn.init.zeros_(module.weight)
        x = torch.ones(2, 3, dtype=torch.float64)
        assert check(module, (x,)).loss == 0.0
        result = check(module, (x,), jitter=0.1)
        assert result.verdict is Verdict.PASS
        assert result.loss != 0.0
        assert not module.weight.any()

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.complex128])
    def test_torch_tensors_of_every_kind_are_moved(self, dtype):
        x = torch.zeros(3, dtype=dtype, requires_grad=True)
        result = check(lambda x: (x * x.conj()).real.sum(), x, jitter=0.5)
        assert result.verdict is Verdict.PASS
        assert result.loss > 0
        assert not x.any()
