"""The day's report: one replay (or one day of trading) as a self-contained page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import polars as pl

from toolkit.report import charts, fmt
from toolkit.report.heat import grid
from toolkit.report.page import Html, Page, badge, beside, cards, empty, escape, table

__all__ = ["CHARGES", "DayFrames", "day_page", "write_day_report"]

CHARGES: Final = {
    "brokerage": "brokerage",
    "stt": "STT",
    "exchange_charge": "exchange charge",
    "sebi_fee": "SEBI fee",
    "stamp_duty": "stamp duty",
    "gst": "GST",
}
_GLYPH: Final = {
    "filled": "●",
    "partially_filled": "◐",
    "new": "○",
    "canceled": "×",
    "expired": "×",
    "rejected": "!",
    "denied": "!",
    "unknown": "?",
}
_ORDER_COLUMNS: Final = (
    ("", "mark"), ("time", "at"), ("side", "side"), ("symbol", "symbol"), ("quantity", "num"), ("type", "kind"),
    ("price", "num"), ("filled", "num"), ("avg", "num"), ("status", "status"), ("why", "why"),
)  # fmt: skip
_NAMES: Final = {
    "cl_ord_id": "our id",
    "order_id": "broker id",
    "exch_order_id": "exchange id",
    "account": "account",
    "ord_type": "type",
    "product": "product",
    "time_in_force": "validity",
    "parent_id": "parent",
}
_REFUSED: Final = ("rejected", "denied")


class DayFrames(Protocol):
    """The frames a report is made of; :class:`toolkit.batch.replay.Replay` has them all."""

    @property
    def orders(self) -> pl.DataFrame: ...
    @property
    def order_events(self) -> pl.DataFrame: ...
    @property
    def fills(self) -> pl.DataFrame: ...
    @property
    def positions(self) -> pl.DataFrame: ...
    @property
    def pnl(self) -> pl.DataFrame: ...
    @property
    def charges(self) -> pl.DataFrame: ...
    @property
    def oi(self) -> pl.DataFrame: ...
    @property
    def heat(self) -> pl.DataFrame: ...
    @property
    def spot(self) -> pl.DataFrame: ...
    @property
    def quality(self) -> pl.DataFrame: ...
    @property
    def settings(self) -> Mapping[str, str]: ...


def write_day_report(result: DayFrames, path: Path | str) -> Path:
    """Write the report of a day to ``path``.

    Parameters
    ----------
    result : DayFrames
        A :class:`~toolkit.batch.replay.Replay`, or anything with the same frames.
    path : path or str
        The file to write; its folder must exist.

    Returns
    -------
    pathlib.Path
        ``path``.

    Raises
    ------
    BadData
        When the folder cannot be written; nothing is left behind.
    """
    version = result.settings.get("toolkit", "")
    return day_page(result).write(path, footer=f"Written by toolkit {version}." if version else "")


def day_page(result: DayFrames) -> Page:
    """Compose the report of a day; the same frames give the same page, byte for byte."""
    said = result.settings
    synthetic = is_synthetic(said)
    underlying, day = said.get("underlying", "session"), _days(result.pnl, said)
    title = f"{underlying}, {day}: {said.get('strategy', 'replay')}"
    live = said.get("mode") == "live"
    badges = [badge("LIVE", "warn") if live else badge("PAPER", "paper")]
    if synthetic:
        title = f"SYNTHETIC {title}"
        badges.append(badge("SYNTHETIC: prices and open interest are generated, not traded", "warn"))
    page = Page(title, subtitle=_subtitle(result), badges=badges)
    _summary(page, result)
    _money(page, result)
    _greeks(page, result)
    _oi(page, result)
    _orders(page, result)
    _positions(page, result)
    _quality(page, result)
    _settings(page, said)
    return page


def is_synthetic(settings: Mapping[str, str]) -> bool:
    """Whether the session was generated: the setting ``synthetic`` says ``yes`` or ``true``."""
    return str(settings.get("synthetic", "")).lower() in ("yes", "true", "1")


def _days(pnl: pl.DataFrame, said: Mapping[str, str]) -> str:
    if pnl.is_empty():
        return said.get("date", "no snapshots")
    first, last = pnl["ts"].min(), pnl["ts"].max()
    start, end = (fmt.time_ist(t, date=True, zone=False)[:11] for t in (first, last))  # type: ignore[arg-type]
    return start if start == end else f"{start} to {end}"


def _subtitle(result: DayFrames) -> str:
    pnl = result.pnl
    if pnl.is_empty():
        return "The session held no snapshot that could be used; see Data quality."
    first, last = fmt.time_ist(pnl["ts"].min(), zone=False), fmt.time_ist(pnl["ts"].max())  # type: ignore[arg-type]
    return (
        f"{fmt.group(pnl.height)} snapshots, {first} to {last}. Session: {result.settings.get('session', 'unnamed')}."
    )


def _last(frame: pl.DataFrame, column: str) -> float | None:
    if column not in frame.columns:
        return None
    known = frame[column].drop_nulls()
    return None if known.is_empty() else float(known[-1])


def _summary(page: Page, result: DayFrames) -> None:
    pnl, orders = result.pnl, result.orders
    down = charts.drawdown(pnl["net"].cast(pl.Float64)) if pnl.height else pl.Series([], dtype=pl.Float64)
    worst = None if down.drop_nulls().is_empty() else float(down.min())  # type: ignore[arg-type]
    status = orders["ord_status"].cast(pl.String) if orders.height else pl.Series([], dtype=pl.String)
    filled = int((status == "filled").sum())
    refused = int(status.is_in(_REFUSED).sum())
    margin = pnl["margin"].max() if "margin" in pnl.columns and pnl.height else None
    page.section(
        "Summary",
        cards(
            [
                ("Net P&L, ₹", fmt.rupees(_last(pnl, "net")), fmt.rupees_exact(_last(pnl, "net"))),
                ("Gross P&L, ₹", fmt.rupees(_last(pnl, "gross")), "before charges"),
                ("Charges, ₹", _unsigned(_last(pnl, "charges")), "of the day's contract note"),
                ("Realised, ₹", fmt.rupees(_last(pnl, "realized")), "closed quantity"),
                ("Unrealised, ₹", fmt.rupees(_last(pnl, "unrealized")), "open quantity at the last price"),
                ("Worst drawdown, ₹", fmt.rupees(worst), "from the peak of the net"),
                ("Orders", fmt.group(orders.height), f"{filled} filled, {refused} refused"),
                ("Peak margin, ₹", _unsigned(margin), "an estimate, not the broker's"),  # type: ignore[arg-type]
            ]
        ),
    )


def _unsigned(rupees: float | None) -> str:
    return fmt.rupees(rupees).removeprefix("+")


def charge_totals(charges: pl.DataFrame) -> list[tuple[str, float]]:
    """Each charge summed over the contract notes, rupees, in the order of the note."""
    return [(label, float(charges[c].sum())) for c, label in CHARGES.items() if c in charges.columns]


def _money(page: Page, result: DayFrames) -> None:
    if result.pnl.is_empty():
        page.section("P&L", empty("No snapshot, so no P&L. Data quality below says what was refused."))
        return
    top, bottom = charts.equity(result.pnl)
    page.section("P&L", top, bottom, note="Marked to the last price of each snapshot; charges of a fill at the fill.")
    gross = _last(result.pnl, "gross")
    if gross is None:
        page.section("Charges", empty("Gross P&L is not known at the end of the session."))
        return
    paid = charge_totals(result.charges)
    total = sum(amount for _, amount in paid)
    rows = [
        ("gross", gross),
        *((label, -amount) for label, amount in paid),
        ("all charges", -total),
        ("net", gross - total),
    ]
    page.section(
        "Charges",
        charts.waterfall(gross, paid),
        beside(table(["", "₹"], [(label, fmt.rupees_exact(value)) for label, value in rows], num=[1])),
        columns=2,
    )


def _greeks(page: Page, result: DayFrames) -> None:
    pnl = result.pnl
    if pnl.is_empty() or all(pnl[c].is_null().all() for c in ("delta", "gamma", "vega", "theta")):
        page.section("Greeks", empty("No position was held at a snapshot, so there are no Greeks to show."))
        return
    shown = [
        ("Delta of the book, units of the underlying", "units", pnl["delta"]),
        ("Gamma of the book, units per point", "units per point", pnl["gamma"]),
        ("Theta, ₹ per calendar day", "₹ per day", pnl["theta"] / charts.YEAR_DAYS),
        ("Vega, ₹ per vol point", "₹ per vol point", pnl["vega"] / charts.VOL_POINTS),
    ]
    figures = [charts.greek(pnl, values, title, unit) for title, unit, values in shown]
    page.section("Greeks", *figures, note="All open positions together, at each snapshot.", columns=2)


def _oi(page: Page, result: DayFrames) -> None:
    heat, oi, spot = result.heat, nearest_levels(result.oi, result.heat), result.spot
    center = charts.center_of(spot)
    blocks: list[Any] = []
    for side, name, wall in (("CE", "Calls", "ce_wall"), ("PE", "Puts", "pe_wall")):
        mesh = grid(heat, side, "oi_change", center=center) if heat.height else None
        if mesh is None:
            blocks.append(empty(f"{name}: the session holds no open interest for the nearest expiry."))
        else:
            blocks.append(
                charts.heatmap(mesh, oi, spot, f"{name}: change of OI since the day's first figure", wall=wall)
            )
    expiry: Any = heat["expiry"].max() if heat.height else None
    note = (
        f"Nearest expiry, {fmt.expiry(expiry)}. Blue: opened, orange: closed, since the day's first figure, lakh of "
        "units. The dashed line is the wall, the dark line the spot (the forward where no spot is recorded). Hatched: "
        "no snapshot for five minutes or more. Open interest has no owner: these are quantities, not intentions."
    )
    page.section("Open interest", *blocks, note=note if heat.height else "", columns=2)
    if oi.height:
        page.section(
            "OI levels",
            charts.levels(oi, {"pcr": "PCR"}, "Put-call ratio of open interest", "PCR"),
            charts.levels(oi, {"ce_wall": "call wall", "pe_wall": "put wall", "max_pain": "max pain"},
                          "Walls and max pain", "strike"),
            columns=2,
        )  # fmt: skip


def nearest_levels(oi: pl.DataFrame, heat: pl.DataFrame) -> pl.DataFrame:
    """The rows of the levels frame that belong to the heatmap's expiry of each day, by time."""
    if oi.is_empty() or "expiry" not in oi.columns:
        return oi
    if heat.height:
        return oi.filter(pl.col("expiry").is_in(heat["expiry"].unique().to_list())).sort("ts")
    return oi.filter(pl.col("expiry") == pl.col("expiry").min().over("ts")).sort("ts")


