"""The verbs ``rules ...``: what guards an account, a rules file checked and tried, locks seen and lifted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.app import app
from toolkit.errors import BadData

if TYPE_CHECKING:
    from toolkit.risk.settings import RiskSettings

__all__ = ["check", "dry_run", "locks", "rules", "show", "unlock"]

rules = typer.Typer(
    no_args_is_help=True, help="The rules that guard an account: shown, checked, tried on a day, unlocked."
)
app.add_typer(rules, name="rules")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Account = Annotated[str, typer.Option(help="The account's id, typed in full.")]
BrokerName = Annotated[str, typer.Option(help="kite, xts-pro, xts-client, paper.")]


@rules.command()
def show(
    file: Annotated[Path | None, typer.Argument(help="A rules file; default: the configured one, else none.")] = None,
    account: Account = "",
    on: Annotated[
        str | None, typer.Option(help="As of this session's day (YYYY-MM-DD); default: today in India.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the limits and the rules that apply, and what each does; exit 1 when new orders are stopped.

    Example: toolkit rules show --json
    """
    import msgspec

    from toolkit.risk.rulefile import Shut, described
    from toolkit.store.rules import standing

    risk = _risk()
    guard, read = standing(risk, account, _day(on), file)
    limits = read.applied(risk.limits(account))
    stopped = guard.text if isinstance(guard, Shut) else ""
    found = {
        "file": read.where or None,
        "stopped": stopped or None,
        "limits": msgspec.to_builtins(limits),
        "rules": [described(rule) for rule in read.rules] if not stopped else [],
        "across": [described(rule) for rule in read.across] if not stopped else [],
    }
    if as_json:
        print(json.dumps(found, indent=2, sort_keys=True, default=str))
    else:
        _print(found)
    if stopped:
        print(f"toolkit: new orders are stopped: {stopped}", file=sys.stderr)
        raise typer.Exit(1)


@rules.command()
def check(
    file: Annotated[Path, typer.Argument(help="The rules file to read.")],
    as_json: AsJson = False,
) -> None:
    """Read a rules file and say what it declares, or which line is wrong.

    Example: toolkit rules check rules.toml
    """
    from toolkit import tables
    from toolkit.risk.rulefile import described, parse

    found = parse(_text(file), str(file), breakers=tables.breakers())
    shown = [described(rule) for rule in found.rules]
    summed = [described(rule) for rule in found.across]
    if as_json:
        until = None if found.valid_until is None else found.valid_until.isoformat()
        document: dict[str, Any] = {"file": str(file), "limits": dict(found.limits), "valid_until": until}
        document |= {"rules": shown, "across": summed}
        print(json.dumps(document, indent=2, sort_keys=True, default=str))
        return
    more = f", {len(summed)} over all accounts" if summed else ""
    print(f"{file}: {len(shown)} rules and {len(found.limits)} limits{more}, no mistake")
    for one in (*shown, *summed):
        print(f"  {one['name']}: {one['does']}")


