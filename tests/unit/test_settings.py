"""The configuration: what is right is read, what is wrong is refused all at once, by path."""

from pathlib import Path
from typing import Any

import pytest

from bars.calendars import AlwaysOpen, Exchange, Weekly
from bars.errors import InvalidValueError
from bars.series import Series
from runtime.errors import ConfigError
from runtime.settings import (
    BackfillSettings,
    CalendarSettings,
    KafkaSettings,
    NodeSettings,
    RegistrySettings,
    Settings,
    SourceSettings,
    StoreSettings,
)
from tests.unit.settings_help import BASE, DAILY, NODE, load, read, refused, with_node


def test_nothing_said_means_the_defaults() -> None:
    settings = read({})
    assert settings.kafka == KafkaSettings()
    assert settings.kafka.bootstrap == "127.0.0.1:19092"
    assert settings.backfill.window_bars == 900
    assert settings.state_dir == Path("~/.seamless").expanduser()
    assert settings.base == BASE


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        kafka: {bootstrap: "10.0.0.1:9092,10.0.0.2:9092", partitions: 24, replication: 3}
        backfill: {settle_s: 60, jitter_ratio: 0, wait_timeout_s: 10}
        conformance: {partial_ok: true, accept_warnings: [time.session]}
        sources:
          daily: {kind: csv, path: data, columns: {ts: date, close: adj_close}}
          own: {kind: python, fetcher: "mine.feeds:Fetcher", options: {key: 5}}
        calendars:
          fx: {kind: weekly, timezone: America/New_York, open: Sun 17:00, close: Fri 17:00}
        nodes:
          "ohlcv:nasdaq:AAPL:1d":
            interval: 1d
            sources: [daily, own]
            calendar: XNYS
            symbol: AAPL
            listed: {start: 2004-08-19, end: null}
          "ohlcv:fx:EUR/USD:1h": {interval: 3600, sources: [own], calendar: fx, sparse: true}
        state_dir: state
        """,
    )
    series = Series("ohlcv:nasdaq:AAPL:1d", 86_400)
    assert settings.node(series) == NodeSettings(
        series=series,
        sources=("daily", "own"),
        calendar="XNYS",
        symbol="AAPL",
        listed_start=1_092_873_600,
    )
    assert settings.sources["daily"].path == tmp_path / "data"
    assert settings.sources["own"].options == {"key": 5}
    assert settings.state_dir == tmp_path / "state"
    assert settings.conformance.accept_warnings == ("time.session",)
    assert settings.ranks == {"bf:daily": 2, "bf:own": 1, "roll": 0}


def test_everything_wrong_is_told_in_one_message() -> None:
    error = refused(
        {
            "kafka": {"prefx": "x", "partitions": 0},
            "stor": {},
            "backfill": {"window_bars": 2_001, "settle_s": "soon"},
            "sources": {"daily": {"kind": "excel", "path": "data"}, "Big": DAILY},
            "calendars": {"fx": {"kind": "weekly", "timezone": "Mars/North", "open": "Sun 25:00"}},
            "nodes": {
                "ohlcv:x": {"interval": "1w", "sources": ["dialy"], "calendar": "XNYX"},
                "a|b": NODE,
            },
            "ranks": {"bf:daily": "high"},
        }
    )
    assert {problem.key for problem in error.problems} == {
        "kafka.prefx",
        "kafka.partitions",
        "stor",
        "backfill.window_bars",
        "backfill.settle_s",
        "sources.daily.kind",
        "sources.Big",
        "calendars.fx.timezone",
        "calendars.fx.open",
        "nodes.ohlcv:x.interval",
        "nodes.ohlcv:x.sources",
        "nodes.ohlcv:x.calendar",
        "nodes.a|b",
        "ranks.bf:daily",
    }
    assert len(str(error).splitlines()) == len(error.problems)
    assert (error.key, error.value) == (error.problems[0].key, error.problems[0].value)


def test_a_message_names_path_allowed_and_found() -> None:
    error = refused(with_node(interval="1w"))
    assert str(error) == (
        "nodes.ohlcv:x.interval: must be a number of seconds or like 30s, 5m, 1h, 1d, was '1w'"
    )


def test_a_near_miss_of_a_key_gets_a_hint() -> None:
    assert "did you mean window_bars?" in str(refused({"backfill": {"windows_bars": 5}}))
    assert "did you mean" not in str(refused({"backfill": {"zzz": 5}}))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"interval": 0}, "interval"),
        ({"interval": True}, "interval"),
        ({"interval": None}, "interval"),
        ({"sources": "daily"}, "sources"),
        ({"sources": []}, "sources"),
        ({"sources": ["daily", "daily"]}, "sources"),
        ({"sources": ["daily", "other"]}, "sources"),
        ({"calendar": "fx"}, "calendar"),
        ({"symbol": 600_000}, "symbol"),
        ({"origin": "noon"}, "origin"),
        ({"listed": {"start": "2004-08-19", "end": "2004-08-19"}}, "listed.end"),
        ({"listed": {"from": "2004-08-19"}}, "listed.from"),
        ({"listed": {"start": "20040819"}}, "listed.start"),
        ({"listed": "2004-08-19"}, "listed"),
        ({"sparse": "yes"}, "sparse"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_value_of_a_node_is_refused(changes: dict[str, object], key: str) -> None:
    assert [p.key for p in refused(with_node(**changes)).problems] == [f"nodes.ohlcv:x.{key}"]


def test_a_source_that_a_provider_brings_has_nothing_to_be_opened_by() -> None:
    error = refused({"sources": {"own": {"kind": "provider", "path": "x", "fetcher": "a:b"}}})
    assert [p.key for p in error.problems] == ["sources.own.fetcher", "sources.own.path"]
    assert "left out for kind provider" in str(error)


def test_what_has_to_be_given_is_missed() -> None:
    error = refused({"nodes": {"x": {}}, "sources": {"s": None}})
    assert [p.key for p in error.problems] == [
        "sources.s.kind",
        "nodes.x.sources",
        "nodes.x.calendar",
        "nodes.x.interval",
    ]
    assert "sources.s.kind: must be one of csv, parquet, python, provider, was missing" in str(
        error
    )


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ({"kind": "csv"}, "path"),
        ({"kind": "csv", "path": "x", "fetcher": "a:b"}, "fetcher"),
        ({"kind": "csv", "path": "x", "columns": {"price": "p"}}, "columns.price"),
        ({"kind": "csv", "path": "x", "columns": {"ts": 5}}, "columns.ts"),
        ({"kind": "csv", "path": "x", "timezone": "America"}, "timezone"),
        ({"kind": "python"}, "fetcher"),
        ({"kind": "python", "fetcher": "no colon"}, "fetcher"),
        ({"kind": "python", "fetcher": "a:b", "path": "x"}, "path"),
        ({"kind": "python", "fetcher": "a:b", "empty_confirmed": 1}, "empty_confirmed"),
    ],
)
def test_a_source_has_what_its_kind_needs(source: dict[str, object], key: str) -> None:
    assert [p.key for p in refused({"sources": {"s": source}}).problems] == [f"sources.s.{key}"]


@pytest.mark.parametrize(
    ("calendar", "keys"),
    [
        ({"kind": "weekly", "timezone": "UTC"}, ["open", "close"]),
        ({"kind": "weekly", "open": "Sun 17:00"}, ["close"]),
        ({"kind": "weekly", "open": "Sunday", "close": "Fri 17:00"}, ["open"]),
        ({"kind": "exchange"}, ["code"]),
        ({"kind": "exchange", "code": "NOPE"}, ["code"]),
        ({"kind": "always", "code": "XNYS"}, ["code"]),
        ({"kind": "lunar"}, ["kind"]),
    ],
)
def test_a_calendar_has_what_its_kind_needs(calendar: dict[str, object], keys: list[str]) -> None:
    found = [p.key for p in refused({"calendars": {"c": calendar}}).problems]
    assert found == [f"calendars.c.{key}" for key in keys]


def test_no_rows_prove_emptiness_for_files_alone_unless_said_otherwise() -> None:
    sources = read(
        {
            "sources": {
                "file": DAILY,
                "open": DAILY | {"empty_confirmed": False},
                "own": {"kind": "python", "fetcher": "a:b"},
                "sure": {"kind": "python", "fetcher": "a:b", "empty_confirmed": True},
            }
        }
    ).sources
    assert {n: s.empty_confirmed for n, s in sources.items()} == {
        "file": True,
        "open": False,
        "own": False,
        "sure": True,
    }


def test_a_node_finds_its_calendar_by_name_or_code() -> None:
    settings = read(
        {
            "sources": {"daily": DAILY},
            "calendars": {
                "fx": {"kind": "weekly", "open": "Sun 17:00", "close": "Fri 17:00"},
                "ny": {"kind": "exchange", "code": "XNYS", "bars": "intraday"},
                "crypto": {"kind": "always"},
            },
            "nodes": {c: NODE | {"calendar": c} for c in ("fx", "ny", "crypto", "XNYS", "24/7")},
        }
    )
    assert {n.calendar: settings.calendar(n) for n in settings.nodes.values()} == {
        "fx": Weekly("fx", "UTC", "Sun 17:00", "Fri 17:00"),
        "ny": Exchange("XNYS", "intraday"),
        "crypto": AlwaysOpen("crypto"),
        "XNYS": Exchange("XNYS"),
        "24/7": AlwaysOpen(),
    }


def test_ranks_may_be_said_and_are_never_shared() -> None:
    assert read({"ranks": {"roll": 5, "bf:daily": -1}}).ranks == {"roll": 5, "bf:daily": -1}
    error = refused({"ranks": {"roll": 5, "bf:daily": 5}})
    assert [p.key for p in error.problems] == ["ranks.roll", "ranks.bf:daily"]


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: KafkaSettings(partitions=0), "partitions"),
        (lambda: KafkaSettings(prefix="a b"), "prefix"),
        (lambda: KafkaSettings(session_timeout_ms=1_000, heartbeat_ms=500), "heartbeat_ms"),
        (lambda: StoreSettings(dsn="postgres://h"), "dsn"),
        (lambda: StoreSettings(table_prefix="a-b"), "table_prefix"),
        (lambda: RegistrySettings(url="h:80"), "url"),
        (lambda: BackfillSettings(window_bars=0), "window_bars"),
        (lambda: BackfillSettings(jitter_ratio=float("nan")), "jitter_ratio"),
        (lambda: SourceSettings(name="A", kind="csv", path=Path("x")), "name"),
        (lambda: CalendarSettings(name="x", kind="weekly"), "open"),
    ],
)
def test_values_made_in_code_are_checked_too(make: Any, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.key == key


def test_settings_made_in_code_refuse_unknown_names() -> None:
    node = NodeSettings(series=Series("x", 60), sources=("s",), calendar="24/7")
    with pytest.raises(ConfigError, match=r"nodes\.x\.sources"):
        Settings(nodes={node.series: node})


def test_a_series_that_is_not_configured_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="must be one that is configured"):
        Settings().node(Series("x", 60))


def test_a_configuration_error_is_final() -> None:
    assert refused({"x": 1}).retriable is False
