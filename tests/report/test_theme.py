"""The colours: every text token is readable on both grounds, in both themes."""

from __future__ import annotations

import re

import pytest

from toolkit.report.theme import DARK, DIVERGING, LIGHT, css_variables

TEXT = ("ink", "muted", "gain", "loss", "neutral", "call", "put", "paper", "warn", "unknown")


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("token", TEXT)
@pytest.mark.parametrize("ground", ["bg", "panel"])
def test_text_has_a_contrast_of_four_and_a_half(theme, token, ground):
    assert contrast(theme[token], theme[ground]) >= 4.5


def test_both_themes_have_the_same_tokens_and_light_values_are_distinct():
    assert LIGHT.keys() == DARK.keys()
    assert len(set(LIGHT.values())) == len(LIGHT), "a dark page swaps by value, so each must be unique"


def test_gain_is_blue_and_loss_is_orange():
    for theme in (LIGHT, DARK):
        r, g, b = (int(theme["gain"][i : i + 2], 16) for i in (1, 3, 5))
        assert b > g > r
        r, g, b = (int(theme["loss"][i : i + 2], 16) for i in (1, 3, 5))
        assert r > g > b


def test_the_diverging_ramp_is_lightest_in_its_middle_and_has_one():
    light = [luminance(c) for c in DIVERGING]
    middle = len(DIVERGING) // 2
    assert len(DIVERGING) % 2 == 1
    assert light[: middle + 1] == sorted(light[: middle + 1])
    assert light[middle:] == sorted(light[middle:], reverse=True)


def test_the_css_names_every_token_for_both_themes():
    css = css_variables()
    for name in LIGHT:
        assert len(re.findall(rf"--{name}:#[0-9a-f]{{6}};", css)) == 3
