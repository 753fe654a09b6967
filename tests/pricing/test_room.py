"""The room's front: every promised name is there, and a price imports neither polars nor SciPy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from toolkit import pricing

FRESH = """
import sys
from toolkit import pricing
assert pricing.price(1, 100.0, 100.0, 0.25, 0.2) > 0.0
heavy = {"scipy.optimize", "polars", "toolkit.pricing.legs", "toolkit.pricing.smiles"} & set(sys.modules)
assert not heavy, heavy
assert pricing.smile.__module__ == "toolkit.pricing.smiles"
assert pricing.builders.__name__ == "toolkit.pricing.builders"
from toolkit.pricing import Leg, with_iv
assert Leg is pricing.Leg
"""


def test_every_name_is_there():
    assert set(pricing.__all__) <= set(dir(pricing))
    for name in pricing.__all__:
        assert getattr(pricing, name) is not None
    assert callable(pricing.smile)
    assert callable(pricing.with_iv)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pricing.nothing


def test_a_price_imports_no_more_than_it_needs():
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_warm_compiles_every_entry():
    pricing.warm()
    from toolkit.pricing import direct

    for entry in (direct.price_entry, direct.greeks_entry, direct.implied_entry):
        assert entry.call != entry._first
