"""The API of a running engine: every route of the surface, over the station.

Bodies are read by the station's own words, so that a wrong field is refused here as in Python and on the command
line. An error is one line of JSON with a code and the request's id.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response, WebSocket
from starlette.exceptions import HTTPException

from toolkit.errors import BadData, BadOrder, ToolkitError, nearest
from toolkit.orders.station import Station
from toolkit.serve.codes import CLIENT, VIAS, code_of
from toolkit.serve.gate import error_body
from toolkit.serve.metrics import Metrics
from toolkit.serve.stream import Stream

__all__ = ["make_app"]

_LOG: Final = logging.getLogger("toolkit.serve")


def make_app(station: Station, metrics: Metrics, stream: Stream) -> FastAPI:
    """Make the application of one station."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    _errors(app)
    _orders(app, station)
    _views(app, station)
    _acts(app, station)

    @app.get("/health")
    async def health() -> Response:
        """Up or down, and nothing else."""
        up = station.up
        return _json({"status": "up" if up else "down"}, 200 if up else 503)

    @app.get("/metrics")
    async def prometheus() -> Response:
        """Prometheus text; neither account nor symbol is in it."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    @app.websocket("/v1/stream")
    async def live(socket: WebSocket) -> None:
        """Topics as they change."""
        await stream.serve(socket)

    return app


def _orders(app: FastAPI, station: Station) -> None:
    @app.post("/v1/orders")
    async def place(request: Request) -> Response:
        """One order, or legs."""
        return _json(await station.place(await _body(request), via=_via(request)))

    @app.get("/v1/orders")
    async def orders(request: Request) -> Response:
        """The book."""
        query = _query(request, "account")
        return _json(await station.orders(query.get("account")))

    @app.get("/v1/orders/{cl_ord_id}")
    async def order(cl_ord_id: str, request: Request) -> Response:
        """One order with its events."""
        _query(request)
        return _json(await station.order(cl_ord_id))

    @app.patch("/v1/orders/{cl_ord_id}")
    async def modify(cl_ord_id: str, request: Request) -> Response:
        """Change a working order."""
        return _json(await station.modify(cl_ord_id, await _body(request)))

    @app.delete("/v1/orders/{cl_ord_id}")
    async def cancel(cl_ord_id: str, request: Request) -> Response:
        """Cancel a working order."""
        await _act(request)
        return _json(await station.cancel(cl_ord_id))

    @app.post("/v1/preview")
    async def preview(request: Request) -> Response:
        """What an order or legs would do."""
        return _json(await station.preview(await _body(request)))


def _views(app: FastAPI, station: Station) -> None:
    def view(path: str, ask: Any) -> None:
        async def answer(request: Request) -> Response:
            return _json(await ask(_query(request, "account").get("account")))

        app.add_api_route(path, answer, methods=["GET"], name=path)

    @app.get("/v1/greeks")
    async def greeks(request: Request) -> Response:
        """Net Greeks by account, underlying and expiry, or by what the query says."""
        query = _query(request, "account", "by")
        return _json(await station.greeks(query.get("account"), query.get("by")))

    for name in ("fills", "positions", "pnl", "limits"):
        view(f"/v1/{name}", getattr(station, name))

    @app.get("/v1/margin")
    async def margin(request: Request) -> Response:
        """Margin used, free, and of the positions."""
        return _json(await station.margin(None, _query(request, "account").get("account")))

    @app.get("/v1/chain/{underlying}/{expiry}")
    async def chain(underlying: str, expiry: str, request: Request) -> Response:
        """One expiry with IV, Greeks, theo, smile, straddle and own position."""
        _query(request)
        return _json(await station.chain(underlying, expiry))

    @app.get("/v1/oi/{underlying}")
    async def oi(underlying: str, request: Request) -> Response:
        """Levels, shifts and events as known at a time, against a base."""
        query = _query(request, "at", "base", "expiry")
        return _json(await station.oi(underlying, query.get("at"), query.get("base"), query.get("expiry")))

    @app.get("/v1/events")
    async def events(request: Request) -> Response:
        """The journal's public events, gapless; ``chain=1`` gives the records as they lie in the file."""
        query = _query(request, "after", "most", "account", "chain")
        after, most, chain = _whole(query, "after", 0), _whole(query, "most", 256), _whole(query, "chain", 0)
        return _json(await station.events(after, min(most, 1000), query.get("account"), chain))

    @app.get("/v1/scenarios")
    async def scenarios(request: Request) -> Response:
        """The grid of spot and volatility moves."""
        query = _query(request, "account", "spot", "vol", "days", "underlying", "expiry")
        return _json(await station.scenarios(query))

    @app.get("/v1/execution")
    async def execution(request: Request) -> Response:
        """Latency stages, slippage and rates."""
        query = _query(request, "account", "day")
        return _json(await station.execution(query.get("account")))

    @app.get("/v1/verify")
    async def verify(request: Request) -> Response:
        """The journals' chains, checked by the engine that holds them."""
        return _json(await station.verify(_query(request, "account").get("account")))

    @app.get("/v1/runs")
    async def runs(request: Request) -> Response:
        """Backtest runs."""
        _query(request)
        return _json(await station.runs())

    @app.get("/v1/state")
    async def state(request: Request) -> Response:
        """Mode, accounts, trading state, feed, session: the stream's topic ``state`` once."""
        _query(request)
        return _json(station.state())


