"""Read the dead letters: what can never be right, where it stood, and why.

python examples/dead_letters.py 127.0.0.1:19092
"""

import sys
from datetime import UTC, datetime

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

bootstrap = sys.argv[1]
topic = sys.argv[2] if len(sys.argv) > 2 else "seamless.deadletter.v1"

consumer = Consumer(
    {
        "bootstrap.servers": bootstrap,
        "group.id": "undertaker",  # asked for by the client; nothing is subscribed to or committed
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
    }
)
left = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
if not left:
    sys.exit(f"there is no topic {topic}")
consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in left])
while left:
    letter = consumer.poll(30)
    if letter is None:
        sys.exit("no answer from the broker in 30 s")
    if error := letter.error():
        if error.name() == "_PARTITION_EOF":
            left.discard(letter.partition())
        elif not error.retriable():
            sys.exit(str(error))
        continue
    pairs = dict(letter.headers() or ()).items()
    said = {name: value.decode() if isinstance(value, bytes) else value for name, value in pairs}
    since = datetime.fromtimestamp(int(said["first_seen"] or 0) / 1e6, UTC)
    print(
        f"{since:%F %T} {said['topic']}[{said['partition']}]@{said['offset']}",
        f"{said['error_class']}: {said['message']}",
        f"(schema {said['schema_id'] or 'none'}, tried {said['attempts']} times,",
        f"{len(letter.value() or b'')} bytes, key {(letter.key() or b'').decode()!r})",
    )
consumer.close()
