"""The lease service over HTTP: the behaviour of every lease client, and what a network adds."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from bars.errors import InvalidValueError
from coordinator.client import Budget as Patience
from coordinator.client import (
    Claim,
    ClientOptions,
    CommandRefusedError,
    CoordinatorUnavailableError,
    DistributedBackfillCoordinator,
    LeaseFailure,
    LeaseLostError,
    MachineConfig,
    token_of,
)
from coordinator.machine import SubmitJob
from ops.stack.listening import free_ports
from runtime.clock import SystemClock
from runtime.settings import CoordinatorSettings
from tests.lease_help import Bench, eventually
from tests.lease_suite import LeaseSuite
from tests.unit.api_help import Service, serving
from tests.unit.machine_help import spec

KEY = "ohlcv:binance:BTC/USDT:1m:60:0:540:world-1:2024-01-01T00:00:00Z"


def client_of(
    service: Service, urls: Sequence[str] = (), patience: Patience | None = None, seed: int = 2
) -> DistributedBackfillCoordinator:
    """Return a client; with patience of its own it pauses by the machine's clock."""
    clock = service.clock if patience is None else SystemClock()
    options = ClientOptions(clock=clock, rng=Random(seed), budget=patience or Patience())
    return DistributedBackfillCoordinator(urls or service.urls, options)


IMPATIENT = Patience(whole_s=5.0, attempt_s=2.0)
HASTY = Patience(whole_s=0.3, attempt_s=0.2)


def dead_url() -> str:
    """Return an address where nobody listens."""
    (port,) = free_ports(1)
    return f"http://127.0.0.1:{port}"


class TestDistributedCoordinator(LeaseSuite):
    """A real HTTP server in front of a log in memory."""

    @asynccontextmanager
    async def open(self, config: MachineConfig | None = None) -> AsyncGenerator[Bench]:
        async with serving(config=config) as service, client_of(service) as client:
            room = service.nodes[0].api.service.room
            yield Bench(
                client=client,
                clock=service.clock,
                pass_s=service.pass_s,
                waiting=lambda: room.waiting,
            )


@pytest.mark.parametrize("leader", [0, 1, 2])
async def test_the_leader_is_found_wherever_it_is(leader: int) -> None:
    async with serving(3) as service, client_of(service, patience=IMPATIENT) as client:
        service.cluster.lead(service.urls[leader])
        await client.open_session("w", 60_000)
        await client.submit_job(spec("job", 0, 10))
        assert len(await client.acquire("w", 1)) == 1


async def test_nodes_that_are_dead_are_passed_over() -> None:
    async with serving() as service:
        urls = [dead_url(), dead_url(), *service.urls]
        async with client_of(service, urls, IMPATIENT) as client:
            await client.open_session("w", 60_000)
            assert set(service.nodes[0].log.state().sessions) == {"w"}


async def test_a_leader_that_nobody_configured_is_not_believed() -> None:
    """A node could otherwise send our token anywhere."""
    async with serving(2) as service:
        service.cluster.lead(service.urls[1])
        async with client_of(service, service.urls[:1], HASTY) as client:
            with pytest.raises(CoordinatorUnavailableError, match="does not lead"):
                await client.open_session("w", 60_000)
        assert not service.nodes[1].log.state().sessions


async def test_a_change_of_leader_in_mid_wait_is_followed() -> None:
    async with serving(3) as service, client_of(service, patience=IMPATIENT) as client:
        await client.open_session("w", 60_000)
        waiter = asyncio.create_task(client.acquire("w", 1, wait_s=9))
        await eventually(lambda: service.nodes[0].api.service.room.waiting == 1)
        service.cluster.lead(service.urls[2])
        service.clock.advance(0.6)
        await eventually(lambda: service.nodes[2].api.service.room.waiting == 1)
        await client.submit_job(spec("job", 0, 10))
        assert len(await waiter) == 1


async def test_a_service_without_a_leader_is_unavailable_and_says_so() -> None:
    async with serving() as service, client_of(service, patience=HASTY) as client:
        service.cluster.lead(None)
        with pytest.raises(CoordinatorUnavailableError, match="leader is not known"):
            await client.open_session("w", 60_000)


async def test_a_service_that_is_not_there_is_unavailable() -> None:
    async with serving() as service, client_of(service, [dead_url()], HASTY) as client:
        with pytest.raises(CoordinatorUnavailableError) as error:
            await client.acquire("w", 1)
        assert error.value.retriable


async def test_a_node_that_hangs_costs_one_attempt() -> None:
    async with serving(2) as service, client_of(service, patience=IMPATIENT) as client:
        service.nodes[0].log.faults.gate.clear()
        opening = asyncio.create_task(client.open_session("w", 60_000))
        await asyncio.sleep(0)
        service.cluster.lead(service.urls[1])
        await opening
        assert set(service.nodes[1].log.state().sessions) == {"w"}


@pytest.mark.parametrize("fault", ["lost_answers", "lost_commands", "refused"])
async def test_what_nobody_knows_the_outcome_of_happens_once(fault: str) -> None:
    """Three attempts in vain, each of them applied or not: one grant, told to who asked."""
    async with serving() as service, client_of(service, patience=IMPATIENT) as client:
        await client.open_session("w", 60_000)
        await client.submit_job(spec("job", 0, 30))
        setattr(service.nodes[0].log.faults, fault, 3)
        (lease,) = await client.acquire("w", 1)
        state = service.nodes[0].log.state()
        assert list(state.leases) == [lease.token]
        setattr(service.nodes[0].log.faults, fault, 3)
        await client.complete(lease)
        assert not service.nodes[0].log.state().leases


