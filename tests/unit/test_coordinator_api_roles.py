"""Who may ask the lease API for what."""

from typing import Any

import pytest

from coordinator._service.api.api import ApiOptions
from coordinator._service.api.auth import Role, Tokens
from tests.unit.asking_help import OPEN, TOKENS, asking, post

SECURED = ApiOptions(tokens=Tokens.of((token, role) for role, token in TOKENS.items()))


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (None, []),
        (Role.READER, ["/v1/watch"]),
        (Role.WORKER, ["/v1/watch", "/v1/sessions"]),
        (Role.ADMIN, ["/v1/watch", "/v1/sessions", "/v1/admin/transfer-leader"]),
    ],
)
async def test_a_role_may_do_its_part(role: Role | None, allowed: list[str]) -> None:
    async with asking(2, SECURED, role) as (service, http):
        bodies: dict[str, dict[str, Any]] = {
            "/v1/sessions": OPEN,
            "/v1/admin/transfer-leader": {"reason": "why"},
        }
        found = []
        for path in ("/v1/watch", "/v1/sessions", "/v1/admin/transfer-leader"):
            answer = (
                await post(http, path, bodies[path]) if path in bodies else await http.get(path)
            )
            assert answer.status_code in {200, 401 if role is None else 403}
            found += [path] if answer.status_code == 200 else []
        assert found == allowed
        open_to_all = [await http.get(path) for path in ("/healthz", "/readyz")]
        assert [answer.status_code for answer in open_to_all] == [200, 200]
        assert (len(service.nodes[0].log.state().sessions) == 1) is ("/v1/sessions" in allowed)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer nonsense", f"Basic {TOKENS[Role.ADMIN]}", "Bearer " + "\xe4" * 40],
)
async def test_a_wrong_token_is_nobodys(header: str) -> None:
    async with asking(options=SECURED) as (_, http):
        answer = await http.get("/v1/watch", headers={b"Authorization": header.encode("latin-1")})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")


async def test_a_page_in_a_browser_does_not_reach_an_open_loopback() -> None:
    """Under a name of its own a page may speak to 127.0.0.1: it must not be taken for a person."""
    async with asking() as (_, http):
        answer = await http.get("/v1/watch", headers={"Host": "evil.example:80"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong_host")
        headers = {"Content-Type": "text/plain", "Idempotency-Key": "k"}
        answer = await http.post("/v1/sessions", content="{}", headers=headers)
        assert answer.status_code == 415
