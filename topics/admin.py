"""Makes the topics and subjects what the catalogue says, and tells where they are not.

`apply` may be repeated at any time: it changes only what differs. Compatibility is set before a
subject's first schema, because a registry's own default may be none at all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # their own re-exports
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from avro_schemas import Schema
from runtime import KafkaSettings, Settings
from topics.catalogue import Catalogue, Topic
from topics.clients import CALL_TIMEOUT_S, ErrorLog, admin_config, insist
from topics.errors import PartitionCountError
from topics.registry import Registry

T = TypeVar("T")

_SUBJECTS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Change:
    """Something that `apply` has done."""

    resource: str
    """The topic or subject."""

    what: str
    """`created`, a configuration key, `compatibility` or `schema`."""

    before: str
    """What it was; empty: it was not there."""

    after: str
    """What it is now."""

    def __str__(self) -> str:
        return f"{self.resource}: {self.what} {self.before or '(none)'} -> {self.after}"


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as the catalogue says."""

    resource: str
    """The topic or subject."""

    what: str
    """`topic`, `partitions`, a configuration key, `compatibility` or `schema`."""

    found: str
    """What it is; empty: it is not there."""

    wanted: str
    """What it should be."""

    def __str__(self) -> str:
        found = self.found or "missing"
        return f"{self.resource}: {self.what} must be {self.wanted}, was {found}"


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as a broker has it."""

    partitions: int
    config: Mapping[str, str]


def ping(bootstrap: str, timeout_s: float) -> None:
    """Ask the brokers at these addresses for the cluster's metadata once.

    Raises:
        KafkaUnavailableError: None of them answered in time.
    """
    errors = ErrorLog("seamless-ping", quiet=True)
    kafka = KafkaSettings(bootstrap=bootstrap)
    insist(
        f"metadata from {bootstrap}",
        lambda left_s: AdminClient(admin_config(kafka, errors)).list_topics(timeout=left_s),
        timeout_s,
        errors,
    )


async def apply(settings: Settings) -> list[Change]:
    """Create and alter until everything is as the catalogue says.

    Returns:
        What had to be done; nothing the second time.

    Raises:
        PartitionCountError: A topic has another number of partitions; nothing was changed.
        IncompatibleSchemaError: A subject's older schemas forbid the one in the code.
        KafkaUnavailableError: No broker answered in time.
        RegistryUnavailableError: The registry did not answer.
    """
    catalogue = Catalogue.of(settings.kafka)
    changes = await asyncio.to_thread(apply_topics, settings.kafka)
    return changes + await _of_subjects(settings, catalogue, _apply_subject)


async def check(settings: Settings) -> list[Difference]:
    """Return every difference between the servers and the catalogue, changing nothing.

    Raises:
        KafkaUnavailableError: No broker answered in time.
        RegistryUnavailableError: The registry did not answer.
    """
    catalogue = Catalogue.of(settings.kafka)
    states = await asyncio.to_thread(_states, _Admin(settings.kafka), catalogue)
    differences = [d for t in catalogue for d in compare(t, states.get(t.name), settings.kafka)]
    return differences + await _of_subjects(settings, catalogue, _check_subject)


def compare(topic: Topic, state: TopicState | None, kafka: KafkaSettings) -> list[Difference]:
    """Return how a topic differs from the catalogue. Pure."""
    if state is None:
        return [Difference(topic.name, "topic", "", f"a topic of {kafka.partitions} partitions")]
    differences = []
    if state.partitions != kafka.partitions:
        differences.append(
            Difference(topic.name, "partitions", str(state.partitions), str(kafka.partitions))
        )
    for name, wanted in topic.config.items():
        found = state.config.get(name, "")
        if not same_value(found, wanted):
            differences.append(Difference(topic.name, name, found, wanted))
    return differences


def same_value(found: str, wanted: str) -> bool:
    """Return whether two values of a setting mean the same: lists have no order."""
    return sorted(found.split(",")) == sorted(wanted.split(","))


class _Admin:
    """The admin client's futures as calls that insist."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._errors = ErrorLog("seamless-admin")
        self._client = AdminClient(admin_config(kafka, self._errors))

    def partitions(self) -> dict[str, int]:
        """Return the number of partitions of every topic."""
        return insist("list topics", self._partitions, CALL_TIMEOUT_S, self._errors)

    def wait_for(self, topics: Sequence[str]) -> None:
        """Return when a broker speaks of these topics: it learns of new ones after a while."""

        def ask(left_s: float) -> None:
            absent = sorted(set(topics) - self._partitions(left_s).keys())
            if absent:
                listed = f"{', '.join(absent)} not known yet"
                raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE, listed))

        insist("wait for new topics", ask, CALL_TIMEOUT_S, self._errors)

    def _partitions(self, timeout_s: float) -> dict[str, int]:
        found = self._client.list_topics(timeout=timeout_s).topics
        return {name: len(topic.partitions) for name, topic in found.items()}

    def configs(self, topics: list[str]) -> dict[str, dict[str, str]]:
        """Return the settings of topics that exist."""
        if not topics:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]

        def ask(left_s: float) -> dict[str, dict[str, str]]:
            answers = self._client.describe_configs(resources, request_timeout=left_s)
            return {
                resource.name: {
                    entry.name: entry.value or "" for entry in answer.result(left_s).values()
                }
                for resource, answer in answers.items()
            }

        return insist("describe topics", ask, CALL_TIMEOUT_S, self._errors)

    def create(self, topic: Topic, kafka: KafkaSettings) -> bool:
        """Create a topic; return False when somebody else just did."""
        new = NewTopic(
            topic.name,
            num_partitions=kafka.partitions,
            replication_factor=kafka.replication,
            config=dict(topic.config),
        )

        def ask(left_s: float) -> bool:
            answers = self._client.create_topics([new], request_timeout=left_s)
            return _done(answers, left_s, KafkaError.TOPIC_ALREADY_EXISTS)

        return insist(f"create {topic.name}", ask, CALL_TIMEOUT_S, self._errors)

    def alter(self, topic: str, config: Mapping[str, str]) -> None:
        """Set some settings of a topic and leave the others."""
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in config.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)

        def ask(left_s: float) -> bool:
            answers = self._client.incremental_alter_configs([resource], request_timeout=left_s)
            return _done(answers, left_s)

        insist(f"alter {topic}", ask, CALL_TIMEOUT_S, self._errors)


