"""The fetch worker as a process on the real servers; a scripted judge stands behind the chunks."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from avro_schemas import (
    BackfillRequest,
    BackfillStatus,
    BarChunk,
    ConformanceReport,
    Receipt,
    RequestKind,
    RequestState,
    Verdict,
)
from bars.frame import BarFrame
from bars.records import bars_of
from bars.series import Series
from bars.window import Window
from runtime import Settings, SystemClock
from sources.testing import calls_of, write_truth
from store import LedgerEntry, Store
from tests.servers.agents import write_config
from topics import (
    Catalogue,
    Codec,
    Producer,
    RawMessage,
    Registry,
    Tail,
    committed,
    deadletter_info,
    partition_of,
)

pytestmark = pytest.mark.servers

ROOT = Path(__file__).resolve().parents[2]
MINUTE = 60
START = 1_700_000_040 - 1_700_000_040 % (100 * MINUTE)
SERIES = Series("ohlcv:test:W", MINUTE)
WAIT_S = 60.0


def truth(count: int) -> BarFrame:
    rng = np.random.default_rng(7)
    ts = START + MINUTE * np.arange(count, dtype=np.int64)
    price = 100 + rng.normal(0, 1, count).cumsum()
    return BarFrame(ts, price, price + 1, price - 1, price, np.ones(count))


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one test."""

    folder: Path
    config: Path

    @property
    def calls(self) -> Path:
        return self.folder / "calls.jsonl"

    @property
    def hold(self) -> Path:
        return self.folder / "hold"


@pytest.fixture
def files(applied: Settings, tmp_path: Path) -> Files:
    write_truth(tmp_path / "truth.parquet", {SERIES.node: truth(1_000)})
    names = ("truth.parquet", "calls.jsonl", "hold", "fail")
    truth_file, calls, hold, fail = (str(tmp_path / name) for name in names)
    sections: Mapping[str, Mapping[str, object]] = {
        "backfill": {"window_bars": 100, "retry_backoff_ms": 50},
        "sources": {
            "truth": {
                "kind": "python",
                "fetcher": "sources.testing:ScriptedFiles",
                "options": {"truth": truth_file, "calls": calls, "hold": hold, "fail": fail},
            }
        },
        "nodes": {
            SERIES.node: {"interval": "1m", "sources": ["truth"], "calendar": "24/7"},
        },
    }
    return Files(tmp_path, write_config(tmp_path / "seamless.yaml", applied, **sections))


