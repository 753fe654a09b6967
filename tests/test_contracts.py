"""Dated contract rules against the exchange's files; names and identity."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import warnings
import zipfile

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import tables
from toolkit.calendar import StaleTable
from toolkit.contracts import (
    Contract,
    SymbolBook,
    contract_name,
    future_symbol,
    instrument_id,
    option_symbol,
    parse_contract_name,
    parse_symbol,
    resolve,
    stand_in_token,
)
from toolkit.errors import BadData, UnknownSymbol
from toolkit.types import Instrument, Kind, OptionType

RULES = tables.contracts()
WHOLE_MARKET = "BhavCopy_NSE_FO_0_0_0_20250206_F_0000.csv.zip"
UDIFF = ["fo_udiff_eod_202501.parquet", "fo_udiff_eod_202502a.parquet", "fo_udiff_eod_20260101_20260213.parquet"]
COLUMNS = [
    "TradDt",
    "FinInstrmTp",
    "TckrSymb",
    "XpryDt",
    "StrkPric",
    "OptnTp",
    "FinInstrmNm",
    "UndrlygPric",
    "NewBrdLotQty",
]
NAMES = st.sampled_from(["NIFTY", "NIFTYNXT50", "SENSEX", "SENSEX50", "BANKNIFTY", "M&M", "BAJAJ-AUTO", "360ONE"])
EXPIRIES = st.dates(dt.date(2019, 1, 1), dt.date(2035, 12, 31))
STRIKES = st.integers(1, 20_000_000)
RIGHTS = st.sampled_from(list(OptionType))


def udiff(shared, name: str) -> pl.DataFrame:
    path = shared("data", "nse", name)
    if name != WHOLE_MARKET:
        return pl.read_parquet(path, columns=COLUMNS)
    with zipfile.ZipFile(path) as archive:
        frame = pl.read_csv(archive.read(archive.namelist()[0]), columns=COLUMNS, infer_schema_length=40_000)
    return frame.with_columns(pl.col("TradDt", "XpryDt").str.to_date()).select(COLUMNS)


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


@pytest.mark.parametrize("name", [*UDIFF, WHOLE_MARKET])
def test_lots_of_every_index_contract_on_every_session(shared, name):
    rows = udiff(shared, name).filter(pl.col("FinInstrmTp").is_in(["IDF", "IDO"]))
    keys = rows.select("TradDt", "TckrSymb", "XpryDt", "NewBrdLotQty").unique().sort(pl.all())
    wrong = [
        (on, underlying, expiry, lot, RULES.lot(underlying, expiry, on))
        for on, underlying, expiry, lot in keys.iter_rows()
        if RULES.lot(underlying, expiry, on) != lot
    ]
    assert keys.height > 15
    assert wrong == []


def test_two_lots_trade_at_once():
    on = day("2025-01-02")
    assert RULES.lot("NIFTY", day("2025-01-30"), on) == 25
    assert RULES.lot("NIFTY", day("2025-01-23"), on) == 75


@pytest.mark.parametrize("name", UDIFF)
def test_expiries_as_announced_on_every_session(shared, name):
    keys = udiff(shared, name).select("TradDt", "TckrSymb", "XpryDt").unique().sort(pl.all())
    near = dt.timedelta(days=9)
    wrong = [
        (str(on), underlying, str(expiry))
        for on, underlying, expiry in keys.iter_rows()
        if expiry not in RULES.expiries(underlying, expiry - near, expiry + near, on)
    ]
    # On 1-Jan-2025, its last day under the old weekdays, the file still lists two contracts on
    # days that are holidays of 2025 (Mahashivratri, Id-ul-Fitr); from 2-Jan they are re-dated.
    holidays = [("2025-01-01", "BANKNIFTY", "2025-02-26"), ("2025-01-01", "MIDCPNIFTY", "2025-03-31")]
    assert wrong == (holidays if name == "fo_udiff_eod_202501.parquet" else [])


def test_the_re_dating_of_2_january_2025():
    window = (day("2025-01-20"), day("2025-01-31"))
    assert RULES.expiries("BANKNIFTY", *window, on=day("2025-01-01")) == [day("2025-01-29")]
    assert RULES.expiries("BANKNIFTY", *window, on=day("2025-01-02")) == [day("2025-01-30")]
    assert RULES.expiries("BANKNIFTY", *window) == [day("2025-01-30")]


def test_the_re_dating_of_28_august_2025():
    window = (day("2025-09-01"), day("2025-09-30"))
    thursdays = [day(f"2025-09-{n}") for n in ("04", "11", "18", "25")]
    tuesdays = [day(f"2025-09-{n}") for n in ("02", "09", "16", "23", "30")]
    assert RULES.expiries("NIFTY", *window, on=day("2025-08-28")) == thursdays
    assert RULES.expiries("NIFTY", *window, on=day("2025-08-29")) == tuesdays
    assert RULES.expiries("SENSEX", *window, on=day("2025-08-28")) == tuesdays
    assert RULES.expiries("SENSEX", *window) == thursdays


def test_nifty_expiries_are_those_of_the_calendar_of_2021_to_2026(shared):
    listed = pl.read_csv(shared("data", "nse", "nifty_expiry_calendar_2021_2026.csv"), try_parse_dates=True)
    ours = RULES.expiries("NIFTY", day("2021-01-01"), day("2026-09-30"))
    theirs = listed["actual_expiry_date"].to_list()
    assert len(theirs) == 296
    assert [expiry for expiry in theirs if expiry not in ours] == []
    # The calendar was made on 15-Jul-2026: of September it lists the monthly, the only contract then alive.
    assert [expiry for expiry in ours if expiry not in theirs] == [
        day(f"2026-09-{n}") for n in ("01", "08", "15", "22")
    ]


def test_every_row_of_the_calendar_agrees_on_cycle_lot_and_move(shared):
    listed = pl.read_csv(shared("data", "nse", "nifty_expiry_calendar_2021_2026.csv"), try_parse_dates=True)
    calendar = RULES.calendars["NSE"]
    for row in listed.iter_rows(named=True):
        expiry, scheduled = row["actual_expiry_date"], row["original_scheduled_expiry"]
        seen = min(expiry, day("2026-07-15"))
        assert RULES.lot("NIFTY", expiry, seen) == row["market_lot"], row
        assert RULES.is_monthly("NIFTY", expiry) == (row["expiry_type"] == "monthly"), row
        assert row["expiry_holiday_adjusted"] == (not calendar.is_expiry_day(scheduled)), row
        assert scheduled.strftime("%A") == row["expiry_rule_weekday"], row
        assert (calendar.previous(scheduled) if row["expiry_holiday_adjusted"] else scheduled) == expiry, row


def test_the_expiries_of_the_recorded_chain(shared):
    chain = pl.scan_parquet(shared("data", "nse", "chain_NIFTY_20250827_20250829.parquet"))
    expiries = sorted(chain.select(pl.col("Expiry_Date").unique()).collect()["Expiry_Date"].to_list())
    on = day("2025-08-29")
    alive = [expiry for expiry in expiries if expiry >= on]
    assert len(alive) == 18
    week = dt.timedelta(days=6)
    wrong = [e for e in alive if e not in RULES.expiries("NIFTY", e - week, e + week, on)]
    # 31-Mar-2026 became a holiday in the list published in December 2025.
    assert wrong == [day("2026-03-31")]
    assert {RULES.lot("NIFTY", expiry, on) for expiry in alive} == {75}


def test_weeklies_end_where_sebi_ended_them():
    window = (day("2024-11-01"), day("2024-12-31"))
    assert RULES.expiries("BANKNIFTY", *window) == [
        day("2024-11-06"),
        day("2024-11-13"),
        day("2024-11-27"),
        day("2024-12-24"),
    ]
    assert len(RULES.expiries("NIFTY", *window)) == 8
    assert RULES.expiries("BANKEX", *window)[2:] == [day("2024-11-18"), day("2024-11-25"), day("2024-12-30")]
    assert len(RULES.expiries("SENSEX", *window)) == 8  # that of Friday 1-Nov moved to 31-Oct


def test_a_stock_takes_the_monthly_cycle():
    assert RULES.expiries("RELIANCE", day("2025-08-01"), day("2025-10-31")) == [
        day("2025-08-28"),
        day("2025-09-30"),
        day("2025-10-28"),
    ]


@given(
    st.sampled_from(["NIFTY", "BANKNIFTY", "SENSEX", "BANKEX", "TCS"]),
    st.dates(day("2024-04-25"), day("2026-12-01")),
    st.integers(0, 60),
)
def test_expiries_are_sessions_in_order_inside_the_window(underlying, start, length):
    end = min(start + dt.timedelta(days=length), day("2026-12-31"))
    found = RULES.expiries(underlying, start, end)
    calendar = RULES.calendars[RULES.exchange(underlying)]
    assert found == sorted(set(found))
    assert all(start <= expiry <= end and calendar.is_expiry_day(expiry) for expiry in found)
    wide = RULES.expiries(underlying, start - dt.timedelta(days=20), end)
    assert [expiry for expiry in wide if expiry >= start] == found


def test_expiries_before_the_first_rule_are_refused():
    with pytest.raises(BadData, match="expiry rules of SENSEX are not known on 2023-05-01"):
        RULES.expiries("SENSEX", day("2023-05-01"), day("2023-06-30"))


def test_expiries_past_the_verified_date_warn_unless_asked_as_of_a_date_before_it():
    far = (day("2027-06-01"), day("2027-06-30"))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = RULES.expiries("NIFTY", *far)
    assert {w.category for w in heard} == {StaleTable}
    assert str(heard[0].message).startswith("expiry rules of NIFTY were verified until 2026-12-31")
    assert RULES.expiries("NIFTY", *far, on=day("2026-08-31")) == found
    assert found[-1] == day("2027-06-29")


@pytest.mark.parametrize(
    ("underlying", "on", "freeze", "lot", "most"),
    [
        ("NIFTY", "2026-08-03", 1800, 65, 1755),
        ("BANKNIFTY", "2026-08-03", 600, 30, 600),
        ("FINNIFTY", "2025-12-15", 1200, 65, 1170),
        ("FINNIFTY", "2026-02-01", 1800, 60, 1800),
        ("MIDCPNIFTY", "2024-07-31", 5500, 50, 5500),
        ("MIDCPNIFTY", "2026-08-03", 2800, 120, 2760),
        ("NIFTYNXT50", "2026-08-03", 600, 25, 600),
        ("SENSEX", "2026-08-31", 1000, 20, 1000),
        ("BANKEX", "2026-08-31", 900, 30, 900),
        ("BANKNIFTY", "2025-09-01", 900, 35, 875),
        ("BANKNIFTY", "2025-11-03", 600, 35, 595),
    ],
)
def test_the_legal_maximum_is_whole_lots_under_the_freeze_quantity(underlying, on, freeze, lot, most):
    expiry = RULES.expiries(underlying, day(on), day(on) + dt.timedelta(days=40))[0]
    assert RULES.freeze_qty(underlying, day(on)) == freeze
    assert RULES.lot(underlying, expiry, day(on)) == lot
    assert RULES.max_order_qty(underlying, expiry, day(on)) == most


def slab(level: float) -> int:
    """The exchange's public rule: quantity freeze by index level, worked out anew each month."""
    steps = [
        (5_750, 8_500),
        (8_625, 5_500),
        (11_500, 4_200),
        (17_250, 2_800),
        (27_500, 1_800),
        (40_000, 1_200),
        (55_000, 900),
    ]
    return next((qty for top, qty in steps if level <= top), 600)


