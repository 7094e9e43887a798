"""What an earlier version of the program has written is where today's goes on from."""

from pathlib import Path

import httpx
import pytest

from bars.errors import InvalidValueError
from bars.window import Window
from coordinator._service.raft.core import COMMAND
from coordinator._service.raft.folder import JOURNAL
from coordinator._service.raft.records import commit_record, entry_record
from coordinator.client import ClientOptions, DistributedBackfillCoordinator
from coordinator.recovery.offline import inspect_folder
from tests.faults.coordinator.nodes import cluster
from tests.faults.coordinator.versions import KEY, put

pytestmark = pytest.mark.faults

SNAPSHOT_TOKEN = 2 << 40
HELD = SNAPSHOT_TOKEN + 1


async def test_a_node_goes_on_from_a_snapshot_and_a_journal_of_version_1(tmp_path: Path) -> None:
    """With all that was done, held, given up and answered then."""
    with cluster(tmp_path) as made:
        put(made.data(1))
        made.start(1)
        await made.ready(1)
        async with (
            DistributedBackfillCoordinator(made.urls, ClientOptions()) as client,
            httpx.AsyncClient(trust_env=False) as http,
        ):
            before, after = await client.job("before"), await client.job("after")
            assert before is not None
            assert after is not None
            assert before.todo == (Window(10, 20), Window(30, 50))
            assert [failure.window for failure in before.failures] == [Window(20, 30)]
            assert after.todo == (Window(104, 130),)

            url = f"{made.urls[0]}/v1/leases:acquire"
            body = {"session_id": "w", "limit": 1}
            again = (await http.post(url, json=body, headers={"Idempotency-Key": KEY})).json()
            (known,) = again["reply"]["leases"]
            assert known["token"] == HELD + 1
            assert known["window"] == [110, 120]

            (fresh,) = await client.acquire("w", 1)
            assert fresh.token > known["token"]
            assert fresh.window == Window(120, 130)


def test_a_folder_of_version_1_is_read_without_a_node(tmp_path: Path) -> None:
    put(tmp_path / "node-1")
    found = inspect_folder(tmp_path / "node-1")
    assert (found.node_id, found.snapshot_index, found.state.last_token) == (
        "node-1",
        9,
        SNAPSHOT_TOKEN,
    )
    assert [row["op"] for row in found.tail[-3:]] == ["acquire", "progress", "acquire"]


def test_a_folder_that_a_newer_program_has_written_is_not_shown_in_part(tmp_path: Path) -> None:
    """What stood before its entries would pass for what stands now."""
    node = tmp_path / "node-1"
    put(node)
    last = inspect_folder(node).tail[-1]["index"]
    newer = b'{"command":{"op":"later"},"elapsed_ms":5,"request_id":"","term":1,"v":1}'
    with (node / JOURNAL).open("ab") as journal:
        journal.write(entry_record((COMMAND + newer, last + 1, 1)))
    found = inspect_folder(node)
    assert "a newer program has written it" in found.tail[-1]["problem"], "nobody obeys it yet"
    with (node / JOURNAL).open("ab") as journal:
        journal.write(commit_record(last + 1))
    with pytest.raises(InvalidValueError, match="a newer program has written it"):
        inspect_folder(node)
