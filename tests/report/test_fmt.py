"""How values are written: one table of cases, and the properties every value keeps."""

from __future__ import annotations

import datetime as dt
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.report import fmt

NAN = math.nan
CASES = [
    ("price", (123456.05,), "1,23,456.05"),
    ("price", (0.05,), "0.05"),
    ("price", (-0.001,), "0.00"),
    ("price", (None,), "–"),
    ("price", (NAN,), "–"),
    ("price", (math.inf,), "–"),
    ("strike", (24500.0,), "24,500"),
    ("strike", (122.5,), "122.50"),
    ("strike", (None,), "–"),
    ("rupees", (124350.4,), "+1,24,350"),
    ("rupees", (-950.0,), "-950"),
    ("rupees", (-0.4,), "0"),
    ("rupees", (9_999_999.0,), "+99,99,999"),
    ("rupees", (12_400_000.0,), "+1.24 Cr"),
    ("rupees", (-1_234_000_000.0,), "-123.40 Cr"),
    ("rupees", (NAN,), "–"),
    ("rupees_exact", (1234567.891,), "+12,34,567.89"),
    ("lakh", (3_250_000,), "32.5 L"),
    ("lakh", (325_000,), "3.25 L"),
    ("lakh", (-325_000,), "-3.25 L"),
    ("lakh", (75,), "<0.01 L"),
    ("lakh", (0,), "0"),
    ("lakh", (None,), "–"),
    ("lakh", (123_456_700,), "1,234.6 L"),
    ("lakh_exact", (3_250_000, 75), "3250000 units = 43333.3 lots of 75"),
    ("lakh_exact", (10, None), "10 units"),
    ("lakh_exact", (None, 75), "–"),
    ("change", (325_000,), "▲ +3.25 L"),
    ("change", (-1_500_000,), "▼ -15.0 L"),
    ("change", (0,), "0"),
    ("change", (NAN,), "–"),
    ("quantity", (150, 75), "150 (2 lots)"),
    ("quantity", (75, 75), "75 (1 lot)"),
    ("quantity", (160, 75), "160 (2.13 lots)"),
    ("quantity", (None, 75), "–"),
    ("quantity", (0,), "0"),
    ("iv", (0.1243,), "12.4"),
    ("iv", (None,), "–"),
    ("vol_points", (0.0031,), "+0.3"),
    ("vol_points", (NAN,), "–"),
    ("delta", (0.42,), "+0.42"),
    ("delta", (-0.42,), "-0.42"),
    ("gamma", (0.00123,), "0.0012"),
    ("gamma", (NAN,), "–"),
    ("ratio", (0.7777,), "0.78"),
    ("ratio", (NAN,), "–"),
    ("percent", (0.0042,), "+0.42 %"),
    ("percent", (None,), "–"),
    ("age", (0.4,), "0.4 s"),
    ("age", (12.3,), "12 s"),
    ("age", (180,), "3 min"),
    ("age", (7200,), "2 h"),
    ("age", (None,), "–"),
    ("time_ist", (0,), "05:30:00 IST"),
    ("time_ist", (None,), "–"),
    ("time_ist", (dt.datetime(2025, 11, 28, 5, 32, 14, tzinfo=dt.UTC),), "11:02:14 IST"),
    ("expiry", (dt.date(2025, 12, 2), dt.date(2025, 11, 28)), "02 Dec Tue, 4 d"),
    ("expiry", (dt.date(2025, 12, 2),), "02 Dec Tue"),
    ("expiry", (None,), "–"),
]


@pytest.mark.parametrize(("name", "values", "text"), CASES, ids=lambda v: str(v) if isinstance(v, str) else None)
def test_each_case_of_the_table(name, values, text):
    assert getattr(fmt, name)(*values) == text


def test_signed_positions_and_dated_times():
    assert fmt.quantity(150, 75, sign=True) == "+150 (2 lots)"
    assert fmt.quantity(-150, sign=True) == "-150"
    assert fmt.time_ist(1_764_307_934_000_000_000, zone=False) == "11:02:14"
    assert fmt.time_ist(1_764_307_934_000_000_000, date=True) == "28 Nov 2025 11:02:14 IST"


@given(st.integers(-(10**15), 10**15))
def test_groups_lose_no_digit_and_are_lakh_and_crore(n):
    text = fmt.group(n)
    assert int(text.replace(",", "")) == n
    assert re.fullmatch(r"-?(\d{1,3}|\d{1,2}(,\d{2})*,\d{3})", text)


@given(st.floats(-1e12, 1e12))
def test_a_price_is_within_half_a_paisa_and_never_minus_zero(x):
    text = fmt.price(x)
    assert abs(float(text.replace(",", "")) - x) <= 0.005 + 1e-9 * abs(x)
    assert not re.fullmatch(r"-0\.00", text)


@given(st.floats(-1e12, 1e12))
def test_money_says_its_sign_once_and_zero_has_none(x):
    text = fmt.rupees(x)
    zero = not re.search(r"[1-9]", text)
    assert (text[0] not in "+-") if zero else (text[0] == ("+" if x > 0 else "-"))
    assert text.endswith(" Cr") == (abs(x) >= 1e7)


@given(st.integers(-(10**12), 10**12))
def test_lakh_is_close_to_the_units_and_zero_only_for_zero(n):
    text = fmt.lakh(n)
    assert (text == "0") == (n == 0)
    if n and "<" not in text:
        shown = float(text.removesuffix(" L").replace(",", "")) * 1e5
        assert abs(shown - n) <= max(500.0, abs(n) * 0.006)
        assert (shown < 0) == (n < 0)


@given(st.one_of(st.none(), st.just(NAN), st.just(math.inf), st.just(-math.inf)))
def test_unknown_is_a_dash_and_never_a_zero(x):
    names = ("price", "strike", "rupees", "rupees_exact", "lakh", "lakh_exact", "change", "iv", "vol_points", "delta")
    names += ("gamma", "ratio", "percent", "age", "signed")
    assert {getattr(fmt, name)(x) for name in names} == {fmt.UNKNOWN}


@given(st.floats(0, 1e6))
def test_an_age_never_gets_younger(seconds):
    def order(text):
        number, unit = text.split()
        return ("s", "min", "h").index(unit), float(number)

    assert order(fmt.age(seconds)) <= order(fmt.age(seconds * 1.5 + 1))


@given(st.integers(0, 2**62))
def test_time_is_india_whatever_the_machine_says(ns):
    seconds = (ns // 10**9 + 19_800) % 86_400
    assert fmt.time_ist(ns, zone=False) == f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def test_the_public_functions_are_all_in_the_table():
    tested = {name for name, _, _ in CASES} | {"UNKNOWN", "group", "signed"}
    assert set(fmt.__all__) == tested
