"""A person's own fetcher: finding it, calling it, and what is said when it goes wrong."""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bars.frame import BarFrame
from bars.series import Series
from bars.window import Window
from runtime.errors import ConfigError, DeadlineExceededError
from runtime.settings import SourceSettings
from sources import (
    RateLimitedError,
    Source,
    SourceError,
    SourceUnavailableError,
    bars_of,
    open_source,
)

SERIES = Series("x", 60)
NOTHING: Mapping[str, object] = MappingProxyType({})

MODULE = """
import pandas as pd
import seamless_test_neighbour

class Fetcher:
    def __init__(self, price=1.0):
        self.price = price

    async def fetch(self, start, end, *, node_id, interval):
        prices = dict.fromkeys(seamless_test_neighbour.NAMES, self.price)
        return pd.DataFrame({"ts": [start], **prices})

class NotAsync(Fetcher):
    def fetch(self, start, end, *, node_id, interval):
        return None

class WrongShape:
    async def fetch(self, start, end):
        return None

class Picky(Fetcher):
    def __init__(self):
        raise RuntimeError("no licence")

class Space:
    inner = Fetcher(9.0)

def factory(**options):
    return Fetcher(**options)

def useless():
    return 5

ready = Fetcher(3.0)
number = 5
"""


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """A configuration's folder with a module of fetchers, forgotten again afterwards."""
    path = list(sys.path)
    (tmp_path / "seamless_test_fetchers.py").write_text(MODULE)
    (tmp_path / "seamless_test_broken.py").write_text("1 / 0\n")
    names = "NAMES = ['open', 'high', 'low', 'close', 'volume']\n"
    (tmp_path / "seamless_test_neighbour.py").write_text(names)
    yield tmp_path
    sys.path[:] = path
    for name in [n for n in sys.modules if n.startswith("seamless_test_")]:
        del sys.modules[name]


def opened(
    base: Path, attribute: str, options: Mapping[str, object] = NOTHING, **more: Any
) -> Source:
    fetcher = attribute if ":" in attribute else f"seamless_test_fetchers:{attribute}"
    settings = SourceSettings(
        name="own", kind="python", fetcher=fetcher, options=dict(options), **more
    )
    return open_source(settings, {}, base=base)


def close_of(source: Source) -> float:
    bars = asyncio.run(source.bars(SERIES, Window(60, 120)))
    assert bars.ts.tolist() == [60]
    return float(bars.close[0])


@pytest.mark.parametrize(
    ("attribute", "options", "close"),
    [
        ("Fetcher", {}, 1.0),
        ("Fetcher", {"price": 2.0}, 2.0),
        ("factory", {"price": 4.0}, 4.0),
        ("ready", {}, 3.0),
        ("Space.inner", {}, 9.0),
    ],
)
def test_a_class_a_factory_or_an_instance_will_do(
    base: Path, attribute: str, options: dict[str, object], close: float
) -> None:
    assert close_of(opened(base, attribute, options)) == close


