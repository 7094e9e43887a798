"""`QuestDBLoader`: what is stored, and nothing more unless it is asked for."""

from typing import Unpack

from bars.protocols import DataAvailabilityStrategy, DataFetcher
from provider.options import StoreOptions
from provider.questdb import EnhancedQuestDBProvider


class QuestDBLoader(EnhancedQuestDBProvider):
    """A `HistoryProvider` on QuestDB: `fill_missing` fetches, `fetch` reads what is there.

    `fetch` never waits for a fetcher and never raises for missing bars; they are named in
    `frame.attrs["seamless"]`. A call may say otherwise, as with every provider.
    """

    def __init__(
        self, dsn: str, *, fetcher: DataFetcher | None = None, **options: Unpack[StoreOptions]
    ) -> None:
        """Make a loader. Nothing is opened before the first call.

        Args:
            dsn: Such as `questdb://127.0.0.1:9000?pg_port=8812`.
            fetcher: Brings what is missing when `fill_missing` is called; None: nobody does.
            **options: See `StoreOptions`.

        Raises:
            ConfigError: An option is unknown or not what it may be.
            InvalidValueError: The dsn is not one.
        """
        options.setdefault("strategy", DataAvailabilityStrategy.PARTIAL_FILL)
        options.setdefault("enable_background_backfill", False)
        super().__init__(dsn, fetcher=fetcher, **options)
