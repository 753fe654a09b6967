"""One feed for accounts of several brokers: each broker has its own token for the same contract. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.market.quotes import key_of
from toolkit.types import Instrument

__all__ = ["relabelled"]

Taker = Callable[..., None]


def relabelled(taker: Taker, feed: Mapping[int, Instrument], own: Iterable[Instrument]) -> Taker:
    """Hand quotes on under the keys that another broker's contracts have.

    Parameters
    ----------
    taker : callable
        ``taker(now_ns, keys, *columns)``.
    feed : mapping
        The feed's contracts by key.
    own : iterable of Instrument
        The contracts as the taker knows them.

    Returns
    -------
    callable
        ``taker`` itself where every key is the same; else one that passes on what both know.
    """
    mine = {(i.symbol, i.exchange): key_of(i) for i in own}
    pairs = {key: mine.get((i.symbol, i.exchange), -1) for key, i in feed.items()}
    if all(key == to for key, to in pairs.items()):
        return taker
    known = np.array(sorted(pairs), np.int64)
    to = np.array([pairs[key] for key in known.tolist()], np.int64)

    def take(now_ns: int, keys: npt.ArrayLike, *columns: Any) -> None:
        wanted = np.asarray(keys, np.int64)
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        found = np.where(known[at] == wanted, to[at], -1)
        held = found >= 0
        if held.any():
            taker(now_ns, found[held], *(np.asarray(column)[held] for column in columns))

    return take
