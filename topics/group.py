"""A member of a consumer group that commits what its owner says, and nothing else."""

import os
import socket
from collections.abc import Mapping
from typing import NamedTuple, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from runtime import KafkaSettings
from topics._codes import NOT_OWNER
from topics.clients import (
    CALL_TIMEOUT_S,
    ErrorLog,
    admin_config,
    consumer_config,
    insist,
    is_absent,
    is_transient,
    leave,
    wrapped,
)
from topics.errors import NotOwnerError
from topics.messages import RawMessage
from topics.reader import POLL_RECORDS, raw_message

Places = tuple[tuple[str, int], ...]
"""Partitions: (topic, partition)."""


class Member(NamedTuple):
    """A process in a consumer group."""

    member_id: str
    """Unique, given by the broker."""

    client_id: str
    """Which process: `group@host:pid` for one of ours, its kind before the `@`."""

    host: str
    """Where it connects from."""


class GroupEvents:
    """What a member may want to know of its group; each is called inside `poll`. A base class."""

    def assigned(self, places: Places) -> None:
        """Take note of partitions that are ours from now on; none where there are too few."""

    def revoked(self, places: Places) -> None:
        """Take note of partitions that are no longer ours; commits in it still count."""

    def lost(self, places: Places) -> None:
        """The same, but we are told late: they may have been somebody else's for long."""
        self.revoked(places)


class GroupConsumer:
    """Reads the partitions that its group gives it. Synchronous, for one thread at a time.

    Whoever takes longer than the session timeout to poll keeps its partitions all the same, as
    long as the process runs: heartbeats have a thread of their own. A poll is due every five
    minutes.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        group: str,
        topics: tuple[str, ...] | list[str],
        events: GroupEvents | None = None,
        kind: str = "",
    ) -> None:
        """Join a group.

        Args:
            kafka: Where; session timeout and heartbeat are its.
            group: Which group.
            topics: What to read; from the committed offset on, or from the beginning.
            events: Is told which partitions come and go.
            kind: What other members know us by, in `client_id`.
        """
        self.group = group
        self._kafka = kafka
        self._errors = ErrorLog(group)
        self._owned: set[tuple[str, int]] = set()
        self._events = events or GroupEvents()
        self._client = Consumer(
            consumer_config(kafka, group, self._errors)
            | {
                # Who is told that there is another member is told which process it is.
                "client.id": f"{group}{kind}@{socket.gethostname()}:{os.getpid()}",
                "auto.offset.reset": "earliest",
                "session.timeout.ms": kafka.session_timeout_ms,
                "heartbeat.interval.ms": kafka.heartbeat_ms,
            }
        )
        self._client.subscribe(
            list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    @property
    def owned(self) -> Places:
        """The partitions that are ours, as of the last poll."""
        return tuple(sorted(self._owned))

    @property
    def member_id(self) -> str:
        """What the group calls us; empty before the first partitions came."""
        return self._client.memberid() or ""

    def poll(self, timeout_s: float, limit: int = POLL_RECORDS) -> list[RawMessage]:
        """Return the next records, at most `limit`, waiting for the first of them only.

        A broker that is away is no error here: nothing comes until it is back.

        Raises:
            KafkaRefusedError: A broker will not serve a topic.
        """
        first = self._client.poll(timeout_s)
        found = [] if first is None else [first, *self._client.consume(limit - 1, 0)]
        return [raw_message(m) for m in found if self._is_record(m)]

    def commit(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit the first offset not done yet of each (topic, partition).

        Raises:
            NotOwnerError: The group has moved on without us; somebody else reads them again.
            KafkaUnavailableError: It could not be committed just now.
        """
        if not offsets:
            return
        listed = [TopicPartition(t, p, offset) for (t, p), offset in offsets.items()]
        try:
            answers = self._client.commit(offsets=listed, asynchronous=False) or []
        except KafkaException as raised:
            raise self._refused(raised.args[0]) from raised
        for answer in answers:
            if answer.error is not None:
                raise self._refused(answer.error)

    def committed(self, topic: str, partition: int) -> int | None:
        """Return the group's committed offset, or None.

        Raises:
            KafkaUnavailableError: No broker answered in time.
        """
        place = [TopicPartition(topic, partition)]
        found = insist(
            f"committed offset of {self.group}",
            lambda left_s: self._client.committed(place, left_s),
            CALL_TIMEOUT_S,
            self._errors,
        )[0]
        return found.offset if found.offset >= 0 else None

    def pause(self, places: Places) -> None:
        """Return no records of these partitions until `resume`, and stay a member.

        A partition that comes back from a rebalance is no longer paused.
        """
        self._client.pause([TopicPartition(t, p) for t, p in places if (t, p) in self._owned])

    def resume(self, places: Places) -> None:
        """Go on with partitions that were paused."""
        self._client.resume([TopicPartition(t, p) for t, p in places if (t, p) in self._owned])

    def members(self) -> tuple[Member, ...]:
        """Return everybody in the group, ourselves included."""
        return members(self._kafka, self.group)

    def close(self) -> None:
        """Leave the group; the partitions are somebody else's at once."""
        leave(self._client, self.group)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is not None and not is_transient(error) and not is_absent(error):
            raise wrapped(f"read as {self.group}", error, self._errors.last)
        if error is not None:
            self._errors(error)
        return error is None

    def _refused(self, error: KafkaError) -> Exception:
        if error.code() in NOT_OWNER:
            return NotOwnerError(self.group, error.str())
        return wrapped(f"commit as {self.group}", error, self._errors.last)

    def _assigned(self, _client: Consumer, places: list[TopicPartition]) -> None:
        found = _places(places)
        self._owned |= set(found)
        self._events.assigned(found)

    def _revoked(self, _client: Consumer, places: list[TopicPartition]) -> None:
        found = _places(places)
        self._owned -= set(found)
        self._events.revoked(found)

    def _lost(self, _client: Consumer, places: list[TopicPartition]) -> None:
        found = _places(places)
        self._owned -= set(found)
        self._events.lost(found)


def _places(places: list[TopicPartition]) -> Places:
    return tuple(sorted((place.topic, place.partition) for place in places))


def members(
    kafka: KafkaSettings, group: str, timeout_s: float = CALL_TIMEOUT_S
) -> tuple[Member, ...]:
    """Return a group's members; a killed one counts until its session ends.

    Raises:
        KafkaUnavailableError: No broker answered in time.
    """
    errors = ErrorLog(group)
    admin = AdminClient(admin_config(kafka, errors))

    def ask(left_s: float) -> tuple[Member, ...]:
        answer = admin.describe_consumer_groups([group], request_timeout=left_s)[group]
        try:
            found = answer.result(left_s).members
        except KafkaException as raised:
            if raised.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return ()
            raise
        return tuple(Member(m.member_id, m.client_id, m.host) for m in found)

    return insist(f"members of {group}", ask, timeout_s, errors)
