"""After the warm-up no kernel is compiled or loaded any more: neither a first order nor a first chain stops the loop."""

from __future__ import annotations

import subprocess
import sys

CALLS = """
from numba.core.dispatcher import Dispatcher
from toolkit.serve.warm import warm

warm()
late, real = [], Dispatcher.compile

def compile(self, sig):
    late.append(self.py_func.__qualname__)
    return real(self, sig)

Dispatcher.compile = compile

import datetime as dt
import numpy as np
from toolkit.calendar import ist_ns
from toolkit.config import share
from toolkit.market.kite_wire import decode
from toolkit.market.quotes import key_of
from toolkit.oi import OIConfig, OIShiftEngine
from toolkit.orders.core import Core
from toolkit.risk.limits import Limits
from toolkit.risk.margin import default_params
from toolkit.sim.servers.load import load_world
from toolkit.store.session import open_session
from toolkit.types import OrderRequest, Side

session = open_session(share("data", "sample"))
day = session.dates()[-1]
listed = (row.instrument for row in load_world(session, day).roster.rows)
option = next(i for i in listed if i.option_type and i.underlying == "NIFTY")
core, now_ns = Core("PAPER", broker="paper", limits=Limits()), ist_ns(day, dt.time(11))
core.start_day(now_ns)
core.book.add([option])
core.book.span = {"NIFTY": default_params(25_000.0, 0.12)}
core.book.quotes.update(now_ns, np.array([key_of(option)]), *(np.full(1, 100.0) for _ in range(5)))
core.submit(now_ns, OrderRequest(
    cl_ord_id="ONE", symbol=option.symbol, side=Side.BUY, order_qty=option.lot, price_p=100_00))
assert "funds" in core.orders["ONE"].text, "the checks did not run"
chain = session.frame("chain", "NIFTY", day)
stamps = chain["ts"].unique().sort()
OIShiftEngine(OIConfig()).update(chain.filter(chain["ts"] <= stamps[8]).rechunk())
decode(bytes([0, 1, 0, 8]) + bytes(8), now_ns)
print(*sorted(set(late)))
"""


def test_after_the_warm_up_a_first_order_and_a_first_chain_meet_no_kernel_that_is_not_loaded():
    done = subprocess.run([sys.executable, "-c", CALLS], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == []
