"""The verbs ``order ...``: one order, through the engine for one act."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.app import app
from toolkit.errors import BadData, BadSetting, Refused, nearest

if TYPE_CHECKING:
    from toolkit.brokers.act import Act
    from toolkit.brokers.port import Broker
    from toolkit.types import Order, OrderRequest

__all__ = ["cancel", "modify", "orders", "place", "show"]

group = typer.Typer(no_args_is_help=True, help="Ad-hoc orders: on paper, or live at a broker.")
app.add_typer(group, name="order")

BrokerOption = Annotated[str, typer.Option("--broker", help="paper or kite.")]
LiveOption = Annotated[
    str | None, typer.Option("--live", metavar="ACCOUNT", help="Your account in full: without it nothing is sent live.")
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
    lots: Annotated[int | None, typer.Option(help="Quantity in lots.")] = None,
    qty: Annotated[int | None, typer.Option(help="Quantity in units.")] = None,
    price: Annotated[float | None, typer.Option(help="Limit price, rupees.")] = None,
    stop_px: Annotated[float | None, typer.Option(help="Trigger of a STOP_LIMIT, rupees.")] = None,
    ord_type: Annotated[str, typer.Option("--type", help="LIMIT, MARKET (always protected) or STOP_LIMIT.")] = "LIMIT",
    time_in_force: Annotated[str, typer.Option(help="DAY or IOC.")] = "DAY",
    product: Annotated[str, typer.Option(help="NRML, MIS or CNC.")] = "NRML",
    exchange: Annotated[str | None, typer.Option(help="NSE or BSE, where the symbol is on both.")] = None,
    cl_ord_id: Annotated[str | None, typer.Option(help="Your own id: the same id is the same order.")] = None,
    note: Annotated[str | None, typer.Option(help="Kept in the journal.")] = None,
    broker: BrokerOption = "paper",
    live: LiveOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show plan, margin, charges and rules; send nothing.")
    ] = False,
    session: SessionOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> None:
    """Place one order and wait for a definite answer.

    Exit code 0 placed, 3 refused (certainly not placed), 4 unknown (may be placed).

    Example: toolkit order place "NIFTY 14JUL2026 25450 CE" --side BUY --lots 1 --price 112.05 --broker paper --json
    """
    if (lots is None) == (qty is None):
        raise BadSetting("give either --lots or --qty")
    asked = {
        "symbol": symbol,
        "side": side,
        "lots": lots,
        "qty": qty,
        "price": price,
        "stop_px": stop_px,
        "ord_type": ord_type,
        "time_in_force": time_in_force,
        "product": product,
        "exchange": exchange,
        "cl_ord_id": cl_ord_id,
        "note": note,
    }
    desk = _Desk(broker, live, session, at, reading=dry_run)
    if dry_run:
        _preview(desk.run(lambda act: _dry(act, asked)), as_json)
        return
    _end(desk.run(lambda act: _place(act, asked)), as_json)


@group.command()
def modify(
    cl_ord_id: Annotated[str, typer.Argument(help="The order's id.")],
    qty: Annotated[int | None, typer.Option(help="New quantity in units. [default: as it is]")] = None,
    price: Annotated[float | None, typer.Option(help="New limit price, rupees.")] = None,
    stop_px: Annotated[float | None, typer.Option(help="New trigger, rupees.")] = None,
    broker: BrokerOption = "paper",
    live: LiveOption = None,
    session: SessionOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> None:
    """Modify a working order.

    Example: toolkit order modify 260713SQ3R00001 --price 111.50 --broker kite --live AB1234
    """
    from toolkit.types import Modify, to_paise

    async def change(act: Act) -> Order:
        order = act.core.orders.get(cl_ord_id)
        if order is None:
            raise Refused(f"no order {cl_ord_id!r} of this engine today{nearest(cl_ord_id, act.core.orders)}")
        return await act.modify(
            Modify(
                cl_ord_id=cl_ord_id,
                order_qty=order.request.order_qty if qty is None else qty,
                price_p=None if price is None else to_paise(price),
                stop_px_p=None if stop_px is None else to_paise(stop_px),
            )
        )

    _end(_Desk(broker, live, session, at).run(change), as_json)


@group.command()
def cancel(
    cl_ord_id: Annotated[str, typer.Argument(help="The order's id.")],
    broker: BrokerOption = "paper",
    live: LiveOption = None,
    session: SessionOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel a working order.

    Example: toolkit order cancel 260713SQ3R00001 --broker kite --live AB1234
    """
    _end(_Desk(broker, live, session, at).run(lambda act: act.cancel(cl_ord_id)), as_json)


