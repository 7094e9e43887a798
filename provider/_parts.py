"""What a provider is made of, and how its options become that."""

from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from bars.conformance import ConformancePipeline
from bars.protocols import AutoBackfiller, DataAvailabilityStrategy, DataFetcher
from bars.series import Series, check_source
from bars.window import Window
from provider._ask import Calendars, Nodes
from provider._fill import DirectFiller, Fetch, FillConfig, Filler
from provider.options import (
    DirectOptions,
    JudgeOptions,
    check_accepted,
    check_strategy,
    direct_nodes,
)
from provider.storage import Storage
from runtime import BackfillSettings, Clock, ConfigError, Problem, SystemClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a provider answers, whatever it reads from."""

    strategy: DataAvailabilityStrategy = DataAvailabilityStrategy.AUTO_BACKFILL
    pipeline: ConformancePipeline = field(default_factory=ConformancePipeline)
    accepted: tuple[str, ...] = ()
    clock: Clock = field(default_factory=SystemClock)
    settle_s: int = 0
    wait_timeout_s: float = 300.0

    @classmethod
    def of(cls, options: JudgeOptions, backfill: BackfillSettings, **defaults: Any) -> "Manners":
        """Return what the options say, and the defaults where they say nothing."""
        pipeline = options.get("conformance", ConformancePipeline())
        partial_ok = options.get("partial_ok", defaults.get("partial_ok", pipeline.partial_ok))
        strategy = options.get("strategy", DataAvailabilityStrategy.AUTO_BACKFILL)
        accepted = options.get("accept_warnings", defaults.get("accept_warnings", ()))
        check_accepted(accepted)
        return cls(
            strategy=check_strategy(strategy),
            pipeline=replace(pipeline, partial_ok=partial_ok),
            accepted=tuple(accepted),
            clock=options.get("clock") or SystemClock(),
            settle_s=backfill.settle_s,
            wait_timeout_s=backfill.wait_timeout_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a provider is made of."""

    storage: Storage
    filler: Filler | None
    """None: nobody brings what is missing."""

    nodes: Nodes
    calendars: Calendars
    manners: Manners


def direct_parts(
    storage: Storage, bringer: AutoBackfiller | DataFetcher | None, options: DirectOptions
) -> Parts:
    """Return the parts of a provider that stores by itself what somebody brings."""
    backfill = options.get("backfill_config", BackfillSettings())
    source = check_source(options.get("source_name", "fetcher"), "source_name")
    manners = Manners.of(options, backfill)
    _check_bringer(bringer)
    filler = None
    if bringer is not None:
        config = FillConfig(
            source=source,
            empty_confirmed=options.get("empty_confirmed", False),
            backfill=backfill,
            pipeline=manners.pipeline,
        )
        filler = DirectFiller(storage, _asking(bringer), manners.clock, config)
    nodes, calendars = direct_nodes(options, source)
    return Parts(storage=storage, filler=filler, nodes=nodes, calendars=calendars, manners=manners)


def _check_bringer(bringer: object) -> None:
    if bringer is not None and not isinstance(bringer, AutoBackfiller | DataFetcher):
        allowed = "an object with `async def fetch(start, end, *, node_id, interval)`"
        raise ConfigError([Problem("fetcher", bringer, allowed)])


def _asking(bringer: AutoBackfiller | DataFetcher) -> Fetch:
    ask = bringer.backfill if isinstance(bringer, AutoBackfiller) else bringer.fetch

    async def fetch(series: Series, window: Window) -> pd.DataFrame:
        return await ask(window.start, window.end, node_id=series.node, interval=series.interval)

    return fetch
