"""From a plan to a running install and its ready line."""

from __future__ import annotations

import pytest

from toolkit.config import share
from toolkit.errors import BadData
from toolkit.sim.servers.record import read_record
from toolkit.sim.servers.xts_run import XtsPlan, make_xts, xts_ready


def plan(tmp_path, **more):
    return XtsPlan(session=share("data", "sample"), at="11:05", speed=0.0, record=tmp_path / "r.jsonl", **more)


@pytest.mark.parametrize(
    ("profile", "account", "mode", "clients"),
    [
        ("investor", "ABC12", "omit", ["ABC12"]),
        ("dealer_named", "CLI01", "client_code", ["CLI01", "CLI02"]),
        ("dealer_masked", "CLI01", "masked", ["CLI01", "CLI02"]),
        ("dealer_empty_positions", "CLI01", "client_code", ["CLI01", "CLI02"]),
    ],
)
async def test_the_ready_line_holds_what_a_client_needs(tmp_path, profile, account, mode, clients):
    wanted = plan(tmp_path, profile=profile, account="ABC12", faults=("silent",), settings=("packets=3", "md=binary"))
    server = make_xts(wanted)
    await server.start(0)
    line = xts_ready(server, wanted)
    await server.stop()
    assert (line["state"], line["account"], line["clients"], line["now"][:19]) == (
        "ready",
        account,
        clients,
        "2026-07-13T11:05:00",
    )
    assert line["url"] == line["env"]["TOOLKIT_XTS__ROOT"] == line["env"]["TOOLKIT_XTS__MD_ROOT"] == server.app.base
    assert (line["env"]["TOOLKIT_XTS__CLIENT_ID"], line["env"]["TOOLKIT_XTS__CLIENT_ID_MODE"]) == (account, mode)
    assert line["env"]["TOOLKIT_XTS__MD_PREFIX"] == "apibinarymarketdata"
    assert server.app.install.packets == 3
    assert [fault.name for fault in server.faults.faults] == ["silent"]
    rows = read_record(tmp_path / "r.jsonl")
    assert [row["kind"] for row in rows] == ["start", "stop"]
    assert server.app.secret_key not in (tmp_path / "r.jsonl").read_text()


async def test_the_env_is_what_our_own_settings_read(tmp_path, monkeypatch):
    from toolkit.brokers.xts_settings import xts_settings

    wanted = plan(tmp_path)
    server = make_xts(wanted)
    await server.start(0)
    for name, value in xts_ready(server, wanted)["env"].items():
        monkeypatch.setenv(name, value)
    settings = xts_settings()
    await server.stop()
    assert (settings.root, settings.secret_key.reveal()) == (server.app.base, server.app.secret_key)
    assert (settings.md_prefix, settings.source, settings.client_id_mode) == ("apimarketdata", "WEBAPI", "omit")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"profile": "dealr_named"}, "did you mean 'dealer_named'"),
        ({"eio": "5"}, "eio must be one of both, 3, 4"),
        ({"format": "xml"}, "format must be one of json, binary"),
        ({"settings": ("batsh=new",)}, "did you mean 'batch'"),
        ({"faults": ("cut-befor",)}, "did you mean 'cut-before'"),
    ],
)
def test_a_wrong_plan_leaves_nothing_behind(tmp_path, more, says):
    with pytest.raises(BadData, match=says):
        make_xts(plan(tmp_path, **more))
    assert list(tmp_path.iterdir()) == []
