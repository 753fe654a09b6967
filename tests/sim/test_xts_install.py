"""The settings of an install: checked, named when wrong, all of them listed."""

from __future__ import annotations

import msgspec
import pytest

from toolkit.errors import BadData
from toolkit.sim.xts_install import Install, make_install, settings


def test_texts_go_over_named_values():
    made = make_install(["batch=whole", " packets = 4 ", "ping_ms=200"], profile="dealer_masked", batch="new")
    assert (made.batch, made.packets, made.ping_ms, made.dealer) == ("whole", 4, 200, True)
    assert make_install() == Install()
    assert not Install().dealer


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("batch", "must read NAME=VALUE, was 'batch'"),
        ("batch=", "must read NAME=VALUE"),
        ("bach=new", "no setting 'bach', did you mean 'batch'"),
        ("batch=hole", "one of new, whole, was 'hole'"),
        ("eio=5", "eio must be one of both, 3, 4, was '5'"),
        ("packets=0", "packets must be a number"),
        ("packets=many", "packets must be a number"),
        ("ping_ms=1", "ping_ms must be a number"),
        ("profile=dealer", "one of investor, dealer_masked, dealer_named, dealer_empty_positions"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(text, says):
    with pytest.raises(BadData) as told:
        make_install([text])
    assert says in str(told.value).replace("; did", ", did").replace(" (did", ", did")
    assert "\n" not in str(told.value)


def test_every_setting_is_listed_with_its_default_first():
    listed = settings()
    assert list(listed) == [field.name for field in msgspec.structs.fields(Install)]
    for name, text in listed.items():
        first = text.removeprefix("a number, ").split(", ")[0]
        assert first == str(getattr(Install(), name)), name


def test_every_listed_word_is_accepted():
    for name, text in settings().items():
        if not text.startswith("a number"):
            for word in text.split(", "):
                assert getattr(make_install([f"{name}={word}"]), name) == word
