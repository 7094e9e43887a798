"""The table of faults: what is done to a road in mid-work, and what has to hold afterwards.

Each begins with a request whose source is slow; the fault falls into the middle of it. At the end
the request is done and the store equals the source bar by bar, by itself or by a restart.
"""

import asyncio
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bars.series import Series
from ops.stack import LocalStack
from tests.conftest import TEST_OPTIONS
from tests.faults.processes import PATIENCE_S, POLL_S, Agent, RoadError, until
from tests.faults.road import MINUTE, Road

QUIET_S = 2.0

Fault = Callable[[Road, Series, float], Awaitable[None]]
"""Does what it does to the road and its request, given how long an outage lasts, seconds."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table."""

    name: str
    goal: str
    fault: Fault
    quick: bool = False
    """Whether `make test` runs it, for its kind."""


async def run(road: Road, scenario: Scenario, outage_s: float) -> None:
    """Let it happen and compare.

    Raises:
        RoadError: Something is missing, too many or different.
    """
    series = road.series()
    request = road.ask(series)
    try:
        await road.until_calls(series)
        await scenario.fault(road, series, outage_s)
        await road.done(request)
    finally:
        request.cancel()
    await asyncio.to_thread(road.compare, series)


async def _kill(role: str, road: Road, _series: Series, _outage_s: float) -> None:
    agent = road.agents[role]
    pid = agent.pid
    agent.signal(signal.SIGKILL)
    await asyncio.to_thread(agent.until_restarted, pid)


async def _terminate(role: str, road: Road, _series: Series, _outage_s: float) -> None:
    agent = road.agents[role]
    agent.signal(signal.SIGTERM)
    await asyncio.to_thread(until, agent.ended, f"{role} ends when asked to", agent.tail)
    await asyncio.to_thread(agent.stop)
    await asyncio.to_thread(agent.start)


async def _raise(role: str, road: Road, _series: Series, _outage_s: float) -> None:
    agent = road.agents[role]
    await asyncio.to_thread(agent.stop)
    road.places.raises.write_text("2", encoding="ascii")
    await asyncio.to_thread(agent.start, "tests.faults.raising")

    def used_up() -> bool:
        return road.places.raises.read_text(encoding="ascii") == "0"

    await asyncio.to_thread(until, used_up, "it has raised twice", agent.tail)


async def _freeze(role: str, road: Road, series: Series, _outage_s: float) -> None:
    """The first is stopped in mid-work, another takes over, the first wakes and changes nothing."""
    zombie, heir = road.agents[role], Agent(road.places, role, 1)
    pid = zombie.pid
    zombie.signal(signal.SIGSTOP)
    try:
        await asyncio.to_thread(heir.start)
        await _until_stored(road, series)
        before = await asyncio.to_thread(road.rows)
        zombie.signal(signal.SIGCONT)
        await asyncio.to_thread(zombie.until_ready)
        await asyncio.sleep(2)  # whatever the zombie still had in hand is out by now
        after = await asyncio.to_thread(road.rows)
        if after != before:
            raise RoadError(f"{role} {pid} woke up and changed {before} rows to {after}")
    finally:
        await asyncio.to_thread(heir.stop)
    await asyncio.to_thread(zombie.until_ready)


async def _away(server: str, road: Road, _series: Series, outage_s: float) -> None:
    road.stack.kill(server)
    await asyncio.sleep(outage_s)
    await asyncio.to_thread(road.stack.start, server)


async def _unapplied(road: Road, _series: Series, outage_s: float) -> None:
    """QuestDB acknowledges without applying, and is killed like that."""
    lazy = {**TEST_OPTIONS.questdb_environ, "QDB_CAIRO_WAL_APPLY_ENABLED": "false"}
    stack = _like(road.stack, lazy)
    road.stack.kill("questdb")
    await asyncio.to_thread(stack.start, "questdb")
    await asyncio.sleep(outage_s)
    stack.kill("questdb")
    await asyncio.to_thread(road.stack.start, "questdb")


def _like(stack: LocalStack, questdb_environ: dict[str, str]) -> LocalStack:
    options = replace(TEST_OPTIONS, questdb_environ=questdb_environ)
    return LocalStack(stack.data("questdb").parents[1], options=options)


