"""The settings sections ``[api]`` and ``[alerts]``."""

from __future__ import annotations

import msgspec

from toolkit.config import Secret

__all__ = ["AlertSettings", "ApiSettings"]


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the engine listens: loopback only; port 0 takes a free one.

    Parameters
    ----------
    host : str
        ``127.0.0.1`` or ``::1``.
    port : int
    """

    host: str = "127.0.0.1"
    port: int = 8700


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told when something is wrong.

    Parameters
    ----------
    webhook_url : Secret
        Gets a POST of JSON; https, or http on this machine.
    telegram_token, telegram_chat : Secret, str
        A bot's token, and the one chat that hears it and may answer ``halt``.
    telegram_root : str
        The bot service's address; another one than the default must be on this machine.
    """

    webhook_url: Secret = Secret("")
    telegram_token: Secret = Secret("")
    telegram_chat: str = ""
    telegram_root: str = "https://api.telegram.org"
