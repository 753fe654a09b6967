"""Colours of reports and pages: one table of tokens, each with its light and dark value.

Gain and buy are blue, loss and sell orange; a sign, an arrow or a word always says the
same. Charts are drawn with the light values; a page that is shown dark swaps them.
"""

from __future__ import annotations

from typing import Final

__all__ = ["DARK", "DIVERGING", "LIGHT", "css_variables"]

LIGHT: Final[dict[str, str]] = {
    "bg": "#fefefe",
    "panel": "#f5f7f9",
    "ink": "#1b1f24",
    "muted": "#56606b",
    "line": "#cfd6dd",
    "grid": "#e5e9ed",
    "gain": "#0b5fc0",
    "loss": "#b04500",
    "neutral": "#4f5b6b",
    "call": "#0a6e8a",
    "put": "#8a3f7d",
    "spot": "#1d2127",
    "paper": "#0d6b63",
    "warn": "#8a5a00",
    "unknown": "#6d33d9",
}

DARK: Final[dict[str, str]] = {
    "bg": "#0f1318",
    "panel": "#181e26",
    "ink": "#e7ebf0",
    "muted": "#9eaab6",
    "line": "#333c47",
    "grid": "#262e38",
    "gain": "#6fb3ff",
    "loss": "#ff9d52",
    "neutral": "#aab6c4",
    "call": "#55c4e2",
    "put": "#e39bd5",
    "spot": "#f4f7fb",
    "paper": "#38d3c2",
    "warn": "#f0b74a",
    "unknown": "#b99dff",
}

# Change of open interest: orange (closed) through white to blue (opened), centred on 0.
DIVERGING: Final = (
    "#7f3b08", "#a3520b", "#c66d13", "#e08a2e", "#f0a956", "#f8c686", "#fbdfb8", "#fbf0e0",
    "#f7f7f7",
    "#e3edf5", "#c6def0", "#9fc9e6", "#73afd8", "#4a93c7", "#2b76b3", "#155a99", "#08407a",
)  # fmt: skip


def css_variables() -> str:
    """The tokens as CSS custom properties: light, dark by preference, either by ``data-theme``."""
    light = "".join(f"--{name}:{value};" for name, value in LIGHT.items())
    dark = "".join(f"--{name}:{value};" for name, value in DARK.items())
    return (
        f":root{{color-scheme:light;{light}}}"
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}"
        f":root[data-theme=dark]{{color-scheme:dark;{dark}}}"
    )