def test_freeze_quantities_follow_the_index_level_at_the_turn_of_each_month(shared):
    rows = pl.concat([udiff(shared, name).filter(pl.col("FinInstrmTp") == "IDF") for name in UDIFF])
    rows = rows.filter(pl.col("TradDt") == pl.col("TradDt").min().over(pl.col("TradDt").dt.strftime("%Y%m")))
    found = rows.select("TradDt", "TckrSymb", "UndrlygPric").unique().sort("TradDt", "TckrSymb").rows()
    assert len(found) == 16
    assert [row for row in found if RULES.freeze_qty(row[1], row[0]) != slab(row[2])] == []


@given(st.integers(1, 5000), st.integers(1, 50_000))
def test_a_legal_maximum_is_the_largest_multiple(lot, freeze):
    ask = ("NIFTY", day("2026-08-04"), day("2026-08-03"), lot, freeze)
    if lot > freeze:
        with pytest.raises(BadData, match=f"lot of NIFTY must be 1 to the freeze quantity {freeze}, was {lot}"):
            RULES.max_order_qty(*ask)
        return
    most = RULES.max_order_qty(*ask)
    assert most is not None
    assert most % lot == 0
    assert most <= freeze < most + lot


def test_a_masters_lot_and_freeze_win_in_the_maximum():
    ask = ("NIFTY", day("2026-08-04"), day("2026-08-03"))
    assert RULES.max_order_qty(*ask, lot=75) == 1800
    assert RULES.max_order_qty(*ask, freeze_qty=1756) == 1755
    assert RULES.max_order_qty("RELIANCE", *ask[1:], lot=500, freeze_qty=20_000) == 20_000
    with pytest.raises(BadData, match="was 0"):
        RULES.max_order_qty(*ask, lot=0)