def _orders(page: Page, result: DayFrames) -> None:
    if result.orders.is_empty():
        page.section("Orders", empty("The strategy placed no order."))
        return
    lives = {key[0]: rows.sort("seq") for key, rows in result.order_events.group_by("cl_ord_id", maintain_order=True)}
    head = "".join(f'<span class="{c}">{h}</span>' for h, c in _ORDER_COLUMNS)
    body = "".join(order_line(order, lives.get(order["cl_ord_id"])) for order in result.orders.iter_rows(named=True))
    page.section(
        "Orders",
        Html(f'<div class="rows orders"><div class="head">{head}</div>{body}</div>'),
        note="Each line opens: everything that happened to the order, in sequence. Quantities in units, prices in ₹.",
    )


def order_line(order: Mapping[str, Any], life: pl.DataFrame | None) -> Html:
    """One order as a line that opens into its life."""
    status = str(order["ord_status"])
    tone = "unknown" if status == "unknown" else "loss" if status in _REFUSED else ""
    side = str(order["side"])
    cells = (
        ("at", fmt.time_ist(order["created_ns"], zone=False)),
        ("side gain" if side == "BUY" else "side loss", side),
        ("symbol", order["symbol"]),
        ("qty num", fmt.quantity(order["order_qty"])),
        ("kind", str(order["ord_type"])),
        ("px num", fmt.price(order["price"])),
        ("done num", fmt.quantity(order["cum_qty"])),
        ("avg num", fmt.price(order["avg_px"])),
        (f"status {tone}", f"{_GLYPH.get(status, '○')} {status}"),
        ("why", order["text"] or order["note"] or ""),
    )
    line = "".join(f'<span class="{c}">{escape(t)}</span>' for c, t in cells)
    return Html(f"<details><summary>{line}</summary><div class=life>{_life(order, life)}</div></details>")


