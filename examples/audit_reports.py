"""Read the verdicts: one report for every chunk that was judged, from the first to the last now.

python examples/audit_reports.py 127.0.0.1:19092 http://127.0.0.1:18081/apis/ccompat/v7
"""

import io
import json
import struct
import sys
from functools import cache
from typing import Any
from urllib.request import urlopen

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

if len(sys.argv) < 3:
    sys.exit(__doc__)
bootstrap, registry = sys.argv[1:3]
topic = sys.argv[3] if len(sys.argv) > 3 else "seamless.conformance.reports.v1"


@cache
def schema(schema_id: int) -> Any:
    """Return the parsed schema of an id."""
    with urlopen(f"{registry}/schemas/ids/{schema_id}", timeout=10) as answer:
        return fastavro.parse_schema(json.loads(json.load(answer)["schema"]))


consumer = Consumer(
    {
        "bootstrap.servers": bootstrap,
        "group.id": "audit",  # asked for by the client; nothing is subscribed to or committed
        "enable.auto.commit": False,
        "isolation.level": "read_committed",  # a verdict counts when its transaction does
        "enable.partition.eof": True,
    }
)
left = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
if not left:
    sys.exit(f"there is no topic {topic}")
consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in left])
while left:
    message = consumer.poll(30)
    if message is None:
        sys.exit("no answer from the broker in 30 s")
    if error := message.error():
        if error.name() == "_PARTITION_EOF":  # what comes later is for the next audit
            left.discard(message.partition())
        elif not error.retriable():
            sys.exit(str(error))
    elif message.partition() in left:
        value = message.value() or b""
        (schema_id,) = struct.unpack(">xI", value[:5])
        report: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema(schema_id), None)
        flags = [f"{f['severity']} {f['check']} x{f['rows']}" for f in report["flags"]]
        print(report["verdict"], report["node_id"], report["start"], report["end"], *flags)
        for each in report["revisions"]:
            print("  ", each["kind"], each["ts"], each["before"], "->", each["after"])
consumer.close()
