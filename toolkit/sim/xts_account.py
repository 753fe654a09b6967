"""Positions, funds and margins of the clients of an XTS login, in XTS's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from toolkit.portfolio.charges import ChargeSchedule
from toolkit.sim.kite_account import KiteAccount, Open
from toolkit.sim.kite_form import WireRefusal
from toolkit.sim.roster import Listed
from toolkit.sim.world import World
from toolkit.sim.xts_book import XtsBook
from toolkit.sim.xts_form import PRODUCTS, OrderForm, XtsRefusal, invalid, order_form
from toolkit.sim.xts_names import text_number, trading_symbol, whole
from toolkit.sim.xts_order import XtsOrder

__all__ = ["XtsAccount"]

_SEQUENCE: Final = 314_802_227_723_717
_EXTRA: Final = {
    "marginAvailable": (
        "CashMarginAvailable",
        "AdhocMargin",
        "NotinalCash",
        "PayInAmount",
        "PayOutAmount",
        "CNCSellBenifit",
        "DirectCollateral",
        "HoldingCollateral",
    ),
    "marginUtilized": ("MarginUsed", "TotalSpanMargin"),
    "limitsAssigned": ("CNCLimit",),
}


class XtsAccount:
    """The money side of every client in a book.

    Parameters
    ----------
    world, book
        The market, and the orders whose trades count.
    funds_p : int
        Cash of each client at the start of the day, paise.
    schedule : ChargeSchedule
        Rates of charges.
    """

    def __init__(self, world: World, book: XtsBook, funds_p: int, schedule: ChargeSchedule) -> None:
        self.world = world
        self.book = book
        self.accounts = {
            client: KiteAccount(world, held, funds_p, schedule) for client, held in sorted(book.books.items())
        }
        book.margin = self._short

    def positions(self, clients: Iterable[str], day_wise: bool) -> list[dict[str, Any]]:
        """Rows of the REST call: every number is text."""
        kind = "day" if day_wise else "net"
        return [self._row(client, row) for client in clients for row in self.accounts[client].positions()[kind]]

    def position_events(self, client: str, key: int) -> list[dict[str, Any]]:
        """The ``position`` events of one contract after a trade: day and net, numbers as numbers."""
        found = []
        for kind, name in (("day", "DayWise"), ("net", "NetWise")):
            for row in self.accounts[client].positions()[kind]:
                if row["instrument_token"] == key:
                    found.append(self._event(client, row, name))
        return found

    def balance(self, client: str) -> dict[str, Any]:
        """The limits of a client: a row of a segment without limits first, then the one that counts."""
        equity = self.accounts[client].margins()["equity"]
        cash, used = equity["available"]["cash"], equity["utilised"]
        rows = [self._limits(client, "CASH|NSE|MTF", 0.0, 0.0, 0.0, 0.0)]
        net = equity["net"]
        rows.append(self._limits(client, "ALL|ALL|ALL", cash, cash - net, net, used["span"]))
        return {"BalanceList": rows}

    def need(self, client: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """What a portfolio of orders needs on top once it has traded, for ``margindetails``.

        Raises
        ------
        XtsRefusal
            For a row that names no listed contract or no order.
        """
        rows = body.get("portfolio")
        if not isinstance(rows, list) or not rows:
            raise invalid("portfolio must be a list of orders")
        account = self.accounts[client]
        wanted = [self._open(row) for row in rows]
        required = max(0.0, account.traded(wanted).total - account.need().total)
        available = account.margins()["equity"]["net"]
        short = max(0.0, required - available)
        return {
            "brokerageDeatils": {
                "IsValid": not short,
                "MarginRequired": round(required, 2),
                "MarginAvailable": round(available, 2),
                "MarginShortfall": round(short, 2),
                "ErrorMessage": "Margin Exceeds" if short else "",
            }
        }

    def convert(self, client: str, listed: Listed, body: Mapping[str, Any]) -> dict[str, Any]:
        """Move units of a position to another product; raises `XtsRefusal` when there are not so many."""
        old, new = str(body.get("oldProductType", "")).upper(), str(body.get("newProductType", "")).upper()
        qty = abs(whole(body.get("targetQty")) or 0)
        if old not in PRODUCTS or new not in PRODUCTS or not qty:
            raise invalid("oldProductType, newProductType and targetQty are required")
        side = "BUY" if self.net(client, listed, old) > 0 else "SELL"
        account = self.accounts[client]
        day_wise = body.get("isDayWise") in (True, "true", "True")
        for kind in ("day",) if day_wise else ("overnight", "day"):
            try:
                account.convert(listed, old, new, side, qty, kind)
                break
            except WireRefusal as refusal:
                if kind == "day":
                    raise XtsRefusal("e-portfolio-0009", str(refusal)) from None
        names = self.book.directory
        return {
            "ClientID": client,
            "ExchangeSegment": names.segment(listed),
            "ExchangeInstrumentID": names.instrument(listed),
            "OldProductType": old,
            "NewProductType": new,
            "CovertedQty": qty,
        }

    def net(self, client: str, listed: Listed, product: str) -> int:
        """Signed units of one contract and product."""
        rows = self.accounts[client].positions()["net"]
        held = (r["quantity"] for r in rows if r["instrument_token"] == listed.key and r["product"] == product)
        return int(sum(held))

    def flatten(self, client: str, listed: Listed, body: Mapping[str, Any]) -> XtsOrder:
        """Square a position off with a market order, all of it or what the body says."""
        product = str(body.get("productType", "")).upper()
        held = self.net(client, listed, product)
        asked = whole(body.get("squareOffQtyValue")) or 0
        if body.get("positionSquareOffQuantityType") == "Percentage":
            lot = listed.instrument.lot
            asked = abs(held) * min(asked, 100) // 100 // lot * lot
        if not held or not 0 < asked <= abs(held):
            raise XtsRefusal("e-portfolio-0010", "No position to square off in that quantity")
        if body.get("cancelOrders") in (True, "true", "True"):
            for order in self.book.working():
                if order.client == client and order.listed.key == listed.key:
                    self.book.cancel(order)
        names = self.book.directory
        form = {
            "exchangeSegment": names.segment(listed),
            "exchangeInstrumentID": names.instrument(listed),
            "productType": product,
            "orderType": "MARKET",
            "orderSide": "SELL" if held > 0 else "BUY",
            "timeInForce": "DAY",
            "orderQuantity": asked,
            "apiOrderSource": "SQUAREOFF",
        }
        return self.book.place(client, order_form(form, names, self.book.install))

    def _open(self, row: Any) -> Open:
        listed = (
            self.book.directory.find(row.get("exchange"), row.get("exchangeInstrumentId"))
            if isinstance(row, dict)
            else None
        )
        qty = whole(row.get("quantity")) if listed is not None else None
        if listed is None or qty is None:
            raise XtsRefusal("e-instrument-0001", "Instrument not found")
        sign = 1 if str(row.get("orderSide", "")).upper() == "BUY" else -1
        price_p = round(float(row.get("price") or 0) * 100) or self.world.last_p(listed.key) or 0
        return Open(listed, sign * qty, price_p)

    def _short(self, client: str, form: OrderForm, replaced: XtsOrder | None) -> str:
        """The words of a margin refusal, none when funds suffice."""
        account = self.accounts[client]
        free = account.margins()["equity"]["net"] + account.need().total
        orders = self.book.books[client].orders
        done = 0
        before = []
        if replaced is not None:
            done = replaced.filled
            before.append(_asked(replaced.form, replaced.leaves, replaced.price_p))
            orders.pop(replaced.order_id)
        price_p = form.price_p or self.world.last_p(form.listed.key) or 0
        held = account.need(before).total
        required = account.need([_asked(form, form.quantity - done, price_p)]).total
        if replaced is not None:
            orders[replaced.order_id] = replaced
        return "Margin Exceeds" if required > held and required > free else ""

    def _row(self, client: str, row: Mapping[str, Any]) -> dict[str, Any]:
        listed = self.world.roster.by_key[row["instrument_token"]]
        net, flat_p = row["quantity"], row["sell_value"] - row["buy_value"]
        realized = _realized(row)
        texts = {
            "Marketlot": str(listed.instrument.lot),
            "Multiplier": "1",
            "BuyAveragePrice": text_number(row["buy_price"]),
            "SellAveragePrice": text_number(row["sell_price"]),
            "OpenBuyQuantity": f"{row['buy_quantity']:,}",
            "OpenSellQuantity": f"{row['sell_quantity']:,}",
            "Quantity": f"{net:,}",
            "BuyAmount": text_number(row["buy_value"]),
            "SellAmount": text_number(row["sell_value"]),
            "NetAmount": text_number(flat_p),
            "UnrealizedMTM": text_number(row["pnl"] - realized),
            "RealizedMTM": text_number(realized),
            "MTM": text_number(row["pnl"]),
            "BEP": text_number(row["average_price"]),
            "SumOfTradedQuantityAndPriceBuy": text_number(row["buy_value"]),
            "SumOfTradedQuantityAndPriceSell": text_number(row["sell_value"]),
        }
        names = self.book.directory
        return {
            "AccountID": client,
            "LoginID": self.book.login,
            "TradingSymbol": trading_symbol(listed),
            "ExchangeSegment": names.segment(listed),
            "ExchangeInstrumentId": str(names.instrument(listed)),
            "ProductType": row["product"],
            **texts,
            "StatisticsLevel": "ParentLevel",
            "IsInterOpPosition": True,
            "childPositions": {},
            "MessageCode": 9002,
            "MessageVersion": 1,
            "TokenID": 0,
            "ApplicationType": 0,
            "SequenceNumber": _SEQUENCE + len(self.book.trades),
        }

    def _event(self, client: str, row: Mapping[str, Any], kind: str) -> dict[str, Any]:
        listed = self.world.roster.by_key[row["instrument_token"]]
        names = self.book.directory
        realized = _realized(row)
        return {
            "LoginID": self.book.login,
            "AccountID": client,
            "TradingSymbol": trading_symbol(listed),
            "ExchangeSegment": names.segment(listed),
            "ExchangeInstrumentID": names.instrument(listed),
            "ProductType": row["product"],
            "Multiplier": 1,
            "Marketlot": listed.instrument.lot,
            "BuyAveragePrice": row["buy_price"] or ("NaN" if not row["quantity"] else 0),
            "SellAveragePrice": row["sell_price"] or ("NaN" if not row["quantity"] else 0),
            "LongPosition": row["buy_quantity"],
            "ShortPosition": row["sell_quantity"],
            "NetPosition": row["quantity"],
            "BuyValue": row["buy_value"],
            "SellValue": row["sell_value"],
            "NetValue": round(row["sell_value"] - row["buy_value"], 2),
            "UnrealizedMTM": round(row["pnl"] - realized, 2),
            "RealizedMTM": round(realized, 2),
            "MTM": round(row["pnl"], 2),
            "BEP": row["average_price"],
            "SumOfTradedQuantityAndPriceBuy": row["buy_value"],
            "SumOfTradedQuantityAndPriceSell": row["sell_value"],
            "IsDayWiseNetWise": kind,
            "StatisticsLevel": "ParentLevel",
            "IsInterOpPosition": True,
            "childPositions": {},
            "MessageCode": 9002,
            "MessageVersion": 1,
            "TokenID": 0,
            "ApplicationType": 146,
            "SequenceNumber": _SEQUENCE + len(self.book.trades),
        }

    def _limits(self, client: str, header: str, cash: float, used: float, net: float, span: float) -> dict[str, Any]:
        rows = self.accounts[client].positions()["net"]
        realized = sum(_realized(row) for row in rows) if cash else 0.0
        mtm = sum(row["pnl"] for row in rows) if cash else 0.0
        figures = {"CashMarginAvailable": cash, "MarginUsed": used, "TotalSpanMargin": span}
        more = {
            part: {name: _plain(figures.get(name, 0.0)) for name in names} for part, names in sorted(_EXTRA.items())
        }
        return {
            "limitHeader": header,
            "limitObject": {
                "RMSSubLimits": {
                    "cashAvailable": _plain(cash),
                    "collateral": 0,
                    "marginUtilized": _plain(used),
                    "netMarginAvailable": _plain(net),
                    "MTM": f"{mtm:.2f}",
                    "UnrealizedMTM": f"{mtm - realized:.2f}",
                    "RealizedMTM": f"{realized:.2f}" if rows and cash else "NaN",
                },
                **more,
                "AccountID": client,
            },
        }


def _asked(form: OrderForm, units: int, price_p: int) -> Open:
    return Open(form.listed, units if form.side == "BUY" else -units, price_p)


def _realized(row: Mapping[str, Any]) -> float:
    """The gain of the units that were both bought and sold."""
    closed = min(row["buy_quantity"], row["sell_quantity"])
    return float(closed * (row["sell_price"] - row["buy_price"])) if closed else 0.0


def _plain(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if value else "0"
