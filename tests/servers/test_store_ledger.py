"""What is covered, and who may write, on the real server."""

import dataclasses
import secrets
import threading
from collections.abc import Iterator

import pytest

from bars.errors import InvalidValueError
from bars.series import Series
from bars.window import Window
from ops.stack import Addresses
from store import (
    Ledger,
    LedgerEntry,
    LedgerState,
    Owner,
    Store,
    StoreOwnedError,
    UnstorableRowError,
)
from tests.servers.store_help import new_store

pytestmark = pytest.mark.servers

LANE = "bf:first"


@pytest.fixture(scope="module")
def shared(stack: Addresses) -> Iterator[Store]:
    with new_store(stack.dsn) as made:
        yield made


@pytest.fixture
def ledger(shared: Store) -> Ledger:
    """A ledger in which nobody else writes about `series`."""
    return shared.ledger


@pytest.fixture
def series() -> Series:
    return Series(f"it's {secrets.token_hex(4)}", 60)


@pytest.fixture
def store(stack: Addresses) -> Iterator[Store]:
    """A store of one's own."""
    with new_store(stack.dsn) as made:
        yield made


def entry(series: Series, start: int, end: int, **changes: object) -> LedgerEntry:
    made = LedgerEntry(
        series=series,
        lane=LANE,
        window=Window(start, end),
        known=5,
        token=1,
        bars=(end - start) // 60,
        content_hash="c0ffee",
        partition=2,
        offset=10,
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]  # one helper for all


def test_an_entry_comes_back_as_it_was(ledger: Ledger, series: Series) -> None:
    entries = [
        entry(series, 0, 600),
        entry(series, 600, 1_200, lane="roll", known=2**52, token=7 << 40),
    ]
    ledger.add(entries[::-1])
    assert ledger.entries(series) == tuple(entries)
    assert ledger.entries(series, lane="roll") == (entries[1],)
    assert ledger.entries(series, Window(599, 600)) == (entries[0],)


def test_adding_again_changes_nothing(ledger: Ledger, series: Series) -> None:
    for _ in range(3):
        ledger.add([entry(series, 0, 600), entry(series, 600, 1_200)])
    assert len(ledger.entries(series)) == 2


def test_a_newer_record_of_a_window_is_a_second_entry(ledger: Ledger, series: Series) -> None:
    ledger.add(
        [
            entry(series, 0, 600, known=5),
            entry(series, 0, 600, known=6),
            entry(series, 0, 1_200, known=6),
        ]
    )
    assert [(e.window.end, e.known) for e in ledger.entries(series)] == [
        (600, 5),
        (600, 6),
        (1_200, 6),
    ]


def test_coverage_is_the_union_of_windows(ledger: Ledger, series: Series) -> None:
    ledger.add(
        [
            entry(series, 0, 600),
            entry(series, 600, 900, lane="roll"),
            entry(series, 840, 1_200),
            entry(series, 1_800, 2_400),
            entry(Series("B", 60), 0, 9_000),
            entry(Series(series.node, 300), 0, 9_000),
        ]
    )
    assert ledger.windows(series) == (Window(0, 1_200), Window(1_800, 2_400))
    assert ledger.windows(series, lanes=[LANE]) == (
        Window(0, 600),
        Window(840, 1_200),
        Window(1_800, 2_400),
    )
    assert ledger.windows(series, lanes=[LANE, "roll"], window=Window(300, 1_860)) == (
        Window(300, 1_200),
        Window(1_800, 1_860),
    )
    assert ledger.windows(series, lanes=["bf:nobody"]) == ()
    assert ledger.windows(series, lanes=[]) == ()
    assert ledger.windows(series, window=Window(1_200, 1_800)) == ()


def test_tokens_and_offsets_have_their_highest(store: Store, series: Series) -> None:
    ledger = store.ledger
    assert ledger.highest_token() == 0
    assert ledger.highest_offset(2) == -1
    assert ledger.highest_token_of(series, LANE, Window(0, 600)) == 0
    ledger.add(
        [
            entry(series, 0, 600, token=3, offset=10),
            entry(series, 600, 1_200, token=9, offset=8),
            entry(series, 0, 600, lane="roll", token=5, offset=99, partition=3),
            entry(Series("B", 60), 0, 600, token=2**60, offset=2**40),
        ]
    )
    assert ledger.highest_token() == 2**60
    assert ledger.highest_token_of(series, LANE, Window(0, 600)) == 3
    assert ledger.highest_token_of(series, LANE, Window(599, 601)) == 9
    assert ledger.highest_token_of(series, LANE, Window(1_200, 1_260)) == 0
    assert ledger.highest_offset(2) == 2**40
    assert ledger.highest_offset(3) == 99
    assert ledger.highest_offset(0) == -1
    assert ledger.highest_offsets([0, 2, 3]) == {0: -1, 2: 2**40, 3: 99}
    assert ledger.highest_offsets([]) == {}


