"""R11: the journal's files were damaged while nobody ran. What is lost is told and made good, or nothing trades.

A journal that the engine made over the wire, and was killed on, is damaged in every way and given back: to the store
alone (each byte of the log's tail), to an engine in this process on the same simulated broker (by the thousand), and
to the whole process. A log that ends early leaves a chain that looks whole: the count beside it tells what is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import random
import re
import shutil
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from toolkit.brokers.factory import connect
from toolkit.brokers.one_act import realm_of
from toolkit.brokers.xts_settings import XtsTerms
from toolkit.calendar import IST, ist_date
from toolkit.config import Settings
from toolkit.errors import BadData
from toolkit.orders.effects import Record
from toolkit.orders.live import LiveEngine
from toolkit.orders.settings import EngineSettings
from toolkit.risk.limits import Limits
from toolkit.store.daybook import journal_path, open_day
from toolkit.store.journal import Journal

HEADER, FRAME = 32, 4096 + 24
ENDS = ("", "-wal", "-shm", "-count")


@dataclass
class Files:
    """A journal's files as bytes by the end of their names: what a kill left."""

    account: str
    day: str
    parts: dict[str, bytearray]
    hashes: list[str] = field(default_factory=list)
    commits: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path, account: str) -> Files:
        """Read them, and what is in them by SQLite's own word: every record's hash, and where each commit ends."""
        places = {end: path.with_name(path.name + end) for end in ENDS}
        made = cls(account, path.stem, {end: bytearray(p.read_bytes()) for end, p in places.items() if p.exists()})
        made.hashes = made.plain()
        return made

    def copy(self) -> Files:
        parts = {end: bytearray(raw) for end, raw in self.parts.items()}
        return Files(self.account, self.day, parts, self.hashes, self.commits)

    def put(self, path: Path) -> None:
        """Lay them down where a journal lies."""
        path.parent.mkdir(parents=True, exist_ok=True)
        for end in ENDS:
            place = path.with_name(path.name + end)
            place.unlink(missing_ok=True)
            if end in self.parts:
                place.write_bytes(self.parts[end])

    @contextlib.contextmanager
    def opened(self):
        """The database by SQLite alone; what is done to it is kept, all of it in the main file."""
        scratch = Path(os.environ["TMPDIR"]) / f"r11-{os.getpid()}"
        self.put(scratch / "plain.db")
        with contextlib.closing(sqlite3.connect(scratch / "plain.db", isolation_level=None)) as db:
            yield db
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.parts[""] = bytearray((scratch / "plain.db").read_bytes())
        self.parts.pop("-wal", None)
        shutil.rmtree(scratch)

    def plain(self) -> list[str]:
        """The hashes of the records as SQLite alone shows them."""
        with self.copy().opened() as db:
            tables = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'records'").fetchone()[0]
            return [row[0] for row in db.execute("SELECT hash FROM records ORDER BY seq")] if tables else []

    def ends(self) -> list[int]:
        """Where each commit of the log ends, in bytes; what an older round of the log left behind it is not counted."""
        log, at, found = self.parts.get("-wal", b""), HEADER, []
        while at + FRAME <= len(log) and log[at + 8 : at + 16] == log[16:24]:
            if any(log[at + 4 : at + 8]):  # a commit's last frame says how many pages the database has
                found.append(at + FRAME)
            at += FRAME
        return found

    def tail(self) -> tuple[int, int]:
        """The bytes of the last three commits in the log."""
        ends = self.ends()
        return ends[-4], ends[-1]


