"""The verb ``oi``: open-interest shift of files or a session store, as frames and one page."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.app import app
from toolkit.errors import BadData, nearest

if TYPE_CHECKING:
    import polars as pl

    from toolkit.oi import OIConfig, ShiftResult

__all__ = ["oi"]

FILES = tuple(f"{name}.{kind}" for name in ("levels", "shifts", "events", "quality") for kind in ("parquet", "csv"))
BASES = {"open": "open", "09:20": "open", "prev-close": "prev_close", "15min": "rolling", "expiry": "expiry"}


@app.command()
def oi(
    files: Annotated[list[Path], typer.Argument(help="Session stores, or official or recorded files.")],
    underlying: Annotated[str | None, typer.Option(help="NIFTY, SENSEX, ...; needed when there are several.")] = None,
    expiry: Annotated[str, typer.Option(help="nearest, next, all, or a date YYYY-MM-DD.")] = "nearest",
    out: Annotated[Path, typer.Option(help="Folder for the results; replaced as a whole.")] = Path("out/oi"),
    base: Annotated[str, typer.Option(help="Changes against: open (09:20), prev-close, 15min, expiry.")] = "open",
    date: Annotated[str | None, typer.Option(help="Only this day (YYYY-MM-DD).")] = None,
    reach: Annotated[float | None, typer.Option(help="Longest trip of the transport, points (2L).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure how open interest shifted: levels, shifts, events and quality, as frames and one page.

    Example: toolkit oi data/sample --underlying NIFTY --expiry nearest --out out/oi
    """
    if base not in BASES:
        raise BadData(f"--base must be one of {', '.join(BASES)}, was '{base}'{nearest(base, BASES)}")
    from toolkit.batch.output import fresh_folder

    missing = [str(f) for f in files if not f.expanduser().exists()]
    if missing:
        raise BadData(f"no file {missing[0]}; give session stores, or official or recorded files")
    with fresh_folder(out, (*FILES, "report.html")) as folder, _progress() as progress:
        summary = _measure(files, underlying, expiry, base, date, reach, folder, progress)
    summary["out"] = str(out.expanduser().absolute())
    _tell(summary, as_json)


def _measure(
    files: list[Path],
    underlying: str | None,
    expiry: str,
    base: str,
    date: str | None,
    reach: float | None,
    folder: Path,
    progress: Callable[[int, str], None],
) -> dict[str, Any]:
    from toolkit import tables
    from toolkit.oi import OIConfig, event_study, heatmap, oi_shift
    from toolkit.report.oi import nearest_text, write_oi_page

    progress(0, "reading")
    read = _read(files, underlying, date)
    config = OIConfig(calendar=tables.calendar(), baseline=BASES[base], reach=reach)  # type: ignore[arg-type]
    progress(1, "shifting")
    whole = oi_shift(read["chain"], config, futures=read["futures"])
    chosen = _chosen(whole.levels, expiry)
    result = _only(whole, chosen, read["quality"], read["futures"])
    progress(2, "writing")
    expiries = sorted(set(chosen["expiry"].to_list()))
    rows = read["chain"].filter(_in(expiries))
    heat = heatmap(rows, read["underlying"], None, config).join(
        chosen.select("ts", "expiry"), on=["ts", "expiry"], how="semi"
    )
    _write_frames(result, folder)
    write_oi_page(
        folder / "report.html",
        result,
        heat,
        underlying=read["underlying"],
        expiry=nearest_text(expiries),
        source=", ".join(f.name for f in files),
        synthetic=read["synthetic"],
        settings=_settings(config, base, expiry),
        study=event_study(result.events, result.levels, permutations=200),
        footer=f"Measured from {read['chain'].height} chain rows by toolkit oi; no figure here is advice.",
    )
    progress(3, "done")
    return _summary(result, read["underlying"], expiries)


def _in(expiries: list[dt.date]) -> pl.Expr:
    import polars as pl

    return pl.col("expiry").is_in(expiries)


