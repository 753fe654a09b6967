"""Kite's good-till-triggered orders: single, and two legs of which one fires (OCO)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from toolkit.errors import BadData
from toolkit.sim.kite_book import KiteBook
from toolkit.sim.kite_form import WireRefusal, read_form
from toolkit.sim.kite_order import stamp
from toolkit.types import to_paise

__all__ = ["KiteGtt"]

_YEAR_NS: Final = 365 * 86_400 * 1_000_000_000
_LEGS: Final = {"single": 1, "two-leg": 2}


class _Condition(msgspec.Struct, frozen=True, kw_only=True):
    exchange: str
    tradingsymbol: str
    trigger_values: list[float]
    last_price: float


class _Leg(msgspec.Struct, frozen=True, kw_only=True):
    exchange: str
    tradingsymbol: str
    transaction_type: str
    quantity: int
    order_type: str
    product: str
    price: float


class KiteGtt:
    """The triggers of one account, watched against the last price."""

    def __init__(self, book: KiteBook) -> None:
        self.book = book
        self._rows: dict[int, dict[str, Any]] = {}
        self._count = 0
        book.world.listen(lambda report: None, self._watch)

    def place(self, form: Mapping[str, str]) -> dict[str, int]:
        """Take a new trigger: ``{"trigger_id"}``."""
        made = self._read(form)
        self._count += 1
        made["id"] = 100_000 + self._count
        self._rows[made["id"]] = made
        self._tell(made)
        return {"trigger_id": made["id"]}

    def modify(self, trigger_id: str, form: Mapping[str, str]) -> dict[str, int]:
        """Replace an active trigger."""
        row = self._active(trigger_id)
        row |= {**self._read(form), "id": row["id"], "created_at": row["created_at"]}
        self._tell(row)
        return {"trigger_id": row["id"]}

    def delete(self, trigger_id: str) -> dict[str, int]:
        """Delete an active trigger."""
        row = self._active(trigger_id)
        row["status"] = "deleted"
        self._tell(row)
        del self._rows[row["id"]]
        return {"trigger_id": row["id"]}

    def rows(self) -> list[dict[str, Any]]:
        """All triggers."""
        return list(self._rows.values())

    def row(self, trigger_id: str) -> dict[str, Any]:
        """One trigger."""
        row = self._rows.get(int(trigger_id)) if trigger_id.isascii() and trigger_id.isdigit() else None
        if row is None:
            raise WireRefusal(404, "GeneralException", "Couldn't find that trigger.")
        return row

    def _active(self, trigger_id: str) -> dict[str, Any]:
        row = self.row(trigger_id)
        if row["status"] != "active":
            raise _input(f"The trigger is {row['status']}.")
        return row

    def _read(self, form: Mapping[str, str]) -> dict[str, Any]:
        kind = form.get("type", "")
        if kind not in _LEGS:
            raise _input("Invalid `type`: it must be single or two-leg.")
        try:
            condition = msgspec.json.decode(form.get("condition", ""), type=_Condition)
            legs = msgspec.json.decode(form.get("orders", ""), type=list[_Leg])
        except msgspec.DecodeError as error:
            raise _input(f"Invalid `condition` or `orders`: {error}.") from None
        values = condition.trigger_values
        if len(values) != _LEGS[kind] or len(legs) != _LEGS[kind]:
            raise _input(f"A {kind} trigger needs {_LEGS[kind]} trigger values and orders.")
        last = condition.last_price
        if last in values:
            raise _input("Trigger price was already met: it equals the last price.")
        if kind == "two-leg" and not min(values) < last < max(values):
            raise _input("Trigger values of a two-leg trigger must be below and above the last price.")
        now = stamp(self.book.world.now_ns)
        return {
            "id": 0,
            "user_id": self.book.account,
            "parent_trigger": None,
            "type": kind,
            "created_at": now,
            "updated_at": now,
            "expires_at": stamp(self.book.world.now_ns + _YEAR_NS),
            "status": "active",
            "condition": {**msgspec.to_builtins(condition), "instrument_token": self._token(condition)},
            "orders": [{**self._checked(leg, condition), "result": None} for leg in legs],
            "meta": {},
        }

    def _token(self, condition: _Condition) -> int:
        listed = self.book.world.roster.by_name.get((condition.exchange, condition.tradingsymbol))
        if listed is None:
            raise _input("The instrument of the condition has either expired or does not exist.")
        return listed.key

    def _checked(self, leg: _Leg, condition: _Condition) -> dict[str, Any]:
        if (leg.exchange, leg.tradingsymbol) != (condition.exchange, condition.tradingsymbol):
            raise _input("The orders of a trigger must be in the instrument of its condition.")
        if leg.order_type != "LIMIT":
            raise _input("Orders of a trigger must be of type LIMIT.")
        row: dict[str, Any] = msgspec.to_builtins(leg)
        read_form("regular", _form(row), self.book.world.roster)
        return row

    def _watch(self, now_ns: int) -> None:
        low, high = self.book.world.bounds
        if not low <= now_ns < high:
            return
        for row in self._rows.values():
            if row["status"] == "active":
                self._try(row, now_ns)

    def _try(self, row: dict[str, Any], now_ns: int) -> None:
        last_p = self.book.world.last_p(row["condition"]["instrument_token"])
        if last_p is None:
            return
        reference = row["condition"]["last_price"]
        for number, value in enumerate(row["condition"]["trigger_values"]):
            fires = last_p <= _paise(value) if value < reference else last_p >= _paise(value)
            if fires:
                row["status"], row["updated_at"] = "triggered", stamp(now_ns)
                self._fire(row, row["orders"][number], last_p, now_ns)
                self._tell(row)
                return

    def _fire(self, row: dict[str, Any], leg: dict[str, Any], last_p: int, now_ns: int) -> None:
        told = {"status": "success", "order_id": "", "rejection_reason": ""}
        try:
            told["order_id"] = self.book.place("regular", _form(leg))["order_id"]
        except WireRefusal as refusal:
            told |= {"status": "failed", "rejection_reason": str(refusal)}
        leg["result"] = {
            **{name: leg[name] for name in ("exchange", "tradingsymbol", "product", "order_type", "transaction_type")},
            "account_id": self.book.account,
            "validity": "DAY",
            "quantity": leg["quantity"],
            "price": leg["price"],
            "meta": msgspec.json.encode({"gtt": row["id"]}).decode(),
            "timestamp": stamp(now_ns),
            "triggered_at": last_p / 100,
            "order_result": told,
        }

    def _tell(self, row: dict[str, Any]) -> None:
        self.book.events.append({"kind": "gtt", "id": row["id"], "status": row["status"], "at": row["updated_at"]})


def _form(leg: Mapping[str, Any]) -> dict[str, str]:
    names = ("exchange", "tradingsymbol", "transaction_type", "quantity", "product", "order_type", "price")
    return {name: str(leg[name]) for name in names}


def _paise(value: float) -> int:
    try:
        return to_paise(value)
    except BadData:
        return round(value * 100)


def _input(text: str) -> WireRefusal:
    return WireRefusal(400, "InputException", text)
