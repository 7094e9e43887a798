"""The lease API over real sockets: its answers, nodes that do not lead."""

import asyncio
from typing import Any

import httpx
import pytest

from coordinator._service.api.api import ApiOptions
from coordinator._service.api.limits import Limits
from coordinator._service.log import Answer
from coordinator.machine import AnyCommand, Code, Reply
from coordinator.recovery import verify_snapshot
from tests.lease_help import eventually
from tests.unit.api_help import serving
from tests.unit.asking_help import OPEN, asking, job, post

# What an answer carries


async def test_an_answer_tells_its_place_in_the_log() -> None:
    async with asking() as (service, http):
        answer = await post(http, "/v1/sessions", OPEN)
        assert answer.status_code == 200
        assert answer.json() == {
            "raft_index": 1,
            "term": 1,
            "clock_ms": 0,
            "reply": {"code": "ok"},
        }
        await service.pass_s(2)
        answer = await post(http, "/v1/sessions:keep", {"session_id": "w"})
        assert (answer.json()["raft_index"], answer.json()["clock_ms"]) == (3, 2_000)


async def test_a_key_is_obeyed_once_and_its_answer_is_given_again() -> None:
    async with asking() as (service, http):
        await post(http, "/v1/sessions", OPEN)
        await post(http, "/v1/jobs", job())
        acquire = {"session_id": "w", "limit": 1}
        first = await post(http, "/v1/leases:acquire", acquire, "same")
        again = await post(http, "/v1/leases:acquire", acquire, "same")
        assert first.json()["reply"] == again.json()["reply"]
        assert len(service.nodes[0].log.state().leases) == 1
        other = await post(http, "/v1/leases:acquire", {**acquire, "limit": 2}, "same")
        assert other.json()["reply"] != first.json()["reply"], "another request has another answer"


async def test_a_change_needs_a_key() -> None:
    async with asking() as (_, http):
        for headers in ({}, {"Idempotency-Key": ""}, {"Idempotency-Key": "a b"}):
            answer = await http.post("/v1/sessions", json=OPEN, headers=headers)
            assert answer.status_code == 400
            assert answer.json()["error"]["field"] == "Idempotency-Key"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/sessions:keep", {"session_id": "gone"}, 404, "unknown_session"),
        ("/v1/leases:renew", {"session_id": "w", "token": 5}, 404, "unknown_token"),
        ("/v1/jobs:cancel", {"job_id": "gone"}, 404, "unknown_job"),
        ("/v1/sessions", {"session_id": "w", "ttl_ms": 1}, 400, "invalid"),
    ],
)
async def test_a_refusal_of_the_rules_has_its_status_and_its_reply(
    path: str, body: dict[str, Any], status: int, code: str
) -> None:
    async with asking() as (_, http):
        answer = await post(http, path, body)
        assert answer.status_code == status
        document = answer.json()
        assert document["reply"]["code"] == document["error"]["code"] == code
        assert document["error"]["message"], "every refusal says what it means"
        assert document["raft_index"] == 1


async def test_a_job_is_read_from_the_state_as_of_now_or_as_it_is() -> None:
    async with asking(2) as (service, http):
        await post(http, "/v1/jobs", job())
        before = service.cluster.index
        found = await http.get("/v1/jobs", params={"job_id": "job", "read": "local"})
        assert found.json()["reply"]["job"]["todo"] == [[0, 30]]
        assert service.cluster.index == before, "a local read puts nothing into the log"
        found = await http.get("/v1/jobs", params={"job_id": "job"})
        assert found.json()["raft_index"] == before + 1, "a linearizable one a barrier"
        follower = service.urls[1]
        found = await http.get(f"{follower}/v1/jobs", params={"job_id": "job", "read": "local"})
        assert found.json()["reply"]["job"]["job_id"] == "job"
        found = await http.get(f"{follower}/v1/jobs", params={"job_id": "job"})
        assert found.status_code == 421
        found = await http.get("/v1/jobs", params={"job_id": "job", "read": "dirty"})
        assert found.json()["error"]["allowed"] == "one of linearizable, local"
        found = await http.get("/v1/jobs", params={"job_id": "none"})
        assert (found.status_code, found.json()["reply"]["code"]) == (404, "unknown_job")


