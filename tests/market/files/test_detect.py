"""Formats told by their header, and any bytes read or refused in one line."""

from __future__ import annotations

import io

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.market.files import legacy, reading, recorded
from toolkit.market.files.detect import FORMATS, How, form_of, read_as, read_file
from toolkit.market.files.udiff import COLUMNS


def source(body: bytes, name: str = "x.csv") -> reading.Source:
    return reading.Source(name=name, sha256="0" * 64, body=body, modified_ns=0, path=name)


@pytest.mark.parametrize(
    ("parts", "form"),
    [
        (("data", "nse", "BhavCopy_NSE_FO_0_0_0_20250206_F_0000.csv.zip"), "udiff"),
        (("data", "nse", "fo_udiff_eod_202501.parquet"), "udiff"),
        (("data", "nse", "fo_legacy_20190801_partial.csv"), "legacy"),
        (("data", "nse", "chain_BANKNIFTY_20250827.parquet"), "nse-chain"),
        (("data", "nse", "fao_participant_oi_28072026.csv"), "participant"),
        (("data", "nse", "index_close_2025.csv"), "index-close"),
        (("data", "nse", "nifty_1min_iv_greeks_span_sample.parquet"), "candles"),
        (("fixtures", "kite", "instruments_all.csv"), "instruments"),
    ],
)
def test_each_real_file_is_recognised(shared, parts, form):
    assert form_of(reading.fetch(shared(*parts))) == form


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"a,b\n1,2\n", "first columns are a, b"),
        (b"Contract Type,Symbol,Expiry,Strike\n", "older BSE file"),
        (b"Market Summary Date,Session ID\n", "older BSE file"),
        (b"PAR1 nothing else", "damaged or truncated Parquet"),
        (b"\xff\xfe", "is not text"),
        (b"{}", "first columns are"),
    ],
)
def test_other_files_are_one_line(body, match):
    with pytest.raises(BadData, match=match) as caught:
        form_of(source(body))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("form", "columns", "lacking"),
    [
        ("udiff", COLUMNS, "TradDt"),
        ("legacy", legacy.COLUMNS, "INSTRUMENT"),
        ("nse-chain", recorded.REQUIRED, "Fetch_Time"),
    ],
)
def test_a_file_without_the_column_that_tells_its_format_names_it(form, columns, lacking):
    body = ",".join(c for c in columns if c != lacking) + "\n"
    for other in ("udiff", "legacy", "nse-chain"):
        with pytest.raises(
            BadData, match=f"missing column {lacking}$" if other == form else f"use 'toolkit import {form}'"
        ):
            read_as(other, source(body.encode()))


def test_a_parquet_file_without_rows_is_one_line():
    body = io.BytesIO()
    pl.DataFrame(schema=dict.fromkeys(recorded.REQUIRED, pl.Float64)).write_parquet(body)
    with pytest.raises(BadData, match=r"x\.csv holds no usable row \(the file has no rows\)"):
        read_as("nse-chain", source(body.getvalue()))


@pytest.mark.parametrize("form", [f for f in FORMATS if f not in ("udiff", "candles")])
def test_the_wrong_verb_names_the_right_one(form):
    body = (",".join(COLUMNS) + "\n").encode()
    with pytest.raises(BadData, match=f"x.csv is a UDiFF bhavcopy, not {FORMATS[form]}; use 'toolkit import udiff'"):
        read_as(form, source(body))


def test_a_file_that_is_no_session_by_itself_says_what_to_do(shared, tmp_path):
    for parts, verb in (
        (("fixtures", "kite", "instruments_all.csv"), "instruments"),
        (("data", "nse", "nifty_1min_iv_greeks_span_sample.parquet"), "candles"),
    ):
        with pytest.raises(BadData, match=f"not a session; put it in a store with 'toolkit import {verb}'"):
            read_file(shared(*parts))
    with pytest.raises(BadData, match="no file"):
        read_file(tmp_path / "nothing.parquet")


@pytest.mark.parametrize("cut", [0.2, 0.7, 0.999])
def test_a_truncated_parquet_is_one_line(shared, tmp_path, cut):
    raw = shared("data", "nse", "chain_BANKNIFTY_20250827.parquet").read_bytes()
    path = tmp_path / "chain.parquet"
    path.write_bytes(raw[: int(len(raw) * cut)])
    with pytest.raises(BadData, match="damaged or truncated Parquet") as caught:
        read_file(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.999])
def test_a_truncated_bhavcopy_is_one_line(shared, tmp_path, cut):
    raw = shared("data", "nse", "BhavCopy_NSE_FO_0_0_0_20250206_F_0000.csv.zip").read_bytes()
    path = tmp_path / "BhavCopy_NSE_FO_0_0_0_20250206_F_0000.csv.zip"
    path.write_bytes(raw[: int(len(raw) * cut)])
    with pytest.raises(BadData, match="damaged or truncated zip") as caught:
        read_file(path)
    assert "\n" not in str(caught.value)


HEADS = [
    b"",
    b"PAR1",
    b'{"records": ',
    b'{"data": {"candles": ',
    (",".join(COLUMNS) + "\n").encode(),
    b"Index Name,Index Date,Open Index Value,High Index Value,Low Index Value,Closing Index Value\n",
    b"Fetch_Time,Symbol,Expiry_Date,Strike_Price,CALLS_OI,PUTS_OI\n",
    b"INSTRUMENT,SYMBOL\n",
    b"Participant wise Open Interest as on Jul 28, 2026\nClient Type,",
    b"CALLS,,PUTS\n",
]


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from(HEADS),
    st.one_of(st.binary(max_size=120), st.text(alphabet='1,-"\n\r.aé:{}[]', max_size=120).map(str.encode)),
)
def test_any_bytes_behind_any_header_are_read_or_refused_in_one_line(tmp_path_factory, head, rest):
    path = tmp_path_factory.getbasetemp() / "hostile.csv"
    path.write_bytes(head + rest)
    message = ""
    try:
        read_file(path)
    except BadData as refused:
        message = str(refused)
    assert message
    assert "\n" not in message


def test_a_column_map_lets_any_header_be_a_chain():
    frame = pl.DataFrame({"when": ["2025-08-29 10:00:00"], "who": ["NIFTY"]})
    buffer = io.BytesIO()
    frame.write_csv(buffer)
    with pytest.raises(BadData, match="missing columns Expiry_Date"):
        read_as("nse-chain", source(buffer.getvalue()), How(columns={"Fetch_Time": "when", "Symbol": "who"}))
