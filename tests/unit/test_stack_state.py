"""The memory of a state folder, and the folders that are refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ops.stack.addresses import Ports
from ops.stack.errors import StateFolderError
from ops.stack.fleet import NodePorts
from ops.stack.local import stack_leases
from ops.stack.processes import ProcessId
from ops.stack.state import Record, StateFolder

RECORD = Record(
    ports=Ports.from_base(31_000),
    versions={"kafka": "4.4.0"},
    agents=True,
    config="/etc/seamless.yaml",
    processes={"kafka": ProcessId(7, "boot/1")},
)


def saved(tmp_path: Path, **changed: object) -> StateFolder:
    folder = StateFolder(tmp_path)
    folder.save(RECORD)
    file = tmp_path / "stack.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    return folder


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    assert saved(tmp_path / "new" / "folder").load() == RECORD


def test_a_folder_that_is_not_there_remembers_nothing_and_is_not_made(tmp_path: Path) -> None:
    assert StateFolder(tmp_path / "none").load() is None
    assert stack_leases(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_the_lease_service_of_a_stack_is_found_by_its_folder(tmp_path: Path) -> None:
    saved(tmp_path)
    assert stack_leases(tmp_path) is None
    nodes = NodePorts((31_010,), (31_020,))
    StateFolder(tmp_path).save(replace(RECORD, nodes=nodes))
    found = stack_leases(tmp_path)
    assert found is not None
    assert found.urls == ("http://127.0.0.1:31010",)
    assert found.client_token_file == tmp_path / "coordinator" / "token.admin"


def test_half_a_save_leaves_the_old_memory(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    (tmp_path / "stack.json.part").write_text('{"format": 1, "id')
    assert folder.load() == RECORD


def test_a_folder_of_another_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StateFolderError, match=r"format 99, this one has 1: use .* --state"):
        saved(tmp_path, format=99).load()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1}', "null"])
def test_a_damaged_memory_is_refused_and_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text)
    with pytest.raises(StateFolderError, match=r"stack\.json cannot be read"):
        StateFolder(tmp_path).load()


def test_data_without_memory_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    with pytest.raises(StateFolderError, match=r"holds a folder 'kafka' but no stack\.json"):
        StateFolder(tmp_path).load()


def test_data_of_another_server_version_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    folder.check_versions(RECORD, {"kafka": "4.4.0", "questdb": "9.3.4"})
    with pytest.raises(StateFolderError, match=r"holds data of kafka 4\.4\.0, .* runs 4\.5\.0"):
        folder.check_versions(RECORD, {"kafka": "4.5.0"})


@pytest.mark.parametrize("name", ["a,b", "a;b", "a:b", "a\\b", "a\nb"])
def test_a_path_that_the_servers_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    """Kafka splits `log.dirs` at commas, H2 its address at semicolons."""
    with pytest.raises(StateFolderError, match="choose another with --state"):
        StateFolder(tmp_path / name)
