"""The topics: names, keys, schemas, compatibility and settings, in one table.

A topic that is not here does not exist. Names are `<prefix><name>.v1`; every topic has the same
number of partitions, so a series has the same partition number wherever it goes.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

from avro_schemas import Schema, history_schema, load
from runtime import KafkaSettings

VERSION = "v1"

FULL = "FULL_TRANSITIVE"
"""Old records never leave a compacted topic, and old readers lag: both ways, all versions."""

BACKWARD = "BACKWARD_TRANSITIVE"
"""Anybody may write requests, with any version so far; only we read them."""

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS

OUTAGE_DAYS_MAX = 7
"""The longest bootstrap of a reader and outage of the store that nothing is lost through."""

SLICE_DAYS_MAX = 1
"""A live slice is sealed a day after its first bar at the latest."""

LIVE_DAYS = 3 * (SLICE_DAYS_MAX + OUTAGE_DAYS_MAX)

DEADLETTER_BYTES_MAX = 2 * 1_048_588
"""Twice a topic's usual limit: the largest record that another topic takes fits with headers."""

REPLICATION_SAFE = 3
"""From this many replicas on, one may be down and an acknowledged write is still in two."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic."""

    name: str
    """Full name, prefix and version included."""

    key: str
    """What its keys are, for people."""

    schema: Schema | None
    """The schema that its values are written with and read into; None: any bytes."""

    compatibility: str
    """Level of its subject in the registry; empty without a schema."""

    config: Mapping[str, str] = field(default_factory=dict)
    """Settings that differ from the broker's defaults, or must not be left to them."""

    schema_text: str = field(init=False, repr=False, compare=False)
    """The schema as JSON; what is compiled from it is kept under it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "schema_text", json.dumps(self.schema, sort_keys=True))

    @property
    def subject(self) -> str:
        """Its subject in the registry (TopicNameStrategy)."""
        return f"{self.name}-value"


def _delete(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * _DAY_MS)}


def _compact_delete(days: int) -> dict[str, str]:
    return {"cleanup.policy": "compact,delete", "retention.ms": str(days * _DAY_MS)}


# The broker's clock is what `known` is made of: a producer's must not decide.
_APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}

_HISTORY = {
    "cleanup.policy": "compact",
    # A reader that takes long must not find versions removed below the end it has seen.
    "min.compaction.lag.ms": str(OUTAGE_DAYS_MAX * _DAY_MS),
}

_VISIBLE = {
    "cleanup.policy": "compact",
    # The active segment is never compacted. Small ones (1 MiB is Kafka's least) keep it a quick
    # scan, although a mark is written with every flush.
    "segment.bytes": "1048576",
    "segment.ms": str(_HOUR_MS),
    "min.cleanable.dirty.ratio": "0.1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Every topic under one prefix."""

    requests: Topic
    """Who wants which bars."""

    status: Topic
    """How far each request has come."""

    chunks: Topic
    """What sources answered, not judged yet."""

    live: Topic
    """What feeds print."""

    history: Topic
    """Judged bars and the watermarks of their writers."""

    coverage: Topic
    """Receipts: what is visible in the store."""

    visible: Topic
    """Below which offset of history everything is visible."""

    reports: Topic
    """Verdicts."""

    deadletter: Topic
    """The original bytes of what can never be right."""

    @classmethod
    def of(cls, kafka: KafkaSettings) -> "Catalogue":
        """Return the topics of a configuration."""

        def topic(
            name: str, key: str, schema: Schema | None, level: str, config: Mapping[str, str]
        ) -> Topic:
            safe = (
                {"min.insync.replicas": str(kafka.replication - 1)}
                if kafka.replication >= REPLICATION_SAFE
                else {}
            )
            full = f"{kafka.prefix}{name}.{VERSION}"
            return Topic(full, key, schema, level, {**config, **safe})

        return cls(
            requests=topic(
                "backfill.requests", "request_id", load("BackfillRequest"), BACKWARD, _delete(30)
            ),
            status=topic(
                "backfill.status", "request_id", load("BackfillStatus"), FULL, _compact_delete(30)
            ),
            chunks=topic(
                "backfill.chunks", "series", load("BarChunk"), FULL, _delete(7) | _APPEND_TIME
            ),
            live=topic(
                "bars.live", "series", load("BarChunk"), FULL, _delete(LIVE_DAYS) | _APPEND_TIME
            ),
            history=topic(
                "bars.history",
                "node|interval|lane|start|end or ~wm|role|partition",
                history_schema(),
                FULL,
                _HISTORY,
            ),
            coverage=topic(
                "coverage",
                "node|interval|lane|start|end",
                load("Receipt"),
                FULL,
                _compact_delete(30),
            ),
            visible=topic("visible", "partition", load("VisibleMark"), FULL, _VISIBLE),
            reports=topic(
                "conformance.reports",
                "node|interval|start|end",
                load("ConformanceReport"),
                FULL,
                _delete(90),
            ),
            deadletter=topic(
                "deadletter",
                "the original key",
                None,
                "",
                _delete(30) | {"max.message.bytes": str(DEADLETTER_BYTES_MAX)},
            ),
        )

    def __iter__(self) -> Iterator[Topic]:
        """Yield every topic."""
        for each in fields(self):
            yield getattr(self, each.name)
