import textwrap

import pytest

from toolkit.batch.load import find_strategy, make_strategy
from toolkit.errors import BadData
from toolkit.strategies.oi_wall import OIWall
from toolkit.strategies.protocol import Strategy

ONE = """
from toolkit.strategies.protocol import Param, Strategy

class Mine(Strategy):
    name = "mine"
    params = {"lots": Param(default=1, unit="lots", doc="size", low=1, high=5)}
"""
TWO = ONE + "\nclass Yours(Strategy):\n    name = 'yours'\n"


@pytest.fixture
def file(tmp_path):
    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


def test_a_shipped_name():
    assert find_strategy("oi-wall") is OIWall


def test_a_class_is_itself():
    assert find_strategy(OIWall) is OIWall


def test_a_module_and_class():
    assert find_strategy("toolkit.strategies.oi_wall:OIWall") is OIWall


def test_a_file_with_one_strategy(file):
    path = file(ONE)
    found = find_strategy(str(path))
    assert (found.name, found.__name__) == ("mine", "Mine")
    assert find_strategy(f"{path}:Mine").name == "mine"


def test_a_file_with_two_needs_a_name(file):
    path = file(TWO)
    assert find_strategy(f"{path}:Yours").name == "yours"
    with pytest.raises(
        BadData, match=r"must define exactly one strategy, has Mine, Yours; name one as .*mine.py:Class"
    ):
        find_strategy(str(path))


def test_an_imported_strategy_is_not_one_of_the_file(file):
    path = file("from toolkit.strategies.oi_wall import OIWall\n")
    with pytest.raises(BadData, match="has none"):
        find_strategy(str(path))
    assert find_strategy(f"{path}:OIWall") is OIWall


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("oi-wal", r"no strategy 'oi-wal'; did you mean 'oi-wall'\?"),
        ("zzz", r"shipped: iron-condor, oi-wall, short-straddle; your own is module:Class"),
        ("toolkit.strategies.oi_wall:OIWal", r"defines no strategy 'OIWal'; did you mean 'OIWall'\?"),
        ("toolkit.no_such:Thing", "module 'toolkit.no_such' cannot be imported"),
        ("nowhere.py", "no strategy file nowhere.py"),
        ("nowhere.py:Mine", "no strategy file nowhere.py"),
    ],
)
def test_what_is_not_there_is_named_in_one_line(name, text):
    with pytest.raises(BadData, match=text) as caught:
        find_strategy(name)
    assert "\n" not in str(caught.value)


def test_a_file_that_fails_says_how(file):
    path = file("1 / 0\n", "broken.py")
    with pytest.raises(BadData, match=r"broken.py fails when it is imported: ZeroDivisionError: division by zero"):
        find_strategy(str(path))


def test_a_class_that_is_no_strategy():
    with pytest.raises(BadData, match=r"must be a subclass of toolkit\.Strategy, was int"):
        find_strategy(int)


def test_parameters_are_checked_when_it_is_made():
    assert make_strategy("oi-wall", {"lots": "3"}).p["lots"] == 3
    with pytest.raises(BadData, match=r"no parameter 'lotz'; did you mean 'lots'\?"):
        make_strategy("oi-wall", {"lotz": 3})


def test_an_instance_brings_its_own_parameters():
    made = OIWall(lots=4)
    assert make_strategy(made, {}) is made
    with pytest.raises(BadData, match="is made already"):
        make_strategy(made, {"lots": 1})


def test_two_files_of_one_name_stay_apart(file, tmp_path):
    first = find_strategy(str(file(ONE)))
    (tmp_path / "deep").mkdir()
    second = find_strategy(str(file(TWO, "deep/mine.py")) + ":Yours")
    assert first.__module__ != second.__module__
    assert issubclass(first, Strategy)
    assert issubclass(second, Strategy)
