"""``import toolkit`` loads nothing heavy, and no import compiles a kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "toolkit"
HEAVY = (
    "numpy",
    "polars",
    "numba",
    "scipy",
    "bokeh",
    "panel",
    "pandas",
    "msgspec",
    "sqlite3",
    "asyncio",
    "rich",
    "typer",
)


def run(code: str, **env: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **env})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_toolkit_loads_nothing_heavy() -> None:
    out = run(f"import toolkit, sys, json; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))")
    assert json.loads(out) == []


def test_help_loads_no_numbers_library() -> None:
    code = (
        "import sys, json\nfrom toolkit.cli.app import run\nimport contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n    run(['--help'])\n"
        "print(json.dumps([m for m in ('numpy', 'polars', 'numba', 'scipy', 'bokeh', 'panel') if m in sys.modules]))"
    )
    assert json.loads(run(code)) == []


def test_no_import_compiles_a_kernel(tmp_path: Path) -> None:
    names = sorted(
        ".".join(("toolkit", *p.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        for p in PACKAGE.rglob("*.py")
        if "_share" not in p.parts
        and p.name != "__main__.py"
        and p.relative_to(PACKAGE).parts[0] in {"pricing", "oi", "risk"}
    )
    code = (
        "import importlib, json, gc\nimport toolkit\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "from numba.core.dispatcher import Dispatcher\n"
        "kernels = [o for o in gc.get_objects() if isinstance(o, Dispatcher) and o.py_func.__module__.startswith('toolkit.')]\n"
        "print(json.dumps([len(kernels), sorted(k.py_func.__qualname__ for k in kernels if k.signatures)]))"
    )
    count, compiled = json.loads(run(code, NUMBA_CACHE_DIR=str(tmp_path / "cache")))
    assert count > 10
    assert compiled == []
    assert not list((tmp_path / "cache").rglob("*.nbi")) if (tmp_path / "cache").exists() else True


def test_an_unwritable_home_does_not_break_the_import(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    code = "import os; os.environ.pop('NUMBA_CACHE_DIR', None); import toolkit; print(toolkit.pricing.price('CE', 100.0, 100.0, 1.0, 0.2) > 0)"
    assert run(code, TOOLKIT_HOME=str(blocked / "home")).strip() == "True"
