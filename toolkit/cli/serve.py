"""The verbs ``serve`` and ``token``: the engine process, and who may speak to it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.app import app
from toolkit.errors import BadData

__all__ = ["serve", "token"]


@app.command()
def serve(
    broker: Annotated[str, typer.Option(help="paper, kite, xts-pro or xts-client.")] = "paper",
    feed: Annotated[str | None, typer.Option(help="Paper on the live market of this broker.")] = None,
    session: Annotated[
        Path | None, typer.Option(help="Paper on a recorded session. [default: the shipped sample]")
    ] = None,
    account: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Account, or BROKER:ID; repeatable. [default: the login's]")
    ] = None,
    live: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Arm live trading of this account, typed in full; ends with the session."),
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="Recorded sessions: begin there, as 11:05.")] = None,
    underlying: Annotated[list[str] | None, typer.Option(help="Chains to watch; repeatable. [default: NIFTY]")] = None,
    strategy: Annotated[
        str | None, typer.Option(help="Run this strategy on the first account: a name, module:Class or a file.")
    ] = None,
    param: Annotated[list[str] | None, typer.Option(help="A strategy parameter, key=value; repeatable.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Loopback port; 0 takes a free one. [default: [api] port]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The ready line is JSON in any case.")] = False,
) -> None:
    """Run the engine process: one writer an account, with its API, stream and metrics.

    Prints one line of JSON when it is reconciled and accepting. SIGTERM ends it cleanly; a kill loses nothing.

    Example: toolkit serve --broker paper --session data/sample --port 0
    """
    import asyncio

    from toolkit.brokers.whose import reserve
    from toolkit.cli.replay import read_params

    with reserve(broker, account or (), live or ()):  # whoever is second is told before the engine is even loaded
        try:
            from toolkit.serve.build import Plan
            from toolkit.serve.run import serve as run
        except ImportError as error:
            raise BadData(f"{error.name} is not installed; add it with: pip install 'trading-toolkit[serve]'") from None
        plan = Plan(
            broker=broker,
            feed=feed,
            session=session,
            accounts=tuple(account or ()),
            live=tuple(live or ()),
            at=at,
            watch=tuple(name.upper() for name in underlying or ()),
            strategy=strategy,
            params=read_params(param or []),
        )
        asyncio.run(
            run(
                plan,
                port,
                lambda line: print(line, flush=True),
                lambda line: print(line, file=sys.stderr, flush=True),
            )
        )


@app.command()
def token(
    scope: Annotated[str, typer.Option(help="read, trade or admin.")] = "admin",
    rotate: Annotated[bool, typer.Option("--rotate", help="Make all tokens anew; the old ones are refused.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Tell which file holds the engine's token; the token itself is never printed.

    Example: toolkit token --scope read --json
    """
    import json
    import time

    from toolkit.serve.auth import TokenBook

    book = TokenBook(time.time_ns)
    path = book.path(scope)
    book.open()
    if rotate:
        book.rotate()
    print(json.dumps({"scope": scope, "token_file": str(path)}) if as_json else path)
