"""The verb ``generate``: synthetic sessions into a session store."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.app import app
from toolkit.errors import BadData

if TYPE_CHECKING:
    from toolkit.sim.generate import GeneratedDay, SessionPlan

__all__ = ["generate"]


@app.command()
def generate(
    to: Annotated[str, typer.Option("--to", metavar="DIR", help="Folder of the store; an earlier store is replaced.")],
    days: Annotated[int | None, typer.Option(help="Consecutive sessions. [default: 1]")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same bytes. [default: 1]")] = None,
    start: Annotated[str | None, typer.Option(metavar="DATE", help="First session, as 2026-07-13.")] = None,
    underlyings: Annotated[str | None, typer.Option(help="Of NIFTY and SENSEX, comma between.")] = None,
    sample: Annotated[bool, typer.Option("--sample", help="Make the session that ships in data/sample again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report as one JSON document.")] = False,
) -> None:
    """Generate synthetic sessions: seeded, labelled synthetic, with planted events listed.

    Example: toolkit generate --to out/synthetic --days 2 --seed 7
    """
    from rich.console import Console
    from rich.progress import Progress

    from toolkit.store.synthetic import write_synthetic

    plan = _plan(days, seed, start, underlyings, sample)
    rows: dict[str, int] = {}
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("generate", total=plan.days * len(plan.underlyings))

        def on_day(day: GeneratedDay) -> None:
            for table, frame in day.tables.items():
                rows[table] = rows.get(table, 0) + frame.height
            bar.update(task, advance=1, description=f"{day.underlying} {day.date}")

        meta = write_synthetic(to, plan, on_day)
    if as_json:
        print(json.dumps({"path": to, "synthetic": True, "rows": rows, **meta}, sort_keys=True))
        return
    counts = ", ".join(f"{count:,} {table}" for table, count in rows.items())
    print(f"{to}: {meta['name']}: {counts} rows; {len(meta['planted'])} planted events listed in session.json")


def _plan(days: int | None, seed: int | None, start: str | None, underlyings: str | None, sample: bool) -> SessionPlan:
    import datetime as dt
    from dataclasses import replace

    from toolkit.sim.generate import SAMPLE, SessionPlan

    if sample:
        if (days, seed, start, underlyings) != (None, None, None, None):
            raise BadData("--sample fixes days, seed, start and underlyings; leave them out")
        return SAMPLE
    plan = SessionPlan()
    if days is not None:
        plan = replace(plan, days=days)
    if seed is not None:
        plan = replace(plan, seed=seed)
    if start is not None:
        try:
            plan = replace(plan, start=dt.date.fromisoformat(start))
        except ValueError:
            raise BadData(f"start must be a date such as 2026-07-13, was {start!r}") from None
    if underlyings is not None:
        plan = replace(plan, underlyings=tuple(u.strip().upper() for u in underlyings.split(",") if u.strip()))
    return plan
