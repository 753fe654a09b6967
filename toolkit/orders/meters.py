"""What the orders of one process did: the monitors' figures, the order-to-trade meter, the journals' chains."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from toolkit.market.hub import Hub
from toolkit.orders.compliance import ExemptionRow, MessageMeter
from toolkit.orders.live_journal import Event
from toolkit.orders.words import event_json
from toolkit.store.audit import audit_row
from toolkit.types import Instrument, Kind

if TYPE_CHECKING:
    from toolkit.orders.station import Seat

__all__ = ["Meters", "alarm_of", "page", "verified"]

_PAGE: Final = 256
_FRESH_NS: Final = 2_000_000_000
_WHAT: Final = {"order": "new", "parent": "new", "modify": "replace", "cancel": "cancel"}


class Meters:
    """The order-to-trade meter of each account, fed from its journal, so that a restart counts on.

    Parameters
    ----------
    hub : Hub
        Knows the last price that an exemption is measured from; a message read back later than 2 s counts.
    exemptions : sequence of ExemptionRow
        What the exchanges leave out, by date.
    """

    def __init__(self, hub: Hub, exemptions: Sequence[ExemptionRow]) -> None:
        self._hub = hub
        self._exemptions = exemptions
        self._meters: dict[str, MessageMeter] = {}

    async def recall(self, seat: Seat, told: Callable[[str, str], None] = lambda kind, text: None) -> int:
        """Count what the day's journal holds already, and give its newest number; the loop is not held up.

        ``told`` hears the alarms (kind and text) that this process itself wrote, since it opened the journal.
        """
        after, newest = 0, seat.engine.journal.last_seq
        while after < newest:
            for event in seat.engine.events(after, min(_PAGE, newest - after)):
                self.take(seat, event)
                after = event.seq
                if event.kind == "alarm" and after > seat.engine.opened_seq:
                    told(*alarm_of(event))
            await asyncio.sleep(0)
        return after

    def take(self, seat: Seat, event: Event) -> None:
        """Count one journal event; a day's first one begins anew."""
        if event.kind == "open" or seat.account not in self._meters:
            self._meters[seat.account] = MessageMeter(self._exemptions)
        meter = self._meters[seat.account]
        order = seat.engine.core.orders.get(event.cl_ord_id)
        if order is not None:
            request = order.request
            if event.kind == "report" and event.payload.get("exec_type") == "trade":
                meter.on_trade(request.exchange)
            elif event.kind in _WHAT:
                instrument = seat.engine.core.book.instruments.get(request.symbol)
                kind = Kind.OPTION if instrument is None else instrument.kind
                price_p = event.payload.get("price_p") if event.kind == "modify" else request.price_p
                last_p = self._last_p(instrument, event.ts_ns, seat.engine.now_ns())
                for _ in range(max(1, len(event.payload.get("children", ())))):
                    meter.on_message(_WHAT[event.kind], request.exchange, kind, price_p, last_p, event.ts_ns)

    def row(self, seat: Seat) -> dict[str, Any]:
        """The execution figures of one account."""
        monitor, meter = seat.engine.monitor, self._meters.get(seat.account)
        figures = {} if monitor is None else monitor.execution()
        return {"account": seat.account, **figures, "order_to_trade": {} if meter is None else meter.summary()}

    def _last_p(self, instrument: Instrument | None, at_ns: int, now_ns: int) -> int | None:
        if instrument is None or now_ns - at_ns > _FRESH_NS:
            return None
        row = self._hub.board.row(self._hub.by_symbol.get(instrument.symbol, -1))
        if row is None or not row["ltp"] > 0:
            return None
        return round(float(row["ltp"]) * 100.0)


def alarm_of(event: Event) -> tuple[str, str]:
    """The kind and the text of an alarm."""
    return str(event.payload.get("kind", "alarm")), str(event.payload.get("text", ""))


def page(seat: Seat, after: int, most: int, *, chain: bool) -> list[dict[str, Any]]:
    """A page of a journal: public events, or (``chain``) records as they are, with what their chain is checked by."""
    if not chain:
        return [event_json(event, seat.account) for event in seat.engine.events(after, most)]
    entries = () if seat.engine.pen is None else seat.engine.pen.entries(after, most)
    return [{**audit_row(str(seat.engine.journal.path), entry), "account": seat.account} for entry in entries]


async def verified(seats: Sequence[Seat]) -> list[dict[str, Any]]:
    """Check the chain of each account's journal, where its writer can read it."""
    rows = []
    for seat in seats:
        journal = seat.engine.journal
        found = journal.verify()
        row: dict[str, Any] = {"account": seat.account, "broker": seat.broker, "journal": str(journal.path)}
        row |= {"state": found.state, "records": found.total, "good": found.good}
        rows.append({**row, "last_hash": found.last_hash, "text": found.text})
    return rows
