"""A recorded session: a store on disk, or an official file read straight into memory.

:func:`open_session` opens either; :func:`write_tables` writes a store. What a session
shows at a time is what had been *received* by then: a row counts from ``recv_ts``, and
where no receiver stamped it, from the exchange's ``ts``.
"""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import polars as pl

from toolkit.calendar import read_clock
from toolkit.errors import BadData, UnknownSymbol, nearest
from toolkit.market.schema import CHAIN, INSTRUMENTS, IST, MARGINS
from toolkit.store.session_files import SCHEMAS, StoreWriter, instruments_file, read_manifest

__all__ = ["Session", "open_session", "write_tables"]

At = int | dt.datetime | dt.date | str
_KNOWN_TS: Final = pl.coalesce("recv_ts", "ts")
_OF_THE_MARKET: Final = tuple(table for table in SCHEMAS if table not in MARGINS)
_SNAPSHOT_TABLES: Final = ("chain", "futures", "spot")


def open_session(path: str | Path) -> Session:
    """Open a session store, or read an official or recorded file into memory.

    Parameters
    ----------
    path : str or Path
        A store's folder, a bhavcopy (UDiFF or legacy; zip, csv, csv.gz, Parquet), a recorded
        chain (Parquet, csv), or the exchange page's JSON.

    Raises
    ------
    BadData
        Nothing there, or not a file whose format is known.
    """
    path = Path(path)
    if path.is_dir():
        return Session(_Disk(path, read_manifest(path)))
    from toolkit.market.files.detect import read_file
    from toolkit.store.importing import record_of

    done = read_file(path)
    meta = {"name": path.name, "synthetic": False, "source": done.format, "files": [record_of(done)], "meta": {}}
    return Session(_Memory(done.tables, meta, done.chain_kind))


def write_tables(path: str | Path, tables: Mapping[str, pl.DataFrame], meta: Mapping[str, Any]) -> None:
    """Write a session store that holds exactly ``tables``; the same call again changes no byte.

    Parameters
    ----------
    path : str or Path
        Folder of the store: new, empty, or an earlier store, which is replaced in one step.
    tables : mapping of str to DataFrame
        ``chain futures spot eod ticks participants instruments`` in their schemas.
    meta : mapping
        ``name``, ``synthetic``, ``source`` and whatever else is worth keeping (JSON values).

    Raises
    ------
    BadData
        A frame does not fit its schema, the folder holds other files, or the disk fails;
        an earlier store stays as it was.
    """
    with StoreWriter(path, replace=True) as writer:
        writer.add(tables)
        writer.commit(meta)


class _Holder(Protocol):
    """Where a session's rows are."""

    manifest: dict[str, Any]

    def keys(self, table: str) -> list[tuple[dt.date, str]]: ...

    def read(self, table: str, keys: list[tuple[dt.date, str]], columns: list[str] | None = None) -> pl.DataFrame: ...

    def rows(self, table: str) -> int: ...

    def instruments(self) -> pl.DataFrame: ...

    def kind(self, date: dt.date, underlying: str) -> str: ...


class _Disk:
    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self._parts: dict[str, dict[tuple[dt.date, str], list[dict[str, Any]]]] = {}
        for table, parts in manifest["parts"].items():
            held = self._parts.setdefault(table, {})
            for part in parts:
                held.setdefault((dt.date.fromisoformat(part["date"]), part["underlying"]), []).append(part)

    def keys(self, table: str) -> list[tuple[dt.date, str]]:
        return sorted(self._parts.get(table, {}))

    def rows(self, table: str) -> int:
        return sum(int(part["rows"]) for parts in self._parts.get(table, {}).values() for part in parts)

    def read(self, table: str, keys: list[tuple[dt.date, str]], columns: list[str] | None = None) -> pl.DataFrame:
        schema = SCHEMAS[table]
        wanted = columns or list(schema)
        files = [self.path / part["path"] for key in keys for part in self._parts[table][key]]
        if not files:
            return pl.DataFrame(schema={c: schema[c] for c in wanted})
        return self._parquet(files, wanted)

    def _parquet(self, files: list[Path], columns: list[str]) -> pl.DataFrame:
        try:
            return pl.read_parquet(files, columns=columns, hive_partitioning=False)
        except FileNotFoundError:
            raise BadData(
                f"{self.path} changed or lost a part; open it again, or import the day's files again"
            ) from None
        except (pl.exceptions.PolarsError, OSError) as error:
            text = " ".join(str(error).split())[:120]
            raise BadData(f"{self.path} has a damaged part ({text}); import the day's files again") from None

    def instruments(self) -> pl.DataFrame:
        file = instruments_file(self.path, self.manifest)
        return INSTRUMENTS.to_frame() if file is None else self._parquet([file], list(INSTRUMENTS))

    def kind(self, date: dt.date, underlying: str) -> str:
        parts = self._parts.get("chain", {}).get((date, underlying), [])
        return str(parts[0].get("kind", "snapshots")) if parts else "snapshots"


