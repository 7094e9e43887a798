"""Times and settings: what is written is read back, whatever it is."""

from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.backoff import Backoff
from runtime.errors import ConfigError
from runtime.settings import Settings
from runtime.times import format_time, parse_time

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
SECTIONS = st.sampled_from(
    ["kafka", "store", "backfill", "sources", "calendars", "nodes", "ranks", "state_dir", "x"]
)


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_a_time_reads_as_it_was_written(ts: int) -> None:
    assert parse_time(format_time(ts)) == ts


@given(st.floats(0, 10), st.floats(0, 100), st.floats(1, 5), st.integers(1, 5_000))
def test_delays_never_shrink_and_never_pass_the_cap(
    first_s: float, more_s: float, factor: float, retry: int
) -> None:
    backoff = Backoff(first_s, first_s + more_s, factor)
    assert first_s <= backoff.delay_s(retry) <= backoff.delay_s(retry + 1) <= backoff.cap_s


@settings(deadline=None)  # the first one imports the exchange calendars
@given(st.dictionaries(SECTIONS, JSON | st.dictionaries(st.text(max_size=8), JSON)))
def test_any_mapping_is_settings_or_a_list_of_problems(raw: dict[str, object]) -> None:
    """The reader never fails in another way, and names a path for each problem."""
    try:
        Settings.from_mapping(raw, Path("/base"))
    except ConfigError as error:
        assert all(problem.key for problem in error.problems)  # noqa: PT017


@settings(deadline=None)
@given(st.integers(1, 2_000), st.integers(1, 24), st.floats(0, 1))
def test_a_file_and_the_environment_say_the_same(bars: int, partitions: int, ratio: float) -> None:
    raw = {
        "backfill": {"window_bars": bars, "jitter_ratio": ratio},
        "kafka": {"partitions": partitions},
    }
    environ = {
        "SEAMLESS_BACKFILL_WINDOW_BARS": str(bars),
        "SEAMLESS_BACKFILL_JITTER_RATIO": repr(ratio),
        "SEAMLESS_KAFKA_PARTITIONS": str(partitions),
    }
    base = Path("/base")
    from_text = Settings.from_mapping(yaml.safe_load(yaml.safe_dump(raw)), base)
    assert from_text == Settings.from_mapping({}, base, environ)
