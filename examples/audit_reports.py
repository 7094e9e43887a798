"""Read the verdicts: one report for every chunk that was ever judged.

python examples/audit_reports.py 127.0.0.1:19092 http://127.0.0.1:18081/apis/ccompat/v7
"""

import io
import json
import struct
import sys
from functools import cache

import fastavro
import httpx
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

bootstrap, registry = sys.argv[1:3]
topic = sys.argv[3] if len(sys.argv) > 3 else "seamless.conformance.reports.v1"


@cache
def schema(schema_id: int) -> object:
    """Return the parsed schema of an id."""
    answer = httpx.get(f"{registry}/schemas/ids/{schema_id}").raise_for_status()
    return fastavro.parse_schema(json.loads(answer.json()["schema"]))


consumer = Consumer(
    {
        "bootstrap.servers": bootstrap,
        "group.id": "audit",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",  # a verdict counts when its transaction does
        "enable.partition.eof": True,
    }
)
partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
ended: set[int] = set()
while len(ended) < len(partitions):
    message = consumer.poll(10)
    if message is None:
        sys.exit("no answer from the broker")
    if message.error():
        ended.add(message.partition())  # the end, for now, of this partition
        continue
    (schema_id,) = struct.unpack(">xI", message.value()[:5])
    report = fastavro.schemaless_reader(io.BytesIO(message.value()[5:]), schema(schema_id))
    flags = [f"{f['severity']} {f['check']} x{f['rows']}" for f in report["flags"]]
    print(report["verdict"], report["node_id"], report["start"], report["end"], *flags)
    for revision in report["revisions"]:
        print("  ", revision["kind"], revision["ts"], revision["before"], "->", revision["after"])
consumer.close()
