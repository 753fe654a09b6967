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
# # How much margin does this trade need, and what can it lose?
#
# A sold option is paid for with margin: the worst of 16 scenarios, and charges around it. Four legs are taken through
# it: the figure and its parts, the order in which to trade them, the day's parameter file, and the book under moves of
# price, volatility and time.
#
# **You need** nothing: a sample session ships with the toolkit. It is **synthetic** (generated, not traded), so its
# figures say nothing about any market. No account is used and no order can leave this machine.

# %% tags=["parameters"]
from toolkit.config import share

SESSION = share("data", "sample")  # or your own store: toolkit import udiff FILE --to DIR
UNDERLYING = "NIFTY"
WIDTH_P = 40_000  # paise from the money to the sold strikes, and on to the bought ones
LOTS = 2

# %% [markdown]
# ## Get the data
#
# The last day's closing rows of the second expiry. An iron condor: sell a call and a put around the money, buy one
# farther out on each side.

# %%
import numpy as np
import polars as pl

import toolkit as tk
from toolkit import pricing, risk

session = tk.open_session(SESSION)
day = session.dates(UNDERLYING, "eod")[-1]
rows = session.frame("eod", UNDERLYING, day).filter(pl.col("kind") == "option")
expiry = rows["expiry"].unique().sort()[1]
print(f"{'SYNTHETIC ' if session.synthetic else ''}{UNDERLYING} on {day}, expiry {expiry}, {rows.height} contracts")

# %%
spot = rows["spot"][0]
strikes = rows.filter(pl.col("expiry") == expiry)["strike_p"].unique().sort().to_numpy()
steps = {"SELL CE": 1, "BUY CE": 2, "SELL PE": -1, "BUY PE": -2}
legs, sold_call = [], 0.0
for word, step in steps.items():
    strike = strikes[np.abs(strikes - 100 * spot - step * WIDTH_P).argmin()] / 100
    sold_call = strike if word == "SELL CE" else sold_call
    side, right = word.split()
    legs.append(f"{side} {LOTS} lots {UNDERLYING} {expiry:%d%b%Y} {strike:g} {right}".upper().replace("LOTS", "lots"))
print(", ".join(legs))

# %% [markdown]
# ## Look: the figure and its parts
#
# `scan` is the worst of the 16 scenarios, `exposure` a share of the notional of what is sold, `hedge_benefit` what the
# same legs would need more one by one. All in rupees.
#
# **Exact** are the 16 values of a contract, given the inputs of the clearing corporation (a test holds them to its
# published values). **Estimates** are the inputs themselves while no file is imported, as the label says, and the
# charges around the scenarios, which come from dated public rates.

# %%
from toolkit.batch.margin_day import margin_on

estimate = margin_on(session, ", ".join(legs), day)
shown = "scan calendar net_option_value span exposure expiry_addon total premium hedge_benefit".split()
print(estimate.margin.label)
pl.DataFrame({"part": shown, "rupees": [getattr(estimate.margin, part) for part in shown]})

# %%
inputs = estimate.params[UNDERLYING]
tte = ((expiry - day).days + 1) / 365  # the file's rule: a day more than the calendar's
ranges = (inputs.spot, inputs.vol, inputs.rate, inputs.price_scan, inputs.vol_scan)
array = risk.risk_array(1, sold_call, tte, *ranges, estimate.legs[0].price)
price = [0, 0, 1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3, 6, -6]
names = [f"{n:+d}/3 of the range, vol {'up' if i % 2 == 0 else 'down'}" for i, n in enumerate(price[:14])]
names += ["+6/3, 35 % of it", "-6/3, 35 % of it"]
pl.DataFrame({"scenario": names, "loss of one bought call, rupees": array.round(2)}).head(10)

# %% [markdown]
# ## Do: trade the legs in the order that never needs more
#
# Margin is looked at several times a day at random. Selling first makes a peak that bought legs would have avoided.
# `needed` is the margin then, plus the premium paid so far (received counts against it), in rupees.

# %%
names = [f"{estimate.legs[step.number].side} {estimate.legs[step.number].symbol}" for step in estimate.order]
needed = [step.needed for step in estimate.order]
plan = pl.DataFrame({"leg": names, "margin": [step.margin for step in estimate.order], "needed": needed})
positions = [step.leg for step in sorted(estimate.order, key=lambda step: step.number)]
naked = risk.span_margin([leg for leg in positions if leg.qty < 0], estimate.params).total
print(f"with both sold legs first: Rs {naked:,.0f}; in this order at most Rs {max(needed):,.0f}")
plan

# %% [markdown]
# ## Do: calibrate with the day's parameter file
#
# The clearing corporation's file (`.spn`) holds every contract's 16 values. A small **synthetic** one is written here
# and imported into a folder of its own; with a real one the command is `toolkit import span FILE --to DIR`.

# %%
import tempfile
from pathlib import Path

from toolkit.sim.spn import Portfolio, spn_text
from toolkit.store.importing import import_files

