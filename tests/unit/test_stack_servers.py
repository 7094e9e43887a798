"""What the servers are told: nothing of it listens elsewhere, nothing of ours leaks into it."""

from pathlib import Path

from ops.stack.addresses import Ports
from ops.stack.servers import Context, StackOptions, cluster_id, kafka_properties, servers
from ops.stack.state import StateFolder


def context(tmp_path: Path, options: StackOptions | None = None) -> Context:
    titles = dict.fromkeys(("kafka", "registry", "questdb"), "")
    return Context(
        folder=StateFolder(tmp_path),
        ports=Ports(),
        options=options or StackOptions(),
        titles=titles,
    )


def test_a_cluster_id_is_never_taken_for_an_option() -> None:
    """One in 64 drawn at random would be, and the format would fail."""
    found = [cluster_id(bytes([first]) + b"\xff" * 15) for first in range(256)]
    assert {len(each) for each in found} == {22}
    assert not any(each.startswith("-") for each in found)


def test_a_persons_own_variables_configure_no_server(tmp_path: Path) -> None:
    mine = {"QDB_HTTP_BIND_TO": "0.0.0.0:9000", "JAVA_TOOL_OPTIONS": "-Xmx1m", "HOME": "/root"}
    for service in servers(context(tmp_path, StackOptions(environ=mine))):
        assert service.environ["HOME"] == "/root"
        assert "JAVA_TOOL_OPTIONS" not in service.environ
        assert not any("0.0.0.0" in value for value in service.environ.values())


def test_every_port_of_the_stack_is_looked_at_before_its_server_starts(tmp_path: Path) -> None:
    found = [port for service in servers(context(tmp_path)) for port in service.ports]
    assert sorted(found) == sorted([19_092, 19_093, 18_081, 18_091, 19_000, 18_812])


def test_options_come_in_the_place_of_what_the_stack_would_say(tmp_path: Path) -> None:
    found = kafka_properties(tmp_path, Ports(), {"offsets.topic.num.partitions": "9", "x": "y"})
    assert found["offsets.topic.num.partitions"] == "9"
    assert found["x"] == "y"
    assert found["log.dirs"] == str(tmp_path)
