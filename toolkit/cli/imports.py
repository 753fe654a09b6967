"""The verb ``import``: official and recorded files into a session store."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.app import app
from toolkit.errors import BadData

if TYPE_CHECKING:
    from toolkit.market.files.detect import How
    from toolkit.store.importing import FileAccount

__all__ = ["imports"]

imports = typer.Typer(no_args_is_help=True, help="Import official and recorded files into a session store.")
app.add_typer(imports, name="import")

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="The files.", show_default=False)]
To = Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder of the session store.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Underlyings = Annotated[
    list[str] | None, typer.Option("--underlying", metavar="NAME", help="Keep only this symbol; may be repeated.")
]
Map = Annotated[
    list[str] | None, typer.Option("--map", metavar="OURS=THEIRS", help="A column's name in the file; may be repeated.")
]


@imports.command("udiff")
def udiff(files: Files, to: To, underlying: Underlyings = None, as_json: AsJson = False) -> None:
    """UDiFF bhavcopy of NSE or BSE: zip, csv, csv.gz, or Parquet extract; F&O and cash.

    Writes end-of-day rows and a closing snapshot, marked eod in session.json.

    Example: toolkit import udiff BhavCopy_NSE_FO_0_0_0_20250206_F_0000.csv.zip --to out/store
    """
    _run("udiff", files, to, {"underlyings": tuple(underlying or ())}, as_json)


@imports.command("legacy")
def legacy(files: Files, to: To, underlying: Underlyings = None, as_json: AsJson = False) -> None:
    """NSE's F&O bhavcopy before July 2024 (foDDMMMYYYYbhav.csv.zip).

    Example: toolkit import legacy fo01AUG2019bhav.csv.zip --to out/store
    """
    _run("legacy", files, to, {"underlyings": tuple(underlying or ())}, as_json)


@imports.command("nse-chain")
def nse_chain(
    files: Files,
    to: To,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="When the page was saved, IST: 2025-11-25T15:29.")
    ] = None,
    underlying: Annotated[str | None, typer.Option("--underlying", help="Symbol, where the name lacks it.")] = None,
    expiry: Annotated[str | None, typer.Option("--expiry", help="Expiry, where the name lacks it.")] = None,
    spot: Annotated[float | None, typer.Option("--spot", help="The underlying's price then, in rupees.")] = None,
    columns: Map = None,
    as_json: AsJson = False,
) -> None:
    """Option chains: the page's download (csv), its JSON, or a collector's table.

    The downloaded csv holds no time: give --at, or the file's modification time is assumed.

    Example: toolkit import nse-chain option-chain-ED-NIFTY-25-Nov-2025.csv --at 2025-11-21T15:29 --to out/store
    """
    said = {
        "at": None if at is None else _time(at),
        "underlying": underlying,
        "expiry": None if expiry is None else _date(expiry, "--expiry"),
        "spot": spot,
        "columns": _mapping(columns),
    }
    _run("nse-chain", files, to, said, as_json)


@imports.command("participant")
def participant(files: Files, to: To, as_json: AsJson = False) -> None:
    """Participant-wise open interest and volume (fao_participant_oi_DDMMYYYY.csv).

    Example: toolkit import participant fao_participant_oi_28072026.csv --to out/store
    """
    _run("participant", files, to, {}, as_json)


@imports.command("index-close")
def index_close(files: Files, to: To, as_json: AsJson = False) -> None:
    """Index closes (ind_close_all_DDMMYYYY.csv): the indices with derivatives, and India VIX.

    Example: toolkit import index-close ind_close_all_03032025.csv --to out/store
    """
    _run("index-close", files, to, {}, as_json)


@imports.command("instruments")
def instruments(
    files: Files,
    to: To,
    on: Annotated[
        str | None, typer.Option("--on", metavar="DATE", help="The day its terms hold, where the name has none.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Instrument masters: the exchanges' contract files, or Kite's instrument dump.

    Example: toolkit import instruments instruments_all.csv --on 2017-12-15 --to out/store
    """
    _run("instruments", files, to, {"on": None if on is None else _date(on, "--on")}, as_json)


