"""Whole nodes on loopback: what an API is promised of the log."""

import asyncio
import itertools
from pathlib import Path

import pytest

from bars.errors import InvalidValueError
from bars.series import Series
from bars.window import Grid, Window
from coordinator._service.log import (
    LogError,
    NotLeaderError,
    QueueFullError,
    StoppedLogError,
    UnknownOutcomeError,
)
from coordinator._service.raft import snapshot
from coordinator._service.raft.errors import EntryTooLargeError, JournalCorruptError, SecretError
from coordinator._service.raft.settings import Member, RaftSettings
from coordinator.machine import (
    Acquire,
    Barrier,
    Code,
    JobSpec,
    KeepSession,
    OpenSession,
    SeriesLane,
    SubmitJob,
)
from tests.unit.raft_peers import cluster_settings, leader_of, new_log, running, until


async def test_three_nodes_answer_with_one_voice(tmp_path: Path) -> None:
    """Commands at the leader; the same state, by digest, on all."""
    settings = cluster_settings(tmp_path, 3, digest_every=10)
    async with running(*settings) as logs:
        leader = await leader_of(logs)
        first = await leader.propose(OpenSession(session_id="s", ttl_ms=60_000), "a", 5)
        again = await leader.propose(OpenSession(session_id="s", ttl_ms=60_000), "a", 5)
        assert first.reply == again.reply
        assert first.index < again.index
        assert first.clock_ms <= again.clock_ms
        refused = await leader.propose(Acquire(session_id="nobody"), "b", 5)
        assert refused.reply.code is Code.UNKNOWN_SESSION
        for number in range(20):
            await leader.propose(Barrier(), f"c{number}", 5)
        assert "s" in leader.state().sessions
        follower = next(log for log in logs if log is not leader)
        with pytest.raises(NotLeaderError) as raised:
            await follower.propose(Barrier(), "d", 5)
        assert raised.value.leader_url == leader.status().leader_url
        assert raised.value.leader_url in leader.status().peers
        await until(lambda: len({log.digest() for log in logs}) == 1)
        assert leader.digest()[0] == 20


async def test_commands_that_are_asked_for_together_wait_for_the_disk_together(
    tmp_path: Path,
) -> None:
    """The loop hands over what has come in one turn of it, not command by command."""
    async with running(*cluster_settings(tmp_path, 1)) as (log,):
        await leader_of([log])
        await log.propose(Barrier(), "a", 5)
        before = log.numbers().syncs
        answers = await asyncio.gather(*(log.propose(Barrier(), f"b{n}", 5) for n in range(64)))
        assert len({answer.index for answer in answers}) == 64
        assert log.numbers().syncs - before <= 4, "ticks aside, one"


async def test_the_lead_goes_to_another_node_when_it_is_told_to(tmp_path: Path) -> None:
    """For a node that is to be taken down: nobody waits for an election."""
    async with running(*cluster_settings(tmp_path, 3)) as logs:
        leader = await leader_of(logs)
        await leader.propose(Barrier(), "a", 5)
        await leader.transfer_leadership(5)
        assert not leader.status().is_leader
        with pytest.raises(NotLeaderError):
            await leader.transfer_leadership(5)
        await (await leader_of(logs, but=leader)).propose(Barrier(), "b", 5)


async def test_a_node_alone_cannot_give_the_lead_away(tmp_path: Path) -> None:
    """There is nobody; it goes on to lead."""
    async with running(*cluster_settings(tmp_path, 1)) as (log,):
        with pytest.raises(UnknownOutcomeError, match="no other node leads"):
            await log.transfer_leadership(0.1)
        await log.propose(Barrier(), "a", 5)


async def test_a_leader_without_a_majority_answers_nobody(tmp_path: Path) -> None:
    """What it took in before it noticed is unknown; then it says that it does not lead."""
    async with running(*cluster_settings(tmp_path, 3)) as logs:
        leader = await leader_of(logs)
        await leader.propose(Barrier(), "a", 5)
        for log in logs:
            if log is not leader:
                await log.stop()
        with pytest.raises((UnknownOutcomeError, NotLeaderError)):
            await leader.propose(Barrier(), "b", 0.5)
        await until(lambda: not leader.status().is_leader, 3)
        with pytest.raises(NotLeaderError):
            await leader.propose(Barrier(), "c", 0.5)


async def test_a_restart_loses_nothing_and_a_stopped_node_says_so(tmp_path: Path) -> None:
    """Whatever was answered is there again."""
    (settings,) = cluster_settings(tmp_path, 1)
    async with running(settings) as (log,):
        await log.propose(OpenSession(session_id="s", ttl_ms=60_000), "a", 5)
    assert await log.wait_ended() == "it was told to stop"
    with pytest.raises(StoppedLogError, match="told to stop"):
        await log.propose(Barrier(), "b", 5)
    with pytest.raises(StoppedLogError):
        await log.snapshot(5)
    assert not log.status().is_leader
    async with running(settings) as (log,):
        assert "s" in log.state().sessions
        before = log.status().applied_index
        await log.propose(KeepSession(session_id="s"), "c", 5)
        assert log.status().applied_index > before


