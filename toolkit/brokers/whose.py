"""Whose account a command means, at which broker and where: from its words and the settings, before anything connects.

Nothing heavy is imported here, so that a command whose account is held is refused at once.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from toolkit.config import Settings, home
from toolkit.errors import BadSetting, nearest
from toolkit.store.lease import reserved
from toolkit.types import BROKERS as NAMES

if TYPE_CHECKING:
    from toolkit.brokers.kite_settings import KiteSettings
    from toolkit.brokers.xts_settings import XtsSettings

__all__ = ["NAMES", "PAPER", "by_broker", "realm_at", "realm_in", "reserve"]

PAPER: Final = "PAPER"
"""The account of paper where none is named."""


def by_broker(broker: str, accounts: Sequence[str], live: Sequence[str]) -> dict[str, list[str]]:
    """Accounts by real broker: ``ID`` is that broker's, ``BROKER:ID`` another's; with none named, the armed ones.

    Raises
    ------
    BadSetting
        For a broker that is none.
    """
    found: dict[str, list[str]] = {broker: []}
    for text in accounts:
        other, colon, account = text.rpartition(":")
        name = other if colon else broker
        if name not in NAMES or name == "paper":
            raise BadSetting(f"--account {text}: no live broker is called '{name}'{nearest(name, NAMES)}")
        found.setdefault(name, []).append(account)
    for account in live:
        if not accounts and account not in found[broker]:
            found[broker].append(account)
    return found


def realm_in(settings: KiteSettings | XtsSettings) -> str:
    """Where a broker is: simulated ones are told apart by their address; a real account is one on the machine."""
    root = str(settings.root or getattr(settings, "hostlookup", ""))
    return root.partition("//")[2] if settings.loopback else ""


def realm_at(broker: str, tree: Settings) -> str:
    """Where a broker of that name is by the settings; paper is told apart by the toolkit's home.

    Raises
    ------
    BadSetting
        For settings that a connection would refuse.
    """
    if broker == "paper":
        return f"{home()}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the connection itself says what a person should know
        if broker == "kite":
            from toolkit.brokers.kite_settings import kite_settings

            return realm_in(kite_settings(tree))
        from toolkit.brokers.xts_settings import xts_settings

        return realm_in(xts_settings(tree, role=broker.removeprefix("xts-")))


@contextlib.contextmanager
def reserve(broker: str, accounts: Sequence[str], live: Sequence[str]) -> Iterator[None]:
    """Hold the accounts that a command names until its engines take them over; nothing for an unknown broker.

    An account that is the login's own and was not typed is not known yet: its engine meets the lock later.

    Raises
    ------
    Refused
        When somebody holds one of them; the text names the process.
    BadSetting
        As :func:`by_broker` and :func:`realm_at`.
    """
    with contextlib.ExitStack() as stack:
        if broker == "paper" and not live:
            stack.enter_context(reserved(broker, accounts or (PAPER,), realm_at(broker, Settings.load())))
        elif broker in NAMES and broker != "paper":
            for name, named in by_broker(broker, accounts, live).items():
                if named:
                    stack.enter_context(reserved(name, named, realm_at(name, Settings.load())))
        yield
