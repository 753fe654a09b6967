"""The verb ``bench``: a benchmark, with peers side by side where they are installed."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.app import app
from toolkit.errors import BadData, nearest

__all__ = ["BENCHES"]

BENCHES: dict[str, str] = {
    "engine": "toolkit.bench.engine",
    "feed": "toolkit.bench.feed",
    "oi": "toolkit.bench.oi",
    "pricing": "toolkit.bench.pricing",
    "replay": "toolkit.bench.replay",
    "risk": "toolkit.bench.risk",
    "startup": "toolkit.bench.startup",
}


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="One of: " + ", ".join(sorted(BENCHES)) + ".")],
    peers: Annotated[bool, typer.Option("--peers", help="Time installed peers side by side.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 when a stated ratio is missed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Run a benchmark: interleaved ratios, machine and versions printed.

    Example: toolkit bench pricing --peers --check
    """
    import importlib
    import json

    if name not in BENCHES:
        raise BadData(f"no benchmark '{name}'{nearest(name, BENCHES)}; known: {', '.join(sorted(BENCHES))}")
    result = importlib.import_module(BENCHES[name]).run(peers, check)
    print(json.dumps(result.document()) if as_json else result.text())
    if check and result.missed:
        for line in result.missed:
            typer.echo(f"missed: {line}", err=True)
        raise typer.Exit(1)
