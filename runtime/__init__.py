"""What every process needs before it does anything: settings, time, deadlines, logs, metrics.

What lives here: the configuration file and its overrides, clocks and deadlines, delays between
retries, requests over HTTP, the log, the catalogue of metrics and where they are served. What does
not: anything that knows Kafka, QuestDB, a source of bars or an agent. Only a process's entry point
reads the environment; everything here takes it as an argument.
"""

from runtime.backoff import Backoff
from runtime.clock import Clock, SystemClock
from runtime.deadline import Deadline
from runtime.errors import ConfigError, DeadlineExceededError, Problem
from runtime.sections import BY_PROVIDER
from runtime.service import BackfillConfig, ProviderSettings, SLAPolicy, Violation
from runtime.settings import (
    BackfillSettings,
    CalendarSettings,
    ConformanceSettings,
    KafkaSettings,
    MaterializeSettings,
    NodeSettings,
    RegistrySettings,
    Settings,
    SourceSettings,
    StoreSettings,
)
from runtime.times import format_time, parse_time

__all__ = [
    "BY_PROVIDER",
    "BackfillConfig",
    "BackfillSettings",
    "Backoff",
    "CalendarSettings",
    "Clock",
    "ConfigError",
    "ConformanceSettings",
    "Deadline",
    "DeadlineExceededError",
    "KafkaSettings",
    "MaterializeSettings",
    "NodeSettings",
    "Problem",
    "ProviderSettings",
    "RegistrySettings",
    "SLAPolicy",
    "Settings",
    "SourceSettings",
    "StoreSettings",
    "SystemClock",
    "Violation",
    "format_time",
    "parse_time",
]
