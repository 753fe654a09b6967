"""The public names are a promise: each stands, loads on use, and no more than 25 are at the top."""

from __future__ import annotations

import subprocess
import sys

import pytest

import toolkit as tk


def test_the_top_holds_these_names_and_no_more() -> None:
    assert sorted(tk.__all__) == [
        "Desk",
        "Replay",
        "Session",
        "Strategy",
        "__version__",
        "allocate",
        "attach",
        "connect",
        "desk",
        "errors",
        "oi",
        "open_session",
        "order",
        "portfolio",
        "pricing",
        "replay",
        "risk",
    ]
    assert len(tk.__all__) <= 25


def test_every_name_loads() -> None:
    for name in tk.__all__:
        assert getattr(tk, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        tk.nothing  # noqa: B018


def test_dir_lists_the_names_without_loading_them() -> None:
    code = "import toolkit, sys; names = dir(toolkit); print('numpy' in sys.modules, 'replay' in names)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "True"]


PRICING = (
    "price", "greeks", "greeks2", "implied_vol", "implied_forward", "tte", "smile", "Smile", "Greeks", "Greeks2", "with_iv", "with_greeks",
)  # fmt: skip
OI = (
    "pcr", "max_pain", "pain_curve", "oi_moments", "walls", "wasserstein_shift", "transport_shift", "gex", "zero_gamma", "straddle",
    "skew", "buildup", "prepare_chain", "chain_matrix", "writer_class", "roll_over", "trapped_writers", "participant_positions",
    "detect_events", "heatmap", "oi_shift", "OIShiftEngine", "OIConfig", "ShiftResult",
)  # fmt: skip


def test_pricing_and_oi_keep_their_promised_names() -> None:
    assert [name for name in PRICING if not hasattr(tk.pricing, name)] == []
    assert [name for name in OI if not hasattr(tk.oi, name)] == []


def test_portfolio_and_risk_keep_the_names_that_stand() -> None:
    assert [name for name in ("positions", "charges", "charges_by_fill") if not hasattr(tk.portfolio, name)] == []
    assert [
        name for name in ("check", "Limits", "scenario_grid", "risk_array", "span_margin") if not hasattr(tk.risk, name)
    ] == []
