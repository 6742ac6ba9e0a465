"""Every colour in one place, for light and dark backgrounds, safe for colour-blind readers.

Blue is negative and orange positive everywhere; sign never rests on colour alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Palette:
    """The colours of one theme, as ``#rrggbb``."""

    scale: tuple[str, str, str, str, str]  # most negative, negative, zero, positive, most positive
    background: str
    text: str
    faint: str  # second-rank text
    band: str  # behind every other block
    node: str
    ablated: str  # a node that is switched off
    residual: str  # links without a weight
    attention: str
    path: str  # a path that is pointed out

    @property
    def negative(self) -> str:
        return self.scale[0]

    @property
    def positive(self) -> str:
        return self.scale[-1]


LIGHT = Palette(
    scale=("#0b559f", "#6baed6", "#f7f7f7", "#fdae6b", "#b35900"),
    background="#ffffff",
    text="#1f2430",
    faint="#5b6270",
    band="#f3f5f8",
    node="#3d4657",
    ablated="#c2187f",
    residual="#9aa3b2",
    attention="#4f8a5b",
    path="#8a6d00",
)
DARK = Palette(
    scale=("#8ecbff", "#3a7fc1", "#2a2c33", "#c9772b", "#ffc38a"),
    background="#0e1117",
    text="#eceff4",
    faint="#a3abba",
    band="#171b24",
    node="#cdd4e0",
    ablated="#ff6ec7",
    residual="#5f6877",
    attention="#7fc08d",
    path="#f2d544",
)
PALETTES: Mapping[str, Palette] = MappingProxyType({"light": LIGHT, "dark": DARK})


def palette(theme: str | None) -> Palette:
    """The palette of a theme's name; light when nobody knows the theme.

    >>> palette("dark") is DARK, palette(None) is LIGHT
    (True, True)
    """
    return PALETTES.get(theme or "light", LIGHT)


def shade(palette: Palette, value: float, largest: float) -> str:
    """The colour of ``value`` on a scale that is zero in the middle and ``largest`` at both ends.

    >>> shade(LIGHT, 0.0, 1.0), shade(LIGHT, -2.0, 1.0), shade(LIGHT, 0.25, 1.0)
    ('#f7f7f7', '#0b559f', '#fad2b1')
    """
    share = max(-1.0, min(1.0, value / largest)) if largest > 0 else 0.0
    place = (share + 1) * 2  # from 0 to 4, the stops of the scale
    first = min(int(place), 3)
    low, high = (palette.scale[stop] for stop in (first, first + 1))
    parts = (
        round(
            int(low[i : i + 2], 16) * (first + 1 - place)
            + int(high[i : i + 2], 16) * (place - first)
        )
        for i in (1, 3, 5)
    )
    return "#" + "".join(f"{part:02x}" for part in parts)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours after WCAG 2.2: 1 (none) to 21 (black on white).

    >>> round(contrast("#000000", "#ffffff"), 2)
    21.0
    """
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