@group.command("list")
def orders(
    broker: BrokerOption = "paper",
    live: LiveOption = None,
    session: SessionOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the day's orders: the broker's book, or paper's journal.

    Example: toolkit order list --broker paper --json
    """
    from toolkit.brokers.act import order_json

    rows = [order_json(o) for o in _Desk(broker, live, session, at, reading=True).book()]
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
    live: LiveOption = None,
    session: SessionOption = None,
    at: AtOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one order.

    Example: toolkit order show 260713SQ3R00001 --broker paper --json
    """
    found = {o.cl_ord_id: o for o in _Desk(broker, live, session, at, reading=True).book()}
    if cl_ord_id not in found:
        raise BadData(f"no order {cl_ord_id!r} today{nearest(cl_ord_id, found)}")
    _end(found[cl_ord_id], as_json, code=0)


class _Desk:
    """The broker, the account and the settings of one command."""

    def __init__(
        self, broker: str, live: str | None, session: Path | None, at: str | None, *, reading: bool = False
    ) -> None:
        from toolkit.brokers.factory import NAMES, PLANNED

        if broker not in NAMES:
            known = (*NAMES, *PLANNED)
            word = "is planned and not part of this version" if broker in PLANNED else "is unknown"
            raise BadSetting(f"broker '{broker}' {word}{nearest(broker, known)} known: {', '.join(NAMES)}")
        if broker == "paper":
            if live is not None:
                raise BadSetting("--live is for a real broker; leave it out on paper")
        elif session is not None or at is not None:
            raise BadSetting("--session and --at are for paper; a broker has its own market")
        elif live is None and not reading:
            raise BadSetting(f"an order at {broker} needs --live ACCOUNT, typed in full; --dry-run shows it without")
        self.name, self.live, self.session, self.at, self.reading = broker, live, session, at, reading

    def run(self, work: Any) -> Any:
        """Open the account for one act, do it, close."""
        import asyncio

        return asyncio.run(self._run(work))

    def book(self) -> tuple[Order, ...]:
        """The day's orders; reading needs no lease."""
        import asyncio

        if self.name == "paper":
            found: tuple[Order, ...] = asyncio.run(self._run(_journaled))
            return found
        return asyncio.run(self._book())

    async def _book(self) -> tuple[Order, ...]:
        broker = self._connect()
        try:
            await self._account(broker)
            return tuple(await broker.orders())
        finally:
            await broker.close()

    async def _account(self, broker: Broker) -> str:
        account = (await broker.profile()).account
        if self.live is not None and self.live != account:
            raise Refused(f"the account at {self.name} is not '{self.live}'; type your own account in full")
        return account

    async def _run(self, work: Any) -> Any:
        from toolkit.brokers.act import Act
        from toolkit.config import Settings
        from toolkit.orders.settings import EngineSettings
        from toolkit.risk.settings import RiskSettings

        tree = Settings.load()
        engine, risk = tree.section("engine", EngineSettings), tree.section("risk", RiskSettings)
        broker = self._connect()
        try:
            account = await self._account(broker)
            act = Act(
                broker,
                account,
                limits=_limits(risk, engine, self._loopback(broker)),
                engine=engine,
                clock=broker.clock,
                realm=self._realm(broker),
            )
            async with act:
                return await work(act)
        finally:
            await broker.close()

    def _connect(self) -> Broker:
        from toolkit.brokers.factory import connect

        if self.name != "paper":
            return connect(self.name)
        from toolkit.brokers.paper_day import paper_on
        from toolkit.config import share
        from toolkit.store.session import open_session

        return paper_on(open_session(self.session or share("data", "sample")), self.at)

    def _realm(self, broker: Broker) -> str:
        """Simulated brokers and papers are told apart by where they are; a real account is one on the machine."""
        from toolkit.config import home

        if self.name == "paper":
            return f"{home()}"
        root = str(getattr(broker, "settings").root)  # noqa: B009
        return root.partition("//")[2] if self._loopback(broker) else ""

    def _loopback(self, broker: Broker) -> bool:
        return self.name == "paper" or bool(getattr(broker, "settings").loopback)  # noqa: B009


def _limits(risk: Any, engine: Any, loopback: bool) -> Any:
    import msgspec

    if engine.throttle_per_s > 8 and not loopback:
        raise BadSetting(f"[engine] throttle_per_s over 8 is for simulated brokers, was {engine.throttle_per_s}")
    limits = risk.limits()
    most = (
        min(limits.max_messages_per_s, engine.throttle_per_s) if engine.throttle_per_s <= 8 else engine.throttle_per_s
    )
    return msgspec.structs.replace(limits, max_messages_per_s=most)


async def _journaled(act: Act) -> tuple[Order, ...]:
    return tuple(act.core.orders.values())


async def _place(act: Act, asked: dict[str, Any]) -> Order:
    return await act.place(await _request(act, asked))


async def _dry(act: Act, asked: dict[str, Any]) -> dict[str, Any]:
    import msgspec

    request = await _request(act, asked)
    found = await act.preview(request)
    found["order"] = {k: v for k, v in msgspec.to_builtins(request).items() if v is not None}
    found["charges"] = await _charges(act, request)
    return found


async def _charges(act: Act, request: OrderRequest) -> dict[str, Any]:
    """Taxes and fees if the order traded at its price, or at the last one."""
    import polars as pl

    from toolkit.calendar import ist_date
    from toolkit.portfolio import charges

    quote, now_ns = act.core.quote(request.symbol), act.broker.clock()
    price_p = request.price_p if request.price_p is not None else (None if quote is None else quote.ltp_p)
    if price_p is None:
        return {}
    fill = {
        "exec_id": "preview",
        "cl_ord_id": request.cl_ord_id,
        "order_id": "",
        "account": request.account,
        "broker": request.broker,
        "symbol": request.symbol,
        "exchange": request.exchange,
        "side": str(request.side),
        "last_qty": request.order_qty,
        "last_px": price_p / 100.0,
        "exec_ns": now_ns,
    }
    rows = charges(pl.DataFrame([fill]), ist_date(now_ns)).to_dicts()
    return {k: v for k, v in rows[0].items() if isinstance(v, float | int)} if rows else {}


async def _request(act: Act, asked: dict[str, Any]) -> OrderRequest:
    from toolkit.types import OrderRequest, OrdType, Product, Side, TimeInForce, to_paise

    def word(kind: Any, name: str) -> Any:
        text = str(asked[name]).upper()
        if text not in kind.__members__:
            raise BadSetting(
                f"--{name.replace('_', '-')} must be one of {', '.join(kind.__members__)}, was {asked[name]!r}"
            )
        return kind[text]

    instrument = await act.broker.resolve(asked["symbol"], asked["exchange"])
    qty = asked["qty"] if asked["lots"] is None else asked["lots"] * instrument.lot
    return OrderRequest(
        cl_ord_id=asked["cl_ord_id"] or act.new_id(),
        symbol=instrument.symbol,
        side=word(Side, "side"),
        order_qty=qty,
        exchange=instrument.exchange,
        ord_type=word(OrdType, "ord_type"),
        price_p=None if asked["price"] is None else to_paise(asked["price"]),
        stop_px_p=None if asked["stop_px"] is None else to_paise(asked["stop_px"]),
        time_in_force=word(TimeInForce, "time_in_force"),
        product=word(Product, "product"),
        account=act.account,
        broker=act.broker.name,
        order_source="cli",
        note=asked["note"],
    )


def _end(order: Order, as_json: bool, code: int | None = None) -> None:
    """Print the order and leave with its code."""
    from toolkit.brokers.act import exit_code, order_json

    row = order_json(order)
    if as_json:
        print(json.dumps(row))
    else:
        for key, value in row.items():
            print(f"{key:16} {'' if value is None else value}")
    found = exit_code(order) if code is None else code
    if found:
        word = "may be placed: look into the order book" if found == 4 else "was not placed"
        print(f"toolkit: order {order.cl_ord_id} {word}: {order.text}", file=sys.stderr)
        raise typer.Exit(found)


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
