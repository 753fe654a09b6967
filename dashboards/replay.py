"""Replay a day: the chain, open interest, orders and P&L as they stood at any moment of a session."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import panel as pn
import param

from dashboards.page import Page
from dashboards.parts import Choice, Column, Grid, Strip, TimeBar
from toolkit.report import charts, fmt
from toolkit.report.day import is_synthetic, nearest_levels
from toolkit.report.film import ChainMoment, Film
from toolkit.report.heat import grid

__all__ = ["ReplayPage", "pages"]

STALE_S = 300.0
_SIDE = (
    ("OI chg", "change of open interest since the day's first figure, lakh of units", True),
    ("OI, L", "open interest, lakh of units", False),
    ("volume, L", "volume since the open, lakh of units", False),
    ("IV %", "implied volatility of the mid price", False),
    ("delta", "delta per unit", False),
    ("LTP", "last traded price, ₹", False),
    ("bid", "best bid, ₹", False),
    ("ask", "best ask, ₹", False),
    ("pos", "own net position, units", True),
)


def _chain_columns() -> list[Column]:
    def made(side: str) -> list[Column]:
        return [
            Column(name, "minmax(max-content,1fr)", f"num {side}", tone, title=f"{word}: {title}")
            for (name, title, tone), word in ((c, "calls" if side == "call" else "puts") for c in _SIDE)
        ]

    middle = Column("strike", "minmax(max-content,1fr)", "mid", head=True)
    return [*made("call"), middle, *reversed(made("put"))]


ORDER_COLUMNS = (
    Column("time", "max-content", "text", head=True),
    Column("side", "max-content", "text"),
    Column("symbol", "max-content", "text"),
    Column("quantity", "max-content"),
    Column("type", "max-content", "text"),
    Column("price ₹", "max-content"),
    Column("filled", "max-content"),
    Column("avg ₹", "max-content"),
    Column("status", "max-content", "text"),
    Column("why", "minmax(12ch,1fr)", "text", tip=True),
)


class ReplayPage(Page):
    """One replayed session; the time slider sets the moment of everything on the page."""

    path: ClassVar[str] = "/"
    url: ClassVar[tuple[str, ...]] = ("at", "expiry", "measure", "strikes", "theme")
    slots: ClassVar[Mapping[str, str]] = {
        "time": "",
        "figures": "",
        "expiry": "",
        "measure": "",
        "chain": "Option chain: calls left, puts right",
        "calls": "Calls: open interest by strike and time",
        "puts": "Puts: open interest by strike and time",
        "money": "P&L, ₹",
        "orders": "Orders as they stood, newest first",
    }
    css: ClassVar[str] = (
        ".time{position:sticky;top:44px;z-index:10;background:var(--bg);padding:4px 0}"
        "@media (min-width:900px){.calls,.puts{grid-column:span 6}.money{grid-column:span 5}"
        ".orders{grid-column:span 7}.expiry{grid-column:span 2}.measure{grid-column:span 4}}"
    )

    at = param.String(default="", doc="Indian time, as in 2025-08-29T11:02:14")
    expiry = param.String(default="", doc="ISO date")
    measure = param.Selector(default="change", objects=["change", "level"])
    strikes = param.Integer(default=31, bounds=(5, 121))

    def __init__(self, film: Film, **params: Any) -> None:
        self.film = film
        super().__init__(**params)
        self.time = TimeBar(last=len(film) - 1, sizing_mode="stretch_width")
        self.figures = Strip(label="P&L and levels", sizing_mode="stretch_width")
        self.pick_expiry = Choice(label="expiry")
        self.pick_measure = Choice(
            label="heatmap", options=[["change", "change of OI since the open"], ["level", "level of OI"]]
        )
        self.chain = Grid(_chain_columns(), "option chain", "No snapshot of this expiry has been received yet.")
        self.orders = Grid(ORDER_COLUMNS, "orders", "No order yet: the strategy has not acted by this time.")
        self.heat = {"CE": pn.pane.Bokeh(sizing_mode="stretch_width"), "PE": pn.pane.Bokeh(sizing_mode="stretch_width")}
        self.money = pn.pane.Bokeh(sizing_mode="stretch_width")
        self._veils: dict[str, Any] = {}

    def mode(self) -> str:
        return "PAPER replay"

    def words(self) -> list[tuple[str, str]]:
        said = self.film.result.settings
        words = [(f"{said.get('underlying', '')} {said.get('strategy', '')}", "title")]
        if is_synthetic(said):
            words.append(("SYNTHETIC session: generated, not traded", "warn"))
        return [*words, (f"session {said.get('session', '')}", "muted"), ("read-only", "muted")]

    def window_title(self) -> str:
        said = self.film.result.settings
        return f"{'SYNTHETIC ' if is_synthetic(said) else ''}PAPER replay {said.get('underlying', '')}"

    def parts(self) -> Mapping[str, Any]:
        return {
            "time": self.time,
            "figures": self.figures,
            "expiry": self.pick_expiry,
            "measure": self.pick_measure,
            "chain": self.chain,
            "calls": self.heat["CE"],
            "puts": self.heat["PE"],
            "money": self.money,
            "orders": self.orders,
        }

    def start(self) -> None:
        self.time.index = self._index_of(self.at)
        self._expiries()
        self.pick_measure.value = self.measure
        self._draw_money()
        self._draw_heat()
        self._show()
        self.time.param.watch(lambda event: self._show(), "index")
        self.pick_expiry.param.watch(lambda event: setattr(self, "expiry", event.new), "value")
        self.pick_measure.param.watch(lambda event: setattr(self, "measure", event.new), "value")
        self.param.watch(lambda event: self._show(), ["expiry", "strikes"])
        self.param.watch(lambda event: self._draw_heat(), "measure")

    def _index_of(self, text: str) -> int:
        """The moment an address names; the last one when it names none."""
        try:
            moment = dt.datetime.fromisoformat(text).replace(tzinfo=fmt.IST)
        except ValueError:
            return len(self.film) - 1
        return self.film.index_at(int(moment.timestamp()) * 1_000_000_000 + 999_999_999)

    def _expiries(self) -> None:
        """Offer the expiries of the moment's day; keep the chosen one when it is among them."""
        known = [day.isoformat() for day in self.film.expiries(self.time.index)]
        if self.expiry not in known:
            self.expiry = known[0]
        on = self._now().date()
        self.pick_expiry.options = [[iso, fmt.expiry(dt.date.fromisoformat(iso), on)] for iso in known]
        self.pick_expiry.value = self.expiry

    def _now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(int(self.film.now_ns[self.time.index]) // 1_000_000_000, tz=fmt.IST)

    def _show(self) -> None:
        """Bring everything to the slider's moment, in one message."""
        with pn.io.hold():
            index, now = self.time.index, self._now()
            self._expiries()
            self.at = now.replace(tzinfo=None).isoformat(timespec="seconds")
            moment = self.film.chain(index, dt.date.fromisoformat(self.expiry), self.strikes)
            self.chain.show(*chain_rows(moment))
            self.orders.show(*order_rows(self.film.orders(index)))
            self.figures.items = self._figures(moment)
            for box in self._veils.values():
                box.left = charts.wall_ms(int(self.film.now_ns[index]))
            self.time.text = f"{fmt.time_ist(now, date=True)}  ({index + 1} of {len(self.film)})"
            self.time.shown = index

    def _figures(self, moment: ChainMoment | None) -> list[list[str]]:
        money = self.film.money(self.time.index)
        levels = self.film.levels(self.time.index, dt.date.fromisoformat(self.expiry))
        get: Callable[[str], Any] = levels.get
        age = None if moment is None else moment.age_s
        vega, theta = money.get("vega"), money.get("theta")
        return [
            ["Net P&L, ₹", fmt.rupees(money.get("net")), f"gross {fmt.rupees(money.get('gross'))}"],
            ["Realised, ₹", fmt.rupees(money.get("realized")), f"open {fmt.rupees(money.get('unrealized'))}"],
            ["Charges, ₹", fmt.rupees(money.get("charges")).removeprefix("+"), "so far"],
            ["Margin, ₹", fmt.rupees(money.get("margin")).removeprefix("+"), "estimate"],
            ["Delta, units", fmt.signed(money.get("delta"), 0), "whole book"],
            ["Theta, ₹ a day", fmt.rupees(charts.theta_day(theta)), f"vega {fmt.rupees(charts.vega_point(vega))} a pt"],
            ["Spot", fmt.price(None if moment is None else moment.slice.spot), self._forward(moment)],
            ["PCR", fmt.ratio(get("pcr")), f"max pain {fmt.strike(get('max_pain'))}"],
            ["Walls", f"{fmt.strike(get('pe_wall'))} / {fmt.strike(get('ce_wall'))}", "put / call"],
            ["Snapshot age", fmt.age(age), "stale" if age is not None and age > STALE_S else "of this expiry"],
        ]

    @staticmethod
    def _forward(moment: ChainMoment | None) -> str:
        return f"forward {fmt.price(None if moment is None else moment.slice.forward)}"

    def _draw_money(self) -> None:
        if self.film.result.pnl.is_empty():
            return
        figure, _ = charts.equity(self.film.result.pnl, self.colors)
        figure.title.visible = False
        self._veils["money"] = charts.veil(figure, self.colors)
        self.money.object = figure

    def _draw_heat(self) -> None:
        """Both heatmaps of the chosen measure, veiled from the slider's moment on."""
        result = self.film.result
        if result.heat.is_empty():
            return
        column = "oi_change" if self.measure == "change" else "oi"
        oi, center = nearest_levels(result.oi, result.heat), charts.center_of(result.spot)
        for side, wall in (("CE", "ce_wall"), ("PE", "pe_wall")):
            mesh = grid(result.heat, side, column, center=center)
            if mesh is None:
                continue
            figure = charts.heatmap(mesh, oi, result.spot, "", wall=wall, colors=self.colors, height=330)
            box = charts.veil(figure, self.colors)
            box.left = charts.wall_ms(int(self.film.now_ns[self.time.index]))
            self._veils[side] = box
            self.heat[side].object = figure


def chain_rows(moment: ChainMoment | None) -> tuple[list[str], list[tuple[str, ...]], list[str]]:
    """Keys, cells and marks of the chain table; the level of the underlying is a row of its own."""
    if moment is None:
        return [], [], []
    held = moment.slice
    level = held.forward if np.isfinite(held.forward) else held.spot
    stale = " stale" if moment.age_s > STALE_S else ""
    keys, rows, marks = [], [], []
    ruled = not np.isfinite(level)
    for n, i in enumerate(moment.index):
        strike = float(held.strikes[i])
        if not ruled and strike >= level:
            keys.append("level")
            rows.append((f"spot {fmt.price(held.spot)} / forward {fmt.price(held.forward)}",))
            marks.append("center")
            ruled = True
        keys.append(f"{strike:g}")
        rows.append((*_side_cells(moment, n, 0), fmt.strike(strike), *reversed(_side_cells(moment, n, 1))))
        marks.append(("itm-c" if strike < level else "itm-p") + stale)
    return keys, rows, marks


def _side_cells(moment: ChainMoment, n: int, side: int) -> tuple[str, ...]:
    legs, i = (moment.slice.ce, moment.slice.pe)[side], int(moment.index[n])
    own = int(moment.position[side, n])
    return (
        fmt.change(float(moment.change[side, n])),
        fmt.lakh(float(legs.oi[i])),
        fmt.lakh(float(legs.volume[i])),
        fmt.iv(float(legs.iv[i])),
        fmt.delta(float(legs.delta[i])),
        fmt.price(float(legs.ltp[i])),
        fmt.price(float(legs.bid[i])),
        fmt.price(float(legs.ask[i])),
        fmt.quantity(own, sign=True) if own else "",
    )


def order_rows(orders: Any) -> tuple[list[str], list[tuple[str, ...]], list[str]]:
    """Keys, cells and marks of the orders table; closed orders are dimmed, the word says what they are."""
    keys, rows, marks = [], [], []
    for order in orders.iter_rows(named=True):
        keys.append(order["cl_ord_id"])
        marks.append("unknown" if order["ord_status"] == "unknown" else "" if order["is_open"] else "dim")
        rows.append(
            (
                fmt.time_ist(order["created_ns"], zone=False),
                str(order["side"]),
                order["symbol"],
                fmt.quantity(order["order_qty"]),
                str(order["ord_type"]),
                fmt.price(order["price"]),
                fmt.quantity(order["cum_qty"]),
                fmt.price(order["avg_px"]),
                str(order["ord_status"]),
                order["text"] or order["note"] or "",
            )
        )
    return keys, rows, marks


def pages(film: Film) -> dict[str, Callable[[], Page]]:
    """What ``toolkit dashboard`` serves: path to the maker of one session's page."""
    return {ReplayPage.path: lambda: ReplayPage(film)}
