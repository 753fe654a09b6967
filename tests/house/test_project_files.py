"""pyproject, the conda environment, the lock file, the changelog and the top level agree."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import toolkit

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CARD = {
    "jupyterlab",
    "ipywidgets",
    "polars",
    "numpy",
    "scipy",
    "numba",
    "kiteconnect",
    "websockets",
    "panel",
    "sqlite-utils",
}
TOP = {
    "notebooks", "toolkit", "data", "tests", "dashboards", "environment.yml", "pyproject.toml", "README.md",
    ".ci", "LICENSE", "CHANGELOG.md", "Makefile", "requirements.lock", ".gitignore",
}  # fmt: skip


def wanted() -> dict[str, str]:
    lines = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    bounds: dict[str, set[str]] = {}
    for line in lines:
        requirement = Requirement(line)
        bounds.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier))
    several = {name: found for name, found in bounds.items() if len(found) > 1}
    assert several == {}, "one package, several bounds"
    return {name: found.pop() for name, found in bounds.items()}


def conda() -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]:
        lines = entry["pip"] if isinstance(entry, dict) else [entry]
        for line in lines:
            if line.startswith("-e") or line == "pip":
                continue
            requirement = Requirement(line)
            found[canonicalize_name(requirement.name)] = str(requirement.specifier)
    return found


def test_environment_equals_pyproject() -> None:
    have = conda()
    assert have.pop("python") == PROJECT["requires-python"]
    assert have == wanted()


def test_the_design_card_is_in() -> None:
    assert sorted(CARD - wanted().keys()) == []


def test_the_lock_pins_everything_with_hashes_and_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?://|--index|--extra-index|--find-links", text)
    blocks = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert [b.split("\n")[0] for b in blocks if "--hash=sha256:" not in b] == []
    pins = {}
    for block in blocks:
        requirement = Requirement(block.split("\\")[0].split("\n")[0].strip())
        pins.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    for name, bound in wanted().items():
        assert name in pins, f"{name} is not in the lock"
        for pin in pins[name]:
            version = str(pin.specifier).removeprefix("==")
            assert Requirement(f"{name}{bound}").specifier.contains(version), f"{name} {version} breaks {bound}"


def test_the_changelog_opens_with_this_version() -> None:
    heads = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.M)
    assert heads[0] == toolkit.__version__ == PROJECT["version"]


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout, so there is no list of what is shipped")
    return done.stdout.split("\n")[:-1]


def test_the_top_level_is_the_card() -> None:
    assert sorted({Path(p).parts[0] for p in tracked()} - TOP) == []


def test_nothing_is_left_unfinished_and_no_machine_path_stands_in_it() -> None:
    marks = re.compile(
        "|".join(
            [
                "Not" + "ImplementedError",
                r"\bTO" + r"DO\b",
                r"\bFIX" + r"ME\b",
                "/wo" + "rk/",
                "/ro" + "ot/",
                "pypi" + r"\.org",
            ]
        )
    )
    seen = []
    for name in tracked():
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".yml", ".toml", ".json", ".ipynb", ".csv", ".js", ".css", ".lock"}
            and path.exists()
        ):
            for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
                if marks.search(line):
                    seen.append(f"{name}:{number}: {line.strip()[:80]}")
    assert seen == []
