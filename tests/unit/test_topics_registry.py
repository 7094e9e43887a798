"""What the registry's client makes of answers: not there, unknown, or refused."""

import json
from collections.abc import Callable

import httpx
import pytest

from runtime import RegistrySettings
from topics import (
    IncompatibleSchemaError,
    Registry,
    RegistryRefusedError,
    RegistryUnavailableError,
    UnknownSchemaError,
)

SCHEMA = {"type": "record", "name": "R", "fields": []}
Answer = Callable[[httpx.Request], httpx.Response]


def registry(answer: Answer | httpx.Response) -> Registry:
    """Return a client of a registry that answers so."""
    answers = (lambda _request: answer) if isinstance(answer, httpx.Response) else answer
    return Registry(
        RegistrySettings(url="http://registry:8081/apis/ccompat/v7"),
        transport=httpx.MockTransport(answers),
    )


async def test_requests_are_the_confluent_apis() -> None:
    seen: list[tuple[str, str, object]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        seen.append((request.method, request.url.raw_path.decode(), body))
        return httpx.Response(
            200, json={"id": 7, "schema": "{}", "compatibilityLevel": "FULL_TRANSITIVE"}
        )

    client = registry(answer)
    assert await client.id_of("a/b-value", SCHEMA) == 7
    assert (await client.schema_of(7)).text == "{}"
    assert await client.register("s", SCHEMA) == 7
    await client.set_compatibility("s", "FULL_TRANSITIVE")
    assert await client.get_compatibility("s") == "FULL_TRANSITIVE"
    await client.close()
    text = {"schema": json.dumps(SCHEMA)}
    assert seen == [
        ("POST", "/apis/ccompat/v7/subjects/a%2Fb-value", text),
        ("GET", "/apis/ccompat/v7/schemas/ids/7", None),
        ("POST", "/apis/ccompat/v7/subjects/s/versions", text),
        ("PUT", "/apis/ccompat/v7/config/s", {"compatibility": "FULL_TRANSITIVE"}),
        ("GET", "/apis/ccompat/v7/config/s", None),
    ]


async def test_what_a_registry_says_it_lacks_is_none_or_unknown() -> None:
    client = registry(httpx.Response(404, json={"error_code": 40403, "message": "no"}))
    assert await client.id_of("s", SCHEMA) is None
    assert await client.get_compatibility("s") is None
    with pytest.raises(UnknownSchemaError) as raised:
        await client.schema_of(9)
    assert raised.value.schema_id == 9
    assert not raised.value.retriable


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(404, text="<html>not here</html>"),
        httpx.Response(404, json={"detail": "no route"}),
        httpx.Response(200, text="<html>welcome</html>"),
        httpx.Response(502, text="bad gateway"),
        httpx.Response(503, json={"error_code": 50301, "message": "starting"}),
        httpx.Response(500, json={"error_code": 50001, "message": "storage"}),
        httpx.Response(429, json={"error_code": 429, "message": "slowly"}),
    ],
    ids=["page", "route", "welcome", "proxy", "starting", "storage", "busy"],
)
async def test_an_answer_that_is_no_registrys_is_one_that_is_not_there(
    response: httpx.Response,
) -> None:
    """A proxy's 404 must not send good records to the dead letter topic."""
    with pytest.raises(RegistryUnavailableError) as raised:
        await registry(response).schema_of(1)
    assert raised.value.retriable


@pytest.mark.parametrize(
    "error", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError]
)
async def test_no_answer_is_retriable(error: type[httpx.TransportError]) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise error("gone")

    with pytest.raises(RegistryUnavailableError, match="gone"):
        await registry(answer).subjects()


async def test_a_conflict_is_an_incompatible_schema() -> None:
    """Apicurio's error code is 409 where others have another: the status decides."""
    client = registry(httpx.Response(409, json={"error_code": 409, "message": "Incompatible"}))
    with pytest.raises(IncompatibleSchemaError, match="Incompatible") as raised:
        await client.register("s", SCHEMA)
    assert not raised.value.retriable


async def test_a_refusal_says_what_the_registry_said() -> None:
    client = registry(httpx.Response(422, json={"error_code": 42201, "message": "not a schema"}))
    with pytest.raises(RegistryRefusedError, match="not a schema") as raised:
        await client.register("s", SCHEMA)
    assert (raised.value.status, raised.value.code) == (422, 42201)
    unauthorized = registry(httpx.Response(401, text="who are you"))
    with pytest.raises(RegistryRefusedError, match="who are you"):
        await unauthorized.subjects()
