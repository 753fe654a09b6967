"""An account opened by one command: connect, read the settings, do one act through the engine, stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import polars as pl

from toolkit.brokers.act import Act
from toolkit.brokers.factory import NAMES, connect
from toolkit.brokers.paper_day import paper_on
from toolkit.brokers.port import Broker
from toolkit.brokers.whose import realm_in
from toolkit.calendar import ist_date
from toolkit.config import Settings, home, share
from toolkit.errors import BadOrder, BadSetting, nearest
from toolkit.orders.live import LiveEngine
from toolkit.orders.routing import contract_of
from toolkit.orders.settings import EngineSettings
from toolkit.orders.words import Asked, no_account, request_of
from toolkit.portfolio import charges
from toolkit.risk.limits import Limits
from toolkit.risk.settings import RiskSettings
from toolkit.store.daybook import journal_path
from toolkit.store.rules import guards_of
from toolkit.store.session import open_session
from toolkit.types import Order, OrderRequest

__all__ = ["OneAct", "dry", "is_loopback", "limits_of", "realm_of", "request_for"]

T = TypeVar("T")


class OneAct:
    """The broker, the account and the settings of one command.

    Raises
    ------
    BadSetting
        For options that do not go together.
    """

    def __init__(
        self,
        broker: str,
        account: str | None,
        live: str | None,
        session: Path | None,
        at: str | None,
        *,
        reading: bool = False,
    ) -> None:
        if broker not in NAMES:
            raise BadSetting(f"broker '{broker}' is unknown{nearest(broker, NAMES, tell=True)}")
        if broker == "paper":
            if live is not None:
                raise BadSetting("--live is for a real broker; leave it out on paper")
        elif session is not None or at is not None:
            raise BadSetting("--session and --at are for paper; a broker has its own market")
        elif live is None and not reading:
            raise BadSetting(f"an order at {broker} needs --live ACCOUNT, typed in full; --dry-run shows it without")
        self.name, self.account, self.live, self.session, self.at = broker, account, live, session, at

    async def run(self, work: Callable[[Act], Awaitable[T]]) -> T:
        """Open the account for one act, do it, close."""
        tree = Settings.load()
        engine, risk = tree.section("engine", EngineSettings), tree.section("risk", RiskSettings)
        broker = self._connect()
        try:
            account = await self._account(broker)
            day, realm = ist_date(broker.clock()), realm_of(broker)
            guards, rules = guards_of(risk, account, day, journal_path(broker.name, account, day, realm).parent)
            limits = rules.applied(limits_of(risk, engine, is_loopback(broker), account))
            made = LiveEngine(
                broker, account, limits=limits, guards=guards, engine=engine, clock=broker.clock, realm=realm
            )
            async with Act(made) as act:
                return await work(act)
        finally:
            await broker.close()

    async def book(self) -> tuple[Order, ...]:
        """The day's orders: paper's journal, or the broker's book, which needs no lease."""
        if self.name == "paper":
            return await self.run(_journaled)
        broker = self._connect()
        try:
            await self._account(broker)
            return tuple(await broker.orders())
        finally:
            await broker.close()

    async def _account(self, broker: Broker) -> str:
        account = (await broker.profile()).account
        if self.name == "paper" and self.account not in (None, account):
            raise no_account("account", [account], self.account)
        for rule, typed in (("account", self.account), ("live", self.live)):
            if typed is not None and typed != account:  # the login's own is not told: it is typed by who knows it
                text = f"the account at {self.name} is not '{typed}'; type your own account in full"
                raise BadOrder(rule, "your own account", f"'{typed}'", text)
        return account

    def _connect(self) -> Broker:
        if self.name == "paper":
            return paper_on(open_session(self.session or share("data", "sample")), self.at)
        broker: Any = connect(self.name)
        if self.name != "xts-client":
            made: Broker = broker
            return made
        # a dealer's connection is bound to the client named; to list, it is all of them when none is
        client = self.account or broker.settings.client_id or self.live
        bound: Broker = broker.for_client(client) if client else broker
        return bound


async def request_for(act: Act, asked: Asked) -> OrderRequest:
    """Resolve what was asked for at the act's broker."""
    instrument = await contract_of(act.broker, asked)
    made = asked.cl_ord_id or act.new_id()
    return request_of(asked, instrument, cl_ord_id=made, account=act.account, broker=act.broker.name, via="cli")


async def dry(act: Act, asked: Asked) -> dict[str, Any]:
    """What an order would do: plan, margin, rules, charges; nothing is sent."""
    request = await request_for(act, asked)
    found = await act.preview(request)
    found["order"] = {k: v for k, v in msgspec.to_builtins(request).items() if v is not None}
    found["charges"] = _charges(act, request)
    return found


def limits_of(risk: RiskSettings, engine: EngineSettings, loopback: bool, account: str = "") -> Limits:
    """The limits of one account; more messages than the rules allow only at a simulated broker.

    Raises
    ------
    BadSetting
        For a throttle over 8 at a real broker.
    """
    if engine.throttle_per_s > 8 and not loopback:
        raise BadSetting(f"[engine] throttle_per_s over 8 is for simulated brokers, was {engine.throttle_per_s}")
    limits = risk.limits(account)
    throttle = engine.throttle_per_s
    most = min(limits.max_messages_per_s, throttle) if throttle <= 8 else throttle
    return msgspec.structs.replace(limits, max_messages_per_s=most)


def is_loopback(broker: Broker) -> bool:
    """Whether a broker is paper or a simulated one on this machine."""
    return broker.name == "paper" or bool(getattr(getattr(broker, "settings", None), "loopback", False))


def realm_of(broker: Broker) -> str:
    """Simulated brokers and papers are told apart by where they are; a real account is one on the machine."""
    if broker.name == "paper":
        return f"{home()}"
    settings: Any = getattr(broker, "settings")  # noqa: B009 - not part of the port
    return realm_in(settings)


async def _journaled(act: Act) -> tuple[Order, ...]:
    return tuple(act.core.orders.values())


def _charges(act: Act, request: OrderRequest) -> dict[str, Any]:
    """Taxes and fees if the order traded at its price, or at the last one."""
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