@rules.command("dry-run")
def dry_run(
    file: Annotated[Path, typer.Argument(help="The rules file to try.")],
    session: Annotated[Path, typer.Option(help="A session store, or an official or recorded file directly.")],
    strategy: Annotated[str, typer.Option(help="A shipped name, module:Class or a .py file.")] = "short-straddle",
    underlying: Annotated[str | None, typer.Option(help="NIFTY, SENSEX, ...; needed when there are several.")] = None,
    param: Annotated[list[str] | None, typer.Option(help="A strategy parameter, key=value; repeatable.")] = None,
    date: Annotated[str | None, typer.Option(help="Only this day (YYYY-MM-DD).")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell which orders of a recorded day the rules would have denied, and when they would have locked.

    Example: toolkit rules dry-run rules.toml --session data/sample --strategy short-straddle --underlying NIFTY
    """
    import msgspec

    from toolkit import tables
    from toolkit.batch.dry_run import dry_run_session
    from toolkit.cli.replay import read_params
    from toolkit.risk.rulefile import parse

    declared = parse(_text(file), str(file), breakers=tables.breakers()).rules
    if not session.expanduser().exists():
        raise BadData(f"no session {session}; give a session store, or an official or recorded file")
    options: dict[str, Any] = {"underlying": underlying, "date": date, **read_params(param or [])}
    found = dry_run_session(declared, session, strategy, **options)
    if as_json:
        print(json.dumps(msgspec.to_builtins(found), indent=2, sort_keys=True))
        return
    for line in found.lines():
        print(line)


@rules.command()
def locks(
    account: Account,
    broker: BrokerName = "paper",
    realm: Annotated[str, typer.Option(help="Which market of paper or of a simulated broker.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the locks that stand on an account: what they stop, why, and what lifts them.

    Example: toolkit rules locks --account PAPER
    """
    import msgspec

    from toolkit.store.rules import locks_in

    found = locks_in(_folder(broker, account, realm))
    if as_json:
        print(json.dumps(msgspec.to_builtins(found), indent=2, sort_keys=True))
        return
    for lock in found:
        print(f"{lock.lock_id}: {lock.scope} {lock.state} by {lock.rule}: {lock.text}; {lock.rearm}")
    if not found:
        print(f"no lock stands on {account}")


@rules.command()
def unlock(
    lock_id: Annotated[str, typer.Argument(help="As 'toolkit rules locks' names it.")],
    account: Account,
    broker: BrokerName = "paper",
    realm: Annotated[str, typer.Option(help="Which market of paper or of a simulated broker.")] = "",
    as_json: AsJson = False,
) -> None:
    """Lift a lock: a person's act, journaled by the running engine; what caused it is not counted again.

    Example: toolkit rules unlock day_loss-1 --account PAPER
    """
    from toolkit.store.rules import ask_unlock

    text = ask_unlock(_folder(broker, account, realm), lock_id, account, "cli")
    print(json.dumps({"lock_id": lock_id, "account": account, "text": text}) if as_json else text)


def _risk() -> RiskSettings:
    from toolkit.config import Settings
    from toolkit.risk.settings import RiskSettings

    return Settings.load().section("risk", RiskSettings)


def _day(on: str | None) -> Any:
    import datetime as dt
    import time

    from toolkit.calendar import ist_date

    if on is None:
        return ist_date(time.time_ns())
    try:
        return dt.date.fromisoformat(on)
    except ValueError:
        raise BadData(f"--on must be a date YYYY-MM-DD, was '{on}'") from None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise BadData(f"rules file {file} cannot be read: {why}; check the path") from None


def _folder(broker: str, account: str, realm: str) -> Path:
    """The folder of an account's journals; a simulated broker has one a realm, found when there is only one."""
    from toolkit.store.daybook import journal_path

    exact = journal_path(broker, account, _day(None), realm).parent
    if realm or exact.is_dir():
        return exact
    found = sorted(path for path in exact.parent.glob(f"{exact.name}-*") if path.is_dir())
    if len(found) > 1:
        realms = ", ".join(path.name.removeprefix(f"{exact.name}-") for path in found)
        raise BadData(f"account '{account}' at {broker} has several journals; name one with --realm: {realms}")
    return found[0] if found else exact


def _print(found: dict[str, Any]) -> None:
    print(f"file: {found['file'] or 'none; the standard rules apply'}")
    print("limits:")
    for name, value in found["limits"].items():
        print(f"  {name} = {value}")
    for title, section in (("rules:", "rules"), ("over the sum of a process's accounts:", "across")):
        print(title)
        for rule in found[section]:
            skip = ("name", "kind", "phase", "does")
            given = ", ".join(f"{k} = {v}" for k, v in rule.items() if k not in skip and v is not None)
            print(f"  {rule['name']}: {rule['does']} ({given})")
