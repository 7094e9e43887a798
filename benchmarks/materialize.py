"""A million bars from the history topic until visible, verified and in the ledger.

Beside it the bare loop on the same records, into a table of the same columns and keys, until
visible. Both are processes of their own and are watched from outside: the clock runs from when
they may read their first record until a query finds the last row.
"""

import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import yaml

from avro_schemas import history_schema
from benchmarks._load import MINUTE, fill_history, series
from benchmarks._process import Measured
from runtime import Settings
from store import Dsn, Store
from topics import Catalogue, apply

NODES = 20
NODE_BARS = 50_000
PAIRS = 5
"""Counted; one before them warms the servers up, whose code is compiled while it runs."""

WAIT_S = 240.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Figure:
    """One run."""

    bars_s: float
    cpu_s: float
    memory_mb: float


async def run(settings: Settings, nodes: int = NODES, node_bars: int = NODE_BARS) -> None:
    """Measure in turn and print the ratios."""
    await apply(settings)
    print(f"materialize: {nodes * node_bars:,} bars in records of 500, {PAIRS} pairs", flush=True)
    await fill_history(settings, nodes, node_bars)
    bare, ours = [], []
    for pair in range(1 + PAIRS):
        bare.append(_bare(settings, pair, nodes * node_bars))
        ours.append(_ours(settings, pair, nodes, nodes * node_bars))
        name = f"pair {pair}" if pair else "warm-up"
        _line(f"{name} bare loop", bare[-1])
        _line(f"{name} materialize", ours[-1])
    bare, ours = bare[1:], ours[1:]
    speeds = [o.bars_s / b.bars_s for o, b in zip(ours, bare, strict=True)]
    cpus = [o.cpu_s / b.cpu_s for o, b in zip(ours, bare, strict=True)]
    print(
        f"  materialize / bare loop: bars/s {statistics.median(speeds):.2f} "
        f"({min(speeds):.2f}-{max(speeds):.2f}, goal 0.8), CPU {statistics.median(cpus):.2f}; "
        f"memory of the worker at most {max(o.memory_mb for o in ours):.0f} MB (goal 250)"
    )


def _line(what: str, figure: Figure) -> None:
    print(
        f"  {what:<20} {figure.bars_s:>10,.0f} bars/s  {figure.cpu_s:6.1f} CPU s  "
        f"{figure.memory_mb:5.0f} MB",
        flush=True,
    )


def _bare(settings: Settings, pair: int, rows: int) -> Figure:
    store_settings = dataclasses.replace(
        settings.store, table_prefix=f"{settings.store.table_prefix}bare{pair}_"
    )
    with Store(store_settings) as store, tempfile.TemporaryDirectory() as folder:
        store.ensure_tables([MINUTE])
        table = store.bars_table(MINUTE)
        schema = Path(folder, "history.avsc")
        schema.write_text(json.dumps(history_schema()), encoding="utf-8")
        dsn = Dsn.parse(settings.store.dsn)
        arguments = [
            str(Path(__file__).with_name("bare_loop.py")),
            settings.kafka.bootstrap,
            Catalogue.of(settings.kafka).history.name,
            f"{settings.kafka.prefix}bare{pair}",
            f"{dsn.host}:{dsn.http_port}",
            table,
            str(rows),
            str(schema),
        ]
        log = Path(folder, "log")
        with Measured(arguments, {}, log) as process:
            _until(process, lambda: b"first" in log.read_bytes())
            return _measure(process, dsn, f"SELECT count() FROM {table}", rows)


def _ours(settings: Settings, pair: int, nodes: int, rows: int) -> Figure:
    prefix = f"{settings.store.table_prefix}ours{pair}_"
    with tempfile.TemporaryDirectory() as folder:
        config, ready = Path(folder, "seamless.yaml"), Path(folder, "ready")
        names = {
            series(i).node: {"interval": "1m", "sources": ["bench"], "calendar": "24/7"}
            for i in range(nodes)
        }
        Path(folder, "bars.csv").write_text("ts,open,high,low,close,volume\n", encoding="ascii")
        sources = {"bench": {"kind": "csv", "path": "bars.csv"}}
        config.write_text(yaml.safe_dump({"sources": sources, "nodes": names}), encoding="utf-8")
        environ = {
            "SEAMLESS_KAFKA_BOOTSTRAP": settings.kafka.bootstrap,
            "SEAMLESS_KAFKA_PREFIX": settings.kafka.prefix,
            "SEAMLESS_REGISTRY_URL": settings.registry.url,
            "SEAMLESS_STORE_DSN": settings.store.dsn,
            "SEAMLESS_STORE_TABLE_PREFIX": prefix,
            "SEAMLESS_READY_FILE": str(ready),
            "SEAMLESS_STATE_DIR": folder,
        }
        arguments = ["-m", "streams", "materialize", "--config", str(config)]
        dsn = Dsn.parse(settings.store.dsn)
        with Measured(arguments, environ, Path(folder, "log")) as process:
            _until(process, ready.exists)
            # An empty ledger: it begins at the first record, whatever its group has committed.
            return _measure(process, dsn, f"SELECT sum(bars) FROM {prefix}bar_chunks", rows)


def _until(process: Measured, true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        if not process.running or time.monotonic() > end:
            raise RuntimeError(process.log.read_text(encoding="utf-8", errors="replace")[-3_000:])
        time.sleep(POLL_S)


def _measure(process: Measured, dsn: Dsn, sql: str, rows: int) -> Figure:
    began, cpu_s = time.monotonic(), process.cpu_s()
    user, password = dsn.user or "admin", dsn.password or "quest"
    where = f"host={dsn.host} port={dsn.pg_port} user={user} password={password} dbname=qdb"
    with psycopg.connect(where, autocommit=True) as connection:

        def there() -> bool:
            found = connection.execute(sql.encode()).fetchone()
            return found is not None and found[0] is not None and int(found[0]) >= rows

        _until(process, there)
    elapsed_s = time.monotonic() - began
    return Figure(rows / elapsed_s, process.cpu_s() - cpu_s, process.memory_max_mb())
