"""What every importer shares: containers, text to frames, and the account of each row.

Files are opened whole (official files are a few MB), unpacked in memory with the limits
of :data:`MOST_BYTES`, and read as text columns; numbers and dates are converted by
expressions that leave null where the text is not one, so that :func:`sift` can refuse
the row with its reason. Nothing here writes.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from toolkit.errors import BadData

__all__ = [
    "MOST_BYTES",
    "SYMBOL",
    "UNREADABLE",
    "Imported",
    "Source",
    "check_exists",
    "csv_frame",
    "dates_in_name",
    "day",
    "fetch",
    "header_of",
    "number",
    "require",
    "sift",
    "unreadable",
    "whole",
]

MOST_BYTES: Final = 1 << 30
UNREADABLE: Final = "cells that hold no number taken as unknown"
SYMBOL: Final = r"^[A-Z0-9][A-Z0-9&_-]{0,29}$"
_BLANKS: Final = ("", "-", "NA", "nan", "null", "None")
_MONTHS: Final = {
    m: i for i, m in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
_NAME_DATES: Final = (
    (re.compile(r"(?<!\d)(20\d\d)(\d\d)(\d\d)(?!\d)"), "ymd"),
    (re.compile(r"(?<!\d)(\d\d)([A-Za-z]{3})(20\d\d)(?!\d)"), "dby"),
    (re.compile(r"(?<!\d)(\d\d)(\d\d)(20\d\d)(?!\d)"), "dmy"),
)


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A file's name, the hash of its bytes as found, and its unpacked content."""

    name: str
    sha256: str
    body: bytes
    modified_ns: int
    path: str


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What one file gave: its frames, and every row accounted for.

    ``rows_read == rows_kept + sum of refused``. ``noted`` counts what was kept but changed or
    set aside (a crossed quote made unknown, a fractional contract restored). ``options`` are the
    reader's settings that shaped the result; with the hash they make a repeat a no-op.
    """

    format: str
    name: str
    sha256: str
    rows_read: int
    rows_kept: int
    tables: dict[str, pl.DataFrame]
    refused: tuple[tuple[str, int], ...] = ()
    noted: tuple[tuple[str, int], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    chain_kind: str = "snapshots"

    def __post_init__(self) -> None:
        lost = self.rows_read - self.rows_kept - sum(n for _, n in self.refused)
        assert lost == 0, f"{self.name}: {lost} rows are not accounted for"


def fetch(path: str | Path) -> Source:
    """Open ``path``: a plain file, a gzip, or a zip with exactly one member.

    Raises
    ------
    BadData
        Missing, unreadable, empty, truncated or of several members, larger than 1 GiB
        unpacked, or an HTML page in place of the file.
    """
    path = Path(path)
    check_exists(path)
    try:
        raw = path.read_bytes()
        modified = path.stat().st_mtime_ns
    except OSError as error:
        raise BadData(f"cannot read {path}: {error.strerror}; check its rights") from None
    body = _unpacked(raw, path)
    head = body[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        raise BadData(f"{path} is empty, which means not published: download it again later")
    if head[:1] == b"<" and b"<spanFile" not in head:
        raise BadData(
            f"{path} holds a web page, not the file: not published, or the site wants a browser; get it again"
        )
    return Source(
        name=path.name, sha256=hashlib.sha256(raw).hexdigest(), body=body, modified_ns=modified, path=str(path)
    )


def check_exists(path: Path) -> None:
    """Raise BadData unless ``path`` is a file."""
    if not path.exists():
        raise BadData(f"no file {path}; check the path")
    if not path.is_file():
        raise BadData(f"{path} is not a file; name one official file")


def _unpacked(raw: bytes, path: Path) -> bytes:
    if raw[:2] == b"\x1f\x8b":
        return _gunzipped(raw, path)
    if raw[:2] == b"PK":
        return _unzipped(raw, path)
    if path.suffix.lower() == ".zip" and raw.strip():
        if raw.lstrip()[:1] == b"<":
            return raw
        raise BadData(f"{path} is not a zip file, was {raw[:8]!r}; download it again")
    if path.suffix.lower() == ".gz" and raw.strip():
        raise BadData(f"{path} is not a gzip file, was {raw[:8]!r}; download it again")
    return raw


def _gunzipped(raw: bytes, path: Path) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            body = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadData(f"{path} is a damaged gzip file ({error}); download it again") from None
    return _limited(body, path)


def _unzipped(raw: bytes, path: Path) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            if len(members) != 1:
                raise BadData(f"{path} holds {len(members)} files; unpack it and import the one that is meant")
            member = members[0]
            if ".." in member.filename or member.filename.startswith("/"):
                raise BadData(f"{path} holds a member named {member.filename!r}; unpack it yourself if you trust it")
            if member.file_size > MOST_BYTES:
                raise BadData(f"{path} unpacks to {member.file_size} bytes, more than {MOST_BYTES}; split it")
            with archive.open(member) as file:
                return _limited(file.read(MOST_BYTES + 1), path)
    except (
        zipfile.BadZipFile,
        EOFError,
        zlib.error,
        OSError,
        RuntimeError,
        ValueError,
    ) as error:
        if isinstance(error, BadData):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        raise BadData(f"{path} is a damaged or truncated zip file ({text}); download it again") from None


def _limited(body: bytes, path: Path) -> bytes:
    if len(body) > MOST_BYTES:
        raise BadData(f"{path} unpacks to more than {MOST_BYTES} bytes; split it")
    return body


def csv_frame(body: bytes, name: str, *, skip_lines: int = 0, header: bool = True) -> pl.DataFrame:
    """Read csv bytes as text columns with clean, unique names; all-blank rows are dropped.

    Names lose blanks, quotes and a byte-order mark. A trailing comma in rows whose header
    has none is accepted when it adds no value.

    Raises
    ------
    BadData
        Not UTF-8 text, no header, a repeated column, or rows longer than the header.
    """
    text = text_of(body, name)
    if skip_lines:
        text = "\n".join(text.splitlines()[skip_lines:])
    first, _, rest = text.partition("\n")
    names = [n.strip().strip('"').strip() for n in _fields(first)] if header else []
    if header and not any(names):
        raise BadData(f"{name} has no header line; name an official csv file")
    if not rest.strip() and header:
        return pl.DataFrame(schema={n or f"blank_{i}": pl.String for i, n in enumerate(_unique(names, name))})
    frame = _parsed(rest if header else text, name)
    if header:
        frame = _named(frame, _unique(names, name), name)
    blank = pl.all_horizontal(pl.all().fill_null("").str.strip_chars().eq(""))
    return frame.filter(~blank) if frame.width else frame


def text_of(body: bytes, name: str) -> str:
    """Decode a text file: UTF-8, a byte-order mark dropped, line ends made ``\\n``."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadData(f"{name} is not text (byte {error.start} is not UTF-8); name an official csv file") from None
    if "\x00" in text:
        raise BadData(f"{name} is not text (it holds a zero byte); name an official csv file")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return line.split(",")


