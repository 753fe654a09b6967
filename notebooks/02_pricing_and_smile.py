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
# # What does this chain's smile say, and why is our IV not the exchange's?
#
# One option chain is turned into a forward, implied volatilities, a fitted smile with its density, Greeks, and the
# payoff surface of a strategy. At the end the same prices are read on the exchange's clock.
#
# **You need** nothing: a sample session ships with the toolkit. It is **synthetic** (generated, not traded), so its
# figures say nothing about any market. No account is used and no order can leave this machine.

# %% tags=["parameters"]
from toolkit.config import share

SESSION = share("data", "sample")  # or your own file: an option chain downloaded from the exchange's page
UNDERLYING = "NIFTY"
AT = "11:00"  # Indian time; several days need the date too: "2025-08-29 11:00"
STEPS_OUT = 4  # strikes between the money and the sold options

# %% [markdown]
# ## Get the data
#
# The newest snapshot of the nearest expiry at that time. `with_greeks` adds the forward from put-call parity with its standard
# error, the quote it used (mid, null where crossed or one-sided), `iv` (a fraction) and the Greeks: `vega` for 1.00 of
# vol, `theta` for a year.

# %%
import numpy as np
import polars as pl

import toolkit as tk
from toolkit import pricing

session = tk.open_session(SESSION)
expiry = session.expiries(UNDERLYING)[0]
chain = pricing.with_greeks(session.chain(AT, UNDERLYING, expiry))
forward, error, tte = chain.select("forward", "forward_error", "tte").row(0)
print(f"{'SYNTHETIC ' if session.synthetic else ''}{UNDERLYING} {expiry} at {AT}: forward {forward:,.2f} ± {error:.2f} points")

# %%
near = pl.col("strike_p").is_between(int(98 * forward), int(102 * forward))
columns = ("option_type", "bid", "ask", "iv", "delta", "gamma", "vega", "theta")
chain.filter(near).select(pl.col("strike_p") / 100, *columns).head(10)

# %% [markdown]
# ## Look: the smile
#
# Out-of-the-money contracts only: their quotes hold the information. The fit weighs each vol by vega over spread. SVI
# has five parameters and bounded wings; the spline follows the points and is smoothed until its density is nowhere
# negative. Empty flags: no butterfly arbitrage found between the outer strikes.

# %%
side = pl.when(pl.col("strike_p") / 100 >= forward).then(pl.lit("CE")).otherwise(pl.lit("PE"))
out = chain.filter((pl.col("option_type").cast(pl.String) == side) & pl.col("iv").is_not_null()).sort("strike_p")
strikes, iv = out["strike_p"].to_numpy() / 100, out["iv"].to_numpy()
spread = (out["ask"] - out["bid"]).to_numpy()
svi = pricing.smile(strikes, iv, forward, tte, spread=spread)
spline = pricing.smile(strikes, iv, forward, tte, "spline", spread=spread)
for fit in (svi, spline):
    print(f"{fit.model}: weighted error {100 * fit.rmse:.3f} vol points, flags {fit.flags or 'none'}")

# %%
from bokeh.io import output_notebook, show
from bokeh.plotting import figure
from bokeh.resources import INLINE

output_notebook(INLINE, hide_banner=True)
grid = np.linspace(strikes[0], strikes[-1], 300)
fig = figure(width=900, height=350, title=f"{UNDERLYING} {expiry}: smile", x_axis_label="strike, points", y_axis_label="IV, %")
fig.scatter(strikes, 100 * iv, size=4, legend_label="quotes (mid)")
fig.line(grid, 100 * svi.iv(grid), legend_label="SVI", line_width=2)
fig.line(grid, 100 * spline.iv(grid), legend_label="spline", line_dash="dashed", line_width=2)
show(fig)

# %% [markdown]
# ## Look: the density
#
# The second derivative of prices by strike is the risk-neutral density of the settlement value. Flat vol would give
# the dashed lognormal; the difference is what the smile says.

# %%
atm = svi.iv(forward)
flat = pricing.smile(strikes, np.full(len(strikes), atm), forward, tte)
fig = figure(width=900, height=350, title="Density at expiry", x_axis_label="settlement, points", y_axis_label="% a point")
fig.line(grid, 100 * svi.density(grid), legend_label="fitted smile", line_width=2)
fig.line(grid, 100 * flat.density(grid), legend_label=f"flat {100 * atm:.1f} %", line_dash="dashed", line_width=2)
show(fig)
print(f"below {0.99 * forward:,.0f} points: {svi.cdf(0.99 * forward):.1%} by the smile, {flat.cdf(0.99 * forward):.1%} flat")

