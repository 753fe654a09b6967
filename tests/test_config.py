"""Settings, secrets and places."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import msgspec
import pytest

from toolkit import config
from toolkit.config import SECTIONS, Secret, Settings, home, share
from toolkit.errors import BadData, BadSetting


class Engine(msgspec.Struct, frozen=True):
    clock: str = "wall"
    poll_s: float = 1.0
    throttle_per_s: int = 8


class Kite(msgspec.Struct, frozen=True):
    api_key: str = ""
    access_token: Secret = Secret("")


def load(
    tmp_path: Path, text: str = "", environ: dict[str, str] | None = None, **options: dict[str, object]
) -> Settings:
    if text:
        (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    return Settings.load(environ=environ or {}, options=options, folder=tmp_path)


def test_defaults_come_from_the_section_itself(tmp_path):
    assert load(tmp_path).section("engine", Engine) == Engine()


def test_later_places_win(tmp_path):
    text = "[engine]\nclock = 'venue'\npoll_s = 2.0\nthrottle_per_s = 3\n"
    environ = {"TOOLKIT_ENGINE__POLL_S": "0.5", "TOOLKIT_ENGINE__THROTTLE_PER_S": "4"}
    found = load(tmp_path, text, environ, engine={"throttle_per_s": 5}).section("engine", Engine)
    assert found == Engine(clock="venue", poll_s=0.5, throttle_per_s=5)


def test_the_process_environment_and_home_are_the_default_places(monkeypatch, tmp_path):
    (tmp_path / "config.toml").write_text("[engine]\npoll_s = 9.0\n", encoding="utf-8")
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path))
    monkeypatch.setenv("TOOLKIT_ENGINE__CLOCK", "venue")
    assert Settings.load().section("engine", Engine) == Engine(clock="venue", poll_s=9.0)


def test_other_variables_and_the_home_are_no_settings(tmp_path):
    environ = {"PATH": "/bin", "TOOLKIT_HOME": "/somewhere", "TOOLKITS_X": "1"}
    assert load(tmp_path, environ=environ).section("engine", Engine) == Engine()


@pytest.mark.parametrize(
    ("text", "environ", "options", "expected"),
    [
        ("[engine]\npol_s = 1.0\n", {}, {}, r"config.toml: \[engine\] has no setting 'pol_s'; did you mean 'poll_s'\?"),
        ("[engin]\npoll_s = 1.0\n", {}, {}, "config.toml: no section 'engin'; did you mean 'engine'"),
        ("poll_s = 1.0\n", {}, {}, "config.toml: 'poll_s' stands outside a section; put it under one of"),
        ("[engine\n", {}, {}, "config.toml: not valid TOML"),
        (
            "[engine]\npoll_s = 'fast'\n",
            {},
            {},
            r"config.toml: \[engine\] poll_s: expected `float`, got `str`, was 'fast'",
        ),
        ("", {"TOOLKIT_ENGINE__POLL_S": "x"}, {}, r"TOOLKIT_ENGINE__POLL_S: \[engine\] poll_s: .*was 'x'"),
        (
            "",
            {"TOOLKIT_ENGINE_POLL": "1"},
            {},
            "TOOLKIT_ENGINE_POLL names no setting; it needs a section and two underscores",
        ),
        ("", {"TOOLKIT_MOTOR__POLL_S": "1"}, {}, "TOOLKIT_MOTOR__POLL_S: no section 'motor'"),
        ("", {}, {"engine": {"polls": 1}}, r"command line: \[engine\] has no setting 'polls'; did you mean 'poll_s'"),
        ("", {}, {"engine": {"throttle_per_s": 1.5}}, r"command line: \[engine\] throttle_per_s: .*was 1.5"),
    ],
)
def test_a_bad_setting_names_its_place_and_the_nearest_key(tmp_path, text, environ, options, expected):
    with pytest.raises(BadSetting, match=expected) as caught:
        load(tmp_path, text, environ, **options).section("engine", Engine)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadSetting, match="not valid TOML"):
        Settings.load(environ={}, folder=tmp_path)


def test_the_sections_are_sorted_and_lower_case():
    assert sorted(SECTIONS) == list(SECTIONS)
    assert all(name == name.lower() for name in SECTIONS)


def test_a_secret_setting_is_never_shown(tmp_path):
    kite = load(tmp_path, "[kite]\naccess_token = 'tok-123'\n").section("kite", Kite)
    assert kite.access_token.reveal() == "tok-123"
    for shown in (repr(kite), str(kite), f"{kite.access_token}", f"{kite.access_token:>20}"):
        assert "tok-123" not in shown
        assert "Secret(***)" in shown


def test_a_secret_cannot_leave_by_pickle_copy_or_json():
    secret = Secret("tok-123")
    for leave in (pickle.dumps, copy.deepcopy, json.dumps, msgspec.json.encode):
        with pytest.raises(TypeError) as caught:
            leave(secret)
        assert "tok-123" not in str(caught.value)
    assert not hasattr(secret, "__dict__")


def test_an_empty_secret_is_false():
    assert not Secret("")
    assert Secret("x")


def test_home_is_named_by_the_environment_or_in_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLKIT_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.setenv("TOOLKIT_HOME", "~/desk")
    assert home() == Path.home() / "desk"
    monkeypatch.delenv("TOOLKIT_HOME")
    assert home() == Path.home() / ".local" / "share" / "toolkit"


def test_shared_files_are_found_and_missing_ones_refused():
    assert share("data", "tables", "lots.csv").is_file()
    with pytest.raises(BadData, match=r"no file data/tables/none.csv ships with this installation; install it again"):
        share("data", "tables", "none.csv")


def test_an_installed_wheel_goes_before_the_checkout(monkeypatch, tmp_path):
    package = tmp_path / "toolkit"
    inside = package / "_share" / "data"
    inside.mkdir(parents=True)
    (inside / "one.csv").write_text("x", encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one.csv").write_text("y", encoding="utf-8")
    (tmp_path / "data" / "two.csv").write_text("z", encoding="utf-8")
    monkeypatch.setattr(config, "files", lambda name: package)
    assert share("data", "one.csv") == inside / "one.csv"
    assert share("data", "two.csv") == tmp_path / "data" / "two.csv"
