"""Requests to the lease API of a service in this process."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx

from coordinator._service.api.api import ApiOptions
from coordinator._service.api.auth import Role
from coordinator.machine import SubmitJob, wire
from tests.unit.api_help import Service, serving
from tests.unit.machine_help import spec

TOKENS = {role: role.word * 8 for role in Role}
_KEYS = count()


@asynccontextmanager
async def asking(
    nodes: int = 1, options: ApiOptions | None = None, role: Role | None = None
) -> AsyncGenerator[tuple[Service, httpx.AsyncClient]]:
    """Serve nodes, and yield what sends requests to the first."""
    headers = {"Authorization": f"Bearer {TOKENS[role]}"} if role else {}
    async with serving(nodes, options=options) as service:
        url = service.urls[0]
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as http:
            yield service, http


async def post(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], key: str | None = None
) -> httpx.Response:
    headers = {"Idempotency-Key": key or f"key-{next(_KEYS)}"}
    return await http.post(path, json=body, headers=headers)


def job(job_id: str = "job") -> dict[str, Any]:
    document: dict[str, Any] = wire.command_document(SubmitJob(spec=spec(job_id, 0, 30)))
    return {"spec": document["spec"]}


OPEN = {"session_id": "w", "ttl_ms": 60_000}
