"""Draw the pictures of docs/verdict.md: ``python docs/make_figures.py`` writes docs/figures/*.svg.

Every curve is computed, from sums and products of few numbers, so that each machine draws the same
picture to the last character.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

FIGURES = Path(__file__).resolve().parent / "figures"
WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 36, 44
INK, FAINT, BLUE, RED, GREEN, AMBER = (
    "#1f2933",
    "#9aa5b1",
    "#1f6feb",
    "#c62828",
    "#2e7d32",
    "#b26a00",
)


@dataclass
class Picture:
    """An SVG in the making; ``x`` and ``y`` are the ranges of the data."""

    title: str
    x: tuple[float, float]
    y: tuple[float, float]
    parts: list[str] = field(default_factory=list)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a point of the data."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return (
            LEFT + across * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM),
        )

    def line(
        self,
        points: Sequence[tuple[float, float]],
        colour: str,
        *,
        width: float = 2,
        dash: str = "",
    ) -> None:
        """Draw a line through points of the data."""
        pixels = " ".join(f"{px:.1f},{py:.1f}" for px, py in (self.at(*point) for point in points))
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<polyline points="{pixels}" fill="none" stroke="{colour}" '
            f'stroke-width="{width}"{dashed}/>'
        )

    def dots(self, points: Iterable[tuple[float, float]], colour: str, radius: float = 2.2) -> None:
        """Draw points of the data."""
        for point in points:
            px, py = self.at(*point)
            self.parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{radius}" fill="{colour}"/>')

    def band(self, x: tuple[float, float], y: tuple[float, float], colour: str) -> None:
        """Fill a rectangle of the data lightly."""
        (x0, y1), (x1, y0) = self.at(x[0], y[0]), self.at(x[1], y[1])
        self.parts.append(
            f'<rect x="{x0:.1f}" y="{y0:.1f}" width="{x1 - x0:.1f}" height="{y1 - y0:.1f}" '
            f'fill="{colour}" fill-opacity="0.16"/>'
        )

    def say(
        self,
        x: float,
        y: float,
        text: str,
        colour: str = INK,
        *,
        anchor: str = "start",
        dy: float = 0,
    ) -> None:
        """Write text at a point of the data."""
        px, py = self.at(x, y)
        self.write(px, py + dy, text, colour, anchor=anchor)

    def write(
        self, px: float, py: float, text: str, colour: str = INK, *, anchor: str = "middle"
    ) -> None:
        """Write text at a pixel."""
        self.parts.append(
            f'<text x="{px:.1f}" y="{py:.1f}" fill="{colour}" text-anchor="{anchor}">{text}</text>'
        )

    def axes(self, across: str, up: str) -> None:
        """Draw the axes with their names."""
        x0, y0 = self.at(self.x[0], self.y[0])
        x1, y1 = self.at(self.x[1], self.y[1])
        self.parts.append(
            f'<path d="M{x0:.1f},{y1:.1f} V{y0:.1f} H{x1:.1f}" fill="none" stroke="{INK}"/>'
        )
        self.write((x0 + x1) / 2, HEIGHT - 8, across)
        self.write(x0, y1 - 10, up, anchor="start")

    def svg(self) -> str:
        """Return the picture."""
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
                f'width="{WIDTH}" height="{HEIGHT}" role="img" font-family="sans-serif" '
                'font-size="13">',
                f"<title>{self.title}</title>",
                f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#ffffff"/>',
                *self.parts,
                "</svg>\n",
            ]
        )


def loss(x: float) -> float:
    """A loss made of one multiplication after the other: the same bits everywhere."""
    return 3.0 + x * x * x * x * x


def central(function: Callable[[float], float], x: float, h: float) -> float:
    """The central difference, with the steps that were really made."""
    up, down = x + h, x - h
    return (function(up) - function(down)) / (up - down)


def _power(exponent: int) -> str:
    return f"1e{exponent}" if exponent else "1"


def steps() -> Picture:
    """The error of central differences over their step, plain and extrapolated."""
    x, exact = 1.3, 5 * Fraction(1.3) ** 4
    picture = Picture("The error of a central difference over its step", (-10, 0), (-15, 0))
    plain, better = [], []
    for k in range(161):
        log = -10 + k / 16
        h = 10.0**log
        first, second = central(loss, x, h), central(loss, x, h / 2)
        for values, value in ((plain, first), (better, second + (second - first) / 3)):
            error = abs(Fraction(value) - exact) / exact
            if error:
                values.append((log, max(-15.0, math.log10(error))))
    third = 60 * x * x / 6 / float(exact)
    noise = 2.0**-52 * loss(x) / float(exact)
    picture.line([(-7.2, math.log10(third) - 14.4), (0, math.log10(third))], FAINT, dash="5 4")
    picture.line(
        [(-10, math.log10(noise) + 10), (-1.4, math.log10(noise) + 1.4)], FAINT, dash="5 4"
    )
    picture.dots(plain, BLUE)
    picture.dots(better, GREEN)
    picture.say(-9.8, -4.2, "roundoff: the noise of the loss, over the step", INK)
    picture.say(-2.7, -2.3, "truncation: the step squared", INK, anchor="end")
    picture.say(-4.2, -7.2, "central difference", BLUE, anchor="end")
    picture.say(-1.35, -10.2, "extrapolated", GREEN)
    picture.say(-1.35, -10.2, "from two", GREEN, dy=16)
    for power in (-10, -8, -6, -4, -2, 0):
        picture.say(power, -15, _power(power), anchor="middle", dy=16)
    for power in (-15, -10, -5, 0):
        picture.say(-10.1, power, _power(power), anchor="end", dy=4)
    picture.axes("step", "relative error")
    return picture


def verdicts() -> Picture:
    """Two values with their uncertainties, and what follows from how they lie."""
    picture = Picture("What an entry's verdict is made of", (0, 10), (0, 4))
    rows = [
        (3.2, "pass", GREEN, 4.0, 4.12, 0.22, "they agree, and both are known well"),
        (2.0, "fail", RED, 3.0, 5.2, 0.22, "they differ by more than both uncertainties"),
        (0.8, "inconclusive", AMBER, 3.6, 4.6, 1.6, "they agree, but so would a wrong gradient"),
    ]
    for y, verdict, colour, analytic, reference, uncertainty, why in rows:
        picture.line([(1.9, y), (6.6, y)], FAINT, width=1)
        left, right = reference - uncertainty, reference + uncertainty
        picture.band((left, right), (y - 0.28, y + 0.28), colour)
        picture.line([(reference, y - 0.28), (reference, y + 0.28)], colour)
        picture.dots([(analytic, y)], INK, 4.5)
        picture.say(0.0, y, verdict, colour, dy=5)
        _two_lines(picture, y, why)
        picture.say(analytic, y + 0.36, "a", anchor="middle")
        picture.say(reference, y + 0.36, "r", colour, anchor="middle")
    picture.write(
        WIDTH / 2, HEIGHT - 12, "a: your entry; r: the oracle's, the shaded band its uncertainty u"
    )
    return picture


def _two_lines(picture: Picture, y: float, text: str) -> None:
    words = text.split()
    half = len(words) // 2
    picture.say(6.8, y, " ".join(words[:half]), dy=-3)
    picture.say(6.8, y, " ".join(words[half:]), dy=13)


def kink() -> Picture:
    """A loss with a kink at the point that is checked, and its two slopes."""
    picture = Picture(
        "A kink: every slope between the two sides is a subgradient", (-1, 1), (-0.6, 1.4)
    )
    curve = [(k / 50, 0.25 * (k / 50) ** 2 + max(0.0, k / 50)) for k in range(-50, 51)]
    slopes = [[(-0.5, -0.5 * s), (0.9, 0.9 * s)] for s in (0.0, 1.0)]
    left, right = (picture.at(*p) for p in ((0.9, 0.9), (0.9, 0.0)))
    middle = picture.at(0, 0)
    picture.parts.append(
        f'<path d="M{middle[0]:.1f},{middle[1]:.1f} L{left[0]:.1f},{left[1]:.1f} '
        f'L{right[0]:.1f},{right[1]:.1f} Z" fill="{GREEN}" fill-opacity="0.14"/>'
    )
    for ends in slopes:
        picture.line(ends, GREEN, width=1.5, dash="5 4")
    picture.line([(-0.55, 0.44), (0.55, -0.44)], RED, width=1.5, dash="5 4")
    picture.line(curve, BLUE, width=2.5)
    picture.dots([(0, 0)], INK, 4.5)
    picture.say(0.93, 0.9, "1", GREEN, dy=5)
    picture.say(0.93, 0.0, "0", GREEN, dy=5)
    picture.say(0.66, 0.22, "between: pass", GREEN, anchor="middle")
    picture.say(0.6, -0.46, "outside: fail", RED, dy=5)
    picture.say(-0.95, 0.66, "the loss: a ReLU at exactly 0", BLUE)
    picture.axes("parameter", "loss")
    return picture


def ladder() -> Picture:
    """Differences at shrinking steps beside a kink: which of them are believed."""
    picture = Picture(
        "A value from large steps is believed only if smaller steps agree", (-5.4, 0.2), (-0.8, 0.2)
    )
    near = 0.03

    def bent(x: float) -> float:
        return x * x + 0.5 * abs(x - near)

    noise = 2e-6
    points = []
    for k in range(9):
        h = 0.5 / 4.0**k
        points.append((math.log10(h), central(bent, 0.0, h), noise / h))
    believed = [point for point in points if 10.0 ** point[0] < near]
    picture.band((-5.4, math.log10(near)), (-0.8, 0.2), GREEN)
    for log, value, bar in points:
        colour = GREEN if 10.0**log < near else RED
        low, high = max(-0.8, value - bar), min(0.2, value + bar)
        picture.line([(log, low), (log, high)], colour, width=1.5)
        picture.dots([(log, value)], colour, 4)
    picture.line([(-5.4, -0.5), (0.2, -0.5)], FAINT, width=1, dash="5 4")
    picture.say(0.15, -0.5, "the derivative", anchor="end", dy=16)
    best = believed[0]
    picture.say(best[0], -0.62, "taken: the largest step that", anchor="end", dy=6)
    picture.say(best[0], -0.62, "agrees with all smaller ones", anchor="end", dy=22)
    picture.say(-0.2, 0.1, "past a kink", RED, anchor="end")
    picture.say(-5.3, 0.1, "within their noise of each other", GREEN)
    for power in (-5, -4, -3, -2, -1, 0):
        picture.say(power, -0.8, _power(power), anchor="middle", dy=16)
    picture.axes("step", "central difference")
    return picture


def figures() -> dict[str, str]:
    """Return every picture by its file name."""
    drawn = {"steps": steps(), "verdicts": verdicts(), "kink": kink(), "ladder": ladder()}
    return {f"{name}.svg": picture.svg() for name, picture in drawn.items()}


if __name__ == "__main__":
    FIGURES.mkdir(exist_ok=True)
    for name, text in figures().items():
        (FIGURES / name).write_text(text, encoding="utf-8")
