"""A server that dies and comes back: nothing acknowledged is missed, nobody has to start anew."""

from collections.abc import Iterator

import numpy as np
import pytest

from bars.series import Series
from bars.window import Window
from ops.stack import LocalStack
from runtime.settings import Settings
from store import LedgerEntry, Store, StoreUnavailableError
from tests.servers.store_help import MINUTE, RANKS, put, record, walk

pytestmark = [pytest.mark.servers, pytest.mark.faults]

ROWS = 20_000
NODES = 30
WINDOW = Window(0, ROWS * MINUTE)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with Store.connect(settings.store) as made:
        made.ensure_tables([MINUTE])
        yield made


def test_the_first_read_after_a_crash_shows_all_that_was_acknowledged(
    local_stack: LocalStack, store: Store
) -> None:
    """The server applies its log only after it is up again, and shows old data meanwhile."""
    writer = store.writer()
    sent = [record(Series(f"n{i}", MINUTE), walk(ROWS, i), 5) for i in range(NODES)]
    put(writer, sent[0])
    for one in sent[1:]:
        writer.write([one])
    local_stack.kill("questdb")
    with pytest.raises(StoreUnavailableError) as caught:
        store.reader.bars(sent[0].series, WINDOW, RANKS)
    assert caught.value.retriable
    with pytest.raises(StoreUnavailableError):
        writer.write(sent[:1])
    local_stack.start("questdb")
    assert len(store.reader.bars(sent[-1].series, WINDOW, RANKS)) == ROWS
    assert writer.verify(sent) == []


def test_the_ledger_and_the_writer_go_on_after_a_crash(
    local_stack: LocalStack, store: Store
) -> None:
    writer = store.writer()
    series = Series("n", MINUTE)
    first, second = record(series, walk(500, 1), 5), record(series, walk(500, 2), 6)
    put(writer, first)
    entry = LedgerEntry(
        series=first.series,
        lane=first.lane,
        window=Window(0, 500 * MINUTE),
        known=5,
        bars=500,
        content_hash="",
        partition=0,
        offset=7,
    )
    store.ledger.add([entry])
    local_stack.kill("questdb")
    with pytest.raises(StoreUnavailableError):
        store.ledger.highest_offset(0)
    local_stack.start("questdb")
    assert store.ledger.highest_offset(0) == 7
    put(writer, second)
    found = store.reader.versions(first.series, WINDOW)
    assert np.unique(found.known).tolist() == [5, 6]
