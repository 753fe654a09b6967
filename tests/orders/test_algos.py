"""Algorithms by name, and what each of them says of itself."""

from __future__ import annotations

import re

import pytest

from toolkit.errors import BadData
from toolkit.orders.algos import ALGOS, NAMES, make, parse
from toolkit.types import OrderRequest, OrdType, Side

LEG = OrderRequest(cl_ord_id="A1", symbol="X", side=Side.BUY, order_qty=75, ord_type=OrdType.MARKET)


def test_text_makes_an_algorithm_with_its_parameters():
    algo = make("twap duration_s=600 slices=5", LEG)
    assert (algo.name, algo.p["duration_s"], algo.p["slices"], algo.p["style"]) == ("twap", 600.0, 5, "join")
    assert algo.legs == (LEG,)
    assert algo.wants() == {"X"}


def test_a_policy_adds_parameters_and_empty_text_is_legs():
    algo = make("", [LEG, LEG], {"fail": "hold_hedge", "timeout_s": 5})
    assert (algo.name, algo.p["fail"], algo.p["timeout_s"]) == ("legs", "hold_hedge", 5.0)


@pytest.mark.parametrize(
    ("text", "policy", "match"),
    [
        ("twapp", None, "did you mean 'twap'"),
        ("stopp", None, "did you mean 'stop'"),
        ("twap slice=3", None, "no parameter 'slice'.*did you mean 'slices'"),
        ("twap slices=0", None, r"must lie in \[1, 1000\] slices"),
        ("twap slices=2.5", None, "must be int"),
        ("twap slices", None, "key=value, was 'slices'"),
        ("twap slices=", None, "key=value"),
        ("twap slices=3 slices=4", None, "given twice"),
        ("twap slices=3", {"slices": 4}, "stands in text and policy"),
        ("twap style=fast", None, "must be one of join, mid, cross"),
        ("twap duration_s=nan", None, "must lie in"),
        ("legs fail=retry", None, "must be one of"),
        ("oco", None, "takes 2 legs, was 1"),
        ("oto", None, "takes 2 to 10 legs, was 1"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(text, policy, match):
    with pytest.raises(BadData, match=match) as caught:
        make(text, LEG, policy)
    assert "\n" not in str(caught.value)


def test_legs_that_cannot_be_worked_are_refused():
    with pytest.raises(BadData, match="takes 1 legs, was 2"):
        make("twap", [LEG, LEG])
    with pytest.raises(BadData, match="positive quantity"):
        make("twap", OrderRequest(cl_ord_id="A1", symbol="X", side=Side.BUY, order_qty=0, ord_type=OrdType.MARKET))


@pytest.mark.parametrize("name", NAMES)
def test_each_algorithm_says_what_it_does_its_parameters_and_its_limits(name):
    algo = ALGOS[name]
    text = algo.__doc__ or ""
    assert "Limits:" in text
    assert algo.name == name
    for key, param in algo.params.items():
        assert param.doc, f"{name}.{key} says nothing"
        if not isinstance(param.default, (str, bool)):
            assert param.unit, f"{name}.{key} has no unit"
            assert param.low is not None, f"{name}.{key} has no lower bound"
            assert param.high is not None, f"{name}.{key} has no upper bound"
            assert param.low <= param.default <= param.high
    for word in re.findall(r"``(\w+)=", text):
        assert word in algo.params or any(word in a.params for a in ALGOS.values()), f"{name} speaks of {word}"


def test_every_second_of_a_parameter_bears_it_in_its_name():
    for algo in ALGOS.values():
        for key, param in algo.params.items():
            if param.unit == "s":
                assert key.endswith("_s")
            if param.unit == "ticks":
                assert key.endswith("_ticks")
            if param.unit == "%":
                assert key.endswith("_pct")


def test_names_parse_without_parameters():
    for name in NAMES:
        assert parse(name) == (name, {})
