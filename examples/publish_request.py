"""Publish a backfill request with any Kafka producer: fastavro and nothing of ours.

python examples/publish_request.py 127.0.0.1:19092 http://127.0.0.1:18081/apis/ccompat/v7
"""

import io
import json
import struct
import sys
import uuid
from urllib.request import urlopen

import fastavro
from confluent_kafka import KafkaError, Producer

if len(sys.argv) < 3:
    sys.exit(__doc__)
bootstrap, registry = sys.argv[1:3]
topic = sys.argv[3] if len(sys.argv) > 3 else "seamless.backfill.requests.v1"

with urlopen(f"{registry}/subjects/{topic}-value/versions/latest", timeout=10) as answer:
    latest = json.load(answer)
request_id = str(uuid.uuid4())
request = {
    "request_id": request_id,
    "kind": "SUBMIT",
    "node_id": "ohlcv:nasdaq:AAPL:1d",
    "interval": 86400,
    "start": 951868800,  # 2000-03-01, the first open time
    "end": 1362182400,  # 2013-03-02, the first one after the last
}
value = io.BytesIO()
value.write(struct.pack(">bI", 0, latest["id"]))  # Confluent wire format: a zero, the schema's id
fastavro.schemaless_writer(value, json.loads(latest["schema"]), request)

# Kafka's own partitioner: a later CANCEL of the same id has to come to the same partition.
settings = {"bootstrap.servers": bootstrap, "acks": "all", "partitioner": "murmur2_random"}
producer = Producer(settings)
fate: list[KafkaError | None] = []
producer.produce(
    topic, value.getvalue(), request_id, on_delivery=lambda error, _message: fate.append(error)
)
producer.flush(30)
if fate != [None]:
    sys.exit(f"not delivered: {fate or 'no answer in 30 s'}")
print(request_id)