async def test_a_grant_whose_answer_was_lost_in_a_wait_is_not_waited_for_again() -> None:
    async with serving() as service, client_of(service, patience=IMPATIENT) as client:
        await client.open_session("w", 60_000)
        waiter = asyncio.create_task(client.acquire("w", 1, wait_s=9))
        await eventually(lambda: service.nodes[0].api.service.room.waiting == 1)
        service.nodes[0].log.faults.lost_answers = 1
        service.cluster.append(SubmitJob(spec=spec("job", 0, 10)), "")
        (lease,) = await waiter
        assert list(service.nodes[0].log.state().leases) == [lease.token]


async def test_a_failure_that_is_repeated_counts_once() -> None:
    async with serving() as service, client_of(service, patience=IMPATIENT) as client:
        await client.open_session("w", 60_000)
        await client.submit_job(spec("job", 0, 10))
        (lease,) = await client.acquire("w", 1)
        service.nodes[0].log.faults.lost_answers = 2
        assert await client.fail(lease, LeaseFailure(error_class="source"))
        (lane,) = service.nodes[0].log.state().lanes.values()
        assert [entry.attempts for entry in lane.waiting] == [1]


@pytest.mark.parametrize(("epoch", "above"), [(5, 0), (5, 4), (6, 5), (9, 8)])
async def test_the_epoch_rises_above_the_ledgers_tokens_and_no_further(
    epoch: int, above: int
) -> None:
    """A service that was made anew would else grant what conform refuses."""
    async with serving() as service, client_of(service) as client:
        token = token_of(above, 77)
        assert await client.raise_epoch(token) == epoch
        assert await client.raise_epoch(token) == epoch, "again: nothing happens"
        await client.open_session("w", 60_000)
        await client.submit_job(spec("job", 0, 10))
        (lease,) = await client.acquire("w", 1)
        assert lease.token > token


# Claims


async def test_a_claim_is_one_holders_until_it_is_completed() -> None:
    async with (
        serving() as service,
        client_of(service) as client,
        client_of(service, seed=3) as other,
    ):
        claim = await client.claim(KEY, 60_000)
        assert isinstance(claim, Claim)
        assert claim.lease_until_ms == service.clock.wall_us() // 1_000 + 60_000
        assert await other.claim(KEY, 60_000) is None
        await client.complete(claim)
        again = await other.claim(KEY, 60_000)
        assert again is not None
        assert int(again.token.partition("-")[0]) > int(claim.token.partition("-")[0])


async def test_a_claim_that_expired_is_lost() -> None:
    async with (
        serving() as service,
        client_of(service) as client,
        client_of(service, seed=3) as other,
    ):
        claim = await client.claim(KEY, 60_000)
        assert claim is not None
        await service.pass_s(61)
        assert await other.claim(KEY, 60_000) is not None
        with pytest.raises(LeaseLostError):
            await client.complete(claim)
        with pytest.raises(LeaseLostError):
            await client.fail(claim, "too late")


async def test_a_claim_lives_on_while_it_is_kept() -> None:
    async with (
        serving() as service,
        client_of(service) as client,
        client_of(service, seed=3) as other,
    ):
        claim = await client.claim(KEY, 60_000)
        assert claim is not None
        for _ in range(3):
            await service.pass_s(40)
            await client.keep(claim)
        assert await other.claim(KEY, 60_000) is None
        await service.pass_s(61)
        with pytest.raises(LeaseLostError):
            await client.keep(claim)


async def test_a_claim_that_failed_may_be_had_at_once() -> None:
    async with serving() as service, client_of(service) as client:
        claim = await client.claim(KEY, 60_000)
        assert claim is not None
        assert await client.fail(claim, "no bars")
        assert await client.claim(KEY, 60_000) is not None


async def test_a_claim_whose_answer_was_lost_is_ours() -> None:
    async with serving() as service, client_of(service, patience=IMPATIENT) as client:
        service.nodes[0].log.faults.lost_answers = 2
        claim = await client.claim(KEY, 60_000)
        assert claim is not None
        assert len(service.nodes[0].log.state().sessions) == 1
        await client.complete(claim)
        assert not service.nodes[0].log.state().sessions


async def test_a_key_that_is_none_is_refused() -> None:
    async with serving() as service, client_of(service) as client:
        with pytest.raises(CommandRefusedError, match="key must be"):
            await client.claim("BTC", 60_000)


# What it is made of


def test_importing_the_client_loads_no_server() -> None:
    """Workers and providers import it; their environments need not have what a server needs."""
    code = (
        "import sys, coordinator.client; "
        "print([m for m in ('aiohttp', 'pysyncobj', 'coordinator._service') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_options_come_from_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("t" * 40 + "\n")
    file.chmod(0o600)
    options = ClientOptions.of(CoordinatorSettings(client_token_file=file))
    assert options.token == "t" * 40
    assert "ttt" not in repr(options)
    file.chmod(0o644)
    with pytest.raises(InvalidValueError, match="other users"):
        ClientOptions.of(CoordinatorSettings(client_token_file=file))


@pytest.mark.parametrize("urls", [[], "", "c1:18070", ["http://a:1", "ftp://b:1"]])
def test_a_client_needs_addresses_of_nodes(urls: list[str] | str) -> None:
    with pytest.raises(InvalidValueError, match="urls"):
        DistributedBackfillCoordinator(urls)


async def test_one_address_may_stand_alone() -> None:
    async with serving() as service:
        async with DistributedBackfillCoordinator(f"{service.urls[0]}/") as client:
            await client.open_session("w", 60_000)
        assert list(service.nodes[0].log.state().sessions) == ["w"]
