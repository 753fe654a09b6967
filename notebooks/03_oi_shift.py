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
# # Where did open interest go today?
#
# Open interest is the number of contracts that exist. When it changes, some of it was created, some destroyed, and
# some can be explained as having moved to other strikes. This notebook measures the three, finds the strikes that
# stand out (walls), and asks how often what is read into them came true.
#
# **You need** nothing: a sample session ships with the toolkit. It is **synthetic** (generated, not traded), so its
# figures say nothing about any market. For a real day put your own file into the first cell: nothing else changes.

# %% tags=["parameters"]
from toolkit.config import share

SESSION = share("data", "sample")  # or a file: an option chain recorded or downloaded, a bhavcopy, a session store
UNDERLYING = "NIFTY"

# %% [markdown]
# ## Get the data
#
# One row a contract a snapshot, open interest in units (never lots). The nearest expiry of the last day is shown.

# %%
import polars as pl

import toolkit as tk
from toolkit import oi, tables

session = tk.open_session(SESSION)
rows = session.frame("chain", UNDERLYING).filter(pl.col("ts").dt.date() == session.dates(UNDERLYING)[-1])
expiry = rows.filter(pl.col("expiry") >= pl.col("ts").dt.date())["expiry"].min()
label = "SYNTHETIC session" if session.synthetic else "recorded session"
print(f"{label} {session.name}: {UNDERLYING}, expiry {expiry}, {rows['ts'].n_unique()} exchange stamps")

# %% [markdown]
# ## Look
#
# One call gives four frames: `levels` (one row a burst), `shifts` (one row a burst and side), `events`, `quality`.
# Strikes, walls and centroids are in points, `ce_oi` and `pe_oi` in units; `pcr` is puts over calls.

# %%
config = oi.OIConfig(calendar=tables.calendar())
result = oi.oi_shift(rows, config)
levels = result.levels.filter(pl.col("expiry") == expiry)
levels.select("ts", "forward", "ce_oi", "pe_oi", "pcr", "max_pain", "ce_wall", "pe_wall", "pe_centroid").tail(6)

# %% [markdown]
# The picture: change of open interest since 09:20 by strike and time, the wall dashed, the forward solid. Blue was
# added, orange was taken away, a hatched stripe has no snapshot.

# %%
from bokeh.io import output_notebook, show

from toolkit.report import charts, heat

output_notebook(hide_banner=True)
cells = oi.heatmap(rows, UNDERLYING, expiry, config)
where = levels.select("ts", "spot", "forward")
for side, wall, name in (("CE", "ce_wall", "Calls"), ("PE", "pe_wall", "Puts")):
    mesh = heat.grid(cells, side, "oi_change", center=charts.center_of(where))
    show(charts.heatmap(mesh, levels, where, f"{name}: change of OI since 09:20, lakh units", wall=wall))

# %% [markdown]
# ## Do: created, destroyed, moved
#
# The shift between two moments is the cheapest explanation of the change: moving a contract costs its distance,
# creating or destroying one costs a fixed price, so that trips longer than `reach` are not made. Open interest has no
# owner: "moved" means explained by relocation, not proven.

# %%
day = result.shifts.filter((pl.col("expiry") == expiry) & pl.col("created").is_not_null())
day.select("ts", "side", "base_ts", "created", "destroyed", "moved_right", "moved_left", "signed").tail(4)

# %% [markdown]
# The same by hand, from arrays: `flow[i]` is what crosses from strike *i* to the next, right positive.

# %%
matrix = oi.chain_matrix(rows.unique(["ts", "token"], keep="first", maintain_order=True), UNDERLYING, expiry)
first, last = matrix.pe_oi[0], matrix.pe_oi[-1]
known = (first >= 0) & (last >= 0)
strikes, before, after = matrix.strikes[known], first[known], last[known]
moved = oi.transport_shift(strikes, before, after)
print(f"puts: {moved.created.sum():,} units created, {moved.destroyed.sum():,} destroyed, cost {moved.cost:,.0f}")

# %% [markdown]
# ## Events, and how often their reading held
#
# Every event is a hypothesis. The table follows each type for 15 minutes: the hit rate of its usual reading with its
# 95 % interval, and `baseline_times`, what the same number of moments drawn at random from the day would have hit.
# A `q` near 1 says: nothing that chance does not do. One day proves nothing either way.

# %%
events = result.events.filter(pl.col("expiry") == expiry)
display_columns = ["ts", "side", "type", "from", "to", "size", "z"]
events.select(display_columns).head(12)

# %%
study = oi.event_study(events, levels, [900.0], permutations=200)
study.select("type", "side", "n", "mean_return_bp", "hit_rate", "low", "high", "baseline_times", "q_times")

# %% [markdown]
# ## Check
#
# The figures must add up: what was created less what was destroyed is the change of the total, and the centroids obey
# an exact identity. And the streaming engine, fed one snapshot at a time, must give the same rows as the batch.

# %%
import numpy as np

assert moved.created.sum() - moved.destroyed.sum() == after.sum() - before.sum()
c0, c1 = before @ strikes / before.sum(), after @ strikes / after.sum()
work = (moved.created - moved.destroyed) @ (strikes - c0) + np.diff(strikes) @ moved.flow
assert abs(after.sum() * (c1 - c0) - work) <= 1e-9 * abs(after.sum() * c1)
engine = oi.OIShiftEngine(config)
for snapshot in rows.filter(pl.col("expiry") == expiry).partition_by("ts", maintain_order=True)[:60]:
    engine.update(snapshot)
assert engine.levels().equals(levels.head(60))
print(f"identity holds: centroid of the puts {c0:,.2f} to {c1:,.2f} points; 60 snapshots streamed, equal")

# %% [markdown]
# ## Change this
#
# Run the cell as it is, then try one of these and run it again:
#
# * `reach=5_000.0` instead of `100.0`: almost everything becomes a move, little is created;
# * `matrix.ce_oi` in place of `matrix.pe_oi` two cells above, then this cell: the calls.

# %% tags=["change-this"]
other = oi.transport_shift(strikes, before, after, reach=100.0)  # <- change this
pl.DataFrame(
    {
        "reach": ["five strike steps", "yours"],
        "created, units": [moved.created.sum(), other.created.sum()],
        "destroyed, units": [moved.destroyed.sum(), other.destroyed.sum()],
        "moved, unit-points": [m.moved_right + m.moved_left for m in (moved, other)],
    }
)

# %% [markdown]
# ## Where next
#
# The same as a page with frames beside it: `toolkit oi data/sample --underlying NIFTY --out out/oi`. Live: give
# `oi.OIShiftEngine` each snapshot as it comes; `state()` and `restore()` carry it over a restart.
