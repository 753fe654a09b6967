"""The verbs that look at a running engine and steer it: halt, resume, flatten, reconcile, verify, positions, pnl."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.app import app
from toolkit.errors import BadData, BadSetting, Refused, ToolkitError

if TYPE_CHECKING:
    from toolkit.desk import Desk
    from toolkit.store.journal import Verdict

__all__ = ["flatten", "halt", "pnl", "positions", "reconcile", "resume", "running", "verify"]

UrlOption = Annotated[str | None, typer.Option(help="Address of the engine. [default: those of this home]")]
TokenOption = Annotated[
    Path | None, typer.Option("--token-file", help="File with the engine's token. [default: the engine's own]")
]
BrokerOption = Annotated[str | None, typer.Option("--broker", help="Only engines of this broker.")]
AccountOption = Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account.")]
ReasonOption = Annotated[str, typer.Option(help="Kept in the journal.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@contextlib.contextmanager
def running(
    url: str | None = None,
    token_file: Path | None = None,
    broker: str | None = None,
    account: str | None = None,
    *,
    instead: str = "",
) -> Iterator[list[Desk]]:
    """Attach to the engines that are meant, while the block lasts: the one at ``url``, or every one of this home.

    ``instead`` is what a user without an engine may give, for the error.

    Raises
    ------
    Refused
        When none runs.
    """
    from toolkit.desk import attach
    from toolkit.serve.client import token_at
    from toolkit.store.lease import holders

    with contextlib.ExitStack() as stack:
        desks = []
        if url is not None:
            token = None if token_file is None else token_at(token_file)
            desks.append(stack.enter_context(attach(url, token, via="cli")))
        for address in (
            () if url is not None else sorted({h.url for h in holders(broker, [account] if account else [])})
        ):
            try:
                desks.append(stack.enter_context(attach(address, via="cli")))
            except ToolkitError as error:
                print(f"toolkit: the engine at {address} does not answer: {error}", file=sys.stderr)
        if not desks:
            _check_named(broker, account)
            raise Refused(f"no engine runs here; start one with toolkit serve, or give --url{instead}")
        yield desks


def _check_named(broker: str | None, account: str | None) -> None:
    """Refuse a broker or an account that is named and that no engine of this home has, while others run."""
    from toolkit.orders.words import no_account
    from toolkit.store.lease import holders

    found = holders()
    brokers = sorted({h.broker for h in found})
    if broker is not None and found and broker not in brokers:
        raise no_account("broker", brokers, broker)
    accounts = sorted({h.account for h in found if broker in (None, h.broker)})
    if account is not None and accounts and account not in accounts:
        raise no_account("account", accounts, account)


@app.command()
def halt(
    cancel_all: Annotated[bool, typer.Option("--cancel-all", help="Cancel protective orders too.")] = False,
    reason: ReasonOption = "toolkit halt",
    url: UrlOption = None,
    token_file: TokenOption = None,
    broker: BrokerOption = None,
    account: AccountOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop what increases exposure, at once: new orders are denied, increasing ones cancelled.

    Orders that together only reduce a position stay and are named, stops before targets and the nearest first, unless
    --cancel-all. It outlives a restart; resume re-arms.

    Example: toolkit halt --reason "the market is odd"
    """
    with running(url, token_file, broker, account) as desks:
        _each(desks, lambda desk: desk.halt(reason, cancel_all=cancel_all, account=account))
        _states(desks, as_json, [row for desk in desks for row in _open(desk, account)])


