"""What the owner of a partition knows when it judges, with a store that changes under its hands."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from avro_schemas import BarChunk, ConformanceReport, Record, Verdict, VisibleMark
from bars.series import Series
from bars.versions import Versions
from bars.window import Window
from runtime import Settings
from runtime.metrics import Metrics
from runtime.testing import ManualClock
from store import LedgerEntry, StoreUnavailableError
from streams.conform import Desk, Owner, owner
from streams.conform.overlay import Overlay
from streams.conform.recovery import Recovered
from streams.patience import Patience
from tests.unit.judging import HOME, RULES, SERIES, bars_at, chunk, slots
from topics import Catalogue, RawMessage

WHOLE = slots(0, 2)
V1, V2 = {0: 1.0, 1: 1.0}, {0: 2.0, 1: 2.0}
KNOWN = 1_700_000_000_000_000
AWAY = StoreUnavailableError("there", "away")


class Copy:
    """A store that holds the first versions of a window."""

    def __init__(self, *prices: dict[int, float]) -> None:
        self.prices = prices

    def newest(self) -> Versions:
        return Versions.of_lane(bars_at(self.prices[-1]), "bf:one", KNOWN + len(self.prices))

    def entries(self) -> tuple[LedgerEntry, ...]:
        return tuple(
            LedgerEntry(
                series=SERIES,
                lane="bf:one",
                window=WHOLE,
                known=KNOWN + number,
                token=number,
                bars=2,
                content_hash="",
                partition=HOME,
                offset=number,
            )
            for number, _ in enumerate(self.prices, 1)
        )


class Stores:
    """Changes before each question for bars, as it was told to; the last one stays."""

    def __init__(self, now: Copy, *later: Copy | StoreUnavailableError) -> None:
        self.now = now
        self.later = list(later)
        self.reader = self.ledger = self

    def newest(self, series: Series, window: Window) -> Versions:
        del series, window
        if self.later:
            coming = self.later.pop(0)
            if isinstance(coming, StoreUnavailableError):
                raise coming
            self.now = coming
        return self.now.newest()

    def entries(self, series: Series, window: Window) -> tuple[LedgerEntry, ...]:
        del series, window
        return self.now.entries()

    def highest_offset(self, partition: int) -> int:
        del partition
        return max(entry.offset for entry in self.now.entries())


class Bytes:
    """Records are remembered, not encoded."""

    def __init__(self, found: BarChunk) -> None:
        self.found = found
        self.written: list[Record] = []

    async def decode(self, *_args: object) -> BarChunk:
        return self.found

    async def encode(self, topic: object, record: Record) -> bytes:
        del topic
        self.written.append(record)
        return b""


class Transactions:
    """A producer that always succeeds."""

    def __init__(self, *_args: object) -> None:
        self.open = 0

    def begin(self) -> None:
        self.open = 0

    def produce(self, *_args: object, partition: int) -> None:
        del partition
        self.open += 1

    def commit(self, *_args: object) -> list[Any]:
        return [SimpleNamespace(offset=offset) for offset in range(100, 100 + self.open)]

    def committed(self, *_args: object) -> int | None:
        return None


class Marks:
    """The mark that two records are visible."""

    def __init__(self, *_args: object) -> None:
        pass

    async def read(self) -> VisibleMark:
        return VisibleMark(partition=HOME, history_offset=3, ledger_offset=2)


class NoWait(ManualClock):
    """Nobody has to push it."""

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "FencedProducer", Transactions)
    monkeypatch.setattr(owner, "MarkReader", Marks)


def owned(store: Stores, codec: Bytes) -> Owner:
    clock, metrics, settings = NoWait(), Metrics(), Settings()
    desk = Desk(
        settings=settings,
        catalogue=Catalogue.of(settings.kafka),
        codec=cast("Any", codec),
        store=cast("Any", store),
        rules=RULES,
        clock=clock,
        metrics=metrics,
        patience=Patience(clock=clock, metrics=metrics),
    )
    return Owner(desk, HOME)


def message(offset: int) -> RawMessage:
    return RawMessage(topic="c", partition=HOME, offset=offset, key=None, value=b"", timestamp_ms=1)


async def verdicts(store: Stores) -> list[Verdict]:
    codec = Bytes(chunk(WHOLE, V1, lease_token=9))
    await owned(store, codec).judge([message(0)])
    return [record.verdict for record in codec.written if isinstance(record, ConformanceReport)]


async def test_what_the_store_says_already_is_no_news() -> None:
    assert await verdicts(Stores(Copy(V1, V1))) == [Verdict.NO_NEWS]


async def test_an_older_copy_that_is_put_back_during_an_outage_is_not_believed() -> None:
    """v1, v2, and v1 again: the copy that knows only v1 would call that no news."""
    store = Stores(Copy(V1, V2), AWAY, Copy(V1), Copy(V1, V2))
    assert await verdicts(store) == [Verdict.PASSED]


async def test_history_that_does_not_show_our_own_last_transaction_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A commit returns before every partition shows it; the overlay would lack those bars."""
    shown: Iterator[int] = iter((4, 8))
    read: list[int] = []

    async def recover(*_args: object) -> Recovered:
        read.append(next(shown))
        return Recovered(overlay=Overlay(HOME), next=read[-1], last_known=1)

    def bounds(_self: Owner) -> Sequence[int]:
        return (0, 100)

    monkeypatch.setattr(owner, "recover", recover)
    monkeypatch.setattr(Owner, "_bounds", bounds)
    mine = owned(Stores(Copy(V1, V1)), Bytes(chunk(WHOLE, V1, lease_token=9)))
    await mine.judge([message(7)])
    await mine.reload()
    assert read == [4, 8]


async def test_a_sleepers_older_answer_does_not_pass_after_a_later_lease_found_nothing_new() -> (
    None
):
    """Neither history nor the ledger shows that lease; the store's bars would be replaced."""
    codec = Bytes(chunk(WHOLE, V1, lease_token=9))
    mine = owned(Stores(Copy(V1, V1)), codec)
    await mine.judge([message(0)])
    for offset, (prices, token) in enumerate([(V2, 8), (V2, 9), (V2, 10)], 1):
        codec.found = chunk(WHOLE, prices, lease_token=token)
        await mine.judge([message(offset)])
    reports = [record for record in codec.written if isinstance(record, ConformanceReport)]
    assert [each.verdict for each in reports] == [
        Verdict.NO_NEWS,
        Verdict.STALE,
        Verdict.PASSED,
        Verdict.PASSED,
    ]
    assert reports[1].error_class == "stale_token"


async def test_a_chunk_is_stale_by_what_is_on_its_way_in_the_same_transaction() -> None:
    codec = Bytes(chunk(WHOLE, V2, lease_token=9))
    mine = owned(Stores(Copy(V1, V1)), codec)
    found = iter([chunk(WHOLE, V2, lease_token=9), chunk(slots(1, 2), {1: 3.0}, lease_token=8)])

    async def decode(*_args: object) -> BarChunk:
        return next(found)

    codec.decode = decode  # type: ignore[method-assign]
    await mine.judge([message(0), message(1)])
    reports = [record for record in codec.written if isinstance(record, ConformanceReport)]
    assert [each.verdict for each in reports] == [Verdict.PASSED, Verdict.STALE]