class Worker:
    """One process of `python -m worker`."""

    def __init__(self, files: Files, state: str, environ: Mapping[str, str]) -> None:
        self.ready_file = files.folder / f"{state}.ready"
        self.log = files.folder / f"{state}.log"
        self.ready_file.unlink(missing_ok=True)
        command = (sys.executable, "-m", "worker", "--config", str(files.config))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--ready-file", str(self.ready_file)],
                cwd=ROOT,
                env={"SEAMLESS_STATE_DIR": str(files.folder / state), "PATH": "", **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    async def ready(self) -> Self:
        async with asyncio.timeout(WAIT_S):
            while not self.ready_file.exists():
                assert self.process.poll() is None, self.told()
                await asyncio.sleep(0.05)
        return self

    async def ends(self) -> int:
        return await asyncio.to_thread(self.process.wait, WAIT_S)

    def told(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-4_000:]


@contextmanager
def worker_of(files: Files, state: str = "state", **environ: str) -> Iterator[Worker]:
    worker = Worker(files, state, environ)
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.process.wait(30)


class Judge:
    """Stands for conform and materialize: every chunk passes and is in the ledger."""

    def __init__(self, settings: Settings, codec: Codec, producer: Producer) -> None:
        self.topics = Catalogue.of(settings.kafka)
        self.settings = settings
        self.codec = codec
        self.chunks: list[BarChunk] = []
        self.statuses: list[BackfillStatus] = []
        self.buried: list[RawMessage] = []
        self._producer = producer
        self._news = asyncio.Event()
        watched = (self.topics.chunks.name, self.topics.status.name, self.topics.deadletter.name)
        self._tail = Tail(settings.kafka, watched)
        self._store = Store(settings.store)

    async def run(self) -> None:
        """Judge until cancelled."""
        try:
            while True:
                for message in await asyncio.to_thread(self._tail.poll, 0.1):
                    await self._take(message)
                self._news.set()
        finally:
            await asyncio.to_thread(self._tail.close)
            self._store.close()

    async def send(self, request: BackfillRequest) -> None:
        value = await self.codec.encode(self.topics.requests, request)
        await self.send_bytes(request.request_id, value)

    async def send_bytes(self, key: str, value: bytes) -> None:
        sent = self._producer.send(self.topics.requests.name, key, value)
        await asyncio.wrap_future(sent)

    async def final(self, request_id: str, count: int = 1) -> BackfillStatus:
        """Return the last of so many final statuses of a request."""
        async with asyncio.timeout(WAIT_S):
            while True:
                ours = [s for s in self.statuses if s.request_id == request_id and s.state.final]
                if len(ours) >= count:
                    return ours[-1]
                await self.news()

    async def news(self) -> None:
        """Return when the topics have been looked at once more."""
        self._news.clear()
        await self._news.wait()

    async def _take(self, message: RawMessage) -> None:
        if message.topic == self.topics.deadletter.name:
            self.buried.append(message)
        elif message.topic == self.topics.status.name:
            status = await self.codec.decode(self.topics.status, message.value)
            assert isinstance(status, BackfillStatus)
            self.statuses.append(status)
        else:
            chunk = await self.codec.decode(self.topics.chunks, message.value)
            assert isinstance(chunk, BarChunk)
            assert message.partition == partition_of(SERIES.key, self.settings.kafka.partitions)
            assert dict(message.headers)["request_id"] == chunk.request_id.encode()
            self.chunks.append(chunk)
            await self._judge(chunk, message)

    async def _judge(self, chunk: BarChunk, message: RawMessage) -> None:
        report = ConformanceReport(
            verdict=Verdict.PASSED,
            chunk_partition=message.partition,
            chunk_offset=message.offset,
            chunk_offset_end=message.offset + 1,
            node_id=chunk.node_id,
            interval=chunk.interval,
            lane=chunk.lane,
            start=chunk.start,
            end=chunk.end,
            request_id=chunk.request_id,
            lease_token=chunk.lease_token,
        )
        entry = LedgerEntry(
            series=SERIES,
            lane=chunk.lane,
            window=Window(chunk.start, chunk.end),
            known=len(self.chunks),
            token=chunk.lease_token,
            bars=len(chunk.ts),
            content_hash=chunk.content_hash,
            partition=message.partition,
            offset=message.offset,
        )
        receipt = Receipt(
            node_id=chunk.node_id,
            interval=chunk.interval,
            lane=chunk.lane,
            start=chunk.start,
            end=chunk.end,
            covers=((chunk.start, chunk.end),),
            known=entry.known,
            bars=entry.bars,
            content_hash=chunk.content_hash,
            history_partition=message.partition,
            history_offset=message.offset,
            chunk_partition=message.partition,
            chunk_offset=message.offset,
            lease_token=chunk.lease_token,
            request_id=chunk.request_id,
        )
        key = f"{SERIES.key}|{chunk.start}"
        verdict = await self.codec.encode(self.topics.reports, report)
        await asyncio.wrap_future(self._producer.send(self.topics.reports.name, key, verdict))
        await asyncio.to_thread(self._store.ledger.add, [entry])
        proof = await self.codec.encode(self.topics.coverage, receipt)
        await asyncio.wrap_future(self._producer.send(self.topics.coverage.name, key, proof))


@asynccontextmanager
async def judge_of(settings: Settings) -> AsyncIterator[Judge]:
    registry = Registry(settings.registry)
    producer = Producer(settings.kafka)
    judge = Judge(settings, Codec(registry, SystemClock()), producer)
    task = asyncio.create_task(judge.run())
    try:
        yield judge
    finally:
        task.cancel()
        await asyncio.wait((task,))
        await asyncio.to_thread(producer.close)
        await registry.close()


def ask(request_id: str, first: int, count: int) -> BackfillRequest:
    return BackfillRequest(
        request_id=request_id,
        kind=RequestKind.SUBMIT,
        node_id=SERIES.node,
        interval=MINUTE,
        start=START + first * MINUTE,
        end=START + (first + count) * MINUTE,
    )


async def test_a_request_goes_in_and_its_bars_come_out_once(
    applied: Settings, files: Files
) -> None:
    """Unreadable records are passed over, a repeated id is answered, SIGTERM ends it cleanly."""
    async with judge_of(applied) as judge:
        with worker_of(files) as worker:
            await worker.ready()
            await judge.send_bytes("noise", b"no Avro at all")
            await judge.send(ask("one", 50, 500))
            status = await judge.final("one")
            assert (status.state, status.windows_total, status.windows_done) == (
                RequestState.DONE,
                6,
                6,
            ), worker.told()
            assert status.bars_fetched == 500
            states = [s.state for s in judge.statuses if s.request_id == "one"]
            assert states[:2] == [RequestState.ACCEPTED, RequestState.RUNNING]
            wanted = truth(1_000).inside(Window(START + 50 * MINUTE, START + 550 * MINUTE))
            chunks = sorted(judge.chunks, key=lambda chunk: chunk.start)
            assert BarFrame.concat(bars_of(chunk) for chunk in chunks).equals(wanted)
            assert len({chunk.lease_token for chunk in chunks}) == 6

            await judge.send(ask("one", 50, 500))
            assert await judge.final("one", count=2) == status
            await judge.send(ask("two", 0, 600))
            assert (await judge.final("two")).session_bars_covered == 500
            assert sum(int(call["bars"]) for call in calls_of(files.calls)) == 600

            async with asyncio.timeout(WAIT_S):
                while not judge.buried:
                    await judge.news()
            info = deadletter_info(judge.buried[0])
            assert info is not None
            assert (info.topic, info.error_class) == (judge.topics.requests.name, "not_avro")
            assert judge.buried[0].value == b"no Avro at all"

            async with asyncio.timeout(WAIT_S):
                while sum(await committed_of(applied)) < 4:  # told first, committed afterwards
                    await judge.news()
            worker.process.send_signal(signal.SIGTERM)
            assert await worker.ends() == 0, worker.told()
        assert sum(await committed_of(applied)) == 4


async def committed_of(settings: Settings) -> list[int]:
    group, topic = f"{settings.kafka.prefix}worker", Catalogue.of(settings.kafka).requests.name

    def ask_all() -> list[int]:
        return [
            committed(settings.kafka, group, topic, partition) or 0
            for partition in range(settings.kafka.partitions)
        ]

    return await asyncio.to_thread(ask_all)


async def test_a_killed_worker_goes_on_where_the_ledger_ends(
    applied: Settings, files: Files
) -> None:
    async with judge_of(applied) as judge:
        with worker_of(files) as worker:
            await worker.ready()
            await judge.send(ask("before", 0, 300))
            await judge.final("before")
            files.hold.touch()
            await judge.send(ask("r", 0, 1_000))
            async with asyncio.timeout(WAIT_S):
                while not any(s.request_id == "r" for s in judge.statuses):
                    await judge.news()
            worker.process.kill()
            await worker.ends()
        files.hold.unlink()
        with worker_of(files) as worker:
            status = await judge.final("r")
            assert (status.state, status.windows_total, status.session_bars_covered) == (
                RequestState.DONE,
                7,
                300,
            ), worker.told()
            covered = {(chunk.start, chunk.end) for chunk in judge.chunks}
            assert len(covered) == len(judge.chunks) == 10
            epochs = [chunk.lease_token >> 40 for chunk in judge.chunks]
            assert epochs == [1] * 3 + [2] * 7


@pytest.mark.parametrize("state", ["state", "elsewhere"], ids=["same machine", "another machine"])
async def test_a_second_worker_ends_with_2_and_says_who_runs(
    applied: Settings, files: Files, state: str
) -> None:
    del applied
    with worker_of(files) as first:
        await first.ready()
        with worker_of(files, state) as second:
            assert await second.ends() == 2
            assert "another fetch worker runs" in second.told()
            assert ("process " if state == "state" else "from ") in second.told()
        assert first.process.poll() is None


async def test_a_worker_with_a_lease_service_does_not_start_beside_one_without(
    applied: Settings, files: Files
) -> None:
    """Two that grant leases would have everything fetched twice; it is found out by the group."""
    del applied
    with worker_of(files) as first:
        await first.ready()
        nobody = {"SEAMLESS_COORDINATOR_URLS": "http://127.0.0.1:9"}
        with worker_of(files, "elsewhere", **nobody) as second:
            assert await second.ends() == 2
            assert "another fetch worker runs" in second.told()
            assert "coordinator" in second.told()
        assert first.process.poll() is None


async def test_a_wrong_configuration_ends_with_2_and_names_the_key(files: Files) -> None:
    text = files.config.read_text(encoding="utf-8")
    wrong = files.folder / "wrong.yaml"
    wrong.write_text(text.replace("ScriptedFiles", "Nowhere"), encoding="utf-8")
    with worker_of(replace(files, config=wrong)) as worker:
        assert await worker.ends() == 2
        assert "sources.truth.fetcher" in worker.told()
