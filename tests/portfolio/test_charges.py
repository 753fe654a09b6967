"""Contract notes by hand, their split by fill, and the dated schedule behind them."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import portfolio, tables
from toolkit.calendar import StaleTable, ist_ns
from toolkit.errors import BadData, UnknownSymbol
from toolkit.portfolio.charges import BY_FILL, NOTE, ChargeSchedule
from toolkit.portfolio.charges import charges as pure_charges

SCHEDULE = tables.charges()
ITEMS = ["brokerage", "stt", "exchange_charge", "sebi_fee", "stamp_duty", "gst", "total"]
ON = dt.date(2026, 8, 4)
COLUMNS = {
    "exec_id": pl.String, "cl_ord_id": pl.String, "order_id": pl.String, "account": pl.String, "broker": pl.String,
    "symbol": pl.String, "exchange": pl.String, "side": pl.String, "last_qty": pl.Int64, "last_px": pl.Float64,
    "exec_ns": pl.Int64,
}  # fmt: skip


def frame(*trades, on: dt.date = ON, exchange: str = "NSE", account: str = "A1") -> pl.DataFrame:
    """Fills of (order, symbol, side, quantity, price), a minute apart from ten o'clock."""
    start = ist_ns(on, dt.time(10))
    rows = [
        (f"{account}-{exchange}-{on}-{i}", f"c{order}", f"o{order}", account, "paper", symbol, exchange, side, qty, px,
         start + i * 60_000_000_000)
        for i, (order, symbol, side, qty, px) in enumerate(trades)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def one_row(table: pl.DataFrame) -> dict[str, object]:
    assert table.height == 1
    return table.row(0, named=True)


def paise(table: pl.DataFrame, item: str) -> list[int]:
    return [round(value * 100) for value in table[item]]


@pytest.mark.parametrize(
    ("on", "qty", "option", "expected"),
    [
        # 0.0625 % STT: 3,000 sold = 1.875 -> 2; 5,500 x 0.05 % = 2.75; x 10/crore = 0.0055; 2,500 x 0.003 % = 0.075
        ("2024-08-01", 25, "NIFTY 08AUG2024 24500 CE", (40.0, 2.0, 2.75, 0.01, 0.08, 7.70, 52.54)),
        # 0.1 % STT: 9,000 sold = 9; 16,500 x 0.03553 % = 5.86245; 0.0165; 7,500 x 0.003 % = 0.225
        ("2025-11-20", 75, "NIFTY 25NOV2025 24500 CE", (40.0, 9.0, 5.86, 0.02, 0.23, 8.26, 63.37)),
        # 0.15 % STT: 7,800 sold = 11.70 -> 12; 14,300 x 0.03553 % = 5.08079; 0.0143; 6,500 x 0.003 % = 0.195
        ("2026-08-04", 65, "NIFTY 11AUG2026 24500 CE", (40.0, 12.0, 5.08, 0.01, 0.20, 8.12, 65.41)),
    ],
)
def test_an_option_round_trip_under_three_tax_regimes(on, qty, option, expected):
    date = dt.date.fromisoformat(on)
    fills = frame((1, option, "BUY", qty, 100.0), (2, option, "SELL", qty, 120.0), on=date)
    note = one_row(portfolio.charges(fills, date))
    assert (note["account"], note["exchange"], note["date"]) == ("A1", "NSE", date)
    assert tuple(note[item] for item in ITEMS) == expected


def test_a_future_round_trip():
    # 1,631,500 sold x 0.05 % = 815.75; 3,256,500 x 183/crore = 59.59395; 1,625,000 x 0.002 % = 32.50
    future = "NIFTY 25AUG2026 FUT"
    fills = frame((1, future, "BUY", 65, 25_000.0), (2, future, "SELL", 65, 25_100.0))
    assert [one_row(portfolio.charges(fills, ON))[item] for item in ITEMS] == [
        40,
        816,
        59.59,
        3.26,
        32.5,
        18.51,
        969.86,
    ]


def test_a_bse_option_round_trip():
    # 5,000 sold x 0.15 % = 7.50 -> 8; 9,000 x 0.0325 % = 2.925; 4,000 x 0.003 % = 0.12
    option = "SENSEX 06AUG2026 80000 PE"
    fills = frame((1, option, "BUY", 20, 200.0), (2, option, "SELL", 20, 250.0), exchange="BSE")
    assert [one_row(portfolio.charges(fills, ON))[item] for item in ITEMS] == [40, 8, 2.93, 0.01, 0.12, 7.73, 58.79]


def test_a_bse_future_pays_no_exchange_charge():
    fills = frame((1, "SENSEX 27AUG2026 FUT", "BUY", 20, 80_000.0), exchange="BSE")
    assert one_row(portfolio.charges(fills, ON))["exchange_charge"] == 0.0


@pytest.mark.parametrize(
    ("on", "option", "future"),
    [("2023-03-31", 500_000, 100_000), ("2023-04-01", 625_000, 125_000), ("2024-09-30", 625_000, 125_000),
     ("2024-10-01", 1_000_000, 200_000), ("2026-03-31", 1_000_000, 200_000), ("2026-04-01", 1_500_000, 500_000)],
)  # fmt: skip
def test_the_tax_changes_on_its_day(on, option, future):
    date = dt.date.fromisoformat(on)
    assert SCHEDULE.rate("stt", date, kind="option", side="SELL") == option
    assert SCHEDULE.rate("stt", date, kind="future", side="SELL") == future
    assert SCHEDULE.rate("stt", date, kind="option", side="BUY") == 0


@pytest.mark.parametrize("on", ["2024-10-01", "2026-02-28", "2026-03-01"])
def test_the_exchange_charge_and_ipft_of_nse_options_keep_their_sum(on):
    date = dt.date.fromisoformat(on)
    parts = [SCHEDULE.rate(item, date, exchange="NSE", kind="option") for item in ("exchange", "ipft")]
    assert sum(parts) == 355_300


def test_an_underlyings_own_rate_goes_before_the_rate_of_all():
    ask = {"exchange": "BSE", "kind": "option"}
    assert SCHEDULE.rate("exchange", ON, **ask, underlying="SENSEX") == 325_000
    assert SCHEDULE.rate("exchange", ON, **ask, underlying="SENSEX50") == 50_000


@pytest.mark.parametrize(("on", "tax_p"), [("2025-11-25", 900), ("2026-03-31", 900), ("2026-04-07", 1100)])
def test_tax_of_an_exercised_option(on, tax_p):
    # 7,500 rupees of intrinsic value: 0.125 % = 9.375, 0.15 % = 11.25
    assert SCHEDULE.exercise_stt_p(750_000, dt.date.fromisoformat(on)) == tax_p


def test_sell_or_let_it_expire_is_computable():
    # Sold at 102 the premium is taxed, held to the end the intrinsic 100 is: 11.475 -> 11 against 11.25 -> 11.
    sold = frame((1, "NIFTY 04AUG2026 24500 CE", "SELL", 75, 102.0))
    assert one_row(portfolio.charges(sold, ON))["stt"] * 100 == SCHEDULE.exercise_stt_p(75 * 100_00, ON)


def test_a_negative_intrinsic_value_is_refused():
    with pytest.raises(BadData, match="intrinsic value must not be negative, was -1 paise"):
        SCHEDULE.exercise_stt_p(-1, ON)


OPTION = "NIFTY 11AUG2026 24500 CE"


def test_brokerage_is_per_executed_order_not_per_fill():
    fills = frame((1, OPTION, "BUY", 65, 100.0), (1, OPTION, "BUY", 65, 100.05), (2, OPTION, "SELL", 130, 101.0))
    assert one_row(portfolio.charges(fills, ON))["brokerage"] == 40.0


def test_without_a_broker_order_id_our_own_id_counts_the_orders():
    fills = frame((1, OPTION, "BUY", 65, 100.0), (2, OPTION, "BUY", 65, 100.0))
    for blank in (None, ""):
        assert (
            one_row(portfolio.charges(fills.with_columns(order_id=pl.lit(blank, pl.String)), ON))["brokerage"] == 40.0
        )


def test_a_member_pays_no_brokerage():
    fills = frame((1, OPTION, "BUY", 65, 100.0))
    note = one_row(portfolio.charges(fills, ON, "none"))
    assert note["brokerage"] == 0.0
    assert note["gst"] == 0.42  # 18 % of 2.31 exchange charge and 0.01 SEBI fee


def test_one_note_an_account_exchange_and_day():
    before = ON - dt.timedelta(days=1)
    fills = pl.concat(
        [
            frame((1, OPTION, "BUY", 65, 100.0), account="B2"),
            frame((1, OPTION, "SELL", 65, 100.0)),
            frame((1, "SENSEX 06AUG2026 80000 PE", "BUY", 20, 200.0), exchange="BSE"),
            frame((1, OPTION, "BUY", 65, 90.0), on=before),
        ]
    )
    every = portfolio.charges(fills, None)
    assert every.select("account", "exchange", "date").rows() == [
        ("A1", "BSE", ON),
        ("A1", "NSE", before),
        ("A1", "NSE", ON),
        ("B2", "NSE", ON),
    ]
    assert portfolio.charges(fills, ON).equals(every.filter(pl.col("date") == ON))
    assert portfolio.charges_by_fill(fills, before).height == 1


def test_the_day_is_the_indian_one():
    late = frame((1, OPTION, "BUY", 65, 100.0)).with_columns(exec_ns=pl.lit(ist_ns(ON, dt.time(0, 30))))
    assert one_row(portfolio.charges(late, None))["date"] == ON


def test_a_repeated_execution_counts_once():
    fills = frame((1, OPTION, "BUY", 65, 100.0), (2, OPTION, "SELL", 65, 101.0))
    assert portfolio.charges(pl.concat([fills, fills]), ON).equals(portfolio.charges(fills, ON))
    assert portfolio.charges_by_fill(pl.concat([fills, fills.reverse()]), ON).height == 2


def test_two_accounts_may_use_one_execution_id():
    fills = frame((1, OPTION, "BUY", 65, 100.0)).with_columns(exec_id=pl.lit("E1"))
    both = pl.concat([fills, fills.with_columns(account=pl.lit("B2"))])
    assert portfolio.charges(both, ON).height == 2


def test_no_fills_give_no_notes():
    assert portfolio.charges(frame(), ON).schema == NOTE
    assert portfolio.charges_by_fill(frame(), None).schema == BY_FILL
    assert portfolio.charges(frame(), ON).height == 0


trade = st.tuples(
    st.integers(1, 4),
    st.sampled_from([OPTION, "NIFTY 25AUG2026 FUT", "BANKNIFTY 25AUG2026 55000 PE"]),
    st.sampled_from(["BUY", "SELL"]),
    st.integers(1, 100).map(lambda lots: lots * 65),
    st.integers(0, 5_000_000).map(lambda p: p / 100),
)


@given(st.lists(trade, min_size=1, max_size=12))
def test_the_split_sums_to_the_note_in_every_item(trades):
    fills = frame(*trades)
    note, split = portfolio.charges(fills, ON), portfolio.charges_by_fill(fills, ON)
    assert split["exec_id"].to_list() == fills["exec_id"].to_list()
    for item in ITEMS:
        assert sum(paise(split, item)) == paise(note, item)[0], item
    for row in split.iter_rows(named=True):
        assert min(row[item] for item in ITEMS) >= 0
        assert round(sum(row[item] for item in ITEMS[:-1]) * 100) == round(row["total"] * 100)


@given(st.lists(trade, min_size=1, max_size=12))
def test_the_note_is_the_exact_sum_rounded_once(trades):
    value = {side: {"option": Fraction(0), "future": Fraction(0)} for side in ("BUY", "SELL")}
    for _, symbol, side, qty, px in trades:
        value[side]["future" if "FUT" in symbol else "option"] += qty * Fraction(round(px * 100), 100)
    option = value["BUY"]["option"] + value["SELL"]["option"]
    future = value["BUY"]["future"] + value["SELL"]["future"]
    exact = {
        "stt": value["SELL"]["option"] * Fraction(15, 10_000) + value["SELL"]["future"] * Fraction(5, 10_000),
        "exchange_charge": (option * 3553 + future * 183) / 10**7,
        "sebi_fee": (option + future) / 10**6,
        "stamp_duty": value["BUY"]["option"] * Fraction(3, 10**5) + value["BUY"]["future"] * Fraction(2, 10**5),
    }
    note = one_row(portfolio.charges(frame(*trades), ON))
    for item, amount in exact.items():
        unit = Fraction(1) if item == "stt" else Fraction(1, 100)
        charged = Fraction(round(note[item] * 100), 100)
        assert -unit / 2 < charged - amount <= unit / 2, item
        assert charged % unit == 0, item
    assert note["brokerage"] == 20.0 * len({order for order, *_ in trades})


@given(st.lists(trade, min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(trades, random):
    fills = frame(*trades)
    rows = list(range(fills.height))
    random.shuffle(rows)
    assert portfolio.charges(fills[rows], ON).equals(portfolio.charges(fills, ON))
    assert portfolio.charges_by_fill(fills[rows], ON).equals(portfolio.charges_by_fill(fills, ON))


@given(st.lists(trade, min_size=1, max_size=8), trade)
def test_one_more_fill_never_lowers_an_item(trades, more):
    before, after = one_row(portfolio.charges(frame(*trades), ON)), one_row(portfolio.charges(frame(*trades, more), ON))
    assert [item for item in ITEMS if after[item] < before[item]] == []


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_a_dearer_sale_never_pays_less(price_p, more_p):
    cheap = one_row(portfolio.charges(frame((1, OPTION, "SELL", 65, price_p / 100)), ON))
    dear = one_row(portfolio.charges(frame((1, OPTION, "SELL", 65, (price_p + more_p) / 100)), ON))
    assert dear["total"] >= cheap["total"]


def test_equal_fills_share_the_odd_paisa_by_order_of_execution():
    fills = frame(*[(1, OPTION, "BUY", 65, 100.0)] * 3)
    split = portfolio.charges_by_fill(fills, ON)
    assert paise(split, "brokerage") == [667, 667, 666]
    assert paise(split, "stt") == [0, 0, 0]


def test_a_worthless_fill_still_bears_its_orders_brokerage():
    fills = frame((1, OPTION, "BUY", 65, 0.0), (2, OPTION, "BUY", 65, 100.0))
    assert paise(portfolio.charges_by_fill(fills, ON), "brokerage") == [2000, 2000]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"last_qty": pl.lit(0)}, BadData, "needs a quantity above and a price not below zero, was 0 at 100.0"),
        ({"last_qty": pl.lit(None, pl.Int64)}, BadData, "was None at 100.0"),
        ({"last_px": pl.lit(-1.0)}, BadData, "was 65 at -1.0"),
        ({"last_px": pl.lit(1.001)}, BadData, "price must be a whole number of paise, was 1.001"),
        ({"last_px": pl.lit(float("nan"))}, BadData, "price must be a whole number of paise, was nan"),
        ({"side": pl.lit("buy")}, BadData, "side must be BUY or SELL, was 'buy'"),
        ({"symbol": pl.lit("RELIANCE EQ")}, BadData, "charges are known for options and futures, was 'RELIANCE EQ'"),
        ({"symbol": pl.lit("NIFTY24500CE")}, UnknownSymbol, "symbol must look like"),
        ({"exchange": pl.lit("MCX")}, BadData, "no charge row for exchange MCX option"),
        ({"exec_ns": pl.lit(ist_ns(dt.date(2020, 6, 30)))}, BadData, "is not known on 2020-06-30; the table starts"),
    ],
)
def test_bad_fills_are_refused(change, error, text):
    fills = frame((1, OPTION, "BUY", 65, 100.0)).with_columns(**change)
    with pytest.raises(error, match=text):
        portfolio.charges(fills, None)