folder = Path(tempfile.mkdtemp())
terms = {"vol": 0.1432, "price_scan": 0.093 * spot, "expiries": (expiry,), "strikes": tuple(strikes / 100)}
made = folder / f"nsccl.{day:%Y%m%d}.s.spn"
made.write_text(spn_text(day, [Portfolio(code=UNDERLYING, spot=spot, **terms)]), newline="")
done = import_files("span", [made], folder / "store")[0]
print(f"{done.rows_kept} contracts read from {done.name}, {sum(done.refused.values())} refused")

# %%
from toolkit.store.margins import filed_params

filed, notes = filed_params(tk.open_session(folder / "store"), UNDERLYING, day)
calibrated = risk.span_margin(positions, filed)
print(calibrated.label)
print(f"{calibrated.filed} of {calibrated.legs} arrays from the file: Rs {calibrated.total:,.0f}", end="")
print(f", the estimate was Rs {estimate.margin.total:,.0f}")

# %% [markdown]
# ## Look: the book under moves of price, volatility and time
#
# Every cell revalues the whole book with the pricing room's own formula, each position at its own implied volatility.
# The axes are the defaults of `risk.scenario_grid`; `toolkit bench risk` prints what it costs. A position whose quote
# is missing is never counted at nothing: its Greeks are unknown, and in the grid it stands at its worst case, named.

# %%
chain = pricing.with_greeks(session.chain(day, UNDERLYING, expiry))
forward = chain["forward"].drop_nulls()[0]
held = [
    risk.Position(
        symbol=leg.symbol, underlying=UNDERLYING, cp=p.cp, qty=p.qty, strike=p.strike, expiry=expiry,
        tte=(expiry - day).days / 365, forward=forward, mark=p.mark, strategy="condor",
    )
    for leg, p in zip(estimate.legs, positions, strict=True)
]  # fmt: skip
risk.exposures(held, "symbol").select("symbol", "unknown", "delta", "gamma", "vega", "theta")

# %%
grid = risk.scenario_grid(held)
worst = grid.worst
print(f"worst of {grid.pnl.size:,} cells: Rs {worst.pnl:,.0f}", end="")
print(f" at {worst.move:+.0%}, vol {100 * worst.vol:+.0f} points, after {worst.days:.0f} days")

# %%
from bokeh.io import output_notebook, show
from bokeh.plotting import figure
from bokeh.resources import INLINE

output_notebook(INLINE, hide_banner=True)
title = f"{UNDERLYING} condor: profit by move, vol unchanged"
fig = figure(width=900, height=350, title=title, x_axis_label="move, %", y_axis_label="profit, rupees")
for at, days in enumerate(grid.days):
    fig.line(
        100 * grid.moves, grid.pnl[:, 5, at], legend_label=f"after {days:.0f} days", line_width=2, alpha=0.3 + 0.15 * at
    )
show(fig)

# %%
import msgspec

blind = [msgspec.structs.replace(held[0], mark=np.nan), *held[1:]]
dark = risk.scenario_grid(blind)
print(f"without the quote of {', '.join(dark.unknown)}: worst Rs {dark.worst.pnl:,.0f}, with it Rs {worst.pnl:,.0f}")

# %% [markdown]
# ## Look: value at risk on the grid
#
# The same grid answers for a day of the normal distribution whose width is the implied volatility's. Nothing is drawn
# at random, and a point outside the grid is refused instead of guessed.

# %%
sigma = estimate.params[UNDERLYING].vol / np.sqrt(252)
var = risk.parametric_var(grid, sigma, 0.01, -0.7, confidence=0.99, day=1)
print(f"one day, 99 %: Rs {var.var:,.0f}; mean beyond it Rs {var.shortfall:,.0f}; of {var.points:,} points")

# %% [markdown]
# ## Check
#
# The parts of the book add up to the whole to the last bit, the bought legs cut the margin, and the order found needs
# no more than any step of selling first.

# %%
halves = risk.scenario_grid(held[:2]).pnl + risk.scenario_grid(held[2:]).pnl
assert np.array_equal(halves, grid.pnl)
assert estimate.margin.hedge_benefit > 0
assert max(needed) <= naked
assert dark.worst.pnl < worst.pnl
calibrated.filed == calibrated.legs

# %% [markdown]
# ## Change this
#
# Set `TAKE = 2` to leave the bought legs out: the margin rises several times over. Set `VOL = 0.40`: the scan range
# grows with the volatility once it passes its floor.

# %% tags=["change-this"]
TAKE, VOL = 4, 0.25
chosen = ", ".join(sorted(legs, reverse=True)[:TAKE])
changed = margin_on(session, chosen, day, vol=VOL)
print(chosen)
print(f"Rs {changed.margin.total:,.0f}, price scan range {changed.params[UNDERLYING].price_scan:,.0f} points")

# %% [markdown]
# ## Where next
#
# The same figure on the command line: `toolkit margin --legs "..." --session STORE`. With a broker's account,
# `--broker kite` puts its basket margin beside ours and keeps the pair. `02_pricing_and_smile` prices what was
# revalued here.
