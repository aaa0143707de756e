"""Mistakes that only show over all passes of a loop, or where one array is read several times."""

from pathlib import Path

import numpy as np
import pytest

import gradcheck

HERE = Path(__file__)
rng = np.random.default_rng(11)


def line_of(text):
    """The number of the line of this file that starts with ``text``."""
    lines = HERE.read_text().splitlines()
    return next(k for k, line in enumerate(lines, 1) if line.strip().startswith(text))


def first(target, inputs, **mistake):
    """The first diagnosis of a target with a mistake; without one it must pass."""
    assert gradcheck.check(lambda **given: target(**given), inputs).diagnoses == ()
    return gradcheck.check(lambda **given: target(**given, **mistake), inputs).diagnoses[0]


def lines_of(found):
    return {place.line for place in (found.location, *found.also)}


STEPS = {
    "Wx": rng.normal(size=(2, 3)),
    "Wh": rng.normal(size=(3, 3)) * 0.5,
    "x": rng.normal(size=(5, 4, 2)),
    "G": rng.normal(size=(5, 4, 3)),
}


def recurrent(Wx, Wh, x, G, *, read="before", slope="right", start=4, hands_back=True):
    h, states = np.zeros((4, 3)), []
    for t in range(5):
        h = np.tanh(x[t] @ Wx + h @ Wh)
        states.append(h)
    loss = sum(np.sum(g * h) for g, h in zip(G, states, strict=True))
    dWx, dWh, dh = np.zeros_like(Wx), np.zeros_like(Wh), 0.0
    for t in range(start, -1, -1):
        h = states[t]
        before = states[t - 1] if t else np.zeros((4, 3))
        dz = (G[t] + dh) * (1 - h**2 if slope == "right" else h * (1 - h))
        dWx += x[t].T @ dz
        dWh += (before if read == "before" else h).T @ dz
        dh = dz @ Wh.T if hands_back else 0.0
    return loss, {"Wx": dWx, "Wh": dWh}


@pytest.mark.parametrize(
    ("mistake", "cause"),
    [
        ({"read": "after"}, "stale_value"),
        ({"slope": "logistic"}, "activation_derivative_wrong"),
        ({"hands_back": False}, "path_detached"),
        ({"start": 3}, "last_step_missing"),
    ],
)
def test_every_pass_of_a_recurrence_makes_the_same_mistake(mistake, cause):
    found = first(recurrent, STEPS, **mistake)
    assert found.cause == cause
    if cause != "last_step_missing":
        assert line_of("h = np.tanh(x[t] @ Wx + h @ Wh)") in lines_of(found)


FILTER = {"w": rng.normal(size=(2, 3)), "b": rng.normal(size=2), "x": rng.normal(size=8)}


def filtered(w, b, x, *, add_w=True, add_b=True):
    out = np.zeros((2, 6))
    for f in range(2):
        for i in range(6):
            out[f, i] = np.sum(x[i : i + 3] * w[f]) + b[f]
    dw, db = np.zeros_like(w), np.zeros_like(b)
    for f in range(2):
        for i in range(6):
            dw[f] = 2 * out[f, i] * x[i : i + 3] + (dw[f] if add_w else 0.0)
            db[f] = 2 * out[f, i] + (db[f] if add_b else 0.0)
    return np.sum(out**2), {"w": dw, "b": db}


@pytest.mark.parametrize("mistake", [{"add_w": False}, {"add_b": False}])
def test_an_assignment_for_an_addition_keeps_the_last_window(mistake):
    found = first(filtered, FILTER, **mistake)
    assert found.cause == "term_missing"
    assert line_of("out[f, i] = np.sum(x[i : i + 3] * w[f]) + b[f]") in lines_of(found)


BAGS = {"E": rng.normal(size=(6, 3)), "w": rng.normal(size=3)}
TOKENS = [[0, 1, 1], [2, 3], [4, 0, 5, 5], [1]]


def bags(E, w, *, each=True):
    means = np.array([E[bag].mean(axis=0) for bag in TOKENS])
    score = means @ w
    dE = np.zeros_like(E)
    for bag, d in zip(TOKENS, 2 * score, strict=True):
        given = np.repeat((d * w / len(bag))[None], len(bag), axis=0)
        if each:
            np.add.at(dE, bag, given)
        else:
            dE[bag] += given
    return np.sum(score**2), {"E": dE, "w": means.T @ (2 * score)}


def test_duplicates_within_each_look_up_need_no_index_array_among_the_inputs():
    found = first(bags, BAGS, each=False)
    assert found.cause == "duplicate_indices"
    assert found.location.line == line_of("means = np.array([E[bag]")


NET = {
    "W": rng.normal(size=(4, 5)),
    "V": rng.normal(size=(5, 3)),
    "X": rng.normal(size=(9, 4)),
    "mask": (rng.random((9, 5)) < 0.7) / 0.7,
}


