"""The codec with the real registry."""

import copy
import json

import pytest

from avro_schemas import BackfillStatus, RequestState, VisibleMark, Watermark
from runtime import Settings, SystemClock
from tests.property.avro_records import fastavro_body
from topics import Catalogue, Codec, Registry, UnknownSchemaError

pytestmark = pytest.mark.servers

STATUS = BackfillStatus(request_id="r-1", state=RequestState.RUNNING, windows_total=3)


async def test_records_go_out_and_in(applied: Settings) -> None:
    catalogue = Catalogue.of(applied.kafka)
    registry = Registry(applied.registry)
    codec = Codec(registry, SystemClock())
    mark = VisibleMark(partition=1, history_offset=2)
    watermark = Watermark(role="conform", partition=1, next_input_offset=2, last_known=3)
    for topic, record in ((catalogue.visible, mark), (catalogue.history, watermark)):
        value = await codec.encode(topic, record)
        assert await codec.decode(topic, value) == record
    await registry.close()


async def test_the_id_is_the_one_of_the_schema_in_the_code(applied: Settings) -> None:
    """A newer version registered beside us must not change what we write."""
    status = Catalogue.of(applied.kafka).status
    registry = Registry(applied.registry)
    assert status.schema is not None
    ours = await registry.id_of(status.subject, status.schema)
    newer = copy.deepcopy(status.schema)
    assert isinstance(newer, dict)
    newer["fields"].append({"name": "worker", "type": "string", "default": ""})
    theirs = await registry.register(status.subject, newer)
    codec = Codec(registry, SystemClock())
    value = await codec.encode(status, STATUS)
    assert int.from_bytes(value[1:5], "big") == ours != theirs
    await registry.close()


async def test_a_newer_writer_is_read_with_our_schema(applied: Settings) -> None:
    status = Catalogue.of(applied.kafka).status
    registry = Registry(applied.registry)
    newer = copy.deepcopy(status.schema)
    assert isinstance(newer, dict)
    newer["fields"].insert(1, {"name": "worker", "type": "string", "default": ""})
    schema_id = await registry.register(status.subject, newer)
    fields = {f["name"]: f.get("default") for f in newer["fields"]}
    values = {**fields, "request_id": "r-1", "state": "RUNNING", "windows_total": 3}
    body = fastavro_body(newer, values)
    value = b"\0" + schema_id.to_bytes(4, "big") + body
    assert await Codec(registry, SystemClock()).decode(status, value) == STATUS
    await registry.close()


async def test_what_the_registry_returns_is_the_schema_in_the_code(applied: Settings) -> None:
    """Otherwise every record would take the slow way."""
    registry = Registry(applied.registry)
    for topic in Catalogue.of(applied.kafka):
        if topic.schema is not None:
            schema_id = await registry.id_of(topic.subject, topic.schema)
            assert schema_id is not None
            assert json.loads((await registry.schema_of(schema_id)).text) == topic.schema
    await registry.close()


async def test_an_id_that_was_never_given_is_unknown(applied: Settings) -> None:
    registry = Registry(applied.registry)
    with pytest.raises(UnknownSchemaError):
        await Codec(registry, SystemClock()).decode(
            Catalogue.of(applied.kafka).chunks, b"\0\x7f\xff\xff\xff"
        )
    await registry.close()
