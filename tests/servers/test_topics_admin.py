"""`topics apply` and `topics check` on a real broker and a real registry."""

import copy
import dataclasses
import socket

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its own re-exports
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from runtime import Settings
from topics import (
    Catalogue,
    Difference,
    IncompatibleSchemaError,
    KafkaUnavailableError,
    PartitionCountError,
    Registry,
    apply,
    check,
    ping,
)
from topics.admin import _Admin

pytestmark = pytest.mark.servers


async def test_apply_makes_what_check_wants_and_then_has_nothing_to_do(settings: Settings) -> None:
    before = await check(settings)
    catalogue = Catalogue.of(settings.kafka)
    assert {d.resource for d in before if d.what == "topic"} == {t.name for t in catalogue}
    changes = await apply(settings)
    assert {c.resource for c in changes if c.what == "created"} == {t.name for t in catalogue}
    assert await check(settings) == []
    assert await apply(settings) == []


async def test_compatibility_is_set_before_the_first_schema(settings: Settings) -> None:
    """A registry whose default is none at all would take anything as the first version."""
    changes = await apply(settings)
    subject = Catalogue.of(settings.kafka).history.subject
    assert [c.what for c in changes if c.resource == subject] == ["compatibility", "schema"]


async def test_a_setting_that_somebody_changed_is_named_and_put_back(applied: Settings) -> None:
    history = Catalogue.of(applied.kafka).history.name
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in {"min.compaction.lag.ms": "5", "segment.bytes": "2097152"}.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, history, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": applied.kafka.bootstrap})
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result(10)
    wanted = Difference(history, "min.compaction.lag.ms", "5", "604800000")
    assert await check(applied) == [wanted]
    assert [c.what for c in await apply(applied)] == ["min.compaction.lag.ms"]
    assert await check(applied) == []
    found = admin.describe_configs([ConfigResource(ResourceType.TOPIC, history)])
    # What the catalogue does not speak of is the operator's.
    assert next(iter(found.values())).result(10)["segment.bytes"].value == "2097152"


async def test_compatibility_that_somebody_changed_is_named_and_put_back(
    applied: Settings,
) -> None:
    subject = Catalogue.of(applied.kafka).requests.subject
    registry = Registry(applied.registry)
    await registry.set_compatibility(subject, "NONE")
    await registry.close()
    wanted = Difference(subject, "compatibility", "NONE", "BACKWARD_TRANSITIVE")
    assert await check(applied) == [wanted]
    await apply(applied)
    assert await check(applied) == []


async def test_another_number_of_partitions_is_an_error_and_changes_nothing(
    settings: Settings,
) -> None:
    """Keys would move to other partitions: it can never be put right by altering."""
    live = Catalogue.of(settings.kafka).live.name
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap})
    admin.create_topics([NewTopic(live, 3, 1)])[live].result(10)
    _Admin(settings.kafka).wait_for([live])
    with pytest.raises(PartitionCountError, match=f"is 4: {live} has 3") as raised:
        await apply(settings)
    assert raised.value.found == {live: 3}
    differences = await check(settings)
    assert Difference(live, "partitions", "3", "4") in differences
    assert sum(d.what == "topic" for d in differences) == 8


async def test_a_topic_that_somebody_else_makes_meanwhile_is_looked_at_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brokers list a new topic after a while: `apply` then finds it only when it makes it."""
    live = Catalogue.of(settings.kafka).live.name
    listed = _Admin.partitions
    looks: list[str] = []

    def late(self: _Admin) -> dict[str, int]:
        looks.append(live)
        return {n: count for n, count in listed(self).items() if n != live or len(looks) > 1}

    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap})
    admin.create_topics([NewTopic(live, 3, 1)])[live].result(10)
    monkeypatch.setattr(_Admin, "partitions", late)
    with pytest.raises(PartitionCountError, match=f"is 4: {live} has 3"):
        await apply(settings)


async def test_the_registry_refuses_an_incompatible_schema(applied: Settings) -> None:
    """A field without a default: old records could not be read any more."""
    history = Catalogue.of(applied.kafka).history
    broken = copy.deepcopy(history.schema)
    assert isinstance(broken, list)
    broken[0]["fields"].append({"name": "exchange", "type": "string"})
    registry = Registry(applied.registry)
    try:
        with pytest.raises(IncompatibleSchemaError) as raised:
            await registry.register(history.subject, broken)
        assert raised.value.status == 409
        assert await registry.id_of(history.subject, broken) is None
        broken[0]["fields"][-1]["default"] = ""
        assert await registry.register(history.subject, broken) > 0
    finally:
        await registry.close()


async def test_apply_is_refused_where_the_code_breaks_what_is_registered(
    settings: Settings,
) -> None:
    subject = Catalogue.of(settings.kafka).visible.subject
    registry = Registry(settings.registry)
    await registry.set_compatibility(subject, "FULL_TRANSITIVE")
    other = {
        "type": "record",
        "name": "VisibleMark",
        "namespace": "seamless",
        "fields": [{"name": "partition", "type": "string"}],
    }
    await registry.register(subject, other)
    await registry.close()
    with pytest.raises(IncompatibleSchemaError):
        await apply(settings)


def test_a_broker_that_answers_is_there(settings: Settings) -> None:
    ping(settings.kafka.bootstrap, 10)


def test_a_broker_that_is_not_there_is_said_to_be_away() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(KafkaUnavailableError, match=address):
            ping(address, 0.5)


async def test_a_registry_that_is_not_there_is_an_error_of_its_own(settings: Settings) -> None:
    away = dataclasses.replace(settings.registry, url="http://127.0.0.1:1/apis")
    registry = Registry(away)
    with pytest.raises(Exception, match="did not answer") as raised:
        await registry.subjects()
    assert getattr(raised.value, "retriable", False)
    await registry.close()
