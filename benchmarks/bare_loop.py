"""The bare loop that `materialize` is measured against: consumer, fastavro, ILP/HTTP, no more.

It writes the same columns to a table of the same keys and commits offsets after each flush; it
verifies nothing, keeps no ledger, publishes nothing, and loses its place in none of the ways
that `materialize` guards against. Run by `python -m benchmarks`, as a process of its own.

python benchmarks/bare_loop.py BOOTSTRAP TOPIC GROUP QUESTDB_HTTP TABLE ROWS SCHEMA.avsc
"""

import io
import json
import signal
import sys
import time
from typing import Any, cast

import fastavro
import numpy as np
import pandas as pd
from confluent_kafka import Consumer
from questdb import Sender

FLUSH_ROWS = 75_000
COLUMNS = ("open", "high", "low", "close", "volume")


def frame(chunks: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows of decoded records, sorted by time, as the client wants them."""
    lengths = [len(c["ts"]) for c in chunks]
    ts = np.concatenate([np.array(c["ts"], np.int64) for c in chunks])
    order = np.argsort(ts, kind="stable")
    nodes, codes = np.unique([c["node_id"] for c in chunks], return_inverse=True)
    lanes, lane_codes = np.unique([c["lane"] for c in chunks], return_inverse=True)
    known = np.repeat(np.array([c["known"] for c in chunks], np.int64), lengths)[order]
    columns: dict[str, Any] = {
        "ts": (ts[order] * 1_000_000).view("M8[us]"),
        "node": pd.Categorical.from_codes(np.repeat(codes, lengths)[order], nodes.tolist()),
        "lane": pd.Categorical.from_codes(np.repeat(lane_codes, lengths)[order], lanes.tolist()),
        "known": known.view("M8[us]"),
    }
    for name in COLUMNS:
        columns[name] = np.concatenate([np.array(c[name]) for c in chunks])[order]
    return pd.DataFrame(columns, copy=False)


def main() -> None:
    """Read until ROWS bars are acknowledged; print a JSON line at the first and last record."""
    bootstrap, topic, group, questdb, table, rows_wanted, schema_file = sys.argv[1:8]
    with open(schema_file, encoding="utf-8") as file:  # noqa: PTH123 - a bare loop is bare
        schema = fastavro.parse_schema(json.load(file))
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 50,
        }
    )
    consumer.subscribe([topic])
    pending: list[dict[str, Any]] = []
    pending_rows = written = 0
    with Sender.from_conf(f"http::addr={questdb};auto_flush=off;") as sender:
        while written < int(rows_wanted):
            message = consumer.poll(0.5)
            if message is None or message.error():
                continue
            if not written and not pending:
                print(json.dumps({"event": "first", "at": time.time()}), flush=True)
            value = message.value() or b""
            body = io.BytesIO(value[5:])
            record = cast("dict[str, Any]", fastavro.schemaless_reader(body, schema, None))
            if "ts" not in record:
                continue
            pending.append(record)
            pending_rows += len(record["ts"])
            if pending_rows >= FLUSH_ROWS or written + pending_rows >= int(rows_wanted):
                sender.dataframe(
                    frame(pending), table_name=table, symbols=["node", "lane"], at="ts"
                )
                sender.flush()
                consumer.commit(asynchronous=False)
                written, pending, pending_rows = written + pending_rows, [], 0
    print(json.dumps({"event": "written", "rows": written, "at": time.time()}), flush=True)
    consumer.close()
    signal.pause()  # until it is ended: its memory is asked for while it lives


if __name__ == "__main__":
    main()