def _acts(app: FastAPI, station: Station) -> None:
    @app.post("/v1/halt")
    async def halt(request: Request) -> Response:
        """Stop what increases exposure."""
        body = await _act(request, "reason", "cancel_all", "account")
        cancel_all = body.get("cancel_all", False)
        if not isinstance(cancel_all, bool):
            raise BadOrder("cancel_all", "true or false", "another value", "cancel_all must be true or false")
        return _json(await station.halt(_reason(body, "api"), cancel_all=cancel_all, account=body.get("account")))

    @app.post("/v1/resume")
    async def resume(request: Request) -> Response:
        """Re-arm: a deliberate second act."""
        body = await _act(request, "reason", "account")
        return _json(await station.resume(_reason(body, "api"), body.get("account")))

    @app.post("/v1/flatten")
    async def flatten(request: Request) -> Response:
        """Close everything of one account, which must be named."""
        body = await _act(request, "reason", "confirm", "account")
        return _json(await station.flatten(_reason(body, "api"), body.get("confirm"), body.get("account")))

    @app.post("/v1/reconcile")
    async def reconcile(request: Request) -> Response:
        """Compare the broker's book with ours."""
        body = await _act(request, "account")
        return _json(await station.reconcile(body.get("account")))

    @app.post("/v1/cancel_all")
    async def cancel_all(request: Request) -> Response:
        """Cancel every working order."""
        body = await _act(request, "account")
        return _json(await station.cancel_all(body.get("account")))

    @app.post("/v1/margin")
    async def margin(request: Request) -> Response:
        """Margin of an order or legs on top of the positions."""
        return _json(await station.margin(await _body(request), None))

    @app.post("/v1/resend/{cl_ord_id}")
    async def resend(cl_ord_id: str, request: Request) -> Response:
        """A person's deliberate resend of an unknown order; never the machine's."""
        body = await _act(request, "confirm")
        return _json(await station.resend(cl_ord_id, body.get("confirm")))


def _errors(app: FastAPI) -> None:
    @app.exception_handler(ToolkitError)
    async def ours(request: Request, error: ToolkitError) -> Response:
        status, code = code_of(error)
        more = {n: getattr(error, n) for n in ("rule", "limit", "value") if hasattr(error, n)}
        return _error(request, status, code, str(error), **more)

    @app.exception_handler(HTTPException)
    async def routing(request: Request, error: HTTPException) -> Response:
        code = {404: "no_route", 405: "method"}.get(error.status_code, "http")
        text = {404: "no such path; see the surface", 405: "this path does not take that method"}
        return _error(request, error.status_code, code, text.get(error.status_code, str(error.detail)))

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        request_id = request.scope["state"]["request_id"]
        _LOG.error("request %s failed by a fault of the program: %s", request_id, type(error).__name__, exc_info=error)
        return _error(request, 500, "internal", "a fault of the program; the engine's log has it under this request id")


def _error(request: Request, status: int, code: str, text: str, **more: object) -> Response:
    request_id = request.scope.get("state", {}).get("request_id", "")
    shown = {name: value if isinstance(value, int | float | str) else str(value) for name, value in more.items()}
    return Response(error_body(code, text, request_id, **shown), status, media_type="application/json")


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, {"cache-control": "no-store"}, "application/json")


async def _body(request: Request) -> Any:
    raw = await request.body()
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        found = _odd_numbers(raw)
        if found is not None:
            return found
        text = f"the body is not JSON: {' '.join(str(error).split())[:120]}"
        raise BadOrder("body", "a JSON object", "no JSON", text) from None


def _odd_numbers(raw: bytes) -> Any:
    """A body that is no JSON only for its NaN, Infinity or 1e400: the field with the number is then refused."""
    odd: list[str] = []

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            odd.append(text)
        return value

    try:
        found = json.loads(raw, parse_constant=number, parse_float=number)
    except (ValueError, RecursionError):
        return None
    return found if odd else None


async def _act(request: Request, *known: str) -> Mapping[str, Any]:
    """The body of an act: an object of known fields, or nothing."""
    if not await request.body():
        return {}
    body = await _body(request)
    if not isinstance(body, dict):
        raise BadOrder("body", "an object", "something else", "the body must be an object")
    for name in body:
        if name not in known:
            fields = ", ".join(known) or "none"
            raise BadOrder("field", fields, name[:60], f"this act has no field '{name[:60]}'{nearest(name, known)}")
    return body


def _via(request: Request) -> str:
    """Who asks, as our own clients say it in their name; anybody else is ``api``."""
    name = request.headers.get("user-agent", "").removeprefix(CLIENT)
    return name if name in VIAS else "api"


def _reason(body: Mapping[str, Any], default: str) -> str:
    reason = body.get("reason", default)
    if not isinstance(reason, str) or len(reason) > 300 or not reason.isprintable():
        raise BadOrder("reason", "up to 300 printable characters", "another value", "reason must be a short text")
    return reason or default


def _query(request: Request, *known: str) -> dict[str, str]:
    """The query; an unknown name is refused with the nearest known one."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            shown = name[:60]
            raise BadData(f"this path has no query '{shown}'{nearest(shown, known)}")
        if len(value) > 100 or not value.isprintable():
            raise BadData(f"query '{name}' must be up to 100 printable characters")
        found[name] = value
    return found


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 15:
        raise BadData(f"{name} must be a whole number from 0, was '{text[:40]}'")
    return int(text)
