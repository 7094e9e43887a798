"""Verdicts and the order of versions, on the real servers."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avro_schemas import BarChunk, Record, RevisionKind, Verdict, Watermark
from bars.frame import BarFrame
from bars.series import Series
from bars.versions import newest_of_lane
from runtime import Settings
from store import Store
from tests.servers.agents import Agents, Road, agents_of, chunk_of, write_config
from tests.servers.road_kit import (
    MINUTE,
    NODE,
    START,
    changed,
    series_in,
    stored,
    walk,
    window_of,
    without,
)
from topics import Delivered, RawMessage, deadletter_info

pytestmark = pytest.mark.servers

WINDOW = window_of(0, 20)
BARS = walk(0, 20)


@pytest.fixture
def agents(applied: Settings, tmp_path: Path) -> Iterator[Agents]:
    nodes = [NODE, *(series_in(applied, p) for p in range(applied.kafka.partitions))]
    config = write_config(
        tmp_path / "seamless.yaml",
        applied,
        sources={name: {"kind": "csv", "path": "none.csv"} for name in ("one", "two")},
        nodes={
            node.node: {"interval": "1m", "sources": ["one", "two"], "calendar": "24/7"}
            for node in nodes
        },
    )
    with agents_of(config, tmp_path) as started:
        yield started


@pytest.fixture
async def road(applied: Settings) -> AsyncIterator[Road]:
    async with Road(applied) as opened:
        yield opened


def chunk(bars: BarFrame, source: str = "one", **fields: object) -> BarChunk:
    return chunk_of(NODE, source, WINDOW, bars, **fields)


async def visible(road: Road, sent: Delivered) -> None:
    await road.marked(sent.partition, sent.offset + 1)


async def history(road: Road) -> list[tuple[RawMessage, Record | None]]:
    return await road.everything(road.catalogue.history)


async def bars_in_history(road: Road) -> list[BarChunk]:
    return [record for _, record in await history(road) if isinstance(record, BarChunk)]


async def test_v1_v2_v1_while_v2_is_on_its_way_ends_with_v1(agents: Agents, road: Road) -> None:
    """The store shows v1 while the third comes: against it alone the third would be no news."""
    agents.start("conform")
    materialize = agents.start("materialize")
    second = changed(BARS, 5, 105.0)
    (first,) = await road.publish(chunk(BARS))
    await visible(road, first)
    materialize.kill()
    sent = await road.publish(chunk(second), chunk(BARS))
    verdicts = [await road.verdict(each) for each in sent]
    assert [v.verdict for v in verdicts] == [Verdict.PASSED, Verdict.PASSED]
    assert [r.kind for v in verdicts for r in v.revisions] == [RevisionKind.CHANGED] * 2
    agents.start("materialize")
    await visible(road, sent[-1])
    assert stored(road.settings, NODE, WINDOW).equals(BARS)
    (again,) = await road.publish(chunk(BARS))
    assert (await road.verdict(again)).verdict is Verdict.NO_NEWS


async def test_records_with_one_append_time_keep_their_order(agents: Agents, road: Road) -> None:
    """They come in one batch; their versions differ all the same, in the order of the topic."""
    conform = agents.start("conform")
    versions = [changed(BARS, 3, 101.0 + i) for i in range(8)]
    sent = await road.publish(*(chunk(v) for v in versions))
    verdicts = [await road.verdict(each) for each in sent]
    assert len({s.timestamp_ms for s in sent}) < len(sent)
    known = [v.known for v in verdicts]
    assert known == sorted(set(known))
    for each, report in zip(sent, verdicts, strict=True):
        assert report.known >= each.timestamp_ms * 1_000
    assert conform.stop() == 0
    agents.start("materialize")
    await visible(road, sent[-1])
    assert stored(road.settings, NODE, WINDOW).equals(versions[-1])


async def test_a_bar_that_the_source_withdraws_is_gone_and_comes_back(
    agents: Agents, road: Road
) -> None:
    agents.start("conform", ready=False)
    agents.start("materialize")
    (full,) = await road.publish(chunk(BARS))
    await visible(road, full)
    (less,) = await road.publish(chunk(without(BARS, 7)))
    verdict = await road.verdict(less)
    assert [(r.ts, r.kind) for r in verdict.revisions] == [
        (START + 7 * MINUTE, RevisionKind.WITHDRAWN)
    ]
    await visible(road, less)
    assert stored(road.settings, NODE, WINDOW).equals(without(BARS, 7))
    (again,) = await road.publish(chunk(without(BARS, 7)))
    assert (await road.verdict(again)).verdict is Verdict.NO_NEWS
    (back,) = await road.publish(chunk(BARS))
    assert [r.kind for r in (await road.verdict(back)).revisions] == [RevisionKind.RESTORED]
    await visible(road, back)
    assert stored(road.settings, NODE, WINDOW).equals(BARS)


async def test_the_lane_of_higher_rank_wins_whenever_it_comes(agents: Agents, road: Road) -> None:
    agents.start("conform", ready=False)
    agents.start("materialize")
    low, high = changed(BARS, 2, 90.0), changed(BARS, 2, 110.0)
    first, second, third = await road.publish(
        chunk(low, "two"), chunk(high, "one"), chunk(changed(low, 2, 91.0), "two")
    )
    await visible(road, third)
    assert stored(road.settings, NODE, WINDOW).equals(high)
    kinds = [[r.kind for r in (await road.verdict(s)).revisions] for s in (first, second, third)]
    assert kinds == [[], [RevisionKind.CHANGED], [RevisionKind.OUTRANKED]]
    with Store.connect(road.settings.store) as store:
        lower = newest_of_lane(store.reader.newest(NODE, WINDOW), "bf:two")
    assert lower.bars.close[2] == 91.0


async def test_what_can_never_be_right_is_in_the_dead_letters_with_its_bytes(
    agents: Agents, road: Road
) -> None:
    """And has a verdict, so that nobody waits for ever; the next chunk goes its way."""
    agents.start("conform")
    spoiled = BARS.close.copy()
    spoiled[1] = np.inf
    infinite = BarFrame(BARS.ts, BARS.open, BARS.high, BARS.low, spoiled, BARS.volume)
    good = await road.codec.encode(road.catalogue.chunks, chunk(BARS))
    poison = {
        "not_avro": b"no avro at all",
        "unknown_schema": b"\x00" + (2_000_000_000).to_bytes(4, "big") + b"x",
        "schema_mismatch": good[:40],
    }
    blocked = {
        "conformance": chunk(infinite),
        "unknown_source": chunk(BARS, "three"),
        "empty_unconfirmed": chunk(BarFrame.empty()),
    }
    sent = {name: await road.publish_bytes(value, NODE.key) for name, value in poison.items()}
    for name, wrong in blocked.items():
        (sent[name],) = await road.publish(wrong)
    (last,) = await road.publish(chunk(BARS))
    assert (await road.verdict(last)).verdict is Verdict.PASSED
    for name, each in sent.items():
        report = await road.verdict(each)
        assert (report.verdict, report.error_class) == (Verdict.BLOCKED, name)
    letters = await road.everything(road.catalogue.deadletter)
    told = {info.error_class: (m, info) for m, _ in letters if (info := deadletter_info(m))}
    assert told.keys() == sent.keys()
    for name, (message, info) in told.items():
        assert (info.topic, info.partition, info.offset) == (
            road.catalogue.chunks.name,
            sent[name].partition,
            sent[name].offset,
        )
        if name in poison:
            assert message.value == poison[name]
    assert len(await bars_in_history(road)) == 1


async def test_a_chunk_fetched_under_an_older_lease_is_stale(agents: Agents, road: Road) -> None:
    """Decided by what is committed: history that nobody has stored, the ledger, a verdict."""
    conform = agents.start("conform")
    sent = await road.publish(chunk(BARS, lease_token=9), chunk(BARS, lease_token=8))
    assert [(await road.verdict(s)).verdict for s in sent] == [Verdict.PASSED, Verdict.STALE]
    agents.start("materialize")
    await visible(road, sent[-1])
    conform.kill()
    second = agents.start("conform")
    later = await road.publish(chunk(BARS, lease_token=7), chunk(BARS, lease_token=12))
    assert [(await road.verdict(s)).verdict for s in later] == [Verdict.STALE, Verdict.NO_NEWS]
    second.kill()
    agents.start("conform")
    (sleeper,) = await road.publish(chunk(changed(BARS, 1, 7.0), lease_token=11))
    assert (await road.verdict(sleeper)).verdict is Verdict.STALE


async def test_killed_at_work_it_judges_each_chunk_exactly_once(agents: Agents, road: Road) -> None:
    """SIGKILL three times while chunks are waiting; verdict, bars and watermark are one."""
    nodes = [series_in(road.settings, p) for p in range(road.settings.kafka.partitions)]
    chunks = [
        chunk_of(node, "one", window_of(20 * i, 20), walk(20 * i, 20, seed))
        for i in range(60)
        for seed, node in enumerate(nodes)
    ]
    sent = await road.publish(*chunks)
    for _ in range(3):
        conform = agents.start("conform", ready=False)
        conform.wait_line("judged")
        conform.kill()
    agents.start("conform")
    for each in sent:
        assert (await road.verdict(each)).verdict is Verdict.PASSED
    reports = await road.everything(road.catalogue.reports)
    assert len(reports) == len(chunks)
    assert len(await bars_in_history(road)) == len(chunks)
    marks = [(m.partition, r) for m, r in await history(road) if isinstance(r, Watermark)]
    for partition in {s.partition for s in sent}:
        last = [r for p, r in marks if p == partition][-1]
        assert last.next_input_offset == max(s.offset for s in sent if s.partition == partition) + 1


async def test_a_second_process_shares_the_partitions(agents: Agents, road: Road) -> None:
    """A rebalance in mid-work loses nothing and judges nothing twice."""
    nodes = [series_in(road.settings, p) for p in range(road.settings.kafka.partitions)]
    chunks = [
        chunk_of(node, "one", window_of(20 * i, 20), walk(20 * i, 20, seed))
        for i in range(50)
        for seed, node in enumerate(nodes)
    ]
    first = agents.start("conform")
    sent = await road.publish(*chunks[:100])
    second = agents.start("conform")
    sent += await road.publish(*chunks[100:])
    for each in sent:
        assert (await road.verdict(each)).verdict is Verdict.PASSED
    assert len(await road.everything(road.catalogue.reports)) == len(chunks)
    owned = [agent.lines("ready")[-1]["partitions"] for agent in (first, second)]
    assert sorted(owned[0] + owned[1]) == list(range(road.settings.kafka.partitions))
    assert (first.stop(), second.stop()) == (0, 0)


async def test_a_chunk_of_an_unknown_series_does_not_hold_up_others(
    agents: Agents, road: Road
) -> None:
    agents.start("conform")
    stranger = chunk_of(Series("ohlcv:test:nobody", MINUTE), "one", WINDOW, BARS)
    lost, found = await road.publish(stranger, replace(chunk(BARS), request_id="mine"))
    report = await road.verdict(lost)
    assert (report.verdict, report.error_class) == (Verdict.BLOCKED, "unknown_node")
    assert "ohlcv:test:nobody" in report.message
    assert (await road.verdict(found)).request_id == "mine"


async def test_chunks_that_retention_took_unjudged_are_told_and_what_follows_is_judged(
    agents: Agents, road: Road
) -> None:
    """One verdict for the whole range: nobody waits for ever for what nobody can judge."""
    conform = agents.start("conform")
    (judged,) = await road.publish(chunk(BARS))
    assert (await road.verdict(judged)).verdict is Verdict.PASSED
    assert conform.stop() == 0
    *gone, kept = await road.publish(*(chunk(changed(BARS, 1, 101.0 + i)) for i in range(3)))
    await road.take_chunks(kept)
    agents.start("conform")
    for each in gone:
        report = await road.verdict(each)
        assert (report.verdict, report.error_class) == (Verdict.EXPIRED, "expired")
        assert (report.chunk_offset, report.chunk_offset_end) == (gone[0].offset, kept.offset)
    assert (await road.verdict(kept)).verdict is Verdict.PASSED
    assert len(await road.everything(road.catalogue.reports)) == 3
