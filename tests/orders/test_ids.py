from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import BadData
from toolkit.orders.ids import LONGEST, check, make, sequence

DAY = dt.date(2025, 8, 29)


@given(st.dates(dt.date(2000, 1, 1), dt.date(2099, 12, 31)), st.text(), st.integers(1, 36**5 - 1))
def test_an_id_fits_every_broker_and_gives_its_sequence_back(day, account, number):
    made = make(day, account, number)
    check(made)
    assert len(made) == 15 <= LONGEST
    assert sequence(made, day, account) == number


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_ids_differ_and_sort_by_sequence(a, b):
    assert (make(DAY, "A", a) < make(DAY, "A", b)) == (a < b)


def test_days_and_accounts_differ():
    assert make(DAY, "A", 1) != make(DAY, "B", 1) != make(DAY + dt.timedelta(1), "B", 1)


@pytest.mark.parametrize("other", ["", "USER1", make(DAY, "B", 9), make(DAY, "A", 9) + "0", make(DAY, "A", 9)[:-1]])
def test_an_id_of_others_has_no_sequence(other):
    assert sequence(other, DAY, "A") == 0


@pytest.mark.parametrize("bad", ["", "A" * 21, "a-b", "a b", "\u0661", "A\n", None, 5])
def test_malformed_ids_are_refused(bad):
    with pytest.raises(BadData, match="1 to 20 ASCII letters and digits"):
        check(bad)
