"""What every test may ask for: the servers, and settings of its own on them.

`SEAMLESS_TEST_STACK` says which servers: `local` (default: started once for the run on free ports
and stopped at its end), `external` (addresses from `SEAMLESS_TEST_KAFKA`,
`SEAMLESS_TEST_REGISTRY` and `SEAMLESS_TEST_QUESTDB`) or `containers` (official images, needs a
Docker engine). Tests share the servers and never the topics, subjects or tables of others: each
has prefixes of its own, or its module has, and what was made is removed when it is over.
"""

import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from confluent_kafka.admin import AdminClient

import topics
from ops.stack import Addresses, LocalStack, StackOptions
from runtime.settings import KafkaSettings, RegistrySettings, Settings, StoreSettings
from store import Dsn

TEST_OPTIONS = StackOptions(
    # A session that ends sooner is what tests of zombies wait for; the broker's floor is 6 s.
    kafka_properties={"group.min.session.timeout.ms": "1000", "log.cleaner.threads": "1"},
    # SUSPEND WAL is refused without it.
    questdb_environ={"QDB_DEV_MODE_ENABLED": "true"},
)


@contextmanager
def _local() -> Iterator[LocalStack]:
    with tempfile.TemporaryDirectory(prefix="seamless-test-", ignore_cleanup_errors=True) as state:
        local = LocalStack(Path(state), ports="free", options=TEST_OPTIONS)
        try:
            local.up_servers()
            yield local
        finally:
            local.down()


def _external() -> Addresses:
    names = ("SEAMLESS_TEST_KAFKA", "SEAMLESS_TEST_REGISTRY", "SEAMLESS_TEST_QUESTDB")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        pytest.exit(f"SEAMLESS_TEST_STACK=external needs {', '.join(missing)}", returncode=2)
    return Addresses(*(os.environ[name] for name in names))


@contextmanager
def _containers() -> Iterator[Addresses]:
    from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415 - only in this mode
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415
    from testcontainers.core.wait_strategies import HttpWaitStrategy  # noqa: PLC0415

    registry = DockerContainer("apicurio/apicurio-registry:3.3.3").with_exposed_ports(8080)
    registry.waiting_for(HttpWaitStrategy(8080, "/apis/ccompat/v7/subjects"))
    questdb = DockerContainer("questdb/questdb:9.3.4").with_exposed_ports(9000, 8812)
    for name, value in TEST_OPTIONS.questdb_environ.items():
        questdb.with_env(name, value)
    questdb.waiting_for(HttpWaitStrategy(9000, "/ping").for_status_code(204))
    with KafkaContainer("apache/kafka:4.4.0").with_kraft() as kafka, registry, questdb:
        host, port = registry.get_container_host_ip(), registry.get_exposed_port(8080)
        pg_port = questdb.get_exposed_port(8812)
        yield Addresses(
            bootstrap=kafka.get_bootstrap_server(),
            registry_url=f"http://{host}:{port}/apis/ccompat/v7",
            dsn=f"questdb://{host}:{questdb.get_exposed_port(9000)}?pg_port={pg_port}",
        )


@pytest.fixture(scope="session")
def local_stack() -> Iterator[LocalStack]:
    """The stack as an object whose servers can be killed, frozen, stopped and started."""
    if os.environ.get("SEAMLESS_TEST_STACK", "local") != "local":
        pytest.skip("kills servers: needs SEAMLESS_TEST_STACK=local")
    with _local() as local:
        yield local


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Addresses]:
    """Addresses of the servers that all tests share."""
    kind = os.environ.get("SEAMLESS_TEST_STACK", "local")
    if kind == "local":
        local: LocalStack = request.getfixturevalue("local_stack")
        yield local.addresses
    elif kind == "external":
        yield _external()
    elif kind == "containers":
        with _containers() as addresses:
            yield addresses
    else:
        pytest.exit(
            f"SEAMLESS_TEST_STACK must be local, external or containers, was {kind!r}", returncode=2
        )


@contextmanager
def _settings_on(stack: Addresses, folder: Path) -> Iterator[Settings]:
    name = f"t{secrets.token_hex(4)}"
    made = Settings(
        kafka=KafkaSettings(
            bootstrap=stack.bootstrap,
            prefix=f"{name}.",
            session_timeout_ms=6_000,
            heartbeat_ms=1_000,
            transaction_timeout_ms=10_000,
        ),
        registry=RegistrySettings(url=stack.registry_url),
        store=StoreSettings(dsn=stack.dsn, table_prefix=f"{name}_"),
        state_dir=folder / "state",
        base=folder,
    )
    yield made
    _remove_topics(made.kafka)
    _remove_tables(made.store)


@pytest.fixture
def settings(stack: Addresses, tmp_path: Path) -> Iterator[Settings]:
    """Settings with prefixes and a state folder that no other test has; no topics, no tables."""
    with _settings_on(stack, tmp_path) as made:
        yield made


@pytest.fixture
async def applied(settings: Settings) -> Settings:
    """Return the same with topics and schemas in place."""
    await topics.apply(settings)
    return settings


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_applied(
    stack: Addresses, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Settings]:
    """Topics and schemas that the tests of a module share; each has series of its own."""
    with _settings_on(stack, tmp_path_factory.mktemp("module")) as made:
        await topics.apply(made)
        yield made


def _remove_topics(kafka: KafkaSettings) -> None:
    """Delete the test's topics: a broker with ten thousand partitions is slow for the rest."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    mine = [t for t in admin.list_topics(timeout=10).topics if t.startswith(kafka.prefix)]
    for future in admin.delete_topics(mine).values() if mine else ():
        future.result(timeout=10)


def _remove_tables(store: StoreSettings) -> None:
    dsn = Dsn.parse(store.dsn)
    with httpx.Client(base_url=f"http://{dsn.address}", timeout=10) as client:
        tables = client.get("/exec", params={"query": "SELECT table_name FROM tables()"}).json()
        for (table,) in tables["dataset"]:
            if table.startswith(store.table_prefix):
                client.get("/exec", params={"query": f'DROP TABLE "{table}"'})
