"""Writing, proving and telling, with a store that misbehaves on purpose."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest

from runtime import Clock, Settings
from runtime.metrics import Metrics
from runtime.testing import ManualClock
from store import (
    LedgerEntry,
    Mismatch,
    MissingTableError,
    RecordRows,
    RefusedRowsError,
    Store,
    StoreError,
    StoreUnavailableError,
    StoreWentBackError,
    SuspendedTableError,
    TableMismatchError,
    UnstorableRowError,
)
from streams.materialize.batch import Item
from streams.materialize.flow import Flow
from streams.materialize.partition import Office, Partition
from streams.materialize.prove import MISMATCHES_MAX, Prover
from streams.materialize.record import bars_of
from streams.patience import Patience
from tests.unit.judging import SERIES, chunk, slots
from topics import RawMessage

TABLE = "bars_1m"
AWAY = StoreUnavailableError("there", "away")


@dataclass
class FakeStore:
    """Keeps rows in memory; what it is told to raise, it raises once, call by call."""

    raises: dict[str, list[StoreError]] = field(default_factory=dict)
    spoils: Callable[[float], float] = lambda price: price
    unstorable: float | None = None
    refusing: bool = False
    foreign: bool = False
    stored: dict[tuple[int, str, int], float] = field(default_factory=dict)
    entries: list[LedgerEntry] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    @property
    def ledger(self) -> "FakeStore":
        return self

    def writer(self) -> "FakeStore":
        return self

    def _call(self, name: str) -> None:
        self.calls.append(name)
        planned = self.raises.get(name)
        if planned:
            raise planned.pop(0)

    def write(self, rows: Sequence[RecordRows]) -> tuple[str, ...]:
        self._call("write")
        for each in rows:
            if self.unstorable in each.bars.close:
                raise UnstorableRowError("close", self.unstorable, "something else")
            if self.refusing:
                raise RefusedRowsError(TABLE, "never")
        for each in rows:
            for ts, price in zip(each.bars.ts.tolist(), each.bars.close.tolist(), strict=True):
                assert isinstance(each.known, int)
                self.stored[(ts, each.lane, each.known)] = self.spoils(price)
        return (TABLE,)

    def wait_visible(self, tables: Iterable[str], timeout_s: float) -> None:
        del tables, timeout_s
        self._call("wait")

    def verify(self, rows: Sequence[RecordRows]) -> list[Mismatch]:
        self._call("verify")
        found = []
        for each in rows:
            for ts, price in zip(each.bars.ts.tolist(), each.bars.close.tolist(), strict=True):
                assert isinstance(each.known, int)
                stored = self.stored.get((ts, each.lane, each.known))
                if stored != price and not (stored is not None and np.isnan([stored, price]).all()):
                    sent, got = (price,) * 5, None if stored is None else (stored,) * 5
                    found.append(Mismatch(SERIES, each.lane, ts, each.known, sent, got))
        return found

    def add(self, entries: Sequence[LedgerEntry]) -> None:
        self._call("add")
        self.entries += entries

    def highest_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        self._call("highest")
        highest = dict.fromkeys(partitions, -1)
        for each in self.entries:
            highest[each.partition] = max(each.offset, highest.get(each.partition, -1))
        return highest

    def ensure_tables(self, intervals: Iterable[int]) -> None:
        del intervals
        self._call("ensure")
        if self.foreign:
            raise TableMismatchError(TABLE, ["another column"])


def item(offset: int, price: float = 1.0) -> Item:
    message = RawMessage(topic="h", partition=0, offset=offset, key=None, value=b"", timestamp_ms=1)
    record = chunk(slots(0, 2), {0: price, 1: price}, known=100 + offset)
    return Item(message, record=record, bars=bars_of(record, message))


def prover(store: FakeStore) -> Prover:
    return Prover(cast("Store", store), Metrics(), 1.0)


def test_what_is_proved_is_in_the_store_and_in_the_ledger() -> None:
    store = FakeStore()
    items = [item(3), item(4)]
    work = prover(store)
    work.prove(items, work.write(items))
    work.enter(items, {0: -1})
    assert store.calls == ["write", "wait", "verify", "highest", "add"]
    assert [entry.offset for entry in store.entries] == [3, 4]


def test_a_record_that_cannot_be_stored_is_given_up_alone() -> None:
    store = FakeStore(unstorable=13.0)
    items = [item(3), item(4, 13.0), item(5, 2.0)]
    work = prover(store)
    work.prove(items, work.write(items))
    work.enter(items, {0: -1})
    assert [i.fault is None for i in items] == [True, False, True]
    assert items[1].fault is not None
    assert items[1].fault[0] == "unstorable"
    assert [entry.offset for entry in store.entries] == [3, 5]


def test_a_table_that_somebody_changed_gives_up_no_record() -> None:
    """It refuses everything, and that is not the records' fault."""
    items = [item(3)]
    with pytest.raises(TableMismatchError):
        prover(FakeStore(refusing=True, foreign=True)).write(items)
    assert items[0].fault is None


def test_a_table_that_is_missing_is_made() -> None:
    store = FakeStore(raises={"write": [MissingTableError(TABLE)]})
    items = [item(3)]
    assert prover(store).write(items) == {TABLE}
    assert store.calls == ["write", "ensure", "write"]


