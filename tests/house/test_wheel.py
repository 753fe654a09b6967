"""The wheel carries all that the demo needs: it runs in an empty folder without make or the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_holds_code_data_notebooks_and_dashboards(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "toolkit/py.typed",
        "toolkit/ARCHITECTURE.md",
        "toolkit/_share/data/sample/session.json",
        "toolkit/_share/data/tables/lots.csv",
        "toolkit/_share/notebooks/01_replay_a_day.ipynb",
        "toolkit/_share/dashboards/replay.py",
    ):
        assert needed in names, needed
    assert not [n for n in names if "__pycache__" in n or n.endswith((".nbi", ".nbc")) or n.startswith("tests/")]


def clean_environment(tmp_path: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG", "NUMBA_CACHE_DIR", "TMPDIR"}}
    return {**kept, "HOME": str(tmp_path), "TOOLKIT_HOME": str(tmp_path / "home")}


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def run(site: Path, tmp_path: Path, *words: str) -> str:
    empty = tmp_path / "empty"
    empty.mkdir(exist_ok=True)
    env = {**clean_environment(tmp_path), "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, *words], cwd=empty, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_unpacked_wheel_finds_its_own_code_tables_and_session(unpacked: Path, tmp_path: Path) -> None:
    code = """
import toolkit as tk
from toolkit import tables
from toolkit.config import share
print(tk.__file__)
print(tables.calendar("NSE") is not None, share("notebooks", "01_replay_a_day.ipynb").is_file())
print(tk.open_session(share("data", "sample")).underlyings())
"""
    where, found, underlyings = run(unpacked, tmp_path, "-c", code).strip().splitlines()
    assert where.startswith(str(unpacked))
    assert found == "True True"
    assert "NIFTY" in underlyings
    assert "replay" in run(unpacked, tmp_path, "-m", "toolkit", "--help")


@pytest.mark.slow
def test_the_demo_runs_from_the_unpacked_wheel_in_an_empty_folder(unpacked: Path, tmp_path: Path) -> None:
    assert "report.html" in run(unpacked, tmp_path, "-m", "toolkit", "demo")
    assert list((tmp_path / "empty").rglob("report.html"))


@pytest.mark.slow
def test_pip_install_of_the_wheel_alone_runs_the_demo(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    subprocess.run([str(venv / "bin" / "pip"), "install", "--quiet", str(wheel)], check=True, capture_output=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    env = clean_environment(tmp_path)
    env.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([str(venv / "bin" / "toolkit"), "demo"], cwd=empty, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(empty.rglob("report.html"))
