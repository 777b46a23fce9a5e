"""Small plots as inline SVG. Colour alone carries no meaning: lines differ by dashes, points by shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mlops_cli.report.formatting import escape

Points = Sequence[tuple[float, float]]


@dataclass
class Plot:
    """A plot. Its parts are drawn in the order of their addition, in units of the data.

    ``x`` and ``y``: the ranges of the axes. Sizes are CSS pixels at the plot's natural width; the plot shrinks and
    grows with its space.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    about: str
    width: float = 220
    height: float = 200
    left: float = 34
    right: float = 10
    top: float = 10
    bottom: float = 34
    parts: list[str] = field(default_factory=list)

    def at_x(self, value: float) -> float:
        return _placed(value, self.x, self.left, self.width - self.right)

    def at_y(self, value: float) -> float:
        return _placed(value, self.y, self.height - self.bottom, self.top)

    def x_axis(self, ticks: Sequence[tuple[float, str]], name: str = "") -> None:
        for value, label in ticks:
            self.line([(value, self.y[0]), (value, self.y[1])], "grid")
            self.text(self.at_x(value), self.height - self.bottom + 14, label, "tick middle")
        if name:
            self.text((self.left + self.width - self.right) / 2, self.height - 4, name, "axis middle")

    def y_axis(self, ticks: Sequence[tuple[float, str]]) -> None:
        for value, label in ticks:
            self.line([(self.x[0], value), (self.x[1], value)], "grid")
            self.text(self.left - 5, self.at_y(value) + 4, label, "tick end")

    def line(self, points: Points, kind: str) -> None:
        coordinates = " ".join(f"{_px(self.at_x(x))},{_px(self.at_y(y))}" for x, y in points)
        self._draw(f'<polyline class="{kind}" points="{coordinates}"/>')

    def bar(self, low: float, high: float, start: float, end: float, kind: str, about: str = "") -> None:
        """Draw a vertical bar from ``start`` to ``end``, between ``low`` and ``high`` on the other axis."""
        x, y = self.at_x(low), self.at_y(max(start, end))
        size = f'width="{_px(self.at_x(high) - x)}" height="{_px(abs(self.at_y(start) - self.at_y(end)))}"'
        self._draw(f'<rect class="{kind}" x="{_px(x)}" y="{_px(y)}" {size}>{_tooltip(about)}</rect>')

    def whisker(self, low: float, high: float, y: float, reach: float) -> None:
        """Draw a bar from ``low`` to ``high`` with an end on both sides, ``reach`` high in both directions."""
        self.line([(low, y), (high, y)], "span")
        for end in (low, high):
            self.line([(end, y - reach), (end, y + reach)], "span")

    def dot(self, x: float, y: float, kind: str, radius: float = 4, about: str = "") -> None:
        where = f'cx="{_px(self.at_x(x))}" cy="{_px(self.at_y(y))}" r="{_px(radius)}"'
        self._draw(f'<circle class="{kind}" {where}>{_tooltip(about)}</circle>')

    def diamond(self, x: float, y: float, kind: str, size: float = 5, about: str = "") -> None:
        cx, cy = self.at_x(x), self.at_y(y)
        corners = ((cx, cy - size), (cx + size, cy), (cx, cy + size), (cx - size, cy))
        points = " ".join(f"{_px(px)},{_px(py)}" for px, py in corners)
        self._draw(f'<polygon class="{kind}" points="{points}">{_tooltip(about)}</polygon>')

    def text(self, x: float, y: float, words: str, kind: str = "") -> None:
        """Draw text at a position in pixels, not at values of the data."""
        self._draw(f'<text class="{kind}" x="{_px(x)}" y="{_px(y)}">{escape(words)}</text>')

    def note(self, x: float, y: float, words: str, kind: str = "") -> None:
        """Draw text at values of the data."""
        self.text(self.at_x(x), self.at_y(y), words, kind)

    def _draw(self, part: str) -> None:
        self.parts.append(part)

    def __str__(self) -> str:
        box = f"0 0 {_px(self.width)} {_px(self.height)}"
        return f'<svg viewBox="{box}" role="img" aria-label="{escape(self.about)}">{"".join(self.parts)}</svg>'


def tick(value: float) -> str:
    return f"{value:,.6g}".replace("-", "−")


def _placed(value: float, values: tuple[float, float], start: float, end: float) -> float:
    low, high = values
    inside = min(max(value, low), high)
    return start + (inside - low) / ((high - low) or 1) * (end - start)


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _tooltip(about: str) -> str:
    return f"<title>{escape(about)}</title>" if about else ""


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers between two values, at most ``most``."""
    from math import ceil, floor, log10

    span = high - low
    if span <= 0:
        return [low]
    rough = span / most
    unit = 10.0 ** floor(log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    return [round(index * step, 10) for index in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]
