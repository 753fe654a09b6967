"""The verb ``margin``: what legs need, on a recorded day or in the books of this machine."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.app import app
from toolkit.errors import BadData, BadSetting

if TYPE_CHECKING:
    from toolkit.batch.margin_day import MarginDay
    from toolkit.desk import Desk

__all__ = ["margin"]


@app.command()
def margin(
    legs: Annotated[
        str | None, typer.Option("--legs", help="SELL 1 lot NIFTY 24FEB2026 25000 CE, BUY 65 units ... @ 197.35")
    ] = None,
    session: Annotated[
        Path | None, typer.Option("--session", help="Session store or bhavcopy. [default: the running engines' books]")
    ] = None,
    on: Annotated[
        str | None, typer.Option("--on", metavar="DATE", help="The day, at its close. [default: the session's last]")
    ] = None,
    vol: Annotated[
        float | None,
        typer.Option("--vol", help="The underlying's vol, a fraction. [default: the file's, else implied]"),
    ] = None,
    rate: Annotated[float, typer.Option("--rate", help="Continuous rate, a fraction, where no file says it.")] = 0.0,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Which parameter file of the day: s, i1 to i5. [default: the last]")
    ] = None,
    cash: Annotated[
        float | None,
        typer.Option("--cash", help="Rupees of cash in the account: shows what is short, and its interest."),
    ] = None,
    collateral: Annotated[float, typer.Option("--collateral", help="Rupees of pledged shares after haircut.")] = 0.0,
    broker: Annotated[
        str | None,
        typer.Option("--broker", help="Ask it for the same basket, keep the pair; of running engines: only its."),
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", metavar="ID", help="Of running engines: only this account.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Address of the engine. [default: those of this home]")] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File with the engine's token. [default: the engine's own]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Margin of legs on a recorded day, or of the running engines' positions with legs on top.

    With --session, prices, lots and the underlying's level come from it; with the day's parameter file imported
    (toolkit import span) the figure is calibrated, without one it is labelled an estimate. Without --session: the
    margin of every account by part and strategy, how it is covered and the day's peak; --legs says what they would
    need on top, and in which order.

    Example: toolkit margin --legs "SELL 1 lot NIFTY 24FEB2026 25000 CE" --on 2026-02-13 --session out/store
    """
    if session is None:
        unfit = {"--on": on, "--vol": vol, "--rate": rate or None, "--revision": revision, "--cash": cash}
        unfit["--collateral"] = collateral or None
        given = [name for name, value in unfit.items() if value is not None]
        if given:
            raise BadSetting(f"{given[0]} is of a recorded day; name it with --session")
        from toolkit.cli.control import running

        with running(url, token_file, broker, account, instead=", or --session for a recorded day") as desks:
            _running(desks, legs, account, as_json)
        return
    if legs is None:
        raise BadSetting("--session needs --legs: whose margin is asked for")
    from toolkit.batch.margin_day import margin_on
    from toolkit.store.session import open_session

    day = None if on is None else _date(on)
    found = margin_on(
        open_session(session),
        legs,
        day,
        vol=vol,
        rate=rate,
        revision=revision,
        money=None if cash is None else (cash, collateral),
    )
    theirs = None if broker is None else _beside(found, broker)
    if as_json:
        print(json.dumps(found.document() | ({} if theirs is None else {"broker": theirs}), indent=1))
        return
    _show(found)
    if theirs is not None:
        print(f"{broker}: Rs {_rs(theirs['total'])}, ours is {theirs['error']:+.2%} of it; {theirs['text']}")


def _beside(day: MarginDay, name: str) -> dict[str, Any]:
    """The broker's figure of the same basket; the pair is kept in the toolkit's home."""
    import asyncio

    from toolkit import tables
    from toolkit.brokers.factory import connect
    from toolkit.brokers.margin_beside import BasketLeg, Beside, beside
    from toolkit.store.margin_pairs import MarginPairs

    if name == "paper":
        raise BadData("paper's margin is ours; name a broker with a margin of its own: kite, xts-pro or xts-client")
    by_number = {step.number: step.leg for step in day.order}
    rules = tables.contracts()
    basket = [
        BasketLeg(leg.symbol, rules.exchange(by_number[n].underlying), by_number[n]) for n, leg in enumerate(day.legs)
    ]
    pairs = MarginPairs()

    async def ask() -> Beside:
        broker = connect(name)
        try:
            return await beside(broker, basket, day.params, pairs)
        finally:
            await broker.close()

    found = asyncio.run(ask())
    errors = pairs.errors(name)
    return {
        "name": name,
        "total": found.theirs.total,
        "span": found.theirs.span,
        "exposure": found.theirs.exposure,
        "ours": found.ours.total,
        "error": found.pair.error,
        "uncounted": list(found.uncounted),
        "pairs": errors.pairs,
        "median": errors.median,
        "p95": errors.p95,
        "text": errors.text,
    }


