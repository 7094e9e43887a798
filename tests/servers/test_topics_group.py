"""A consumer group that commits what it is told: joining, sharing, losing."""

import dataclasses
import os
from collections.abc import Callable

import pytest

from runtime import KafkaSettings, Settings
from topics import (
    Catalogue,
    GroupConsumer,
    GroupEvents,
    KafkaUnavailableError,
    NotOwnerError,
    Places,
    Producer,
    RawMessage,
    members,
)
from topics.admin import apply_topics

pytestmark = pytest.mark.servers


@pytest.fixture
def made(settings: Settings) -> Settings:
    """Settings whose topics are there; nobody asks the registry."""
    apply_topics(settings.kafka)
    return settings


GROUP = "fetch"
POLLS_MAX = 120


def fill(kafka: KafkaSettings, topic: str, count: int) -> None:
    """Put numbered records into partition 0."""
    producer = Producer(kafka)
    for i in range(count):
        producer.send(topic, "k", b"%d" % i, partition=0)
    producer.close()


def poll_until(
    consumer: GroupConsumer, done: Callable[[list[RawMessage]], bool]
) -> list[RawMessage]:
    """Poll until what was read, or what came with it, is enough."""
    found: list[RawMessage] = []
    for _ in range(POLLS_MAX):
        found += consumer.poll(0.25)
        if done(found):
            return found
    raise AssertionError(f"not enough after {POLLS_MAX} polls: {len(found)} records")


def test_what_is_not_committed_is_read_again(made: Settings) -> None:
    topic = Catalogue.of(made.kafka).requests.name
    group = made.kafka.prefix + GROUP
    fill(made.kafka, topic, 10)
    with GroupConsumer(made.kafka, group, [topic]) as consumer:
        found = poll_until(consumer, lambda found: len(found) == 10)
        assert [m.offset for m in found] == list(range(10))
        assert consumer.committed(topic, 0) is None
        consumer.commit({(topic, 0): 4})
        consumer.commit({})
        assert consumer.committed(topic, 0) == 4
    with GroupConsumer(made.kafka, group, [topic]) as consumer:
        found = poll_until(consumer, lambda found: len(found) == 6)
        assert [m.offset for m in found] == [4, 5, 6, 7, 8, 9]


def test_partitions_are_shared_and_told(made: Settings) -> None:
    topic = Catalogue.of(made.kafka).requests.name
    group = made.kafka.prefix + GROUP
    told: list[tuple[str, Places]] = []

    class Listening(GroupEvents):
        def assigned(self, places: Places) -> None:
            told.append(("assigned", places))

        def revoked(self, places: Places) -> None:
            told.append(("revoked", places))

    first = GroupConsumer(made.kafka, group, (topic,), Listening())
    poll_until(first, lambda _: bool(first.owned))
    every = tuple((topic, p) for p in range(4))
    assert told == [("assigned", every)]
    assert first.owned == every
    second = GroupConsumer(made.kafka, group, (topic,))
    poll_until(first, lambda _: not second.poll(0.1) and len(second.owned) == 2)
    poll_until(first, lambda _: len(first.owned) == 2)
    assert told[1] == ("revoked", every)
    assert set(first.owned) | set(second.owned) == set(every)
    second.close()
    poll_until(first, lambda _: len(first.owned) == 4)
    first.close()
    assert first.owned == ()


def test_everybody_in_a_group_is_known(made: Settings) -> None:
    """How a second worker is noticed before it does harm."""
    topic = Catalogue.of(made.kafka).requests.name
    group = made.kafka.prefix + GROUP
    assert members(made.kafka, group) == ()
    with GroupConsumer(made.kafka, group, [topic]) as consumer:
        poll_until(consumer, lambda _: bool(consumer.owned))
        assert [m.member_id for m in members(made.kafka, group)] == [consumer.member_id]
        (member,) = consumer.members()
        assert member.client_id.startswith(f"{group}@")
        assert member.client_id.endswith(f":{os.getpid()}")
    assert members(made.kafka, group) == ()


def test_a_paused_member_stays_one_and_reads_nothing(made: Settings) -> None:
    topic = Catalogue.of(made.kafka).requests.name
    with GroupConsumer(made.kafka, made.kafka.prefix + GROUP, [topic]) as consumer:
        poll_until(consumer, lambda _: bool(consumer.owned))
        consumer.pause(consumer.owned)
        fill(made.kafka, topic, 5)
        assert [m for _ in range(4) for m in consumer.poll(0.25)] == []
        consumer.resume(consumer.owned)
        assert len(poll_until(consumer, lambda found: len(found) == 5)) == 5


def test_a_member_that_the_group_has_given_up_cannot_commit(made: Settings) -> None:
    """Silent for longer than it may be: its partitions are somebody else's."""
    topic = Catalogue.of(made.kafka).requests.name
    group = made.kafka.prefix + GROUP
    slow = dataclasses.replace(made.kafka, client={"max.poll.interval.ms": "6000"})
    sleeper = GroupConsumer(slow, group, [topic])
    poll_until(sleeper, lambda _: bool(sleeper.owned))
    taker = GroupConsumer(made.kafka, group, [topic])
    poll_until(taker, lambda _: len(taker.owned) == 4)
    with pytest.raises(NotOwnerError):
        sleeper.commit({(topic, 0): 3})
    assert taker.committed(topic, 0) is None
    taker.close()
    sleeper.close()


def test_a_broker_that_is_away_is_no_error_of_poll_but_of_commit() -> None:
    nobody = KafkaSettings(bootstrap="127.0.0.1:1", session_timeout_ms=6_000, heartbeat_ms=1_000)
    consumer = GroupConsumer(nobody, GROUP, ["t"])
    assert consumer.poll(0.2) == []
    with pytest.raises(KafkaUnavailableError):
        members(nobody, GROUP, timeout_s=0.5)
    consumer.close()


def test_a_member_for_which_there_is_no_partition_is_told_so(made: Settings) -> None:
    """It is in the group all the same: what waits to be told must not wait for ever."""
    topic = Catalogue.of(made.kafka).requests.name
    group = made.kafka.prefix + GROUP

    class Listening(GroupEvents):
        def __init__(self) -> None:
            self.told: list[Places] = []

        def assigned(self, places: Places) -> None:
            self.told.append(places)

    ears = [Listening() for _ in range(5)]
    consumers = [GroupConsumer(made.kafka, group, [topic], each, "+one") for each in ears]

    def all_are_in(_found: list[RawMessage]) -> bool:
        for consumer in consumers:
            consumer.poll(0.05)
        return sorted(len(consumer.owned) for consumer in consumers) == [0, 1, 1, 1, 1] and all(
            ear.told for ear in ears
        )

    poll_until(consumers[0], all_are_in)
    kinds = {member.client_id.partition("@")[0] for member in consumers[0].members()}
    for consumer in consumers:
        consumer.close()
    assert kinds == {f"{group}+one"}
    assert [ear.told[-1] for ear in ears].count(()) == 1
