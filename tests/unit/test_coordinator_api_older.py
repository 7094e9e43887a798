"""The lease protocol of QMTL's SDK, served as it is."""

from typing import Any

import pytest

from tests.unit.asking_help import OPEN, asking, job, post

KEY = "n:1:0:29:world:2024-01-01T00:00:00Z"


async def test_the_older_clients_requests_work_as_they_are() -> None:
    """No key, no token, one address: what QMTL's client sends and reads."""
    async with asking(2) as (service, http):
        wall_ms = service.clock.wall_us() // 1_000
        claim = {"key": KEY, "lease_ms": 60_000}
        answer = await http.post("/v1/leases/claim", json=claim)
        assert answer.status_code == 200
        lease = answer.json()["lease"]
        assert lease["token"]
        assert lease["lease_until_ms"] == wall_ms + 60_000
        assert answer.json()["completion_ratio"] == 0.0
        assert (await http.post("/v1/leases/claim", json=claim)).status_code == 409
        done = {"key": KEY, "token": lease["token"]}
        answer = await http.post("/v1/leases/complete", json=done)
        assert (answer.status_code, answer.json()) == (200, {"completion_ratio": 1.0})
        again = await http.post(f"{service.urls[1]}/v1/leases/claim", json=claim)
        assert again.status_code == 200, "a follower hands it on"
        failed = {"key": KEY, "token": again.json()["lease"]["token"], "reason": "no bars"}
        answer = await http.post(f"{service.urls[1]}/v1/leases/fail", json=failed)
        assert answer.json() == {"completion_ratio": 0.0}
        failed = {"key": KEY, "token": "999", "reason": "no bars"}
        assert (await http.post("/v1/leases/fail", json=failed)).status_code == 409


async def test_the_older_client_learns_how_much_of_its_range_is_known_as_done() -> None:
    async with asking() as (_, http):
        await post(http, "/v1/sessions", OPEN)
        await post(http, "/v1/jobs", job())
        acquired = await post(http, "/v1/leases:acquire", {"session_id": "w", "limit": 1})
        token = acquired.json()["reply"]["leases"][0]["token"]
        await post(http, "/v1/leases:complete", {"session_id": "w", "token": token})
        claim = {"key": KEY, "lease_ms": 60_000}
        answer = await http.post("/v1/leases/claim", json=claim)
        assert answer.json()["completion_ratio"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"key": "n:60", "lease_ms": 60_000}, "key"),
        ({"key": KEY}, "lease_ms"),
        ({"key": KEY, "lease_ms": 1}, "lease_ms"),
        ({"key": KEY, "lease_ms": True}, "lease_ms"),
        ({"key": 5, "lease_ms": 60_000}, "key"),
        ({"key": "a|b:1:0:29:world:2024", "lease_ms": 60_000}, "key"),
        ({"key": KEY, "lease_ms": 60_000, "more": 1}, "body"),
        ({"key": KEY, "lease_ms": "9" * 100_000}, "lease_ms"),
    ],
)
async def test_a_wrong_claim_is_refused_by_its_field(body: dict[str, Any], field: str) -> None:
    async with asking() as (_, http):
        answer = await http.post("/v1/leases/claim", json=body)
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)
        assert len(answer.content) < 1_000


async def test_an_older_clients_range_and_a_workers_window_have_no_bar_in_common() -> None:
    """Whoever comes first has it, by whichever protocol."""
    async with asking() as (service, http):
        await post(http, "/v1/sessions", OPEN)
        await post(http, "/v1/jobs", job())
        acquire = {"session_id": "w", "limit": 1}
        (first,) = (await post(http, "/v1/leases:acquire", acquire)).json()["reply"]["leases"]
        assert first["window"] == [0, 10]
        overlapping, behind = (
            {"key": f"n:1:{start}:{end}:world:2024", "lease_ms": 60_000}
            for start, end in ((9, 14), (10, 14))
        )
        assert (await http.post("/v1/leases/claim", json=overlapping)).status_code == 409
        claimed = await http.post("/v1/leases/claim", json=behind)
        assert claimed.status_code == 200
        assert int(claimed.json()["lease"]["token"].partition("-")[0]) > first["token"]
        answer = await post(http, "/v1/leases:acquire", {**acquire, "limit": 9})
        windows = [lease["window"] for lease in answer.json()["reply"]["leases"]]
        assert windows == [[15, 20], [20, 30]]
        done = {"key": behind["key"], "token": claimed.json()["lease"]["token"]}
        assert (await http.post("/v1/leases/complete", json=done)).status_code == 200
        assert (await http.post("/v1/leases/complete", json=done)).status_code == 200, "told again"
        answer = await post(http, "/v1/leases:acquire", acquire)
        assert [e["window"] for e in answer.json()["reply"]["leases"]] == [[10, 15]]
        assert (await http.post("/v1/leases/claim", json=behind)).status_code == 409
        assert len(service.nodes[0].log.state().sessions) == 1


async def test_the_number_of_a_claim_is_not_enough_to_end_it() -> None:
    """It can be guessed: tokens only count up."""
    async with asking() as (_, http):
        claim = {"key": KEY, "lease_ms": 60_000}
        token = (await http.post("/v1/leases/claim", json=claim)).json()["lease"]["token"]
        number, _, mark = token.partition("-")
        for wrong in (number, f"{int(number) + 1}-{mark}", f"{number}-{'0' * 16}"):
            done = {"key": KEY, "token": wrong}
            assert (await http.post("/v1/leases/complete", json=done)).status_code == 409
        done = {"key": KEY, "token": f"{2**63}-{mark}"}
        assert (await http.post("/v1/leases/complete", json=done)).status_code == 400
        assert (await http.post("/v1/leases/claim", json=claim)).status_code == 409


async def test_an_answer_that_is_told_again_does_not_bring_back_a_claim_that_is_over() -> None:
    async with asking() as (service, http):
        claim = {"key": KEY, "lease_ms": 60_000}
        first = await post(http, "/v1/leases/claim", claim, "same")
        await service.pass_s(30)
        again = await post(http, "/v1/leases/claim", claim, "same")
        assert again.json()["lease"]["token"] == first.json()["lease"]["token"]
        await service.pass_s(31)
        assert (await post(http, "/v1/leases/claim", claim, "same")).status_code == 409
        assert (await post(http, "/v1/leases/claim", claim, "other")).status_code == 200
