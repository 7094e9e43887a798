"""One tree of errors: each says whether to ask again, and what about, by named attributes."""

import math
import pickle
from typing import Any

import pytest

import provider
from avro_schemas import WindowFailure
from bars.conformance import ConformancePipeline, Context
from bars.frame import BarFrame
from bars.window import Window
from provider import (
    BackfillFailedError,
    ClosedError,
    ConfigError,
    ConformancePipelineError,
    DataUnavailableError,
    DeadlineExceededError,
    InvalidValueError,
    SeamlessError,
    SeamlessSLAExceeded,
    SourceError,
    StoreError,
    StoreOwnedError,
    StoreUnavailableError,
    TopicsError,
    UnverifiedRowsError,
)
from runtime import Problem
from tests.provider_help import DAY, NODE, SERIES, START, STOCK

LOST = WindowFailure(start=START, end=START + DAY, error_class="source", message="gone")


def test_every_error_that_the_library_names_hangs_on_one_tree() -> None:
    named = [getattr(provider, name) for name in provider.__all__]
    errors = [e for e in named if isinstance(e, type) and issubclass(e, BaseException)]
    assert {SeamlessSLAExceeded, ConformancePipelineError, SourceError} <= set(errors)
    for error in errors:
        assert issubclass(error, SeamlessError)
        assert isinstance(error.retriable, bool)


@pytest.mark.parametrize(
    ("error", "retriable"),
    [
        (DataUnavailableError, True),
        (StoreUnavailableError, True),
        (BackfillFailedError, False),
        (SeamlessSLAExceeded, False),
        (DeadlineExceededError, False),
        (ConformancePipelineError, False),
        (ConfigError, False),
        (InvalidValueError, False),
        (SourceError, False),
        (StoreError, False),
        (StoreOwnedError, False),
        (TopicsError, False),
        (ClosedError, False),
        (UnverifiedRowsError, False),
    ],
)
def test_each_says_whether_the_same_call_may_succeed_later(
    error: type[SeamlessError], retriable: bool
) -> None:
    assert error.retriable is retriable


def test_a_service_level_says_which_phase_of_which_node_took_how_long() -> None:
    late = SeamlessSLAExceeded("storage", NODE, 61.5, 50.0)
    assert (late.phase, late.node_id, late.elapsed_ms, late.budget_ms) == (
        "storage",
        NODE,
        61.5,
        50.0,
    )
    assert str(late) == (
        f"{NODE}: service level exceeded, storage: not done after 62 ms, budget 50 ms"
    )
    assert isinstance(late, DeadlineExceededError), "whoever catches deadlines catches these"
    thin = SeamlessSLAExceeded("coverage", NODE, 1.0, math.inf, "0.5 of 0.9 is covered")
    assert str(thin).endswith("coverage: 0.5 of 0.9 is covered")


def test_missing_bars_are_named_by_first_and_last() -> None:
    gone = DataUnavailableError(SERIES, [(START, START + DAY)], 2, "nobody has them", "r")
    assert gone.missing == ((START, START + DAY),)
    assert gone.request_id == "r"


def test_a_failed_backfill_names_its_request_and_windows() -> None:
    failed = BackfillFailedError("r", SERIES, [LOST], "1 window failed")
    assert failed.request_id == "r"
    assert failed.windows == (Window(START, START + DAY),)


def test_a_refused_setting_names_key_value_and_what_is_allowed() -> None:
    refused = ConfigError([Problem("cache_ttl", -1, "0 or more")])
    assert (refused.key, refused.value, refused.allowed) == ("cache_ttl", -1, "0 or more")


def test_refused_bars_bring_their_report() -> None:
    wrong = BarFrame.empty().to_pandas().drop(columns="close")
    context = Context(series=SERIES, grid=STOCK.grid, window=Window(START, START + DAY))
    with pytest.raises(ConformancePipelineError) as refused:
        ConformancePipeline().check(wrong, context)
    assert refused.value.report.objections


def test_a_failing_source_is_named() -> None:
    assert SourceError("daily", "no such file").source == "daily"


@pytest.mark.parametrize("name", ["history_coverage"])
def test_the_module_of_ranges_is_importable_where_existing_code_looks_for_it(name: str) -> None:
    module: Any = __import__(f"provider.{name}", fromlist=["CoverageRange"])
    assert module.CoverageRange(1, 2).end == 2
    assert module._merge_ranges([(0, 1), (1, 2)]) == [(0, 2)]
    assert provider.history_coverage is module
    assert pickle.loads(pickle.dumps(module.CoverageRange(1, 2))) == module.CoverageRange(1, 2)
