"""The day's report of a desk: its journals are read from the first event and folded again, and nothing else is asked.

So a report of a running engine, of one elsewhere, and of one that was killed say the same. What no journal
holds (open interest, the market's snapshots) is left out and said so on the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import polars as pl

from toolkit import __version__, tables
from toolkit.batch import frames
from toolkit.calendar import ist_date
from toolkit.errors import BadData
from toolkit.orders.core import Core
from toolkit.orders.effects import Record
from toolkit.orders.lifecycle import Anomaly
from toolkit.portfolio.charges import charges, charges_by_fill
from toolkit.portfolio.pnl import pnl
from toolkit.portfolio.positions import PositionBook, fills_frame
from toolkit.types import ExecutionReport, Fill

__all__ = ["DeskDay", "desk_day"]

_NO_QUALITY: Final[Any] = pl.Schema({"rule": pl.String, "count": pl.Int64, "detail": pl.String})


@dataclass(frozen=True, slots=True)
class DeskDay:
    """The frames of :class:`toolkit.report.day.DayFrames`, from journals."""

    orders: pl.DataFrame
    order_events: pl.DataFrame
    fills: pl.DataFrame
    positions: pl.DataFrame
    pnl: pl.DataFrame
    charges: pl.DataFrame
    oi: pl.DataFrame
    heat: pl.DataFrame
    spot: pl.DataFrame
    quality: pl.DataFrame
    settings: Mapping[str, str]


def desk_day(
    journals: Mapping[str, Iterable[Mapping[str, Any]]],
    positions: Sequence[Mapping[str, Any]],
    now: Sequence[Mapping[str, Any]],
    now_ns: int,
    mode: str,
) -> DeskDay:
    """Make the frames of a day.

    Parameters
    ----------
    journals : mapping of account to events
        Every event of the day's journal, oldest first, in the words of ``GET /v1/events``.
    positions, now : sequences of mappings
        Rows of ``/v1/positions`` and ``/v1/pnl``: what is held and what it is worth at this moment.
    now_ns : int
        Time of the last row of P&L.
    mode : str
        ``paper`` or ``live``, for the badge.

    Raises
    ------
    BadData
        When a journal does not begin with its opening.
    """
    cores, lives, odd = [], list[tuple[object, ...]](), list[Anomaly]()
    for account, events in journals.items():
        core, life = _rebuilt(account, events)
        cores.append(core)
        lives += life
        odd += core.anomalies
    fills = sorted((f for core in cores for f in core.fills.values()), key=lambda f: (f.exec_ns, f.exec_id))
    bought = fills_frame(fills)
    schedule = tables.charges()
    notes = charges(bought, None, schedule=schedule)
    orders = sorted((o for core in cores for o in core.orders.values()), key=lambda o: (o.created_ns, o.cl_ord_id))
    counts: dict[str, int] = {}
    for one in odd:
        counts[one.kind] = counts.get(one.kind, 0) + 1
    return DeskDay(
        orders=frames.orders_frame(orders),
        order_events=pl.DataFrame(lives, schema=frames.EVENTS, orient="row"),
        fills=bought,
        positions=_positions(fills, positions),
        pnl=_pnl(fills, charges_by_fill(bought, None, schedule=schedule), now, now_ns),
        charges=notes,
        oi=pl.DataFrame(schema=frames.OI),
        heat=pl.DataFrame(schema=frames.HEAT),
        spot=frames.spot_frame([]),
        quality=pl.DataFrame(
            [(f"reports: {kind}", n, "kept as anomalies in the journal") for kind, n in sorted(counts.items())],
            schema=_NO_QUALITY,
            orient="row",
        ),
        settings={
            "session": "the engine's journals",
            "underlying": ", ".join(journals) or "no account",
            "strategy": "the desk's day",
            "date": ist_date(now_ns).isoformat(),
            "mode": mode,
            "toolkit": __version__,
        },
    )


def _rebuilt(account: str, events: Iterable[Mapping[str, Any]]) -> tuple[Core, list[tuple[object, ...]]]:
    """Fold a journal again, with a row for each report of an order."""
    core: Core | None = None
    rows: list[tuple[object, ...]] = []
    for event in events:
        payload = msgspec.json.encode(event["payload"])
        record = Record(event["ts_ns"], event["kind"], event["cl_ord_id"], payload)
        if core is None:
            core = Core.replay([record])
            continue
        core.fold(record)
        if record.kind == "report" and record.cl_ord_id in core.orders:
            report = msgspec.json.decode(payload, type=ExecutionReport)
            rows.append(frames.event_row(core.orders[record.cl_ord_id], report, event["seq"]))
    if core is None:
        raise BadData(f"the journal of {account} holds no event; nothing to report")
    return core, rows


def _pnl(fills: Sequence[Fill], by_fill: pl.DataFrame, now: Sequence[Mapping[str, Any]], now_ns: int) -> pl.DataFrame:
    """A row a fill with what was realized by then, and the last with everything as it is valued now."""
    paid = dict(by_fill.select("exec_id", "total").iter_rows())
    book, spent = PositionBook("average"), 0.0
    nothing = (float("nan"),) * 5
    rows: list[tuple[float, ...]] = []
    for fill in fills:
        book.apply(fill)
        spent += paid.get(fill.exec_id, 0.0)
        value = pnl(book, {}, spent)
        rows.append((fill.exec_ns, value.realized, value.unrealized, value.gross, spent, value.net, *nothing))
    names = ("realized", "unrealized", "gross", "charges", "net")
    rows.append((now_ns, *(_total(now, name) for name in names), *nothing))
    return frames.pnl_frame(rows)


def _total(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    """Sum over the accounts; NaN when one of them is unknown."""
    values = [row[name] for row in rows]
    return float("nan") if None in values else float(sum(values))


def _positions(fills: Sequence[Fill], held: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """What is held, and what was traded today and is flat again."""
    done: dict[str, list[int]] = {}
    book = PositionBook("average")
    for fill in fills:
        book.apply(fill)
        sides = done.setdefault(fill.symbol, [0, 0])
        sides[0 if fill.side == "BUY" else 1] += fill.last_qty
    rows = []
    for row in held:
        expiry = None if row.get("expiry") is None else str(row["expiry"])
        rows.append(
            {
                **{name: row.get(name) for name in ("symbol", "exchange", "underlying", "net_qty", "avg_px", "ltp")},
                "expiry": expiry,
                "realized": row.get("realized"),
                "unrealized": row.get("unrealized"),
            }
        )
    known = {row["symbol"] for row in rows}
    for flat in book.all():
        if flat.symbol not in known:
            rows.append(
                {
                    "symbol": flat.symbol,
                    "exchange": flat.exchange,
                    "net_qty": flat.net_qty,
                    "realized": flat.realized_p / 100.0,
                    "unrealized": 0.0 if not flat.net_qty else None,
                }
            )
    for row in rows:
        row["buy_qty"], row["sell_qty"] = done.get(str(row["symbol"]), [0, 0])
    schema = {**frames.POSITIONS, "expiry": pl.String}
    made = pl.DataFrame([[row.get(name) for name in schema] for row in rows], schema=schema, orient="row")
    return made.with_columns(pl.col("expiry").str.to_date())