class _Memory:
    def __init__(self, tables: Mapping[str, pl.DataFrame], manifest: dict[str, Any], chain_kind: str) -> None:
        self.manifest = manifest
        self._kind = chain_kind
        self._instruments: pl.DataFrame = tables.get("instruments", INSTRUMENTS.to_frame())
        self._tables: dict[str, dict[tuple[dt.date, str], pl.DataFrame]] = {}
        for table, frame in tables.items():
            if table != "instruments":
                self._tables[table] = dict(_split(frame))

    def keys(self, table: str) -> list[tuple[dt.date, str]]:
        return sorted(self._tables.get(table, {}))

    def rows(self, table: str) -> int:
        return sum(frame.height for frame in self._tables.get(table, {}).values())

    def read(self, table: str, keys: list[tuple[dt.date, str]], columns: list[str] | None = None) -> pl.DataFrame:
        schema = SCHEMAS[table]
        wanted = columns or list(schema)
        if not keys:
            return pl.DataFrame(schema={c: schema[c] for c in wanted})
        made: pl.DataFrame = pl.concat([self._tables[table][key].select(wanted) for key in keys])
        return made

    def instruments(self) -> pl.DataFrame:
        return self._instruments

    def kind(self, date: dt.date, underlying: str) -> str:
        return self._kind


def _split(frame: pl.DataFrame) -> Iterator[tuple[tuple[dt.date, str], pl.DataFrame]]:
    dated = frame if "date" in frame.columns else frame.with_columns(pl.col("ts").dt.date().alias("__date"))
    keys = ["date" if "date" in frame.columns else "__date"]
    if "underlying" in frame.columns:
        keys.append("underlying")
    for key, piece in dated.partition_by(keys, as_dict=True, maintain_order=True).items():
        yield (key[0], str(key[1]) if len(key) > 1 else "_"), piece.drop("__date", strict=False)


