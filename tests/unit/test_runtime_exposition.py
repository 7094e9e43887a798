"""Where processes tell their metrics: what may be written, and ports that somebody has."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from bars.errors import InvalidValueError
from ops.stack.listening import free_ports
from runtime.exposition import MetricsAddress, MetricsPortError
from runtime.metrics import Metrics

PROCESSES = [("streams", "conform"), ("streams", "materialize"), ("worker",)]


def run(words: tuple[str, ...], folder: Path, port: str) -> subprocess.CompletedProcess[str]:
    config = folder / "seamless.yaml"
    config.write_text(f"state_dir: {folder}\n")
    command = [sys.executable, "-m", *words, "--config", str(config), "--metrics-port", port]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("18101", range(18_101, 18_102)),
        ("18103-18166", range(18_103, 18_167)),
        ("1-1", range(1, 2)),
    ],
)
def test_a_port_or_a_range_of_them_may_be_written(text: str, ports: range) -> None:
    assert MetricsAddress.parse(text, "10.0.0.1") == MetricsAddress(ports=ports, host="10.0.0.1")


def test_nothing_is_served_with_nothing_said() -> None:
    assert MetricsAddress.parse(None) is None


@pytest.mark.parametrize(
    "text", ["", "0", "65536", "http", "-1", "5-4", "5-", "-", "1-2-3", "5-65536", "²", "5.0", " 5"]
)
def test_what_is_no_port_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(InvalidValueError, match="from 1 to 65535, or FIRST-LAST") as refused:
        MetricsAddress.parse(text)
    assert refused.value.field == "--metrics-port"
    assert refused.value.found == text


def test_processes_with_one_range_take_a_port_each() -> None:
    """As the workers of a compose file, which share an address, are all told the same."""
    (port,) = free_ports(1, among=range(20_000, 30_000))
    address = MetricsAddress(ports=range(port, port + 50))
    metrics = Metrics(), Metrics()
    metrics[1].bars_stored.add(7)
    first, second = (address.serve(each) for each in metrics)
    try:
        assert first.port < second.port
        found = httpx.get(f"http://127.0.0.1:{second.port}/metrics", timeout=10)
        assert "seamless_bars_stored_total 7.0" in found.text
    finally:
        first.close()
        second.close()


def test_ports_that_others_have_are_told_and_may_be_free_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(MetricsPortError, match=f"127.0.0.1:{port} .*in use") as refused:
            MetricsAddress(ports=range(port, port + 1)).serve(Metrics())
    assert refused.value.retriable
    assert (refused.value.host, refused.value.ports) == ("127.0.0.1", range(port, port + 1))


@pytest.mark.parametrize("words", PROCESSES)
def test_a_process_refuses_a_port_that_is_none(words: tuple[str, ...], tmp_path: Path) -> None:
    """Exit code 2: the next start would end in the same way."""
    done = run(words, tmp_path, "many")
    assert done.returncode == 2
    assert "--metrics-port must be" in done.stderr


@pytest.mark.parametrize("words", PROCESSES)
def test_a_process_whose_port_is_taken_says_so_and_may_be_started_again(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    """Exit code 1: who has the port may go. Without metrics it would raise no alarm."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = run(words, tmp_path, str(server.getsockname()[1]))
    assert done.returncode == 1
    told = json.loads(done.stderr.splitlines()[-1])
    assert told["event"] == "crashed"
    assert "metrics cannot be served" in json.dumps(told)
