"""The verbs ``order ...``: through the running engine where one holds the account, else the engine for one act."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.app import app
from toolkit.errors import BadData, BadSetting, Refused, nearest

if TYPE_CHECKING:
    from toolkit.brokers.act import Act
    from toolkit.brokers.one_act import OneAct
    from toolkit.desk import Desk
    from toolkit.types import Denial, Order

__all__ = ["cancel", "exit_code", "modify", "orders", "place", "show"]

_ANSWER_S = 5.0

group = typer.Typer(no_args_is_help=True, help="Ad-hoc orders: on paper, or live at a broker.")
app.add_typer(group, name="order")

BrokerOption = Annotated[str, typer.Option("--broker", help="paper, kite, xts-pro or xts-client.")]
AccountOption = Annotated[
    str | None, typer.Option("--account", help="Whose account; of a dealer the client. [default: the broker's own]")
]
LiveOption = Annotated[
    str | None, typer.Option("--live", metavar="ACCOUNT", help="Your account in full: without it nothing is sent live.")
]
EndsOption = Annotated[
    str | None, typer.Option("--live", metavar="ACCOUNT", help="Your account in full; a running engine needs it not.")
]
SessionOption = Annotated[
    Path | None, typer.Option(help="Paper only: the session to trade on. [default: the shipped sample]")
]
AtOption = Annotated[str | None, typer.Option(metavar="TIME", help="Paper only: the instant. [default: 11:00]")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@group.command()
def place(
    symbol: Annotated[str, typer.Argument(help="NIFTY 14JUL2026 25450 CE, the broker's own symbol, or its token.")],
    side: Annotated[str, typer.Option(help="BUY or SELL.")],
    lots: Annotated[str | None, typer.Option(help="Quantity in lots.")] = None,
    qty: Annotated[str | None, typer.Option(help="Quantity in units.")] = None,
    price: Annotated[str | None, typer.Option(help="Limit price, rupees.")] = None,
    stop_px: Annotated[str | None, typer.Option(help="Trigger of a STOP_LIMIT, rupees.")] = None,
    ord_type: Annotated[str, typer.Option("--type", help="LIMIT, MARKET (always protected) or STOP_LIMIT.")] = "LIMIT",
    time_in_force: Annotated[str, typer.Option(help="DAY or IOC.")] = "DAY",
    product: Annotated[str, typer.Option(help="NRML, MIS or CNC.")] = "NRML",
    exchange: Annotated[str | None, typer.Option(help="NSE or BSE, where the symbol is on both.")] = None,
    cl_ord_id: Annotated[str | None, typer.Option(help="Your own id: the same id is the same order.")] = None,
    note: Annotated[str | None, typer.Option(help="Kept in the journal.")] = None,
    order_source: Annotated[
        str | None, typer.Option(help="XTS's apiOrderSource; '-' leaves it out. [default: as configured]")
    ] = None,
    algo: Annotated[
        str | None, typer.Option(help="Execution algorithm, as 'twap duration_s=600'; needs a running engine.")
    ] = None,
    confirm: Annotated[
        list[str] | None,
        typer.Option(help="What a denial asks a person to say: duplicate (repeat meant), confirm_value (so large)."),
    ] = None,
    broker: BrokerOption = "paper",
    account: AccountOption = None,
    live: LiveOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show plan, margin, charges and rules; send nothing.")
    ] = False,
    session: SessionOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> None:
    """Place one order and wait for a definite answer.

    Exit code 0 placed, 3 refused (certainly not placed), 4 unknown (may be placed). Without --live and the account
    typed in full nothing is sent live, through a running engine neither.

    Example: toolkit order place "NIFTY 14JUL2026 25450 CE" --side BUY --lots 1 --price 112.05 --broker paper --json
    """
    if (lots is None) == (qty is None):
        raise BadSetting("give either --lots or --qty")
    from toolkit.orders.words import read_order

    fields = {
        "symbol": symbol,
        "side": side,
        "lots": lots,
        "order_qty": qty,
        "price": price,
        "stop_px": stop_px,
        "ord_type": ord_type,
        "time_in_force": time_in_force,
        "product": product,
        "exchange": exchange,
        "cl_ord_id": cl_ord_id,
        "algo": algo,
        "order_source": order_source,
        "note": note,
        "confirm": confirm or None,
        "broker": broker,
        "account": account if account is not None else live,
    }
    asked = read_order(fields)
    if not dry_run:
        _typed(broker, live)
    desk = _running(broker, account, live, session, at)
    if desk is not None:
        fields = {name: value for name, value in fields.items() if value is not None}
        with desk:
            if dry_run:
                _preview(desk.preview(fields), as_json)
            order = _settled(desk, desk.place(fields))
            _end(order, as_json, _denials(desk, order))
        return
    with _alone(broker, account, live, session, at, reading=dry_run) as one:
        if algo is not None:
            raise Refused("an algorithm works over time and needs a running engine; start one with toolkit serve")
        from toolkit.brokers.one_act import dry, request_for

        if dry_run:
            _preview(_run(one.run(lambda act: dry(act, asked))), as_json)

        async def act_place(act: Act) -> tuple[Order, Sequence[Denial]]:
            order = await act.place(await request_for(act, asked))
            return order, act.core.denials.get(order.cl_ord_id, ())

        order, denials = _run(one.run(act_place))
        _end(order, as_json, denials)


@group.command()
def modify(
    cl_ord_id: Annotated[str, typer.Argument(help="The order's id.")],
    qty: Annotated[str | None, typer.Option(help="New quantity in units. [default: as it is]")] = None,
    price: Annotated[str | None, typer.Option(help="New limit price, rupees.")] = None,
    stop_px: Annotated[str | None, typer.Option(help="New trigger, rupees.")] = None,
    broker: BrokerOption = "paper",
    account: AccountOption = None,
    live: LiveOption = None,
    session: SessionOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> None:
    """Modify a working order; a live one, through a running engine too, with --live and the account typed in full.

    Example: toolkit order modify 260713SQ3R00001 --price 111.50 --broker kite --live AB1234
    """
    from toolkit.orders.words import read_change, read_named
    from toolkit.types import Modify

    given = {"order_qty": qty, "price": price, "stop_px": stop_px}
    change, name = read_change(given), read_named(cl_ord_id)
    _typed(broker, live)
    desk = _running(broker, account, live, session, at)
    if desk is not None:
        with desk:
            made = desk.modify(name, order_qty=change.order_qty, price=price, stop_px=stop_px)
            _end(_settled(desk, made), as_json)
        return

    async def act_modify(act: Act) -> Order:
        before = _known(act, name).request
        units = before.order_qty if change.order_qty is None else change.order_qty
        return await act.modify(
            Modify(cl_ord_id=name, order_qty=units, price_p=change.price_p, stop_px_p=change.stop_px_p)
        )

    with _alone(broker, account, live, session, at) as one:
        _end(_run(one.run(act_modify)), as_json)


@group.command()
def cancel(
    cl_ord_id: Annotated[str, typer.Argument(help="The order's id.")],
    broker: BrokerOption = "paper",
    account: AccountOption = None,
    live: EndsOption = None,
    session: SessionOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel a working order.

    Example: toolkit order cancel 260713SQ3R00001 --broker kite --live AB1234
    """
    from toolkit.orders.words import read_named

    name = read_named(cl_ord_id)
    desk = _running(broker, account, live, session, at)
    if desk is not None:
        with desk:
            _end(_settled(desk, desk.cancel(name)), as_json)
        return

    async def act_cancel(act: Act) -> Order:
        return await act.cancel(_known(act, name).cl_ord_id)

    with _alone(broker, account, live, session, at) as one:
        _end(_run(one.run(act_cancel)), as_json)


