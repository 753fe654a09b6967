"""XTS's market data as text, from the simulated day: full events, the partial form, candles."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from toolkit.calendar import IST, ist_ns
from toolkit.sim.kite_form import WireRefusal
from toolkit.sim.kite_market import candles
from toolkit.sim.roster import INDEX_SEGMENT, Listed
from toolkit.sim.world import World
from toolkit.sim.xts_form import XtsRefusal, invalid
from toolkit.sim.xts_names import Directory, raw_s

__all__ = ["CODES", "Bar", "XtsMarket"]

CODES: Final = (1501, 1502, 1504, 1505, 1510, 1512)
"""What can be subscribed."""

_BOOK_TYPE: Final = 1
_MARKET_TYPE: Final = 1
_SEQUENCE: Final = 1_590_018_768_000_000
_MINUTE_NS: Final = 60_000_000_000
_INTERVALS: Final = {
    "60": ("minute", 60),
    "180": ("3minute", 180),
    "300": ("5minute", 300),
    "600": ("10minute", 600),
    "900": ("15minute", 900),
    "1800": ("30minute", 1800),
    "3600": ("60minute", 3600),
    "D": ("day", 86_400),
}
_TOUCH_KEYS: Final = {
    "LastTradedPrice": "ltp",
    "LastTradedQunatity": "ltq",
    "TotalBuyQuantity": "tb",
    "TotalSellQuantity": "ts",
    "TotalTradedQuantity": "v",
    "AverageTradedPrice": "ap",
    "LastTradedTime": "ltt",
    "LastUpdateTime": "lut",
    "PercentChange": "pc",
    "Open": "o",
    "High": "h",
    "Low": "l",
    "Close": "c",
    "TotalValueTraded": "vp",
}
_INDEX_KEYS: Final = {
    "IndexValue": "ltp",
    "OpeningIndex": "o",
    "HighIndexValue": "h",
    "LowIndexValue": "l",
    "ClosingIndex": "c",
    "PercentChange": "pc",
    "YearlyHigh": "yh",
    "YearlyLow": "yl",
}
_BAR_KEYS: Final = {"Open": "o", "High": "h", "Low": "l", "Close": "c", "BarTime": "bt", "BarVolume": "bv"}
_LTP_KEYS: Final = {"LastTradedPrice": "ltp", "LastTradedQunatity": "ltq", "LastUpdateTime": "lut"}


class Bar(msgspec.Struct):
    """One minute of one contract while it is built; ``volume`` counts from the minute's start."""

    start_ns: int
    open: float
    high: float
    low: float
    close: float
    before: float
    volume: float = 0.0


