"""Agents of the stack: how they are started, and whose word about them counts."""

from pathlib import Path

from ops.stack.addresses import Ports
from ops.stack.agents import agents
from ops.stack.servers import Context, StackOptions
from ops.stack.service import Service
from ops.stack.state import StateFolder
from ops.supervise import Report, ready_file

CONFIG = Path("/etc/seamless.yaml")


def conform(tmp_path: Path, environ: dict[str, str] | None = None) -> Service:
    context = Context(
        folder=StateFolder(tmp_path),
        ports=Ports.from_base(31_000),
        options=StackOptions(environ=environ or {}),
        titles={},
    )
    return agents(context, CONFIG)[0]


def test_an_agent_is_told_the_addresses_of_its_own_stack(tmp_path: Path) -> None:
    """Whatever the person's shell says: these agents belong to these servers."""
    shell = {"SEAMLESS_KAFKA_BOOTSTRAP": "prod:9092", "SEAMLESS_STATE_DIR": "/x", "API_KEY": "k"}
    found = conform(tmp_path, shell).environ
    assert found["SEAMLESS_KAFKA_BOOTSTRAP"] == "127.0.0.1:31000"
    assert found["SEAMLESS_STATE_DIR"] == str(tmp_path)
    assert found["API_KEY"] == "k"


def test_an_agent_runs_under_the_supervisor_with_its_configuration(tmp_path: Path) -> None:
    command = conform(tmp_path).prepare(())
    assert "ops.supervise" in command
    assert command[-4:] == ("streams", "conform", "--config", str(CONFIG))
    assert command.count("-P") == 2


def test_what_an_earlier_supervisor_said_makes_no_agent_ready(tmp_path: Path) -> None:
    """After a kill -9 of everything its last words are still there."""
    service, report = conform(tmp_path), tmp_path / "run" / "conform.json"
    Report(supervisor=1, state="running", child=2).write(report)
    ready_file(report).touch()
    assert service.probe(1) is None
    service.prepare(())
    assert service.probe(1) == "its supervisor has not started it yet"
