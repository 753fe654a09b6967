"""Each point that the notes on the XTS wire call UNSURE, and the tests that hold each of its variants.

The table is held to the notes (every line with that word is here) and to the tests (every name is a test), so that
no point can be without one. Where the notes leave a call out ("optional", "not needed") the table says so.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from toolkit.brokers.port import CAPABILITIES
from toolkit.types import TimeInForce

TESTS = Path(__file__).resolve().parents[1]
MARKET, RECORDS, ORDERS = "brokers/test_xts_market.py", "brokers/test_xts_records.py", "brokers/test_xts_orders.py"
SESSION, CLIENTS, MORE = "brokers/test_xts_session.py", "brokers/test_xts_clients.py", "brokers/test_xts_more.py"
OTHER, UPDATES, BROKER = "contract/test_xts_other_server.py", "brokers/test_xts_updates.py", "brokers/test_xts.py"
DAY = f"{OTHER}::test_one_day_at_an_install_drawn_by_its_seed"

UNSURE = {
    "no source settles it": "the word's meaning",
    "inner shape UNSURE: keep it as text": [f"{RECORDS}::test_the_list_of_errors_is_kept_as_text"],
    "Real end of life is UNSURE": [
        f"{SESSION}::test_a_dead_token_brings_one_login_and_the_read_again",
        f"{SESSION}::test_a_dead_token_never_resends_an_order",
        f"{SESSION}::test_at_most_one_login_in_thirty_seconds",
        f"{UPDATES}::test_a_new_login_subscribes_everything_again",
        "fault/test_r09_token.py::test_expiry_is_a_state_and_not_a_storm",
    ],
    "enum lists; UNSURE shape, optional": "not called: nothing needs the list of enums",
    "last = current; order UNSURE": [
        f"{ORDERS}::test_the_history_sample",
        f"{ORDERS}::test_any_order_of_arrival_ends_in_the_same_order",
        DAY,
    ],
    "POST /orders/cancelall": [f"{MORE}::test_any_success_is_one", f"{MORE}::test_they_land_like_any_order"],
    "gttorder": "not needed, says the table",
    "PUT /portfolio/squareoff": [f"{MORE}::test_any_success_is_one", f"{MORE}::test_they_land_like_any_order"],
    "acceptance UNSURE, offer DAY and IOC": [
        f"{ORDERS}::test_the_place_sample_is_what_is_sent",
        "wire/test_xts_unsure.py::test_day_and_ioc_are_offered_and_nothing_else",
    ],
    "total or remaining is UNSURE": [
        f"{ORDERS}::test_the_modify_sample_is_what_is_sent",
        f"{CLIENTS}::test_a_modified_quantity_is_looked_at_when_some_has_traded",
    ],
    "Trading symbol form": [f"{RECORDS}::test_a_position_at_several_levels_counts_once"],
    "whether it is compulsory: **UNSURE**": [
        f"{ORDERS}::test_the_order_source_by_configuration_by_order_or_left_out",
        "contract/test_xts_installs.py::test_an_order_lives_the_same_life_at_every_install",
        DAY,
    ],
    "GET /instruments/subscription": [
        f"{MARKET}::test_the_subscriptions_of_a_session_in_any_shape",
        f"{MARKET}::test_a_session_without_subscriptions",
    ],
    "POST /search/instrumentsbyisin": "optional: a contract is found by its name or its id",
    "minutes: UNSURE": [f"{MARKET}::test_an_install_that_counts_in_minutes_is_found_out_once"],
    "limited (openalgo: 7 days for minute bars)": [
        f"{MARKET}::test_a_long_range_is_read_in_pieces_that_the_install_takes",
        f"{MARKET}::test_an_unknown_instrument_is_asked_for_once_and_a_day_is_not_halved",
    ],
    "Rate limits: UNSURE": [
        f"{SESSION}::test_each_book_has_a_limit_of_its_own",
        "fault/test_r08_xts_faults.py::test_a_limit_hit_by_one_user_of_the_key_holds_the_others",
    ],
    "a given install may answer 4 (UNSURE)": [
        "market/test_xts_socket.py::test_auto_tries_3_then_4_and_remembers_the_host",
        "market/test_xts_socket.py::test_a_refused_handshake_of_400_means_the_version_until_both_were_tried",
        "market/test_xts_socket.py::test_what_the_server_shows_counts_for_more_than_what_was_asked",
        f"{UPDATES}::test_every_install_gives_the_same_rows",
        DAY,
    ],
    "50 in one dump; UNSURE elsewhere": [
        f"{MARKET}::test_over_the_limit_what_came_before_stays",
        f"{UPDATES}::test_the_installs_limit_is_told_and_what_fits_lives",
        DAY,
    ],
    "Node SDK uses 1970 for other segments": [
        "market/test_xts_rows.py::test_either_epoch_is_taken_and_the_newest_stamp_of_an_event_counts",
        "market/test_xts_text.py::test_both_epochs_by_what_is_nearer_to_now",
        "wire/test_xts_wire.py::test_both_epochs_come_back_to_now",
        DAY,
    ],
    "version < 4: UNSURE 0 or 4 bytes to skip": [
        "wire/test_xts_wire.py::test_earlier_versions_are_read_with_either_header"
    ],
    "| 1512 | UNSURE |": ["wire/test_xts_wire.py::test_unknown_codes_are_skipped_by_their_size"],
    "Pick the layout by length": [
        "wire/test_xts_wire.py::test_the_tail_of_the_wide_layout_is_ignored",
        "wire/test_xts_wire.py::test_every_field_of_both_layouts_equals_an_independent_writer",
        "wire/test_xts_wire.py::test_a_price_outside_low_and_high_is_bad_and_not_a_tick",
        DAY,
    ],
}
"""Words of the line -> the tests of its variants, or why there is none."""


@pytest.mark.parametrize("name", ["xts-pro", "xts-client"])
def test_day_and_ioc_are_offered_and_nothing_else(name):
    assert CAPABILITIES[name].time_in_force == (TimeInForce.DAY, TimeInForce.IOC)


def test_every_unsure_line_of_the_notes_is_in_the_table(shared):
    lines = [line for line in shared("protocols", "xts.md").read_text().splitlines() if "UNSURE" in line]
    missing = [line for line in lines if not any(words in line for words in UNSURE)]
    assert missing == []
    assert [words for words in UNSURE if sum(words in line for line in lines) != 1] == []


NAMED = sorted({name for tests in UNSURE.values() if isinstance(tests, list) for name in tests})


@pytest.mark.parametrize("name", NAMED)
def test_every_test_of_the_table_exists(name):
    path, _, wanted = name.partition("::")
    tree = ast.parse((TESTS / path).read_text())
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert wanted in found