@pytest.mark.parametrize(
    ("attribute", "options", "told"),
    [
        ("seamless_test_none:Fetcher", {}, "whose import failed with ModuleNotFoundError"),
        ("seamless_test_broken:Fetcher", {}, "whose import failed with ZeroDivisionError"),
        ("Fetchr", {}, "seamless_test_fetchers.py does not have"),
        ("number", {}, "must be a fetcher, a class of them or a function, was .*a int"),
        ("useless", {}, "a int without fetch"),
        ("WrongShape", {}, "whose fetch refuses that"),
        ("Picky", {}, "which raised RuntimeError: no licence"),
        ("Fetcher", {"prize": 2.0}, "must be callable with the options .prize., was .*TypeError"),
        ("ready", {"price": 2.0}, r"sources\.own\.options: must be left out"),
    ],
)
def test_what_is_no_fetcher_is_named(
    base: Path, attribute: str, options: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        opened(base, attribute, options)
    assert caught.value.key.startswith("sources.own.")


def test_the_folder_of_the_configuration_cannot_shadow_installed_modules(base: Path) -> None:
    (base / "json.py").write_text("raise RuntimeError('shadowed')\n")
    with pytest.raises(ConfigError, match="does not have"):
        opened(base, "json:Fetcher")
    assert sys.path[-1] == str(base)


def test_no_rows_of_a_fetcher_prove_nothing_unless_said_so(base: Path) -> None:
    assert opened(base, "ready").empty_confirmed is False
    assert opened(base, "ready", empty_confirmed=True).empty_confirmed is True


def test_a_fetcher_does_not_say_what_is_listed(base: Path) -> None:
    assert asyncio.run(opened(base, "ready").listed(SERIES)) is None


class Answering:
    """Returns or raises what it was given, whatever it is asked."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    async def fetch(self, *_window: int, **_series: object) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Returns a function: the bars of a source whose fetcher answers that."""

    def asked(answer: object) -> BarFrame:
        monkeypatch.setattr(sys.modules[__name__], "given", Answering(answer), raising=False)
        monkeypatch.setitem(sys.modules, "seamless_test_given", sys.modules[__name__])
        monkeypatch.setattr(sys, "path", list(sys.path))
        source = opened(tmp_path, "seamless_test_given:given")
        return asyncio.run(source.bars(SERIES, Window(0, 60)))

    return asked


@pytest.mark.parametrize("answer", [None, [], {"ts": [1]}, np.zeros(3)], ids=repr)
def test_only_a_frame_is_an_answer(ask: Any, answer: object) -> None:
    with pytest.raises(SourceError, match="fetch must return a DataFrame") as caught:
        ask(answer)
    assert caught.value.retriable is False


def test_a_fetch_that_is_not_async_is_told(base: Path) -> None:
    with pytest.raises(SourceError, match="fetch must be async"):
        asyncio.run(opened(base, "NotAsync").bars(SERIES, Window(0, 60)))


class FinalError(Exception):
    retriable = False


class SlowDownError(Exception):
    retry_after_s = 7


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError("connection reset"), SourceUnavailableError),
        (KeyError("AAPL"), SourceUnavailableError),
        (FinalError("no such symbol"), SourceError),
        (DeadlineExceededError("upstream", 5, 6), SourceError),
        (SlowDownError("429"), RateLimitedError),
        (RateLimitedError("theirs", 3), RateLimitedError),
        (SourceError("theirs", "gone"), SourceError),
    ],
    ids=repr,
)
def test_an_error_of_a_fetcher_can_be_tried_again_unless_it_says_otherwise(
    ask: Any, error: Exception, kind: type[SourceError]
) -> None:
    with pytest.raises(SourceError) as caught:
        ask(error)
    assert type(caught.value) is kind
    assert caught.value.retriable is (kind is not SourceError)


def test_a_rate_limit_says_when_to_come_back(ask: Any) -> None:
    with pytest.raises(RateLimitedError, match="after 7 s") as caught:
        ask(SlowDownError("429"))
    assert caught.value.retry_after_s == 7.0


def test_a_cancelled_fetch_is_cancelled(ask: Any) -> None:
    with pytest.raises(asyncio.CancelledError):
        ask(asyncio.CancelledError())


def frame(**changes: object) -> pd.DataFrame:
    columns: dict[str, Any] = {"volume": [5, 6], "ts": [60, 0], "open": [1.5, 2.5]}
    columns |= {"high": [3, 3], "low": np.array([1, 1], np.float32), "close": [2.0, np.nan]}
    return pd.DataFrame(columns | changes)


def test_a_frame_becomes_bars_exactly_in_its_own_order() -> None:
    bars = bars_of(frame(extra=["a", "b"]), "own")
    assert bars.ts.tolist() == [60, 0]
    assert [column.tolist()[0] for column in bars.prices] == [1.5, 3.0, 1.0, 2.0, 5.0]
    assert np.isnan(bars.close[1])


def test_a_frame_without_rows_is_no_bars() -> None:
    assert len(bars_of(pd.DataFrame(), "own")) == 0
    assert len(bars_of(frame().iloc[:0], "own")) == 0


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (frame().drop(columns="close"), "must have column close once"),
        (pd.concat([frame(), frame()], axis=1), "must have column ts once, has volume, ts"),
        (frame().set_index("ts"), "must have column ts once"),
        (frame(ts=[0.0, 60.0]), "ts must be whole numbers of epoch seconds, was float64"),
        (frame(ts=pd.to_datetime([0, 60], unit="s")), "ts must be whole numbers"),
        (frame(close=["1.0", "2.0"]), "close must be numbers, was"),
        (frame(close=[True, False]), "close must be numbers, was bool"),
        (frame(ts=pd.array([1, None], "Int64")), "ts must be whole numbers"),
        (frame(volume=[2**53 + 1, 1]), "volume must be numbers of at most 9007199254740992"),
        (frame(ts=np.array([2**63, 0], np.uint64)), "ts must be numbers of at most"),
    ],
)
def test_a_frame_that_would_have_to_be_guessed_is_refused(bad: pd.DataFrame, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        bars_of(bad, "own")


def test_a_source_that_a_provider_brings_is_opened_by_nobody_else() -> None:
    with pytest.raises(ConfigError, match="whoever makes a provider brings the fetcher"):
        open_source(SourceSettings(name="own", kind="provider"), {}, base=Path())
