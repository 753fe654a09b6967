"""Price, Greeks, implied volatility, smile and payoffs of European options, in numba.

Scalars in, scalars out; arrays broadcast as NumPy's; nothing is compiled before its first use.
"""

from __future__ import annotations

from toolkit.config import set_numba_cache

set_numba_cache()

from toolkit.pricing.black import Greeks, Greeks2, greeks, greeks2, price  # noqa: E402
from toolkit.pricing.clock import settlement_ns, tte  # noqa: E402
from toolkit.pricing.forward import ParityForward, parity_forward  # noqa: E402
from toolkit.pricing.frames import with_greeks, with_iv  # noqa: E402
from toolkit.pricing.implied import implied_forward, implied_vol  # noqa: E402

__all__ = [
    "Greeks",
    "Greeks2",
    "ParityForward",
    "greeks",
    "greeks2",
    "implied_forward",
    "implied_vol",
    "parity_forward",
    "price",
    "settlement_ns",
    "tte",
    "warm",
    "with_greeks",
    "with_iv",
]


def warm() -> None:
    """Compile every public kernel into the cache (``make setup`` calls it)."""
    value = price(1, 100.0, 100.0, 0.1, 0.2)
    implied_vol(1, value, 100.0, 100.0, 0.1)
    greeks(1, 100.0, 100.0, 0.1, 0.2)
    greeks2(1, 100.0, 100.0, 0.1, 0.2)
