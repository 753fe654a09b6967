"""The verbs ``replay`` and ``demo``: a recorded session through the whole desk on paper."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.app import app
from toolkit.errors import BadData

if TYPE_CHECKING:
    from toolkit.batch.replay import Replay

__all__ = ["demo", "progress_bar", "read_params", "replay"]

Progress = Callable[[int, int, str], None]


@app.command()
def replay(
    session: Annotated[Path, typer.Argument(help="A session store, or an official or recorded file directly.")],
    strategy: Annotated[
        str, typer.Option(help="A shipped name (iron-condor, oi-wall, short-straddle), module:Class or a .py file.")
    ] = "oi-wall",
    out: Annotated[
        Path, typer.Option(help="Folder for the results; an earlier one is replaced when this is complete.")
    ] = Path("out/replay"),
    underlying: Annotated[str | None, typer.Option(help="NIFTY, SENSEX, ...; needed when there are several.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="A strategy parameter, key=value; repeatable.")] = None,
    date: Annotated[str | None, typer.Option(help="Only this day (YYYY-MM-DD); default: every session in it.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random (latency jitter).")] = 0,
    latency_ms: Annotated[float, typer.Option(help="One way, from decision to exchange.")] = 250.0,
    capital: Annotated[float, typer.Option(help="Funds of the paper account, rupees.")] = 2_000_000.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Send a recorded session through the whole desk on paper and write its report.

    Example: toolkit replay data/sample --underlying NIFTY --strategy oi-wall --param lots=1 --out out/day
    """
    chosen: dict[str, Any] = {"underlying": underlying, "date": date, "seed": seed, "latency_ms": latency_ms}
    _run(session, strategy, out, as_json, capital=capital, **chosen, params=read_params(param or []))


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="Folder for the results (default: out/demo).")] = None,
    strategy: Annotated[str, typer.Option(help="Which shipped strategy to show.")] = "short-straddle",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Replay the shipped sample session: made by our generator, not a market's record.

    Example: toolkit demo --out out/demo
    """
    from toolkit.config import share

    _run(share("data", "sample"), strategy, out or _demo_folder(), as_json, underlying="NIFTY", params={})


def _run(session: Path, strategy: str, out: Path, as_json: bool, **options: Any) -> None:
    from toolkit.batch.load import make_strategy
    from toolkit.batch.output import fresh_folder

    if not session.expanduser().exists():
        raise BadData(f"no session {session}; give a session store, or an official or recorded file")
    made = make_strategy(strategy, options.pop("params"))
    with fresh_folder(out) as folder:
        from toolkit.batch.replay import replay as run_replay
        from toolkit.store.session import open_session

        with progress_bar() as progress:
            progress(0, 1, "reading")
            result = run_replay(
                open_session(session), made, journal=folder / "journal.db", progress=progress, **options
            )
            progress(0, 1, "writing")
            result.write(folder)
    _tell(result, out.expanduser().absolute(), as_json)


def read_params(pairs: list[str]) -> dict[str, object]:
    """Read ``key=value`` pairs; a pair without ``=`` or a key twice is refused."""
    found: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise BadData(f"--param must be key=value, was '{pair}'")
        if key.strip() in found:
            raise BadData(f"--param {key.strip()} is given twice")
        found[key.strip()] = value.strip()
    return found


def _demo_folder() -> Path:
    import os

    from toolkit.config import home

    here = Path.cwd()
    probe = next(p for p in (here / "out" / "demo", here / "out", here) if p.exists())
    return here / "out" / "demo" if os.access(probe, os.W_OK) else home() / "demo"


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show how far a replay is, on stderr when it is a terminal; silent otherwise."""
    if not sys.stderr.isatty():
        yield lambda done, total, what: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def update(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        yield update


def _tell(result: Replay, out: Path, as_json: bool) -> None:
    import json

    from toolkit.batch.output import FILES

    summary = result.summary()
    summary["files"] = {name: str(out / name) for name in FILES}
    if as_json:
        print(json.dumps(summary, indent=2, sort_keys=True, allow_nan=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{summary['strategy']} on {summary['session']}", show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(justify="right", overflow="fold")
    for name, value in _rows(summary):
        table.add_row(name, value)
    console = Console(width=None if sys.stdout.isatty() else 100)
    for row in result.quality.iter_rows(named=True):
        console.print(f"data: {row['rule']} {row['count']} {row['detail']}", highlight=False, soft_wrap=True)
    console.print(table)
    console.print(f"report: {out / 'report.html'}", highlight=False, soft_wrap=True)


def _rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    def rupees(value: float | None) -> str:
        return "unknown" if value is None else f"{value:,.2f} ₹"

    return [
        ("underlying", f"{summary['underlying']}, {', '.join(summary['dates'])}"),
        ("synthetic data", "yes" if summary["synthetic"] else "no"),
        ("net P&L after charges", rupees(summary["net"])),
        ("gross P&L", rupees(summary["gross"])),
        ("charges", rupees(summary["charges"])),
        ("max drawdown", rupees(summary["max_drawdown"])),
        ("orders / fills", f"{summary['orders']} / {summary['fills']}"),
        ("denied / rejected", f"{summary['denied']} / {summary['rejected']}"),
        ("open positions at the end", str(summary["open_positions"])),
        ("snapshots", str(summary["snapshots"])),
        ("data quality", f"{summary['quality_count']} rows or stamps noted"),
        ("folder", summary["files"]["report.html"].rsplit("/", 1)[0]),
    ]
