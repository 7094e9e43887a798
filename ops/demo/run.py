"""The run of the demonstration, from an empty folder to its last line."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

import topics
from bars.errors import InvalidValueError, SeamlessError
from bars.window import subtract
from ops.demo.data import WINDOW, MissingDemoDataError, Stock, write_config, write_stocks
from ops.demo.road import Journey, Outcome, Road
from ops.stack import LocalStack, Ports
from runtime import Settings, SystemClock, format_time


class DemoFailedError(SeamlessError):
    """The demonstration did not show what it promises.

    Attributes:
        reasons: Each thing that is wrong.
    """

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("the demo failed:\n" + "\n".join(f"  {r}" for r in self.reasons[:20]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run it."""

    state: Path | None = None
    """An empty or new folder for everything of it; None: a temporary one."""

    out: Path = Path("demo.html")
    """The page."""

    keep: bool = False
    """Leave the stack running, and say how to use and stop it."""


class Demo:
    """One demonstration."""

    def __init__(self, options: Options, console: Console, progress: Console) -> None:
        """Make one.

        Args:
            options: How to run it.
            console: Where its results go.
            progress: Where everything on the way goes.
        """
        self._options = options
        self._console = console
        self._progress = progress
        self._clock = SystemClock()

    def run(self) -> None:
        """Run it; afterwards nothing of it runs any more, unless it is to be kept.

        Raises:
            DemoFailedError: A bar differs, something was fetched twice, or a request failed.
            SeamlessError: The stack does not start, or something of it broke.
        """
        check_page(self._options.out)
        began_s = self._clock.monotonic()
        with self._folder() as state:
            stocks = write_stocks(state / "prices")
            ports = Ports.free()
            config = state / "seamless.yaml"
            settings = write_config(config, ports.addresses().environ())
            stack = LocalStack(state, ports=ports, console=self._progress)
            try:
                stack.up(config)
                self._tell(f"up after {self._clock.monotonic() - began_s:.1f} s")
                self._show(asyncio.run(_all_of(settings, stocks, self._progress)), stocks)
            finally:
                if not self._options.keep:
                    stack.down()
            seconds = self._clock.monotonic() - began_s
            self._tell(f"{seconds:.0f} s in all; the page: {self._options.out.absolute()}")
            if self._options.keep:
                self._tell_how_to_go_on(state, config)

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        given = self._options.state
        if given is not None and given.exists() and any(given.iterdir()):
            raise InvalidValueError("--state", str(given), "a folder that is empty or not there")
        state = given or Path(tempfile.mkdtemp(prefix="seamless-demo-"))
        state.mkdir(parents=True, exist_ok=True)
        try:
            yield state.absolute()
        finally:
            if given is None and not self._options.keep:
                shutil.rmtree(state, ignore_errors=True)

    def _show(self, outcome: Outcome, stocks: Sequence[Stock]) -> None:
        """Print the table, write the page, and complain if anything is not as promised."""
        rows = _rows(outcome, stocks)
        table = Table(*rows[0], box=None, pad_edge=False)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in rows[1:]:
            table.add_row(*row)
        self._console.print(table)
        lines = _lines(outcome, stocks)
        for line in lines:
            self._tell(line)
        _write_page(self._options.out, outcome, stocks, lines, rows)
        if outcome.wrong:
            raise DemoFailedError(outcome.wrong)

    def _tell_how_to_go_on(self, state: Path, config: Path) -> None:
        node = Stock.node_of("AAPL")
        self._tell("it keeps running; use it and stop it with")
        self._tell(
            f"  seamless fetch {node} --interval 1d --start 2012-01-01 --end 2013-01-01 "
            f"--config {config}"
        )
        self._tell(f"  seamless status --state {state}")
        self._tell(f"  seamless down --state {state}")

    def _tell(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def check_page(out: Path) -> None:
    """Go on if the page can be written there.

    Raises:
        InvalidValueError: It cannot.
    """
    if out.suffix != ".html" or not out.absolute().parent.is_dir():
        raise InvalidValueError("--out", str(out), "a file ending in .html in a folder that exists")


async def _all_of(settings: Settings, stocks: Sequence[Stock], console: Console) -> Outcome:
    different = await topics.check(settings)
    if different:
        raise DemoFailedError([str(d) for d in different])
    return await Road(settings, stocks, console).walk()


def _rows(outcome: Outcome, stocks: Sequence[Stock]) -> list[tuple[str, ...]]:
    """Return the table: a column a series, what is told of it in the first one."""
    columns = [_column(outcome.journeys[stock.series]) for stock in stocks]
    names = ("", *(stock.symbol for stock in stocks))
    return [names, *((name, *(column[name] for column in columns)) for name in columns[0])]


def _column(journey: Journey) -> dict[str, str]:
    status = journey.status
    flags = ", ".join(f"{n} {severity}" for severity, n in sorted(journey.flags.items()))
    return {
        "asked from": format_time(WINDOW.start),
        "there is from": format_time(status.start),
        "to before": format_time(status.end),
        "session bars": f"{status.session_bars:,}",
        "windows": str(status.windows_total),
        "bars fetched": f"{status.bars_fetched:,}",
        "flags": flags or "none",
        "bars stored": f"{journey.stored_bars:,}",
        "bars answered": f"{len(journey.answer):,}",
        "bars that differ": str(len(journey.differences)),
        "requested and stored in": f"{journey.request_s:.1f} s",
        "read in": f"{journey.fetch_s:.2f} s",
    }


def _lines(outcome: Outcome, stocks: Sequence[Stock]) -> list[str]:
    values = sum(5 * len(stock.bars) for stock in stocks)
    verdict = f"{outcome.differing} bars differ" if outcome.differing else "all are the same"
    again = outcome.chunks_after - outcome.chunks_before
    return [
        f"{values:,} values compared with the source, bit for bit: {verdict}",
        f"asked again for all of it: {outcome.windows_again} windows fetched, {again} new chunks",
    ]


def _write_page(
    out: Path,
    outcome: Outcome,
    stocks: Sequence[Stock],
    lines: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> None:
    try:
        from ops.demo.page import Panel, write_page  # noqa: PLC0415  the extra [demo]
    except ImportError as error:
        raise MissingDemoDataError(error.name or "bokeh") from None
    panels = []
    for stock in stocks:
        journey = outcome.journeys[stock.series]
        unlisted = subtract((WINDOW,), (journey.listed,))
        panels.append(Panel(stock, journey.answer, journey.windows, unlisted))
    title = "Seamless: four stocks, from their source to a strategy, compared bar by bar"
    write_page(out, panels, (title, *lines), rows)
