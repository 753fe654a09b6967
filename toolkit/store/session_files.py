"""The files of a session store, and the one way they change.

A store is a folder: ``session.json`` names every Parquet part
``TABLE/date=YYYY-MM-DD/underlying=X/part-HASH.parquet`` and ``instruments.parquet``. Part
names carry the hash of their bytes, readers open only what ``session.json`` names, and
replacing ``session.json`` is the commit: before it the old store stands, after it the new
one. A day of an underlying has one part in a table, or several in order of receipt while it
is being recorded (``session_append.py``). New files are written and flushed in a sibling
folder first. A killed writer leaves files that no ``session.json`` names; the next writer
removes them.

A chain part has a ``kind``: ``snapshots`` (recorded through the day) or ``eod`` (one closing
snapshot made of an end-of-day file, stamped at the session's close). A day has one or the
other: recorded snapshots replace a closing snapshot, which never joins them.
"""

from __future__ import annotations

import datetime as dt
import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote

import polars as pl

from toolkit.errors import BadData
from toolkit.market.schema import INSTRUMENTS, MARGINS, PARTICIPANTS, SCHEMA_VERSION, TABLES

__all__ = [
    "KEYS",
    "MANIFEST",
    "SCHEMAS",
    "StoreWriter",
    "coverage",
    "instruments_file",
    "lock_store",
    "make_part",
    "one_line",
    "read_manifest",
    "split_parts",
    "sync",
]

MANIFEST: Final = "session.json"
SCHEMAS: Final[dict[str, Any]] = {**TABLES, "participants": PARTICIPANTS, **MARGINS}
KEYS: Final[dict[str, tuple[str, ...]]] = {
    "chain": ("recv_ts", "ts", "expiry", "strike_p", "option_type"),
    "futures": ("recv_ts", "ts", "expiry"),
    "spot": ("recv_ts", "ts"),
    "eod": ("exchange", "kind", "expiry", "strike_p", "option_type"),
    "ticks": tuple(TABLES["ticks"]),
    "participants": ("measure", "who", "instrument", "side"),
    "margin": ("revision",),
    "margin_arrays": ("revision", "kind", "expiry", "strike_p", "option_type"),
    "margin_spreads": ("revision", "priority", "near", "far"),
    "margin_rates": ("revision", "kind", "expiry", "strike_p", "option_type"),
}
UNITS: Final = {
    "quantities": "units, never contracts",
    "prices": "rupees",
    "strike_p": "paise",
    "source_iv": "fraction a year",
    "turnover": "rupees, notional",
    "stamps": "Asia/Kolkata",
}
_KNOWN: Final = ("name", "synthetic", "source")
_ALL: Final = "_"
_FLUSHERS: Final = 8
_PART: Final[dict[str, type]] = {"date": str, "underlying": str, "path": str, "rows": int}


