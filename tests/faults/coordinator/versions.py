"""A node's folder as a version of the program leaves it: `python -m ... NEW_FOLDER` makes one.

Made once for every version of the formats, kept beside this module, and never made again: what
was written then must be read for ever. It holds a snapshot and a journal that goes on from it.
"""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

import httpx

from bars.window import Window
from coordinator._service.genesis import FILE
from coordinator._service.raft.folder import JOURNAL, SNAPSHOT
from coordinator.client import (
    Brought,
    ClientOptions,
    DistributedBackfillCoordinator,
    LeaseFailure,
)
from coordinator.recovery.offline import restore_node
from tests.faults.coordinator.nodes import Cluster, cluster
from tests.unit.machine_help import spec

KEPT = Path(__file__).with_name("version-1")
SESSION_MS = 3_600_000
KEY = "kept-for-ever"


async def make(space: Path) -> Path:
    """Have a node write a folder, and return it."""
    with cluster(space) as made:
        await _start(made)
        async with DistributedBackfillCoordinator(made.urls, ClientOptions()) as client:
            await client.open_session("w", SESSION_MS)
            await client.submit_job(spec("before", 0, 50))
            done, failed, given_up = await client.acquire("w", 3)
            await client.complete(done, Brought(chunk_offset=7, session_bars=9))
            await client.fail(failed, LeaseFailure(error_class="source", retry_after_s=3_600))
            await client.fail(given_up, LeaseFailure(error_class="never", retriable=False))
        async with httpx.AsyncClient(trust_env=False) as http:
            taken = (await http.get(f"{made.urls[0]}/v1/admin/snapshot")).content
        made.end(1)
        made.data(1).rename(space / "first")
        restore_node(taken, made.data(1).parent, "node-1", "a folder with a snapshot")
        await _start(made)
        async with DistributedBackfillCoordinator(made.urls, ClientOptions()) as client:
            await client.open_session("w", SESSION_MS)
            await client.submit_job(spec("after", 100, 130, node="m", priority=5))
            (held,) = await client.acquire("w", 1)
            await client.progress(held, (Window(100, 104),))
        async with httpx.AsyncClient(trust_env=False) as http:
            body = {"session_id": "w", "limit": 1}
            url = f"{made.urls[0]}/v1/leases:acquire"
            (await http.post(url, json=body, headers={"Idempotency-Key": KEY})).raise_for_status()
        made.end(1)
        return made.data(1)


async def _start(made: Cluster) -> None:
    made.start(1)
    await made.ready(1)


def put(where: Path) -> None:
    """Copy the kept folder."""
    where.mkdir(parents=True, mode=0o700)
    for name in (FILE, JOURNAL, SNAPSHOT):
        shutil.copyfile(KEPT / name, where / name)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made_in:
        shutil.copytree(asyncio.run(make(Path(made_in))), Path(sys.argv[1]))
