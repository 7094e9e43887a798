"""Making and checking tables on the real server, and tables that stop applying."""

import dataclasses
import os
import socket
from collections.abc import Iterator

import pytest

from bars.series import Series
from runtime.settings import Settings
from store import RefusedQueryError, Store, SuspendedTableError, TableMismatchError
from tests.servers.store_help import MINUTE, RANKS, SPAN, new_series, prices, put, record, run

pytestmark = pytest.mark.servers


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """A store without tables."""
    with Store.connect(settings.store) as made:
        yield made


@pytest.fixture
def series() -> Series:
    return new_series()


def test_tables_are_made_once_and_then_found_as_they_should_be(
    store: Store, settings: Settings
) -> None:
    prefix = settings.store.table_prefix
    names = ("seamless_meta", "bar_chunks", "bars_1m", "bars_1d")
    assert store.ensure_tables([86_400, MINUTE]) == tuple(prefix + name for name in names)
    assert store.ensure_tables([MINUTE, 86_400]) == ()
    assert store.ensure_tables([3_600]) == (f"{prefix}bars_1h",)


def test_a_store_made_for_fewer_series_is_still_ours(settings: Settings) -> None:
    small = dataclasses.replace(settings.store, series_expected=1)
    large = dataclasses.replace(settings.store, series_expected=100_000)
    with Store.connect(small) as first, Store.connect(large) as second:
        assert len(first.ensure_tables([MINUTE])) == 3
        assert second.ensure_tables([MINUTE]) == ()


def test_prefixes_keep_stores_apart(settings: Settings, store: Store, series: Series) -> None:
    longer = dataclasses.replace(settings.store, table_prefix=settings.store.table_prefix + "x_")
    with Store.connect(longer) as other:
        other.ensure_tables([MINUTE])
        store.ensure_tables([MINUTE])
        put(store.writer(), record(series, prices([60], 1.0), 5))
        assert len(other.reader.bars(series, SPAN, RANKS)) == 0


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("DROP COLUMN lane", "column lane SYMBOL is absent"),
        ("ADD COLUMN extra INT", "column extra is not ours"),
        ("ALTER COLUMN node DROP INDEX", "column node must be indexed"),
        ("ALTER COLUMN close TYPE FLOAT", "column close must be DOUBLE, was FLOAT"),
        ("DEDUP DISABLE", "dedup keys must be known, lane, node, ts, were none"),
        (
            "DEDUP ENABLE UPSERT KEYS(ts, node)",
            "dedup keys must be known, lane, node, ts, were node, ts",
        ),
    ],
)
def test_a_table_that_somebody_changed_is_named(store: Store, change: str, difference: str) -> None:
    store.ensure_tables([MINUTE])
    table = store.bars_table(MINUTE)
    run(store, f"ALTER TABLE {table} {change}")
    store.writer().wait_visible([table])
    with pytest.raises(TableMismatchError) as caught:
        store.ensure_tables([MINUTE])
    assert caught.value.table == table
    assert difference in caught.value.differences


def test_a_table_of_somebody_else_is_named(store: Store, settings: Settings) -> None:
    table = f"{settings.store.table_prefix}bar_chunks"
    run(store, f"CREATE TABLE {table} (t TIMESTAMP) TIMESTAMP(t) PARTITION BY DAY BYPASS WAL")
    with pytest.raises(TableMismatchError) as caught:
        store.ensure_tables([])
    assert "must be a WAL table" in caught.value.differences
    assert "designated timestamp must be start, was t" in caught.value.differences


def test_a_suspended_table_is_seen_before_anything_is_called_visible(
    store: Store, series: Series
) -> None:
    """It goes on acknowledging rows; only the wait can tell."""
    store.ensure_tables([MINUTE])
    writer, table = store.writer(), store.bars_table(MINUTE)
    put(writer, record(series, prices([60], 1.0), 5))
    run(store, f"ALTER TABLE {table} SUSPEND WAL WITH 'DISK FULL', 'no space left'")
    with pytest.raises(SuspendedTableError) as idle:
        writer.wait_visible([table])
    assert (idle.value.table, idle.value.reason) == (table, "DISK FULL no space left")
    later = record(series, prices([120], 2.0), 6)
    assert writer.write([later]) == (table,)
    with pytest.raises(SuspendedTableError) as behind:
        writer.wait_visible([table])
    assert (behind.value.table, behind.value.reason) == (table, "DISK FULL no space left")
    assert not behind.value.retriable
    assert len(writer.verify([later])) == 1
    run(store, f"ALTER TABLE {table} RESUME WAL")
    writer.wait_visible([table])
    assert writer.verify([later]) == []


def test_a_suspended_ledger_is_seen_by_who_adds_to_it(store: Store, settings: Settings) -> None:
    store.ensure_tables([MINUTE])
    table = f"{settings.store.table_prefix}bar_chunks"
    run(store, f"ALTER TABLE {table} SUSPEND WAL")
    with pytest.raises(SuspendedTableError):
        store.writer().wait_visible([store.bars_table(MINUTE), table])


def test_a_new_connection_does_not_read_a_table_that_is_behind(
    store: Store, settings: Settings, series: Series
) -> None:
    """What it would show is older than what was acknowledged."""
    store.ensure_tables([MINUTE])
    writer, table = store.writer(), store.bars_table(MINUTE)
    run(store, f"ALTER TABLE {table} SUSPEND WAL")
    writer.write([record(series, prices([60], 1.0), 5)])
    with Store.connect(settings.store) as other, pytest.raises(SuspendedTableError):
        other.reader.bars(series, SPAN, RANKS)


def test_a_connection_that_broke_is_replaced_without_an_error_when_it_was_idle(
    store: Store, series: Series
) -> None:
    store.ensure_tables([MINUTE])
    put(store.writer(), record(series, prices([60], 1.0), 5))
    for link in store._query.pg._idle:
        # What a server that is stopped does to every client.
        with socket.socket(fileno=os.dup(link._pgconn.socket)) as end:
            end.shutdown(socket.SHUT_RDWR)
    assert len(store.reader.bars(series, SPAN, RANKS)) == 1


def test_a_wrong_password_is_no_reason_to_try_again(settings: Settings) -> None:
    wrong = settings.store.dsn.replace("questdb://", "questdb://admin:wrong@")
    with pytest.raises(RefusedQueryError, match="password") as caught:
        Store.connect(dataclasses.replace(settings.store, dsn=wrong))
    assert not caught.value.retriable
    assert "wrong@" not in str(caught.value)


def test_a_query_that_the_server_refuses_leaves_the_connection_usable(store: Store) -> None:
    with pytest.raises(RefusedQueryError):
        run(store, "SELECT nope FROM tables()")
    store.ping()
    assert len(store._query.pg._idle) == 1
