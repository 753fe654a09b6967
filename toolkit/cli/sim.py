"""The verbs ``sim ...``: simulated brokers that speak the real wire over loopback."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.app import app
from toolkit.errors import BadData

__all__ = ["kite", "xts"]

group = typer.Typer(no_args_is_help=True, help="Simulated brokers that speak the real wire over loopback.")
app.add_typer(group, name="sim")


@group.command()
def kite(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port; 0 takes a free one.")] = 0,
    session: Annotated[Path | None, typer.Option(help="Session store to play. [default: the shipped sample]")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="Start there: 11:05, or 2026-07-13T11:05.")] = None,
    speed: Annotated[float, typer.Option(help="Simulated seconds a second; 0 stands still.")] = 1.0,
    profile: Annotated[str, typer.Option(help="production, sandbox or unlimited (no rate limits).")] = "production",
    fault: Annotated[
        list[str] | None, typer.Option(help="NAME[:ARG][@CALL][#COUNT][+SKIP][~CHANCE]; repeatable; 'list' lists them.")
    ] = None,
    funds: Annotated[float, typer.Option(help="Cash of the account, rupees.")] = 10_000_000.0,
    account: Annotated[str, typer.Option(help="Kite user id of the account.")] = "SIM001",
    seed: Annotated[int, typer.Option(help="Seed of the faults' chances.")] = 0,
    record: Annotated[Path | None, typer.Option(help="File of the record. [default: under the toolkit's home]")] = None,
) -> None:
    """Serve Kite Connect's wire from a recorded session; prints one ready line of JSON.

    Example: toolkit sim kite --port 8801 --session data/sample --speed 1
    """
    if fault == ["list"]:
        _list_faults()
        return
    from toolkit.config import share

    try:
        from toolkit.sim.servers.run import Plan, serve_kite
    except ImportError as error:
        raise BadData(f"{error.name} is not installed; add it with: pip install 'trading-toolkit[kite]'") from None
    plan = Plan(
        session=share("data", "sample") if session is None else session,
        port=port,
        at=at,
        speed=speed,
        profile=profile,
        faults=tuple(fault or ()),
        funds=funds,
        account=account,
        seed=seed,
        record=record,
    )
    serve_kite(plan, lambda line: print(line, flush=True), lambda line: print(line, file=sys.stderr, flush=True))


@group.command()
def xts(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port; 0 takes a free one.")] = 0,
    session: Annotated[Path | None, typer.Option(help="Session store to play. [default: the shipped sample]")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="Start there: 11:05, or 2026-07-13T11:05.")] = None,
    speed: Annotated[float, typer.Option(help="Simulated seconds a second; 0 stands still.")] = 1.0,
    profile: Annotated[
        str, typer.Option(help="investor, dealer_masked, dealer_named or dealer_empty_positions.")
    ] = "investor",
    eio: Annotated[str, typer.Option(help="Engine.IO: 3, 4 (refuses 3) or both, by the client's wish.")] = "both",
    form: Annotated[
        str, typer.Option("--format", help="json, or binary: packets even where JSON was asked for.")
    ] = "json",
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of the install; repeatable; 'list' lists them.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="NAME[:ARG][@CALL][#COUNT][+SKIP][~CHANCE]; repeatable; 'list' lists them.")
    ] = None,
    funds: Annotated[float, typer.Option(help="Cash of each client, rupees.")] = 10_000_000.0,
    account: Annotated[str, typer.Option(help="User id of an investor; a dealer has two clients.")] = "SIM001",
    seed: Annotated[int, typer.Option(help="Seed of the faults' chances.")] = 0,
    record: Annotated[Path | None, typer.Option(help="File of the record. [default: under the toolkit's home]")] = None,
) -> None:
    """Serve Symphony XTS's wire from a recorded session; prints one ready line of JSON.

    Example: toolkit sim xts --port 8802 --profile dealer_named --session data/sample --set batch=whole
    """
    if fault == ["list"]:
        _list_faults()
        return
    if setting == ["list"]:
        from toolkit.sim.xts_install import settings

        for name, text in settings().items():
            print(f"{name:18} {text}")
        return
    from toolkit.config import share

    try:
        from toolkit.sim.servers.xts_run import XtsPlan, serve_xts
    except ImportError as error:
        raise BadData(f"{error.name} is not installed; add it with: pip install 'trading-toolkit[xts]'") from None
    plan = XtsPlan(
        session=share("data", "sample") if session is None else session,
        port=port,
        at=at,
        speed=speed,
        profile=profile,
        eio=eio,
        format=form,
        settings=tuple(setting or ()),
        faults=tuple(fault or ()),
        funds=funds,
        account=account,
        seed=seed,
        record=record,
    )
    serve_xts(plan, lambda line: print(line, flush=True), lambda line: print(line, file=sys.stderr, flush=True))


def _list_faults() -> None:
    from toolkit.sim.servers.faults import FAULTS

    for name, text in FAULTS.items():
        print(f"{name:18} {text}")
