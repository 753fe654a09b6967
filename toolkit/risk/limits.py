"""The limits an account trades under: frozen, each with its unit in its name."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Limits", "TradingState"]


class TradingState(StrEnum):
    """What the engine accepts: everything, only what reduces a position, or no order at all."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


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
    max_net_lots : int
        Net position in one contract after the order and all open orders on its side, in lots.
    max_open_value_p : int
        Value of all open orders with this one, in paise; unknown orders count in full.
    option_collar_low_p, option_collar_floor_p, option_collar_pct
        A limit price lies within ``option_collar_floor_p`` of the last price while that is at most
        ``option_collar_low_p``, else within ``option_collar_pct`` percent of it.
    future_collar_pct : float
        The same for futures, in percent.
    option_protection_pct, option_protection_floor_p, future_protection_pct
        How far through the far touch a market order's protection price lies.
    max_quote_age_s : float
        A quote older than this is not a quote.
    duplicate_window_s : float
        Same contract, side, quantity and price within this window is a repeat.
    max_messages_per_s, max_cancels_per_s : int
        New orders and modifications stop at the first figure, all messages with cancels at the second,
        in any sliding second.
    check_margin : bool
        Whether the estimated margin must fit the available funds.
    allowed_underlyings : tuple of str or None
        What may be traded; None allows every listed contract.
    """

    max_order_lots: int = 40
    max_slices: int = 8
    max_order_value_p: int = 2_00_00_000_00
    max_net_lots: int = 200
    max_open_value_p: int = 5_00_00_000_00
    option_collar_low_p: int = 50_00
    option_collar_floor_p: int = 20_00
    option_collar_pct: float = 40.0
    future_collar_pct: float = 3.0
    option_protection_pct: float = 20.0
    option_protection_floor_p: int = 10_00
    future_protection_pct: float = 1.0
    max_quote_age_s: float = 180.0
    duplicate_window_s: float = 2.0
    max_messages_per_s: int = 8
    max_cancels_per_s: int = 10
    check_margin: bool = True
    allowed_underlyings: tuple[str, ...] | None = None
