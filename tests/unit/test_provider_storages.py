"""Storages keep the same facts: memory and SQLite here, by one suite with the real servers."""

import asyncio
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest

from bars.frame import BarFrame
from bars.window import Window
from provider import MemoryStorage, NewRecord, SQLiteStorage, Storage
from provider._ledger import LedgerView
from store import (
    LedgerState,
    RefusedQueryError,
    StoreError,
    StoreUnavailableError,
    TableMismatchError,
    UnstorableRowError,
)
from tests.provider_help import DAY, LANE, SERIES, START, clock_at
from tests.provider_suite import ProviderSuite
from tests.storage_suite import StorageSuite, record

ROOT = Path(__file__).resolve().parents[2]
RANKS = {LANE: 1, "roll": 0}


class TestMemory(StorageSuite):
    @pytest.fixture
    def storage(self) -> Storage:
        return MemoryStorage(RANKS, clock_at())


class TestSQLite(StorageSuite):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return SQLiteStorage(tmp_path / "deep" / "bars.db", RANKS, clock_at())


class TestProviderOnSQLite(ProviderSuite):
    """All that a provider does, on one file and no server."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return SQLiteStorage(tmp_path / "bars.db", RANKS, clock_at())


async def test_a_file_outlives_its_storage(tmp_path: Path) -> None:
    path = tmp_path / "bars.db"
    one = SQLiteStorage(path, RANKS, clock_at())
    await one.add([record(0, 3, 100.0)])
    await one.close()
    other = SQLiteStorage(path, RANKS, clock_at())
    assert (await other.winners(SERIES, Window(START, START + 9 * DAY))).ts.size == 3
    await other.close()


async def test_the_file_is_written_ahead_so_readers_do_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "bars.db"
    storage = SQLiteStorage(path, RANKS, clock_at())
    await storage.add([record(0, 3, 100.0)])
    with sqlite3.connect(path, isolation_level=None) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        other.execute("BEGIN IMMEDIATE")  # somebody writes, for as long as we read
        assert len(await storage.ledger(SERIES)) == 1
        other.execute("ROLLBACK")
    other.close()
    await storage.close()


_WRITER = """
import asyncio, sys
from pathlib import Path
from tests.provider_help import clock_at
from tests.storage_suite import record
from provider import SQLiteStorage
async def main(path, number):
    storage = SQLiteStorage(path, {}, clock_at())
    for k in range(20):
        await storage.add([record(number * 20 + k, number * 20 + k + 1, 100.0 + k)])
    await storage.close()
asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


async def test_several_processes_write_one_file_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "bars.db"
    writers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _WRITER, str(path), str(k), cwd=ROOT
        )
        for k in range(3)
    ]
    assert [await writer.wait() for writer in writers] == [0, 0, 0]
    storage = SQLiteStorage(path, RANKS, clock_at())
    bars = await storage.winners(SERIES, Window(START, START + 100 * DAY))
    assert bars.ts.tolist() == [START + k * DAY for k in range(60)]
    assert len(await storage.ledger(SERIES)) == 60
    await storage.close()


async def test_two_records_of_one_name_and_other_bars_are_told(tmp_path: Path) -> None:
    """Two processes that fetched at the same microsecond must not hide each other's bars."""
    storage = SQLiteStorage(tmp_path / "bars.db", RANKS, clock_at())
    await storage.add([record(0, 3, 100.0)])
    with pytest.raises(StoreError, match="is there with other bars"):
        await storage.add([record(5, 6, 1.0), record(0, 3, 101.0)])
    assert len(await storage.ledger(SERIES)) == 1, "the whole call or nothing"
    await storage.close()


async def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bars.db"
    path.write_bytes(b"no database at all, but rather long" * 100)
    with pytest.raises(RefusedQueryError, match="not a database"):
        await SQLiteStorage(path).ledger(SERIES)
    later = tmp_path / "later.db"
    storage = SQLiteStorage(later)
    await storage.ledger(SERIES)
    await storage.close()
    with sqlite3.connect(later) as connection:
        connection.execute("UPDATE meta SET value = '2' WHERE name = 'format'")
    connection.close()
    with pytest.raises(TableMismatchError, match="format is '2', must be '1'"):
        await SQLiteStorage(later).ledger(SERIES)


async def test_a_file_that_cannot_be_opened_may_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of a folder")
    with pytest.raises(StoreUnavailableError) as away:
        await SQLiteStorage(tmp_path / "file" / "bars.db").ledger(SERIES)
    assert away.value.retriable


@pytest.mark.parametrize("path", ["", ":memory:"])
def test_a_database_in_memory_is_refused(path: str) -> None:
    """No two connections share one: half the rows would be elsewhere."""
    with pytest.raises(ValueError, match="path of a file"):
        SQLiteStorage(path)


@pytest.mark.parametrize(("first", "known"), [(-1, 1), (0, 0)])
async def test_what_cannot_be_stored_is_refused_before_anything_is_written(
    tmp_path: Path, first: int, known: int
) -> None:
    storage = SQLiteStorage(tmp_path / "bars.db")
    window = Window(first * 86_400, 86_400)
    with pytest.raises(UnstorableRowError):
        await storage.add([NewRecord(SERIES, LANE, window, known, BarFrame.empty())])
    assert not len(await storage.ledger(SERIES))
    await storage.close()


def test_a_view_of_the_ledger_changes_with_every_row() -> None:
    view = LedgerView.of([(Window(0, 10), "roll", 5), (Window(20, 30), LANE, 7)])
    assert view.state(Window(0, 100)) == LedgerState(2, 7)
    assert view.state(Window(0, 20)) == LedgerState(1, 5)
    assert view.state(Window(10, 20)) == LedgerState(0, 0)
    more = view.joined(LedgerView.of([(Window(5, 6), "roll", 6), (Window(0, 10), "roll", 5)]))
    assert len(more) == 3
    assert more.state(Window(0, 20)) == LedgerState(2, 6)
    assert more.lanes(Window(4, 25)) == {LANE: (Window(20, 25),), "roll": (Window(4, 10),)}
    assert more.covered(Window(9, 21)) == (Window(9, 10), Window(20, 21))
    assert np.array_equal(more.inside(Window(20, 21)).start, [20])
