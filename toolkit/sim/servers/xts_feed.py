"""XTS's market data published: subscriptions bound to the session, events to whoever listens on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from toolkit.sim.roster import Listed
from toolkit.sim.servers.socketio import Peer, SocketBoard
from toolkit.sim.xts_form import XtsRefusal
from toolkit.sim.xts_frames import BINARY_CODES, attachments, packet
from toolkit.sim.xts_install import Install
from toolkit.sim.xts_market import Bar, XtsMarket

__all__ = ["MARKET_DATA", "XtsFeed"]

MARKET_DATA: Final = "marketdata"
_MINUTE_NS: Final = 60_000_000_000
_OPENS: Final = (2, "Normal market has opened")
_CLOSES: Final = (4, "Normal market has closed")

Event = dict[str, Any]


class XtsFeed:
    """The subscriptions of the one live market-data session.

    Parameters
    ----------
    market : XtsMarket
        Writes the events.
    sockets : SocketBoard
        Carries them.
    install : Install
        How.
    """

    def __init__(self, market: XtsMarket, sockets: SocketBoard, install: Install) -> None:
        self.market = market
        self.sockets = sockets
        self.install = install
        self.wanted: dict[tuple[int, int], Listed] = {}
        self._last: dict[tuple[int, int], Event] = {}
        self._bars: dict[int, Bar] = {}
        self._packets = 0
        self._session: tuple[int, str] | None = None

    @property
    def left(self) -> int:
        """How many more subscriptions the session may have."""
        return self.install.subscriptions - len(self.wanted)

    def clear(self) -> None:
        """Forget every subscription: the session is over."""
        self.wanted.clear()
        self._last.clear()
        self._bars.clear()

    def subscribe(self, code: int, rows: Sequence[Listed]) -> tuple[list[Listed], list[str]]:
        """Add subscriptions; gives the new ones and their snapshots.

        Raises
        ------
        XtsRefusal
            When it has them (any of them, where the install refuses whole batches), or the limit is reached.
        """
        unique = list({row.key: row for row in rows}.values())
        fresh = [row for row in unique if (code, row.key) not in self.wanted]
        if not fresh or (self.install.batch == "whole" and len(fresh) < len(unique)):
            left = {"Remaining_Subscription_Count": self.left}
            raise XtsRefusal("e-session-0002", "Instrument Already Subscribed !", result=left)
        if len(fresh) > self.left:
            left = {"Remaining_Subscription_Count": self.left}
            raise XtsRefusal("e-session-0004", "Subscription limit exceeded", result=left)
        snapshots = []
        for row in fresh:
            self.wanted[code, row.key] = row
            event = self.market.full(code, row)
            if event is not None:
                self._last[code, row.key] = event
                snapshots.append(msgspec.json.encode(event).decode())
        return fresh, snapshots

    def unsubscribe(self, code: int, rows: Sequence[Listed]) -> list[Listed]:
        """Take subscriptions away; gives those that there were."""
        held = [row for row in rows if self.wanted.pop((code, row.key), None) is not None]
        for row in held:
            self._last.pop((code, row.key), None)
        return held

    def ticks(self, keys: npt.NDArray[np.int64]) -> None:
        """Publish what changed, and the market's opening and closing."""
        self._tell_session()
        if not len(keys) or not self.wanted:
            return
        touched = {int(key) for key in keys}
        events = []
        for (code, key), listed in self.wanted.items():
            if key not in touched:
                continue
            event = self._candle(key, listed) if code == 1505 else self.market.full(code, listed)
            if event is not None:
                events.append((code, key, event))
        self._publish(events)

    def _publish(self, events: list[tuple[int, int, Event]]) -> None:
        peers = [p for p in self.sockets.of(MARKET_DATA) if not self.sockets.quiet(p, "silent")]
        packed = [self._packet(event) for code, _, event in events if code in BINARY_CODES] if self._any(peers) else []
        for peer in peers:
            binary = self._binary(peer)
            for code, key, event in events:
                if not (binary and code in BINARY_CODES):
                    self._text(peer, code, key, event)
            if binary:
                for blob in attachments(packed, self.install.packets):
                    self.sockets.event(peer, "xts-binary-packet", blob)
        for code, key, event in events:
            self._last[code, key] = event

    def _text(self, peer: Peer, code: int, key: int, event: Event) -> None:
        if peer.query.get("broadcastMode", "Full").lower() == "partial":
            text = self.market.partial(code, event, self._last.get((code, key), {}))
            self.sockets.event(peer, f"{code}-json-partial", text)
        else:
            self.sockets.event(peer, f"{code}-json-full", msgspec.json.encode(event).decode())

    def _binary(self, peer: Peer) -> bool:
        return self.install.format == "binary" or peer.query.get("publishFormat", "JSON").lower() == "binary"

    def _any(self, peers: Sequence[Peer]) -> bool:
        return any(self._binary(peer) for peer in peers)

    def _packet(self, event: Event) -> bytes:
        self._packets += 1
        deflated = self.install.deflate == "on" or (self.install.deflate == "mixed" and self._packets % 2 == 0)
        return packet(event, wide=self.install.layout == "wide", deflated=deflated)

    def _candle(self, key: int, listed: Listed) -> Event | None:
        """Fold the newest price into its minute; gives the minute before, once it is over."""
        day = self.market.world.row(key)
        ltp, volume = float(day["ltp"]), float(np.nan_to_num(day["volume"]))
        if math.isnan(ltp):
            return None
        start_ns = int(day["exch_ns"]) // _MINUTE_NS * _MINUTE_NS
        bar = self._bars.get(key)
        if bar is not None and bar.start_ns == start_ns:
            bar.high, bar.low, bar.close = max(bar.high, ltp), min(bar.low, ltp), ltp
            bar.volume = volume - bar.before
            return None
        before = volume if bar is None else bar.before + bar.volume
        self._bars[key] = Bar(start_ns, ltp, ltp, ltp, ltp, before, volume - before)
        return None if bar is None else self.market.candle(listed, bar)

    def _tell_session(self) -> None:
        world = self.market.world
        is_open = world.bounds[0] <= world.now_ns < world.bounds[1]
        now = _OPENS if is_open else _CLOSES
        if self._session is not None and self._session != now:
            for segment in sorted({self.market.directory.number(row) for row in world.roster.rows}):
                text = msgspec.json.encode(self.market.status(segment, *now)).decode()
                self.sockets.emit(MARKET_DATA, "1507-json-full", text)
        self._session = now
