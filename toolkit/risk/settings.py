"""The settings section ``[risk]``: the limits, and what else guards the account."""

from __future__ import annotations

from typing import Literal

from toolkit.risk.limits import Limits

__all__ = ["RiskSettings"]


class RiskSettings(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every limit of :class:`~toolkit.risk.limits.Limits`, with two switches beside them.

    Parameters
    ----------
    allow_plain_http : tuple of str
        Hosts other than loopback that may be spoken to without TLS; shown at every start.
    compliance : str
        ``client`` (own algo through a broker's API) or ``member`` terms of the exchange's rules.
    """

    allow_plain_http: tuple[str, ...] = ()
    compliance: Literal["client", "member"] = "client"

    def limits(self) -> Limits:
        """The limits alone, as the engine journals them."""
        names = Limits.__struct_fields__
        return Limits(**{name: getattr(self, name) for name in names})