# %% [markdown]
# ## Do: a strategy's payoff surface
#
# An iron condor at this chain's prices, one unit of each leg. Break-evens and limits are exact; the probability of
# profit and the expected P&L are taken under the fitted density, before charges.

# %%
from toolkit.pricing import builders

inner = strikes[np.abs(strikes - forward).argmin()] + np.array([-2, -1, 1, 2]) * STEPS_OUT * np.diff(strikes).min()
quote = lambda kind, strike: builders.Quote(svi.price(kind, strike), tte, svi.iv(strike))
condor = builders.iron_condor(*inner, 1.0, quote)
limits = condor.extremes()
print(f"strikes {inner}, credit {condor.premium:.2f} rupees a unit, break-evens {condor.breakevens().round(1)}")
print(f"gain at most {limits.gain:.2f}, loss at most {limits.loss:.2f} rupees a unit")
print(f"profit {condor.pop(forward, tte, svi):.1%}, expected {condor.expected(forward, tte, svi):+.2f} rupees a unit")

# %%
spots, left = np.linspace(inner[0] - 300, inner[-1] + 300, 200), np.linspace(1.0, 0.0, 60)
surface = np.array([condor.value(spots, elapsed=(1.0 - share_left) * tte) for share_left in left])
fig = figure(width=900, height=350, title="P&L a unit, rupees", x_axis_label="spot, points", y_axis_label="share of time left")
fig.image([surface[::-1]], x=spots[0], y=0.0, dw=spots[-1] - spots[0], dh=1.0, palette="Cividis256")
fig.x_range.start, fig.x_range.end, fig.y_range.start, fig.y_range.end = spots[0], spots[-1], 0.0, 1.0
show(fig)

# %% [markdown]
# ## Why our IV is not the exchange's
#
# A price fixes the *total* variance, iv² × time. The exchange publishes IV on a clock of whole calendar days over 365;
# ours counts to the second at which the settlement value is determined. A third clock counts only trading time. Same
# price, same total variance, three vols. Near expiry they part; never compare two IVs without naming the clock. (Its
# forward also differs from put-call parity's, which moves calls and puts apart.)

# %%
stamp = int(chain["ts"].dt.timestamp("ns")[0])
clocks = {name: pricing.tte(stamp, expiry, name) for name in ("calendar", "days", "trading")}
middle = float(strikes[np.abs(strikes - forward).argmin()])
price = svi.price("CE", middle)
vols = {name: pricing.implied_vol("CE", price, forward, middle, years) for name, years in clocks.items()}
meaning = ["ours: to the second", "the exchange's: whole days", "session time only"]
pl.DataFrame({"clock": list(clocks), "meaning": meaning, "days": [365 * t for t in clocks.values()], "IV, %": [100 * v for v in vols.values()]})

# %% [markdown]
# ## Check
#
# The density holds all the probability and its mean is the forward; the three vols are one total variance; a vol put
# back into the price gives the price. If one of these were not so, the cell would stop here.

# %%
wide = np.linspace(0.5 * forward, 1.6 * forward, 200_001)
assert abs(np.trapezoid(svi.density(wide), wide) - 1.0) < 1e-3
assert abs(np.trapezoid(svi.density(wide) * wide, wide) / forward - 1.0) < 1e-3
known = [vols[name] ** 2 * years for name, years in clocks.items() if years > 0.0]
assert max(known) - min(known) < 1e-12
assert abs(pricing.price("CE", forward, middle, tte, vols["calendar"]) - price) < 1e-9
print(f"total variance {known[0]:.6f} on every clock; price {price:.4f} rupees either way")

# %% [markdown]
# ## Change this
#
# Run the cell as it is, then try one of these and run it again:
#
# * `qty=1.0` instead of `-1.0`: the straddle is bought, so the two sides of the bet change places;
# * `rise=0.05` instead of `0.0`: what five vol points more would do to it today.

# %% tags=["change-this"]
qty, rise = -1.0, 0.0  # <- change this
held = builders.straddle(middle, qty, quote)
pl.DataFrame(
    {
        "P&L today after the vol change, rupees": [held.value(forward, vol_shift=rise)],
        "probability of profit at expiry": [held.pop(forward, tte, svi)],
        "lower break-even": [held.breakevens()[0]],
        "upper break-even": [held.breakevens()[-1]],
        "chance to touch the upper one": [held.touch(held.breakevens()[-1], forward, tte, svi)],
    }
)

# %% [markdown]
# ## Where next
#
# Every function here takes plain arrays too: `help(pricing.price)`. How fast and how exact against other libraries:
# `toolkit bench pricing --peers`. Your own chain: download it from the exchange's page and put its path in the first
# cell.
