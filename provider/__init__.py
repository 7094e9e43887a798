"""The library for strategies: ask for bars, get bars that are right.

Lives here: `SeamlessDataProvider` and `EnhancedQuestDBProvider`, the storage that they read, the
requests that they publish, what an answer says about itself, and every error that a strategy may
want to catch. `provider.testing` has what a strategy's own tests need.

Does not live here: what a bar is (`bars`), where bars come from (`sources`, `worker`), how they
get into the store (`streams`), the store and Kafka themselves (`store`, `topics`).
"""

from bars.conformance import ConformancePipeline, ConformancePipelineError
from bars.errors import InvalidValueError, SeamlessError
from bars.protocols import (
    AutoBackfiller,
    DataAvailabilityStrategy,
    DataFetcher,
    DataSource,
    DataSourcePriority,
    EventRecorder,
    HistoryProvider,
    LiveDataFeed,
)
from bars.series import Series
from provider import history_coverage
from provider._answer import report_uri
from provider._jobs import BackfillJob
from provider._sight import Reason
from provider.backfillers import DataFetcherAutoBackfiller, QualityAwareBackfiller
from provider.backfills import BackfillRequests
from provider.cache import BarCache, MemoryCache
from provider.cache_adaptive import (
    AdaptiveCacheSource,
    AdaptiveLimits,
    ObservedUsage,
    UsageAnalytics,
)
from provider.cache_sqlite import SQLiteCache
from provider.errors import (
    BackfillFailedError,
    ClosedError,
    DataUnavailableError,
    ProviderError,
    SeamlessSLAExceeded,
    UnverifiedRowsError,
)
from provider.history_source import HistoryProviderDataSource
from provider.live import LiveReplay, PollingConfig, PollingFeed
from provider.loader import QuestDBLoader
from provider.metrics import ProviderMetrics
from provider.options import (
    CallOptions,
    DirectOptions,
    JudgeOptions,
    ProviderOptions,
    RoadOptions,
    StoreOptions,
)
from provider.questdb import EnhancedQuestDBProvider
from provider.recorder import QuestDBRecorder
from provider.seamless import SeamlessDataProvider
from provider.storage import NewRecord, Storage
from provider.storage_memory import MemoryStorage
from provider.storage_questdb import QuestDBStorage
from provider.storage_sql import PostgresStorage, SQLiteStorage
from provider.stream import EventKind, StreamEvent
from provider.stream_input import StreamInput
from runtime import (
    BackfillConfig,
    BackfillSettings,
    CalendarSettings,
    ConfigError,
    DeadlineExceededError,
    NodeSettings,
    SLAPolicy,
)
from sources import SourceError
from store import StoreError, StoreOwnedError, StoreUnavailableError
from topics import TopicsError

__all__ = [
    "AdaptiveCacheSource",
    "AdaptiveLimits",
    "AutoBackfiller",
    "BackfillConfig",
    "BackfillFailedError",
    "BackfillJob",
    "BackfillRequests",
    "BackfillSettings",
    "BarCache",
    "CalendarSettings",
    "CallOptions",
    "ClosedError",
    "ConfigError",
    "ConformancePipeline",
    "ConformancePipelineError",
    "DataAvailabilityStrategy",
    "DataFetcher",
    "DataFetcherAutoBackfiller",
    "DataSource",
    "DataSourcePriority",
    "DataUnavailableError",
    "DeadlineExceededError",
    "DirectOptions",
    "EnhancedQuestDBProvider",
    "EventKind",
    "EventRecorder",
    "HistoryProvider",
    "HistoryProviderDataSource",
    "InvalidValueError",
    "JudgeOptions",
    "LiveDataFeed",
    "LiveReplay",
    "MemoryCache",
    "MemoryStorage",
    "NewRecord",
    "NodeSettings",
    "ObservedUsage",
    "PollingConfig",
    "PollingFeed",
    "PostgresStorage",
    "ProviderError",
    "ProviderMetrics",
    "ProviderOptions",
    "QualityAwareBackfiller",
    "QuestDBLoader",
    "QuestDBRecorder",
    "QuestDBStorage",
    "Reason",
    "RoadOptions",
    "SLAPolicy",
    "SQLiteCache",
    "SQLiteStorage",
    "SeamlessDataProvider",
    "SeamlessError",
    "SeamlessSLAExceeded",
    "Series",
    "SourceError",
    "Storage",
    "StoreError",
    "StoreOptions",
    "StoreOwnedError",
    "StoreUnavailableError",
    "StreamEvent",
    "StreamInput",
    "TopicsError",
    "UnverifiedRowsError",
    "UsageAnalytics",
    "history_coverage",
    "report_uri",
]