class Session:
    """Recorded market data: which underlyings and days, and what was known when.

    Made by :func:`open_session`. Frames have the schemas of ``toolkit.market.schema``.
    """

    def __init__(self, holder: _Holder) -> None:
        self._holder = holder

    @property
    def name(self) -> str:
        """The store's or the file's name."""
        return str(self._holder.manifest["name"])

    @property
    def synthetic(self) -> bool:
        """Whether the data was generated, not recorded."""
        return bool(self._holder.manifest["synthetic"])

    @property
    def meta(self) -> dict[str, Any]:
        """Source, imported files and the writer's own notes."""
        found = self._holder.manifest
        own = {"name": self.name, "synthetic": self.synthetic, "source": found.get("source", "")}
        return {**found.get("meta", {}), **own, "files": list(found.get("files", []))}

    def underlyings(self) -> list[str]:
        """Names of the underlyings, sorted."""
        return sorted({u for table in _OF_THE_MARKET for _, u in self._holder.keys(table)} - {"_"})

    def dates(self, underlying: str | None = None, table: str | None = None) -> list[dt.date]:
        """Days with data (of ``underlying``, in ``table``), ascending: by the exchange's stamp."""
        self._check(underlying)
        names = _OF_THE_MARKET if table is None else [self._known(table)]
        keys = {key for name in names for key in self._holder.keys(name)}
        return sorted({d for d, u in keys if underlying is None or u == underlying})

    def expiries(self, underlying: str | None = None, date: dt.date | str | None = None) -> list[dt.date]:
        """Expiries of the options in the chain (else the end-of-day table), ascending."""
        for table in ("chain", "eod"):
            found = self._rows(table, underlying, date, ["expiry"])["expiry"].drop_nulls().unique().sort()
            if len(found):
                return list(found.to_list())
        return []

    def kind(self, date: dt.date | str, underlying: str) -> str:
        """``snapshots`` for a recorded day, ``eod`` for one closing snapshot of an end-of-day file."""
        return self._holder.kind(_date(date), underlying)

    def frame(self, table: str, underlying: str | None = None, date: dt.date | str | None = None) -> pl.DataFrame:
        """Rows of a table.

        Parameters
        ----------
        table : {"chain", "futures", "spot", "eod", "ticks", "participants"}
            Which table; of margin files ``margin``, ``margin_arrays``, ``margin_spreads``, ``margin_rates``.
        underlying, date : optional
            Only those rows.

        Raises
        ------
        UnknownSymbol
            The session has nothing of that underlying.
        BadData
            No such table, or a date it does not hold.
        """
        return self._rows(table, underlying, date, None)

    def chain(
        self, at: At | None = None, underlying: str | None = None, expiry: dt.date | str | None = None
    ) -> pl.DataFrame:
        """The newest chain snapshot that had been received by ``at``.

        Parameters
        ----------
        at : int, datetime, date or str, optional
            Nanoseconds UTC, a time (naive means India's), a day (its end), or text of those
            (``"2025-08-29 10:15"``; ``"10:15"`` on the only day). Default: the last one.
        underlying, expiry : optional
            Only those rows. Each underlying and expiry gives its own newest snapshot of the day.

        Returns
        -------
        polars.DataFrame
            Rows of the chain table; empty when nothing had been received.
        """
        until = None if at is None else self._instant(at, underlying)
        wanted = None if expiry is None else _date(expiry)
        self._check(underlying)
        for date in sorted({d for d, u in self._holder.keys("chain") if underlying in (None, u)}, reverse=True):
            keys = [(d, u) for d, u in self._holder.keys("chain") if d == date and underlying in (None, u)]
            rows = self._named("chain", keys).with_columns(_KNOWN_TS.alias("known"))
            if until is not None:
                rows = rows.filter(pl.col("known").dt.epoch("us") * 1000 <= until)
            if wanted is not None:
                rows = rows.filter(pl.col("expiry") == wanted)
            if rows.height:
                newest = pl.col("known") == pl.col("known").max().over("underlying", "expiry")
                rows = rows.filter(newest)
                return rows.filter(pl.col("ts") == pl.col("ts").max().over("underlying", "expiry")).drop("known")
        return CHAIN.to_frame()

    def chains(self, underlying: str | None = None) -> Iterator[pl.DataFrame]:
        """Each chain snapshot in the order of receipt; one frame an underlying and moment."""
        self._check(underlying)
        dates = sorted({d for d, u in self._holder.keys("chain") if underlying in (None, u)})
        for date in dates:
            keys = [(d, u) for d, u in self._holder.keys("chain") if d == date and underlying in (None, u)]
            rows = self._named("chain", keys).with_columns(_KNOWN_TS.alias("known"))
            rows = rows.sort("known", "underlying", maintain_order=True)
            for piece in rows.partition_by("known", "underlying", maintain_order=True):
                yield piece.drop("known")

    def parts(self, table: str) -> list[tuple[dt.date, str]]:
        """The days and underlyings that a table has rows of."""
        return list(self._holder.keys(self._known(table)))

    def part(self, table: str, underlying: str, date: dt.date) -> pl.DataFrame:
        """Rows of one day and underlying, as imported: also of margin files, whose symbols need no chain."""
        keys = [key for key in self._holder.keys(self._known(table)) if key == (date, underlying)]
        return self._holder.read(table, keys)

    def ticks(self, underlying: str | None = None) -> pl.DataFrame:
        """The ticks table (of ``underlying``)."""
        return self.frame("ticks", underlying)

    def instruments(self) -> pl.DataFrame:
        """Contract terms by date: the recorded master's, and of recorded contracts that it lacks
        what their rows and the dated tables say."""
        from toolkit.market.files.terms import derived_instruments

        held = self._master
        columns = ["ts", "underlying", "expiry", "strike_p", "option_type", "token", "lot"]
        keys = [key for key in self._holder.keys("chain") if not held.height or self._holder.kind(*key) != "eod"]
        rows = self._named("chain", keys, columns).join(held.select("token").unique(), on="token", how="anti")
        if rows.is_empty():
            return held
        made: pl.DataFrame = pl.concat([held, derived_instruments(rows)])
        return made

    def quality(self) -> pl.DataFrame:
        """What was refused, changed or odd: ``rule``, ``count``, ``detail``, sorted by rule."""
        from toolkit.store.session_quality import import_quality, stamp_quality

        rules = import_quality(self._holder.manifest.get("files", []))
        for underlying in sorted({u for _, u in self._holder.keys("chain")}):
            keys = [key for key in self._holder.keys("chain") if key[1] == underlying]
            rules += stamp_quality(self._holder.read("chain", keys, ["ts", "recv_ts"]), underlying)
        frame = pl.DataFrame(rules, schema={"rule": pl.String, "count": pl.Int64, "detail": pl.String}, orient="row")
        return frame.sort("rule", "detail")

    def _rows(
        self, table: str, underlying: str | None, date: dt.date | str | None, columns: list[str] | None
    ) -> pl.DataFrame:
        self._known(table)
        self._check(underlying)
        on = None if date is None else _date(date)
        if on is not None and on not in self.dates(underlying):
            raise BadData(self._no_day(on, underlying))
        keys = [
            (d, u)
            for d, u in self._holder.keys(table)
            if (underlying is None or u == underlying) and (on is None or d == on)
        ]
        return self._named(table, keys, columns)

    @cached_property
    def _master(self) -> pl.DataFrame:
        return self._holder.instruments()

    def _named(self, table: str, keys: list[tuple[dt.date, str]], columns: list[str] | None = None) -> pl.DataFrame:
        """Rows of a table, stand-in tokens replaced by those of the session's own instruments."""
        from toolkit.market.files.terms import with_named_tokens

        rows = self._holder.read(table, keys, columns)
        named = {"token", "underlying", "expiry"} <= set(rows.columns)
        return with_named_tokens(rows, self._master) if named else rows

    def _no_day(self, on: dt.date, underlying: str | None) -> str:
        from toolkit import tables

        days = self.dates(underlying)
        span = f"{days[0]} to {days[-1]}" if days else "none"
        try:
            closed = not tables.calendar().is_session(on)
        except BadData:
            closed = False
        why = "is no trading day" if closed else "is not in the session"
        return f"{on} {why}; its days are {span} ({len(days)})"

    def _known(self, table: str) -> str:
        if table not in SCHEMAS:
            raise BadData(f"no table {table!r} in a session{nearest(table, SCHEMAS)}; tables are {', '.join(SCHEMAS)}")
        return table

    def _check(self, underlying: str | None) -> None:
        known = self.underlyings() if underlying is not None else []
        if underlying is not None and underlying not in known:
            hint = nearest(underlying, known) or f"; it has {', '.join(known[:8]) or 'none'}{' ...' * (len(known) > 8)}"
            raise UnknownSymbol(f"no underlying {underlying!r} in session {self.name}{hint}")

    def _instant(self, at: At, underlying: str | None) -> int:
        """Nanoseconds UTC of ``at``."""
        if isinstance(at, str):
            at = self._parse(at.strip(), underlying)
        if isinstance(at, dt.datetime):
            moment = pl.Series([at.replace(tzinfo=None)], dtype=pl.Datetime("us")).dt.replace_time_zone(IST)
            if at.tzinfo is not None:
                utc = at.astimezone(dt.UTC).replace(tzinfo=None)
                moment = pl.Series([utc], dtype=pl.Datetime("us")).dt.replace_time_zone("UTC")
            return int(moment.dt.epoch("us")[0]) * 1000
        if isinstance(at, dt.date):
            return self._instant(dt.datetime.combine(at, dt.time(23, 59, 59, 999999)), underlying)
        return int(at)

    def _parse(self, text: str, underlying: str | None) -> dt.datetime | dt.date:
        try:
            if len(text) == 10:
                return dt.date.fromisoformat(text)
            if "-" in text:
                return dt.datetime.fromisoformat(text)
            days = self.dates(underlying)
            if len(days) == 1:
                return dt.datetime.combine(days[0], read_clock(text))
        except ValueError:
            raise BadData(f"at must be a time such as '2025-08-29 10:15', was {text!r}") from None
        raise BadData(f"at must name its day, was {text!r}; the session has {len(days)} days")

    def _facts(self) -> list[tuple[str, str]]:
        days, names = self.dates(), self.underlyings()
        span = f"{days[0]} to {days[-1]} ({len(days)})" if days else "none"
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        rows = ", ".join(f"{t} {self._holder.rows(t):,}" for t in SCHEMAS if self._holder.keys(t))
        return [
            ("data", "synthetic" if self.synthetic else "recorded"),
            ("underlyings", shown or "none"),
            ("days", span),
            ("rows", rows or "none"),
        ]

    def __repr__(self) -> str:
        return f"Session({self.name!r}: " + "; ".join(f"{k} {v}" for k, v in self._facts()) + ")"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in self._facts())
        head = f"Session {html.escape(self.name)}: quantities in units, prices in rupees, strikes in paise, times IST"
        return f"<table><caption>{head}</caption>{rows}</table>"


def _date(value: dt.date | str) -> dt.date:
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        raise BadData(f"a date must read YYYY-MM-DD, was {value!r}") from None