def _life(order: Mapping[str, Any], life: pl.DataFrame | None) -> Html:
    names = " · ".join(f"{label} {order[key]}" for key, label in _NAMES.items() if order.get(key))
    note = f"<p class=sub>{escape(order['note'])}</p>" if order.get("note") else ""
    if life is None or life.is_empty():
        return Html(f"<p class=sub>{escape(names)}</p>{note}<p class=sub>No event is recorded.</p>")
    columns = ["#", "time IST", "event", "status", "last qty", "last price ₹", "text"]
    return Html(f"<p class=sub>{escape(names)}</p>{note}" + table(columns, _events(life), num=[0, 4, 5], wrap=6))


def _events(life: pl.DataFrame) -> Iterator[tuple[str, ...]]:
    for event in life.iter_rows(named=True):
        traded = bool(event["last_qty"])
        yield (
            str(event["seq"]),
            _stamp(event["ts_ns"]),
            str(event["exec_type"]),
            str(event["ord_status"]),
            fmt.quantity(event["last_qty"]) if traded else "",
            fmt.price(event["last_px"]) if traded else "",
            event["text"] or "",
        )


def _stamp(ns: int) -> str:
    return f"{fmt.time_ist(ns, zone=False)}.{ns // 1_000_000 % 1000:03d}"