def test_a_row_that_comes_back_otherwise_is_sent_again() -> None:
    store = FakeStore()
    items = [item(3), item(4, 2.0)]
    work = prover(store)
    tables = work.write(items)
    store.stored[(0, "bf:one", 104)] = 7.0
    work.prove(items, tables)
    assert [i.fault for i in items] == [None, None]
    assert [i.mismatches for i in items] == [0, 1]


def test_a_row_that_always_comes_back_otherwise_is_given_up_and_the_others_go_on() -> None:
    store = FakeStore(spoils=lambda price: 99.0 if price == 2.0 else price)
    items = [item(3), item(4, 2.0)]
    work = prover(store)
    work.prove(items, work.write(items))
    work.enter(items, {0: -1})
    assert [i.mismatches for i in items] == [0, MISMATCHES_MAX]
    assert items[1].fault is not None
    assert "99.0" in items[1].fault[1]
    assert [entry.offset for entry in store.entries] == [3]


def test_a_ledger_that_lacks_what_it_had_is_an_older_store() -> None:
    work = prover(FakeStore())
    with pytest.raises(StoreWentBackError) as raised:
        work.enter([item(9)], {0: 8})
    assert (raised.value.proved_offset, raised.value.found_offset) == (8, -1)


class FakePartition:
    """Remembers what it was to tell."""

    def __init__(self) -> None:
        self.ledgered = -1
        self.told: list[int] = []

    async def tell(self, items: Sequence[Item]) -> None:
        self.told += [i.message.offset for i in items]


@dataclass
class Bench:
    """A flow on a fake store, and everything it said."""

    store: FakeStore
    clock: ManualClock = field(default_factory=ManualClock)
    metrics: Metrics = field(default_factory=Metrics)
    partition: FakePartition = field(default_factory=FakePartition)
    done: list[tuple[list[int], bool]] = field(default_factory=list)
    stopping: bool = False

    def flow(self) -> Flow:
        clock: Clock = self.clock
        patience = Patience(clock=clock, metrics=self.metrics, stopping=lambda: self.stopping)
        fields: dict[str, Any] = dict.fromkeys(("catalogue", "codec", "store"))
        office = Office(
            settings=Settings(), clock=clock, metrics=self.metrics, patience=patience, **fields
        )
        partitions = cast("dict[int, Partition]", {0: self.partition})
        return Flow(office, prover(self.store), partitions, self._done)

    async def _done(self, items: Sequence[Item], durable: bool) -> None:
        self.done.append(([i.message.offset for i in items], durable))

    async def until_done(self, times: int) -> None:
        """Let time go on until that many groups are through."""
        for _ in range(1_000):
            if len(self.done) >= times:
                return
            await asyncio.sleep(0.002)  # threads are at work, whom nobody can await
            await self.clock.run(0.3)
        raise AssertionError(f"only {self.done} came through")

    async def run(self, *items: Item) -> None:
        """Put the items through; time goes on whenever all of it waits."""
        flow = self.flow()
        works = [asyncio.ensure_future(stage) for stage in flow.stages()]
        for each in items:
            await flow.put(each)
        try:
            await self.until_done(1)
        finally:
            for work in works:
                work.cancel()
            ended = await asyncio.gather(*works, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended


def suspended(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("seamless_store_suspended")


async def test_records_are_durable_once_they_are_told() -> None:
    bench = Bench(FakeStore())
    await bench.run(item(3), item(4))
    assert bench.done == [([3, 4], True)]
    assert bench.partition.told == [3, 4]


async def test_after_an_outage_the_same_rows_are_sent_again() -> None:
    """What became of them is unknown, whatever the client says."""
    store = FakeStore(raises={"write": [AWAY], "wait": [AWAY], "verify": [AWAY], "add": [AWAY]})
    bench = Bench(store)
    await bench.run(item(3))
    assert bench.done == [([3], True)]
    assert store.calls.count("write") == 5
    assert bench.partition.told == [3]


async def test_rows_of_a_suspended_table_are_not_sent_again_and_nothing_is_told() -> None:
    store = FakeStore(raises={"wait": [SuspendedTableError(TABLE)] * 3})
    bench = Bench(store)
    seen: list[float | None] = []
    wait_visible = store.wait_visible

    def watched(tables: Iterable[str], timeout_s: float) -> None:
        seen.append(suspended(bench.metrics))
        assert bench.partition.told == []
        wait_visible(tables, timeout_s)

    store.wait_visible = watched  # type: ignore[method-assign]
    await bench.run(item(3))
    assert store.calls.count("write") == 1
    assert seen == [0, 1, 1, 1]
    assert suspended(bench.metrics) == 0
    assert bench.done == [([3], True)]


async def test_who_stops_during_an_outage_lets_go_without_a_claim() -> None:
    bench = Bench(FakeStore(raises={"wait": [AWAY] * 100}), stopping=True)
    await bench.run(item(3))
    assert bench.done == [([3], False)]
    assert bench.partition.told == []


async def test_who_has_let_go_of_a_flush_lets_go_of_what_follows() -> None:
    """The mark would pass over what is not in the store, though the store is back by then."""
    bench = Bench(FakeStore(raises={"wait": [AWAY]}), stopping=True)
    work = bench.flow()
    tasks = [asyncio.ensure_future(stage) for stage in work.stages()]
    for number, each in enumerate((item(3), item(4)), 1):
        await work.put(each)
        await bench.until_done(number)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert bench.done == [([3], False), ([4], False)]
    assert bench.partition.told == []
