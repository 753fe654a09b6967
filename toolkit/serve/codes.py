"""What client and engine say to each other beside the words of an order: errors, and who asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from toolkit.errors import (
    AuthExpired,
    BadData,
    BadOrder,
    Halted,
    Refused,
    Retryable,
    RiskDenied,
    ToolkitError,
    Unknown,
    UnknownSymbol,
)
from toolkit.orders.words import IdTaken, NoOrder, NotListed

__all__ = ["CLIENT", "ERRORS", "VIAS", "code_of", "error_of"]

CLIENT: Final = "trading-toolkit/"
"""How our own clients name themselves, followed by one of :data:`VIAS`."""
VIAS: Final = ("cli", "python", "notebook", "dashboard")

ERRORS: Final[tuple[tuple[type[ToolkitError], int, str], ...]] = (
    (NoOrder, 404, "no_order"),
    (IdTaken, 409, "id_taken"),
    (UnknownSymbol, 422, "unknown_symbol"),
    (BadOrder, 422, "bad_order"),
    (BadData, 422, "bad_data"),
    (RiskDenied, 422, "denied"),
    (AuthExpired, 503, "auth_expired"),
    (Refused, 409, "refused"),
    (Halted, 409, "halted"),
    (Unknown, 504, "unknown"),
    (Retryable, 503, "retry"),
    (ToolkitError, 500, "failed"),
)
"""The first that fits."""

_BY_CODE: Final = {code: kind for kind, _, code in ERRORS}
_GATE: Final[Mapping[str, type[ToolkitError]]] = {"rate": Retryable, "slow": Retryable, "internal": Unknown}


def code_of(error: ToolkitError) -> tuple[int, str]:
    """Status and code of an error."""
    return next((status, code) for kind, status, code in ERRORS if isinstance(error, kind))


def error_of(body: Mapping[str, Any]) -> ToolkitError:
    """The error that a running engine's answer stands for; what the gate refused is certainly not placed."""
    code, text = str(body.get("code", "")), str(body.get("text", "the engine refused"))
    kind = _BY_CODE.get(code) or _GATE.get(code, Refused)
    if kind is UnknownSymbol and body.get("rule"):
        kind = NotListed  # the same code: an order's symbol
    if issubclass(kind, BadOrder | RiskDenied):
        return kind(str(body.get("rule", "")), body.get("limit", ""), body.get("value", ""), text)
    return kind(text)