def test_a_frame_without_its_columns_is_refused():
    with pytest.raises(BadData, match="missing: side, last_px"):
        portfolio.charges(frame().drop("side", "last_px"), ON)


def test_an_unknown_plan_is_refused_with_the_nearest():
    with pytest.raises(BadData, match="plan must be one of discount, none, was 'discont'; did you mean 'discount'"):
        portfolio.charges(frame(), ON, "discont")


def test_past_the_verified_date_a_note_warns():
    on = dt.date(2027, 1, 4)
    with pytest.warns(StaleTable, match="charges were verified until 2026-12-31"):
        rate = SCHEDULE.rate("gst", on)
    assert rate == 180_000_000


def test_a_schedule_of_ones_own_replaces_the_shipped_one():
    without_gst = ChargeSchedule(
        tuple(r if r.item != "gst" else type(r)(**{**_fields(r), "amount": 0}) for r in SCHEDULE.rates)
    )
    fills = frame((1, OPTION, "SELL", 65, 100.0))
    assert one_row(portfolio.charges(fills, ON, schedule=without_gst))["gst"] == 0.0
    assert pure_charges(fills, ON, schedule=without_gst).equals(portfolio.charges(fills, ON, schedule=without_gst))
    assert portfolio.charges(fills, ON).equals(portfolio.charges(fills, ON, schedule=SCHEDULE))


def _fields(rate) -> dict[str, object]:
    return {name: getattr(rate, name) for name in rate.__struct_fields__}


def test_the_function_keeps_its_name_whatever_is_imported_before():
    import toolkit.portfolio.charges

    assert callable(portfolio.charges)
    assert callable(toolkit.portfolio.charges)
