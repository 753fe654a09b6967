"""The one rule: pure rooms hold no I/O, clock, thread or unseeded randomness. Parsed from source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "toolkit"

PURE_FILES = {"types.py", "errors.py", "calendar.py", "contracts.py", "defaults.py"}
PURE_ROOMS = {"pricing", "oi", "market", "strategies", "orders", "risk", "portfolio", "sim"}
EDGES = {
    "market/files",  # importers of official files
    "market/feed.py",  # the feed runner
    "market/feed_link.py",  # one connection of it
    "market/hub.py",  # one feed for everybody in the process
    "orders/engine.py",  # the one writer: journal, send
    "orders/live.py",  # the same in one asyncio loop, against a broker
    "orders/live_books.py",
    "orders/live_checks.py",
    "orders/live_deciders.py",
    "orders/live_figures.py",
    "orders/live_brakes.py",
    "orders/live_flatten.py",
    "orders/live_journal.py",
    "orders/live_margin.py",
    "orders/live_path.py",
    "orders/live_watch.py",
    "orders/live_wire.py",
    "orders/meters.py",  # what its orders did
    "orders/routing.py",  # orders over the accounts of one process
    "orders/wholes.py",  # an algorithm's order in one of them
    "orders/turns.py",  # callers of one id, one at a time
    "orders/station.py",  # the process: engines, market and alerts
    "orders/lookout.py",  # its view of the accounts' risk
    "sim/servers",  # the wire over loopback
}
NUMBA_ROOMS = (
    "pricing/",
    "oi/",
    "risk/",
    "market/kite_wire.py",
    "market/xts_wire.py",
    "market/xts_rows.py",
    "batch/fast.py",
)
THREADS_IN = "pricing/parallel.py"

BANNED_MODULES = {
    "aiohttp", "asyncio", "concurrent", "fastapi", "glob", "http", "httpx", "io", "kiteconnect", "logging", "multiprocessing",
    "os", "pathlib", "psycopg", "redis", "requests", "shutil", "signal", "socket", "sqlite3", "sqlite_utils", "ssl",
    "subprocess", "tempfile", "threading", "time", "urllib", "websockets",
}  # fmt: skip
BANNED_OWN = {
    "toolkit.brokers",
    "toolkit.config",
    "toolkit.store",
    "toolkit.tables",
    "toolkit.batch",
    "toolkit.cli",
    "toolkit.desk",
}
BANNED_CALLS = {
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
    "random.random", "random.randint", "random.choice", "random.shuffle", "uuid4", "token_hex", "token_urlsafe",
    "read_csv", "read_parquet", "scan_csv", "scan_parquet", "write_csv", "write_parquet", "sink_parquet", "fromfile", "memmap",
}  # fmt: skip
BANNED_BUILTINS = {"open", "input", "print", "exec", "eval", "__import__"}

SEEDED = {"Generator", "PCG64", "SeedSequence", "default_rng"}


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def is_edge(name: str) -> bool:
    return any(name == edge or name.startswith(edge.removesuffix(".py") + "/") for edge in EDGES)


def pure_files() -> list[Path]:
    found = [PACKAGE / name for name in sorted(PURE_FILES)]
    for room in sorted(PURE_ROOMS):
        found += [p for p in sorted((PACKAGE / room).rglob("*.py")) if not is_edge(relative(p))]
    return found


def imports(tree: ast.AST) -> list[tuple[str, int]]:
    names: list[tuple[str, int]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [(f"{node.module}.{alias.name}", node.lineno) for alias in node.names]
    return names


def dotted(node: ast.AST) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
    return ".".join(reversed(parts))


def breaches(source: str, name: str) -> list[str]:
    tree = ast.parse(source)
    out = []
    for module, line in imports(tree):
        root = module.split(".")[0]
        threads_allowed = name == THREADS_IN and root in {"concurrent", "threading", "os"}
        if root in BANNED_MODULES and not threads_allowed:
            out.append(f"{name}:{line} imports {module}")
        if any(module == own or module.startswith(own + ".") for own in BANNED_OWN):
            out.append(f"{name}:{line} imports {module}, a room with I/O")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = dotted(node.func)
            last_two = ".".join(called.split(".")[-2:])
            if called in BANNED_BUILTINS or {called, last_two, called.split(".")[-1]} & BANNED_CALLS:
                out.append(f"{name}:{node.lineno} calls {called}")
            if called.endswith("random.default_rng") and not node.args and not node.keywords:
                out.append(f"{name}:{node.lineno} makes an unseeded generator")
            words = called.split(".")
            if words[:2] in (["np", "random"], ["numpy", "random"]) and words[-1] not in SEEDED:
                out.append(f"{name}:{node.lineno} draws from numpy's global generator: {called}")
    return out


@pytest.mark.parametrize("path", pure_files(), ids=relative)
def test_pure_rooms_hold_no_io_clock_or_chance(path: Path) -> None:
    assert breaches(path.read_text(encoding="utf-8"), relative(path)) == []


@pytest.mark.parametrize(
    "line",
    [
        "import socket",
        "from time import time_ns",
        "import asyncio",
        "from toolkit.store.journal import Journal",
        "import datetime as dt\nnow = dt.datetime.now()",
        "import numpy as np\nx = np.random.rand(3)",
        "import numpy as np\nx = np.random.default_rng()",
        "x = open('file')",
        "import polars as pl\nx = pl.read_parquet('x')",
        "def f():\n    import os",
    ],
)
def test_the_parser_sees_each_breach(line: str) -> None:
    assert breaches(line, "pricing/x.py") != []


def test_the_parser_allows_what_is_allowed() -> None:
    source = "import numpy as np\nimport polars as pl\nrng = np.random.default_rng(7)\nx = np.random.Generator(np.random.PCG64(1))"
    assert breaches(source, "oi/x.py") == []


def package_files() -> list[Path]:
    return [p for p in sorted(PACKAGE.rglob("*.py")) if "_share" not in p.parts]


def test_numba_stays_in_its_rooms() -> None:
    wrong = [
        relative(p)
        for p in package_files()
        for module, _ in imports(ast.parse(p.read_text(encoding="utf-8")))
        if module.split(".")[0] == "numba" and not relative(p).startswith((*NUMBA_ROOMS, "bench/"))
    ]
    assert wrong == []


def test_threads_stay_in_parallel() -> None:
    wrong = [
        relative(p)
        for p in package_files()
        for module, _ in imports(ast.parse(p.read_text(encoding="utf-8")))
        if module.split(".")[0] in {"threading", "concurrent"}
        and relative(p).startswith(("pricing/", "oi/", "risk/"))
        and relative(p) != THREADS_IN
    ]
    assert wrong == []


def test_only_notebook_imports_ipywidgets_and_nothing_imports_panel() -> None:
    for path in package_files():
        roots = {m.split(".")[0] for m, _ in imports(ast.parse(path.read_text(encoding="utf-8")))}
        assert "panel" not in roots, relative(path)
        if not relative(path).startswith("notebook/"):
            assert not roots & {"ipywidgets", "anywidget"}, relative(path)


def test_jitclass_is_not_used() -> None:
    assert [relative(p) for p in package_files() if "jitclass" in p.read_text(encoding="utf-8")] == []