# Who leads


async def test_a_follower_names_the_leader() -> None:
    async with asking(3) as (service, http):
        answer = await post(http, f"{service.urls[2]}/v1/sessions", OPEN)
        assert answer.status_code == 421
        assert answer.json()["error"]["leader"] == service.urls[0]
        assert not service.nodes[2].log.state().sessions


async def test_without_a_leader_everybody_comes_again_later() -> None:
    async with asking(3) as (service, http):
        service.cluster.lead(None)
        answer = await post(http, "/v1/sessions", OPEN)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_leader")
        assert answer.headers["Retry-After"] == "1"


async def test_an_unknown_outcome_is_told_as_one() -> None:
    async with asking() as (service, http):
        service.nodes[0].log.faults.lost_answers = 1
        answer = await post(http, "/v1/sessions", OPEN, "same")
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "unknown_outcome")
        assert (await post(http, "/v1/sessions", OPEN, "same")).status_code == 200


async def test_a_command_of_a_leader_that_was_replaced_has_not_happened() -> None:
    """It changed nothing and is not remembered, so the client may ask again with the same key."""
    async with asking(2) as (service, http):
        log = service.nodes[0].log
        stale = Answer(reply=Reply(code=Code.STALE_LEADER), text=b"", index=1, term=2, clock_ms=0)

        async def too_late(command: AnyCommand, request_id: str, timeout_s: float) -> Answer:
            del command, request_id, timeout_s
            service.cluster.lead(service.urls[1])
            return stale

        log.propose = too_late  # type: ignore[method-assign]
        answer = await post(http, "/v1/sessions", OPEN)
        assert (answer.status_code, answer.json()["error"]["leader"]) == (421, service.urls[1])


async def test_a_node_that_has_stopped_sends_clients_away() -> None:
    async with asking() as (service, http):
        service.nodes[0].log.faults.stopped = "no space left on device"
        answer = await post(http, "/v1/sessions", OPEN)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "stopped")
        assert "no space left" in answer.json()["error"]["message"]


async def test_what_waits_beyond_the_limit_is_told_to_come_again() -> None:
    async with asking(options=ApiOptions(limits=Limits(pending=1))) as (service, http):
        service.nodes[0].log.faults.gate.clear()
        held = httpx.AsyncClient(base_url=service.urls[0], trust_env=False)
        first = asyncio.create_task(post(held, "/v1/sessions", OPEN))
        await eventually(lambda: service.nodes[0].api.service.pending == 1)
        answer = await post(http, "/v1/sessions", OPEN)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
        assert answer.headers["Retry-After"] == "1"
        service.nodes[0].log.faults.gate.set()
        assert (await first).status_code == 200
        await held.aclose()


async def test_a_node_that_goes_answers_those_who_wait() -> None:
    """They ask the next one at once, instead of losing their connection."""
    http = httpx.AsyncClient(trust_env=False)
    async with serving() as service:
        url = service.urls[0]
        await post(http, f"{url}/v1/sessions", OPEN)
        acquire = {"session_id": "w", "wait_s": 50}
        watch = f"{url}/v1/watch?from=2&wait_s=50"
        waiters = [
            asyncio.create_task(post(http, f"{url}/v1/leases:acquire", acquire)),
            asyncio.create_task(http.get(watch)),
        ]
        room = service.nodes[0].api.service.room
        await eventually(lambda: room.waiting == 1)
        await eventually(lambda: service.clock.sleeping == 3)  # these two, and the room
    acquired, watched = await asyncio.gather(*waiters)
    assert acquired.json()["reply"] == {"code": "ok", "wait_ms": 60_000}
    assert watched.json()["events"] == []
    await http.aclose()


# What is told besides