@app.command()
def resume(
    reason: ReasonOption = "toolkit resume",
    url: UrlOption = None,
    token_file: TokenOption = None,
    broker: BrokerOption = None,
    account: AccountOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept new exposure again after a halt: a deliberate second act.

    Example: toolkit resume --reason "looked at it"
    """
    with running(url, token_file, broker, account) as desks:
        _each(desks, lambda desk: desk.resume(reason, account))
        _states(desks, as_json)


@app.command()
def flatten(
    confirm: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="The account, typed in full; asked for on a terminal.")
    ] = None,
    reason: ReasonOption = "toolkit flatten",
    url: UrlOption = None,
    token_file: TokenOption = None,
    broker: BrokerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close every position of one account: reduce-only, shorts bought back first.

    Only what shrinks a position may leave afterwards, until resume. Exit code 1 when something stays open.

    Example: toolkit flatten --confirm AB1234
    """
    with running(url, token_file, broker, confirm) as desks:
        if len(desks) > 1:
            raise BadSetting("several engines run here; name the account with --confirm ACCOUNT")
        named = confirm or _confirmed(desks[0])
        rows = desks[0].flatten(reason, confirm=named).to_dicts()
        left = [f"{r['net_qty']} {r['symbol']}" for r in desks[0].positions(named).to_dicts() if r["net_qty"]]
    lines = [f"{r['cl_ord_id']} {r['side']} {r['order_qty']} {r['symbol']} {r['ord_status']}" for r in rows]
    _print({"orders": rows}, as_json, lines or ["nothing to close"])
    if left:
        raise ToolkitError(f"not closed: {', '.join(left)}; look at the orders, flatten again or close at the broker")


@app.command()
def reconcile(
    url: UrlOption = None,
    token_file: TokenOption = None,
    broker: BrokerOption = None,
    account: AccountOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the broker's book with ours now; what differs is taken over and journaled.

    Example: toolkit reconcile --json
    """
    with running(url, token_file, broker, account) as desks:
        rows = [row for desk in desks for row in desk.reconcile(account).to_dicts()]
    _print({"differences": rows}, as_json, [str(row["text"]) for row in rows] or ["the books agree"])


@app.command()
def positions(
    url: UrlOption = None,
    token_file: TokenOption = None,
    broker: BrokerOption = None,
    account: AccountOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the positions of the running engines: quantity, cost, mark, profit, Greeks.

    Example: toolkit positions --json
    """
    with running(url, token_file, broker, account) as desks:
        _table("positions", [row for desk in desks for row in desk.positions(account).to_dicts()], as_json)


@app.command()
def pnl(
    url: UrlOption = None,
    token_file: TokenOption = None,
    broker: BrokerOption = None,
    account: AccountOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the day's profit by account: realized, open, charges, net.

    Example: toolkit pnl --json
    """
    with running(url, token_file, broker, account) as desks:
        _table("pnl", [row for desk in desks for row in desk.pnl(account).to_dicts()], as_json)


@app.command()
def verify(
    journal: Annotated[
        Path | None,
        typer.Argument(help="A journal.db file, or an exported .jsonl or .csv. [default: every journal of this home]"),
    ] = None,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every record there: a new .jsonl or .csv file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a journal's hash chain: every record whole, every link in place. Changes nothing.

    Exit code 1 when one is broken. A journal that a running engine holds is asked of that engine. An exported file is
    checked by itself; that its own end was not cut off is seen by its last hash, which is the journal's.

    Example: toolkit verify out/journal.db --export audit.csv --json
    """
    from toolkit.config import home
    from toolkit.store.audit import verify_audit, write_audit
    from toolkit.store.journal import verify_file

    files = [journal] if journal is not None else sorted((home() / "accounts").rglob("*.db"))
    if not files:
        raise BadData(f"no journal under {home() / 'accounts'}; name a file")
    rows: list[dict[str, Any]] = []
    if journal is not None and journal.suffix in (".jsonl", ".csv"):
        if export is not None:
            raise BadSetting(f"{journal.name} is an export already; name a journal, or leave --export out")
        rows, files = [_verdict(name, found) for name, found in verify_audit(journal).items()], []
    with contextlib.ExitStack() as stack:
        held: dict[str, tuple[Desk, dict[str, Any]]] | None = None
        for path in files:
            try:
                row = _verdict(str(path), verify_file(path))
            except Refused as error:
                held = _held(stack) if held is None else held
                row = held[str(path.absolute())][1] if str(path.absolute()) in held else {}
                row = row or {"journal": str(path), "state": "held", "text": str(error)}
            rows.append(row)
        written = 0 if export is None else write_audit(_records(rows, held or {}), export)
    lines = [f"{r['journal']}: {r['state']}, {r['text']}" for r in rows]
    more = {} if export is None else {"export": str(export), "exported": written}
    _print({"journals": rows, **more}, as_json, lines + ([f"{written} records in {export}"] if export else []))
    if any(row["state"] not in ("sound", "held") for row in rows):
        raise typer.Exit(1)


def _verdict(name: str, found: Verdict) -> dict[str, Any]:
    row = {"journal": name, "state": found.state, "records": found.total, "good": found.good}
    return {**row, "last_hash": found.last_hash, "text": found.text}


def _held(stack: contextlib.ExitStack) -> dict[str, tuple[Desk, dict[str, Any]]]:
    """The journals that running engines hold, as these say they are; none where no engine answers."""
    try:
        desks = stack.enter_context(running())
    except Refused:
        return {}
    return {row["journal"]: (desk, row) for desk in desks for row in desk.verify().to_dicts()}


def _records(rows: list[dict[str, Any]], held: dict[str, tuple[Desk, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Every record of the journals, from the file or from the engine that holds it."""
    from toolkit.store.audit import audit_row
    from toolkit.store.journal import entries_of

    for row in rows:
        if row["journal"] in held:
            desk, seen = held[row["journal"]]
            for record in desk.past_events(seen["account"], chain=True):
                yield {**record, "journal": row["journal"]}
        else:
            yield from (audit_row(row["journal"], entry) for entry in entries_of(row["journal"]))


def _each(desks: list[Desk], act: Any) -> None:
    """Do an act at every engine, whatever the others say; the first fault is raised at the end."""
    faults: list[ToolkitError] = []
    for desk in desks:
        try:
            act(desk)
        except ToolkitError as error:
            faults.append(error)
    if faults:
        raise faults[0]


def _states(desks: list[Desk], as_json: bool, stay: list[dict[str, Any]] | None = None) -> None:
    """The trading state of each account, and after a halt the orders that stay."""
    rows = [seat for desk in desks for seat in desk.state()["accounts"]]
    lines = [f"{r['account']} at {r['broker']}: {r['trading']} {r['reason']}".rstrip() for r in rows]
    lines += [f"  stays: {r['cl_ord_id']} {_terms(r)} {r['ord_status']}" for r in stay or ()]
    _print({"accounts": rows} | ({} if stay is None else {"stay": stay}), as_json, lines)


def _open(desk: Desk, account: str | None) -> list[dict[str, Any]]:
    """Orders that stay: what the exchange holds, not what they are parts of, nor what is being cancelled."""
    rows = desk.orders(account).to_dicts()
    parents = {row["parent_id"] for row in rows}
    at_work = (r for r in rows if r["leaves_qty"] and r["ord_status"] != "pending_cancel")
    return [row for row in at_work if row["cl_ord_id"] not in parents]


def _terms(row: dict[str, Any]) -> str:
    """``SELL 130 of NIFTY 14JUL2026 25450 CE stop 70.00 at 65.00``."""
    stop = "" if row["stop_px"] is None else f" stop {row['stop_px']:.2f}"
    limit = "" if row["price"] is None else f" at {row['price']:.2f}"
    return f"{row['side']} {row['leaves_qty']} of {row['symbol']}{stop}{limit}"


def _confirmed(desk: Desk) -> str:
    """The account as a person types it on a terminal, with what would be closed before the eyes."""
    if not sys.stdin.isatty():
        raise BadSetting("closing everything is confirmed with --confirm ACCOUNT, typed in full")
    for row in desk.positions().to_dicts():
        if row["net_qty"]:
            print(f"{row['net_qty']:>8} {row['symbol']}", file=sys.stderr)
    typed: str = typer.prompt(f"Type the account ({', '.join(desk.accounts)}) to close everything", err=True)
    return typed


def _print(document: dict[str, Any], as_json: bool, lines: list[str]) -> None:
    print(json.dumps(document) if as_json else "\n".join(lines))


def _table(name: str, rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps({name: rows}))
        return
    from rich.console import Console
    from rich.table import Table

    if not rows:
        print(f"no {name}")
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*("–" if v is None else f"{v:,.2f}" if isinstance(v, float) else str(v) for v in row.values()))
    Console(width=None if sys.stdout.isatty() else 180).print(table)