def test_a_stock_has_no_freeze_row_and_no_maximum():
    assert RULES.freeze_qty("RELIANCE", day("2025-08-29")) is None
    assert RULES.max_order_qty("RELIANCE", day("2025-09-30"), day("2025-08-29"), lot=500) is None


def test_a_stocks_lot_is_refused_and_a_typing_error_is_helped():
    with pytest.raises(UnknownSymbol, match=r"no lot of 'RELIANCE'.*comes from the day's file"):
        RULES.lot("RELIANCE", day("2025-09-30"), day("2025-08-29"))
    with pytest.raises(UnknownSymbol, match="did you mean 'BANKNIFTY'"):
        RULES.lot("BANKNIFTI", day("2025-09-30"), day("2025-08-29"))


def test_before_the_first_row_is_refused():
    early = day("2019-07-31")
    with pytest.raises(BadData, match="lot of NIFTY is not known on 2019-07-31; the table starts 2019-08-01"):
        RULES.lot("NIFTY", day("2019-08-29"), early)
    with pytest.raises(BadData, match="freeze quantity of NIFTY is not known on 2019-07-31"):
        RULES.freeze_qty("NIFTY", early)
    with pytest.raises(BadData, match="tick of NIFTY is not known on 2010-12-31"):
        RULES.tick_p("NIFTY", Kind.OPTION, day("2010-12-31"))


