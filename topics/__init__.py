"""Kafka and the schema registry: which topics there are, and how records get in and out.

Lives here: the catalogue of topics, keys and partitions, the codec, the registry's client, the
producers and consumers, the snapshot of a compacted partition, dead letter headers, and the tool
that makes servers what the catalogue says. Nothing else imports a Kafka client.

Does not live here: what a record means (`bars`), who reads or writes it when (`worker`, `streams`,
`provider`), the schemas themselves (`avro_schemas`). Faust brings its own consumer.

Kafka calls are synchronous and bounded: from a coroutine, `asyncio.to_thread`. The registry and
the codec are asynchronous and belong to one event loop.
"""

from topics.admin import Change, Difference, apply, check, ping
from topics.catalogue import Catalogue, Topic
from topics.clients import consumer_config, producer_config
from topics.codec import CHUNK_BARS_MAX, VALUE_BYTES_MAX, Codec
from topics.errors import (
    AbortedTransactionError,
    DeliveryError,
    FencedError,
    IncompatibleSchemaError,
    KafkaRefusedError,
    KafkaUnavailableError,
    NotAvroError,
    NotOwnerError,
    NotRegisteredError,
    OffsetGoneError,
    PartitionCountError,
    ProducerFullError,
    RegistryRefusedError,
    RegistryUnavailableError,
    SchemaMismatchError,
    TopicsError,
    UncertainTransactionError,
    UnknownSchemaError,
    UnreadableRecordError,
    UnwritableRecordError,
)
from topics.fenced import FencedProducer, Offsets
from topics.group import GroupConsumer, GroupEvents, Member, Places, members
from topics.history import (
    Cut,
    Snapshot,
    committed,
    latest_by_key,
    low_watermark,
    read_latest_by_key,
    scan,
    snapshot,
)
from topics.keys import (
    HistoryKey,
    WatermarkKey,
    history_key,
    parse_history_key,
    partition_of,
    report_key,
    series_key,
    visible_key,
    watermark_key,
)
from topics.marks import MarkReader
from topics.messages import (
    DeadLetterInfo,
    RawMessage,
    deadletter_headers,
    deadletter_info,
    schema_id_of,
)
from topics.producer import Delivered, Headers, Producer
from topics.reader import Reader
from topics.registry import Registry
from topics.tail import Bounds, Place, Tail, bounds
from topics.to_end import read_to_end

__all__ = [
    "CHUNK_BARS_MAX",
    "VALUE_BYTES_MAX",
    "AbortedTransactionError",
    "Bounds",
    "Catalogue",
    "Change",
    "Codec",
    "Cut",
    "DeadLetterInfo",
    "Delivered",
    "DeliveryError",
    "Difference",
    "FencedError",
    "FencedProducer",
    "GroupConsumer",
    "GroupEvents",
    "Headers",
    "HistoryKey",
    "IncompatibleSchemaError",
    "KafkaRefusedError",
    "KafkaUnavailableError",
    "MarkReader",
    "Member",
    "NotAvroError",
    "NotOwnerError",
    "NotRegisteredError",
    "OffsetGoneError",
    "Offsets",
    "PartitionCountError",
    "Place",
    "Places",
    "Producer",
    "ProducerFullError",
    "RawMessage",
    "Reader",
    "Registry",
    "RegistryRefusedError",
    "RegistryUnavailableError",
    "SchemaMismatchError",
    "Snapshot",
    "Tail",
    "Topic",
    "TopicsError",
    "UncertainTransactionError",
    "UnknownSchemaError",
    "UnreadableRecordError",
    "UnwritableRecordError",
    "WatermarkKey",
    "apply",
    "bounds",
    "check",
    "committed",
    "consumer_config",
    "deadletter_headers",
    "deadletter_info",
    "history_key",
    "latest_by_key",
    "low_watermark",
    "members",
    "parse_history_key",
    "partition_of",
    "ping",
    "producer_config",
    "read_latest_by_key",
    "read_to_end",
    "report_key",
    "scan",
    "schema_id_of",
    "series_key",
    "snapshot",
    "visible_key",
    "watermark_key",
]
