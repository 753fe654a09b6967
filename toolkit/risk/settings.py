"""The settings section ``[risk]``: the limits, and what else guards the account."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from toolkit.errors import BadSetting, nearest
from toolkit.risk.alerts import AlertRule
from toolkit.risk.limits import Limits

__all__ = ["RiskSettings"]


class RiskSettings(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every limit of :class:`~toolkit.risk.limits.Limits`, with what else guards the account beside them.

    Parameters
    ----------
    allow_plain_http : tuple of str
        Hosts other than loopback that may be spoken to without TLS; shown at every start.
    compliance : str
        ``client`` (own algo through a broker's API) or ``member`` terms of the exchange's rules.
    rules_file : str
        The rules file; empty takes ``rules.toml`` of the toolkit's home where there is one.
    margin_store : str
        Session store with imported margin files; empty takes the session that is served. Without a file of the last
        days the figures come from documented defaults and are labelled uncalibrated.
    alerts : tuple of AlertRule
        Alerts over an account's figures, in place of the standard ones.
    by_account : dict
        Limits by account, in place of those above: ``[risk.by_account.AB1234]``.
    """

    allow_plain_http: tuple[str, ...] = ()
    compliance: Literal["client", "member"] = "client"
    rules_file: str = ""
    margin_store: str = ""
    alerts: tuple[AlertRule, ...] = ()
    by_account: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)

    def limits(self, account: str = "") -> Limits:
        """The limits alone, as the engine of an account journals them.

        Raises
        ------
        BadSetting
            For an unknown limit, or a value of another kind, in the account's own table.
        """
        fields = {field.name: field.type for field in msgspec.structs.fields(Limits)}
        values = {name: getattr(self, name) for name in fields}
        for name, value in self.by_account.get(account, {}).items():
            if name not in fields:
                raise BadSetting(f"[risk.by_account.{account}] has no limit '{name}'{nearest(name, fields)}")
            try:
                values[name] = msgspec.convert(value, fields[name])
            except msgspec.ValidationError as error:
                place = f"[risk.by_account.{account}] {name}"
                raise BadSetting(f"{place}: {str(error).lower()}, was {value!r}") from None
        return Limits(**values)
