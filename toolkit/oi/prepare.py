"""Cleaning of chain frames: deterministic rules, each counted; and the dense matrix of open interest."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from toolkit.errors import BadData
from toolkit.oi.arrays import UNKNOWN, Floats, Ints
from toolkit.oi.config import OIConfig, SessionDays
from toolkit.oi.jit import kernel

__all__ = ["ChainMatrix", "Prepared", "chain_matrix", "prepare_chain", "quality_frame"]

IST: Final = "Asia/Kolkata"
TS: Final[Any] = pl.Datetime("us", IST)
SIDES: Final[Any] = pl.Enum(["CE", "PE"])
REQUIRED: Final = ("ts", "underlying", "expiry", "strike_p", "option_type", "oi")
OPTIONAL: Final[dict[str, Any]] = {
    "recv_ts": TS,
    "token": pl.Int64(),
    "volume": pl.Int64(),
    "lot": pl.Int32(),
    "ltp": pl.Float64(),
    "bid": pl.Float64(),
    "ask": pl.Float64(),
    "bid_qty": pl.Int64(),
    "ask_qty": pl.Int64(),
    "iv": pl.Float64(),
    "source_iv": pl.Float64(),
    "spot": pl.Float64(),
    "futures": pl.Float64(),
}
CONTRACT: Final = ("underlying", "expiry", "strike_p", "option_type")
EPOCH: Final = dt.date(1970, 1, 1)
DAY_US: Final = 86_400_000_000
IST_US: Final = 19_800_000_000
ENOUGH: Final = 20  # contracts with OI before their divisibility by the lot says anything


@dataclass(frozen=True, slots=True)
class Prepared:
    """A clean chain frame, sorted by contract series and stamp, and what each rule did."""

    frame: pl.DataFrame
    quality: pl.DataFrame


class ChainMatrix(NamedTuple):
    """Dense open interest of one (underlying, expiry): -1 is unknown.

    ``ts_ns`` (T,), ``strikes`` (n,) points, ``ce_oi pe_oi ce_volume pe_volume`` (T, n) int64 units.
    """

    ts_ns: Ints
    strikes: Floats
    ce_oi: Ints
    pe_oi: Ints
    ce_volume: Ints
    pe_volume: Ints


def quality_frame(counts: dict[str, tuple[int, str]]) -> pl.DataFrame:
    """The quality frame (rule, count, detail) in the order the rules were applied."""
    return pl.DataFrame(
        {
            "rule": list(counts),
            "count": [count for count, _ in counts.values()],
            "detail": [detail for _, detail in counts.values()],
        },
        schema={"rule": pl.String, "count": pl.Int64, "detail": pl.String},
    )


def prepare_chain(frame: pl.DataFrame, config: OIConfig | None = None) -> Prepared:
    """Clean a chain frame; each rule is counted and none acts in silence.

    Rules, in order: types and units are checked; rows of dates that are no session are dropped; corporate actions
    that were supplied are applied; rows whose exchange stamp lies behind one already received are refused; of
    repeated stamps the first of each contract is kept, differing repeats counted. Rules that need memory (carrying
    a missing contract forward, strikes that appear mid-day, re-dating) act when the bursts are run.

    Parameters
    ----------
    frame : polars.DataFrame
        One row a contract a snapshot: ``ts underlying expiry strike_p option_type oi`` and, where known, ``recv_ts
        token volume lot ltp bid ask iv source_iv spot futures bid_qty ask_qty``.
    config : OIConfig, optional

    Returns
    -------
    Prepared
        ``frame`` sorted by underlying, expiry, ts, strike, option type; ``quality`` (rule, count, detail).

    Raises
    ------
    BadData
        For a missing column, OI below zero, and open interest or volume that counts contracts where units are
        stated (or the other way round).
    """
    chosen = OIConfig() if config is None else config
    counts: dict[str, tuple[int, str]] = {}
    clean = _typed(frame)
    counts["rows_read"] = (clean.height, "")
    clean = _in_units(clean, chosen)
    clean = _sessions_only(clean, chosen.calendar, counts)
    clean = _adjusted(clean, chosen, counts)
    clean = _tokens(clean, counts)
    clean = _ordered(clean, counts)
    counts["rows_kept"] = (clean.height, "")
    return Prepared(clean, quality_frame(counts))


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        raise BadData(f"chain frame has no column {', '.join(missing)}; it needs {', '.join(REQUIRED)}")
    ts = frame.schema["ts"]
    if not isinstance(ts, pl.Datetime) or ts.time_zone is None:
        raise BadData(f"column ts must be an IST-aware Datetime, was {ts}; use dt.replace_time_zone('{IST}')")
    casts: list[pl.Expr] = []
    for name in REQUIRED:
        if name != "oi" and frame[name].null_count():
            raise BadData(f"column {name} must have a value in every row, {frame[name].null_count()} are null")
    if ts != TS:
        casts.append(pl.col("ts").dt.convert_time_zone(IST).cast(TS))
    if frame.schema["underlying"] != pl.String:
        casts.append(pl.col("underlying").cast(pl.String))
    if frame.schema["strike_p"] != pl.Int64:
        casts.append(pl.col("strike_p").cast(pl.Int64))
    if frame.schema["option_type"] != SIDES:
        casts.append(pl.col("option_type").cast(pl.String).cast(SIDES))
    for name, kind in OPTIONAL.items():
        if name not in frame.columns:
            casts.append(pl.lit(None, dtype=kind).alias(name))
        elif frame.schema[name] != kind and name not in ("volume", "recv_ts"):
            casts.append(pl.col(name).cast(kind))
    got = frame.schema.get("recv_ts")
    if isinstance(got, pl.Datetime) and got != TS:
        casts.append(pl.col("recv_ts").dt.convert_time_zone(IST).cast(TS))
    try:
        return frame.with_columns(casts) if casts else frame
    except pl.exceptions.PolarsError as error:
        raise BadData(f"chain frame has a column of a wrong type: {str(error).splitlines()[0]}") from None


def _in_units(frame: pl.DataFrame, config: OIConfig) -> pl.DataFrame:
    least = frame["oi"].min()
    if isinstance(least, (int, float)) and least < 0:
        raise BadData(f"column oi must not be negative, was {least}; the file is damaged or its columns are shifted")
    for name, unit in (("oi", config.oi_unit), ("volume", config.volume_unit)):
        _check_unit(frame, name, unit)
        if unit == "contracts":
            frame = _contracts_to_units(frame, name)
        elif frame.schema[name] != pl.Int64:
            frame = _whole(frame, name)
    return frame


def _check_unit(frame: pl.DataFrame, name: str, unit: str) -> None:
    """Refuse figures that cannot be what they are said to be, by their divisibility by the lot."""
    held = frame.filter((pl.col(name) > 0) & (pl.col("lot") > 4))
    if held.height < ENOUGH:
        return
    share, fives = held.select(
        (pl.col(name) % pl.col("lot") == 0).mean().alias("lot"),
        ((pl.col(name) % 5 == 0) | (pl.col("lot") % 5 != 0)).mean().alias("five"),
    ).row(0)
    # units that lived through a lot change keep a common factor (5 in every index lot); contracts have none
    looks_contracts = share < 0.1 if bool((held["lot"] % 5 != 0).any()) else share < 0.5 and fives < 0.9
    lot = int(held["lot"].mode().to_numpy().min())
    if unit == "units" and looks_contracts:
        raise BadData(
            f"column {name} looks like contracts, not units: only {share:.1%} of {held.height} figures divide by "
            f"their lot (was {lot}); multiply by the lot or set OIConfig({name}_unit='contracts')"
        )
    if unit == "contracts" and share > 0.5:
        raise BadData(
            f"column {name} looks like units, not contracts: {share:.1%} of {held.height} figures divide by their "
            f"lot (was {lot}); set OIConfig({name}_unit='units')"
        )


def _contracts_to_units(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    if frame.filter(pl.col(name).is_not_null())["lot"].null_count():
        raise BadData(f"column {name} counts contracts, so column lot must have a value in every row")
    exact = pl.col(name).cast(pl.Float64) * pl.col("lot")
    # fractions are units over today's lot, printed to three decimals: the unit is the nearest whole number
    return frame.with_columns(exact.round(0).cast(pl.Int64).alias(name))


def _whole(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    if frame.schema[name].is_float():
        part = frame.filter(pl.col(name).is_finite() & (pl.col(name) != pl.col(name).round(0)))
        if part.height:
            raise BadData(
                f"column {name} must be whole units, was {part[name][0]} ({part.height} fractions): contracts after a "
                f"lot change? set OIConfig({name}_unit='contracts')"
            )
        frame = frame.with_columns(pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name))
    return frame.with_columns(pl.col(name).cast(pl.Int64))


def _sessions_only(
    frame: pl.DataFrame, calendar: SessionDays | None, counts: dict[str, tuple[int, str]]
) -> pl.DataFrame:
    if calendar is None:
        counts["non_session_date"] = (0, "not checked: no calendar was given")
        return frame
    day = _ist_days(frame["ts"])
    closed = [d for d in _dates(day) if not calendar.is_session(d)]
    idle = [d for d in _dates(_ist_days(frame["recv_ts"].drop_nulls())) if not calendar.is_session(d)]
    copies = 0
    if idle:
        copies = frame.filter(pl.col("recv_ts").dt.date().is_in(idle)).select("underlying", "recv_ts").unique().height
    counts["holiday_copy"] = (copies, f"snapshots received on {_names(idle)}" if idle else "")
    bad = np.isin(day, [(d - EPOCH).days for d in closed])
    counts["non_session_date"] = (int(bad.sum()), _names(closed))
    return frame.filter(pl.Series(~bad)) if closed else frame


def _ist_days(stamps: pl.Series) -> Ints:
    return (stamps.to_physical().to_numpy() + IST_US) // DAY_US


def _dates(days: Ints) -> list[dt.date]:
    return [EPOCH + dt.timedelta(days=int(d)) for d in np.unique(days)]


def _names(dates: list[dt.date]) -> str:
    return ", ".join(d.isoformat() for d in dates)


def _adjusted(frame: pl.DataFrame, config: OIConfig, counts: dict[str, tuple[int, str]]) -> pl.DataFrame:
    changed = 0
    for a in config.adjustments:
        old = (pl.col("underlying") == a.underlying) & (pl.col("ts").dt.date() < a.on)
        rows = frame.filter(old).height
        changed += rows
        if rows:
            scaled = [
                pl.when(old).then((pl.col("strike_p") * a.strike_factor).round(0)).otherwise(pl.col("strike_p")),
                *(
                    pl.when(old).then((pl.col(name) * a.units_factor).round(0)).otherwise(pl.col(name))
                    for name in ("oi", "volume")
                ),
            ]
            frame = frame.with_columns([e.cast(pl.Int64) for e in scaled])
    counts["adjusted"] = (changed, "rows multiplied by supplied corporate-action factors" if changed else "")
    return frame


def _tokens(frame: pl.DataFrame, counts: dict[str, tuple[int, str]]) -> pl.DataFrame:
    from toolkit.contracts import stand_in_token

    absent = frame["token"].null_count()
    counts["stand_in_token"] = (absent, "rows without an exchange token got a stable stand-in" if absent else "")
    if not absent:
        return frame
    keys = frame.filter(pl.col("token").is_null()).select(CONTRACT).unique()
    named = keys.with_columns(
        pl.Series("stand_in", [stand_in_token("FO", u, e, k, o) for u, e, k, o in keys.iter_rows()], dtype=pl.Int64)
    )
    joined = frame.join(named, on=list(CONTRACT), how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("token", "stand_in").alias("token")).drop("stand_in")


def _ordered(frame: pl.DataFrame, counts: dict[str, tuple[int, str]]) -> pl.DataFrame:
    """Order by series and stamp; refuse backward stamps; keep the first of each contract at a stamp."""
    key = _Keys.of(frame)
    backward, snapshots = _stamp_rules(frame, key)
    refused = 0
    if backward is not None:
        refused = backward.select("underlying", "ts", "recv_ts").unique().height
        columns = ["underlying", "ts", "recv_ts"]
        frame = frame.join(
            backward.select(columns).unique(), on=columns, how="anti", nulls_equal=True, maintain_order="left"
        )
        key = _Keys.of(frame)
    counts["backward_stamp"] = (refused, "snapshots stamped before one already received" if refused else "")
    frame, key = _sorted(frame, key)
    same = key.same_as_previous()
    dropped = int(same.sum())
    detail = ""
    if dropped:
        flags = pl.Series("same", same)
        detail = _differing(frame, flags)
        frame = frame.filter(~flags)
    counts["repeated_stamp"] = (snapshots, detail if snapshots else "")
    counts["duplicate_row"] = (dropped, detail)
    return frame


class _Keys(NamedTuple):
    """What rows are ordered by, as integers."""

    underlying: Ints
    expiry: Ints
    ts: Ints
    strike: Ints
    side: Ints
    recv: Ints

    @classmethod
    def of(cls, frame: pl.DataFrame) -> _Keys:
        if frame.height and bool((frame["underlying"] == frame["underlying"][0]).all()):
            names = np.zeros(frame.height, dtype=np.int64)
        else:
            names = frame["underlying"].rank("dense").cast(pl.Int64).to_numpy()
        return cls(
            names,
            frame["expiry"].to_physical().cast(pl.Int64).to_numpy(),
            frame["ts"].to_physical().to_numpy(),
            frame["strike_p"].to_numpy(),
            frame["option_type"].to_physical().cast(pl.Int64).to_numpy(),
            frame["recv_ts"].to_physical().fill_null(-1).to_numpy(),
        )

    def same_as_previous(self) -> npt.NDArray[np.bool_]:
        """Whether a row repeats the contract and stamp of the row before it."""
        same = np.zeros(self.ts.size, dtype=np.bool_)
        if same.size:
            same[1:] = True
            for part in self[:5]:
                same[1:] &= part[1:] == part[:-1]
        return same


def _stamp_rules(frame: pl.DataFrame, key: _Keys) -> tuple[pl.DataFrame | None, int]:
    """Snapshots stamped before one already received (None when there are none), and how many repeat a stamp."""
    if not frame.height:
        return None, 0
    edge = np.ones(frame.height, dtype=np.bool_)
    edge[1:] = (
        (key.ts[1:] != key.ts[:-1]) | (key.recv[1:] != key.recv[:-1]) | (key.underlying[1:] != key.underlying[:-1])
    )
    arrived = bool((key.recv >= 0).all())
    runs = frame.select("underlying", "ts", "recv_ts")[np.flatnonzero(edge)].unique(maintain_order=True)
    runs = runs.sort("recv_ts" if arrived else "ts", maintain_order=True).with_columns(
        (pl.col("ts") < pl.col("ts").cum_max().over("underlying")).alias("backward")
    )
    backward = runs.filter("backward")
    kept = runs.filter(~pl.col("backward"))
    return backward if backward.height else None, kept.height - kept.select("underlying", "ts").unique().height


def _sorted(frame: pl.DataFrame, key: _Keys) -> tuple[pl.DataFrame, _Keys]:
    """Rows by underlying, expiry, stamp, strike, side, receipt; a file in its natural order needs one stable pass."""
    if frame.height and not in_order(*key):
        days = key.expiry - key.expiry.min()
        code = (key.underlying - key.underlying.min()) * (days.max() + 1) + days
        narrow = code.astype(np.uint16) if code.max() < 65_536 else code
        order = np.argsort(narrow, kind="stable")
        key = _Keys(*(part[order] for part in key))
        frame = frame[order]
        if not in_order(*key):
            by = ["underlying", "expiry", "ts", "strike_p", "option_type", "recv_ts"]
            frame = frame.sort(by, maintain_order=True)
            key = _Keys.of(frame)
    return frame, key


@kernel
def in_order(underlying: Ints, expiry: Ints, ts: Ints, strike: Ints, side: Ints, recv: Ints) -> bool:
    """Whether rows ascend by these keys, the first most significant."""
    for i in range(1, ts.size):
        if underlying[i] != underlying[i - 1]:
            if underlying[i] < underlying[i - 1]:
                return False
        elif expiry[i] != expiry[i - 1]:
            if expiry[i] < expiry[i - 1]:
                return False
        elif ts[i] != ts[i - 1]:
            if ts[i] < ts[i - 1]:
                return False
        elif strike[i] != strike[i - 1]:
            if strike[i] < strike[i - 1]:
                return False
        elif side[i] != side[i - 1]:
            if side[i] < side[i - 1]:
                return False
        elif recv[i] < recv[i - 1]:
            return False
    return True


def _differing(frame: pl.DataFrame, same: pl.Series) -> str:
    """Say how the dropped repeats differ from the row kept."""
    first = (~same).cum_sum()
    kept = frame.select("oi", "volume").filter(~same)
    repeats = frame.select("oi", "volume").filter(same)
    at = (first.filter(same).cast(pl.Int64) - 1).to_numpy()
    of = kept[at]
    oi = int((repeats["oi"] != of["oi"]).sum())
    volume = int((repeats["volume"] != of["volume"]).sum())
    return f"{repeats.height} rows dropped; {oi} with another OI, {volume} with another volume"


def chain_matrix(frame: pl.DataFrame, underlying: str | None = None, expiry: dt.date | None = None) -> ChainMatrix:
    """Lay one (underlying, expiry) of a chain frame out as dense arrays, stamps by strikes.

    Parameters
    ----------
    frame : polars.DataFrame
        A clean chain frame (:func:`prepare_chain`).
    underlying, expiry : optional
        Which series; may be left out when the frame holds only one.

    Returns
    -------
    ChainMatrix
        Int64 units; an absent contract is -1 (unknown), not 0.

    Raises
    ------
    BadData
        When the series is not in the frame or not named while there are several.
    """
    for name, value in (("underlying", underlying), ("expiry", expiry)):
        if value is not None:
            frame = frame.filter(pl.col(name) == value)
        found = frame[name].unique()
        if len(found) != 1:
            raise BadData(f"chain_matrix needs one {name}, was {len(found)} in the frame; name it")
    ts_ns = frame["ts"].dt.epoch("ns").to_numpy()
    stamps, t = np.unique(ts_ns, return_inverse=True)
    strikes_p, k = np.unique(frame["strike_p"].to_numpy(), return_inverse=True)
    side = frame["option_type"].cast(SIDES).to_physical().to_numpy().astype(np.int64)
    out = np.full((2, 2, stamps.size, strikes_p.size), UNKNOWN, dtype=np.int64)
    for j, name in enumerate(("oi", "volume")):
        if name in frame.columns:
            out[j, side, t, k] = frame[name].fill_null(UNKNOWN).to_numpy()
    return ChainMatrix(stamps, strikes_p / 100.0, out[0, 0], out[0, 1], out[1, 0], out[1, 1])
