"""What a provider may be told: how it has bars fetched, and how long and how well it answers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from bars.protocols import DataAvailabilityStrategy
from runtime import _kinds as k
from runtime._section import Section, setting
from runtime.errors import Problem
from runtime.sections import BackfillSettings, ConformanceSettings

Violation: TypeAlias = Literal["fail_fast", "partial_fill", "hold"]

_VIOLATION: k.Kind[Violation | None] = k.optional(k.choice("fail_fast", "partial_fill", "hold"))
_MS_MAX = 604_800_000
_BARS_MAX = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillConfig(Section):
    """How a provider has missing bars fetched."""

    mode: Literal["background", "sync"] = setting(k.choice("background", "sync"), "background")
    """Whether PARTIAL_FILL fills behind the call, or in it as far as its service level allows."""

    single_flight_ttl_ms: int = setting(k.integer(1, 86_400_000), 60_000)
    """A fetch that runs longer is not joined any more: who comes then begins one of its own."""

    distributed_lease_ttl_ms: int = setting(k.integer(1_000, 86_400_000), 120_000)
    """Life of the right to fetch a window, where processes share a coordinator."""

    window_bars: int = setting(k.integer(1, 2_000), 900)
    """Slots of one window, which is fetched by one call of the source."""

    max_concurrent_requests: int = setting(k.integer(1, 1_024), 8)
    """Windows that one provider has fetched at a time, whatever asks for them."""

    max_attempts: int = setting(k.integer(1, 100), 6)
    """Times that a source is asked for a window before the window has failed."""

    retry_backoff_ms: int = setting(k.integer(0, 3_600_000), 500)
    """Delay before the second attempt; each later one waits twice as long."""

    jitter_ratio: float = setting(k.ratio(), 0.25)
    """Up to this share of a delay is added to it at random."""

    settle_s: int = 0
    """A bar is asked for only when it has been closed that long; `backfill.settle_s` of a file."""

    wait_timeout_s: float = 300.0
    """How long a call waits in all without a service level; `backfill.wait_timeout_s` of a file."""

    def __post_init__(self) -> None:
        if isinstance(self.jitter_ratio, int | float):
            object.__setattr__(self, "jitter_ratio", min(max(self.jitter_ratio, 0), 1))
        Section.__post_init__(self)

    @classmethod
    def of(cls, settings: BackfillSettings) -> "BackfillConfig":
        """Return the same as the fetch worker's settings say it."""
        return cls(
            distributed_lease_ttl_ms=settings.lease_ttl_ms,
            window_bars=settings.window_bars,
            max_concurrent_requests=settings.max_concurrent_requests,
            max_attempts=settings.max_attempts,
            retry_backoff_ms=settings.retry_backoff_ms,
            jitter_ratio=settings.jitter_ratio,
            settle_s=settings.settle_s,
            wait_timeout_s=settings.wait_timeout_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SLAPolicy(Section):
    """The service level of an answer. What is None is not limited.

    Times are budgets that are enforced while waiting, and spent over all waits of a phase.
    """

    max_wait_storage_ms: int | None = setting(k.optional(k.integer(1, _MS_MAX)), None)
    """Looking into sources and reading them."""

    max_wait_backfill_ms: int | None = setting(k.optional(k.integer(1, _MS_MAX)), None)
    """Waiting for missing bars to be fetched."""

    max_wait_live_ms: int | None = setting(k.optional(k.integer(1, _MS_MAX)), None)
    """Waiting for a live feed to bring the newest bars."""

    total_deadline_ms: int | None = setting(k.optional(k.integer(1, _MS_MAX)), None)
    """All of it."""

    max_sync_gap_bars: int | None = setting(k.optional(k.integer(0, _BARS_MAX)), None)
    """With more session bars missing than this, nobody waits for them: they are fetched behind
    the call."""

    min_coverage: float | None = setting(k.optional(k.number(0, 1)), None)
    """Share of the session bars of the window that has to be covered."""

    max_lag_seconds: int | None = setting(k.optional(k.integer(0, 31_536_000)), None)
    """How long before now, or before the window's end, the last covered bar may have closed."""

    on_violation: Violation | None = setting(_VIOLATION, None)  # noqa: RUF009  a kind is no value
    """fail_fast raises, partial_fill answers what there is and says so, hold does that and says
    besides that nothing should be decided upon it. None: SEAMLESS and PARTIAL_FILL answer, the
    other strategies raise."""

    def relations(self) -> Iterator[Problem]:
        """Yield what does not fit together."""
        total = self.total_deadline_ms
        for name in ("max_wait_storage_ms", "max_wait_backfill_ms", "max_wait_live_ms"):
            value = getattr(self, name)
            if total is not None and value is not None and value > total:
                yield Problem(name, value, f"at most total_deadline_ms {total}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings(Section):
    """How a provider that is made from a configuration answers."""

    strategy: str = setting(k.choice(*DataAvailabilityStrategy), "auto_backfill")
    """What to do about missing bars."""

    enable_background_backfill: bool = setting(k.flag(), default=True)
    """Whether anything may be fetched behind a call."""

    cache_ttl: float = setting(k.number(0, 31_536_000), 3_600.0)
    """Seconds that cached bars are believed where no ledger can be asked."""

    backfill_config: BackfillConfig = field(default_factory=BackfillConfig)
    """How missing bars are fetched."""

    sla: SLAPolicy | None = None
    """The service level of every call that does not say otherwise."""

    conformance: ConformanceSettings | None = None
    """What an answer may hold; None: as the section `conformance` says."""
