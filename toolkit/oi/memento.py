"""The engine's whole state as bytes and back."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl

from toolkit.errors import BadData
from toolkit.oi.book import Book, OpenBurst, Record, Series
from toolkit.oi.config import OIConfig
from toolkit.oi.core import ExpiryCore
from toolkit.oi.detect import ExpiryEvents, Latches
from toolkit.oi.events import Event
from toolkit.oi.layout import Block, blocks
from toolkit.oi.ticks import frame_bytes

if TYPE_CHECKING:
    from toolkit.oi.engine import OIShiftEngine

__all__ = ["dump_engine", "fingerprint", "load_engine"]

VERSION: Final = 1
_EVENT_FIELDS: Final = (
    "day",
    "last_ns",
    "fresh_ns",
    "last_eod",
    "breached",
    "touched",
    "pain_lo",
    "pain_hi",
    "pain_times",
    "gamma_sign",
    "gamma_times",
    "prev",
)


def fingerprint(config: OIConfig) -> str:
    """A hash of every setting but the calendar: a state goes on only under the settings it was taken with."""
    parts = [
        f"{f.name}={getattr(config, f.name)!r}" for f in fields(config) if f.name not in ("calendar", "thresholds")
    ]
    parts += [f"{name}={config.thresholds[name]!r}" for name in sorted(config.thresholds)]
    return hashlib.blake2b("|".join(parts).encode(), digest_size=8).hexdigest()


def dump_engine(engine: OIShiftEngine) -> bytes:
    """Everything the engine remembers, as MessagePack."""
    return msgspec.msgpack.encode(
        {
            "version": VERSION,
            "config": fingerprint(engine.config),
            "books": {name: _book(book) for name, book in sorted(engine._books.items())},
            "open": {name: _open(burst) for name, burst in sorted(engine._open.items())},
            "records": {name: [_record(r) for r in held] for name, held in sorted(engine._records.items())},
            "events": [_event(e) for e in engine._events],
            "futures": engine._futures.dump(),
            "counts": engine._counts,
            "tape": engine._tape.dump(),
        }
    )


def load_engine(engine: OIShiftEngine, state: bytes) -> None:
    """Replace the engine's memory by ``state``; unchanged when that is refused."""
    try:
        held = msgspec.msgpack.decode(state)
        version, owner = held["version"], held["config"]
    except (msgspec.DecodeError, KeyError, TypeError):
        raise BadData("these bytes are no state of an OIShiftEngine; give what state() returned") from None
    if version != VERSION:
        raise BadData(f"the state must be of version {VERSION}, was {version}; run the day again")
    if owner != fingerprint(engine.config):
        raise BadData("the state was taken under other settings; build the engine with the same OIConfig")
    books = {name: _to_book(name, dumped, engine) for name, dumped in held["books"].items()}
    opened = {}
    for name, dumped in held["open"].items():
        burst = OpenBurst(dumped["ts_ns"])
        burst.frames = [pl.read_ipc(b) for b in dumped["frames"]]
        for block in _blocks(burst.frames, engine.config):
            burst.blocks[block.expiry] = block
        burst.before = {_date(e): None if s is None else _to_series(s, engine) for e, s in dumped["before"]}
        burst.moved = {_date(a): _date(b) for a, b in dumped["moved"]}
        burst.records = {_date(e): _to_record(r) for e, r in dumped["records"]}
        burst.events = [_to_event(e) for e in dumped["events"]]
        burst.pending = [(d, t, b, _array(m)) for d, t, b, m in dumped["pending"]]
        burst.roll = _to_latches(dumped["roll"])
        opened[name] = burst
    engine._books, engine._open = books, opened
    engine._records = {name: [_to_record(r) for r in rows] for name, rows in held["records"].items()}
    engine._events = [_to_event(e) for e in held["events"]]
    engine._futures.load(held["futures"])
    engine._counts = dict(held["counts"])
    engine._tape.load(held["tape"])


