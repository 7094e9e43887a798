"""The section of the provider: all of it read, everything wrong told by its full path."""

from pathlib import Path
from typing import Any

import pytest

from provider import DataAvailabilityStrategy, EnhancedQuestDBProvider, SLAPolicy
from runtime import BackfillConfig, ConfigError, ConformanceSettings, ProviderSettings, Settings

WHOLE: dict[str, Any] = {
    "strategy": "seamless",
    "enable_background_backfill": False,
    "cache_ttl": 60,
    "backfill_config": {
        "mode": "sync",
        "single_flight_ttl_ms": 1,
        "distributed_lease_ttl_ms": 6_000,
        "window_bars": 90,
        "max_concurrent_requests": 3,
        "max_attempts": 2,
        "retry_backoff_ms": 5,
        "jitter_ratio": 0.5,
    },
    "sla": {"total_deadline_ms": 900, "max_wait_live_ms": 100, "on_violation": "hold"},
    "conformance": {"partial_ok": True},
}


def read(raw: Any, environ: dict[str, str] | None = None) -> ProviderSettings:
    given = {} if raw is None else {"seamless_data_provider": raw}
    return Settings.from_mapping(given, Path(), environ or {}).seamless_data_provider


def test_nothing_said_means_the_defaults_of_the_design() -> None:
    for nothing in (None, {}, {"sla": None, "backfill_config": None}):
        assert read(nothing) == ProviderSettings()
    config = ProviderSettings().backfill_config
    assert (config.mode, config.single_flight_ttl_ms) == ("background", 60_000)
    assert (config.distributed_lease_ttl_ms, config.window_bars) == (120_000, 900)
    assert (config.max_concurrent_requests, config.max_attempts) == (8, 6)
    assert (config.retry_backoff_ms, config.jitter_ratio) == (500, 0.25)
    assert ProviderSettings().cache_ttl == 3_600


def test_all_of_it_is_read() -> None:
    assert read(WHOLE) == ProviderSettings(
        strategy="seamless",
        enable_background_backfill=False,
        cache_ttl=60,
        backfill_config=BackfillConfig(**WHOLE["backfill_config"]),
        sla=SLAPolicy(**WHOLE["sla"]),
        conformance=ConformanceSettings(partial_ok=True),
    )


def test_everything_wrong_is_told_in_one_message_by_its_full_path() -> None:
    raw = {
        "stratgy": "seamless",
        "cache_ttl": -1,
        "backfill_config": {"mode": "later", "window": 5},
        "sla": {"min_coverage": 2, "on_violation": "shrug"},
        "conformance": {"accept_warnings": ["values.order"]},
    }
    with pytest.raises(ConfigError) as refused:
        read(raw)
    assert {p.key for p in refused.value.problems} == {
        "seamless_data_provider.stratgy",
        "seamless_data_provider.cache_ttl",
        "seamless_data_provider.backfill_config.mode",
        "seamless_data_provider.backfill_config.window",
        "seamless_data_provider.sla.min_coverage",
        "seamless_data_provider.sla.on_violation",
        "seamless_data_provider.conformance.accept_warnings.0",
    }
    assert "did you mean strategy?" in str(refused.value)


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ([], "seamless_data_provider"),
        ({"sla": 5}, "seamless_data_provider.sla"),
        ({"backfill_config": "fast"}, "seamless_data_provider.backfill_config"),
        (
            {"sla": {"total_deadline_ms": 1, "max_wait_storage_ms": 2}},
            "seamless_data_provider.sla.max_wait_storage_ms",
        ),
    ],
)
def test_groups_are_mappings_and_fit_together(raw: object, key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(raw)
    assert refused.value.key == key


@pytest.mark.parametrize(
    ("variable", "value", "found"),
    [
        ("STRATEGY", "fail_fast", lambda p: p.strategy == "fail_fast"),
        ("CACHE_TTL", "5.5", lambda p: p.cache_ttl == 5.5),
        ("ENABLE_BACKGROUND_BACKFILL", "false", lambda p: not p.enable_background_backfill),
        ("BACKFILL_CONFIG_WINDOW_BARS", "7", lambda p: p.backfill_config.window_bars == 7),
        ("SLA_MIN_COVERAGE", "0.5", lambda p: p.sla.min_coverage == 0.5),
        ("CONFORMANCE_PARTIAL_OK", "true", lambda p: p.conformance.partial_ok),
    ],
)
def test_the_environment_goes_over_the_file(variable: str, value: str, found: Any) -> None:
    environ = {f"SEAMLESS_DATA_PROVIDER_{variable}": value}
    assert found(read(None, environ))
    assert found(read({"strategy": "seamless", "sla": {"min_coverage": 0.1}}, environ))


def test_a_wrong_variable_is_named_with_its_path() -> None:
    environ = {
        "SEAMLESS_DATA_PROVIDER_SLA_MIN_COVER": "1",
        "SEAMLESS_DATA_PROVIDER_STRATEGY": "soon",
    }
    with pytest.raises(ConfigError) as refused:
        read({}, environ)
    told = str(refused.value)
    assert "sla.min_cover (from SEAMLESS_DATA_PROVIDER_SLA_MIN_COVER): unknown key" in told
    assert "strategy (from SEAMLESS_DATA_PROVIDER_STRATEGY): must be one of" in told


def test_a_share_outside_0_to_1_is_taken_as_the_nearer_of_the_two() -> None:
    for given, taken in ((7, 1), (-0.5, 0), (0.3, 0.3)):
        assert (
            read({"backfill_config": {"jitter_ratio": given}}).backfill_config.jitter_ratio == taken
        )


async def test_a_provider_answers_as_its_configuration_says_and_options_go_over_it() -> None:
    settings = Settings.from_mapping(
        {"seamless_data_provider": WHOLE, "backfill": {"settle_s": 9, "wait_timeout_s": 2}}, Path()
    )
    async with EnhancedQuestDBProvider.from_settings(settings) as provider:
        manners, engine = provider._manners, provider._engine
        assert manners.strategy is DataAvailabilityStrategy.SEAMLESS
        assert manners.sla == SLAPolicy(**WHOLE["sla"])
        assert manners.pipeline.partial_ok
        assert (manners.config.settle_s, manners.config.wait_timeout_s) == (9, 2)
        assert (manners.config.window_bars, engine.config.mode) == (90, "sync")
        assert engine.background is False
    async with EnhancedQuestDBProvider.from_settings(
        settings, strategy="fail_fast", sla=None, partial_ok=False
    ) as other:
        assert other._manners.strategy is DataAvailabilityStrategy.FAIL_FAST
        assert other._manners.sla is None
        assert not other._manners.pipeline.partial_ok
