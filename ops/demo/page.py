"""The page that the demonstration leaves behind: prices, and which windows brought them.

Imports Bokeh, which only the extra [demo] installs: import this module where it is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from bokeh.embed import file_html
from bokeh.layouts import column, gridplot
from bokeh.models import ColumnDataSource, FactorRange, HoverTool, Range1d
from bokeh.models.widgets.markups import Div
from bokeh.plotting import figure
from bokeh.resources import INLINE

from bars.frame import COLUMNS
from bars.window import Window
from ops.demo.data import WINDOW, Stock
from runtime import format_time

_COLOURS = {"AAPL": "#0f766e", "GOOG": "#b45309", "IBM": "#1d4ed8", "MSFT": "#9d174d"}
_UNLISTED = "#d4d4d8"
_CELL = "padding:.25em .9em .25em 0;text-align:{};border-bottom:1px solid #e4e4e7"


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """What the page shows of one series."""

    stock: Stock
    answer: pd.DataFrame
    windows: tuple[Window, ...]
    """What was fetched, one chunk each."""

    unlisted: tuple[Window, ...]


def write_page(
    path: Path, panels: Sequence[Panel], heading: Sequence[str], table: Sequence[Sequence[str]]
) -> None:
    """Write one HTML file that needs nothing else.

    Args:
        path: Where to.
        panels: One a series.
        heading: Title, then lines of plain text.
        table: Rows of text, the first with the names of the columns.
    """
    title, *lines = (escape(line) for line in heading)
    words = "".join(f"<p style='margin:.2em 0'>{line}</p>" for line in lines)
    head = Div(
        text=f"<h1 style='margin:0 0 .3em;font-size:26px'>{title}</h1>{words}{_table(table)}",
        styles={"font": "14px/1.5 system-ui, sans-serif", "color": "#18181b"},
        sizing_mode="stretch_width",
    )
    charts = [_prices(panel) for panel in panels]
    for chart in charts[1:]:
        chart.x_range = charts[0].x_range
    strip = _strip(panels)
    strip.x_range = charts[0].x_range
    grid = gridplot(charts, ncols=2, toolbar_location="right", sizing_mode="stretch_width")
    page = column(head, strip, grid, sizing_mode="stretch_width", margin=(16, 24, 24, 24))
    path.write_text(file_html(page, INLINE, heading[0]), encoding="utf-8")


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = []
    for number, row in enumerate(rows):
        tag = "td" if number else "th"
        cells = (
            f"<{tag} style='{_CELL.format('left' if i == 0 else 'right')}'>{escape(text)}</{tag}>"
            for i, text in enumerate(row)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table style='border-collapse:collapse;margin:1em 0'>{''.join(lines)}</table>"


def _prices(panel: Panel) -> Any:
    answer = panel.answer
    dates = answer["ts"].to_numpy().astype("datetime64[s]").astype("datetime64[ms]")
    source = ColumnDataSource({**{name: answer[name] for name in COLUMNS}, "date": dates})
    colour = _COLOURS[panel.stock.symbol]
    chart = figure(
        height=260,
        x_axis_type="datetime",
        x_range=Range1d(start=WINDOW.start * 1_000, end=WINDOW.end * 1_000),
        title=f"{panel.stock.symbol}: {len(answer):,} daily bars, close in USD (not adjusted)",
        tools="xpan,xwheel_zoom,box_zoom,reset",
        sizing_mode="stretch_width",
    )
    chart.varea("date", "low", "high", source=source, fill_color=colour, fill_alpha=0.3)
    line = chart.line("date", "close", source=source, line_color=colour, line_width=1.2)
    tips = [("date", "@date{%F}")]
    tips += [(name, f"@{name}{{0,0.00}}") for name in ("open", "high", "low", "close")]
    tips += [("volume", "@volume{0,0}")]
    chart.add_tools(
        HoverTool(renderers=[line], tooltips=tips, formatters={"@date": "datetime"}, mode="vline")
    )
    return chart


def _strip(panels: Sequence[Panel]) -> Any:
    """Return the coverage strip: a block for each fetched window, grey where nothing is listed."""
    symbols = [panel.stock.symbol for panel in panels]
    chart = figure(
        height=60 + 30 * len(panels),
        x_axis_type="datetime",
        y_range=FactorRange(factors=symbols[::-1]),
        title="Coverage: one block for each window that was fetched, grey: not listed",
        tools="",
        sizing_mode="stretch_width",
    )
    blocks = [
        (panel.stock.symbol, window, colour, what)
        for panel in panels
        for windows, colour, what in (
            (panel.unlisted, _UNLISTED, "not listed"),
            (panel.windows, _COLOURS[panel.stock.symbol], "fetched once, in the ledger"),
        )
        for window in windows
    ]
    source = ColumnDataSource(
        {
            "symbol": [symbol for symbol, *_ in blocks],
            "left": [window.start * 1_000 for _, window, *_ in blocks],
            "right": [window.end * 1_000 for _, window, *_ in blocks],
            "colour": [colour for *_, colour, _ in blocks],
            "what": [what for *_, what in blocks],
            "start": [format_time(window.start) for _, window, *_ in blocks],
            "end": [format_time(window.end) for _, window, *_ in blocks],
        }
    )
    chart.hbar(
        y="symbol",
        left="left",
        right="right",
        height=0.62,
        source=source,
        fill_color="colour",
        line_color="white",
        line_width=1.5,
    )
    tips = [("series", "@symbol"), ("window", "@start to before @end"), ("", "@what")]
    chart.add_tools(HoverTool(tooltips=tips))
    chart.ygrid.grid_line_color = None
    chart.outline_line_color = None
    return chart
