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
# # What would this strategy have done on that day?
#
# One recorded session goes through the whole desk on paper: chain, forward, volatility and Greeks, open interest,
# strategy, risk checks, simulated exchange, positions and P&L after charges.
#
# **You need** nothing: a sample session ships with the toolkit. It is **synthetic** (generated, not traded), so its
# figures say nothing about any market. No account is used and no order can leave this machine.

# %% tags=["parameters"]
from toolkit.config import share

SESSION = share("data", "sample")  # or your own file: an option chain downloaded from the exchange's page
UNDERLYING = "NIFTY"
STRATEGY = "oi-wall"

# %% [markdown]
# ## Do
#
# A strategy sees only what had been received by each moment. The last line says what ran, and whether it was real.

# %%
import polars as pl

import toolkit as tk

session = tk.open_session(SESSION)
day = tk.replay(session, STRATEGY, underlying=UNDERLYING)
label = "SYNTHETIC session" if session.synthetic else "recorded session"
print(f"{label} {session.name}: {UNDERLYING}, {STRATEGY}, {day.orders.height} orders, {day.fills.height} fills")

# %% [markdown]
# ## Look
#
# Every result is a polars frame. Prices and money are in rupees, quantities and open interest in units (never lots),
# times are Indian. First the last rows of the P&L, then the newest orders, the positions, and the levels of open
# interest at the end of the day for each expiry.

# %%
from IPython.display import display

display(day.pnl.select("ts", "gross", "charges", "net", "delta", "margin").tail(5))
display(day.orders.select("cl_ord_id", "symbol", "side", "order_qty", "avg_px", "ord_status", "note").tail(10))
display(day.positions.select("symbol", "net_qty", "avg_px", "ltp", "realized", "unrealized"))
display(day.oi.group_by("expiry", maintain_order=True).last().select("expiry", "ts", "pcr", "max_pain", "ce_wall", "pe_wall"))

# %% [markdown]
# ## Check
#
# Net is gross less charges at every snapshot, the positions' P&L is the gross, and the day's contract note is the
# charge. If one of these were not so, the cell would stop here. `day.report("report.html")` writes the same as a page.

# %%
last = day.pnl.row(-1, named=True)
assert ((day.pnl["gross"] - day.pnl["charges"] - day.pnl["net"]).abs() < 0.01).all()
assert abs(day.positions.select(pl.col("realized") + pl.col("unrealized")).to_series().sum() - last["gross"]) < 0.01
assert abs(day.charges["total"].sum() - last["charges"]) < 0.01
print(f"gross ₹{last['gross']:,.2f} - charges ₹{last['charges']:,.2f} = net ₹{last['net']:,.2f}")

# %% [markdown]
# ## Change this
#
# Run the cell as it is, then try one of these and run it again:
#
# * `"short-straddle"` instead of `"iron-condor"`: fewer legs, no wings, so the margin is larger;
# * `latency_ms=60_000` instead of `250`: every order reaches the exchange a minute late, so the fills change.

# %% tags=["change-this"]
other = tk.replay(session, "iron-condor", underlying=UNDERLYING, latency_ms=250)  # <- change this
pl.DataFrame(
    {
        "strategy": [day.settings["strategy"], other.settings["strategy"]],
        "orders": [day.orders.height, other.orders.height],
        "peak margin, rupees": [day.pnl["margin"].max(), other.pnl["margin"].max()],
        "charges, rupees": [day.pnl["charges"][-1], other.pnl["charges"][-1]],
        "net, rupees": [day.pnl["net"][-1], other.pnl["net"][-1]],
    }
)

# %% [markdown]
# ## Where next
#
# The same day with a time slider: `toolkit dashboard --session data/sample`. Your own day: download the option chain
# from the exchange's page through a session, then `toolkit import nse-chain FILE --to mystore` and put `"mystore"` in
# the first cell.
