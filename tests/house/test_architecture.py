"""ARCHITECTURE.md is kept true: its rooms are the folders, its paths exist."""

from __future__ import annotations

import re
from pathlib import Path

from toolkit import errors

PACKAGE = Path(__file__).resolve().parents[2] / "toolkit"
TEXT = (PACKAGE / "ARCHITECTURE.md").read_text(encoding="utf-8")


def rooms_named() -> set[str]:
    rows = re.findall(r"^\| (`[^|]+) \|", TEXT, flags=re.M)
    return {name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_room_is_in_the_table_and_every_row_is_a_room() -> None:
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    files = {p.name for p in PACKAGE.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert rooms_named() == folders | files


def test_every_path_named_in_backquotes_exists() -> None:
    root = PACKAGE.parent
    for name in set(re.findall(r"`([a-z_/]+\.(?:py|md|csv))`", TEXT)):
        assert (PACKAGE / name).exists() or (root / name).exists(), name


def test_the_error_tree_drawn_is_the_error_tree() -> None:
    drawn = errors.__doc__ or ""
    for name in errors.__all__:
        if isinstance(getattr(errors, name), type):
            assert re.search(rf"\b{name}\b", drawn), f"{name} is not drawn"
    parents = {"BadSetting": "BadData", "UnknownSymbol": "BadData", "AuthExpired": "Refused"}
    for child, parent in parents.items():
        assert issubclass(getattr(errors, child), getattr(errors, parent))
        assert drawn.index(parent) < drawn.index(child)
