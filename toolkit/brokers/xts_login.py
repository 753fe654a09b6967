"""The day's login at both of XTS's APIs: a login ends the session of every other process, so one logs in for all."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from toolkit.brokers.tokens import TokenStore
from toolkit.brokers.xts import XtsBroker
from toolkit.brokers.xts_settings import XtsSettings
from toolkit.errors import BadData

__all__ = ["LoggedIn", "log_in"]


class LoggedIn(msgspec.Struct, frozen=True, kw_only=True):
    """Who logged in, for which clients, and where the tokens are kept; ``data_kept_in`` is empty without data keys."""

    account: str
    clients: tuple[str, ...]
    kept_in: str
    data_kept_in: str


async def log_in(
    settings: XtsSettings,
    tokens: TokenStore,
    *,
    clock: Callable[[], int] = time.time_ns,
    allow_plain_http: tuple[str, ...] = (),
) -> LoggedIn:
    """Log in at the interactive API, and at market data where keys for it are set.

    Raises
    ------
    BadData
        When the keys are not set.
    AuthExpired
        When this process logged in just now: another login would only end that session.
    Refused, Retryable
        When the broker refuses, or does not answer.
    """
    if not settings.app_key.reveal() or not settings.secret_key.reveal():
        raise BadData("set [xts] app_key and secret_key first (or TOOLKIT_XTS__APP_KEY and TOOLKIT_XTS__SECRET_KEY)")
    broker = XtsBroker(settings, clock=clock, tokens=tokens, allow_plain_http=allow_plain_http)
    try:
        session = await broker.link.login()
        if settings.md_app_key.reveal():
            await broker.market.link.login()
    finally:
        await broker.close()
    return LoggedIn(
        account=session.user_id,
        clients=session.client_codes,
        kept_in=broker.link.kept_in,
        data_kept_in=broker.market.link.kept_in,
    )
