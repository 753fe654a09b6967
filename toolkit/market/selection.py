"""Which of the day's contracts to watch."""

from __future__ import annotations

from collections.abc import Sequence

from toolkit.errors import BadData
from toolkit.types import Instrument, Kind

__all__ = ["around_money"]


def around_money(
    listed: Sequence[Instrument], underlying: str, money: float | None, expiries: int, strikes: int
) -> list[Instrument]:
    """The nearest expiries' options around the money, the nearest future and the index.

    Parameters
    ----------
    listed : sequence of Instrument
        The day's contracts.
    money : float or None
        Rupees; unknown keeps every strike.
    expiries, strikes : int
        How many expiries, and strikes each side of the money (the strike at the money besides).

    Raises
    ------
    BadData
        When no option on the underlying is listed.
    """
    mine = [i for i in listed if i.underlying == underlying]
    options = [i for i in mine if i.kind is Kind.OPTION and i.expiry is not None and i.strike_p is not None]
    if not options:
        raise BadData(f"no option on '{underlying}' is listed; name an underlying with options")
    chosen: list[Instrument] = []
    for expiry in sorted({str(i.expiry) for i in options})[:expiries]:
        of_expiry = [i for i in options if str(i.expiry) == expiry]
        grid = sorted({i.strike_p or 0 for i in of_expiry})
        if money is not None:
            at = min(range(len(grid)), key=lambda n: (abs(grid[n] - money * 100.0), n))
            grid = grid[max(0, at - strikes) : at + strikes + 1]
        chosen += [i for i in of_expiry if i.strike_p in set(grid)]
    futures = sorted((i for i in mine if i.kind is Kind.FUTURE), key=lambda i: str(i.expiry))
    spots = [i for i in mine if i.kind is Kind.INDEX] or [i for i in mine if i.kind is Kind.EQUITY]
    return chosen + futures[:1] + spots[:1]
