"""The demonstration's own judgement, its data and its page; the whole run is on real servers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bars.frame import BarFrame
from bars.window import Window
from ops.cli import app
from ops.demo.compare import differences
from ops.demo.data import SYMBOLS, WINDOW, Stock, write_config, write_stocks
from ops.demo.page import Panel, write_page
from ops.stack import Ports
from sources import open_source
from tests.provider_help import DAY, START, bars_at

BARS = bars_at(np.arange(START, START + 30 * DAY, DAY, dtype=np.int64))


def changed(**columns: Any) -> BarFrame:
    return replace(BARS, **columns)


def test_the_same_bars_do_not_differ() -> None:
    assert differences(BARS, BARS.to_pandas()) == []


def test_a_single_bit_in_a_single_value_is_found() -> None:
    close = BARS.close.copy()
    close[7] = np.nextafter(close[7], np.inf)
    assert differences(BARS, changed(close=close).to_pandas()) == [
        f"{START + 7 * DAY}: values differ"
    ]


def test_missing_strange_and_repeated_bars_are_found() -> None:
    assert differences(BARS, BARS.take(slice(1, None)).to_pandas()) == [
        f"{START}: is not in the answer"
    ]
    assert differences(BARS.take(slice(1, None)), BARS.to_pandas()) == [
        f"{START}: is not in the source"
    ]
    twice = BarFrame.concat([BARS, BARS.take([3])])
    assert differences(BARS, twice.to_pandas()) == [
        "the bars are not in the source's order, each once"
    ]
    assert "columns must be" in differences(BARS, BARS.to_pandas()[["ts"]])[0]


async def test_the_files_hold_what_the_comparison_is_made_with(tmp_path: Path) -> None:
    """The truth is taken from the package, the road from the files: they must be the same."""
    stocks = write_stocks(tmp_path / "prices")
    settings = write_config(tmp_path / "seamless.yaml", Ports().addresses().environ())
    source = open_source(settings.sources["daily"], settings.nodes, base=settings.base)
    assert [stock.symbol for stock in stocks] == list(SYMBOLS)
    assert sum(len(stock.bars) for stock in stocks) == 3 * 3_270 + 2_148
    for stock in stocks:
        assert (await source.bars(stock.series, WINDOW)).equals(stock.bars)


def test_the_page_needs_nothing_from_anywhere(tmp_path: Path) -> None:
    window = Window(START, START + 30 * DAY)
    stock = Stock("IBM", BARS)
    panel = Panel(stock, BARS.to_pandas(), (window,), ())
    out = tmp_path / "demo.html"
    write_page(out, [panel], ("A <title>", "a & line"), [("", "IBM"), ("bars", "30")])
    text = out.read_text()
    assert "A &lt;title&gt;" in text
    assert "IBM: 30 daily bars" in text
    assert "<script src=" not in text
    assert "<link" not in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out", "demo.pdf"), "--out must be a file ending in .html"),
        (("--state", "{full}"), "--state must be a folder that is empty or not there"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(
    tmp_path: Path, words: tuple[str, str], message: str
) -> None:
    (tmp_path / "something").touch()
    option, value = words
    result = CliRunner().invoke(app, ["demo", option, value.format(full=tmp_path)])
    assert result.exit_code == 2
    assert message in result.stderr
    assert not result.stdout