def test_past_the_verified_date_warns():
    late, expiry = day("2026-09-01"), day("2026-09-29")
    assert RULES.lot("NIFTY", expiry, day("2026-08-31")) == 65
    with pytest.warns(StaleTable, match="lots of NIFTY were verified until 2026-08-31"):
        assert RULES.lot("NIFTY", expiry, late) == 65
    with pytest.warns(StaleTable, match="freeze quantities of BANKNIFTY were verified until 2026-08-31"):
        assert RULES.freeze_qty("BANKNIFTY", late) == 600
    with pytest.warns(StaleTable, match="ticks of options were verified until 2026-12-31"):
        assert RULES.tick_p("NIFTY", Kind.OPTION, day("2027-01-01")) == 5


@pytest.mark.parametrize(
    ("kind", "on", "level", "tick"),
    [
        (Kind.OPTION, "2019-08-01", None, 5),
        (Kind.OPTION, "2026-08-03", 80_000.0, 5),
        (Kind.FUTURE, "2025-04-14", 22_000.0, 5),
        (Kind.FUTURE, "2025-04-15", 14_999.0, 5),
        (Kind.FUTURE, "2025-04-15", 15_000.0, 5),
        (Kind.FUTURE, "2025-04-15", 22_000.0, 10),
        (Kind.FUTURE, "2025-04-15", 30_000.0, 10),
        (Kind.FUTURE, "2025-04-15", 30_000.5, 20),
        (Kind.FUTURE, "2025-04-15", None, 20),
        ("future", "2026-08-03", 55_000.0, 20),
    ],
)
def test_tick(kind, on, level, tick):
    assert RULES.tick_p("NIFTY", kind, day(on), level) == tick


