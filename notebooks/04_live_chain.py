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
# # What is the option chain doing right now?
#
# A live chain with implied volatility, Greeks and the shift of open interest, over the same wire that Zerodha's Kite
# Connect speaks. The exchange is simulated: it runs on this machine, from a recorded session, at sixty times real time.
#
# **You need** nothing: no account, no network. The session that ships is **synthetic** (generated, not traded). With an
# account of your own, `toolkit login kite` once a day and leave out the cell that starts the simulated exchange.

# %% tags=["parameters"]
from toolkit.config import share

SESSION = share("data", "sample")  # any session store
AT = "11:00"  # where in its day to begin
SPEED = 60  # market seconds a second
UNDERLYING = "NIFTY"
STRIKES = 6  # each side of the money
SNAPSHOTS = 4  # to collect for the shift of open interest

# %% [markdown]
# ## Do
#
# Start the simulated exchange and read its ready line: it holds the settings a client needs. `clock = venue` takes the
# time from the exchange's answers, so that its recorded day is today.

# %%
import atexit
import json
import os
import subprocess
import sys

words = ["sim", "kite", "--session", str(SESSION), "--at", AT, "--speed", str(SPEED)]
exchange = subprocess.Popen([sys.executable, "-m", "toolkit", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
atexit.register(exchange.terminate)
ready = json.loads(exchange.stdout.readline())
os.environ.update(ready["env"], TOOLKIT_ENGINE__CLOCK="venue", TOOLKIT_ENGINE__SPEED=str(SPEED))
print("simulated exchange of", ready["session"].rsplit("/", 1)[-1], "at", ready["now"][:19])

# %% [markdown]
# Connect, and choose what to watch: the nearest expiry, strikes around the money, the nearest future and the index.

# %%
import toolkit as tk
from toolkit.market.quotes import key_of
from toolkit.market.selection import around_money

broker = tk.connect("kite")
listed = await broker.instruments()
index = next(i for i in listed if i.underlying == UNDERLYING and i.kind == "index")
money = (await broker.quote([index.symbol]))[index.symbol].ltp_p / 100
contracts = {key_of(i): i for i in around_money(listed, UNDERLYING, money, expiries=1, strikes=STRIKES)}
print(f"{UNDERLYING} at {money:,.2f}: {len(contracts)} contracts watched")

# %% [markdown]
# The feed lives on a thread of its own. Starting and stopping are two words, as often as you like: nothing is left
# behind, subscriptions are kept, and interrupting the kernel does not reach it.

# %%
from toolkit.market.feed import ThreadFeed

feed = ThreadFeed(broker.feed)
feed.want(dict.fromkeys(contracts, "full"))
for turn in range(3):
    feed.start()
    batch = next(feed.ticks())
    print(f"start {turn + 1}: {feed.state}, first batch of {len(batch)} ticks")
    feed.stop()
feed.start();

# %% [markdown]
# ## Look
#
# The chain as it stands: calls and puts by strike, volatility in percent, delta, open interest in units (never lots).
# Run the cell again and it has moved.

# %%
import polars as pl

from toolkit import pricing
from toolkit.market.last_values import snapshot

chains = (snapshot(feed.rows(), contracts, broker.clock(), UNDERLYING).chain for _ in feed.ticks())
chain = next(c for c in chains if not c["oi"].has_nulls())  # a first tick may come before its mode, without depth
priced = pricing.with_greeks(pricing.with_iv(chain))
shown = priced.select("option_type", "bid", "ask", (pl.col("iv") * 100).round(2).alias("iv"), pl.col("delta").round(3), "oi", strike=pl.col("strike_p") / 100)
sides = [shown.filter(pl.col("option_type") == side).drop("option_type") for side in ("CE", "PE")]
sides[0].join(sides[1], on="strike", suffix="_put").select("oi", "delta", "iv", "bid", "ask", "strike", pl.col("^.*_put$"))

# %% [markdown]
# The shift of open interest since the first snapshot: how far the calls' and the puts' interest has moved (rupees of
# strike, right is up), how much was opened and closed, and the levels it makes.

# %%
from toolkit import oi

held = [chain]
for _ in feed.ticks():
    now = snapshot(feed.rows(), contracts, broker.clock(), UNDERLYING).chain
    if now["ts"][0] > held[-1]["ts"][0]:
        held.append(now)
    if len(held) > SNAPSHOTS:
        break
shift = oi.oi_shift(pl.concat(held))
shift.shifts.select("ts", "side", "signed", "created", "destroyed", "moved_right", "moved_left").tail(6)

# %%
shift.levels.select("ts", "spot", "forward", "pcr", "max_pain", "ce_wall", "pe_wall", "straddle", "atm_iv").tail(5)

# %% [markdown]
# ## Check
#
# Every watched option has ticked, the quotes are two-sided, a volatility prices its option back to the paisa it came
# from, and the feed lost nothing.

# %%
quoted = priced.filter(pl.col("iv").is_not_null())
back = pricing.price(quoted["option_type"].cast(str).to_numpy(), quoted["forward"].to_numpy(), quoted["strike_p"].to_numpy() / 100, quoted["tte"].to_numpy(), quoted["iv"].to_numpy())
assert chain.height == len(contracts) - 2
assert abs(back - quoted["quote"].to_numpy()).max() < 1e-6
assert feed.stats["bad"] == feed.stats["dropped"] == 0
print(f"{quoted.height} of {chain.height} options have a volatility; {feed.stats['quotes']} ticks, none bad")

# %% [markdown]
# ## Change this
#
# Watch two expiries instead of one, or more strikes: the wish is replaced while the feed runs, and only the difference
# is sent.

# %% tags=["change-this"]
wider = around_money(listed, UNDERLYING, money, expiries=2, strikes=STRIKES)  # <- change this
contracts = {key_of(i): i for i in wider}
feed.want(dict.fromkeys(contracts, "full"))
while len(feed.rows()) < len(contracts):
    next(feed.ticks())
chain = next(c for c in chains if not c["oi"].has_nulls())
chain.group_by("expiry", maintain_order=True).agg(pl.len().alias("options"), pl.col("oi").sum().alias("open interest, units"))

# %% [markdown]
# ## Where next
#
# Keep it: `toolkit record --broker kite --underlying NIFTY --to out/rec` writes ticks and snapshots until Ctrl-C, and
# `toolkit oi out/rec` or `toolkit replay out/rec` work on what it wrote. The last cell puts everything away.

# %%
feed.stop()
await broker.close()
exchange.terminate()
exchange.wait()
exchange.stdout.close()
print("feed", feed.state, "- simulated exchange ended")