def _running(desks: list[Desk], legs: str | None, account: str | None, as_json: bool) -> None:
    """Print the margin of the running engines' accounts, with what legs would need on top."""
    rows = [row for desk in desks for row in desk.margin(account=account).to_dicts()]
    shares = [row for desk in desks for row in desk.margin(account=account, by="strategy").to_dicts()]
    found: dict[str, Any] = {"margin": rows, "strategies": shares}
    if legs is not None:
        if len(desks) > 1:
            raise BadSetting("several engines run here; say which with --account, --broker or --url")
        found["order"] = desks[0].margin(_asked(legs), account).to_dicts()[0]
    if as_json:
        print(json.dumps(found))
        return
    for row in rows:
        ours = "unknown" if row["ours"] is None else f"Rs {_rs(row['ours'])}"
        print(f"{row['account']} at {row['broker']}: {ours} ({row['label']})")
        said = [f"{name.replace('_', ' ')} {_or_unknown(row[name])}" for name in _MONEY]
        print(f"  {', '.join(said)}, peak window {row['peak_window'] or 'none yet'}")
    for row in shares:
        if row["strategy"]:
            print(f"  {row['account']} {row['strategy']}: {_or_unknown(row['margin'])}")
    if "order" in found:
        _show_order(found["order"])


_MONEY = ("cash", "used", "available", "collateral", "cash_short", "short", "interest_a_day", "peak_required")


def _show_order(order: dict[str, Any]) -> None:
    total = "unknown" if order["total"] is None else f"Rs {_rs(order['total'])}"
    print(f"the legs: {total} ({order['label']})")
    if order["total"] is not None:
        print(f"  the account: Rs {_rs(order['before'])} before, Rs {_rs(order['after'])} after")
        for step in order["leg_order"]:
            needs = "an unknown sum" if step["needed"] is None else f"Rs {_rs(step['needed'])}"
            print(f"  then {step['side']} {step['symbol']}: needs {needs}")
    if order["broker_total"] is not None:
        print(f"  the broker's figure: Rs {_rs(order['broker_total'])}")


def _asked(legs: str) -> list[dict[str, Any]]:
    """Legs as people say them, in the words of an order."""
    from toolkit.risk.asked import parse_legs

    made = []
    for leg in parse_legs(legs):
        known = leg.price == leg.price
        price = {"price": leg.price} if known else {"ord_type": "MARKET"}
        made.append(
            {
                "symbol": leg.contract.symbol,
                "side": str(leg.side),
                "lots" if leg.in_lots else "order_qty": leg.count,
                **price,
            }
        )
    return made


def _or_unknown(value: float | None) -> str:
    return "unknown" if value is None else f"Rs {_rs(value)}"


def _show(day: MarginDay) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    first = Table(title=f"{day.on} close, {day.session}", title_justify="left")
    first.add_column("leg")
    for head in ("lot", "units", "price", "alone"):
        first.add_column(head, justify="right")
    for leg in day.legs:
        price = f"{leg.price:,.2f} {leg.price_is}" if leg.price == leg.price else "unknown"
        first.add_row(f"{leg.side} {leg.lots:g} lot {leg.symbol}", str(leg.lot), f"{leg.qty:,}", price, _rs(leg.margin))
    console.print(first)
    parts = Table(title=day.margin.label, title_justify="left")
    parts.add_column("part")
    parts.add_column("Rs", justify="right")
    for name in _PARTS:
        parts.add_row(_PARTS[name], _rs(getattr(day.margin, name)))
    console.print(parts)
    order = Table(title="leg order with the least peak", title_justify="left")
    order.add_column("then")
    for head in ("margin", "premium paid", "needed"):
        order.add_column(head, justify="right")
    for step in day.order:
        leg = day.legs[step.number]
        order.add_row(f"{leg.side} {leg.symbol}", _rs(step.margin), _rs(step.cash), _rs(step.needed))
    console.print(order)
    if day.funding is not None:
        f = day.funding
        console.print(
            f"cash needed Rs {_rs(f.cash_needed)} (premium and the cash half), missing Rs {_rs(f.cash_short)};"
            f" interest a day Rs {f.interest_a_day:,.2f}; short altogether Rs {_rs(f.short)}",
            soft_wrap=True,
        )
    for note in day.notes:
        console.print(note, soft_wrap=True)


_PARTS = {
    "scan": "scan risk, the worst of 16",
    "calendar": "calendar-spread charge",
    "short_option_minimum": "short-option minimum",
    "net_option_value": "less net option value",
    "span": "SPAN",
    "exposure": "exposure (ELM)",
    "expiry_addon": "expiry-day addition",
    "delivery": "delivery margin",
    "total": "total",
    "premium": "long premium, paid in cash",
    "hedge_benefit": "hedge benefit in it",
}


def _rs(value: float) -> str:
    from toolkit.report.fmt import group

    return group(round(value))


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise BadData(f"--on must be a date YYYY-MM-DD, was {text!r}") from None
