"""The rules file: what is read, which line is wrong, and what stands when it cannot be trusted."""

from __future__ import annotations

import datetime as dt

import pytest

from toolkit import tables
from toolkit.errors import BadSetting
from toolkit.risk.guards import Facts
from toolkit.risk.limits import Limits, TradingState
from toolkit.risk.rulefile import Shut, described, parse, stand, standard
from toolkit.risk.rules import KINDS, RuleBook
from toolkit.risk.units import Rupees, Span

GOOD = """\
valid_until = 2026-12-31

[limits]
max_order_lots = 10
allowed_underlyings = ["NIFTY"]
[limits.by_contract.NIFTY]
max_net_lots = 4

[[rule]]
kind = "stoploss_guard"
losses = 3
window = "60 min"
lock = "30 min"

[[rule]]
kind = "cooldown"
name = "calm"
lock = "5 min"
"""
DAY = dt.date(2026, 2, 13)


def test_a_file_is_read_with_its_units():
    found = parse(GOOD, "rules.toml")
    guard, calm = found.rules
    assert (guard.name, calm.name, calm.kind.name) == ("stoploss_guard", "calm", "cooldown")
    assert (guard.params.window, guard.params.lock) == (3600 * 10**9, 1800 * 10**9)
    assert type(guard.params.window) is Span
    assert type(guard.params.min_loss) is Rupees
    assert found.valid_until == dt.date(2026, 12, 31)


def test_its_limits_stand_in_place_of_the_accounts():
    limits = parse(GOOD, "rules.toml").applied(Limits(max_slices=3))
    assert (limits.max_order_lots, limits.max_slices, limits.allowed_underlyings) == (10, 3, ("NIFTY",))
    assert limits.of("NIFTY 02SEP2025 24500 CE", "NIFTY", "max_net_lots") == 4
    assert limits.of("BANKNIFTY 30SEP2025 FUT", "BANKNIFTY", "max_net_lots") == 200