@imports.command("candles")
def candles(
    files: Files,
    to: To,
    volume_in: Annotated[
        str,
        typer.Option("--volume-in", metavar="units|contracts", help="Unit of volume and OI.", show_default=False),
    ],
    interval: Annotated[int, typer.Option("--interval", metavar="SECONDS", help="Length of a bar.")] = 60,
    stamp: Annotated[str, typer.Option("--stamp", metavar="start|end", help="Which end of the bar its time is.")] = (
        "start"
    ),
    zone: Annotated[str, typer.Option("--zone", help="What naive times mean.")] = "Asia/Kolkata",
    contract: Annotated[
        str | None, typer.Option("--contract", help="The instrument, where rows do not name it.")
    ] = None,
    columns: Map = None,
    as_json: AsJson = False,
) -> None:
    """A broker's candles, by a column map; rows are stamped at the end of their bar.

    Example: toolkit import candles bars.csv --volume-in units --contract "NIFTY 25NOV2025 24500 CE" --to out/store
    """
    from toolkit.market.files.candles import CandleMap

    how = CandleMap(
        volume_in=volume_in,  # type: ignore[arg-type]
        interval_s=interval,
        stamp=stamp,  # type: ignore[arg-type]
        zone=zone,
        contract=contract,
        columns=_mapping(columns),
    )
    _run("candles", files, to, {"candles": how}, as_json)


@imports.command("span")
def span(files: Files, to: To, underlying: Underlyings = None, as_json: AsJson = False) -> None:
    """The clearing corporation's daily parameter file (.spn, XML; zip or plain), NSE or BSE.

    Margins of that day are then calibrated by it. Name the symbols you trade: all of them are about 160,000 contracts.

    Example: toolkit import span nsccl.20260213.s.zip --underlying NIFTY --to out/store
    """
    _run("span", files, to, {"underlyings": tuple(underlying or ())}, as_json)


@imports.command("elm")
def elm(files: Files, to: To, as_json: AsJson = False) -> None:
    """Extreme loss margins: ael_DDMMYYYY.csv by symbol, F_AEL_OPT_CONTRACTS_DDMMYYYY.CSV by contract.

    Example: toolkit import elm ael_13022026.csv --to out/store
    """
    _run("elm", files, to, {}, as_json)


def _run(form: str, files: list[Path], to: Path, said: dict[str, Any], as_json: bool) -> None:
    from toolkit.market.files.detect import How
    from toolkit.store.importing import import_files

    how = How(**said)
    if sys.stderr.isatty() and len(files) > 1:
        accounts = _with_bar(form, files, to, how)
    else:
        accounts = import_files(form, files, to, how)
    if as_json:
        document = {"to": str(to), "files": [_plain(account) for account in accounts]}
        print(json.dumps(document, indent=1, ensure_ascii=False))
    else:
        _table(accounts, to)


def _with_bar(form: str, files: list[Path], to: Path, how: How) -> list[FileAccount]:
    from rich.console import Console
    from rich.progress import Progress

    from toolkit.store.importing import import_files

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("importing", total=len(files))
        return import_files(form, files, to, how, progress=lambda _: bar.advance(task))


def _plain(account: FileAccount) -> dict[str, Any]:
    import msgspec

    made: dict[str, Any] = msgspec.to_builtins(account)
    return made


def _table(accounts: list[FileAccount], to: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    table.add_column("file", overflow="fold")
    for head in ("rows read", "kept", "refused"):
        table.add_column(head, justify="right")
    table.add_column("remarks")
    for one in accounts:
        remarks = ["imported before, nothing changed"] if one.already else []
        remarks += [f"refused {count:,}: {reason}" for reason, count in one.refused.items()]
        remarks += [f"{count:,} {reason}" for reason, count in one.noted.items()]
        refused = sum(one.refused.values())
        table.add_row(one.name, f"{one.rows_read:,}", f"{one.rows_kept:,}", f"{refused:,}", "\n".join(remarks))
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(f"store: {to}", soft_wrap=True)


def _mapping(pairs: list[str] | None) -> dict[str, str]:
    found = {}
    for pair in pairs or ():
        ours, equals, theirs = pair.partition("=")
        if not (ours and equals and theirs):
            raise BadData(f"--map must read OURS=THEIRS, was {pair!r}")
        found[ours.strip()] = theirs.strip()
    return found


def _date(text: str, option: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise BadData(f"{option} must be a date YYYY-MM-DD, was {text!r}") from None


def _time(text: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        raise BadData(f"--at must be a time such as 2025-11-21T15:29, was {text!r}") from None
