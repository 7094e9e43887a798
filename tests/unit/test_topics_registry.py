"""What the registry's client makes of answers: not there, unknown, or refused."""

import asyncio
import json
from dataclasses import dataclass, field

import pytest

from runtime import RegistrySettings
from runtime.http import HttpAnswer, HttpRequest, NoAnswerError
from topics import (
    IncompatibleSchemaError,
    Registry,
    RegistryRefusedError,
    RegistryUnavailableError,
    UnknownSchemaError,
)
from topics import (
    registry as module,
)

SCHEMA = {"type": "record", "name": "R", "fields": []}
URL = "http://registry:8081/apis/ccompat/v7"


@dataclass
class Answering:
    """Sends nothing, and answers always the same."""

    status: int
    content: object
    sent: list[HttpRequest] = field(default_factory=list)

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """Answer."""
        self.sent.append(request)
        text = self.content if isinstance(self.content, str) else json.dumps(self.content)
        return HttpAnswer(status=self.status, headers={}, body=text.encode())

    async def aclose(self) -> None:
        """Nothing is kept open."""


def registry(status: int, content: object) -> Registry:
    """Return a client of a registry that answers so; text that is no JSON as it is."""
    return Registry(RegistrySettings(url=URL), http=Answering(status, content))


async def test_requests_are_the_confluent_apis() -> None:
    http = Answering(200, {"id": 7, "schema": "{}", "compatibilityLevel": "FULL_TRANSITIVE"})
    client = Registry(RegistrySettings(url=URL), http=http)
    assert await client.id_of("a/b-value", SCHEMA) == 7
    assert (await client.schema_of(7)).text == "{}"
    assert await client.register("s", SCHEMA) == 7
    await client.set_compatibility("s", "FULL_TRANSITIVE")
    assert await client.get_compatibility("s") == "FULL_TRANSITIVE"
    await client.close()
    text = {"schema": json.dumps(SCHEMA)}
    assert [
        (
            each.method,
            each.url.removeprefix(URL),
            None if each.body is None else json.loads(each.body),
        )
        for each in http.sent
    ] == [
        ("POST", "/subjects/a%2Fb-value", text),
        ("GET", "/schemas/ids/7", None),
        ("POST", "/subjects/s/versions", text),
        ("PUT", "/config/s", {"compatibility": "FULL_TRANSITIVE"}),
        ("GET", "/config/s", None),
    ]
    assert all("schemaregistry" in each.headers["Accept"] for each in http.sent)


async def test_what_a_registry_says_it_lacks_is_none_or_unknown() -> None:
    client = registry(404, {"error_code": 40403, "message": "no"})
    assert await client.id_of("s", SCHEMA) is None
    assert await client.get_compatibility("s") is None
    with pytest.raises(UnknownSchemaError) as raised:
        await client.schema_of(9)
    assert raised.value.schema_id == 9
    assert not raised.value.retriable


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (404, "<html>not here</html>"),
        (404, {"detail": "no route"}),
        (200, "<html>welcome</html>"),
        (502, "bad gateway"),
        (503, {"error_code": 50301, "message": "starting"}),
        (500, {"error_code": 50001, "message": "storage"}),
        (429, {"error_code": 429, "message": "slowly"}),
    ],
    ids=["page", "route", "welcome", "proxy", "starting", "storage", "busy"],
)
async def test_an_answer_that_is_no_registrys_is_one_that_is_not_there(
    status: int, content: object
) -> None:
    """A proxy's 404 must not send good records to the dead letter topic."""
    with pytest.raises(RegistryUnavailableError) as raised:
        await registry(status, content).schema_of(1)
    assert raised.value.retriable


async def test_no_answer_is_retriable(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging(Answering):
        async def send(self, _request: HttpRequest) -> HttpAnswer:
            await asyncio.Event().wait()
            raise AssertionError

    class Gone(Answering):
        async def send(self, _request: HttpRequest) -> HttpAnswer:
            raise NoAnswerError("gone")

    monkeypatch.setattr(module, "TIMEOUT_S", 0.01)
    for http, reason in ((Gone(200, []), "gone"), (Hanging(200, []), r"no answer in 0\.01 s")):
        with pytest.raises(RegistryUnavailableError, match=reason) as raised:
            await Registry(RegistrySettings(url=URL), http=http).subjects()
        assert raised.value.retriable


async def test_a_conflict_is_an_incompatible_schema() -> None:
    """Apicurio's error code is 409 where others have another: the status decides."""
    client = registry(409, {"error_code": 409, "message": "Incompatible"})
    with pytest.raises(IncompatibleSchemaError, match="Incompatible") as raised:
        await client.register("s", SCHEMA)
    assert not raised.value.retriable


async def test_a_refusal_says_what_the_registry_said() -> None:
    client = registry(422, {"error_code": 42201, "message": "not a schema"})
    with pytest.raises(RegistryRefusedError, match="not a schema") as raised:
        await client.register("s", SCHEMA)
    assert (raised.value.status, raised.value.code) == (422, 42201)
    unauthorized = registry(401, "who are you")
    with pytest.raises(RegistryRefusedError, match="who are you"):
        await unauthorized.subjects()