def test_the_widest_tick_is_legal_on_every_level():
    on = day("2026-01-01")
    assert all(
        RULES.tick_p("NIFTY", "future", on) % RULES.tick_p("NIFTY", "future", on, level) == 0 for level in (1, 2e4, 9e4)
    )


@pytest.mark.parametrize(
    ("underlying", "kind", "level", "text"),
    [
        ("NIFTY", Kind.EQUITY, None, "kind must be 'option' or 'future', was 'equity'"),
        ("NIFTY", Kind.FUTURE, 0.0, "level of NIFTY must be positive, was 0.0"),
        ("NIFTY", Kind.FUTURE, float("nan"), "level of NIFTY must be positive, was nan"),
        ("RELIANCE", Kind.FUTURE, None, "tick of the RELIANCE future follows its share since 2025-04-15"),
    ],
)
def test_bad_questions_of_ticks_are_refused(underlying, kind, level, text):
    with pytest.raises(BadData, match=text):
        RULES.tick_p(underlying, kind, day("2026-01-01"), level)


@pytest.mark.parametrize("name", UDIFF)
def test_prices_of_index_futures_lie_on_the_tick(shared, name):
    frame = pl.read_parquet(shared("data", "nse", name)).filter(
        (pl.col("FinInstrmTp") == "IDF") & (pl.col("TtlTradgVol") > 0)
    )
    for on, underlying, level, high, low in frame.select(
        "TradDt", "TckrSymb", "UndrlygPric", "HghPric", "LwPric"
    ).iter_rows():
        tick = RULES.tick_p(underlying, Kind.FUTURE, on, level)
        assert round(high * 100) % tick == 0, (on, underlying, high, tick)
        assert round(low * 100) % tick == 0, (on, underlying, low, tick)


def test_exchange():
    assert [RULES.exchange(name) for name in ("NIFTY", "SENSEX", "BANKEX", "RELIANCE")] == ["NSE", "BSE", "BSE", "NSE"]


@pytest.mark.parametrize("underlying", ["NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50"])
def test_strike_step_is_the_modal_gap_of_the_nearest_expiry(shared, underlying):
    rows = udiff(shared, WHOLE_MARKET).filter((pl.col("TckrSymb") == underlying) & (pl.col("FinInstrmTp") == "IDO"))
    nearest = rows.filter(pl.col("XpryDt") == pl.col("XpryDt").min())
    near = nearest.filter((pl.col("StrkPric") / pl.col("UndrlygPric") - 1).abs() < 0.05)["StrkPric"].unique().sort()
    assert near.diff().drop_nulls().mode().to_list() == [RULES.strike_step_p(underlying) / 100]


def test_strike_step_of_a_stock_is_refused():
    with pytest.raises(UnknownSymbol, match="no strike step of 'RELIANCE'"):
        RULES.strike_step_p("RELIANCE")


