"""The rules file that a user owns: TOML text in, checked rules out, errors that name the line.

.. code-block:: toml

    valid_until = 2026-12-31          # without it, the file must be of the session's day

    [limits]                          # any setting of [risk], in place of it
    max_order_lots = 10

    [[rule]]
    kind = "stoploss_guard"
    losses = 3
    window = "60 min"
    lock = "30 min"

    [[across]]                        # over the sum of all accounts of one process
    kind = "day_loss"
    max_loss = "50000 Rs"
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from toolkit.errors import BadData, BadSetting, nearest
from toolkit.risk import account, breaker, protections
from toolkit.risk.bands import Breakers
from toolkit.risk.guards import CoreView, Facts, Trip, Watcher
from toolkit.risk.limits import Limits, TradingState
from toolkit.risk.rules import KINDS, Kind, Rule, RuleBook
from toolkit.risk.units import decode, written
from toolkit.types import Denial, OrderRequest

__all__ = ["RuleFile", "Shut", "described", "parse", "stand", "standard"]

_ROOMS: Final = (account, breaker, protections)
"""Importing them registers their kinds of rules."""
_TOP: Final = ("limits", "rule", "across", "valid_until")
_STANDARD: Final = (
    "day_loss", "max_drawdown", "loss_speed", "repeated_execution", "reject_ratio", "message_rate", "unknown_orders",
    "exchange_breaker", "price_band", "feed_stale", "clock_skew", "journal_stall", "position_limit", "margin_used",
)  # fmt: skip
_ACROSS: Final = "across-"
_SUMMED: Final = (
    "day_loss", "max_drawdown", "loss_speed", "unknown_profit", "open_value", "margin_used", "net_greeks",
    "position_limit",
)  # fmt: skip
_STANDARD_ACROSS: Final = ("day_loss", "max_drawdown", "position_limit")


class RuleFile(msgspec.Struct, frozen=True):
    """A rules file as read: its rules, its limits by name, until when its owner stands by it, its rules of the sum."""

    where: str
    rules: tuple[Rule, ...]
    limits: Mapping[str, Any] = {}
    valid_until: dt.date | None = None
    across: tuple[Rule, ...] = ()

    def applied(self, limits: Limits) -> Limits:
        """The account's limits with this file's in place."""
        return msgspec.structs.replace(limits, **self.limits) if self.limits else limits


class Shut(Watcher):
    """Stops every new order, with one line: what stands where a rules file cannot be trusted."""

    name = "rules_file"

    def __init__(self, text: str) -> None:
        self.text = text

    def check(self, order: OrderRequest, core: CoreView, now_ns: int) -> tuple[Denial, ...]:
        """Deny everything that is not a cancel."""
        return (Denial("rules_file", "sound", "not sound", self.text),)

    def watch(self, now_ns: int, facts: Facts) -> Trip | None:
        """Halt."""
        return Trip(TradingState.HALTED, self.name, self.text, "mend the file and start again")


def standard(breakers: Breakers = Breakers(), **params: Mapping[str, Any]) -> tuple[Rule, ...]:  # noqa: B008
    """The rules of an account that has no rules file: each with its defaults, or ``params`` by kind."""
    made = []
    for name in _STANDARD:
        given = dict(params.get(name, {}))
        if name == "exchange_breaker":
            given["table"] = breakers
        made.append(Rule(name, KINDS[name], KINDS[name].params(**given)))
    return tuple(made)


def stand(
    text: str | None,
    where: str,
    *,
    account: str,
    session: dt.date,
    file_date: dt.date | None,
    breakers: Breakers = Breakers(),  # noqa: B008
    standard_params: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[RuleBook | Shut, RuleFile]:
    """What guards an account today, and the file behind it.

    Parameters
    ----------
    text : str or None
        The configured file's text; None when it is configured and could not be read.
        ``where`` empty: none is configured, and the standard rules apply.
    file_date : date or None
        The Indian date on which the file was last written.

    Returns
    -------
    RuleBook or Shut
        A broken file, a missing one and one older than the session shut the account, with one line.
    """
    usual = standard(breakers, **(standard_params or {}))
    together = tuple(
        Rule(f"{_ACROSS}{rule.name}", rule.kind, rule.params) for rule in usual if rule.name in _STANDARD_ACROSS
    )
    none = RuleFile(where, usual, across=together)
    if not where:
        return RuleBook(usual, account), none
    if text is None:
        return Shut(f"{where}: cannot be read; write the file or take rules_file out of [risk]"), none
    try:
        found = parse(text, where, breakers=breakers)
    except BadData as error:
        return Shut(str(error)), none
    good_until = found.valid_until or file_date
    if good_until is None or good_until < session:
        was = "of an unknown day" if good_until is None else f"good until {good_until}"
        line = f"{where}: is {was}, older than the session of {session}; look it over and save it, or set valid_until"
        return Shut(line), found
    named = {rule.kind.name for rule in found.rules}
    added = tuple(rule for rule in usual if rule.kind.name not in named)
    summed = {rule.kind.name for rule in found.across}
    across = (*found.across, *(rule for rule in together if rule.kind.name not in summed))
    rules = (*found.rules, *added)
    return RuleBook(rules, account), msgspec.structs.replace(found, rules=rules, across=across)


def parse(text: str, where: str, *, breakers: Breakers = Breakers()) -> RuleFile:  # noqa: B008
    """Read a rules file.

    Raises
    ------
    BadSetting
        One line that names the file, the line, the word and the nearest known one.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSetting(f"{where}: not valid TOML: {error}; mend the line") from None
    lines = _Lines(where, text)
    for key in tree:
        if key not in _TOP:
            raise lines.bad(("", 0), key, f"no section or key '{key}'{nearest(key, _TOP)}")
    until = tree.get("valid_until")
    if until is not None and type(until) is not dt.date:
        raise lines.bad(("", 0), "valid_until", f"valid_until must be a date such as 2026-12-31, was {until!r}")
    limits = _limits(tree.get("limits", {}), lines)
    rules, across = (_rules(tree, section, lines, breakers) for section in ("rule", "across"))
    return RuleFile(where, rules, limits, until, across)