def _blocks(frames: list[pl.DataFrame], config: OIConfig) -> list[Block]:
    """The open burst's rows laid out again, the first of each contract."""
    if not frames:
        return []
    keys = ["expiry", "strike_p", "option_type"]
    rows = pl.concat(frames).unique(keys, keep="first", maintain_order=True).sort(keys)
    return blocks(rows, config.calendar, config.rate)


def _pack(array: Any) -> list[Any]:
    return [array.dtype.str, list(array.shape), np.ascontiguousarray(array).tobytes()]


def _array(packed: list[Any]) -> Any:
    return np.frombuffer(packed[2], dtype=packed[0]).reshape(packed[1]).copy()


def _date(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def _book(book: Book) -> dict[str, Any]:
    return {
        "series": [_series(s) for _, s in sorted(book.series.items())],
        "history": book.history.dump(),
        "roll": _latches(book.roll),
    }


def _to_book(name: str, dumped: dict[str, Any], engine: OIShiftEngine) -> Book:
    book = Book(name, engine.config, engine._limits)
    for item in dumped["series"]:
        series = _to_series(item, engine)
        book.series[series.expiry] = series
    book.history.load(dumped["history"])
    book.roll = _to_latches(dumped["roll"])
    return book


def _series(series: Series) -> dict[str, Any]:
    events = series.events
    return {
        "expiry": series.expiry.isoformat(),
        "core": {name: _pack(array) for name, array in series.core.arrays().items()},
        "tokens": _pack(series.tokens),
        "implied": _pack(series.implied),
        "events": {name: getattr(events, name) for name in _EVENT_FIELDS},
        "latches": _latches(events.latches),
        "scores": {n: _pack(getattr(events.scores, n)) for n in ("session", "session_n", "sums", "z", "alarm")},
    }


def _to_series(dumped: dict[str, Any], engine: OIShiftEngine) -> Series:
    core = ExpiryCore.from_arrays(engine.config, {name: _array(v) for name, v in dumped["core"].items()})
    events = ExpiryEvents(engine.config, engine._limits)
    for name, value in dumped["events"].items():
        setattr(events, name, value)
    events.latches = _to_latches(dumped["latches"])
    for name, packed in dumped["scores"].items():
        getattr(events.scores, name)[:] = _array(packed)
    return Series(_date(dumped["expiry"]), core, events, _array(dumped["tokens"]), _array(dumped["implied"]))


def _latches(latches: Latches) -> list[Any]:
    return [latches.held, latches.fired]


def _to_latches(dumped: list[Any]) -> Latches:
    latches = Latches()
    latches.held, latches.fired = dict(dumped[0]), dict(dumped[1])
    return latches


def _record(r: Record) -> list[Any]:
    moved = None if r.redated_from is None else r.redated_from.isoformat()
    return [r.ts_ns, r.expiry.isoformat(), _pack(r.levels), _pack(r.shifts), r.base_ts, r.restated, moved]


def _to_record(d: list[Any]) -> Record:
    moved = None if d[6] is None else _date(d[6])
    return Record(d[0], _date(d[1]), _array(d[2]), _array(d[3]), d[4], d[5], moved)


def _event(e: Event) -> list[Any]:
    return [*e[:2], None if e.expiry is None else e.expiry.isoformat(), *e[3:10], dict(e.evidence)]


def _to_event(d: list[Any]) -> Event:
    return Event(d[0], d[1], None if d[2] is None else _date(d[2]), d[3], d[4], d[5], d[6], d[7], d[8], d[9], d[10])


def _open(burst: Any) -> dict[str, Any]:
    return {
        "ts_ns": burst.ts_ns,
        "frames": [frame_bytes(f) for f in burst.frames],
        "before": [[e.isoformat(), None if s is None else _series(s)] for e, s in sorted(burst.before.items())],
        "moved": [[a.isoformat(), b.isoformat()] for a, b in sorted(burst.moved.items())],
        "records": [[e.isoformat(), _record(r)] for e, r in sorted(burst.records.items())],
        "events": [_event(e) for e in burst.events],
        "pending": [[d, t, b, _pack(m)] for d, t, b, m in burst.pending],
        "roll": _latches(burst.roll),
    }
