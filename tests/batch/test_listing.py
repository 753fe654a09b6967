import datetime as dt
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from toolkit.batch.listing import final_level, listed
from toolkit.calendar import ist_ns
from toolkit.config import share
from toolkit.errors import BadData
from toolkit.market.chain import build_day
from toolkit.store.session import open_session
from toolkit.types import Kind, OptionType

DAY = dt.date(2026, 7, 13)
NEAR = dt.date(2026, 7, 14)


@pytest.fixture(scope="module")
def session():
    return open_session(share("data", "sample"))


@pytest.fixture(scope="module")
def chain(session):
    rows = session.frame("chain", "NIFTY", DAY).filter(expiry=NEAR)
    return build_day(rows.head(2_000), lambda expiry: ist_ns(expiry, dt.time(15, 30)))


class Wrapped:
    """A session whose instruments or end-of-day table a test may change."""

    name = "wrapped"

    def __init__(self, session, instruments=None, eod=None):
        self.session, self._instruments, self._eod = session, instruments, eod

    def instruments(self):
        return self.session.instruments() if self._instruments is None else self._instruments

    def frame(self, table, underlying):
        return self._eod if self._eod is not None else self.session.frame(table, underlying)


def test_every_contract_of_the_underlying_is_listed_with_its_terms(session, chain):
    found = listed(session, chain, DAY)
    assert {i.underlying for i in found.values()} == {"NIFTY"}
    assert {i.kind for i in found.values()} == {Kind.OPTION, Kind.FUTURE}
    one = found["NIFTY 14JUL2026 25500 CE"]
    assert (one.lot, one.tick_p, one.strike_p, one.option_type) == (65, 5, 2_550_000, OptionType.CE)
    assert (one.exchange, one.expiry, one.freeze_qty) == ("NSE", NEAR, 1800)
    assert len({i.instrument_id for i in found.values()}) == len(found)
    assert len({i.token for i in found.values()}) == len(found)
    assert list(found) == sorted(found)


def test_expired_contracts_are_not_listed(session, chain):
    later = listed(session, chain, NEAR + dt.timedelta(days=1))
    assert later
    assert all(i.expiry > NEAR for i in later.values())


def test_terms_of_a_later_day_are_not_used(session, chain):
    rows = session.instruments()
    changed = rows.with_columns(valid_on=pl.lit(DAY + dt.timedelta(days=1)), lot=pl.lit(1, pl.Int32))
    found = listed(Wrapped(session, pl.concat([rows, changed])), chain, DAY)
    assert found["NIFTY 14JUL2026 25500 CE"].lot == 65


def test_a_session_without_contracts_or_ticks_is_refused(session, chain):
    none = session.instruments().filter(underlying="SENSEX")
    with pytest.raises(BadData, match="session wrapped names no contract of NIFTY on 2026-07-13"):
        listed(Wrapped(session, none), chain, DAY)
    unknown = session.instruments().with_columns(tick_p=pl.lit(None, pl.Int32))
    with pytest.raises(BadData, match="no tick size of NIFTY"):
        listed(Wrapped(session, unknown), chain, DAY)


def eod(session, value):
    rows = session.frame("eod", "NIFTY").head(1)
    return rows.with_columns(date=pl.lit(NEAR), expiry=pl.lit(NEAR), final_settlement=pl.lit(value, pl.Float64))


def test_the_official_value_goes_before_spot_and_forward(session, chain):
    level, source = final_level(Wrapped(session, eod=eod(session, 25_510.5)), chain, NEAR)
    assert (level, source) == (25_510.5, "the official settlement value")


def test_the_last_spot_then_the_last_forward_stand_in(session, chain):
    nothing = Wrapped(session, eod=eod(session, None))
    level, source = final_level(nothing, chain, NEAR)
    assert level == chain.spot[-1]
    assert "last recorded spot" in source
    blind = replace(chain, spot=np.full(len(chain.spot), np.nan))
    level, source = final_level(nothing, blind, NEAR)
    assert level == chain.days[NEAR].forward[-1]
    assert "last forward" in source
    assert final_level(nothing, blind, DAY) == (None, "")
