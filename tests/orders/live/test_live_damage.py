"""R11, quick: whatever happens to the journal's files between two lives, the engine starts reconciled or says why not."""

from __future__ import annotations

import random
import shutil

import pytest

from toolkit.errors import BadData
from toolkit.types import OrdStatus


async def lived(p):
    """A day with open, filled and canceled orders, ended by a kill: the last records lie in the write-ahead log."""
    engine = await p.open()
    for n in range(6):
        await engine.place(p.buy(f"A{n}", 10100 if n == 2 else 9000 + 5 * n))
    await engine.cancel("A4")
    await p.hours.calm()
    path = engine.journal.path
    kept = path.parent / "kept"
    kept.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        shutil.copy(file, kept / file.name)
    await p.crash()
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    for file in kept.iterdir():
        shutil.move(file, path.parent / file.name)
    kept.rmdir()
    return path, path.with_name(f"{path.name}-wal")


def truncate(chance, path, wal):
    size = wal.stat().st_size
    with wal.open("r+b") as file:
        file.truncate(chance.randrange(size))


def flip(chance, path, wal):
    data = bytearray(wal.read_bytes())
    for _ in range(chance.randrange(1, 65)):
        data[chance.randrange(len(data) * 3 // 4, len(data))] ^= 1 << chance.randrange(8)
    wal.write_bytes(bytes(data))


def garbage(chance, path, wal):
    target = chance.choice([path, wal])
    with target.open("ab") as file:
        file.write(chance.randbytes(chance.randrange(1, 9000)))


def lose(chance, path, wal):
    wal.unlink()


@pytest.mark.parametrize("damage", [truncate, flip, garbage, lose], ids=lambda f: f.__name__)
@pytest.mark.parametrize("seed", range(4))
async def test_damage_ends_in_the_brokers_book_or_in_one_line(pit, damage, seed):
    chance = random.Random(f"{damage.__name__}{seed}")
    p = pit()
    path, wal = await lived(p)
    damage(chance, path, wal)
    sent = len(p.broker.sent)
    refused = ""
    try:
        engine = await p.open()
    except BadData as error:
        refused = str(error)
    if refused:
        assert "\n" not in refused
        assert path.name in refused
        return
    truth = p.broker.truth()
    for cl_ord_id, theirs in truth.items():
        ours = engine.core.orders[cl_ord_id]
        assert (ours.cum_qty, ours.is_open) == (theirs.cum_qty, theirs.is_open)
    lost = [c for c in truth if c in engine.core.external]
    told = {e.cl_ord_id for e in engine.events(most=10**6) if e.kind == "difference"}
    assert set(lost) <= told, "orders came back in silence"
    assert engine.core.book.net == {p.call: 75}
    assert len(p.broker.sent) == sent
    assert (await engine.place(p.buy("B1", 9200))).ord_status in (OrdStatus.NEW, OrdStatus.PENDING_NEW)
    assert engine.journal.verify().state == "sound"
