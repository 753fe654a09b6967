"""Containers, text to columns, and the account of each row."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import io
import zipfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.market.files import reading
from toolkit.market.files.reading import (
    Imported,
    check_exists,
    csv_frame,
    dates_in_name,
    day,
    fetch,
    header_of,
    number,
    require,
    sift,
    text_of,
    whole,
)

BODY = b"a,b\n1,2\n3,4\n"


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members:
            archive.writestr(name, body)
    return buffer.getvalue()


def outcome(call):
    """What a call gave, or the text of its BadData; any other exception is a failure of the test."""
    try:
        return call(), ""
    except BadData as refused:
        return None, str(refused)


def write(tmp_path: Path, name: str, body: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(body)
    return path


@pytest.mark.parametrize(
    ("name", "raw"),
    [("x.csv", BODY), ("x.csv.gz", gzip.compress(BODY)), ("x.csv.zip", zipped(("x.csv", BODY))), ("x.CSV", BODY)],
    ids=lambda value: value if isinstance(value, str) else "raw",
)
def test_each_container_gives_the_same_bytes_and_the_hash_of_the_file(tmp_path, name, raw):
    source = fetch(write(tmp_path, name, raw))
    assert source.body == BODY
    assert source.sha256 == hashlib.sha256(raw).hexdigest()
    assert source.name == name


def big_member() -> bytes:
    raw = bytearray(zipped(("x.csv", BODY)))
    at = raw.find(b"PK\x01\x02")
    raw[at + 24 : at + 28] = (0xF0000000).to_bytes(4, "little")
    return bytes(raw)


def encrypted() -> bytes:
    raw = bytearray(zipped(("x.csv", BODY)))
    for mark, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.find(mark) + flag] |= 1
    return bytes(raw)


@pytest.mark.parametrize(
    ("name", "raw", "text"),
    [
        ("x.zip", b"plain text, no archive", "is not a zip file"),
        ("x.zip", zipped(("x.csv", BODY * 999))[:-40], "damaged or truncated zip"),
        ("x.zip", zipped(("x.csv", BODY * 999))[:60], "damaged or truncated zip"),
        ("x.zip", zipped(("a.csv", BODY), ("b.csv", BODY)), "holds 2 files"),
        ("x.zip", zipped(), "holds 0 files"),
        ("x.zip", zipped(("../../etc/x.csv", BODY)), "member named"),
        ("x.zip", zipped(("/etc/x.csv", BODY)), "member named"),
        ("x.zip", big_member(), "unpacks to 4026531840 bytes"),
        ("x.zip", encrypted(), "damaged or truncated zip"),
        ("x.csv.gz", b"plain", "is not a gzip file"),
        ("x.csv.gz", gzip.compress(BODY * 999)[:-30], "damaged gzip"),
        ("x.csv", b"", "is empty"),
        ("x.csv", b"\xef\xbb\xbf \r\n", "is empty"),
        ("x.zip", b"", "is empty"),
        ("x.csv", b"\n <!DOCTYPE html><html>404</html>", "web page"),
        ("x.zip", b"<html>404</html>", "web page"),
        ("x.csv.gz", gzip.compress(b"<html>404</html>"), "web page"),
    ],
    ids=lambda value: value if isinstance(value, str) else "raw",
)
def test_a_bad_container_is_one_line_that_names_the_file(tmp_path, name, raw, text):
    with pytest.raises(BadData, match=text) as caught:
        fetch(write(tmp_path, name, raw))
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_missing_file_and_a_folder_are_one_line(tmp_path):
    with pytest.raises(BadData, match="no file"):
        fetch(tmp_path / "nothing.zip")
    with pytest.raises(BadData, match="is not a file"):
        check_exists(tmp_path)


def test_an_unreadable_file_is_one_line(tmp_path, monkeypatch):
    path = write(tmp_path, "x.csv", BODY)

    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(BadData, match=r"cannot read .*Permission denied"):
        fetch(path)


def test_an_unpacked_file_over_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_BYTES", 100)
    for name, raw in (("x.gz", gzip.compress(b"a" * 101)), ("x.zip", zipped(("x", b"a" * 101)))):
        with pytest.raises(BadData, match="unpacks to"):
            fetch(write(tmp_path, name, raw))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["", "PK\x03\x04", "\x1f\x8b\x08"]))
def test_any_bytes_are_read_or_refused(tmp_path_factory, body, head):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(head.encode("latin-1") + body)
    source, text = outcome(lambda: fetch(path))
    assert "\n" not in text
    assert source is None or source.body


def test_names_lose_blanks_quotes_and_the_mark():
    frame = csv_frame(b'\xef\xbb\xbf"Client Type" , Future  ,x\r\nFII,1,2\r\n', "f")
    assert frame.columns == ["Client Type", "Future", "x"]
    assert frame.row(0) == ("FII", "1", "2")


def test_a_trailing_comma_in_rows_only_is_accepted_when_it_is_empty():
    assert csv_frame(b"a,b\n1,2,\n3,4,\n", "f").rows() == [("1", "2"), ("3", "4")]
    with pytest.raises(BadData, match="1 rows with more fields than its header's 2"):
        csv_frame(b"a,b\n1,2,\n3,4,5\n", "f")


def test_a_trailing_comma_in_the_header_makes_an_unnamed_column():
    assert csv_frame(b"a,b,\n1,2,\n", "f").columns == ["a", "b", "blank_2"]


def test_short_rows_are_null_and_blank_rows_are_dropped():
    frame = csv_frame(b"a,b,c\n1,2,3\n\n4\n,,\n", "f")
    assert frame.rows() == [("1", "2", "3"), ("4", None, None)]


def test_a_header_without_rows_is_an_empty_frame():
    frame = csv_frame(b"a,b\n", "f")
    assert frame.columns == ["a", "b"]
    assert frame.height == 0


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"a,a\n1,2\n", "the column 'a' twice"),
        (b"\xff\xfe\x00a", "is not text"),
        (b"a,b\n1,\x00\n", "zero byte"),
        (b",,\n1,2,3\n", "no header line"),
        (b'a,b\n1,"2\n', "not a regular csv"),
    ],
)
def test_bad_text_is_one_line(body, text):
    with pytest.raises(BadData, match=text) as caught:
        csv_frame(body, "f")
    assert "\n" not in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(alphabet='a1,"\n\r -.\x00é', max_size=120).map(str.encode)))
def test_any_csv_bytes_are_a_frame_or_refused(body):
    frame, text = outcome(lambda: csv_frame(body, "f"))
    assert "\n" not in text
    if frame is not None:
        assert all(kind == pl.String for kind in frame.dtypes)
        assert len(set(frame.columns)) == frame.width


def test_the_header_is_read_without_the_rows():
    assert header_of(b'\xef\xbb\xbf"a" , b\r\n\xff\xff', "f") == ["a", "b"]
    assert text_of(b"a\r\nb\rc", "f") == "a\nb\nc"


def test_missing_columns_are_named():
    with pytest.raises(BadData, match=r"x is not a thing: missing columns c, d$"):
        require(pl.DataFrame({"a": [1]}), ["a", "c", "d"], "x", "a thing")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,64,984", 164984.0),
        (" 12.50 ", 12.5),
        ("-", None),
        ("", None),
        (".39", 0.39),
        ("-.34", -0.34),
        ('"1,2"', 12.0),
        ("abc", None),
        ("inf", None),
        ("nan", None),
        ("1e3", 1000.0),
    ],
)
def test_numbers(text, value):
    frame = pl.DataFrame({"x": [text]})
    assert frame.select(number(frame, "x")).item() == value


def test_whole_numbers_are_exact_or_null():
    frame = pl.DataFrame({"x": ["1675780.0", "1.5", "9007199254740993", "-3", ""]})
    assert frame.select(whole(frame, "x")).to_series().to_list() == [1675780, None, None, -3, None]
    typed = pl.DataFrame({"x": [2**60]})
    assert typed.select(whole(typed, "x")).item() == 2**60


def test_days_in_any_case_and_form():
    frame = pl.DataFrame({"x": ["29-AUG-2019", "29-Aug-2019", "2019-08-29", "soon"]})
    found = frame.select(day(frame, "x", "%d-%b-%Y", "%Y-%m-%d")).to_series().to_list()
    assert found == [dt.date(2019, 8, 29)] * 3 + [None]
    typed = pl.DataFrame({"x": [dt.datetime(2019, 8, 29, 15, 30)], "y": [7]})
    assert typed.select(day(typed, "x")).item() == dt.date(2019, 8, 29)
    assert typed.select(day(typed, "y")).item() is None


@pytest.mark.parametrize(
    ("name", "dates"),
    [
        ("BhavCopy_NSE_FO_0_0_0_20250206_F_0000.csv.zip", [dt.date(2025, 2, 6)]),
        ("fo01AUG2019bhav.csv", [dt.date(2019, 8, 1)]),
        ("fao_participant_oi_28072026.csv", [dt.date(2026, 7, 28)]),
        ("ind_close_all_03032025.csv", [dt.date(2025, 3, 3)]),
        ("fo_udiff_eod_20260101_20260213.parquet", [dt.date(2026, 1, 1), dt.date(2026, 2, 13)]),
        ("fo_udiff_eod_202501.parquet", []),
        ("x99992025.csv", []),
    ],
)
def test_dates_in_file_names(name, dates):
    assert dates_in_name(name) == dates


def test_sifting_names_the_first_broken_rule_and_loses_no_row():
    frame = pl.DataFrame({"x": [1, -1, None, 200, -300]})
    kept, refused = sift(frame, {"below": pl.col("x") < 0, "big": pl.col("x").abs() > 100})
    assert kept["x"].to_list() == [1, None]
    assert refused == (("below", 2), ("big", 1))
    assert sift(frame, {}) == (frame, ())


@given(st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=30))
def test_sifting_accounts_for_every_row(values):
    frame = pl.DataFrame({"x": values}, schema={"x": pl.Int64})
    kept, refused = sift(frame, {"low": pl.col("x") < -2, "high": pl.col("x") > 2})
    assert kept.height + sum(n for _, n in refused) == len(values)
    assert all(v is None or -2 <= v <= 2 for v in kept["x"])


def test_an_account_that_loses_rows_cannot_be_made():
    with pytest.raises(AssertionError, match="1 rows are not accounted for"):
        Imported(format="x", name="f", sha256="", rows_read=3, rows_kept=1, tables={}, refused=(("bad", 1),))


def test_unreadable_cells_are_told_from_blank_ones():
    frame = pl.DataFrame(
        {
            "text": ["1,234.5", "-", "", None, "NaN?", "inf", "abc"],
            "float": [1.0, float("nan"), float("inf"), None, -float("inf"), 0.0, 2.0],
            "whole": [1, 2, 3, None, 5, 6, 7],
        }
    )
    assert reading.unreadable(frame, ["text"]) == 3
    assert reading.unreadable(frame, ["float"]) == 2
    assert reading.unreadable(frame, ["whole", "absent"]) == 0
    assert reading.unreadable(frame, frame.columns) == 5
    assert reading.unreadable(frame.head(0), frame.columns) == 0
