"""Bad input of a person: refused before any I/O, one message that names it, exit code 2."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from ops.cli import app

NODE = "ohlcv:nasdaq:AAPL:1d"
NOWHERE = {
    "kafka": {"bootstrap": "127.0.0.1:9"},
    "registry": {"url": "http://127.0.0.1:9"},
    "store": {"dsn": "questdb://127.0.0.1:9?pg_port=9"},
    "sources": {"daily": {"kind": "csv", "path": "prices"}},
    "nodes": {NODE: {"interval": "1d", "sources": ["daily"], "calendar": "XNYS"}},
}
GIVEN = {"--interval": "1d", "--start": "2000-03-01", "--end": "2013-03-02"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A right configuration whose servers are not there: any I/O would fail, with exit code 1."""
    path = tmp_path / "seamless.yaml"
    path.write_text(yaml.safe_dump(NOWHERE))
    return path


def run(command: str, config: Path, node: str = NODE, **more: str) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error."""
    options = GIVEN | {f"--{name.replace('_', '-')}": value for name, value in more.items()}
    words = [word for option, value in options.items() for word in (option, value)]
    result = CliRunner().invoke(app, [command, node, *words, "--config", str(config)])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("command", ["backfill", "fetch"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"interval": "1x"}, "--interval must be a number of seconds or like 30s, 5m, 1h, 1d"),
        ({"interval": "1h"}, f"configured: {NODE}|86400, was '{NODE}|3600'"),
        ({"node": "ohlcv:nasdaq:APPL:1d"}, "was 'ohlcv:nasdaq:APPL:1d|86400'"),
        ({"node": "a|b"}, "node_id must be"),
        ({"start": "yesterday"}, "--start must be a time like 2004-08-19"),
        ({"start": "1969-12-31"}, "--start must be 1970-01-01 or later"),
        ({"end": "2000-03-01"}, "--end must be after --start 2000-03-01, was '2000-03-01'"),
        ({"start": "2000"}, "was '2000'"),
    ],
)
def test_a_wrong_series_or_time_is_refused(
    command: str, config: Path, wrong: dict[str, str], message: str
) -> None:
    code, out, err = run(command, config, **wrong)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("error:") == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"source": "weekly"}, "source must be empty or a source of the node: daily"),
        ({"priority": "5000000"}, "priority must be"),
        ({"timeout": "0"}, "--timeout must be seconds above 0"),
    ],
)
def test_a_wrong_request_is_refused(config: Path, wrong: dict[str, str], message: str) -> None:
    code, out, err = run("backfill", config, **wrong)
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"out": "bars.xlsx"}, "--out must be a file ending in .csv or .parquet, or -"),
        ({"out": "/no/such/folder/bars.csv"}, "--out must be a file in a folder that exists"),
        ({"strategy": "soon"}, "--strategy must be fail_fast or auto_backfill or partial_fill"),
    ],
)
def test_a_wrong_fetch_is_refused(config: Path, wrong: dict[str, str], message: str) -> None:
    code, out, err = run("fetch", config, **wrong)
    assert (code, out) == (2, "")
    assert message in err


def test_everything_wrong_with_the_configuration_is_told_at_once(config: Path) -> None:
    config.write_text(yaml.safe_dump(NOWHERE | {"kafka": {"botstrap": "x", "partitions": 0}}))
    code, _, err = run("backfill", config)
    assert code == 2
    assert "kafka.botstrap: unknown key" in err
    assert "kafka.partitions: must be a whole number from 1 to" in err


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path) -> None:
    code, _, err = run("fetch", tmp_path / "nope.yaml")
    assert code == 2
    assert "nope.yaml" in err


def test_a_store_that_is_away_is_a_failure_and_no_bad_input(config: Path) -> None:
    code, out, err = run("fetch", config)
    assert (code, out) == (1, "")
    assert "127.0.0.1:9" in err


def test_the_configuration_may_come_from_the_environment(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEAMLESS_CONFIG", str(config))
    result = CliRunner().invoke(app, ["coverage", "nobody", "--interval", "1d", "--json"])
    assert result.exit_code == 2
    assert f"configured: {NODE}|86400" in result.stderr
    assert not result.stdout


def test_the_help_of_every_command_says_what_it_does() -> None:
    for command in ("up", "down", "status", "topics", "backfill", "fetch", "coverage"):
        result = CliRunner().invoke(app, [command, "--help"])
        assert result.exit_code == 0
        assert len(result.stdout.splitlines()) > 3
