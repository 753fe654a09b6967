"""What pure rooms take when nothing is given, and where numba's cache goes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import toolkit
from toolkit import defaults
from toolkit.errors import BadData


def test_the_shipped_values_are_provided_by_the_package() -> None:
    import datetime as dt

    assert defaults.get("calendar").is_session(dt.date(2025, 8, 29))
    assert "discount" in defaults.get("charges").plans


def test_a_name_nobody_provides_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(BadData, match="no default for 'weather'; known: calendar, charges"):
        defaults.get("weather")


def test_the_last_provider_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "_SOURCES", dict(defaults._SOURCES))
    defaults.provide("calendar", lambda: "mine")
    assert defaults.get("calendar") == "mine"


def test_the_numba_cache_goes_under_home(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "new" / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    toolkit._point_numba_cache()
    cache = Path(os.environ["NUMBA_CACHE_DIR"])
    assert cache.parent == tmp_path / "new" / "home" / "numba"
    assert cache.name.startswith(f"{toolkit.__version__}-")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/elsewhere")
    toolkit._point_numba_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == "/elsewhere"


def test_another_home_uses_what_the_usual_home_has_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "new"))
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    warm = tmp_path / "me" / ".local" / "share" / "toolkit" / "numba" / toolkit._kernels_digest()
    warm.mkdir(parents=True)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    toolkit._point_numba_cache()
    assert Path(os.environ["NUMBA_CACHE_DIR"]) == warm


def test_a_home_that_cannot_be_written_gives_a_temporary_cache(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path / "file"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    toolkit._point_numba_cache()
    assert "toolkit-numba-" in os.environ["NUMBA_CACHE_DIR"]


def test_a_changed_kernel_file_takes_a_cache_of_its_own(tmp_path: Path) -> None:
    package = tmp_path / "toolkit"
    shutil.copytree(Path(toolkit.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))

    def cache() -> str:
        env = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
        code = "import toolkit, os; print(os.environ['NUMBA_CACHE_DIR'])"
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**env, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    before = cache()
    kernel = package / "pricing" / "normal.py"
    kernel.write_text(kernel.read_text() + "\n")
    after = cache()
    (package / "pricing" / "frames.py").write_text("x = 1\n")
    assert before != after == cache()
