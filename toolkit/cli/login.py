"""The verb ``login``: a day's token from a broker, kept private."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from toolkit.cli.app import app

KeyringOption = Annotated[bool, typer.Option("--keyring", help="Keep the token in the system's keyring.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]

__all__ = ["kite", "xts_client", "xts_pro"]

group = typer.Typer(no_args_is_help=True, help="Log in at a broker for the day.")
app.add_typer(group, name="login")


@group.callback()
def login() -> None:
    """Log in at a broker for the day."""


@group.command()
def kite(
    request_token: Annotated[
        str | None, typer.Option(help="The token of the redirect, or '-' to read it from standard input.")
    ] = None,
    listen: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Wait for the redirect on this loopback port (as registered; 0: any)."),
    ] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the redirect.")] = 300.0,
    keyring: KeyringOption = False,
    as_json: JsonOption = False,
) -> None:
    """Log in at Kite: prints the address to open, takes what comes back, keeps the day's token (mode 0600).

    Example: toolkit login kite --listen 5010
    """
    import asyncio
    import secrets
    import time

    from toolkit.brokers.kite_login import exchange, login_url, receive, request_token_of
    from toolkit.brokers.kite_settings import kite_settings
    from toolkit.brokers.tokens import TokenStore
    from toolkit.errors import BadData

    settings = kite_settings()
    if not settings.api_key:
        raise BadData("set [kite] api_key and api_secret first (or TOOLKIT_KITE__API_KEY and TOOLKIT_KITE__API_SECRET)")
    state = secrets.token_urlsafe(16)

    def say(port: int | None = None) -> None:
        where = "" if port is None else f" (the redirect is awaited on http://127.0.0.1:{port}/)"
        print(f"open in a browser{where}:\n{login_url(settings, state)}", file=sys.stderr, flush=True)

    async def run() -> tuple[str, str, str]:
        if listen is not None:
            given = await receive(listen, state, wait, say)
        elif request_token not in (None, "-"):
            given = request_token_of(str(request_token))
        else:
            if sys.stdin.isatty():
                say()
                print("then paste the request token, or the address that the browser ended on:", file=sys.stderr)
            elif request_token is None:
                say()
            given = request_token_of(sys.stdin.readline(), state)
        made, where = await exchange(settings, given, time.time_ns(), TokenStore(use_keyring=keyring))
        return made.account, made.day.isoformat(), where

    account, day, where = asyncio.run(run())
    if as_json:
        print(json.dumps({"account": account, "day": day, "kept_in": where}))
    else:
        print(f"logged in as {account} for {day}; the token is kept in {where}")


@group.command("xts-pro")
def xts_pro(keyring: KeyringOption = False, as_json: JsonOption = False) -> None:
    """Log in at XTS with an own account's keys: orders and market data. Ends the session of every other process.

    Example: toolkit login xts-pro --keyring
    """
    _xts("pro", keyring, as_json)


@group.command("xts-client")
def xts_client(keyring: KeyringOption = False, as_json: JsonOption = False) -> None:
    """Log in at XTS with a dealer's keys: orders and market data. Ends the session of every other process.

    Example: toolkit login xts-client --json
    """
    _xts("client", keyring, as_json)


def _xts(role: str, keyring: bool, as_json: bool) -> None:
    import asyncio

    from toolkit.brokers.tokens import TokenStore
    from toolkit.brokers.xts_login import log_in
    from toolkit.brokers.xts_settings import xts_settings
    from toolkit.config import Settings
    from toolkit.risk.settings import RiskSettings

    tree = Settings.load()
    settings = xts_settings(tree, role=role)
    allowed = tree.section("risk", RiskSettings).allow_plain_http
    made = asyncio.run(log_in(settings, TokenStore(use_keyring=keyring), allow_plain_http=allowed))
    found = {"account": made.account, "clients": list(made.clients), "kept_in": made.kept_in}
    if as_json:
        print(json.dumps({**found, "data_kept_in": made.data_kept_in or None}))
        return
    clients = f" for {', '.join(made.clients)}" if role == "client" and made.clients else ""
    print(f"logged in as {made.account}{clients}; the token is kept in {made.kept_in}")
    if made.data_kept_in:
        print(f"market data: the token is kept in {made.data_kept_in}")
    else:
        print("market data: no keys; set [xts] md_app_key and md_secret_key", file=sys.stderr)
