"""The schema registry's Confluent-compatible HTTP API (Confluent, Apicurio ccompat v7, Karapace).

Thin: one call, one request; whoever needs patience or a cache takes `_schemas`. It tells three
things apart that an error must not mix: the registry is not there (retriable), it knows no such
thing, it refuses.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from avro_schemas import Schema
from runtime import RegistrySettings
from runtime.http import Http, HttpAnswer, HttpRequest, NoAnswerError
from topics.errors import (
    IncompatibleSchemaError,
    RegistryRefusedError,
    RegistryUnavailableError,
    UnknownSchemaError,
)

TIMEOUT_S = 5.0

_ACCEPT = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}

_OK = 200
_NOT_FOUND = 404
_CONFLICT = 409
_TOO_MANY = 429
_SERVER = 500


@dataclass(frozen=True, slots=True)
class StoredSchema:
    """A schema as the registry has it."""

    text: str
    kind: str
    """AVRO, JSON or PROTOBUF."""


class Registry:
    """An asynchronous client; belongs to the event loop that it is first used in."""

    def __init__(self, settings: RegistrySettings, *, http: Http | None = None) -> None:
        """Ask a registry.

        Args:
            settings: Where it is.
            http: Sends the questions; closed with this. None: connections of its own.
        """
        self._url = settings.url.rstrip("/") + "/"
        self._http = _connections() if http is None else http

    async def id_of(self, subject: str, schema: Schema) -> int | None:
        """Return the id that exactly this schema has under the subject; None if it has none."""
        body = {"schema": json.dumps(schema)}
        answer = await self._ask("POST", f"subjects/{quote(subject, safe='')}", body)
        return None if answer is None else int(answer["id"])

    async def schema_of(self, schema_id: int) -> StoredSchema:
        """Return the schema of an id.

        Raises:
            UnknownSchemaError: The registry answered that it has none.
        """
        answer = await self._ask("GET", f"schemas/ids/{schema_id}")
        if answer is None:
            raise UnknownSchemaError(f"no schema has the id {schema_id}", schema_id)
        return StoredSchema(answer["schema"], answer.get("schemaType") or "AVRO")

    async def register(self, subject: str, schema: Schema) -> int:
        """Register a schema as the subject's newest version and return its id.

        Raises:
            IncompatibleSchemaError: The subject's compatibility forbids it.
        """
        path = f"subjects/{quote(subject, safe='')}/versions"
        answer = await self._ask("POST", path, {"schema": json.dumps(schema)})
        if answer is None:
            raise RegistryRefusedError(f"register {subject}", _NOT_FOUND, 0, "not found")
        return int(answer["id"])

    async def set_compatibility(self, subject: str, level: str) -> None:
        """Set the subject's compatibility; the subject need not exist yet."""
        await self._ask("PUT", f"config/{quote(subject, safe='')}", {"compatibility": level})

    async def get_compatibility(self, subject: str) -> str | None:
        """Return the subject's own compatibility; None if it has none."""
        answer = await self._ask("GET", f"config/{quote(subject, safe='')}")
        return None if answer is None else str(answer["compatibilityLevel"])

    async def subjects(self) -> tuple[str, ...]:
        """Return every subject; also the cheapest proof that the registry is ready."""
        return tuple(str(s) for s in await self._ask("GET", "subjects") or ())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the parsed answer; None for a thing that the registry says it does not have."""
        action = f"{method} {path}"
        text = None if body is None else json.dumps(body).encode()
        request = HttpRequest(method=method, url=self._url + path, headers=_ACCEPT, body=text)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._http.send(request)
        except NoAnswerError as error:
            raise RegistryUnavailableError(action, str(error)) from error
        except TimeoutError as error:
            raise RegistryUnavailableError(action, f"no answer in {TIMEOUT_S} s") from error
        return _answer(action, answer)


def _connections() -> Http:
    from runtime.aio import AioHttp  # noqa: PLC0415 - a tenth of a second for who asks no registry

    return AioHttp()


def _answer(action: str, answer: HttpAnswer) -> Any:
    status = answer.status
    try:
        content = json.loads(answer.body)
    except ValueError:
        content = None
    if status == _OK and content is not None:
        return content
    code = content.get("error_code") if isinstance(content, dict) else None
    reason = str(content.get("message")) if isinstance(content, dict) else _text(answer.body)
    if not isinstance(code, int) and (status in {_OK, _NOT_FOUND} or status >= _SERVER):
        # A proxy, another server, a wrong path: nothing that a registry has said.
        raise RegistryUnavailableError(action, f"{status} that is not a registry's: {reason}")
    if status == _NOT_FOUND:
        return None
    if status == _CONFLICT:
        raise IncompatibleSchemaError(action, status, code or 0, reason)
    if status >= _SERVER or status == _TOO_MANY:
        raise RegistryUnavailableError(action, f"{status}: {reason}")
    raise RegistryRefusedError(action, status, code or 0, reason)


def _text(body: bytes) -> str:
    return body[:200].decode(errors="replace")