def _positions(page: Page, result: DayFrames) -> None:
    if result.positions.is_empty():
        page.section("Positions", empty("No contract was traded, so there is no position."))
        return
    rows = [
        (
            p["symbol"],
            fmt.quantity(p["net_qty"], sign=True),
            fmt.quantity(p["buy_qty"]),
            fmt.quantity(p["sell_qty"]),
            fmt.price(p["avg_px"]),
            fmt.price(p["ltp"]),
            fmt.rupees_exact(p["realized"]),
            fmt.rupees_exact(p["unrealized"]),
        )
        for p in result.positions.iter_rows(named=True)
    ]
    columns = ["symbol", "net qty", "bought", "sold", "avg ₹", "last ₹", "realised ₹", "unrealised ₹"]
    page.section("Positions", table(columns, rows, num=range(1, 8)), note="At the last snapshot; quantities in units.")


def _quality(page: Page, result: DayFrames) -> None:
    frame = result.quality
    if frame.is_empty():
        page.section("Data quality", empty("Every row of the session was used as recorded."))
        return
    rows = [
        (str(r["rule"]).replace("_", " "), fmt.group(int(r["count"])), r["detail"] or "")
        for r in frame.iter_rows(named=True)
    ]
    page.section(
        "Data quality",
        table(["what was found", "count", "detail"], rows, num=[1], wrap=2),
        note="What the cleaning rules found in the session's rows, and what they did about it.",
    )


def _settings(page: Page, said: Mapping[str, str]) -> None:
    own = [(key.removeprefix("param "), str(value)) for key, value in said.items() if key.startswith("param ")]
    rest = [(key, str(value)) for key, value in said.items() if not key.startswith("param ")]
    blocks = [beside(table(["setting", "value"], rest, wrap=1))]
    if own:
        blocks.append(beside(table(["strategy parameter", "value"], own, wrap=1)))
    page.section("Settings and versions", *blocks, columns=len(blocks))