def flip(rng: random.Random, raw: bytearray, low: int, high: int) -> None:
    """Flip 1 to 64 different bits."""
    for bit in rng.sample(range(low * 8, high * 8), rng.randint(1, min(64, (high - low) * 8))):
        raw[bit // 8] ^= 1 << bit % 8


def log_cut(rng: random.Random, files: Files) -> None:
    del files.parts["-wal"][rng.randrange(*files.tail()) :]


def log_bits(rng: random.Random, files: Files) -> None:
    flip(rng, files.parts["-wal"], *files.tail())


def log_garbage(rng: random.Random, files: Files) -> None:
    files.parts["-wal"] += rng.randbytes(rng.randrange(1, 9000))


def log_gone(rng: random.Random, files: Files) -> None:
    del files.parts["-wal"]


def index_stray(rng: random.Random, files: Files) -> None:
    files.parts["-shm"] = bytearray(rng.randbytes(32768))


def main_garbage(rng: random.Random, files: Files) -> None:
    if rng.random() < 0.5:
        with files.opened():
            pass  # the log is folded in
    files.parts[""] += rng.randbytes(rng.randrange(1, 9000))


def change(rng: random.Random, files: Files, low: int, high: int) -> None:
    """One bit in the content of each of the records from one number to another."""
    with files.opened() as db:
        for seq in range(low, high + 1):
            payload = bytearray(db.execute("SELECT payload FROM records WHERE seq = ?", (seq,)).fetchone()[0])
            payload[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
            assert db.execute("UPDATE records SET payload = ? WHERE seq = ?", (bytes(payload), seq)).rowcount == 1


def last_records(rng: random.Random, files: Files) -> None:
    last = len(files.hashes)
    change(rng, files, last + 1 - rng.randint(1, 3), last)


def count_bits(rng: random.Random, files: Files) -> None:
    flip(rng, files.parts["-count"], 0, len(files.parts["-count"]))


def count_gone(rng: random.Random, files: Files) -> None:
    del files.parts["-count"]


def page_bits(rng: random.Random, files: Files) -> None:
    with files.opened():
        pass
    flip(rng, files.parts[""], len(files.parts[""]) - 4096, len(files.parts[""]))


def main_cut(rng: random.Random, files: Files) -> None:
    with files.opened():
        pass
    del files.parts[""][-rng.randrange(1, 4096) :]


def middle(rng: random.Random, files: Files) -> None:
    at = rng.randrange(1, len(files.hashes) - 3)
    change(rng, files, at, at)


def other_account(rng: random.Random, files: Files) -> None:
    with files.opened() as db:
        assert db.execute("UPDATE head SET account = 'SIM002'").rowcount == 1


def _yesterday(files: Files, count: int) -> bytearray:
    """A sound journal of the day before, as its engine closed it."""
    place = Path(os.environ["TMPDIR"]) / f"r11-{os.getpid()}" / "old.db"
    place.parent.mkdir()
    with Journal(place, account=files.account, day="2026-07-10") as journal:
        for number in range(count):
            journal.append([Record(number, "act", f"OLD{number}", b'{"act":"x"}' * 20)])
    raw = bytearray(place.read_bytes())
    shutil.rmtree(place.parent)
    return raw


def yesterday(rng: random.Random, files: Files) -> None:
    files.parts = {"": _yesterday(files, rng.randrange(1, 200)), "-count": files.parts["-count"]}


def yesterday_under_the_log(rng: random.Random, files: Files) -> None:
    files.parts[""] = _yesterday(files, rng.randrange(1, 200))


def empty(rng: random.Random, files: Files) -> None:
    files.parts[""] = bytearray()
    if rng.random() < 0.5:
        del files.parts["-wal"]


def no_database(rng: random.Random, files: Files) -> None:
    no_database_under_the_log(rng, files)
    files.parts.pop("-wal", None)


def no_database_under_the_log(rng: random.Random, files: Files) -> None:
    files.parts[""] = bytearray(b"hello " * rng.randrange(1000, 3000))


STARTS = (log_cut, log_bits, log_garbage, log_gone, index_stray, main_garbage, last_records, count_bits, count_gone)
EITHER = (page_bits, main_cut, yesterday_under_the_log, no_database_under_the_log)
"""When the file's structure is broken nobody can tell where the damage begins; today's log may hold all of its day."""
REFUSED = (middle, other_account, yesterday, empty, no_database)
KINDS = (*STARTS, *EITHER, *REFUSED)


def told(kept: Files, how: str, records: list[tuple[str, str, dict]]) -> str:
    """Check that what an opened journal lacks of the original is told, by number; gives what the start came to.

    ``records`` are (hash, kind, payload) of all that the file holds now.
    """
    same = 0
    while same < len(kept.hashes) and same < len(records) and records[same][0] == kept.hashes[same]:
        same += 1
    alarms = [p["text"] for _, kind, p in records[same:] if kind == "alarm" and p["kind"] == "journal"]
    lost = len(kept.hashes) - same
    numbers = [
        int(n) for text in alarms for n in re.findall(r"(\d+) records? (?:at|gone from) the journal's end", text)
    ]
    assert sum(numbers) == lost, (how, lost, alarms)
    if how == "count_bits":
        assert any("the count of the journal's records is damaged" in text for text in alarms), alarms
    return "a loss told" if lost else "nothing lost"


def sweep(kept: Files, folder: Path, now_ns: int, step: int) -> int:
    """Cut the log at every ``step``-th byte of its last three commits: every whole commit is there, the rest is told."""
    path, (low, high), ends = folder / f"{kept.day}.db", kept.tail(), kept.ends()
    whole: dict[int, int] = {}
    for number, at in enumerate(range(low, high, step)):
        left = sum(end <= at for end in ends)
        case = kept.copy()
        del case.parts["-wal"][at:]
        if left not in whole:
            whole[left] = len(case.plain())
        case.put(path)
        with open_day(path, kept.account, now_ns)[0] as journal:
            hashes = [entry.hash for entry in journal.records()]
            assert hashes == kept.hashes[: whole[left]], (number, at)
            assert (journal.repaired, journal.missing) == (0, len(kept.hashes) - whole[left]), (number, at)
    assert len(whole) == 3
    assert max(whole.values()) < len(kept.hashes)
    return len(range(low, high, step))


class Here:
    """Engines in this process on the simulated broker of a desk that was killed, each on a folder of its own."""

    def __init__(self, desk, folder: Path, kept: Files) -> None:
        self.desk, self.folder, self.kept = desk, folder, kept
        self.settings = Settings.load().section("engine", EngineSettings)
        self.seen: Counter[str] = Counter()
        names = {"others_per_s": 10**6, "quotes_per_s": 10**6}  # a start makes four calls, and there are hundreds
        if desk.broker != "kite":
            names = {"terms": XtsTerms(**names, orders_per_s=10**6, books_per_s=10**6, subscribe_per_s=10**6)}
        self.options = names

    async def all(self, rng: random.Random, count: int) -> None:
        """Every kind of damage in turn."""
        self.broker = connect(self.desk.broker, **self.options)
        try:
            await self.broker.profile()
            for number in range(count):
                await self.one(rng, KINDS[number % len(KINDS)])
        finally:
            await self.broker.close()

    async def one(self, rng: random.Random, kind) -> None:
        case = self.kept.copy()
        kind(rng, case)
        day, realm = ist_date(self.broker.clock()), realm_of(self.broker)
        path = journal_path(self.broker.name, self.kept.account, day, realm, self.folder)
        case.put(path)
        said = [await self.start(kind.__name__, path) for _ in range(2 if kind in REFUSED else 1)]
        assert (said[0] == "refused") <= (kind in (*EITHER, *REFUSED)), (kind.__name__, said)
        assert kind not in REFUSED or said == ["refused"] * 2, (kind.__name__, said)
        self.seen[said[0]] += 1
        shutil.rmtree(path.parent)

    async def start(self, how: str, path: Path) -> str:
        engine = LiveEngine(
            self.broker, self.kept.account, limits=Limits(check_margin=False), engine=self.settings,
            clock=self.broker.clock, realm=realm_of(self.broker), folder=self.folder,
        )  # fmt: skip
        try:
            await engine.start(watching=False)
        except BadData as error:
            said = str(error)
            return "refused" if path.name in said and "\n" not in said else f"refused in other words: {said}"
        try:
            events = engine.events(most=10**6)
            records = [(e.hash, v.kind, v.payload) for e, v in zip(engine.journal.records(), events, strict=True)]
            came = told(self.kept, how, records)
            await self.judge(engine, how)
            assert engine.journal.verify().state == "sound"
        finally:
            await engine.stop()
        return came

    async def judge(self, engine: LiveEngine, how: str) -> None:
        """V, and nothing that came back from the broker's book came back in silence."""
        theirs = {order.cl_ord_id: order for order in await self.broker.orders()}
        ours = engine.core.orders
        assert set(theirs) <= set(ours), (how, "lost")
        for name, order in theirs.items():
            mine = ours[name]
            assert (mine.cum_qty, mine.is_open) == (order.cum_qty, order.is_open), (how, name, mine, order)
            assert not mine.cum_qty or abs(mine.avg_px - order.avg_px) < 0.00501, (how, name)
        assert not [name for name, mine in ours.items() if mine.cum_qty and name not in theirs], how
        held = {p.symbol: p.net_qty for p in await self.broker.positions() if p.net_qty}
        assert {s: n for s, n in engine.core.book.net.items() if n} == held, how
        events = engine.events(most=10**6)
        first = {}
        for event in events:
            first.setdefault(event.cl_ord_id, event.kind)
        found = {e.cl_ord_id for e in events if e.kind == "difference"}
        again = {name for name in theirs if first[name] != "order"}
        assert again <= found, (how, "taken in without a word", again - found)
        texts = " ".join(e.payload["text"] for e in events if e.kind == "alarm" and e.payload["kind"] == "journal")
        unnamed = {name for name in again if not re.search(rf"\b{name}\b", texts)}
        assert len(unnamed) == sum(int(n) for n in re.findall(r" and (\d+) more", texts)), (how, unnamed, texts)


def lived(rig, sim, desk, tag: str, lives: int) -> None:
    """Some lives of a day, so that from the second on both the file and its log hold records; a kill ends the last."""
    symbol = rig.symbol
    for life in range(lives):
        if not desk.runs:
            desk.start()
        ask = desk.quotes(symbol)[symbol][1]
        assert desk.place(f"{tag}{life}F", price=ask + 1.0)[1]["ord_status"] != "denied"
        for number in range(3):
            assert desk.place(f"{tag}{life}N{number}", price=75.0 + number * 0.05)[0] == 200
        body = {"symbol": symbol, "side": "BUY", "lots": 1, "price": "74.50"}  # under an id of the engine's own making
        assert desk.call("POST", "/v1/orders", body)[0] == 200
        rig.wait_until(lambda n=f"{tag}{life}F": desk.orders()[n]["ord_status"] == "filled", 20, "it does not fill")
        assert desk.call("DELETE", f"/v1/orders/{tag}{life}N0")[0] == 200
        assert (verdict := rig.ready(desk, sim)), verdict
        desk.kill() if life == lives - 1 else desk.stop()


def kept_of(desk, sim) -> tuple[Path, Files]:
    (path,) = desk.journals()
    return path, Files.of(path, sim.account)


def whole(rig, sim, desk, path: Path, kept: Files, rng: random.Random, kind) -> str:
    """One damage to the whole process; gives what its start came to."""
    case = kept.copy()
    kind(rng, case)
    case.put(path)
    words = ["serve", "--broker", desk.broker, "--account", sim.account, "--live", sim.account, "--port", "0"]
    if kind in REFUSED:
        errors = desk.folder / "refused.err"
        errors.unlink(missing_ok=True)
        code, refusal = rig.parent.refused(words, desk.env, errors)
        assert code == 1, (kind.__name__, refusal)
        assert refusal.startswith("toolkit: ")
        assert refusal.count("\n") == 1
        assert path.name in refusal, refusal
        return "refused"
    desk.start()
    assert (verdict := rig.ready(desk, sim)), (kind.__name__, verdict)
    events = desk.events()
    desk.kill()
    now = Files.of(path, sim.account)
    records = [(h, e["kind"], e["payload"]) for h, e in zip(now.hashes, events, strict=False)]
    return told(kept, kind.__name__, records)


def shown(came: Counter[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(came.items()))


def put_env(monkeypatch, desk) -> None:
    for name, value in desk.env.items():
        if name.startswith("TOOLKIT_"):
            monkeypatch.setenv(name, value)


def now_in(kept: Files) -> int:
    """A time of the journal's own day, after everything in it."""
    day = dt.date.fromisoformat(kept.day)
    return int(dt.datetime.combine(day, dt.time(15, 29), IST).timestamp()) * 10**9


def test_damage_is_made_good_and_told_or_refused_in_one_line(floor, seed, tmp_path, monkeypatch):
    rig, sim, desk, rng = floor.rig, floor.sim, floor.desk, random.Random(seed)
    lived(rig, sim, desk, "QJ", 1)
    path, kept = kept_of(desk, sim)
    sent = len(sim.orders())
    try:
        assert sweep(kept, tmp_path / "cut", now_in(kept), 997) >= 12
        put_env(monkeypatch, desk)
        here = Here(desk, tmp_path / "here", kept)
        asyncio.run(here.all(rng, len(KINDS)))
        assert here.seen["refused"] >= len(REFUSED)
        for kind in (rng.choice(STARTS[:4]), rng.choice(REFUSED)):
            whole(rig, sim, desk, path, kept, rng, kind)
    finally:
        kept.put(path)
    desk.start()
    assert (verdict := rig.ready(desk, sim)), verdict
    assert len(sim.orders()) == sent, "a start sent an order"


@pytest.mark.soak
@pytest.mark.parametrize("dialect", ["kite", "xts"])
def test_r11_broken_journals(rig, dialect, seed, rounds, tmp_path, monkeypatch):
    rng, count = random.Random(seed), rounds(1000)
    sim = rig.sim(dialect)
    desk = rig.desk(sim, rules=rig.wide)
    lived(rig, sim, desk, "J", 2)
    path, kept = kept_of(desk, sim)
    sent, began = len(sim.orders()), time.monotonic()
    cuts = sweep(kept, tmp_path / "cut", now_in(kept), 1 if count >= 1000 else 97)
    put_env(monkeypatch, desk)
    here = Here(desk, tmp_path / "here", kept)
    asyncio.run(here.all(rng, count))
    procs = [STARTS[n % len(STARTS)] if n % 2 else REFUSED[n // 2 % len(REFUSED)] for n in range(max(10, count // 20))]
    came = Counter(whole(rig, sim, desk, path, kept, rng, kind) for kind in procs)
    kept.put(path)
    desk.start()
    assert (verdict := rig.ready(desk, sim)), verdict
    assert len(sim.orders()) == sent, "a start sent an order"
    print(
        f"R11 {dialect}: {len(kept.hashes)} records; the log cut at {cuts} bytes of its last 3 commits and opened by the "
        f"store: every whole commit there, the rest told by number; {count} damages of {len(KINDS)} kinds to the engine's "
        f"start in this process: {shown(here.seen)}; {len(procs)} to the whole process: {shown(came)}; 0 silent, 0 orders "
        f"lost, 0 twice, 0 sent; {time.monotonic() - began:.0f} s"
    )
