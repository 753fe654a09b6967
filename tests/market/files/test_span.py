"""The parameter file of the clearing corporation: values as they are, bad files refused with their line."""

from __future__ import annotations

import datetime as dt
import io
import zipfile

import numpy as np
import polars as pl
import pytest

from toolkit.errors import BadData
from toolkit.market.files import reading
from toolkit.market.files.detect import How, form_of, read_as
from toolkit.market.files.span import read_span, revision_of
from toolkit.risk.span import composite_delta, risk_array
from toolkit.sim.spn import Portfolio, spn_text

DAY = dt.date(2026, 2, 13)
NEAR, FAR = dt.date(2026, 2, 24), dt.date(2026, 3, 30)
NIFTY = Portfolio(
    code="NIFTY",
    spot=25471.10,
    vol=0.1234,
    price_scan=2368.81,
    expiries=(NEAR, FAR),
    strikes=(25000.0, 25500.0),
    minimum=1.5,
)
SHARE = Portfolio(
    code="M&M", spot=3100.0, vol=0.31, price_scan=440.2, vol_scan=0.10, expiries=(NEAR,), strikes=(3102.5,)
)
TEXT = spn_text(DAY, (NIFTY, SHARE))


def source(text=TEXT, name="nsccl.20260213.s.spn"):
    body = text.encode("latin-1")
    return reading.Source(name=name, sha256="0" * 64, body=body, modified_ns=0, path=name)


def test_every_value_is_the_files():
    done = read_span(source())
    arrays = done.tables["margin_arrays"]
    assert (done.rows_read, done.rows_kept) == (13, 13)
    row = arrays.filter((pl.col("expiry") == NEAR) & (pl.col("strike_p") == 2550000) & (pl.col("option_type") == "CE"))
    ours = risk_array(1, 25500.0, 12 / 365, 25471.10, 0.1234, 0.065, 2368.81, 0.04, row["price"][0])
    assert np.abs(np.array(row["losses"][0]) - ours).max() <= 0.005 + 1e-9
    assert row["composite_delta"][0] == round(
        float(composite_delta(1, 25500.0, 12 / 365, 25471.10, 0.1234, 0.065, 2368.81)), 4
    )
    future = arrays.filter((pl.col("kind") == "future") & (pl.col("underlying") == "NIFTY") & (pl.col("expiry") == FAR))
    assert future["losses"][0][14] == pytest.approx(-0.35 * 2 * 2368.81, abs=0.005)
    assert future["strike_p"][0] is None


def test_inputs_and_spreads_are_read():
    done = read_span(source())
    nifty = done.tables["margin"].filter(pl.col("underlying") == "NIFTY").row(0, named=True)
    assert nifty == {
        "date": DAY, "underlying": "NIFTY", "exchange": "NSE", "revision": "s", "source": "nsccl.20260213.s.spn",
        "spot": 25471.10, "price_scan": 2368.81, "vol": 0.1234, "vol_scan": 0.04, "rate": 0.07, "short_option_minimum": 1.5,
    }  # fmt: skip
    spread = done.tables["margin_spreads"].row(0, named=True)
    assert (spread["near"], spread["far"], spread["rate"]) == (NEAR, FAR, pytest.approx(445.74, abs=0.01))


def test_only_the_wanted_symbols_are_kept():
    done = read_span(source(), underlyings=("m&m",))
    assert set(done.tables["margin_arrays"]["underlying"]) == {"M&M"}
    assert done.rows_read == 3
    assert done.options == (("underlyings", "M&M"),)


@pytest.mark.parametrize(
    ("name", "revision"),
    [("nsccl.20260213.i1.zip", "i1"), ("nsccl.20260213.i05.spn", "i5"), ("nsccl.20260213.s.spn", "s"), ("x.xml", "")],
)
def test_the_name_says_which_file_of_the_day(name, revision):
    assert revision_of(name) == revision


def test_a_file_without_a_revision_in_its_name_says_so():
    done = read_span(source(spn_text(DAY, (SHARE,), settled=False), "file.xml"))
    assert done.tables["margin"]["revision"][0] == "i1"
    assert "without a revision" in done.noted[0][0]


def test_bse_files_are_bses():
    done = read_span(source(spn_text(DAY, (NIFTY,), org="ICCL"), "BSERISK20260213-FINAL.XML"))
    assert set(done.tables["margin"]["exchange"]) == {"BSE"}
    assert set(done.tables["margin"]["revision"]) == {"s"}


def line_of(text, piece):
    return text[: text.index(piece)].count("\n") + 1


def test_a_cut_file_names_its_line():
    cut = TEXT[: TEXT.index("<opt>")]
    with pytest.raises(
        BadData, match=rf"nsccl.20260213.s.spn line {cut.count(chr(10)) + 1} column \d+: the XML is damaged"
    ):
        read_span(source(cut))


def test_a_spread_without_a_rate_names_its_line():
    text = TEXT.replace("<val>445.74</val>", "<val>x</val>")
    at = line_of(text, "<ccDef><cc>NIFTY")
    with pytest.raises(BadData, match=rf"line {at}: spread 1 of NIFTY must have two expiries and a rate, was 'x'"):
        read_span(source(text))


def test_an_underlying_without_a_price_names_its_line():
    text = TEXT.replace("<p>3100.00</p><d>1.0000</d><v>", "<p>-</p><d>1.0000</d><v>")
    with pytest.raises(BadData, match=rf"line {line_of(text, '<p>-</p>')}: price of M&M must be above zero, was '-'"):
        read_span(source(text))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("<k>25000.00</k>", "<k>x</k>", "strike is not a positive number of paise"),
        ("<o>C</o><k>25000.00</k>", "<o>X</o><k>25000.00</k>", "side is neither C nor P"),
    ],
)
def test_a_bad_contract_is_refused_and_counted(old, new, reason):
    done = read_span(source(TEXT.replace(old, new)))
    assert dict(done.refused)[reason] == TEXT.count(old)
    assert done.rows_read == done.rows_kept + sum(dict(done.refused).values())


def test_an_array_of_fifteen_is_refused():
    at = TEXT.index("<a>", TEXT.index("<opt>"))
    done = read_span(source(TEXT[:at] + TEXT[TEXT.index("</a>", at) + 4 :]))
    assert dict(done.refused) == {"no 16 scenario values": 1}


@pytest.mark.parametrize("bad", ["<!DOCTYPE x [<!ENTITY a 'b'>]>", "<!-- <!ENTITY -->"])
def test_entities_are_refused(bad):
    with pytest.raises(BadData, match="document type or entities"):
        read_span(source(TEXT.replace("<spanFile>", f"{bad}<spanFile>")))


def test_a_name_of_another_day_is_refused():
    with pytest.raises(BadData, match="is of 2026-02-13 inside, its name says 2026-02-16"):
        read_span(source(name="nsccl.20260216.s.spn"))


def test_a_symbol_that_is_not_there_names_the_nearest():
    with pytest.raises(BadData, match="has no NIFTTY; did you mean 'NIFTY'"):
        read_span(source(), underlyings=("NIFTTY",))


def test_a_zip_is_unpacked_and_known_by_its_header(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("nsccl.20260213.s.spn", TEXT)
    path = tmp_path / "nsccl.20260213.s.zip"
    path.write_bytes(packed.getvalue())
    fetched = reading.fetch(path)
    assert form_of(fetched) == "span"
    assert read_as("span", fetched, How(underlyings=("NIFTY",))).rows_kept == 10
    with pytest.raises(BadData, match="use 'toolkit import span'"):
        read_as("udiff", fetched)
