"""The migration tables are complete, and what they name exists; the README's table of brokers is the capabilities'."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import toolkit as tk
from toolkit.brokers import kite_login, kite_more, xts_more
from toolkit.brokers.kite import KiteBroker
from toolkit.brokers.port import CAPABILITIES
from toolkit.brokers.xts import XtsBroker
from toolkit.brokers.xts_market import XtsMarket

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "toolkit" / "brokers" / "MIGRATION.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
HOMES = {
    "KiteBroker": KiteBroker,
    "XtsBroker": XtsBroker,
    "XtsMarket": XtsMarket,
    "kite_login": kite_login,
    "kite_more": kite_more,
    "tk": tk,
    "xts_more": xts_more,
}
# public methods of XTSConnect in Symphony's xts-pythonclient-api-sdk, Connect.py at 7d8f508 (2025-02-04)
XTS = [
    "interactive_login",
    "get_order_book",
    "get_dealer_orderbook",
    "place_order",
    "modify_order",
    "place_bracketorder",
    "bracketorder_cancel",
    "modify_bracketorder",
    "place_cover_order",
    "exit_cover_order",
    "get_profile",
    "get_balance",
    "get_trade",
    "get_dealer_tradebook",
    "get_holding",
    "get_dealerposition_netwise",
    "get_dealerposition_daywise",
    "get_position_daywise",
    "get_position_netwise",
    "convert_position",
    "cancel_order",
    "cancelall_order",
    "squareoff_position",
    "get_order_history",
    "interactive_logout",
    "marketdata_login",
    "get_config",
    "get_quote",
    "send_subscription",
    "send_unsubscription",
    "get_master",
    "get_ohlc",
    "get_series",
    "get_equity_symbol",
    "get_expiry_date",
    "get_future_symbol",
    "get_option_symbol",
    "get_option_type",
    "get_index_list",
    "search_by_instrumentid",
    "search_by_scriptname",
    "marketdata_logout",
]


def table(client):
    section = TEXT.split(f"`{client}`")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \| (.+) \|$", section, flags=re.M)


def kite_methods():
    from kiteconnect import KiteConnect

    return [name for name, _ in inspect.getmembers(KiteConnect, callable) if not name.startswith("_")]


@pytest.mark.parametrize(("client", "methods"), [("XTSConnect", lambda: XTS), ("KiteConnect", kite_methods)])
def test_every_method_has_one_row_and_no_row_is_of_none(client, methods):
    rows = [theirs for theirs, _ in table(client)]
    assert sorted(rows) == sorted(methods())


@pytest.mark.parametrize("client", ["XTSConnect", "KiteConnect"])
def test_what_a_row_names_exists_or_it_says_why_not(client):
    for theirs, ours in table(client):
        names = re.findall(r"`(\w+)\.(\w+)`", ours)
        verbs = re.findall(r"`toolkit login ([\w-]+)`", ours)
        assert names or verbs or ours.startswith("not offered: "), theirs
        for home, name in names:
            assert hasattr(HOMES[home], name), f"{theirs}: {home}.{name}"
        assert set(verbs) <= {"kite", "xts-pro", "xts-client"}


def words(capability):
    """One column of the README's table."""

    def yes(flag):
        return "yes" if flag else "no"

    return [
        ", ".join(capability.ord_types),
        ", ".join(capability.time_in_force),
        ", ".join(capability.products),
        ", ".join(capability.exchanges),
        str(capability.max_orders_per_s),
        str(capability.tag_length),
        "at the broker" if capability.max_slices > 1 else "by the engine",
        yes(capability.pushes_updates),
        yes(capability.has_feed),
        yes(capability.basket_margin),
        yes(capability.converts),
        yes(capability.client_orders),
    ]


ROWS = (
    "order types", "time in force", "products", "exchanges", "order messages a second", "letters of your order id",
    "slicing over the freeze quantity", "order updates pushed", "market feed", "margin of a basket",
    "conversion of positions", "orders for clients, dealer's books",
)  # fmt: skip


def test_the_readmes_table_is_what_the_capabilities_say():
    columns = [words(CAPABILITIES[name]) for name in ("kite", "xts-pro", "xts-client")]
    wanted = [f"| {' | '.join(cells)} |" for cells in zip(ROWS, *columns, strict=True)]
    assert [row for row in wanted if row not in README] == []
    assert "| | Kite | XTS PRO | XTS Client |" in README