async def test_events_are_told_from_an_index_on() -> None:
    async with asking() as (_, http):
        await post(http, "/v1/sessions", OPEN)
        await post(http, "/v1/jobs", job())
        await post(http, "/v1/leases:acquire", {"session_id": "w", "limit": 2})
        page = (await http.get("/v1/watch")).json()
        granted = [each for each in page["events"] if each["event"] == "lease_granted"]
        assert [each["index"] for each in granted] == [3, 3]
        assert granted[0]["lease"]["window"] == [0, 10]
        assert (page["next"], page["gap"]) == (4, False)
        rest = (await http.get("/v1/watch", params={"from": 4})).json()
        assert (rest["events"], rest["next"], rest["gap"]) == ([], 4, False)
        first = (await http.get("/v1/watch", params={"from": 3, "limit": 1})).json()
        assert len(first["events"]) == 2, "events of one entry are never parted"
        for wrong in ({"from": "x"}, {"from": "-1"}, {"limit": "0"}, {"wait_s": "61"}, {"a": "1"}):
            answer = await http.get("/v1/watch", params=wrong)
            assert answer.status_code == 400, wrong


async def test_who_watches_is_told_of_a_gap() -> None:
    async with asking(2) as (service, http):
        follower = service.nodes[1]
        follower.log.lags = True
        await post(http, "/v1/sessions", OPEN)
        await post(http, "/v1/jobs", job())
        follower.log.catch_up()
        page = (await http.get(f"{follower.url}/v1/watch", params={"from": 1})).json()
        assert (page["events"], page["gap"], page["next"]) == ([], True, 3)


async def test_a_node_says_whether_it_is_of_use() -> None:
    async with asking(2) as (service, http):
        assert (await http.get("/readyz")).json() == {"status": "ready"}
        service.cluster.lead(None)
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
        assert (await http.get("/healthz")).status_code == 200, "it lives all the same"


async def test_leadership_is_handed_over() -> None:
    async with asking(2) as (service, http):
        answer = await post(http, "/v1/admin/transfer-leader", {"reason": "maintenance"})
        assert answer.json()["leader"] == service.urls[1]
        assert (await post(http, "/v1/sessions", OPEN)).status_code == 421
        answer = await post(http, f"{service.urls[1]}/v1/admin/transfer-leader", {"reason": ""})
        assert answer.status_code == 400


async def test_a_snapshot_is_the_state_in_bytes() -> None:
    async with asking() as (_, http):
        await post(http, "/v1/sessions", OPEN)
        answer = await http.get("/v1/admin/snapshot")
        assert answer.headers["X-Raft-Index"] == "1"
        assert list(verify_snapshot(answer.content).state.sessions) == ["w"]


async def test_the_state_is_told_in_rows_and_pages() -> None:
    async with asking() as (_, http):
        await post(http, "/v1/sessions", OPEN)
        await post(http, "/v1/jobs", job())
        await post(http, "/v1/leases:acquire", {"session_id": "w", "limit": 3})
        summary = (await http.get("/v1/state")).json()
        assert (summary["state"]["leases"], summary["state"]["jobs_in_progress"]) == (3, 1)
        assert summary["node"]["is_leader"] is True
        assert len(summary["digest"]["sha256"]) == 64
        page = (await http.get("/v1/state/leases", params={"limit": 2})).json()
        assert ([row["window"] for row in page["rows"]], page["next"]) == ([[0, 10], [10, 20]], 2)
        page = (await http.get("/v1/state/leases", params={"limit": 2, "offset": 2})).json()
        assert ([row["window"] for row in page["rows"]], page["next"]) == ([[20, 30]], None)
        for view, rows in {"sessions": 1, "jobs": 1, "lanes": 1, "waiting": 0}.items():
            page = (await http.get(f"/v1/state/{view}", params={"lane": "bf:s"})).json()
            assert len(page["rows"]) == rows, view
        page = (await http.get("/v1/state/leases", params={"node": "other"})).json()
        assert page["rows"] == []
