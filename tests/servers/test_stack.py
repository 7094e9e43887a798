"""The local stack on the real servers: what it binds, what it survives, what it tells."""

import asyncio
import json
from collections.abc import Iterator

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
import typer
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

import topics
from ops.cli_stack import register
from ops.stack import LocalStack, StackStatus
from runtime.settings import Settings
from store import Dsn

SERVERS = ("kafka", "registry", "questdb")

pytestmark = pytest.mark.servers


@pytest.fixture
def whole(local_stack: LocalStack) -> Iterator[LocalStack]:
    """The stack that all tests share; whatever a test did to it, the next finds it whole."""
    yield local_stack
    for name in SERVERS:
        local_stack.thaw(name)
    local_stack.up_servers()


def pids(found: StackStatus) -> dict[str, int | None]:
    return {each.name: each.pid for each in found.services}


def query(settings: Settings, sql: str) -> list[list[object]]:
    dsn = Dsn.parse(settings.store.dsn)
    answer = httpx.get(f"http://{dsn.address}/exec", params={"query": sql}, timeout=30)
    rows: list[list[object]] = answer.raise_for_status().json().get("dataset", [])
    return rows


def test_everything_listens_on_the_loopback_alone(whole: LocalStack) -> None:
    for pid in pids(whole.status()).values():
        listening = [
            each.laddr.ip
            for each in psutil.Process(pid).net_connections("inet")
            if each.status == psutil.CONN_LISTEN
        ]
        assert listening
        assert {ip.removeprefix("::ffff:") for ip in listening} <= {"127.0.0.1", "::1"}


def test_up_twice_changes_nothing(whole: LocalStack) -> None:
    assert whole.up_servers() == whole.up_servers()


@pytest.mark.faults
async def test_all_that_was_acknowledged_survives_the_death_of_everything(
    whole: LocalStack, applied: Settings
) -> None:
    """Topics, records, schemas with their compatibility, rows."""
    table = f"{applied.store.table_prefix}survivors"
    query(
        applied, f"CREATE TABLE {table} (ts TIMESTAMP, x DOUBLE) TIMESTAMP(ts) PARTITION BY DAY WAL"
    )
    query(applied, f"INSERT INTO {table} VALUES (1000000, 1.5)")
    producer = topics.Producer(applied.kafka)
    topic = topics.Catalogue.of(applied.kafka).requests.name
    sent = await asyncio.wrap_future(producer.send(topic, "a", b"1", partition=2))
    producer.close(10)
    before = whole.status()

    for name in SERVERS:
        whole.kill(name)
    assert {each.status for each in whole.status().services} == {"dead"}
    await asyncio.to_thread(whole.up_servers)

    assert set(pids(whole.status()).values()).isdisjoint(pids(before).values())
    assert await topics.check(applied) == []
    with_record = topics.Reader(applied.kafka, topic, 2)
    assert with_record.end() == sent.offset + 1
    with_record.close()
    assert query(applied, f"SELECT x FROM {table}") == [[1.5]]


@pytest.mark.faults
def test_a_server_that_died_is_started_again_and_the_others_left_alone(whole: LocalStack) -> None:
    before = pids(whole.status())
    whole.kill("questdb")
    seen = {each.name: each.status for each in whole.status().services}
    assert seen == {"kafka": "ready", "registry": "ready", "questdb": "dead"}
    after = pids(whole.up_servers())
    assert {name for name in SERVERS if before[name] != after[name]} == {"questdb"}
    whole.stop("questdb")
    assert pids(whole.status()) == after | {"questdb": None}
    whole.start("questdb")
    assert pids(whole.status())["questdb"] not in (None, after["questdb"])


@pytest.mark.faults
def test_a_server_that_hangs_is_not_ready(whole: LocalStack) -> None:
    """Its port is open and its process lives: only an answer counts."""
    whole.freeze("questdb")
    (seen,) = (each for each in whole.status().services if each.name == "questdb")
    assert (seen.status, bool(seen.pid), bool(seen.detail)) == ("not ready", True, True)
    whole.thaw("questdb")


def test_the_commands_see_the_same_stack(whole: LocalStack, settings: Settings) -> None:
    app = typer.Typer()
    register(app)
    state = str(whole.data("kafka").parent)
    result = CliRunner().invoke(app, ["status", "--json", "--state", state])
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert {each["name"]: each["pid"] for each in found["services"]} == pids(whole.status())
    config = settings.base / "seamless.yaml"
    config.write_text(f"kafka: {{prefix: {settings.kafka.prefix}}}\n")
    command = ["up", "--no-agents", "--state", state, "--config", str(config)]
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0, again.stderr
    assert "Apache Kafka 4.4.0" in again.stdout
    bootstrap = whole.addresses.bootstrap
    assert bootstrap in again.stdout
    known = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10).topics
    assert f"{settings.kafka.prefix}bars.history.v1" in known
