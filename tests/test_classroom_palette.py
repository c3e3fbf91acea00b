"""Colours that can be told apart by everyone, and on a white page."""

from itertools import combinations

import numpy as np
import pytest

from mtlrec_utils.classroom import palette

# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
SIGHT = {
    "full": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
RGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
D65 = np.array([0.95047, 1.0, 1.08883])

FAMILIES = {
    "tasks": palette.TASK_COLOURS,
    "synthetic tasks": palette.SYNTHETIC_COLOURS,
    "domains": palette.DOMAIN_COLOURS,
    "models": palette.MODEL_COLOURS,
}
MARKERS = {
    "tasks": palette.TASK_MARKERS,
    "synthetic tasks": palette.SYNTHETIC_MARKERS,
    "domains": palette.DOMAIN_MARKERS,
    "models": palette.MODEL_MARKERS,
}

# A difference of 2.3 is just noticeable; small markers need far more.
LEAST_DIFFERENCE = 18
LEAST_CONTRAST = 3.0  # WCAG 2.2, 1.4.11: graphical objects


def linear(colour: str) -> np.ndarray:
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(
        srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4
    )


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = RGB_TO_XYZ @ np.clip(rgb, 0, 1) / D65
    f = np.where(
        xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116
    )
    return np.array(
        [116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])]
    )


def difference(one: str, other: str, sight: str) -> float:
    seen = [lab(SIGHT[sight] @ linear(colour)) for colour in (one, other)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def test_the_measure_itself_on_known_cases():
    assert lab(linear("#FFFFFF")) == pytest.approx([100, 0, 0], abs=0.02)
    # Red and green of equal lightness: far apart, but not for everyone.
    assert difference("#B04040", "#5E7A1E", "full") > 60
    assert difference("#B04040", "#5E7A1E", "deuteranopia") < 20


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("family", FAMILIES)
def test_colours_of_a_family_differ(family, sight):
    for (a, one), (b, other) in combinations(FAMILIES[family].items(), 2):
        assert difference(one, other, sight) >= LEAST_DIFFERENCE, (a, b)


@pytest.mark.parametrize("name", palette.COLOURS)
def test_contrast_with_a_white_page(name):
    luminance = np.array([0.2126, 0.7152, 0.0722]) @ linear(
        palette.colour(name)
    )
    assert 1.05 / (luminance + 0.05) >= LEAST_CONTRAST


@pytest.mark.parametrize("family", FAMILIES)
def test_each_has_a_marker_of_its_own(family):
    markers = MARKERS[family]
    assert markers.keys() == FAMILIES[family].keys()
    assert len(set(markers.values())) == len(markers)


def test_style_and_unknown_name():
    assert palette.style("watch_minutes") == {
        "color": palette.TASK_COLOURS["watch_minutes"],
        "marker": "P",
        "label": "watch minutes",
    }
    with pytest.raises(ValueError, match="'clik'.*click, like"):
        palette.colour("clik")