def read_manifest(path: Path) -> dict[str, Any]:
    """Read ``session.json`` of a store.

    Raises
    ------
    BadData
        Not a session store, a damaged manifest, or one written by a newer version.
    """
    file = path / MANIFEST
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadData(f"{path} is not a session store: it has no {MANIFEST}; import files with --to {path}") from None
    except (ValueError, OSError) as error:
        raise BadData(f"cannot read {file}: {' '.join(str(error).split())}; restore it or import again") from None
    version = found.get("schema_version") if isinstance(found, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BadData(f"{file} has no usable schema_version, was {version!r}; restore it or import again")
    if version > SCHEMA_VERSION:
        raise BadData(f"{file} has schema version {version}, this toolkit reads up to {SCHEMA_VERSION}; upgrade it")
    if not isinstance(found.get("parts"), dict):
        raise BadData(f"{file} names no parts; restore it or import again")
    wrong = _misfit(found)
    if wrong:
        raise BadData(f"{file} is damaged: {wrong}; restore it or import again")
    return dict(found)


def _misfit(found: dict[str, Any]) -> str:
    """What of a manifest is not as a writer leaves it, or nothing."""
    for key, kind in (("name", str), ("synthetic", bool)):
        if not isinstance(found.get(key), kind):
            return f"{key} must be {kind.__name__}, was {found.get(key)!r}"
    for table, parts in found["parts"].items():
        for part in parts if isinstance(parts, list) else [parts]:
            if not (isinstance(part, dict) and _PART.items() <= {k: type(part.get(k)) for k in _PART}.items()):
                return f"a part of {table} lacks one of {', '.join(_PART)}"
            path = Path(part["path"])
            if not _is_date(part["date"]) or path.is_absolute() or ".." in path.parts:
                return f"a part of {table} has date {part['date']!r} and path {part['path']!r}"
    return ""


def _is_date(text: str) -> bool:
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def instruments_file(path: Path, manifest: Mapping[str, Any]) -> Path | None:
    """Where the instruments that the manifest means are: under their final name, or the name
    they had at the commit when the writer was killed right after it."""
    named = manifest.get("instruments")
    if not named:
        return None
    fresh = path / f"instruments-{named['sha256'][:16]}.parquet"
    return fresh if fresh.exists() else path / "instruments.parquet"


class StoreWriter:
    """Collect frames for a store and put them there in one step.

    ``add`` writes each part into the sibling folder at once, so memory holds one file's
    frames; ``commit`` makes them the store's. Leaving the block without a commit, by an
    error or Ctrl-C, removes the sibling and leaves the store as it was.

    Parameters
    ----------
    path : str or Path
        The store's folder; made at the commit when it is not there.
    replace : bool, optional
        Whether the store holds only what is added now, or that merged into what it held.
    """

    _lock: int | None = None

    def __init__(self, path: str | Path, *, replace: bool = False) -> None:
        self.path = Path(path).expanduser().resolve()
        self.replace = replace
        self._stage = self.path.parent / f".{self.path.name}.incoming-{os.getpid()}"
        self._made: list[Path] = []
        self._old: dict[str, Any] = {}
        self._parts: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        self._instruments: list[pl.DataFrame] = []
        self._files: list[dict[str, Any]] = []

    def __enter__(self) -> StoreWriter:
        try:
            with one_line(self.path):
                self._begin()
        except BaseException:
            self._end(failed=True)
            raise
        return self

    def _begin(self) -> None:
        for folder in reversed([self.path.parent, *self.path.parent.parents]):
            if not folder.exists():
                folder.mkdir()
                self._made.append(folder)
        self._lock = lock_store(self.path)
        for left in self.path.parent.glob(f".{self.path.name}.incoming-*"):
            shutil.rmtree(left, ignore_errors=True)
        self._open()
        self._stage.mkdir()

    def _open(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise BadData(f"{self.path} is a file; name a folder for the session store")
        if (self.path / MANIFEST).exists():
            self._old = read_manifest(self.path)
        elif self.path.is_dir() and any(self.path.iterdir()):
            raise BadData(f"{self.path} holds other files and no {MANIFEST}; name a new or empty folder")
        self._writable()
        if self.replace:
            return
        self._files = list(self._old.get("files", []))
        for table, parts in self._old.get("parts", {}).items():
            for part in parts:
                self._parts.setdefault((table, part["date"], part["underlying"]), []).append(part)

    def _writable(self) -> None:
        for folder in (self.path.parent, self.path):
            if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
                raise BadData(f"cannot write in {folder}: permission denied; choose another folder or its rights")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end(failed=kind is not None)

    def _end(self, *, failed: bool) -> None:
        """Remove what was staged and let go of the folder; a second Ctrl-C does not stop this half-way."""
        try:
            shutil.rmtree(self._stage, ignore_errors=True)
        finally:
            shutil.rmtree(self._stage, ignore_errors=True)
            for folder in reversed(self._made) if failed else ():
                with suppress(OSError):
                    folder.rmdir()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def __del__(self) -> None:
        # A library may turn one Ctrl-C into two; the second can strike before __exit__ begins.
        if self._lock is not None:
            self._end(failed=True)

    @property
    def held(self) -> dict[str, Any]:
        """What ``session.json`` said when the writer began; empty for a new store."""
        return self._old

    def holds(self, sha256: str, form: str, options: Mapping[str, str]) -> dict[str, Any] | None:
        """The record of a file that was imported before with the same options, or None."""
        for record in self._files:
            if (record["sha256"], record["format"], record["options"]) == (sha256, form, dict(options)):
                return dict(record)
        return None

    def add(
        self, tables: Mapping[str, pl.DataFrame], *, kind: str = "snapshots", record: Mapping[str, Any] | None = None
    ) -> None:
        """Stage frames by table name (``instruments`` among them).

        Parameters
        ----------
        tables : mapping of str to DataFrame
            Frames in the schemas of ``market/schema.py``.
        kind : {"snapshots", "eod"}, optional
            What the chain rows are: recorded through a day, or one closing snapshot made of an
            end-of-day file. Snapshots win: a day's closing snapshot gives way to recorded ones.
        record : mapping, optional
            The account of the file they came from, kept in ``session.json``.
        """
        with one_line(self.path):
            for table in sorted(tables):
                frame = tables[table]
                if table == "instruments":
                    self._instruments.append(_in_schema(frame, INSTRUMENTS, table))
                elif table not in SCHEMAS:
                    raise BadData(f"no table {table!r} in a session store; tables are {', '.join(sorted(SCHEMAS))}")
                elif frame.height:
                    self._add(table, _in_schema(frame, SCHEMAS[table], table), kind)
        if record is not None:
            self._files.append(dict(record))

    def _add(self, table: str, frame: pl.DataFrame, kind: str) -> None:
        for names, piece in split_parts(table, frame):
            self._add_part(table, names, piece, kind)

    def _add_part(self, table: str, names: tuple[str, str], piece: pl.DataFrame, kind: str) -> None:
        unique_by = list(KEYS[table])
        if table != "ticks" and piece.select(unique_by).is_duplicated().any():
            where = f"{table} {names[0]} {names[1]}"
            raise BadData(f"{where}: two rows of the same {', '.join(unique_by)}; drop the repeats")
        before = self._parts.get((table, *names), [])
        if before:
            held = before[0].get("kind", "snapshots")
            if table == "chain" and held != kind:
                if kind == "eod":
                    return
            else:
                piece = pl.concat([*(self._read(part, SCHEMAS[table]) for part in before), piece])
        part, blob = make_part(table, names, piece, kind)
        for old in before:
            if old["path"] != part["path"]:
                (self._stage / str(old["path"])).unlink(missing_ok=True)
        if before != [part]:
            _write(self._stage / str(part["path"]), blob)
        self._parts[table, names[0], names[1]] = [part]

    def _read(self, part: dict[str, Any], schema: Any) -> pl.DataFrame:
        name = str(part["path"])
        staged = self._stage / name
        frame = pl.read_parquet(staged if staged.exists() else self.path / name, hive_partitioning=False)
        return _in_schema(frame, schema, name)

    def commit(self, meta: Mapping[str, Any] | None = None) -> None:
        """Make what was added the store's, as a whole or not at all.

        Raises
        ------
        BadData
            The disk is full or the folder cannot be written; the store is as it was.
        """
        with one_line(self.path):
            manifest = self._manifest(dict(meta or {}))
            fresh = self._stage_instruments(manifest)
            text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n"
            _write(self._stage / MANIFEST, text.encode())
            _sync_all(self._stage)
            if (self.path / MANIFEST).exists():
                self._move(manifest, fresh)
            else:
                if fresh is not None:
                    os.replace(self._stage / fresh, self._stage / "instruments.parquet")
                os.replace(self._stage, self.path)
                with one_line(self.path, committed=True):
                    sync(self.path.parent)

    def _move(self, manifest: dict[str, Any], fresh: str | None) -> None:
        old = {part["path"] for parts in self._old["parts"].values() for part in parts}
        new = sorted(part["path"] for parts in manifest["parts"].values() for part in parts)
        moved: list[Path] = []
        try:
            for name in [*new, *([fresh] if fresh else [])]:
                if (self._stage / name).exists():
                    target = self.path / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    if name not in old:
                        moved.append(target)
                    os.replace(self._stage / name, target)
            for folder in sorted({target.parent for target in moved}):
                sync(folder)
            os.replace(self._stage / MANIFEST, self.path / MANIFEST)
        except BaseException:
            for target in moved:
                target.unlink(missing_ok=True)
            raise
        with one_line(self.path, committed=True):
            sync(self.path)
            if fresh is not None:
                os.replace(self.path / fresh, self.path / "instruments.parquet")
                sync(self.path)
            _sweep(self.path, {*new, MANIFEST, "instruments.parquet"})

    def _manifest(self, meta: dict[str, Any]) -> dict[str, Any]:
        parts: dict[str, list[dict[str, Any]]] = {}
        for key in sorted(self._parts):
            parts.setdefault(key[0], []).extend(self._parts[key])
        old = {} if self.replace else self._old
        top = {key: meta.pop(key, old.get(key)) for key in _KNOWN}
        return {
            "schema_version": SCHEMA_VERSION,
            "name": top["name"] or self.path.name,
            "synthetic": bool(top["synthetic"]),
            "source": top["source"] or "",
            "units": UNITS,
            **coverage(parts),
            "parts": parts,
            "files": self._files,
            "meta": {**old.get("meta", {}), **meta},
        }

    def _stage_instruments(self, manifest: dict[str, Any]) -> str | None:
        old = None if self.replace else self._old.get("instruments")
        if not self._instruments:
            manifest["instruments"] = old
            return None
        frames = list(self._instruments)
        if old is not None:
            held = instruments_file(self.path, self._old) or self.path
            frames.insert(0, _in_schema(pl.read_parquet(held), INSTRUMENTS, str(held)))
        key = ["valid_on", "exchange", "segment", "token", "symbol"]
        frame = pl.concat(frames).unique(key, keep="last", maintain_order=True).sort(key, maintain_order=True)
        blob = _parquet(frame)
        digest = hashlib.sha256(blob).hexdigest()
        manifest["instruments"] = {"rows": frame.height, "sha256": digest}
        if self._old.get("instruments") == manifest["instruments"]:
            return None
        name = f"instruments-{digest[:16]}.parquet"
        _write(self._stage / name, blob)
        return name


def _merged(table: str, rows: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """One row a key: the last word, and for a spot the last known of each column (one file has
    only the close of an index, another its open, high and low)."""
    if table != "spot":
        return rows.unique(key, keep="last", maintain_order=True)
    return rows.group_by(key, maintain_order=True).agg(pl.all().drop_nulls().last()).select(rows.columns)


def split_parts(table: str, frame: pl.DataFrame) -> Iterator[tuple[tuple[str, str], pl.DataFrame]]:
    """Share a table's rows out by day and underlying, in order; raises `BadData` for rows without."""
    by_date = "date" if "date" in frame.columns else "__date"
    if by_date == "__date":
        frame = frame.with_columns(pl.col("ts").dt.date().alias("__date"))
    keys = [by_date, "underlying"] if "underlying" in frame.columns else [by_date]
    if frame.select(pl.any_horizontal(pl.col(keys).is_null().any())).item():
        raise BadData(f"table {table!r} has rows without {' or '.join(keys).replace('__date', 'ts')}")
    pieces = frame.partition_by(keys, as_dict=True, maintain_order=True)
    for key in sorted(pieces, key=str):
        yield (str(key[0]), str(key[1]) if len(key) > 1 else _ALL), pieces[key].drop("__date", strict=False)


def make_part(table: str, names: tuple[str, str], piece: pl.DataFrame, kind: str) -> tuple[dict[str, Any], bytes]:
    """One part: what ``session.json`` says of it, and its bytes."""
    unique_by = list(KEYS[table])
    piece = _merged(table, piece, unique_by).sort(unique_by, maintain_order=True)
    blob = _parquet(piece)
    digest = hashlib.sha256(blob).hexdigest()
    folder = f"{table}/date={names[0]}"
    if names[1] != _ALL:
        folder += f"/underlying={quote(names[1], safe='&-_')}"
    part: dict[str, Any] = {
        "date": names[0],
        "underlying": names[1],
        "path": f"{folder}/part-{digest[:16]}.parquet",
        "rows": piece.height,
        "sha256": digest,
    }
    if table == "chain":
        part["kind"] = kind
    return part, blob


def coverage(parts: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    """The underlyings and dates that the parts hold."""
    everything = [part for held in parts.values() for part in held]
    return {
        "underlyings": sorted({p["underlying"] for p in everything} - {_ALL}),
        "dates": sorted({p["date"] for p in everything}),
    }


def lock_store(path: Path) -> int:
    """Wait until no other writer changes the store; closing the descriptor given lets go."""
    handle = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def _in_schema(frame: pl.DataFrame, schema: Any, where: str) -> pl.DataFrame:
    """Columns in the schema's order and types; optional ones that lack are unknown."""
    strange = [c for c in frame.columns if c not in schema]
    if strange:
        raise BadData(f"{where}: column {strange[0]!r} is not in the table's schema; drop or rename it")
    made = [(pl.col(c) if c in frame.columns else pl.lit(None)).cast(t).alias(c) for c, t in schema.items()]
    try:
        return frame.select(made)
    except pl.exceptions.PolarsError as error:
        raise BadData(f"{where}: {' '.join(str(error).split())[:160]}") from None


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=True)
    return buffer.getvalue()


def _write(path: Path, blob: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(blob)


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_all(root: Path) -> None:
    """Flush every file and folder; several at once share a flush of the disk."""
    with ThreadPoolExecutor(_FLUSHERS) as pool:
        for _ in pool.map(sync, [root, *sorted(root.rglob("*"))]):
            pass


def _sweep(path: Path, named: set[str]) -> None:
    """Remove what the manifest no longer names; never anything we did not write."""
    for table in SCHEMAS:
        for file in (path / table).rglob("part-*.parquet"):
            if file.relative_to(path).as_posix() not in named:
                file.unlink(missing_ok=True)
        for folder, _, _ in os.walk(path / table, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)
    for file in path.glob("instruments-*.parquet"):
        file.unlink(missing_ok=True)


@contextmanager
def one_line(path: Path, *, committed: bool = False) -> Iterator[None]:
    """Turn a failing disk into one line that says what became of the store."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        text = "disk full" if full else f"{error.strerror or error}"
        if committed:
            raise BadData(f"{path} holds the new files, but the disk failed after: {text}; check it") from None
        if full:
            raise BadData(f"disk full while writing {path}: the store is as it was; free space, import again") from None
        raise BadData(f"cannot write {path}: {text}; the store is as it was; check the path and its rights") from None