def test_resolve_prefers_the_file_and_reports_the_difference():
    assert resolve("lot", 65, 65).value == 65
    assert resolve("lot", 65, 65).difference is None
    assert resolve("lot", 65, None).source == "file"
    assert resolve("lot", None, 75).source == "table"
    both = resolve("expiry", day("2025-01-30"), day("2025-01-29"))
    assert (both.value, both.source) == (day("2025-01-30"), "file")
    assert both.difference == "expiry: file says 2025-01-30, table says 2025-01-29; the file wins"
    with pytest.raises(BadData, match="tick is neither in the file nor in the dated table"):
        resolve("tick", None, None)


@given(NAMES, EXPIRIES, STRIKES, RIGHTS)
def test_option_symbols_survive_a_round_trip(underlying, expiry, strike_p, right):
    text = option_symbol(underlying, expiry, strike_p, right)
    assert parse_symbol(text) == Contract(underlying, Kind.OPTION, expiry, strike_p, right)
    assert parse_symbol(text).symbol == text
    assert parse_symbol("  " + text.lower().replace(" ", "  ")) == parse_symbol(text)


@given(NAMES, EXPIRIES)
def test_future_and_equity_symbols_survive_a_round_trip(underlying, expiry):
    assert parse_symbol(future_symbol(underlying, expiry)) == Contract(underlying, Kind.FUTURE, expiry)
    assert parse_symbol(f"{underlying} EQ") == Contract(underlying, Kind.EQUITY)
    assert parse_symbol(f"{underlying} EQ").symbol == f"{underlying} EQ"


@pytest.mark.parametrize(
    "text",
    ["", "NIFTY", "NIFTY 25NOV2025", "NIFTY 25NOV25 24500 CE", "NIFTY 25NOV2025 24500 XX", "NIFTY 25NOV2025 -5 CE",
     "NIFTY 31FEB2025 24500 CE", "NIFTY 25FOO2025 FUT", "NIFTY 25NOV2025 0 PE", "NIFTY 25NOV2025 24500.555 PE", "A B EQ"],
)  # fmt: skip
def test_a_text_of_another_form_is_refused(text):
    with pytest.raises(UnknownSymbol, match=r"must (look like|be)"):
        parse_symbol(text)


@given(st.text(max_size=30))
def test_any_text_is_a_contract_or_unknown(text):
    try:
        found = parse_symbol(text)
    except UnknownSymbol:
        return
    assert parse_symbol(found.symbol) == found


@pytest.mark.parametrize("strike_p", [0, -100])
def test_a_strike_must_be_positive(strike_p):
    with pytest.raises(BadData, match=f"strike of NIFTY must be positive, was {strike_p} paise"):
        option_symbol("NIFTY", day("2025-11-25"), strike_p, "CE")


def test_fractional_strikes_are_written_without_trailing_zeros():
    expiry = day("2025-11-25")
    assert option_symbol("ITC", expiry, 15250, "PE") == "ITC 25NOV2025 152.5 PE"
    assert option_symbol("ITC", expiry, 15225, "PE") == "ITC 25NOV2025 152.25 PE"
    assert option_symbol("ITC", expiry, 15205, "PE") == "ITC 25NOV2025 152.05 PE"


def test_every_contract_name_of_the_whole_market_is_read(shared):
    frame = udiff(shared, WHOLE_MARKET)
    assert frame.height == 35_984
    last = frame.group_by("TckrSymb", pl.col("XpryDt").dt.strftime("%Y%m").alias("month")).agg(pl.col("XpryDt").max())
    monthly = set(last.select("TckrSymb", "XpryDt").iter_rows())
    for row in frame.iter_rows(named=True):
        ticker, expiry = row["TckrSymb"], row["XpryDt"]
        found = parse_contract_name(row["FinInstrmNm"], ticker)
        strike_p = None if row["StrkPric"] is None else round(row["StrkPric"] * 100)
        right = OptionType(row["OptnTp"]) if row["OptnTp"] else None
        assert (found.year, found.month) == (expiry.year, expiry.month), row
        assert found.day in (None, expiry.day), row
        assert (found.strike_p, found.option_type) == (strike_p, right), row
        contract = Contract(ticker, found.kind, expiry, strike_p, right)
        assert contract_name(contract, monthly=(ticker, expiry) in monthly) == row["FinInstrmNm"], row


