"""Nothing secret in any text that leaves the connector: canaries through every failure."""

from __future__ import annotations

import base64
import logging
import pickle
import traceback

import pytest

from toolkit.brokers.kite import KiteBroker
from toolkit.brokers.kite_settings import KiteSettings
from toolkit.config import Secret
from toolkit.errors import ToolkitError
from toolkit.types import Modify, OrderRequest, Side

KEY, SECRET, TOKEN = "CANARYKEY77", "CANARYSECRET88", "CANARYTOKEN99"
FORMS = [f(c) for c in (KEY, SECRET, TOKEN) for f in (str, lambda t: base64.b64encode(t.encode()).decode().rstrip("="), lambda t: t.encode().hex())]  # fmt: skip
ORDER = OrderRequest(
    cl_ord_id="A1", symbol="NIFTY 14JUL2026 25000 CE", side=Side.BUY, order_qty=65, price_p=9000, account="AB"
)
ECHO = f'{{"status":"error","error_type":"InputException","message":"token {KEY}:{TOKEN} and {SECRET}"}}'.encode()


def clean(text, where):
    assert not [c for c in FORMS if c in text], f"secret in {where}"


def broker(root):
    return KiteBroker(
        KiteSettings(
            root=root, api_key=KEY, api_secret=Secret(SECRET), access_token=Secret(TOKEN), read_s=0.1, total_s=0.3, user_id="AB"
        )
    )  # fmt: skip


CALLS = {
    "profile": lambda b: b.profile(),
    "quote": lambda b: b.quote(["NIFTY"]),
    "place": lambda b: b.place(ORDER),
    "modify": lambda b: b.modify(Modify(cl_ord_id="A1", order_qty=65)),
    "orders": lambda b: b.orders(),
    "margins": lambda b: b.margins(),
}


@pytest.mark.parametrize("reply", ["echo400", "echo403", "echo html", "garbage", "silence", "closed"])
async def test_no_secret_in_errors_tracebacks_logs_or_reprs(raw, caplog, capsys, reply):
    caplog.set_level(logging.DEBUG)
    replies = {
        "echo400": raw.answer(ECHO, "400 Bad"),
        "echo403": raw.answer(ECHO.replace(b"InputException", b"TokenException"), "403 No"),
        "echo html": raw.answer(ECHO, "502 Bad", "text/html"),
        "garbage": b"\x00" + ECHO + b"\r\n\r\n",
        "silence": lambda link: link.recv(1),
        "closed": b"",
    }
    raw.say(replies[reply])
    for name, act in CALLS.items():
        made = broker(raw.root)
        with pytest.raises(ToolkitError) as caught:
            await act(made)
        clean(str(caught.value), f"{name} error")
        clean(repr(caught.value), f"{name} error")
        clean("".join(traceback.format_exception(caught.value)), f"{name} traceback")
        for thing in (made, made.settings, made.link, made.settings.access_token):
            clean(repr(thing), f"{name} repr of {type(thing).__name__}")
        await made.close()
    clean(caplog.text, "logs")
    captured = capsys.readouterr()
    clean(captured.out + captured.err, "output")
    assert all(TOKEN not in head.split("\r\n")[0] for head, _ in raw.seen), "token in an address"


def test_settings_cannot_be_pickled_with_their_secrets():
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(broker("http://127.0.0.1:9").settings)
