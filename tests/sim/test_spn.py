"""The synthetic parameter file says what it is, and is well-formed XML in the published rounding."""

from __future__ import annotations

import datetime as dt
import re
import xml.etree.ElementTree as ET

from toolkit.sim.spn import Portfolio, spn_text

DAY, EXPIRY = dt.date(2026, 2, 13), dt.date(2026, 2, 24)
ONE = Portfolio(code="M&M", spot=3100.0, vol=0.31, price_scan=440.2, expiries=(EXPIRY,), strikes=(3100.0,))


def test_it_says_that_it_is_made_up():
    assert "SYNTHETIC" in spn_text(DAY, [ONE])


def test_it_is_whole_xml_with_windows_line_ends():
    text = spn_text(DAY, [ONE])
    assert text.count("\n") == text.count("\r\n")
    root = ET.fromstring(text.encode("latin-1"))
    assert root.findtext("pointInTime/date") == "20260213"
    assert root.findtext("pointInTime/isSetl") == "1"
    assert {code.text for code in root.iter("pfCode")} == {"M&M"}
    assert all(len(ra.findall("a")) == 16 for ra in root.iter("ra"))


def test_values_have_two_decimals_and_deltas_four():
    text = spn_text(DAY, [ONE])
    assert all(re.fullmatch(r"-?\d+\.\d\d", value) for value in re.findall(r"<a>(.*?)</a>", text))
    assert all(re.fullmatch(r"-?\d\.\d{4}", value) for value in re.findall(r"<d>(.*?)</d>", text))


def test_an_intraday_file_is_no_settlement():
    assert "<isSetl>0</isSetl>" in spn_text(DAY, [ONE], settled=False)
