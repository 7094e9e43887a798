"""The groups of settings that a person may make, as frozen values with defaults.

Times are epoch seconds; units stand last in the names. A value is checked when it is made,
whether by the reader of `seamless.yaml` or in code.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from bars.calendars import exchange_codes
from bars.conformance import CHECKS, Severity
from bars.series import Series
from bars.window import Grid
from runtime import _kinds as k
from runtime._section import MISSING, Section, setting, shown
from runtime.errors import Problem

FILE_KINDS = ("csv", "parquet")

BY_PROVIDER = "provider"
"""Kind of a source that is no worker's: who makes a provider brings the fetcher."""

_WARNINGS = sorted(check for check, severity in CHECKS.items() if severity is Severity.WARN)


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings(Section):
    """How to reach Kafka, and what its topics look like."""

    bootstrap: str = setting(k.text("addresses like host:9092,host:9092"), "127.0.0.1:19092")
    """Where to ask first."""

    prefix: str = setting(
        k.text("at most 100 of a-z A-Z 0-9 . _ -", r"[a-zA-Z0-9._-]{0,100}"), "seamless."
    )
    """What every topic, group and transactional id begins with."""

    partitions: int = setting(k.integer(1, 10_000), 4)
    """Of each topic; never changed once there are records."""

    replication: int = setting(k.integer(1, 100), 1)
    """Copies of each partition."""

    session_timeout_ms: int = setting(k.integer(1_000, 3_600_000), 15_000)
    """A process that is silent that long loses its partitions."""

    heartbeat_ms: int = setting(k.integer(100, 1_200_000), 3_000)
    """Time between heartbeats; several may be lost before the session ends."""

    transaction_timeout_ms: int = setting(k.integer(1_000, 900_000), 30_000)
    """A transaction that hangs holds back every reader that long at most."""

    client: Mapping[str, str] = setting(k.table(k.text(), k.text()), {}, secret=True)
    """Security options under their librdkafka names, e.g. `sasl.password`."""

    def relations(self) -> Iterator[Problem]:
        """Yield what does not fit together."""
        if 3 * self.heartbeat_ms > self.session_timeout_ms:
            allowed = f"at most a third of session_timeout_ms {self.session_timeout_ms}"
            yield Problem("heartbeat_ms", self.heartbeat_ms, allowed)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings(Section):
    """How to reach the schema registry."""

    url: str = setting(
        k.text("a URL like http://host:8081", r"https?://\S+"),
        "http://127.0.0.1:18081/apis/ccompat/v7",
        secret=True,
    )
    """Its Confluent-compatible API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings(Section):
    """How to reach QuestDB, and what its tables look like."""

    dsn: str = setting(
        k.text("like questdb://[user:password@]host[:9000][?pg_port=8812]", r"questdb://\S+"),
        "questdb://127.0.0.1:19000?pg_port=18812",
        secret=True,
    )
    """Address of its HTTP server; `pg_port` is the one of its PostgreSQL protocol."""

    table_prefix: str = setting(k.text("at most 60 of a-z A-Z 0-9 _", r"[a-zA-Z0-9_]{0,60}"), "")
    """What every table's name begins with."""

    series_expected: int = setting(k.integer(1, 10_000_000), 100)
    """How many series there will be; decides how much time one partition of a table spans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillSettings(Section):
    """How missing bars are fetched."""

    window_bars: int = setting(k.integer(1, 2_000), 900)
    """Slots of one window; one window is one chunk."""

    settle_s: int = setting(k.integer(0, 31_536_000), 0)
    """A bar is asked for only when it has been closed that long."""

    lease_ttl_ms: int = setting(k.integer(1_000, 86_400_000), 120_000)
    """Life of the right to fetch a window; it is renewed while the fetch runs."""

    max_concurrent_requests: int = setting(k.integer(1, 1_024), 8)
    """Windows that are fetched at a time."""

    max_attempts: int = setting(k.integer(1, 100), 6)
    """Times that a source is asked for a window before it is halved, or has failed with one bar."""

    retry_backoff_ms: int = setting(k.integer(0, 3_600_000), 500)
    """Delay before the second attempt; each later one waits twice as long."""

    jitter_ratio: float = setting(k.number(0, 1), 0.25)
    """Up to this share of a delay is added to it at random."""

    wait_timeout_s: float = setting(k.number(0.001, 604_800), 300.0)
    """How long a caller waits for what it has asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterializeSettings(Section):
    """How history gets into the store."""

    flush_rows: int = setting(k.integer(1, 1_000_000), 75_000)
    """Rows that make a flush due."""

    flush_wait_ms: int = setting(k.integer(0, 60_000), 250)
    """A record waits no longer than this for others to share its flush."""

    visible_timeout_s: float = setting(k.number(0.1, 3_600), 60.0)
    """Rows that cannot be read after that long raise the alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceSettings(Section):
    """What a reader of bars puts up with."""

    partial_ok: bool = setting(k.flag(), default=False)
    """Whether flags are reported beside the answer where they would raise otherwise."""

    accept_warnings: tuple[str, ...] = setting(k.many(k.choice(*_WARNINGS)), ())
    """Checks whose warnings do not raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings(Section):
    """One place where bars come from."""

    name: str = setting(k.source_name())
    """What it is called; its lane is `bf:<name>`."""

    kind: Literal["csv", "parquet", "python", "provider"] = setting(
        k.choice(*FILE_KINDS, "python", BY_PROVIDER)
    )
    """What it is; `provider`: the `fetcher` of providers, which no worker asks."""

    path: Path | None = setting(k.optional(k.path()), None)  # noqa: RUF009 - Path cannot change
    """Of files: a file, a folder with one file a symbol, or a pattern with `{symbol}` in it."""

    columns: Mapping[str, str] = setting(
        k.table(k.choice("ts", "open", "high", "low", "close", "volume"), k.text("text", "(?s).*")),
        {},
    )
    """Of files: our names to theirs; a column that is not listed has our name."""

    timezone: str = setting(k.timezone(), "UTC")
    """Of files: what naive times mean."""

    symbol_column: str | None = setting(k.optional(k.text()), None)
    """Of one file with many symbols: the column that tells them apart."""

    fetcher: str | None = setting(
        k.optional(k.text("like package.module:attribute", r"[\w.]+:[\w.]+")), None
    )
    """Of python: a `DataFetcher`, or what makes one when it is called."""

    options: Mapping[str, object] = setting(k.table(k.text(), k.anything()), {}, secret=True)
    """Of python: keyword arguments for what makes the fetcher."""

    empty_confirmed: bool = setting(k.optional(k.flag()), None)  # type: ignore[assignment]
    """Whether no rows proves that there are none; true for files unless said otherwise."""

    def __post_init__(self) -> None:
        if cast("bool | None", self.empty_confirmed) is None:
            object.__setattr__(self, "empty_confirmed", self.kind in FILE_KINDS)
        Section.__post_init__(self)

    def relations(self) -> Iterator[Problem]:
        """Yield what does not fit the kind."""
        of_files = {"path", "columns", "timezone", "symbol_column"}
        of_python = {"fetcher", "options"}
        needed, useless = ("path", of_python) if self.kind in FILE_KINDS else ("fetcher", of_files)
        if self.kind == BY_PROVIDER:
            useless = of_files | of_python
        elif getattr(self, needed) is None:
            yield Problem(needed, MISSING, f"given for kind {self.kind}")
        for name in sorted(useless - {"timezone"}):
            if getattr(self, name):
                found = shown(getattr(self, name), secret=name == "options")
                yield Problem(name, found, f"left out for kind {self.kind}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarSettings(Section):
    """When a market is open."""

    name: str = setting(k.text())
    """What nodes call it."""

    kind: Literal["exchange", "weekly", "always"] = setting(
        k.choice("exchange", "weekly", "always")
    )
    """What it is."""

    code: str | None = setting(k.optional(k.text("an exchange code like XNYS")), None)
    """Of an exchange."""

    timezone: str = setting(k.timezone(), "UTC")
    """Of weekly hours."""

    open: str | None = setting(k.optional(k.weekly_time()), None)
    """Of weekly hours: when the week begins, e.g. `Sun 17:00`."""

    close: str | None = setting(k.optional(k.weekly_time()), None)
    """Of weekly hours: when the week ends, e.g. `Fri 17:00`."""

    bars: Literal["session", "intraday"] = setting(k.choice("session", "intraday"), "session")
    """Bars of whole days: one a session's date, or each in which it is open at some moment."""

    def relations(self) -> Iterator[Problem]:
        """Yield what does not fit the kind."""
        needed = {"exchange": ("code",), "weekly": ("open", "close"), "always": ()}[self.kind]
        for name in ("code", "open", "close"):
            value = getattr(self, name)
            if name in needed and value is None:
                yield Problem(name, MISSING, f"given for kind {self.kind}")
            if name not in needed and value is not None:
                yield Problem(name, value, f"left out for kind {self.kind}")
        if self.kind == "exchange" and self.code and self.code not in exchange_codes():
            yield Problem("code", self.code, "an exchange code such as XNYS")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings(Section):
    """One series: where its bars come from and which ones there should be."""

    series: Series
    """Node and bar length."""

    sources: tuple[str, ...] = setting(k.many(k.source_name()))
    """Names of the sources that have it, the preferred one first."""

    calendar: str = setting(k.text("the name of a calendar, an exchange code or 24/7"))
    """When it trades."""

    symbol: str = setting(k.text(), "")
    """What the sources call it; the node's name when nobody says."""

    origin: int = setting(k.time(), 0)
    """One of its open times: bars lie on `origin + k * interval`."""

    listed_start: int | None = setting(k.optional(k.time()), None)
    """Before this there are no bars; None when nobody says."""

    listed_end: int | None = setting(k.optional(k.time()), None)
    """At and after this there are no bars; None when it still trades."""

    sparse: bool = setting(k.flag(), default=False)
    """Whether slots without trades are ordinary."""

    def __post_init__(self) -> None:
        if not self.symbol:
            object.__setattr__(self, "symbol", self.series.node)
        Section.__post_init__(self)

    @property
    def grid(self) -> Grid:
        """The open times that it may have."""
        return Grid(self.series.interval, self.origin)

    def relations(self) -> Iterator[Problem]:
        """Yield what does not fit together."""
        if not self.sources:
            yield Problem("sources", self.sources, "one source or more")
        start, end = self.listed_start, self.listed_end
        if start is not None and end is not None and start >= end:
            yield Problem("listed.end", end, f"after listed.start {start}")
