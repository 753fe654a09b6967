# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Can one strategy trade at two brokers, and for several clients?
#
# The same orders of one strategy at Zerodha's Kite Connect and at Symphony XTS, side by side; at XTS as a dealer, for two
# clients with limits of their own, and then the dealer's view by client. Both exchanges are simulated: they run on this
# machine, speak the brokers' real wire and play the same recorded session.
#
# **You need** nothing: no account, no network. The session that ships is **synthetic** (generated, not traded). With
# accounts of your own, `toolkit login kite` and `toolkit login xts-client` once a day, and leave out the cell that starts
# the simulators.

# %% tags=["parameters"]
from toolkit.config import share

SESSION = share("data", "sample")  # any session store
AT = "11:00"  # where in its day both exchanges begin
UNDERLYING = "NIFTY"
WIDTH = 200  # points between the strikes that are sold
LOTS = {"CLI01": 1, "CLI02": 2}  # lots by client of the dealer
MOST = {"CLI02": 1}  # a limit of one client's own: lots an order

# %% [markdown]
# ## Do
#
# Start both simulators. Each prints one ready line with the settings that a client needs; their names do not meet.

# %%
import atexit
import json
import os
import subprocess
import sys


def start(*words):
    words = [sys.executable, "-m", "toolkit", "sim", *words, "--session", str(SESSION), "--at", AT]
    exchange = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    atexit.register(exchange.terminate)
    return exchange

# %%
started = [start("kite"), start("xts", "--profile", "dealer_named", "--set", "rates=off")]
ready = [json.loads(exchange.stdout.readline()) for exchange in started]
os.environ.update(ready[0]["env"] | ready[1]["env"], TOOLKIT_ENGINE__CLOCK="venue")
print(f"Kite: account {ready[0]['account']}; XTS: dealer {ready[1]['login']} for {', '.join(ready[1]['clients'])}")

# %% [markdown]
# Connect to both, the same way. From here on little asks which broker it is: contracts have the same names, quotes the
# same form. The dealer's connection is for all of its clients until one is named.

# %%
import toolkit as tk
from toolkit.brokers.xts_settings import XtsTerms

kite = tk.connect("kite")
xts = tk.connect("xts-client", client_id="", terms=XtsTerms(books_per_s=100))  # the simulator does not mind
for broker in (kite, xts):
    print(await broker.profile())

# %% [markdown]
# The strategy, as orders: sell a strangle around the money, nearest expiry.

# %%
listed = [i for i in await kite.instruments() if i.underlying == UNDERLYING]
index = next(i for i in listed if i.kind == "index")
money = (await kite.quote([index.symbol]))[index.symbol].ltp_p / 100
options = [i for i in listed if i.kind == "option"]
legs = []
for side, strike in (("CE", money + WIDTH / 2), ("PE", money - WIDTH / 2)):
    near = [i for i in options if i.expiry == min(o.expiry for o in options) and i.option_type == side]
    legs.append(min(near, key=lambda i: abs(i.strike_p / 100 - strike)).symbol)
print(f"{UNDERLYING} at {money:,.2f}: sell", " and ".join(legs))

# %% [markdown]
# A limit two percent under the bid of each leg, so that it trades, at each broker. At XTS the order is allocated: one for
# each client.

# %%
orders = {"kite": [], "xts-client": []}
for name, broker in (("kite", kite), ("xts-client", xts)):
    quotes = await broker.quote(legs)
    for number, leg in enumerate(legs):
        whole = {"lots": sum(LOTS.values()), "price": round(quotes[leg].bid_p * 0.98 / 5) / 20, "cl_ord_id": f"LEG{number}"}
        order = tk.order(leg, "SELL", broker=name, account=ready[0]["account"], **whole)
        orders[name] += [order] if name == "kite" else tk.allocate(order, LOTS)
{name: [(o.account, o.cl_ord_id, o.order_qty) for o in some] for name, some in orders.items()}

