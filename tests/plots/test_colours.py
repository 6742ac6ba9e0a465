"""Colours that can be told from their background, and from each other by colour-blind readers."""

import itertools
import re

import pytest

from circuit_sparsity.plots.activations import activation_strip
from circuit_sparsity.plots.colours import DARK, LIGHT, PALETTES, contrast, shade

TEXT = 4.5  # WCAG 2.2 for text
MARKS = 3.0  # and for graphics

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
COLOUR_BLIND = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
                   (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
                     (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
                   (0.004733, 0.691367, 0.303900)),
}  # fmt: skip


def linear(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]


def seen(colour, matrix):
    rgb = linear(colour)
    return [sum(m * c for m, c in zip(row, rgb, strict=True)) for row in matrix]


@pytest.mark.parametrize("colours", PALETTES.values(), ids=PALETTES)
def test_text_is_readable_on_the_page_and_on_bands(colours):
    for ground in (colours.background, colours.band):
        assert contrast(colours.text, ground) >= TEXT
        assert contrast(colours.faint, ground) >= TEXT


@pytest.mark.parametrize("colours", PALETTES.values(), ids=PALETTES)
def test_marks_stand_out_from_the_bands(colours):
    for mark in (colours.node, colours.ablated, colours.negative, colours.positive,
                 colours.attention, colours.path, colours.text):  # fmt: skip
        assert contrast(mark, colours.band) >= MARKS, mark


@pytest.mark.parametrize("kind", COLOUR_BLIND)
@pytest.mark.parametrize("colours", PALETTES.values(), ids=PALETTES)
def test_signs_and_ablated_nodes_differ_for_colour_blind_readers(colours, kind):
    shown = {
        name: seen(getattr(colours, name), COLOUR_BLIND[kind])
        for name in ("negative", "positive", "node", "ablated")
    }
    for one, other in (("negative", "positive"), ("node", "ablated")):
        distance = sum((a - b) ** 2 for a, b in zip(shown[one], shown[other], strict=True)) ** 0.5
        assert distance > 0.1, (one, other, distance)


def test_scales_are_five_different_steps_with_zero_in_the_middle():
    for colours in (LIGHT, DARK):
        assert len(set(colours.scale)) == 5
        middle = contrast(colours.scale[2], colours.background)
        for step in colours.scale[:2] + colours.scale[3:]:
            assert contrast(step, colours.background) > middle


def test_contrast_is_symmetric_and_one_for_equal_colours():
    for one, other in itertools.combinations(LIGHT.scale, 2):
        assert contrast(one, other) == contrast(other, one)
    assert contrast("#123456", "#123456") == 1


@pytest.mark.parametrize("colours", PALETTES.values(), ids=PALETTES)
def test_a_node_of_any_shade_has_an_outline_that_stands_out(colours):
    for ground in (colours.background, colours.band):
        assert contrast(colours.faint, ground) >= MARKS


@pytest.mark.parametrize("colours", PALETTES.values(), ids=PALETTES)
def test_text_on_every_shade_of_the_scale_is_readable(colours):
    values = [step / 50 - 1 for step in range(101)]
    boxes = activation_strip([b"x"] * 101, values, colours, 1.0)
    pairs = re.findall(r"background:(#[0-9a-f]{6});color:(#[0-9a-f]{6})", boxes)
    assert len(pairs) == 101
    assert min(contrast(*pair) for pair in pairs) >= TEXT


def lab(colour, matrix):
    """CIELAB (D65) of a colour as a colour-blind reader sees it."""
    red, green, blue = (min(1.0, max(0.0, part)) for part in seen(colour, matrix))
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    fx, fy, fz = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@pytest.mark.parametrize("kind", COLOUR_BLIND)
@pytest.mark.parametrize("colours", PALETTES.values(), ids=PALETTES)
def test_both_halves_of_a_scale_stay_apart_for_colour_blind_readers(colours, kind):
    for share in (0.25, 0.5, 0.75, 1.0):
        low, high = (shade(colours, sign * share, 1.0) for sign in (-1, 1))
        ends = [lab(colour, COLOUR_BLIND[kind]) for colour in (low, high)]
        apart = sum((a - b) ** 2 for a, b in zip(*ends, strict=True)) ** 0.5
        assert apart >= 10 * (1 + share), (share, apart)  # 2.3 is just noticeable


@pytest.mark.parametrize("colours", PALETTES.values(), ids=PALETTES)
def test_a_scale_moves_away_from_its_background_on_both_sides_of_zero(colours):
    for sign in (-1, 1):
        steps = [
            contrast(shade(colours, sign * i / 20, 1.0), colours.background) for i in range(21)
        ]
        assert steps == sorted(steps)
