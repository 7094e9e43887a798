"""Metrics: what there is, what labels may be, and how they are read."""

import httpx
from prometheus_client import CollectorRegistry

from runtime.metrics import LABEL_SETS_MAX, Metrics


def test_the_catalogue_has_the_names_that_dashboards_use() -> None:
    assert {family.name for family in Metrics().registry.collect()} == {
        "seamless_bars_stored",
        "seamless_chunks_judged",
        "seamless_conformance_flags",
        "seamless_dead_letters",
        "seamless_flush_seconds",
        "seamless_retries",
        "seamless_revisions",
        "seamless_source_seconds",
        "seamless_store_suspended",
        "seamless_windows",
    }


def test_counts_levels_and_spreads_are_told() -> None:
    metrics = Metrics()
    metrics.chunks_judged.add(verdict="passed")
    metrics.conformance_flags.add(3, check="time.gaps", severity="info")
    metrics.store_suspended.set(1)
    metrics.source_seconds.observe(0.2, source="daily")

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    assert value("seamless_chunks_judged_total", verdict="passed") == 1
    assert value("seamless_conformance_flags_total", check="time.gaps", severity="info") == 3
    assert value("seamless_store_suspended") == 1
    assert value("seamless_source_seconds_bucket", source="daily", le="0.1") == 0
    assert value("seamless_source_seconds_bucket", source="daily", le="0.3") == 1


def test_two_sets_of_metrics_do_not_meet() -> None:
    one, other = Metrics(), Metrics()
    one.bars_stored.add(5)
    assert other.registry.get_sample_value("seamless_bars_stored_total") == 0


def test_metrics_are_told_in_the_registry_that_is_given() -> None:
    registry = CollectorRegistry()
    Metrics(registry).bars_stored.add(5)
    assert registry.get_sample_value("seamless_bars_stored_total") == 5


def test_labels_are_bounded_and_nothing_is_lost() -> None:
    """A feed of garbage with ever new error classes must not eat the memory."""
    metrics = Metrics()
    for i in range(LABEL_SETS_MAX + 7):
        metrics.dead_letters.add(error_class=f"e{i}")
    metrics.dead_letters.add(error_class="e0")

    def value(error_class: str) -> float | None:
        return metrics.registry.get_sample_value(
            "seamless_dead_letters_total", {"error_class": error_class}
        )

    assert (value("e0"), value("other")) == (2, 7)


def test_metrics_are_served_on_this_machine_until_closed() -> None:
    metrics = Metrics()
    metrics.bars_stored.add(12)
    served = metrics.serve(0)
    try:
        answer = httpx.get(f"http://127.0.0.1:{served.port}/metrics", timeout=10)
        assert "seamless_bars_stored_total 12.0" in answer.text
    finally:
        served.close()
