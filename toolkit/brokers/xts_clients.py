"""Whose order it is: what goes out as ``clientID``, for whom a login may act, and where a dealer reads.

Installs differ in what they want there (``client_id_mode``), and some answer a wrong client with success and
drop the order: so a code that this login does not have is refused before a byte leaves. A dealer's books come by
a call of their own or by the plain one with a client's code; where an install refuses one, the other is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from toolkit.brokers.xts_records import OrderRow, PositionRow, TradeRow, order_rows, positions_of, trade_rows
from toolkit.brokers.xts_session import XtsSession
from toolkit.brokers.xts_settings import MASK, XtsSettings, id_mode
from toolkit.errors import AuthExpired, Refused, nearest

__all__ = ["ORDERS", "POSITIONS", "TRADES", "Book", "client_id", "first_allowed", "is_mine", "role_doubt"]

R = TypeVar("R", OrderRow, TradeRow, PositionRow)
T = TypeVar("T")


class Book(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """One of XTS's books: its plain call, the dealer's, and how its rows are read.

    ``may_be_empty`` marks a dealer's call that some installs answer with an empty list for ever.
    """

    plain: str
    dealer: str
    what: str
    read: Callable[[Any], tuple[R, ...]]
    may_be_empty: bool = False


ORDERS: Final = Book[OrderRow](plain="orders", dealer="dealer_orders", what="the dealer order book", read=order_rows)
TRADES: Final = Book[TradeRow](plain="trades", dealer="dealer_trades", what="the dealer trade book", read=trade_rows)
POSITIONS: Final = Book[PositionRow](
    plain="positions", dealer="dealer_positions", what="the dealer positions", read=positions_of, may_be_empty=True
)


async def first_allowed(*ways: Callable[[], Awaitable[T]]) -> T:
    """Take the first way that is not refused.

    Raises
    ------
    Refused
        The first refusal, when each is refused.
    """
    refusal: Refused | None = None
    for way in ways:
        try:
            return await way()
        except AuthExpired:
            raise
        except Refused as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def client_id(name: str, settings: XtsSettings, session: XtsSession, account: str, bound: str = "") -> str | None:
    """The ``clientID`` of what acts for an account; None leaves the key out.

    Parameters
    ----------
    name : str
        What the broker is called in errors.
    account : str
        Whose order it is.
    bound : str
        The one client that this connection is for, if any.

    Raises
    ------
    Refused
        For an account that this login must not trade for.
    """
    mode, codes = id_mode(settings), session.client_codes
    fixed = {"omit": None, "user_id": session.user_id, "masked": MASK}
    if settings.role != "client":
        own = {session.user_id, settings.client_id, *codes} - {""}
        if account not in own:
            raise Refused(f"{name} account {settings.client_id or session.user_id} takes no orders of {account}")
        return fixed.get(mode, settings.client_id or account)
    if bound and account != bound:
        raise Refused(f"{name} for client {bound} takes no orders of {account}")
    if account == session.user_id and account not in codes:
        raise Refused(f"{account} is the dealer's own id: such an order would be dropped in silence; name a client")
    if codes and account not in codes and mode != "masked":
        raise Refused(
            f"client {account!r} is not mapped to this login{nearest(account, codes)}; it has {', '.join(codes)}"
        )
    return fixed.get(mode, account)


def is_mine(settings: XtsSettings, wanted: str, found: str) -> bool:
    """Whether a row of client ``found`` is of the client asked for; an install may ignore the question."""
    return settings.role != "client" or not wanted or found in ("", wanted, MASK)


def role_doubt(settings: XtsSettings, session: XtsSession) -> str:
    """What speaks against the role that was asked for; empty when nothing does or the install does not say."""
    if session.is_investor is None:
        return ""
    if settings.role == "client" and session.is_investor:
        return "the key is an own account's, not a dealer's; use xts-pro"
    if settings.role == "pro" and not session.is_investor and not settings.client_id:
        return "the key is a dealer's; use xts-client, or set [xts] client_id where it is a terminal's own account"
    return ""
