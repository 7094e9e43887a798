"""Other rules for a service that runs, as its API takes them and its clients learn of them."""

from dataclasses import asdict, replace
from typing import Any

import httpx
import pytest

from coordinator._service.log import Answer, OlderNodesError
from coordinator.client import MachineConfig
from coordinator.machine import AnyCommand, Configure
from tests.unit.api_help import serving
from tests.unit.machine_help import spec
from tests.unit.test_distributed_coordinator import client_of

RULES = asdict(MachineConfig(max_attempts=9))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({name: value for name, value in RULES.items() if name != "jobs_max"}, "config.jobs_max"),
        ({**RULES, "lease_ttl_ms": 0}, "config.lease_ttl_ms"),
        ({**RULES, "lease_ttl_ms": 5_000}, "config.lease_ttl_ms"),
        ({**RULES, "lease_ttl_s": 3}, "config.lease_ttl_s"),
        ({**RULES, "jitter_ppm": 1_000_001}, "config.jitter_ppm"),
        (7, "config"),
    ],
)
async def test_rules_are_given_whole_and_each_within_its_bounds(config: Any, told: str) -> None:
    """What is left out would fall back to whatever the program has for it."""
    async with serving() as service, httpx.AsyncClient(trust_env=False) as http:
        body = {"config": config, "version": 0, "reason": "because"}
        path = f"{service.urls[0]}/v1/admin/configure"
        answer = await http.post(path, json=body, headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, told)
        assert service.nodes[0].log.state().config_version == 0


async def test_what_waits_for_the_end_of_an_upgrade_is_told_so() -> None:
    async with serving() as service, httpx.AsyncClient(trust_env=False) as http:

        async def too_early(command: AnyCommand, request_id: str, timeout_s: float) -> Answer:
            del command, request_id, timeout_s
            raise OlderNodesError(("node-3",))

        service.nodes[0].log.propose = too_early  # type: ignore[method-assign]
        body = {"config": RULES, "version": 0, "reason": "because"}
        path = f"{service.urls[0]}/v1/admin/configure"
        answer = await http.post(path, json=body, headers={"Idempotency-Key": "k"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "older_nodes")
        assert answer.headers["Retry-After"]
        assert "node-3" in answer.json()["error"]["message"]


async def test_a_holder_learns_the_new_life_of_its_lease_when_it_renews() -> None:
    """It would write for longer than it may otherwise."""
    async with serving() as service, client_of(service) as client:
        await client.open_session("w", 600_000)
        await client.submit_job(spec("job", 0, 10))
        (lease,) = await client.acquire("w", 1)
        config = replace(service.nodes[0].log.state().config, lease_ttl_ms=30_000)
        service.cluster.append(Configure(config=config, version=0, reason="because"), "")
        await service.pass_s(20)
        renewed = await client.renew(lease)
        assert (lease.ttl_ms, renewed.ttl_ms) == (120_000, 30_000)
        assert renewed.stop_s == service.clock.monotonic() + 25