@group.command("list")
def orders(
    broker: BrokerOption = "paper",
    account: AccountOption = None,
    live: LiveOption = None,
    session: SessionOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the day's orders: the running engine's, the broker's book, or paper's journal.

    Example: toolkit order list --broker paper --json
    """
    rows = _rows(broker, account, live, session, at)
    if as_json:
        print(json.dumps({"orders": rows}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "symbol", "side", "qty", "price", "state", "filled", "text")
    for row in rows:
        cells = (row["cl_ord_id"], row["symbol"], row["side"], row["order_qty"], row["price"])
        table.add_row(*map(str, (*cells, row["ord_status"], row["cum_qty"], row["text"])))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@group.command()
def show(
    cl_ord_id: Annotated[str, typer.Argument(help="The order's id.")],
    broker: BrokerOption = "paper",
    account: AccountOption = None,
    live: LiveOption = None,
    session: SessionOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one order.

    Example: toolkit order show 260713SQ3R00001 --broker paper --json
    """
    found = {row["cl_ord_id"]: row for row in _rows(broker, account, live, session, at)}
    if cl_ord_id not in found:
        raise BadData(f"no order {cl_ord_id!r} today{nearest(cl_ord_id, found)}")
    _show(found[cl_ord_id], as_json)


def _typed(broker: str, live: str | None) -> None:
    """Refuse what would be sent live without the account typed in full: an engine's arming is not this command's."""
    if broker != "paper" and live is None:
        raise BadSetting(f"an order at {broker} needs --live ACCOUNT, typed in full; --dry-run shows it without")


def _known(act: Act, cl_ord_id: str) -> Order:
    from toolkit.orders.words import no_order

    order = act.core.orders.get(cl_ord_id)
    if order is None:
        raise no_order(cl_ord_id, list(act.core.orders))
    return order


def _running(broker: str, account: str | None, live: str | None, session: Path | None, at: str | None) -> Desk | None:
    """The engine of this home that holds the account; None when no engine does, or a recorded instant is meant."""
    from toolkit.store.lease import holders

    if session is not None or at is not None or (broker == "paper" and live is not None):
        return None
    if None not in (account, live) and account != live:
        return None
    named = account or live
    found = holders(broker, [] if named is None else [named])
    if not found:
        _check_paper(broker, named)
        return None
    if len({h.url for h in found}) > 1:
        names = ", ".join(h.account for h in found)
        raise BadSetting(f"several engines of {broker} run here ({names}); say which with --account")
    from toolkit.desk import attach

    return attach(found[0].url, via="cli")


def _check_paper(broker: str, named: str | None) -> None:
    """Refuse an account of paper that no engine has, before paper's own is opened for one act."""
    if broker != "paper" or named is None:
        return
    from toolkit.brokers.whose import PAPER
    from toolkit.orders.words import no_account
    from toolkit.store.lease import holders

    known = sorted({PAPER, *(h.account for h in holders(broker))})
    if named in known:
        return
    elsewhere = [h.broker for h in holders(None, [named])]
    if elsewhere:
        raise BadSetting(f"account {named} is served here at {elsewhere[0]}; add --broker {elsewhere[0]}")
    raise no_account("account", known, named)


@contextlib.contextmanager
def _alone(
    broker: str,
    account: str | None,
    live: str | None,
    session: Path | None,
    at: str | None,
    *,
    reading: bool = False,
    held: bool = True,
) -> Iterator[OneAct]:
    """The engine for one act; with ``held`` the account is held from here on, before anything is loaded."""
    from toolkit.brokers.whose import reserve

    known = held and (live is not None or broker == "paper")
    with reserve(broker, (), () if live is None else (live,)) if known else contextlib.nullcontext():
        from toolkit.brokers.one_act import OneAct

        yield OneAct(broker, account, live, session, at, reading=reading)


def _run(work: Any) -> Any:
    import asyncio

    return asyncio.run(work)


def _rows(
    broker: str, account: str | None, live: str | None, session: Path | None, at: str | None
) -> list[dict[str, Any]]:
    from toolkit.orders.words import order_json

    desk = _running(broker, account, live, session, at)
    if desk is not None:
        with desk:
            return desk.orders(account or live).to_dicts()
    with _alone(broker, account, live, session, at, reading=True, held=broker == "paper") as one:
        return [order_json(o) for o in _run(one.book())]


def _settled(desk: Desk, order: Order) -> Order:
    """Ask the engine after an order until its state is definite or the time is up."""
    import time

    from toolkit.orders.words import order_from_json
    from toolkit.types import OrdStatus

    waiting = {OrdStatus.PENDING_NEW, OrdStatus.PENDING_CANCEL, OrdStatus.PENDING_REPLACE, OrdStatus.UNKNOWN}
    end = time.monotonic() + _ANSWER_S
    while order.ord_status in waiting and time.monotonic() < end:
        time.sleep(0.1)
        order = order_from_json(desk.order(order.cl_ord_id))
    return order


def _denials(desk: Desk, order: Order) -> list[Denial]:
    """The rules that denied an order, from its engine."""
    import msgspec

    from toolkit.types import Denial, OrdStatus

    if order.ord_status is not OrdStatus.DENIED:
        return []
    return msgspec.convert(desk.order(order.cl_ord_id).get("denials", []), list[Denial])


def exit_code(order: Order) -> int:
    """Exit code of an order: 0 done, 3 certainly not placed, 4 may be placed."""
    from toolkit.types import OrdStatus

    if order.ord_status is OrdStatus.UNKNOWN:
        return 4
    return 3 if order.ord_status in (OrdStatus.DENIED, OrdStatus.REJECTED) else 0


def _end(order: Order, as_json: bool, denials: Sequence[Denial] = ()) -> None:
    """Print the order, with the rules that denied it, and leave with its code."""
    from toolkit.orders.words import order_json

    _show(order_json(order, denials if as_json else ()), as_json)
    found = exit_code(order)
    if found:
        word = "may be placed: look into the order book" if found == 4 else "was not placed"
        print(f"toolkit: order {order.cl_ord_id} {word}: {order.text}", file=sys.stderr)
        raise typer.Exit(found)


def _show(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(row))
        return
    for key, value in row.items():
        print(f"{key:16} {'' if value is None else value}")


def _preview(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(found))
    else:
        print(f"plan            {' + '.join(map(str, found['plan']))} units (lot {found['lot']})")
        if found["margin"]:
            print(f"margin          Rs {found['margin']['total']:.2f} ({found['margin']['label']})")
        if found["charges"]:
            print(f"charges         Rs {found['charges']['total']:.2f} if it trades at its price")
        print(f"quote age       {found['quote_age_s']} s")
        print(f"rules passed    {', '.join(found['passed'])}")
        for denial in found["failed"]:
            print(f"rule failed     {denial['rule']}: {denial['text']}")
    raise typer.Exit(0 if found["would_leave"] else 3)