async def _restored(road: Road, series: Series, _outage_s: float) -> None:
    """QuestDB is put back from a copy that is older than what it had been proved to hold."""
    data = road.stack.data("questdb")
    copy = Path(f"{data}.copy")
    await asyncio.to_thread(road.stack.stop, "questdb")
    await asyncio.to_thread(shutil.copytree, data, copy)
    await asyncio.to_thread(road.stack.start, "questdb")
    later = road.series()
    await road.done(road.ask(later))
    await _until_stored(road, series)
    await asyncio.to_thread(road.stack.stop, "questdb")
    await asyncio.to_thread(shutil.rmtree, data)
    await asyncio.to_thread(copy.rename, data)
    await asyncio.to_thread(road.stack.start, "questdb")
    await _until_stored(road, later)
    await _until_stored(road, series)


async def _suspended(road: Road, series: Series, outage_s: float) -> None:
    """A table acknowledges and shows nothing: alarm, nothing told as done, and on it goes."""
    with road.store() as store:
        table = store.bars_table(MINUTE)
    agent = road.agents["materialize"]
    # Nothing may be on its way: a table that is just applying comes to its end all the same.
    road.places.hold.touch()
    await asyncio.to_thread(_until_still, lambda: _ledgered(road, series))
    agent.log.write_bytes(b"")
    road.sql(f'ALTER TABLE "{table}" SUSPEND WAL')
    road.places.hold.unlink()
    try:
        await asyncio.to_thread(
            until, lambda: "suspended" in agent.log.read_text("utf-8"), "an alarm", agent.tail
        )
        covered = await asyncio.to_thread(_ledgered, road, series)
        await asyncio.sleep(outage_s)
        if await asyncio.to_thread(_ledgered, road, series) != covered:
            raise RoadError("the ledger grew although nothing could be read")
    finally:
        road.sql(f'ALTER TABLE "{table}" RESUME WAL')


async def _expired(road: Road, series: Series, _outage_s: float) -> None:
    """Retention takes chunks that nobody has judged: told as expired, and fetched again."""
    conform = road.agents["conform"]
    await asyncio.to_thread(conform.stop)
    # The worker goes on until both of its leases wait for a verdict.
    await asyncio.to_thread(_until_still, lambda: road.calls(series))
    await asyncio.to_thread(road.take_chunks)
    conform.log.write_bytes(b"")
    await asyncio.to_thread(conform.start)
    told = '"event": "expired"'
    await asyncio.to_thread(
        until, lambda: told in conform.log.read_text("utf-8"), "a verdict on them", conform.tail
    )


def _until_still(count: Callable[[], int]) -> None:
    """Return when a number has not changed for a while."""
    seen, since = count(), time.monotonic()
    while time.monotonic() - since < QUIET_S:
        found = count()
        if found != seen:
            seen, since = found, time.monotonic()
        time.sleep(POLL_S)


def _ledgered(road: Road, series: Series) -> int:
    with road.store() as store:
        return store.ledger.state(series, road.window).count


async def _until_stored(road: Road, series: Series) -> None:
    """Return when the store equals the source."""

    def equal() -> bool:
        with road.store() as store:
            return not road.difference(store, series)

    await asyncio.wait_for(
        asyncio.to_thread(until, equal, f"{series} is stored", road.tails), PATIENCE_S + 10
    )


ROLES = ("conform", "materialize", "worker")

SCENARIOS = (
    *(
        Scenario(f"SIGKILL {role}", "nothing lost", partial(_kill, role), role == "materialize")
        for role in ROLES
    ),
    *(
        Scenario(
            f"SIGTERM {role}", "ends, nothing lost", partial(_terminate, role), role == "worker"
        )
        for role in ROLES
    ),
    *(
        Scenario(
            f"{role} raises", "restarted, nothing lost", partial(_raise, role), role == "conform"
        )
        for role in ROLES[:2]
    ),
    *(
        Scenario(f"SIGSTOP {role}", "the zombie changes nothing", partial(_freeze, role), True)
        for role in ROLES[:2]
    ),
    *(
        Scenario(
            f"{server} away", "waits, nothing lost", partial(_away, server), server != "registry"
        )
        for server in ("questdb", "registry", "kafka")
    ),
    Scenario("QuestDB killed with unapplied WAL", "nothing lost", _unapplied, quick=True),
    Scenario("QuestDB from an older copy", "heals by itself", _restored, quick=True),
    Scenario("chunks expire unjudged", "told, fetched again", _expired, quick=True),
    Scenario("a suspended table", "alarm, nothing acknowledged", _suspended, quick=True),
)
