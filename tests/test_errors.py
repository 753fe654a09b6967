"""The error tree: what each class lets the caller do."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import errors
from toolkit.errors import (
    AuthExpired,
    BadData,
    BadSetting,
    Halted,
    Refused,
    Retryable,
    RiskDenied,
    ToolkitError,
    Unknown,
    UnknownSymbol,
    nearest,
)

CLASSES = [getattr(errors, name) for name in errors.__all__ if name != "nearest"]


def drawn_tree() -> list[tuple[str, int]]:
    """Names and depths as drawn at the top of the module."""
    assert errors.__doc__ is not None
    lines = re.findall(r"^ {4}((?:[|`]-- |\|   |    )*)([A-Z]\w+)  ", errors.__doc__, re.MULTILINE)
    return [(name, len(indent) // 4) for indent, name in lines]


def test_the_drawn_tree_is_the_real_one():
    drawn = drawn_tree()
    assert sorted(name for name, _ in drawn) == sorted(cls.__name__ for cls in CLASSES)
    for name, depth in drawn:
        mro = [cls for cls in getattr(errors, name).__mro__ if issubclass(cls, ToolkitError)]
        assert len(mro) - 1 == depth, name


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_class_is_caught_at_the_edge(cls):
    assert issubclass(cls, ToolkitError)
    assert cls.__doc__


@pytest.mark.parametrize(
    ("cls", "code"),
    [(ToolkitError, 1), (BadData, 1), (BadSetting, 2), (UnknownSymbol, 1), (RiskDenied, 3), (Refused, 3), (AuthExpired, 3),
     (Unknown, 4), (Retryable, 1), (Halted, 3)],
)  # fmt: skip
def test_exit_codes_are_those_of_the_command(cls, code):
    assert cls.exit_code == code


def test_a_refusal_is_certain_and_an_unknown_outcome_is_not():
    assert not issubclass(Unknown, Refused)
    assert not issubclass(Refused, Unknown)
    assert not issubclass(RiskDenied, Refused)
    assert issubclass(AuthExpired, Refused)


def test_bad_data_is_a_value_error_for_callers_who_expect_one():
    with pytest.raises(ValueError, match="strike must be positive"):
        raise BadData("strike must be positive, was -1")


def test_risk_denied_carries_rule_limit_and_value():
    denied = RiskDenied("max_order_qty", 1755, 1800, "order_qty must be at most 1755, was 1800")
    assert (denied.rule, denied.limit, denied.value) == ("max_order_qty", 1755, 1800)
    assert str(denied) == "order_qty must be at most 1755, was 1800"


@pytest.mark.parametrize(
    ("word", "known", "text"),
    [
        ("stopp", ["stop", "lots"], "; did you mean 'stop'?"),
        ("zzz", ["stop"], ""),
        ("stop", [], ""),
        ("nifty", ["NIFTY", "SENSEX"], "; did you mean 'NIFTY'?"),
        ("a", ["A", "a"], "; did you mean 'a'?"),
        ("lot", ["lots", "slot"], "; did you mean 'slot' or 'lots'?"),
    ],
)
def test_nearest(word, known, text):
    assert nearest(word, known) == text


def test_nearest_tells_all_where_none_is_near():
    assert nearest("zzz", ("stop", "lots"), tell=True) == "; known: stop, lots"
    assert nearest("stopp", ("stop", "lots"), tell=True) == "; did you mean 'stop'?"


def test_nearest_names_as_many_as_asked():
    known = ["aaab", "aaac", "aaad", "aaae"]
    assert nearest("aaaa", known).count("'") == 6
    assert nearest("aaaa", known, most=1).count("'") == 2


@given(st.text(max_size=12), st.lists(st.text(max_size=12), max_size=8))
def test_nearest_names_only_known_words_on_one_line(word, known):
    text = nearest(word, iter(known))
    assert text == "" or any(f"'{name}'" in text for name in known)
    if word in known:
        assert f"'{word}'" in text