async def test_a_full_queue_refuses_at_once(tmp_path: Path) -> None:
    """Back-pressure: who waits behind a thousand has given up before it is his turn."""
    (settings,) = cluster_settings(tmp_path, 1, pending_max=3)
    async with running(settings) as (log,):
        answers = await asyncio.gather(
            *(log.propose(Barrier(), f"a{n}", 5) for n in range(20)), return_exceptions=True
        )
        refused = [each for each in answers if isinstance(each, QueueFullError)]
        assert len(refused) == 17
        assert refused[0].allowed == 3
        await log.propose(Barrier(), "b", 5)


async def test_a_command_that_no_entry_holds_is_refused(tmp_path: Path) -> None:
    """PySyncObj would send it in parts and forget the last."""
    (settings,) = cluster_settings(tmp_path, 1)
    missing = tuple(Window(2 * n, 2 * n + 1) for n in range(120_000))
    spec = JobSpec(
        job_id="big",
        target=SeriesLane(Series("n", 1), "bf:s"),
        window=Window(0, 300_000),
        missing=missing,
        grid=Grid(1),
        window_bars=10,
    )
    async with running(settings) as (log,):
        with pytest.raises(EntryTooLargeError, match="at most 1048576 are allowed"):
            await log.propose(SubmitJob(spec=spec), "a", 5)


async def test_a_snapshot_document_is_the_state(tmp_path: Path) -> None:
    """Checked from end to end, and with the place in the log."""
    (settings,) = cluster_settings(tmp_path, 1)
    async with running(settings) as (log,):
        answer = await log.propose(OpenSession(session_id="s", ttl_ms=60_000), "a", 5)
        taken = snapshot.decode(await log.snapshot(5))
        assert taken.index >= answer.index
        assert b'"s"' in taken.state


async def test_an_address_that_is_taken_is_told(tmp_path: Path) -> None:
    """At once: PySyncObj would try for ever, as fast as it can."""
    (settings,) = cluster_settings(tmp_path, 1)
    async with running(settings):
        with pytest.raises(LogError, match="cannot listen on"):
            await new_log(settings).start()


async def test_a_node_that_was_never_started_stops_at_once(tmp_path: Path) -> None:
    """Who cleans up after a start that failed stops all of them."""
    (settings,) = cluster_settings(tmp_path, 1)
    await new_log(settings).stop()
    settings.secret_file.unlink()
    log = new_log(settings)
    with pytest.raises(SecretError):
        await log.start()
    await log.stop()


async def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    """The node does not start, and nothing is written."""
    (settings,) = cluster_settings(tmp_path, 1)
    async with running(settings) as (log,):
        for number in range(5):
            await log.propose(Barrier(), f"a{number}", 5)
    path = settings.folder / "journal.log"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(JournalCorruptError, match=r"journal\.log is damaged"):
        await new_log(settings).start()
    assert path.read_bytes() == data


async def test_three_nodes_survive_the_death_of_any_leader(tmp_path: Path) -> None:
    """The next leader goes on within two seconds, and everything answered is there."""
    settings = cluster_settings(tmp_path, 3)
    by_id = {each.node_id: each for each in settings}
    numbers = itertools.count()
    async with running(*settings) as logs:
        for _ in range(3):
            leader = await leader_of(logs)
            await leader.propose(OpenSession(session_id=f"s{next(numbers)}", ttl_ms=60_000), "", 5)
            await leader.stop()
            logs.remove(leader)
            async with asyncio.timeout(2):
                following = await leader_of(logs)
                await following.propose(Barrier(), "", 2)
            back = new_log(by_id[leader.status().node_id])
            await back.start()
            logs.append(back)
        assert len((await leader_of(logs)).state().sessions) == 3


def _member(node_id: str, address: str) -> Member:
    return Member(node_id=node_id, address=address, url=f"http://{address}")


def _members() -> tuple[Member, ...]:
    return tuple(_member(f"c{number}", f"h:{number}") for number in range(3))


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("node_id", {"node_id": "c9"}),
        ("bind", {"bind": "8080"}),
        ("bind", {"bind": "host:port"}),
        (
            "members.address",
            {"members": (*_members(), Member(node_id="x", address="h:0", url="u"))},
        ),
        (
            "members.node_id",
            {"members": (*_members(), Member(node_id="c0", address="h:9", url="u"))},
        ),
    ],
)
def test_settings_that_cannot_be_right_are_refused(
    field: str, change: dict[str, object], tmp_path: Path
) -> None:
    """Before a file is touched."""
    right: dict[str, object] = {
        "node_id": "c0",
        "members": _members(),
        "bind": "127.0.0.1:1",
        "folder": tmp_path,
        "secret_file": tmp_path,
    }
    RaftSettings(**right)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError) as raised:
        RaftSettings(**{**right, **change})  # type: ignore[arg-type]
    assert raised.value.field == field
