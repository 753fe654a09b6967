"""Kite's rows about money: positions, margins, charges, segments. Figures in rupees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from toolkit.sim.roster import Listed

__all__ = ["Line", "Need", "charge_row", "margin_row", "position_row", "segment_row", "summed"]


class Need(msgspec.Struct, frozen=True):
    """What a book of positions and orders needs, rupees. ``premium`` is paid for long options and may be
    below zero when more was received."""

    span: float = 0.0
    exposure: float = 0.0
    premium: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.span + self.exposure + self.premium


class Line(msgspec.Struct):
    """One contract and product: carried units and cost, today's buys and sells."""

    listed: Listed
    product: str
    carried: int = 0
    carried_p: int = 0
    buy_qty: int = 0
    buy_p: int = 0
    sell_qty: int = 0
    sell_p: int = 0

    @property
    def net(self) -> int:
        """Signed units."""
        return self.carried + self.buy_qty - self.sell_qty


def position_row(line: Line, carried: int, close: float, last: float) -> dict[str, Any]:
    """The row of a position in Kite's words: ``carried`` units over night (0 for the day's view), rupees."""
    carried_p = line.carried_p if carried else 0
    buy_qty, sell_qty = line.buy_qty + max(carried, 0), line.sell_qty + max(-carried, 0)
    buy_p, sell_p = line.buy_p + max(carried_p, 0), line.sell_p + max(-carried_p, 0)
    qty = buy_qty - sell_qty
    value = (sell_p - buy_p) / 100
    buy_m2m = max(carried, 0) * close + line.buy_p / 100
    sell_m2m = max(-carried, 0) * close + line.sell_p / 100
    pnl = value + qty * last
    side_qty, side_p = (buy_qty, buy_p) if qty > 0 else (sell_qty, sell_p)
    return {
        "tradingsymbol": line.listed.name,
        "exchange": line.listed.venue,
        "instrument_token": line.listed.key,
        "product": line.product,
        "quantity": qty,
        "overnight_quantity": carried,
        "multiplier": 1,
        "average_price": _price(side_p, side_qty) if qty else 0,
        "close_price": close,
        "last_price": last,
        "value": value,
        "pnl": pnl,
        "m2m": sell_m2m - buy_m2m + qty * last,
        "unrealised": pnl,
        "realised": 0,
        "buy_quantity": buy_qty,
        "buy_price": _price(buy_p, buy_qty),
        "buy_value": buy_p / 100,
        "buy_m2m": buy_m2m,
        "sell_quantity": sell_qty,
        "sell_price": _price(sell_p, sell_qty),
        "sell_value": sell_p / 100,
        "sell_m2m": sell_m2m,
        "day_buy_quantity": line.buy_qty,
        "day_buy_price": _price(line.buy_p, line.buy_qty),
        "day_buy_value": line.buy_p / 100,
        "day_sell_quantity": line.sell_qty,
        "day_sell_price": _price(line.sell_p, line.sell_qty),
        "day_sell_value": line.sell_p / 100,
    }


def _price(value_p: int, qty: int) -> float:
    return round(value_p / qty / 100, 6) if qty else 0


def margin_row(listed: Listed | None, need: Need, charge: dict[str, Any]) -> dict[str, Any]:
    """The row of a margin call; ``listed`` None is a whole basket."""
    return {
        "type": "equity",
        "tradingsymbol": "" if listed is None else listed.name,
        "exchange": "" if listed is None else listed.venue,
        "span": need.span,
        "exposure": need.exposure,
        "option_premium": need.premium,
        "additional": 0,
        "bo": 0,
        "cash": 0,
        "var": 0,
        "pnl": {"realised": 0, "unrealised": 0},
        "leverage": 1,
        "charges": charge,
        "total": need.total,
    }


def charge_row(note: Mapping[str, Any]) -> dict[str, Any]:
    """The charges of a contract note (of `toolkit.portfolio.charges`) in Kite's words."""
    gst = float(note.get("gst", 0.0))
    return {
        "transaction_tax": float(note.get("stt", 0.0)),
        "transaction_tax_type": "stt",
        "exchange_turnover_charge": float(note.get("exchange_charge", 0.0)),
        "sebi_turnover_charge": float(note.get("sebi_fee", 0.0)),
        "brokerage": float(note.get("brokerage", 0.0)),
        "stamp_duty": float(note.get("stamp_duty", 0.0)),
        "gst": {"igst": gst, "cgst": 0, "sgst": 0, "total": gst},
        "total": float(note.get("total", 0.0)),
    }


def summed(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The sum of rows of charges."""
    out = charge_row({})
    for row in rows:
        for name, value in row.items():
            if name == "gst":
                out["gst"] = {k: out["gst"][k] + v for k, v in value.items()}
            elif isinstance(value, float):
                out[name] += value
    return out


def segment_row(enabled: bool, cash: float, need: Need, marked: float) -> dict[str, Any]:
    """The funds of a segment; ``marked`` is the futures' gain of the day."""
    debits = need.total - marked
    return {
        "enabled": enabled,
        "net": cash - debits,
        "available": {
            "adhoc_margin": 0,
            "cash": cash,
            "opening_balance": cash,
            "live_balance": cash - debits,
            "collateral": 0,
            "intraday_payin": 0,
        },
        "utilised": {
            "debits": debits,
            "exposure": need.exposure,
            "m2m_realised": marked,
            "m2m_unrealised": 0,
            "option_premium": need.premium,
            "payout": 0,
            "span": need.span,
            "holding_sales": 0,
            "turnover": 0,
            "liquid_collateral": 0,
            "stock_collateral": 0,
            "delivery": 0,
        },
    }