@pytest.mark.parametrize(
    ("was", "now", "error"),
    [
        ("losses = 3", "loses = 3", "rules.toml line 11: stoploss_guard has no parameter 'loses'; did you mean 'losses'"),
        ('"cooldown"', '"cooldwn"', "rules.toml line 16: no kind of rule 'cooldwn'; did you mean 'cooldown'?"),
        ("losses = 3", "losses = -3", "rules.toml line 11: stoploss_guard losses: must be a whole number from 0, was -3"),
        ("losses = 3", 'losses = "3"', "rules.toml line 11: stoploss_guard losses: expected `int`, got `str`, was '3'"),
        ("losses = 3", "losses = 3.5", "rules.toml line 11: stoploss_guard losses: expected `int`, got `float`, was 3.5"),
        ('lock = "5 min"', "lock = 5", "rules.toml line 18: cooldown lock: it must be a length of time such as '90 s'"),
        ('lock = "5 min"', 'lock = "5 Rs"', "rules.toml line 18: cooldown lock: it must be a length of time"),
        ('lock = "5 min"', 'lock = "0 s"', "rules.toml line 18: cooldown lock: a length of time must be above 0, was '0 s'"),
        ("max_order_lots", "max_order_lot", "rules.toml line 4: [limits] has no limit 'max_order_lot'; did you mean 'max_order_lots'"),
        ("max_order_lots = 10", "max_order_lots = -1", "rules.toml line 4: max_order_lots: risk limit max_order_lots must be"),
        ("max_order_lots = 10", "max_order_lots = nan", "rules.toml line 4: max_order_lots: expected `int`"),
        ("valid_until", "valid_til", "rules.toml line 1: no section or key 'valid_til'; did you mean 'valid_until'?"),
        ("2026-12-31", '"soon"', "rules.toml line 1: valid_until must be a date such as 2026-12-31, was 'soon'"),
        ("[limits]", "[limit]", "rules.toml line 3: no section or key 'limit'; did you mean 'limits'?"),
        ("[limits]", "[limits", "rules.toml: not valid TOML:"),
        ('name = "calm"', 'name = "stoploss_guard"', "rules.toml line 17: a second rule is named 'stoploss_guard'"),
        ('name = "calm"', 'name = "a\\nb"', "rules.toml line 17: a name is 1 to 40 letters"),
        ('kind = "cooldown"\n', "", "rules.toml line 15: a rule needs its kind: clock_skew,"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_the_line_and_the_nearest_word(was, now, error):
    assert was in GOOD
    with pytest.raises(BadSetting) as caught:
        parse(GOOD.replace(was, now, 1), "rules.toml")
    assert str(caught.value).startswith(error)
    assert "\n" not in str(caught.value)


def test_single_brackets_for_rules_are_refused():
    with pytest.raises(BadSetting, match=r"rules stand under \[\[rule\]\], with two brackets"):
        parse('[rule]\nkind = "cooldown"', "rules.toml")


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_kind_has_defaults_that_it_can_write_and_read_again(name):
    kind = KINDS[name]
    (rule,) = parse(f'[[rule]]\nkind = "{name}"', "rules.toml").rules
    assert rule.params == kind.params()
    shown = described(rule)
    assert shown["does"]
    assert shown["phase"] in ("order", "lock", "level")
    lines = [f'[[rule]]\nkind = "{name}"']
    for key in kind.params.__struct_fields__:
        if key in shown and shown[key] is not None and not isinstance(shown[key], list):
            value = shown[key]
            lines.append(f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}")
    assert parse("\n".join(lines), "again.toml").rules[0].params == rule.params


def stand_on(text, where="rules.toml", file_date=DAY, session=DAY):
    return stand(text, where, account="AB1234", session=session, file_date=file_date, breakers=tables.breakers())


def test_without_a_file_the_standard_rules_apply():
    guard, file = stand_on(None, where="")
    assert isinstance(guard, RuleBook)
    assert {"day_loss", "exchange_breaker", "feed_stale", "repeated_execution"} <= {r.kind.name for r in guard.rules}
    assert file.rules == guard.rules == standard(tables.breakers())


def test_a_file_adds_to_the_standard_rules_and_replaces_those_it_names():
    guard, _ = stand_on('[[rule]]\nkind = "day_loss"\nmax_loss = "7 lakh"')
    losses = [r for r in guard.rules if r.kind.name == "day_loss"]
    assert [r.params.max_loss for r in losses] == [70_000_000]
    assert len(guard.rules) == len(standard())


@pytest.mark.parametrize(
    ("text", "file_date", "line"),
    [
        (None, None, "rules.toml: cannot be read; write the file or take rules_file out of [risk]"),
        ("[[rule]]\nkind = 1", DAY, "rules.toml line 2: no kind of rule '1'"),
        ("][", DAY, "rules.toml: not valid TOML"),
        ("", DAY - dt.timedelta(days=1), "rules.toml: is good until 2026-02-12, older than the session of 2026-02-13;"),
        ("valid_until = 2026-02-12", DAY, "rules.toml: is good until 2026-02-12, older than the session"),
        ("", None, "rules.toml: is of an unknown day, older than the session"),
    ],
)
def test_a_broken_missing_or_old_file_stops_new_orders_with_one_line(afternoon, text, file_date, line):
    guard, _ = stand_on(text, file_date=file_date)
    assert isinstance(guard, Shut)
    (denial,) = guard.check(afternoon.request(), afternoon, 0)
    assert denial.rule == "rules_file"
    assert denial.text.startswith(line)
    assert "\n" not in denial.text
    trip = guard.watch(0, Facts())
    assert (trip.state, trip.until_ns) == (TradingState.HALTED, None)


@pytest.mark.parametrize("text", ["", "valid_until = 2026-02-13"])
def test_a_file_of_the_day_or_vouched_for_is_taken(text):
    age = dt.timedelta(days=0 if not text else 300)
    assert isinstance(stand_on(text, file_date=DAY - age)[0], RuleBook)