def _done(answers: Mapping[Any, Future[Any]], left_s: float, harmless: int | None = None) -> bool:
    try:
        for answer in answers.values():
            answer.result(left_s)
    except KafkaException as raised:
        if raised.args[0].code() == harmless:
            return False
        raise
    return True


def _states(admin: _Admin, catalogue: Catalogue) -> dict[str, TopicState]:
    partitions = admin.partitions()
    names = [topic.name for topic in catalogue if topic.name in partitions]
    configs = admin.configs(names)
    return {name: TopicState(partitions[name], configs[name]) for name in names}


def _fitting(admin: _Admin, catalogue: Catalogue, kafka: KafkaSettings) -> dict[str, TopicState]:
    """Return the topics that exist, each with the right number of partitions."""
    states = _states(admin, catalogue)
    other = {n: s.partitions for n, s in states.items() if s.partitions != kafka.partitions}
    if other:
        raise PartitionCountError(other, kafka.partitions)
    return states


def apply_topics(kafka: KafkaSettings) -> list[Change]:
    """Do Kafka's half of `apply`, without a registry.

    Raises:
        PartitionCountError: A topic has another number of partitions; nothing was changed, unless
            somebody made it at the same time.
        KafkaUnavailableError: No broker answered in time.
    """
    catalogue = Catalogue.of(kafka)
    admin = _Admin(kafka)
    states = _fitting(admin, catalogue, kafka)
    missing = [topic for topic in catalogue if topic.name not in states]
    changes = [
        Change(topic.name, "created", "", f"{kafka.partitions} partitions")
        for topic in missing
        if admin.create(topic, kafka)
    ]
    admin.wait_for([topic.name for topic in missing])
    if len(changes) < len(missing):
        # Somebody else made some just now, and may have made them otherwise.
        states = _fitting(admin, catalogue, kafka)
    for topic in catalogue:
        differences = compare(topic, states[topic.name], kafka) if topic.name in states else []
        if differences:
            admin.alter(topic.name, {d.what: d.wanted for d in differences})
            changes += [Change(topic.name, d.what, d.found, d.wanted) for d in differences]
    return changes


async def _of_subjects(
    settings: Settings,
    catalogue: Catalogue,
    work: Callable[[Registry, Topic, Schema], Awaitable[list[T]]],
) -> list[T]:
    """Return what `work` finds for every topic with a schema; a few are asked for at a time."""
    registry = Registry(settings.registry)
    room = asyncio.Semaphore(_SUBJECTS_AT_ONCE)

    async def one(topic: Topic, schema: Schema) -> list[T]:
        async with room:
            return await work(registry, topic, schema)

    try:
        found = await asyncio.gather(*(one(t, t.schema) for t in catalogue if t.schema is not None))
    finally:
        await registry.close()
    return [each for part in found for each in part]


async def _apply_subject(registry: Registry, topic: Topic, schema: Schema) -> list[Change]:
    changes = []
    level = await registry.get_compatibility(topic.subject)
    if level != topic.compatibility:
        await registry.set_compatibility(topic.subject, topic.compatibility)
        changes.append(Change(topic.subject, "compatibility", level or "", topic.compatibility))
    if await registry.id_of(topic.subject, schema) is None:
        schema_id = await registry.register(topic.subject, schema)
        changes.append(Change(topic.subject, "schema", "", f"id {schema_id}"))
    return changes


async def _check_subject(registry: Registry, topic: Topic, schema: Schema) -> list[Difference]:
    differences = []
    level = await registry.get_compatibility(topic.subject)
    if level != topic.compatibility:
        differences.append(
            Difference(topic.subject, "compatibility", level or "", topic.compatibility)
        )
    if await registry.id_of(topic.subject, schema) is None:
        differences.append(Difference(topic.subject, "schema", "", "the one in the code"))
    return differences
