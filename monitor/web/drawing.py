"""A small SVG pen: shapes by class, never by colour or style, so that one drawing serves light, dark and paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup, escape

OCTAGON: Final = "M5.6 1h6.8L17 5.6v6.8L12.4 17H5.6L1 12.4V5.6z"
"""The emergency's shape in a box of 18 × 18."""


class Drawing:
    """One chart being drawn; `finish` gives the `<svg>` with its title and description for screen readers."""

    def __init__(self, width: int, height: int, ident: str) -> None:
        self.width = width
        self.height = height
        self._ident = ident
        self._parts: list[Markup] = []

    def rect(self, css: str, x: float, y: float, width: float, height: float) -> None:
        """A rectangle."""
        self._add('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>', css, x, y, width, height)

    def line(self, css: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """A straight line."""
        self._add('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>', css, *start, *end)

    def text(self, x: float, y: float, words: str, *, css: str = "", anchor: str = "start") -> None:
        """Words at a point; `anchor` is start, middle or end."""
        self._add('<text x="{}" y="{}" text-anchor="{}" class="{}">{}</text>', x, y, anchor, css, words)

    def path(self, css: str, shape: str, at: tuple[float, float] | None = None, scale: float = 1) -> None:
        """A path, moved to `at`."""
        if at is None:
            self._add('<path class="{}" d="{}"/>', css, shape)
        else:
            self._add('<path class="{}" transform="translate({} {}) scale({})" d="{}"/>', css, *at, scale, shape)

    def circle(self, css: str, x: float, y: float, r: float) -> None:
        """A circle."""
        self._add('<circle class="{}" cx="{}" cy="{}" r="{}"/>', css, x, y, r)

    def polyline(self, css: str, points: Sequence[tuple[float, float]]) -> None:
        """A line through points."""
        self._add('<polyline class="{}" points="{}"/>', css, " ".join(f"{x},{y}" for x, y in points))

    def octagon(self, x: float, y: float) -> None:
        """The emergency mark with its exclamation, centred at x, y."""
        self.path("oct", OCTAGON, (round(x - 8, 1), round(y - 8, 1)), 0.89)
        self.text(x, round(y + 4, 1), "!", css="tx-on", anchor="middle")

    def cross(self, x: float, y: float) -> None:
        """A reading that was not judged."""
        self.path("ex", f"M{round(x - 4, 1)} {round(y - 4, 1)}l8 8m0-8l-8 8")

    def plus(self, x: float, y: float) -> None:
        """A reading that belongs to no class."""
        self.path("ex", f"M{round(x - 4.5, 1)} {y}h9M{x} {round(y - 4.5, 1)}v9")

    def diamond(self, x: float, y: float) -> None:
        """A visit."""
        self.path("vis", f"M{x} {round(y - 6, 1)}l6 6-6 6-6-6z")

    def triangle(self, css: str, x: float, y: float, *, down: bool = False) -> None:
        """A point of special meaning, on its tip or on its base."""
        shape = "l5.6-10.2h-11.2z" if down else "l5.6 10.2h-11.2z"
        self.path(css, f"M{x} {round(y + (5.6 if down else -5.6), 1)}{shape}")

    def finish(self, title: str, description: str, css: str = "") -> Markup:
        """The whole drawing."""
        return Markup(
            '<svg class="chart {css}" viewBox="0 0 {w} {h}" role="img" aria-labelledby="{id}-t {id}-d">'
            '<title id="{id}-t">{title}</title><desc id="{id}-d">{desc}</desc>{body}</svg>'
        ).format(
            css=css,
            w=self.width,
            h=self.height,
            id=self._ident,
            title=title,
            desc=description,
            body=Markup("").join(self._parts),
        )

    def _add(self, shape: str, *values: object) -> None:
        # shapes are literals of this file, and every value is escaped
        self._parts.append(Markup(shape).format(*map(escape, values)))  # noqa: S704