class XtsMarket:
    """Writes the events of one simulated day; ``flat`` puts touchline fields beside the others."""

    def __init__(self, world: World, directory: Directory, *, flat: bool = False) -> None:
        self.world = world
        self.directory = directory
        self.flat = flat
        self._sequence = _SEQUENCE

    def full(self, code: int, listed: Listed) -> dict[str, Any] | None:
        """The full event of a contract, None before its first price; a candle (1505) comes from :meth:`candle`."""
        day = self.world.row(listed.key)
        if day is None or (math.isnan(day["ltp"]) and math.isnan(day["bid"]) and math.isnan(day["ask"])):
            return None
        if code == 1504:
            return self._index(listed, day) if listed.key % 256 == INDEX_SEGMENT else None
        if code == 1510:
            if math.isnan(day["oi"]):
                return None
            return {**self._head(code, listed, day), "XTSMarketType": _MARKET_TYPE, "OpenInterest": int(day["oi"])}
        touch = _touchline(day)
        if code == 1512:
            head = self._head(code, listed, day)
            del head["ExchangeTimeStamp"]
            last = {name: touch[name] for name in _LTP_KEYS}
            return {**head, "BookType": _BOOK_TYPE, "XMarketType": _MARKET_TYPE, **last}
        if code not in (1501, 1502):
            return None
        self._sequence += 1
        marks = {"BookType": _BOOK_TYPE, "XMarketType": _MARKET_TYPE, "SequenceNumber": self._sequence}
        event = self._head(code, listed, day)
        if code == 1502:
            event |= {"Bids": _depth(day["bid"], day["bid_qty"]), "Asks": _depth(day["ask"], day["ask_qty"])}
        shown = touch if self.flat and code == 1501 else {"Touchline": touch}
        return {**event, **marks, **shown}

    def candle(self, listed: Listed, bar: Bar) -> dict[str, Any]:
        """The event of a finished minute: stamped with its end minus one second, id as text."""
        day = self.world.row(listed.key)
        typical = (bar.high + bar.low + bar.close) / 3.0
        head = self._head(1505, listed, day)
        del head["ExchangeTimeStamp"]
        return {
            **head,
            "ExchangeInstrumentID": str(self.directory.instrument(listed)),
            "BarTime": raw_s(bar.start_ns + _MINUTE_NS) - 1,
            "BarVolume": int(bar.volume),
            "OpenInterest": _units(day["oi"]),
            "SumOfQtyInToPrice": round(bar.volume * typical, 2),
            "Open": bar.open,
            "High": bar.high,
            "Low": bar.low,
            "Close": bar.close,
        }

    def status(self, segment: int, session: int, text: str) -> dict[str, Any]:
        """The event 1507: the market of a segment opens or closes."""
        return {
            "MessageCode": 1507,
            "MessageVersion": 4,
            "ApplicationType": 0,
            "TokenID": 0,
            "ExchangeSegment": segment,
            "ExchangeInstrumentID": 0,
            "ExchangeTimeStamp": raw_s(self.world.now_ns),
            "maketType": _MARKET_TYPE,
            "tradingSession": session,
            "message": text,
            "SequenceNumber": 1,
        }

    def ohlc(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Candles as XTS serves them: the bar's end minus one second, Indian wall clock as if it were UTC.

        Raises
        ------
        XtsRefusal
            For an unknown contract, time or interval, or a span that is too long.
        """
        listed = self.directory.find(query.get("exchangeSegment", ""), query.get("exchangeInstrumentID"))
        if listed is None:
            raise XtsRefusal("e-instrument-0001", "Instrument not found")
        if query.get("compressionValue") not in _INTERVALS:
            raise invalid(f"compressionValue must be one of {', '.join(_INTERVALS)}")
        name, width_s = _INTERVALS[query["compressionValue"]]
        start, end = _moment(query, "startTime"), _moment(query, "endTime")
        asked = {"from": start.isoformat(), "to": end.isoformat(), "oi": "1"}
        try:
            rows = candles(self.world, str(listed.key), name, asked)["candles"]
        except WireRefusal as refusal:
            raise invalid(str(refusal)) from None
        close_ns = self.world.bounds[1]
        texts = []
        for at, *values in rows:
            begins_ns = _ns(dt.datetime.fromisoformat(at))
            ends_ns = min(begins_ns + width_s * 1_000_000_000, close_ns) if width_s < 86_400 else close_ns
            wall = ends_ns // 1_000_000_000 - 1 + 19_800
            texts.append(
                "|".join([str(wall), *(f"{value:g}" if isinstance(value, float) else str(value) for value in values)])
                + "|"
            )
        return {
            "exchangeSegment": query.get("exchangeSegment"),
            "exchangeInstrumentID": query.get("exchangeInstrumentID"),
            "dataReponse": ",".join(texts),
        }

    def partial(self, code: int, event: Mapping[str, Any], before: Mapping[str, Any]) -> str:
        """The partial text of an event against the one before: only what changed."""
        name = event.get("IndexName", event.get("ExchangeInstrumentID"))
        parts = [f"t:{event['ExchangeSegment']}_{name}"]
        if code == 1510:
            return ",".join([*parts, f"o:{event['OpenInterest']}"])
        if code == 1505:
            parts += [f"{key}:{_text(event[field])}" for field, key in _BAR_KEYS.items()]
            return ",".join([*parts, f"pv:{_text(event['SumOfQtyInToPrice'])}"])
        if code == 1512:
            parts += [f"{key}:{_text(event[field])}" for field, key in _LTP_KEYS.items()]
            return ",".join([*parts, f"bt:{event['BookType']}", f"mt:{event['XMarketType']}"])
        fields = _INDEX_KEYS if code == 1504 else _TOUCH_KEYS
        now, then = event.get("Touchline", event), before.get("Touchline", before)
        parts += [
            f"{key}:{_text(now[f])}" for f, key in fields.items() if now.get(f) is not None and now[f] != then.get(f)
        ]
        if code in (1501, 1502):
            for key, deep, best in (("ai", "Asks", "AskInfo"), ("bi", "Bids", "BidInfo")):
                levels = event[deep] if code == 1502 else [now[best]]
                known = before.get(deep, []) if code == 1502 else [then.get(best)]
                if levels != known:
                    parts.append(f"{key}:{_levels(levels, known, fifth=code == 1501)}")
        return ",".join(parts)

    def _head(self, code: int, listed: Listed, day: Any) -> dict[str, Any]:
        return {
            "MessageCode": code,
            "MessageVersion": 4,
            "ApplicationType": 0,
            "TokenID": 0,
            "ExchangeSegment": self.directory.number(listed),
            "ExchangeInstrumentID": self.directory.instrument(listed),
            "ExchangeTimeStamp": raw_s(int(day["exch_ns"])),
        }

    def _index(self, listed: Listed, day: Any) -> dict[str, Any]:
        high, low = _number(day["high"]), _number(day["low"])
        return {
            **self._head(1504, listed, day),
            "IndexName": listed.name,
            "IndexValue": _number(day["ltp"]),
            "OpeningIndex": _number(day["open"]),
            "ClosingIndex": _number(day["close"]),
            "HighIndexValue": high,
            "LowIndexValue": low,
            "PercentChange": _percent(day),
            "YearlyHigh": high,
            "YearlyLow": low,
            "NoOfUpmoves": 0,
            "NoOfDownmoves": 0,
            "MarketCapitalisation": 0,
        }


def _touchline(day: Any) -> dict[str, Any]:
    volume, value = day["volume"], day["value"]
    return {
        "BidInfo": _level(day["bid"], day["bid_qty"]),
        "AskInfo": _level(day["ask"], day["ask_qty"]),
        "LastTradedPrice": _number(day["ltp"]),
        "LastTradedQunatity": _units(day["last_qty"]),
        "TotalBuyQuantity": _units(day["bid_qty"]),
        "TotalSellQuantity": _units(day["ask_qty"]),
        "TotalTradedQuantity": _units(volume),
        "AverageTradedPrice": round(float(value / volume), 2) if volume > 0 else 0,
        "LastTradedTime": raw_s(int(day["trade_ns"])),
        "LastUpdateTime": raw_s(int(day["exch_ns"])),
        "PercentChange": _percent(day),
        "Open": _number(day["open"]),
        "High": _number(day["high"]),
        "Low": _number(day["low"]),
        "Close": _number(day["close"]),
        "TotalValueTraded": None,
        "BuyBackTotalBuy": 0,
        "BuyBackTotalSell": 0,
    }


def _level(price: float, qty: float) -> dict[str, Any]:
    shown = price > 0 and qty > 0
    size = _units(qty) if shown else 0
    return {"Size": size, "Price": _number(price) if shown else 0, "TotalOrders": int(shown), "BuyBackMarketMaker": 0}


def _depth(price: float, qty: float) -> list[dict[str, Any]]:
    """Five levels, of which only the best is recorded."""
    return [_level(price, qty), *(_level(math.nan, math.nan) for _ in range(4))]


def _levels(levels: list[Any], known: list[Any], *, fifth: bool) -> str:
    """``index|size|price|orders`` a level, nothing between the bars where a level did not change."""
    parts = []
    for number, level in enumerate(levels):
        if number < len(known) and level == known[number]:
            parts.append(f"{number}|||")
        else:
            parts.append(f"{number}|{level['Size']}|{_text(level['Price'])}|{level['TotalOrders']}")
    return "|".join([*parts, "1"] if fifth else parts)


def _percent(day: Any) -> float:
    close = float(day["close"])
    return 0.0 if not close > 0 or math.isnan(day["ltp"]) else (float(day["ltp"]) / close - 1.0) * 100.0


def _number(value: float) -> float:
    if math.isnan(value):
        return 0
    rounded = round(float(value), 2)
    return int(rounded) if rounded.is_integer() else rounded


def _units(value: float) -> int:
    return 0 if math.isnan(value) else int(value)


def _text(value: float) -> str:
    return f"{value:.10g}"


def _moment(query: Mapping[str, str], name: str) -> dt.datetime:
    try:
        return dt.datetime.strptime(query.get(name, ""), "%b %d %Y %H%M%S").replace(tzinfo=IST)
    except ValueError:
        raise invalid(f"{name} must read like Dec 16 2025 091500") from None


def _ns(at: dt.datetime) -> int:
    local = at.astimezone(IST)
    return ist_ns(local.date(), local.time())
