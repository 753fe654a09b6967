"""Price, Greeks, implied volatility, smile and payoffs of European options, in numba.

Scalars in, scalars out; arrays broadcast as NumPy's; nothing is compiled before its first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from toolkit.pricing.black import Greeks, Greeks2, PriceGreeks, greeks, greeks2, price, price_greeks
from toolkit.pricing.clock import settlement_ns, tte
from toolkit.pricing.forward import ParityForward, parity_forward
from toolkit.pricing.implied import implied_forward, implied_vol

if TYPE_CHECKING:
    from toolkit.pricing import builders
    from toolkit.pricing.frames import with_greeks, with_iv
    from toolkit.pricing.legs import Extremes, Leg, LegSet
    from toolkit.pricing.smiles import Smile, TermStructure, calendar_arbitrage, smile, term_structure

__all__ = [
    "Extremes",
    "Greeks",
    "Greeks2",
    "Leg",
    "LegSet",
    "ParityForward",
    "PriceGreeks",
    "Smile",
    "TermStructure",
    "builders",
    "calendar_arbitrage",
    "greeks",
    "greeks2",
    "implied_forward",
    "implied_vol",
    "parity_forward",
    "price",
    "price_greeks",
    "settlement_ns",
    "smile",
    "term_structure",
    "tte",
    "warm",
    "with_greeks",
    "with_iv",
]


_LATER: Final = {
    "Extremes": "legs",
    "Leg": "legs",
    "LegSet": "legs",
    "Smile": "smiles",
    "TermStructure": "smiles",
    "builders": "builders",
    "calendar_arbitrage": "smiles",
    "smile": "smiles",
    "term_structure": "smiles",
    "with_greeks": "frames",
    "with_iv": "frames",
}
"""What a price does not need, by the module it is in: polars and SciPy are imported on first use."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_LATER[name]}")
    value = module if name == "builders" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def warm() -> None:
    """Compile every public kernel into the cache (``make setup`` calls it)."""
    import numpy as np

    from toolkit.pricing.smiles import smile

    strikes = np.linspace(90.0, 110.0, 21)
    value = price(1, 100.0, strikes, 0.1, 0.2)
    implied_vol(1, value, 100.0, strikes, 0.1)
    price_greeks(1, 100.0, strikes, 0.1, 0.2)
    greeks2(1, 100.0, strikes, 0.1, 0.2)
    smile(strikes, 0.2 + 0.001 * np.abs(strikes - 100.0), 100.0, 0.1)
