"""Values taken apart into targets: nested, with a star, too few and too many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradcheck.tracing import trace

V = np.array([0.7, -1.4, 0.25, 1.8])


def gradient(loss: Any) -> list[float]:
    v = V.copy()
    found: list[float] = trace(loss, (v,), {}, {"v": v}).backward()["v"].tolist()
    return found


def nothing_left(v: Any) -> Any:
    (a, b), *rest = [v[:2]]
    assert rest == []
    return 2 * a + 3 * b


def one_left(v: Any) -> Any:
    (a, b), *rest = [v[:2], v[2]]
    (c,) = rest
    return 2 * a + 3 * b + 5 * c


def star_first(v: Any) -> Any:
    *rest, (a, b) = [v[3], v[2], v[:2]]
    return 2 * a + 3 * b + 5 * rest[1] + 7 * rest[0]


def star_between(v: Any) -> Any:
    (a, b), *_, (c, d) = [v[:2], 1.0, 2.0, v[2:]]
    return 2 * a + 3 * b + 5 * c + 7 * d


def star_within(v: Any) -> Any:
    (a, *b), c = v[:3], v[3]
    return 2 * a + 3 * b[0] + 5 * b[1] + 7 * c


def in_a_loop(v: Any) -> Any:
    total = 0.0
    for (a, b), *factors in [(v[:2], 2.0), (v[2:], 5.0, 7.0)]:
        total = total + a * factors[0] + b * factors[-1]
    return total


def in_a_comprehension(v: Any) -> Any:
    return sum(a * k + b for k, (a, b) in enumerate([v[:2], v[2:]]))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (nothing_left, [2, 3, 0, 0]),
        (one_left, [2, 3, 5, 0]),
        (star_first, [2, 3, 5, 7]),
        (star_between, [2, 3, 5, 7]),
        (star_within, [2, 3, 5, 7]),
        (in_a_loop, [2, 2, 5, 7]),
        (in_a_comprehension, [0, 1, 1, 1]),
    ],
)
def test_each_target_gets_its_own(loss: Any, expected: list[float]) -> None:
    assert gradient(loss) == expected


def too_few(v: Any) -> Any:
    a, (b, c), *_ = [v]
    return a + b + c


def too_many(v: Any) -> Any:
    a, b = v
    return a + b


def without_star(v: Any) -> Any:
    (a, b), c = v[:2], v[2], v[3]
    return a + b + c


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (too_few, "not enough values to unpack"),
        (too_many, "too many values to unpack"),
        (without_star, "too many values to unpack"),
    ],
)
def test_python_says_what_does_not_fit(loss: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        gradient(loss)


def as_lists(v: Any) -> Any:
    alone: Any = np.array(v[0])
    return alone.tolist() * 2 + v[1].tolist() * 3 + sum(v.reshape(2, 2).tolist()[1])


def test_lists_hold_what_the_array_did() -> None:
    assert gradient(as_lists) == [2, 3, 1, 1]
