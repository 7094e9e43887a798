"""History into QuestDB, on the real servers."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from avro_schemas import BarChunk, ConformanceReport, Receipt, Verdict, VisibleMark, Watermark
from bars.series import Series
from runtime import Settings
from store import Dsn, Store
from tests.servers.agents import Agents, Road, agents_of, chunk_of, write_config
from tests.servers.road_kit import MINUTE, NODE, RANKS, series_in, stored, walk, window_of
from topics import (
    Delivered,
    FencedProducer,
    deadletter_info,
    history_key,
    partition_of,
    watermark_key,
)

pytestmark = pytest.mark.servers

BARS = 500
"""Of one chunk."""


@pytest.fixture
def nodes(applied: Settings) -> list[Series]:
    """One series in each partition."""
    return [series_in(applied, p) for p in range(applied.kafka.partitions)]


@pytest.fixture
def agents(applied: Settings, nodes: list[Series], tmp_path: Path) -> Iterator[Agents]:
    config = write_config(
        tmp_path / "seamless.yaml",
        applied,
        materialize={"flush_rows": 5_000, "flush_wait_ms": 100},
        sources={"one": {"kind": "csv", "path": "none.csv"}},
        nodes={
            node.node: {"interval": "1m", "sources": ["one"], "calendar": "24/7"}
            for node in (NODE, *nodes)
        },
    )
    with agents_of(config, tmp_path) as started:
        yield started


@pytest.fixture
async def road(applied: Settings) -> AsyncIterator[Road]:
    async with Road(applied) as opened:
        yield opened


def chunks_of(series: list[Series], count: int) -> list[BarChunk]:
    """Return that many chunks of each series, their windows one after another."""
    return [
        chunk_of(each, "one", window_of(BARS * i, BARS), walk(BARS * i, BARS, seed))
        for i in range(count)
        for seed, each in enumerate(series)
    ]


def check_store(road: Road, series: list[Series], count: int) -> None:
    """Compare every bar, and the ledger."""
    whole = window_of(0, BARS * count)
    with Store.connect(road.settings.store) as store:
        for seed, each in enumerate(series):
            found = store.reader.bars(each, whole, RANKS)
            parts = [walk(BARS * i, BARS, seed) for i in range(count)]
            assert found.ts.tolist() == np.concatenate([p.ts for p in parts]).tolist()
            assert found.equals(type(found).concat(parts))
            assert len(store.reader.versions(each, whole)) == BARS * count
            assert store.ledger.windows(each) == (whole,)
            assert len(store.ledger.entries(each)) == count


async def all_marked(road: Road, sent: list[Delivered]) -> None:
    for partition in {s.partition for s in sent}:
        last = max(s.offset for s in sent if s.partition == partition)
        await road.marked(partition, last + 1, 120)


async def test_a_chunk_goes_all_the_way(agents: Agents, road: Road) -> None:
    """Chunk, verdict, history, QuestDB, ledger, receipt, mark; and asked to stop, both stop."""
    conform, materialize = agents.start("conform", ready=False), agents.start("materialize")
    conform.wait_ready()
    bars, window = walk(0, BARS), window_of(0, BARS)
    (sent,) = await road.publish(chunk_of(NODE, "one", window, bars, lease_token=7))
    verdict = await road.verdict(sent)
    assert (verdict.verdict, verdict.bars, verdict.session_bars) == (Verdict.PASSED, BARS, BARS)
    receipt = await road.receipt(sent)
    assert (receipt.bars, receipt.known) == (BARS, verdict.known)
    await road.marked(sent.partition, sent.offset + 1)
    assert stored(road.settings, NODE, window).equals(bars)
    with Store.connect(road.settings.store) as store:
        (entry,) = store.ledger.entries(NODE)
        assert (entry.window, entry.token, entry.bars) == (window, 7, BARS)
        assert entry.offset == receipt.history_offset
        (mark,) = [
            r
            for _, r in await road.everything(road.catalogue.visible)
            if isinstance(r, VisibleMark) and r.partition == sent.partition
        ]
        assert mark.ledger_offset == store.ledger.highest_offset(sent.partition)
    assert mark.conform_last_known == verdict.known
    assert (conform.stop(), materialize.stop()) == (0, 0)


async def test_killed_at_work_it_loses_and_doubles_nothing(
    agents: Agents, road: Road, nodes: list[Series]
) -> None:
    """SIGKILL three times while it flushes; every bar is compared with the source."""
    agents.start("conform")
    sent = await road.publish(*chunks_of(nodes, 20))
    for _ in range(3):
        materialize = agents.start("materialize", ready=False)
        materialize.wait_line("stored")
        materialize.kill()
    agents.start("materialize")
    await all_marked(road, sent)
    check_store(road, nodes, 20)


async def test_a_frozen_process_that_wakes_changes_nothing(
    agents: Agents, road: Road, nodes: list[Series]
) -> None:
    """SIGSTOP of both for longer than the session while others take over, then SIGCONT."""
    frozen = [agents.start("conform"), agents.start("materialize")]
    sent = await road.publish(*chunks_of(nodes, 10))
    for agent in frozen:
        agent.wait_line("judged" if agent.role == "conform" else "stored")
        agent.send(signal.SIGSTOP)
    for agent in frozen:
        agents.start(agent.role)
    await all_marked(road, sent)
    for agent in frozen:
        agent.send(signal.SIGCONT)
    more = await road.publish(*chunks_of(nodes, 14)[len(sent) :])
    await all_marked(road, [*sent, *more])
    check_store(road, nodes, 14)
    reports = [r for _, r in await road.everything(road.catalogue.reports)]
    places = [
        (r.chunk_partition, r.chunk_offset) for r in reports if isinstance(r, ConformanceReport)
    ]
    assert len(places) == len(set(places)) == len(sent) + len(more)
    marks: dict[int, list[int]] = {}
    for _, mark in await road.everything(road.catalogue.visible):
        assert isinstance(mark, VisibleMark)
        marks.setdefault(mark.partition, []).append(mark.history_offset)
    assert all(offsets == sorted(offsets) for offsets in marks.values())


async def test_a_suspended_table_is_alarmed_and_nothing_is_told(agents: Agents, road: Road) -> None:
    """It acknowledges rows and never shows them."""
    agents.start("conform")
    materialize = agents.start("materialize")
    (first,) = await road.publish(chunk_of(NODE, "one", window_of(0, BARS), walk(0, BARS)))
    await road.receipt(first)
    store = Store(road.settings.store)
    table = store.bars_table(NODE.interval)
    store.close()
    await execute(road, f'ALTER TABLE "{table}" SUSPEND WAL')
    (sent,) = await road.publish(chunk_of(NODE, "one", window_of(BARS, BARS), walk(BARS, BARS)))
    materialize.wait_line("store_suspended", count=2)
    receipts = [r for _, r in await road.everything(road.catalogue.coverage)]
    assert [r.chunk_offset for r in receipts if isinstance(r, Receipt)] == [first.offset]
    await execute(road, f'ALTER TABLE "{table}" RESUME WAL')
    await road.receipt(sent)
    assert stored(road.settings, NODE, window_of(BARS, BARS)).equals(walk(BARS, BARS))
    assert materialize.stop() == 0


async def execute(road: Road, statement: str) -> None:
    address = Dsn.parse(road.settings.store.dsn).address
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=10) as client:
        answer = await client.get("/exec", params={"query": statement})
    assert answer.status_code == 200, answer.text


async def test_what_nobody_can_read_or_store_is_in_the_dead_letters_and_the_rest_goes_on(
    agents: Agents, road: Road
) -> None:
    """Bytes that are no record, a record that is no frame, and one after them that is right."""
    partition = partition_of(NODE.key, road.settings.kafka.partitions)
    history = road.catalogue.history
    window, bars = window_of(0, BARS), walk(0, BARS)
    good = chunk_of(NODE, "one", window, bars, known=1_700_000_000_000_000, chunk_offset=0)
    wrong = chunk_of(
        NODE, "one", window, bars, known=-5, chunk_offset=1, lease_token=3, request_id="r"
    )
    ragged = chunk_of(NODE, "one", window, bars, known=1, close=bars.close[:3])
    encode = road.codec.encode
    key = history_key(NODE.node, NODE.interval, "bf:one", window.start, window.end)
    mark = Watermark(role="conform", partition=partition, next_input_offset=2, last_known=1)
    values = [
        (key, b"no avro"),
        (key, await encode(history, ragged)),
        (key, await encode(history, wrong)),
        (key, None),
        (key, await encode(history, good)),
        (watermark_key("conform", partition), await encode(history, mark)),
    ]
    await asyncio.to_thread(write_history, road.settings, history.name, partition, values)
    materialize = agents.start("materialize")
    await road.marked(partition, 2)
    letters = [m for m, _ in await road.everything(road.catalogue.deadletter)]
    told = [info for m in letters if (info := deadletter_info(m))]
    assert [(i.error_class, i.offset) for i in told] == [
        ("not_avro", 0),
        ("unstorable", 1),
        ("unstorable", 2),
    ]
    assert [m.value for m in letters] == [value for _, value in values[:3]]
    reports = [r for _, r in await road.everything(road.catalogue.reports)]
    failed = [r for r in reports if isinstance(r, ConformanceReport)]
    assert [(r.verdict, r.error_class) for r in failed] == [(Verdict.BLOCKED, "unstorable")] * 2
    report = failed[1]
    assert (report.chunk_offset, report.lease_token, report.request_id) == (1, 3, "r")
    assert stored(road.settings, NODE, window).equals(bars)
    with Store.connect(road.settings.store) as store:
        assert [e.offset for e in store.ledger.entries(NODE)] == [4]
    assert materialize.stop() == 0


def write_history(
    settings: Settings, topic: str, partition: int, values: list[tuple[str, bytes | None]]
) -> None:
    producer = FencedProducer(settings.kafka, f"{settings.kafka.prefix}test")
    producer.start()
    producer.begin()
    for key, value in values:
        producer.produce(topic, key, value, partition=partition)
    producer.commit()
    producer.close()


async def test_a_store_put_back_fills_itself_again(
    agents: Agents, road: Road, nodes: list[Series]
) -> None:
    """The tables are emptied under a running process, as an older copy of the files would."""
    agents.start("conform")
    materialize = agents.start("materialize")
    sent = await road.publish(*chunks_of(nodes, 4))
    await all_marked(road, sent)
    with Store.connect(road.settings.store) as store:
        for table in (store.bars_table(MINUTE), f"{road.settings.store.table_prefix}bar_chunks"):
            await execute(road, f'TRUNCATE TABLE "{table}"')
    assert materialize.wait(60) == 1
    agents.start("materialize").wait_line("store_went_back", count=4)
    told_again = 2 * len(sent)
    await road.until(road.catalogue.coverage, lambda _m, r: isinstance(r, Receipt), 60, told_again)
    check_store(road, nodes, 4)
    (again,) = await road.publish(chunks_of(nodes, 1)[0])
    verdict = await road.verdict(again)
    assert verdict.verdict in (Verdict.PASSED, Verdict.NO_NEWS)