def _read(files: list[Path], underlying: str | None, date: str | None) -> dict[str, Any]:
    import polars as pl

    from toolkit.store.session import open_session

    sessions = [open_session(f) for f in files]
    names = sorted({u for s in sessions for u in s.underlyings()})
    name = _underlying(underlying, names)
    chains, futures, quality = [], [], []
    for session in sessions:
        if name not in session.underlyings():
            continue
        if date is not None and dt.date.fromisoformat(_day(date)) not in session.dates(name):
            continue
        chains.append(_with_feed_change(session, name, date))
        futures.append(session.frame("futures", name, date))
        quality.append(session.quality())
    if not chains or not sum(c.height for c in chains):
        raise BadData(f"no chain rows of {name}{'' if date is None else ' on ' + date}; check the files and --date")
    chain = pl.concat(chains, how="diagonal_relaxed")
    future = pl.concat(futures, how="diagonal_relaxed")
    return {
        "underlying": name,
        "chain": chain,
        "futures": future if future.height else None,
        "quality": pl.concat(quality),
        "synthetic": any(s.synthetic for s in sessions),
    }


def _day(text: str) -> str:
    try:
        return dt.date.fromisoformat(text).isoformat()
    except ValueError:
        raise BadData(f"a date must be YYYY-MM-DD, was '{text}'") from None


def _underlying(asked: str | None, names: list[str]) -> str:
    if asked is None:
        if len(names) == 1:
            return names[0]
        raise BadData(f"--underlying is needed: the files hold {', '.join(names) or 'none'}")
    if asked.upper() not in names:
        raise BadData(
            f"no underlying '{asked}' in the files{nearest(asked.upper(), names) or ';'} they hold {', '.join(names)}"
        )
    return asked.upper()


def _with_feed_change(session: Any, name: str, date: str | None) -> pl.DataFrame:
    """Chain rows, with the feed's own change of OI where the source is an end-of-day file."""
    import polars as pl

    chain: pl.DataFrame = session.frame("chain", name, date)
    eod = session.frame("eod", name, date)
    if not eod.height or not chain.height:
        return chain
    days = [d for d in session.dates(name) if session.kind(d, name) == "eod"]
    changes = eod.filter(pl.col("date").is_in(days) & pl.col("strike_p").is_not_null()).select(
        "date", "token", "expiry", "strike_p", "option_type", "oi_change"
    )
    dated = chain.with_columns(pl.col("ts").dt.date().alias("date"))
    keys = ["date", "token", "expiry", "strike_p", "option_type"]
    return dated.join(changes, on=keys, how="left", nulls_equal=True, maintain_order="left").drop("date")


def _chosen(levels: pl.DataFrame, expiry: str) -> pl.DataFrame:
    """The level rows asked for: by day the nearest or the next expiry, one expiry, or all."""
    import polars as pl

    if expiry == "all":
        return levels
    if expiry in ("nearest", "next"):
        day = pl.col("ts").dt.date()
        live = levels.filter(pl.col("expiry") >= day).with_columns(
            pl.col("expiry").rank("dense").over(pl.col("ts").dt.date()).alias("rank")
        )
        return live.filter(pl.col("rank") == (1 if expiry == "nearest" else 2)).drop("rank")
    wanted = dt.date.fromisoformat(_day(expiry))
    known = sorted(set(levels["expiry"].to_list()))
    if wanted not in known:
        raise BadData(f"no expiry {wanted} in the files; they hold {', '.join(str(e) for e in known[:8])}")
    return levels.filter(pl.col("expiry") == wanted)


