"""Write synthetic sessions into a session store, a day at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolkit import tables
from toolkit.errors import BadData
from toolkit.sim.generate import GeneratedDay, SessionPlan, describe, generate_days
from toolkit.sim.planted import Planted, planted_frame
from toolkit.store.session_files import StoreWriter

__all__ = ["write_synthetic"]


def write_synthetic(
    path: str | Path, plan: SessionPlan, on_day: Callable[[GeneratedDay], None] | None = None
) -> dict[str, Any]:
    """Generate the sessions of a plan into a store; the same plan gives the same bytes.

    Parameters
    ----------
    path : str or Path
        Folder of the store: new, empty, or an earlier synthetic store, which is replaced in one step.
    plan : SessionPlan
        What to generate.
    on_day : callable, optional
        Called after each day of each underlying.

    Returns
    -------
    dict
        What ``session.json`` says of it: generator settings and planted events.

    Raises
    ------
    BadData
        For a bad plan, a folder that holds something else (a recorded store among it), or a
        failing disk; an earlier store stays as it was.
    """
    calendars = {name: tables.calendar(name) for name in ("NSE", "BSE")}
    planted: list[Planted] = []
    with StoreWriter(path, replace=True) as writer:
        if writer.held and not writer.held.get("synthetic"):
            raise BadData(f"{path} is a store of recorded data; name another folder for synthetic sessions")
        for day in generate_days(plan, calendars, tables.contracts()):
            writer.add(day.tables)
            planted.extend(day.events)
            if on_day is not None:
                on_day(day)
        meta = describe(plan, planted_frame(planted))
        writer.commit(meta)
    return meta