# %% [markdown]
# Every order goes through the engine of its own account: its own lease, journal and limits, checked before a byte
# leaves. One client is asked for more than its own limit allows, and nobody else is held up by that.

# %%
from toolkit.brokers.act import Act
from toolkit.orders.live import LiveEngine
from toolkit.orders.settings import EngineSettings
from toolkit.risk.limits import Limits


def engine(account):
    broker = xts.for_client(account) if account in LOTS else kite
    limits = Limits(max_order_lots=MOST.get(account, 5))
    settings = {"engine": EngineSettings(), "clock": broker.clock, "realm": broker.settings.root}
    return Act(LiveEngine(broker, account, limits=limits, **settings))

# %%
import polars as pl

from toolkit.brokers.allocation import place_each

made = {name: await place_each(some, engine) for name, some in orders.items()}
told = [(name, m.account, m.order_qty, str(m.ord_status), m.text) for name, some in made.items() for m in some]
pl.DataFrame(told, schema=["broker", "account", "units", "state", "why"], orient="row")

# %% [markdown]
# ## Look
#
# Both brokers' trade books in one table: what each says it has done, in the same words.

# %%
fills = [fill for broker in (kite, xts) for fill in await broker.trades()]
cells = [(f.broker, f.account, f.symbol, str(f.side), f.last_qty, f.last_px_p / 100) for f in fills]
pl.DataFrame(cells, schema=["broker", "account", "symbol", "side", "units", "rupees"], orient="row")

# %% [markdown]
# The dealer's view: XTS's own rows of all mapped clients. Each keeps who logged in and whose order it is.

# %%
rows = await xts.dealer_orders()
cells = [(r.login_id, r.client_id, r.tag, r.status, r.qty, r.cum_qty) for r in rows]
pl.DataFrame(cells, schema=["login", "client", "our id", "status", "units", "filled"], orient="row")

# %% [markdown]
# And the positions by client, with the dealer's total.

# %%
held = [(r.client_id, r.trading_symbol, r.net_qty) for r in await xts.dealer_positions() if r.net_qty]
book = pl.DataFrame(held, schema=["client", "symbol", "units"], orient="row").pivot("client", index="symbol", values="units")
book.with_columns(pl.sum_horizontal(pl.exclude("symbol")).alias("total, units"))

# %% [markdown]
# ## Check
#
# Each broker's order book holds what was placed and nothing else, and no trade is of another order; the client over its
# limit has no order at the broker at all.

# %%
for name, broker in (("kite", kite), ("xts-client", xts)):
    book = {o.cl_ord_id: o.cum_qty for o in await broker.orders()}
    assert set(book) == {m.cl_ord_id for m in made[name] if m.order_id}
    for cl_ord_id, done in book.items():
        assert 0 < sum(f.last_qty for f in fills if (f.broker, f.cl_ord_id) == (name, cl_ord_id)) <= done
over = [client for client, lots in LOTS.items() if lots > MOST.get(client, 5)]
assert not [r for r in rows if r.client_id in over]
assert all(m.ord_status == "denied" for m in made["xts-client"] if m.account in over)
print(f"{len(fills)} trades agree with the books; {', '.join(over) or 'nobody'} was over its own limit")

# %% [markdown]
# ## Change this
#
# Raise the client's own limit, or ask for fewer lots: its orders are then placed like the others'. Orders that stand are
# the same orders: nothing is sent a second time.

# %% tags=["change-this"]
MOST = {"CLI02": 2}  # <- change this
again = tk.allocate(tk.order(legs[0], "SELL", lots=sum(LOTS.values()), price=orders["kite"][0].price_p / 100, broker="xts-client", cl_ord_id="AGAIN"), LOTS)
for result in await place_each([o for o in again if o.account in over], engine):
    print(result.account, result.order_qty, "units:", result.ord_status, result.text)
after = await xts.dealer_positions()
for broker in (kite, xts):
    await broker.close()
pl.DataFrame([(r.client_id, r.trading_symbol, r.net_qty) for r in after], schema=["client", "symbol", "units"], orient="row")