def dropped(W, V, X, mask, *, at="H"):
    H = np.tanh(X @ W)
    D = H * mask
    Y = D @ V
    dY = 2 * Y
    dH = dY @ V.T * mask
    return np.sum(Y**2), {"W": X.T @ (dH * (1 - (H if at == "H" else D) ** 2)), "V": D.T @ dY}


def test_a_derivative_taken_at_another_result():
    found = first(dropped, NET, at="D")
    assert found.cause == "stale_value"
    assert found.location.line == line_of("H = np.tanh(X @ W)")


SCORES = {name: rng.normal(size=(4, 4)) for name in ("Q", "K", "G")}


def scores(Q, K, G, *, turned=False):
    A = np.tanh(Q)
    B = np.exp(0.3 * K)
    S = A @ B.T
    dB = (G if turned else G.T) @ A
    return np.sum(S * G), {"Q": G @ B * (1 - A**2), "K": 0.3 * B * dB}


def test_a_gradient_transposed_for_one_factor_alone():
    inputs = {"Q": SCORES["Q"], "K": SCORES["K"], "G": SCORES["G"]}
    found = first(scores, inputs, turned=True)
    assert found.cause == "transpose"
    assert line_of("S = A @ B.T") in lines_of(found)


POOL = {"x": rng.normal(size=(4, 6))}


def pooled(x, *, masked=True):
    best = x.max(axis=1)
    chosen = x == best[:, None] if masked else np.ones_like(x)
    return np.sum(best**2), {"x": chosen * 2 * best[:, None]}


def test_a_maximum_that_hands_its_gradient_to_all_entries():
    found = first(pooled, POOL, masked=False)
    assert found.cause == "activation_mask_missing"
    assert found.location.line == line_of("best = x.max(axis=1)")


LOGISTIC = {"theta": rng.normal(size=5), "X": rng.normal(size=(11, 5)), "lam": 1.7}


def logistic(theta, X, lam, *, extra=0.0):
    z = X @ theta
    loss = np.logaddexp(0, z).sum() / 11 + lam / 22 * np.sum(theta[1:] ** 2)
    gradient = X.T @ (1 / (1 + np.exp(-z))) / 11
    gradient[1:] += lam / 11 * theta[1:]
    gradient[0] += extra * theta[0]
    return loss, {"theta": gradient}


def test_a_regularised_first_entry_is_told_by_its_coefficient():
    assert first(logistic, LOGISTIC, extra=1.7 / 11).cause == "reg_extra"


def test_an_entry_that_is_off_by_another_number_is_isolated():
    assert first(logistic, LOGISTIC, extra=0.1234567).cause == "isolated_entries"


def test_one_entry_alone_is_no_regulariser():
    def scaled(theta, y, *, factor=2.0):
        gradient = np.array([np.cos(theta[0]) * y.sum(), factor * theta[1]])
        return np.sin(theta[0]) * y.sum() + theta[1] ** 2, {"theta": gradient}

    inputs = {"theta": np.array([0.3, 0.7]), "y": np.arange(5.0)}
    assert first(scaled, inputs, factor=1.0).cause == "scale"


def test_wrong_nearly_everywhere_is_not_isolated():
    def linear(W, X, *, columns=0):
        gradient = X.T @ np.cos(X @ W)
        gradient[:, :columns] += np.arange(4)[:, None] ** 2 + X[:4, :columns]
        return np.sum(np.sin(X @ W)), {"W": gradient}

    inputs = {"W": rng.normal(size=(4, 4)), "X": rng.normal(size=(6, 4))}
    assert first(linear, inputs, columns=1).cause == "isolated_entries"
    assert first(linear, inputs, columns=3).cause == "unexplained"


AVERAGED = {
    "E": rng.normal(size=(6, 4)),
    "U": rng.normal(size=(4, 2)),
    "w": rng.normal(size=(5, 2)),
}


@pytest.mark.parametrize(("factor", "cause"), [(3, "batch_not_divided"), (2, "scale")])
def test_a_factor_is_an_array_size_where_the_loss_averages(factor, cause):
    bags_of_three = np.array([[0, 1, 2], [3, 4, 5], [0, 2, 4], [1, 3, 5], [5, 0, 1]])

    def loss(E, U, w, *, times=1):
        h = E[bags_of_three].mean(axis=1)
        s = np.tanh(h) @ U
        dh = times * (w @ U.T) * (1 - np.tanh(h) ** 2)
        dE = np.zeros_like(E)
        np.add.at(dE, bags_of_three, np.repeat(dh[:, None] / 3, 3, axis=1))
        return np.sum(w * s), {"E": dE, "U": np.tanh(h).T @ w}

    assert first(loss, AVERAGED, times=factor).cause == cause