def described(rule: Rule) -> dict[str, object]:
    """A rule as it would stand in the file, with what it does."""
    shown = {name: written(getattr(rule.params, name)) for name in rule.params.__struct_fields__ if name != "table"}
    return {"name": rule.name, "kind": rule.kind.name, "phase": rule.kind.phase, **shown, "does": rule.kind.does}


def _limits(given: Any, lines: _Lines) -> dict[str, Any]:
    fields = {f.name: f for f in msgspec.structs.fields(Limits)}
    made: dict[str, Any] = {}
    for key, value in given.items():
        if key not in fields:
            raise lines.bad(("limits", 0), key, f"[limits] has no limit '{key}'{nearest(key, fields)}")
        try:
            made[key] = msgspec.convert(value, fields[key].type)
            Limits(**{key: made[key]})
        except (msgspec.ValidationError, BadData) as error:
            raise lines.bad(("limits", 0), key, f"{key}: {str(error).lower()}, was {value!r}") from None
    return made


def _rules(tree: Mapping[str, Any], section: str, lines: _Lines, breakers: Breakers) -> tuple[Rule, ...]:
    entries = tree.get(section, [])
    if not isinstance(entries, list):
        raise lines.bad((section, 0), "", f"rules stand under [[{section}]], with two brackets")
    rules = tuple(_rule(entry, (section, n), lines, breakers) for n, entry in enumerate(entries))
    names = [rule.name for rule in rules]
    for n, name in enumerate(names):
        if name in names[:n]:
            raise lines.bad((section, n), "name", f"a second rule is named '{name}'; give it a name of its own")
    return rules


def _rule(entry: Mapping[str, Any], at: tuple[str, int], lines: _Lines, breakers: Breakers) -> Rule:
    word = entry.get("kind")
    if word is None:
        raise lines.bad(at, "", f"a rule needs its kind: {', '.join(sorted(KINDS))}")
    if word not in KINDS:
        near = nearest(str(word), KINDS) or f"; known: {', '.join(sorted(KINDS))}"
        raise lines.bad(at, "kind", f"no kind of rule '{word}'{near}")
    kind = KINDS[word]
    if at[0] == "across" and word not in _SUMMED:
        raise lines.bad(at, "kind", f"{word} looks at one account; [[across]] takes {', '.join(_SUMMED)}")
    fields = {f.name: f for f in msgspec.structs.fields(kind.params) if f.name != "table"}
    given: dict[str, Any] = {"table": breakers} if kind.name == "exchange_breaker" else {}
    for key, value in entry.items():
        if key in ("kind", "name"):
            continue
        if key not in fields:
            raise lines.bad(at, key, f"{word} has no parameter '{key}'{nearest(key, fields)}")
        given[key] = _value(kind, key, fields[key].type, value, lines, at)
    name = entry.get("name", word)
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_ -]{1,40}", name):
        raise lines.bad(at, "name", f"a name is 1 to 40 letters, digits, spaces, - and _, was {name!r}")
    return Rule(f"{_ACROSS}{name}" if at[0] == "across" else name, kind, kind.params(**given))


def _value(kind: Kind, key: str, want: Any, value: Any, lines: _Lines, at: tuple[str, int]) -> Any:
    try:
        made = msgspec.convert(value, want, dec_hook=decode)
    except (msgspec.ValidationError, BadData) as error:
        text = re.sub(r"[;,] was .*| - at .*", "", str(error))
        raise lines.bad(at, key, f"{kind.name} {key}: {text[0].lower()}{text[1:]}, was {value!r}") from None
    if type(made) is int and made < 0:
        raise lines.bad(at, key, f"{kind.name} {key}: must be a whole number from 0, was {value!r}")
    return made


class _Lines:
    """Where the keys of a TOML text stand."""

    def __init__(self, where: str, text: str) -> None:
        self._where = where
        self._heads: dict[tuple[str, int], int] = {("", 0): 1}
        self._keys: dict[tuple[str, int, str], int] = {}
        seen: dict[str, int] = {}
        section = ("", 0)
        for number, line in enumerate(text.splitlines(), start=1):
            head = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line)
            if head is not None:
                name = head[1].split(".")[0].strip("\"' ")
                if line.lstrip().startswith("[[") or name not in seen:
                    seen[name] = seen.get(name, -1) + 1
                section = (name, seen[name])
                self._heads.setdefault(section, number)
                self._keys.setdefault(("", 0, name), number)
                continue
            key = re.match(r"\s*[\"']?([A-Za-z0-9_-]+)[\"']?\s*[=.]", line)
            if key is not None:
                self._keys.setdefault((*section, key[1]), number)

    def bad(self, at: tuple[str, int], key: str, text: str) -> BadSetting:
        """The error at a key, or at its section where the key cannot be found."""
        line = self._keys.get((*at, key), self._heads.get(at, 1))
        return BadSetting(f"{self._where} line {line}: {text}")


def locked_lines(book: RuleBook, now_ns: int) -> Iterable[str]:
    """The locks in force, one line each."""
    for lock in book.locks(now_ns):
        yield f"{lock.lock_id}: {lock.scope} {lock.state} by {lock.rule}: {lock.text}; {lock.rearm}"
