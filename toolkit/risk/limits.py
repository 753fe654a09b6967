"""The limits an account trades under: frozen, each with its unit in its name."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

import msgspec

from toolkit.errors import BadSetting

__all__ = ["CONFIRMABLE", "ContractLimits", "Limits", "TradingState"]

CONFIRMABLE: Final = ("confirm_value", "duplicate")
"""Rules that a person may answer with ``OrderRequest.confirm``."""


class TradingState(StrEnum):
    """What the engine accepts: everything, only what reduces a position, or no order at all."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


class ContractLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of one underlying or one contract in place of the account's; None keeps the account's."""

    max_order_lots: int | None = None
    max_order_value_p: int | None = None
    confirm_value_p: int | None = None
    max_net_lots: int | None = None
    max_gross_lots: int | None = None

    def __post_init__(self) -> None:
        """Refuse a figure that limits nothing."""
        _sound(self)


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pre-trade limits of one account. The defaults are safe for a first day of one-lot trading
    in index options; raise them on purpose, in the settings, never from a strategy.

    Parameters
    ----------
    max_order_lots : int
        Lots in one order, before it is sliced (a cap of our own beside the exchange's freeze quantity).
    max_slices : int
        Exchange orders one order may be cut into; at most ``max_messages_per_s``, for they leave together.
    max_order_value_p : int
        Value of one order in paise: premium for options, notional for futures.
    confirm_value_p : int
        An order worth more needs a person's confirmation (``confirm=("confirm_value",)``).
    max_net_lots : int
        Net position in one contract after the order and all open orders on its side, in lots.
    max_open_value_p : int
        Value of all open orders with this one, in paise; unknown orders count in full.
    max_gross_lots : int
        Positions without regard to sign and all open orders in one underlying, in lots of the contract ordered.
    max_capital_p : int
        Margin of the positions and value of all open orders with this one, in paise.
    option_collar_low_p, option_collar_floor_p, option_collar_pct
        A limit price lies within ``option_collar_floor_p`` of the last price while that is at most
        ``option_collar_low_p``, else within ``option_collar_pct`` percent of it.
    future_collar_pct : float
        The same for index futures, in percent.
    stock_collar_pct : float
        The same for stocks and their futures, in percent.
    option_protection_pct, option_protection_floor_p, future_protection_pct
        How far through the far touch a market order's protection price lies.
    max_quote_age_s : float
        A quote older than this is not a quote.
    duplicate_window_s : float
        Same contract, side, quantity and price within this window is a repeat,
        unless a person says that it is meant (``confirm=("duplicate",)``).
    max_messages_per_s, max_cancels_per_s : int
        New orders and modifications stop at the first figure, all messages with cancels at the second,
        in any sliding second.
    check_margin : bool
        Whether the estimated margin must fit the available funds, and the capital its limit.
    allowed_underlyings : tuple of str or None
        What may be traded; None allows every listed contract.
    restricted : tuple of str
        Symbols and underlyings that may not be traded, whatever else is allowed.
    by_contract : dict
        Limits by symbol or by underlying, in place of the account's; the symbol's own win.
    """

    max_order_lots: int = 40
    max_slices: int = 8
    max_order_value_p: int = 2_00_00_000_00
    confirm_value_p: int = 1_00_00_000_00
    max_net_lots: int = 200
    max_gross_lots: int = 1000
    max_capital_p: int = 10_00_00_000_00
    max_open_value_p: int = 5_00_00_000_00
    option_collar_low_p: int = 50_00
    option_collar_floor_p: int = 20_00
    option_collar_pct: float = 40.0
    future_collar_pct: float = 3.0
    stock_collar_pct: float = 5.0
    option_protection_pct: float = 20.0
    option_protection_floor_p: int = 10_00
    future_protection_pct: float = 1.0
    max_quote_age_s: float = 180.0
    duplicate_window_s: float = 2.0
    max_messages_per_s: int = 8
    max_cancels_per_s: int = 10
    check_margin: bool = True
    allowed_underlyings: tuple[str, ...] | None = None
    restricted: tuple[str, ...] = ()
    by_contract: dict[str, ContractLimits] = {}

    def __post_init__(self) -> None:
        """Refuse a figure that limits nothing."""
        _sound(self)

    def of(self, symbol: str, underlying: str, name: str) -> int:
        """One limit as it holds for a contract."""
        for key in (symbol, underlying):
            own = self.by_contract.get(key)
            value = None if own is None else getattr(own, name)
            if value is not None:
                return int(value)
        return int(getattr(self, name))


def _sound(limits: msgspec.Struct) -> None:
    for name in limits.__struct_fields__:
        value = getattr(limits, name)
        if isinstance(value, (int, float)) and not (0 <= value < 1 << 62 and math.isfinite(value)):
            raise BadSetting(f"risk limit {name} must be a number from 0 and below 2**62, was {value!r}")