@given(NAMES, EXPIRIES, STRIKES, RIGHTS, st.booleans(), st.booleans())
def test_contract_names_survive_a_round_trip(underlying, expiry, strike_p, right, monthly, future):
    contract = (
        Contract(underlying, Kind.FUTURE, expiry)
        if future
        else Contract(underlying, Kind.OPTION, expiry, strike_p, right)
    )
    found = parse_contract_name(contract_name(contract, monthly=monthly), underlying)
    assert (found.year, found.month, found.day) == (expiry.year, expiry.month, None if monthly else expiry.day)
    assert (found.kind, found.strike_p, found.option_type) == (contract.kind, contract.strike_p, contract.option_type)


@pytest.mark.parametrize(
    ("name", "ticker"),
    [("NIFTY2520625900CE", "BANKNIFTY"), ("NIFTY25FEBFU", "NIFTY"), ("NIFTY2523025900CE", "NIFTY"), ("NIFTY", "NIFTY"),
     ("NIFTY25FEB25900XX", "NIFTY"), ("NIFTY25X0625900CE", "NIFTY"), ("", "NIFTY"), ("SENSEX503130695000PE", "SENSEX")],
)  # fmt: skip
def test_a_name_of_another_grammar_is_refused(name, ticker):
    with pytest.raises(BadData, match="contract name must"):
        parse_contract_name(name, ticker)


def test_an_equity_has_no_contract_name():
    with pytest.raises(BadData, match="RELIANCE EQ is no contract"):
        contract_name(Contract("RELIANCE", Kind.EQUITY), monthly=True)


def test_the_documented_traps_of_names():
    assert parse_contract_name("NIFTY2520625900CE", "NIFTY").day == 6
    assert parse_contract_name("SENSEX503130695000PE", "SENSEX50").strike_p == 9_500_000
    assert parse_contract_name("SENSEX25N06FUT", "SENSEX") == parse_contract_name("SENSEX25N06FUT", "SENSEX")
    assert parse_contract_name("SENSEX25N06FUT", "SENSEX").month == 11


