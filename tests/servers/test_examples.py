"""The examples as anybody would run them: other processes that have nothing of ours to import."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from avro_schemas import (
    BackfillRequest,
    ConformanceReport,
    Flag,
    Prices,
    RequestKind,
    Revision,
    RevisionKind,
    Verdict,
)
from runtime import Settings
from store import Dsn
from tests.servers.agents import Road
from topics import FencedProducer, Producer, RawMessage, Topic, deadletter_headers

pytestmark = pytest.mark.servers

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
async def road(applied: Settings) -> AsyncIterator[Road]:
    async with Road(applied) as opened:
        yield opened


async def run(example: str, settings: Settings, topic: Topic, cwd: Path) -> str:
    """Return what an example prints."""
    command = (sys.executable, "-P", str(EXAMPLES / example))
    registry = (settings.registry.url,) if topic.schema is not None else ()
    done = await asyncio.to_thread(
        subprocess.run,
        (*command, settings.kafka.bootstrap, *registry, topic.name),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def report(node: str, verdict: Verdict, **more: object) -> ConformanceReport:
    fields = {"chunk_partition": 0, "chunk_offset": 7, "chunk_offset_end": 8, "interval": 60}
    times = {"start": 600, "end": 1_200}
    return ConformanceReport(verdict=verdict, node_id=node, **fields, **times, **more)  # type: ignore[arg-type]


async def test_any_producer_can_publish_a_request_that_we_read(
    applied: Settings, road: Road, tmp_path: Path
) -> None:
    topic = road.catalogue.requests
    printed = (await run("publish_request.py", applied, topic, tmp_path)).strip()
    ((message, found),) = await road.until(topic, lambda _message, _record: True)
    assert found == BackfillRequest(
        request_id=printed,
        kind=RequestKind.SUBMIT,
        node_id="ohlcv:nasdaq:AAPL:1d",
        interval=86_400,
        start=951_868_800,
        end=1_362_182_400,
    )
    assert message.key == printed.encode()


async def test_an_audit_shows_each_verdict_with_its_flags_and_each_changed_bar(
    applied: Settings, road: Road, tmp_path: Path
) -> None:
    before = Prices(open=1.0, high=2.0, low=1.0, close=1.5, volume=9.0)
    flag = Flag(check="time.gaps", severity="INFO", rows=3, sample_ts=(600,), message="3 slots")
    changed = Revision(ts=660, kind=RevisionKind.WITHDRAWN, before=before)
    reports = [
        report("first", Verdict.PASSED, flags=(flag,), revisions=(changed,)),
        report("second", Verdict.NO_NEWS),
    ]
    topic = road.catalogue.reports
    for partition, each in enumerate(reports):
        value = await road.codec.encode(topic, each)
        await road.publish_bytes(value, key=f"k{partition}", topic=topic)
    printed = (await run("audit_reports.py", applied, topic, tmp_path)).splitlines()
    first = printed.index("PASSED first 600 1200 INFO time.gaps x3")
    assert printed[first + 1].split()[:2] == ["WITHDRAWN", "660"]
    assert "'close': 1.5" in printed[first + 1]
    assert printed[first + 1].endswith("-> None")
    assert "NO_NEWS second 600 1200" in printed
    assert len(printed) == 3


async def test_an_audit_ends_while_a_verdict_is_under_way_and_does_not_show_it(
    applied: Settings, road: Road, tmp_path: Path
) -> None:
    topic = road.catalogue.reports
    await road.publish_bytes(
        await road.codec.encode(topic, report("said", Verdict.PASSED)), topic=topic
    )
    unsaid = await road.codec.encode(topic, report("unsaid", Verdict.PASSED))
    judge = FencedProducer(applied.kafka, f"{applied.kafka.prefix}judge")
    try:
        await asyncio.to_thread(judge.start)
        judge.begin()
        for partition in range(applied.kafka.partitions):
            judge.produce(topic.name, "key", unsaid, partition=partition)
        assert await asyncio.to_thread(judge._client.flush, 30) == 0
        printed = await run("audit_reports.py", applied, topic, tmp_path)
    finally:
        await asyncio.to_thread(judge.close)
    assert printed.splitlines() == ["PASSED said 600 1200"]


async def test_a_dead_letter_is_shown_with_where_it_stood_and_why(
    applied: Settings, road: Road, tmp_path: Path
) -> None:
    topic = road.catalogue.deadletter
    message = RawMessage(
        topic="chunks", partition=3, offset=41, key=b"node|60", value=b"junk", timestamp_ms=0
    )
    headers = deadletter_headers(message, "not_avro", "no magic byte", 2, 86_400_000_000)
    producer = Producer(applied.kafka)
    try:
        await asyncio.wrap_future(
            producer.send(topic.name, message.key, message.value, headers, partition=1)
        )
    finally:
        await asyncio.to_thread(producer.close)
    printed = await run("dead_letters.py", applied, topic, tmp_path)
    place, details = printed.strip().split(" (")
    assert place == "1970-01-02 00:00:00 chunks[3]@41 not_avro: no magic byte"
    assert details == "schema none, tried 2 times, 4 bytes, key 'node|60')"


async def test_the_statements_of_the_page_bring_a_suspended_table_back(applied: Settings) -> None:
    """Those of docs/operations.md, on a table of our own in place of bars_1d."""
    page = (EXAMPLES.parent / "docs" / "operations.md").read_text("utf-8")
    look, resume, leave_out = (
        statement.strip()
        for block in re.findall(r"^```sql\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        for statement in block.strip().strip(";").split(";")
    )
    table = f"{applied.store.table_prefix}bars_1d"
    address = f"http://{Dsn.parse(applied.store.dsn).address}/exec"
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:

        async def execute(statement: str) -> list[list[object]]:
            answer = (await client.get(address, params={"query": statement})).json()
            assert "error" not in answer, (statement, answer)
            rows: list[list[object]] = answer.get("dataset", [])
            return rows

        async def visible() -> int:
            await execute(f"SELECT wait_wal_table('{table}')")
            return len(await execute(f"SELECT * FROM {table}"))

        await execute(f"CREATE TABLE {table} (ts TIMESTAMP) TIMESTAMP(ts) PARTITION BY DAY WAL")
        await execute(f"ALTER TABLE {table} SUSPEND WAL WITH 'DISK FULL', 'no room'")
        await execute(f"INSERT INTO {table} VALUES (1)")
        assert [table, "DISK FULL", "no room", 0, 1] in await execute(look)
        await execute(resume.replace("bars_1d", table))
        assert await visible() == 1

        await execute(f"ALTER TABLE {table} SUSPEND WAL")
        await execute(f"INSERT INTO {table} VALUES (2)")
        await execute(f"INSERT INTO {table} VALUES (3)")
        (written,) = (row[3] for row in await execute(look) if row[0] == table)
        assert isinstance(written, int)
        await execute(leave_out.replace("bars_1d", table).replace("TXN 26", f"TXN {written + 2}"))
        assert await visible() == 2
