"""Where a configuration comes from: a file, the environment over it; no secret is told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bars.series import Series
from runtime.errors import ConfigError
from runtime.settings import KafkaSettings, Settings
from tests.unit.settings_help import load, load_refused, read, refused


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == replace(Settings(), base=tmp_path)
    assert load(tmp_path, "kafka:\nnodes:\n").kafka == KafkaSettings()


def test_yaml_text_stays_text(tmp_path: Path) -> None:
    """YAML 1.1 would make these true, 1020, a date and eight; a ticker is called ON."""
    settings = load(
        tmp_path,
        """
        sources: {own: {kind: python, fetcher: "a:b", options: {a: 17:00, b: 2004-08-19, c: no}}}
        nodes: {x: {interval: 010, sources: [own], calendar: 24/7, symbol: ON}}
        """,
    )
    assert settings.sources["own"].options == {"a": "17:00", "b": "2004-08-19", "c": "no"}
    assert settings.nodes[Series("x", 10)].symbol == "ON"


@pytest.mark.parametrize(
    ("variable", "value", "found"),
    [
        ("SEAMLESS_KAFKA_BOOTSTRAP", "h:1", lambda s: s.kafka.bootstrap == "h:1"),
        ("SEAMLESS_KAFKA_PREFIX", "123", lambda s: s.kafka.prefix == "123"),
        ("SEAMLESS_KAFKA_PREFIX", "", lambda s: not s.kafka.prefix),
        ("SEAMLESS_KAFKA_PARTITIONS", "24", lambda s: s.kafka.partitions == 24),
        ("SEAMLESS_REGISTRY_URL", "http://r/x", lambda s: s.registry.url == "http://r/x"),
        ("SEAMLESS_STORE_DSN", "questdb://h", lambda s: s.store.dsn == "questdb://h"),
        ("SEAMLESS_STORE_TABLE_PREFIX", "1_", lambda s: s.store.table_prefix == "1_"),
        ("SEAMLESS_BACKFILL_JITTER_RATIO", "0.5", lambda s: s.backfill.jitter_ratio == 0.5),
        ("SEAMLESS_CONFORMANCE_PARTIAL_OK", "true", lambda s: s.conformance.partial_ok),
        (
            "SEAMLESS_CONFORMANCE_ACCEPT_WARNINGS",
            "time.session, schema.unknown",
            lambda s: s.conformance.accept_warnings == ("time.session", "schema.unknown"),
        ),
        ("SEAMLESS_STATE_DIR", "/var/s", lambda s: s.state_dir == Path("/var/s")),
        (
            "SEAMLESS_KAFKA_CLIENT_SASL_PASSWORD",
            "secret",
            lambda s: s.kafka.client == {"a": "b", "sasl.password": "secret"},
        ),
    ],
)
def test_the_environment_goes_over_the_file(variable: str, value: str, found: Any) -> None:
    raw = {
        "kafka": {"bootstrap": "file:1", "prefix": "file.", "client": {"a": "b"}},
        "store": {"table_prefix": "file_"},
        "state_dir": "file",
    }
    assert found(read(raw, {variable: value, "HOME": "/x", "SEAMLESS_TEST_STACK": "local"}))


def test_a_state_folder_of_the_environment_is_relative_to_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read({}, {"SEAMLESS_STATE_DIR": "mine"}).state_dir == tmp_path / "mine"


def test_a_wrong_variable_is_named() -> None:
    error = refused({}, {"SEAMLESS_KAFKA_PARTITIONS": "many", "SEAMLESS_STORE_DNS": "x"})
    assert "kafka.partitions (from SEAMLESS_KAFKA_PARTITIONS): must be a whole number" in str(error)
    assert "store.dns (from SEAMLESS_STORE_DNS): unknown key" in str(error)
    assert "did you mean dsn?" in str(error)


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    message = load_refused(tmp_path, "kafka: {prefix: a}\nnodes:\nkafka: {prefix: b, prefix: c}\n")
    assert "kafka: must be given once, was given again in line 3" in message
    assert "kafka.prefix: must be given once, was given again in line 3" in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "in line"),
        ("a: 1\n---\nb: 2\n", "one YAML document"),
        ("- 1\n- 2\n", "file: must be a mapping"),
        ("kafka: 5\n", "kafka: must be a mapping, was 5"),
        ("nodes: [x]\n", "nodes: must be a mapping"),
        ("nodes: {5: {}}\n", "nodes.5: must be a key in quotes, was 5"),
        ("a: !!python/object/apply:os.getcwd []\n", "one YAML document"),
        ("&a [*a]\n", "file: must be a mapping"),
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str, told: str) -> None:
    message = load_refused(tmp_path, text)
    assert told in message
    assert message.startswith(str(tmp_path / "seamless.yaml"))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        Settings.load(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"kafka: \xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        Settings.load(tmp_path / "bad.yaml")


def test_merge_keys_work(tmp_path: Path) -> None:
    """Many nodes share what they have in common."""
    settings = load(
        tmp_path,
        """
        sources: {daily: {kind: csv, path: data}}
        nodes:
          a: &stock {interval: 1d, sources: [daily], calendar: XNYS, symbol: A}
          b: {<<: *stock, symbol: B}
        """,
    )
    assert [n.symbol for n in settings.nodes.values()] == ["A", "B"]


SECRET = "hunter2"


def test_secrets_are_in_no_text() -> None:
    settings = read(
        {
            "kafka": {"client": {"sasl.password": SECRET}},
            "registry": {"url": f"http://u:{SECRET}@h"},
            "store": {"dsn": f"questdb://u:{SECRET}@h"},
            "sources": {"own": {"kind": "python", "fetcher": "a:b", "options": {"key": SECRET}}},
        }
    )
    assert SECRET in settings.store.dsn
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    "raw",
    [
        {"store": {"dsn": f"quest://u:{SECRET}@h"}},
        {"registry": {"url": SECRET}},
        {"kafka": {"client": {"sasl.password": [SECRET]}}},
        {"kafka": {"client": [SECRET]}},
        {"kafka": {"clients": {"sasl.password": SECRET}}},
        {"sources": {"own": {"kind": "csv", "path": "x", "options": {"key": SECRET}}}},
    ],
)
def test_secrets_are_in_no_error(raw: dict[str, object]) -> None:
    error = refused(raw)
    assert SECRET not in f"{error} {error!r} {error.problems!r} {error.value!r}"


def test_broken_yaml_is_not_quoted(tmp_path: Path) -> None:
    assert SECRET not in load_refused(tmp_path, f'store: {{dsn: "{SECRET}" {SECRET}}}')