def test_stand_in_tokens_are_negative_int64_and_the_same_everywhere():
    ask = ("FO", "NIFTY", day("2025-09-30"), 2_500_000, "CE")
    assert stand_in_token(*ask) == stand_in_token("FO", "NIFTY", day("2025-09-30"), 2_500_000, OptionType.CE)
    assert -(2**63) <= stand_in_token(*ask) < 0
    code = (
        "import datetime as dt; from toolkit.contracts import stand_in_token;"
        "print(stand_in_token('FO', 'NIFTY', dt.date(2025, 9, 30), 2500000, 'CE'))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert int(other.stdout) == stand_in_token(*ask)


def test_stand_in_tokens_of_a_whole_market_are_different(shared):
    frame = udiff(shared, WHOLE_MARKET)
    keys = frame.select("TckrSymb", "XpryDt", "StrkPric", "OptnTp").iter_rows()
    tokens = {stand_in_token("FO", t, e, None if s is None else round(s * 100), o) for t, e, s, o in keys}
    assert len(tokens) == frame.height


def test_instrument_ids_part_tokens_that_are_used_again():
    one = instrument_id("FO", 54321, day("2025-01-02"))
    assert one == instrument_id("FO", 54321, day("2025-01-02"))
    assert (
        len({one, instrument_id("FO", 54321, day("2025-06-02")), instrument_id("BFO", 54321, day("2025-01-02"))}) == 3
    )
    assert 0 < one < 2**63


def listed(text: str, token: int, exchange: str = "NSE") -> Instrument:
    contract = parse_symbol(text)
    return Instrument(
        instrument_id=token * 10 + (exchange == "BSE"),
        symbol=contract.symbol,
        exchange=exchange,
        segment="NFO" if exchange == "NSE" else "BFO",
        underlying=contract.underlying,
        kind=contract.kind,
        lot=75,
        tick_p=5,
        expiry=contract.expiry,
        strike_p=contract.strike_p,
        option_type=contract.option_type,
        token=token,
    )


BOOK = SymbolBook(
    [
        listed("NIFTY 06FEB2025 25900 CE", 1),
        listed("NIFTY 13FEB2025 25900 CE", 2),
        listed("NIFTY 27FEB2025 25900 CE", 3),
        listed("NIFTY 27FEB2025 FUT", 4),
        listed("RELIANCE EQ", 5),
        listed("RELIANCE EQ", 5, "BSE"),
    ],
    {"nifty-w2-25900c": 20},
)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("NIFTY 13FEB2025 25900 CE", 2),
        ("nifty  13feb2025 25900 ce", 2),
        ("NSE:NIFTY 13FEB2025 25900 CE", 2),
        ("NFO:NIFTY2521325900CE", 2),
        ("NIFTY2521325900CE", 2),
        ("NIFTY25FEB25900CE", 3),
        ("NIFTY2522725900CE", 3),
        ("NIFTY25FEBFUT", 4),
        ("2", 2),
        ("NIFTY-W2-25900C", 2),
        ("NSE:RELIANCE", 5),
        ("RELIANCE EQ", 5),
    ],
)
def test_a_book_finds_symbols_names_tokens_and_broker_symbols(text, token):
    exchange = "NSE" if text == "RELIANCE EQ" else None
    assert BOOK.find(text, day("2025-02-06"), exchange).token == token


def test_a_book_refuses_the_expired_and_names_live_ones():
    with pytest.raises(
        UnknownSymbol, match=r"expired on 2025-02-06; live ones: NIFTY 13FEB2025 25900 CE, NIFTY 27FEB2025"
    ):
        BOOK.find("NIFTY 06FEB2025 25900 CE", day("2025-02-07"))
    with pytest.raises(UnknownSymbol, match=r"expired on 2025-02-27$"):
        BOOK.find("NIFTY25FEBFUT", day("2025-03-03"))


def test_a_book_refuses_the_ambiguous_and_names_the_candidates():
    with pytest.raises(UnknownSymbol, match=r"names 2 instruments: BSE:RELIANCE EQ \(token 5\), NSE:RELIANCE EQ"):
        BOOK.find("RELIANCE", day("2025-02-06"))


def test_a_book_refuses_the_unknown_and_names_the_nearest():
    with pytest.raises(UnknownSymbol, match="did you mean 'NIFTY 27FEB2025 25900 CE'"):
        BOOK.find("NIFTY 27FEB2025 25950 CE", day("2025-02-06"))
    with pytest.raises(UnknownSymbol, match="no instrument 'BSE:NIFTY25FEBFUT'"):
        BOOK.find("BSE:NIFTY25FEBFUT", day("2025-02-06"))


def test_a_weekly_moved_into_the_month_before_is_not_taken_for_the_monthly():
    assert RULES.is_monthly("NIFTY", day("2025-04-24"))
    assert not RULES.is_monthly("NIFTY", day("2025-04-30"))
    rows = [listed("NIFTY 24APR2025 24000 CE", 1), listed("NIFTY 30APR2025 24000 CE", 2)]
    assert SymbolBook(rows, rules=RULES).find("NIFTY25APR24000CE", day("2025-04-21")).token == 1
    assert SymbolBook(rows, rules=RULES).find("NIFTY2543024000CE", day("2025-04-21")).token == 2


def test_a_broker_symbol_of_no_instrument_is_refused():
    with pytest.raises(BadData, match="broker symbol 'X' names instrument 99, which is not in the table"):
        SymbolBook([listed("RELIANCE EQ", 5)], {"X": 99})
