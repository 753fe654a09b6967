"""What the core wants done: records to make durable, messages to send, news to tell."""

from __future__ import annotations

import msgspec

from toolkit.types import Denial, ExecutionReport, Modify, OrderRequest

__all__ = ["Effect", "Record", "SendCancel", "SendNew", "SendReplace", "Tell"]


class Record(msgspec.Struct, frozen=True):
    """One thing to make durable. ``payload`` is JSON with a stable order of keys."""

    ts_ns: int
    kind: str
    cl_ord_id: str
    payload: bytes


class SendNew(msgspec.Struct, frozen=True):
    """Send this new order; a MARKET order carries its protection price in ``price_p``."""

    request: OrderRequest


class SendReplace(msgspec.Struct, frozen=True):
    """Send this modification."""

    modify: Modify
    exchange: str


class SendCancel(msgspec.Struct, frozen=True):
    """Send a cancel."""

    cl_ord_id: str
    exchange: str


class Tell(msgspec.Struct, frozen=True):
    """Pass this report to the strategy; ``denials`` are the rules of ours behind a refusal."""

    report: ExecutionReport
    denials: tuple[Denial, ...] = ()


Effect = Record | SendNew | SendReplace | SendCancel | Tell
