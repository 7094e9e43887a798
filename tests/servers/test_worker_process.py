"""The fetch worker as a process on the real servers; a scripted judge stands behind the chunks."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from avro_schemas import BackfillRequest, RequestKind, RequestState
from bars.frame import BarFrame
from bars.records import bars_of
from bars.window import Window
from runtime import Settings
from sources.testing import calls_of, write_truth
from tests.servers.agents import write_config
from tests.servers.judge_help import MINUTE, SERIES, WAIT_S, judge_of
from topics import Catalogue, committed, deadletter_info

pytestmark = pytest.mark.servers

ROOT = Path(__file__).resolve().parents[2]
START = 1_700_000_040 - 1_700_000_040 % (100 * MINUTE)


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
