"""`seamless up | status | down` where nothing has to be started."""

import json
import socket
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from ops.cli_stack import register
from ops.stack.state import Record, StateFolder


def seamless(*arguments: str) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, arguments)


def test_nothing_is_not_ready_and_stopping_it_is_harmless(tmp_path: Path) -> None:
    state = str(tmp_path / "none")
    assert seamless("status", "--state", state).exit_code == 1
    assert seamless("down", "--state", state).exit_code == 0
    assert not (tmp_path / "none").exists()


def test_status_as_json_is_one_object_on_standard_output(tmp_path: Path) -> None:
    StateFolder(tmp_path).save(Record(agents=True))
    result = seamless("status", "--state", str(tmp_path), "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert found["ready"] is False
    names = [each["name"] for each in found["services"]]
    assert names == ["kafka", "registry", "questdb", "conform", "materialize", "worker"]
    assert found["environment"]["SEAMLESS_KAFKA_BOOTSTRAP"] == "127.0.0.1:19092"


@pytest.mark.parametrize("ports", ["some", "80", "70000"])
def test_ports_that_are_none_are_bad_input(tmp_path: Path, ports: str) -> None:
    result = seamless("up", "--state", str(tmp_path / "new"), "--ports", ports)
    assert result.exit_code == 2
    assert "ports must be 'free' or" in result.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", ["up", "status", "down"])
def test_a_folder_of_another_version_is_bad_input(tmp_path: Path, command: str) -> None:
    (tmp_path / "stack.json").write_text('{"format": 2}')
    result = seamless(command, "--state", str(tmp_path))
    assert result.exit_code == 2
    assert "format 2, this one has 1" in result.stderr


def test_data_of_another_server_version_is_bad_input(tmp_path: Path) -> None:
    StateFolder(tmp_path).save(Record(versions={"kafka": "3.9.0"}))
    result = seamless("up", "--state", str(tmp_path))
    assert result.exit_code == 2
    assert "holds data of kafka 3.9.0" in result.stderr


def test_a_configuration_that_is_refused_starts_nothing(tmp_path: Path) -> None:
    config = tmp_path / "seamless.yaml"
    config.write_text("kafka: {partitons: 4}\n")
    state = str(tmp_path / "state")
    result = seamless("up", "--state", state, "--config", str(config), "--ports", "free")
    assert result.exit_code == 2
    assert "kafka.partitons" in result.stderr
    assert not (tmp_path / "state" / "kafka").exists()


def test_a_taken_port_is_told_before_anything_is_fetched_or_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = seamless("up", "--state", str(tmp_path / "s"), "--ports", str(min(port, 65_530)))
    assert result.exit_code == 1
    assert f"127.0.0.1:{port} is needed by" in result.stderr
    assert "--ports free" in result.stderr
    assert not (tmp_path / "s" / "kafka").exists()