def _only(whole: ShiftResult, chosen: pl.DataFrame, quality: pl.DataFrame, futures: pl.DataFrame | None) -> ShiftResult:
    import polars as pl

    from toolkit.oi import ShiftResult

    if not chosen.height:
        raise BadData("no burst of that expiry in the files; try --expiry all")
    keys = ["ts", "expiry"]
    pick = chosen.select(keys)
    pairs = chosen.select(pl.col("ts").dt.date().alias("day"), "expiry").unique()
    front = _front(futures)
    events = whole.events.with_columns(pl.col("ts").dt.date().alias("day"))
    mine = events.join(pairs, on=["day", "expiry"], how="semi", maintain_order="left")
    future = events.filter(pl.col("type").str.starts_with("FUT_")).join(front, on=["day", "expiry"], how="semi")
    both = pl.concat([mine, future]).unique("id", maintain_order=True).drop("day").sort("ts", maintain_order=True)
    return ShiftResult(
        chosen,
        whole.shifts.join(pick, on=keys, how="semi", maintain_order="left"),
        both,
        pl.concat([whole.quality, quality]),
    )


def _front(futures: pl.DataFrame | None) -> pl.DataFrame:
    """The nearest futures expiry of each day: the far ones are thin and would drown it."""
    import polars as pl

    if futures is None:
        return pl.DataFrame(schema={"day": pl.Date, "expiry": pl.Date})
    dated = futures.select(pl.col("ts").dt.date().alias("day"), "expiry").filter(pl.col("expiry") >= pl.col("day"))
    return dated.group_by("day").agg(pl.col("expiry").min())


def _write_frames(result: ShiftResult, folder: Path) -> None:
    from toolkit.batch.output import write_csv, write_parquet

    for name in ("levels", "shifts", "events", "quality"):
        frame = getattr(result, name)
        write_parquet(frame, folder / f"{name}.parquet")
        write_csv(frame, folder / f"{name}.csv")


def _settings(config: OIConfig, base: str, expiry: str) -> dict[str, str]:
    from toolkit import __version__

    reach = f"{config.reach_steps:g} modal strike steps" if config.reach is None else f"{config.reach:g} points"
    return {
        "base": base,
        "expiry": expiry,
        "reach (2L)": reach,
        "wall": f"prominence {config.wall_prominence:g}, window {config.wall_window:g}, lead {config.wall_lead:g} for "
        f"{config.wall_bursts} bursts",
        "signs of gamma": config.gex_signs,
        "toolkit": __version__,
    }


def _summary(result: ShiftResult, underlying: str, expiries: list[dt.date]) -> dict[str, Any]:
    last = result.levels.sort("ts").row(-1, named=True)
    keys = ("pcr", "max_pain_lo", "max_pain_hi", "max_pain", "ce_wall", "pe_wall", "ce_oi", "pe_oi", "ce_max", "pe_max")
    counts = result.events.group_by("type").len().sort("type")
    return {
        "underlying": underlying,
        "expiries": [e.isoformat() for e in expiries],
        "bursts": result.levels.height,
        "last": {"ts": last["ts"].isoformat(), "expiry": last["expiry"].isoformat(), **{k: last[k] for k in keys}},
        "events": dict(counts.iter_rows()),
        "quality": {r: c for r, c, _ in result.quality.iter_rows() if c},
    }


@contextmanager
def _progress() -> Iterator[Callable[[int, str], None]]:
    if not sys.stderr.isatty():
        yield lambda done, what: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<10}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=3)
        yield lambda done, what: bar.update(task, completed=done, description=what)


def _tell(summary: dict[str, Any], as_json: bool) -> None:
    import json

    if as_json:
        print(json.dumps(summary, indent=1))
        return
    from toolkit.report import fmt

    last = summary["last"]
    print(f"{summary['underlying']}: {summary['bursts']} bursts, expiries {', '.join(summary['expiries'])}")
    print(
        f"last burst {last['ts']}: PCR {fmt.ratio(last['pcr'])}, max pain {fmt.strike(last['max_pain'])}, "
        f"walls {fmt.strike(last['pe_wall'])} / {fmt.strike(last['ce_wall'])}"
    )
    told = ", ".join(f"{kind} {count}" for kind, count in summary["events"].items())
    print(f"events (hypotheses): {told or 'none'}")
    print(f"report: {summary['out']}/report.html")