def _parsed(text: str, name: str) -> pl.DataFrame:
    try:
        return pl.read_csv(text.encode(), has_header=False, infer_schema=False, truncate_ragged_lines=False)
    except pl.exceptions.NoDataError:
        return pl.DataFrame()
    except pl.exceptions.PolarsError as error:
        line = " ".join(str(error).split())[:120]
        raise BadData(f"{name} is not a regular csv file ({line}); check for cut or joined lines") from None


def _unique(names: Sequence[str], name: str) -> list[str]:
    seen: set[str] = set()
    for i, column in enumerate(names):
        if column and column in seen:
            raise BadData(f"{name} names the column {column!r} twice; delete one (column {i + 1})")
        seen.add(column)
    return [n or f"blank_{i}" for i, n in enumerate(names)]


def _named(frame: pl.DataFrame, names: list[str], name: str) -> pl.DataFrame:
    extra = frame.columns[len(names) :]
    if extra:
        filled = frame.select(pl.any_horizontal(pl.col(extra).fill_null("").str.strip_chars().ne("")).sum()).item()
        if filled:
            raise BadData(
                f"{name} has {filled} rows with more fields than its header's {len(names)}; was a comma lost?"
            )
        frame = frame.drop(extra)
    missing = [pl.lit(None, pl.String).alias(n) for n in names[frame.width :]]
    return frame.rename(dict(zip(frame.columns, names, strict=False))).with_columns(missing)


def require(frame: pl.DataFrame, columns: Iterable[str], name: str, what: str) -> None:
    """Raise BadData naming the required columns that ``frame`` lacks."""
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise BadData(f"{name} is not {what}: missing column{'s' * (len(missing) > 1)} {', '.join(missing)}")