def test_entries_written_directly_are_of_no_partition(store: Store, series: Series) -> None:
    ledger = store.ledger
    ledger.add([entry(series, 0, 600, partition=-1, offset=-1, token=0)])
    assert ledger.highest_offset(-1) == -1
    assert ledger.highest_token() == 0


def test_the_state_of_a_window_changes_with_every_entry(ledger: Ledger, series: Series) -> None:
    assert ledger.state(series, Window(0, 600)) == LedgerState(0, 0)
    ledger.add([entry(series, 0, 600, known=5)])
    assert ledger.state(series, Window(540, 900)) == LedgerState(1, 5)
    ledger.add([entry(series, 0, 600, known=9), entry(series, 600, 660, known=7)])
    assert ledger.state(series, Window(540, 900)) == LedgerState(3, 9)
    assert ledger.state(series, Window(600, 900)) == LedgerState(1, 7)
    assert ledger.state(series, Window(900, 960)) == LedgerState(0, 0)


def test_nothing_to_add_asks_nobody(ledger: Ledger, series: Series) -> None:
    ledger.add([])
    assert ledger.entries(series) == ()


@pytest.mark.parametrize("changes", [{"window": Window(-60, 0)}, {"known": 0}, {"known": -1}])
def test_what_the_server_would_change_is_refused(
    ledger: Ledger, series: Series, changes: dict[str, object]
) -> None:
    with pytest.raises(UnstorableRowError):
        ledger.add([entry(series, 0, 600), entry(series, 600, 660, **changes)])
    assert ledger.entries(series) == ()


def test_a_free_store_goes_to_the_first_who_claims_it(store: Store) -> None:
    assert store.meta.owner() is None
    mine = store.meta.claim("kafka", "a.")
    assert (mine.writers, mine.prefix) == ("kafka", "a.")
    assert mine.created > 1_600_000_000_000_000
    assert store.meta.claim("kafka", "a.") == store.meta.owner() == mine


def test_direct_writers_are_refused_where_kafka_writes(store: Store) -> None:
    store.meta.claim("kafka", "a.")
    with pytest.raises(StoreOwnedError) as caught:
        store.meta.claim("direct")
    assert (caught.value.owner, caught.value.prefix) == ("kafka", "a.")
    assert not caught.value.retriable


def test_two_kafkas_cannot_share_a_store(store: Store) -> None:
    store.meta.claim("kafka", "it's.")
    with pytest.raises(StoreOwnedError):
        store.meta.claim("kafka", "b.")


def test_direct_writers_share_a_store_until_kafka_takes_it_over(store: Store) -> None:
    assert store.meta.claim("direct") == store.meta.claim("direct")
    store.meta.claim("kafka", "a.")
    with pytest.raises(StoreOwnedError):
        store.meta.claim("direct")


def test_a_claim_of_something_else_is_refused(store: Store) -> None:
    with pytest.raises(InvalidValueError):
        store.meta.claim("me")  # type: ignore[arg-type]  # what is tested
    assert store.meta.owner() is None


def test_of_many_who_claim_at_once_one_owns(store: Store) -> None:
    outcomes: dict[str, Owner | StoreOwnedError] = {}
    start = threading.Barrier(6)

    def claim(prefix: str) -> None:
        start.wait(10)
        try:
            outcomes[prefix] = store.meta.claim("kafka", prefix)
        except StoreOwnedError as error:
            outcomes[prefix] = error

    threads = [threading.Thread(target=claim, args=(f"p{i}.",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    owner = store.meta.owner()
    assert owner is not None
    assert len(outcomes) == 6
    assert [p for p, o in outcomes.items() if isinstance(o, Owner)] == [owner.prefix]
    assert {outcome.prefix for outcome in outcomes.values()} == {owner.prefix}