def sift(frame: pl.DataFrame, rules: Mapping[str, pl.Expr]) -> tuple[pl.DataFrame, tuple[tuple[str, int], ...]]:
    """Split off the rows that break a rule.

    Parameters
    ----------
    frame : polars.DataFrame
        Rows to judge.
    rules : mapping of reason to expression
        True marks a row to refuse; null counts as False. The first true rule names the reason.

    Returns
    -------
    kept, refused
        The rows left, and (reason, count) sorted by reason, zero counts left out.
    """
    if not rules or frame.is_empty():
        return frame, ()
    reason: pl.Expr = pl.lit(None, pl.String)
    for text, broken in reversed(list(rules.items())):
        reason = pl.when(broken.fill_null(False)).then(pl.lit(text)).otherwise(reason)
    judged = frame.with_columns(reason.alias("__reason"))
    counts = judged.filter(pl.col("__reason").is_not_null()).group_by("__reason").len().sort("__reason")
    refused = tuple((str(text), int(n)) for text, n in counts.iter_rows())
    return judged.filter(pl.col("__reason").is_null()).drop("__reason"), refused


def _clean(column: str) -> pl.Expr:
    text = pl.col(column).str.strip_chars().str.strip_chars('"').str.strip_chars()
    return pl.when(text.is_in(_BLANKS)).then(None).otherwise(text)


def number(frame: pl.DataFrame, column: str) -> pl.Expr:
    """Float64 of a column, text or already numeric: commas stripped, blank and ``-`` null."""
    kind = frame.schema[column]
    if kind == pl.String:
        value = _clean(column).str.replace_all(",", "", literal=True).cast(pl.Float64, strict=False)
    else:
        value = pl.col(column).cast(pl.Float64, strict=False)
    return pl.when(value.is_finite()).then(value).otherwise(None)


def unreadable(frame: pl.DataFrame, columns: Iterable[str]) -> int:
    """How many cells of ``columns`` hold something that is no finite number; blanks hold nothing."""
    found = [column for column in columns if column in frame.columns]
    if not found or frame.is_empty():
        return 0
    counts: list[pl.Expr] = []
    for column in found:
        kind = frame.schema[column]
        if kind == pl.String:
            counts.append((_clean(column).is_not_null() & number(frame, column).is_null()).sum())
        elif kind.is_float():  # NaN is how a resave writes nothing
            counts.append(pl.col(column).is_infinite().sum())
    return int(frame.select(pl.sum_horizontal(counts)).item()) if counts else 0


def whole(frame: pl.DataFrame, column: str) -> pl.Expr:
    """Int64 of a column that must hold whole numbers; null where it does not."""
    if frame.schema[column].is_integer():
        return pl.col(column).cast(pl.Int64)
    value = number(frame, column)
    exact = value.eq(value.round()) & value.abs().lt(float(1 << 53))
    return pl.when(exact).then(value).otherwise(None).cast(pl.Int64, strict=False)


def day(frame: pl.DataFrame, column: str, *formats: str) -> pl.Expr:
    """Date of a column: text in one of ``formats`` (English months in any case), a date or a stamp."""
    kind = frame.schema[column]
    if kind == pl.Date:
        return pl.col(column)
    if isinstance(kind, pl.Datetime):
        return pl.col(column).dt.date()
    if kind != pl.String:
        return pl.lit(None, pl.Date)
    text = _clean(column).str.to_titlecase()
    return pl.coalesce([text.str.to_date(f, strict=False) for f in formats or ("%Y-%m-%d",)])


def dates_in_name(name: str) -> list[dt.date]:
    """The dates a file name carries (``20250206``, ``01AUG2019``, ``28072026``), in one of the forms.

    >>> dates_in_name("fo01AUG2019bhav.csv.zip")
    [datetime.date(2019, 8, 1)]
    """
    for pattern, order in _NAME_DATES:
        found = []
        for a, b, c in pattern.findall(name):
            year, month, number_of_day = (a, b, c) if order == "ymd" else (c, b, a)
            months = _MONTHS.get(month.lower(), 0) if order == "dby" else int(month)
            with suppress(ValueError):
                found.append(dt.date(int(year), months, int(number_of_day)))
        if found:
            return found
    return []


def header_of(body: bytes, name: str) -> list[str]:
    """The column names of a csv file's first line, cleaned."""
    end = body.find(b"\n")
    line = body if end < 0 else body[:end]
    first = text_of(line[:1_000_000], name).partition("\n")[0]
    return [n.strip().strip('"').strip() for n in _fields(first)]
