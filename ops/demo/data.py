"""What the demonstration brings: daily bars of four stocks, as files, and a configuration."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from bars.errors import SeamlessError
from bars.frame import PRICE_COLUMNS, BarFrame
from bars.series import Series
from bars.window import Window
from runtime import parse_time
from runtime.settings import Settings

DAY = 86_400
SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")
WINDOW = Window(parse_time("2000-03-01"), parse_time("2013-03-02"))
LISTED = {"GOOG": "2004-08-19"}
"""Nothing there before; the others had been listed long before the window begins."""


class MissingDemoDataError(SeamlessError):
    """The packages of the extra [demo] are not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"the demo needs {package}: pip install 'qmtl-seamless[streams,local,demo]'"
        )
        self.package = package


@dataclass(frozen=True, slots=True, eq=False)
class Stock:
    """One series of the demonstration, as its source has it."""

    symbol: str
    bars: BarFrame

    @staticmethod
    def node_of(symbol: str) -> str:
        """Return what a symbol's series is called."""
        return f"ohlcv:us:{symbol}:1d"

    @property
    def series(self) -> Series:
        """Node and bar length."""
        return Series(self.node_of(self.symbol), DAY)


def write_stocks(folder: Path) -> tuple[Stock, ...]:
    """Write one CSV file a symbol, as a data vendor would, and return the bars in them.

    Raises:
        MissingDemoDataError: The data are not installed.
    """
    try:
        from bokeh_sampledata import stocks  # noqa: PLC0415  the extra [demo]
    except ImportError as error:
        raise MissingDemoDataError(error.name or "bokeh-sampledata") from None
    folder.mkdir(parents=True)
    found = []
    for symbol in SYMBOLS:
        table = pd.DataFrame(getattr(stocks, symbol))[["date", *PRICE_COLUMNS]]
        table.to_csv(folder / f"{symbol}.csv", index=False)
        days = pd.to_datetime(table["date"]).to_numpy().astype("datetime64[s]").astype(np.int64)
        prices = (table[name].to_numpy().astype(np.float64) for name in PRICE_COLUMNS)
        found.append(Stock(symbol, BarFrame(days, *prices)))
    return tuple(found)


def write_config(path: Path, environ: dict[str, str]) -> Settings:
    """Write the configuration of the demonstration and return what it says.

    Args:
        path: Where to; prices are beside it.
        environ: Addresses of the servers, as environment variables.
    """
    nodes = {
        Stock.node_of(symbol): {
            "interval": "1d",
            "sources": ["daily"],
            "calendar": "XNYS",
            "symbol": symbol,
            **({"listed": {"start": LISTED[symbol]}} if symbol in LISTED else {}),
        }
        for symbol in SYMBOLS
    }
    mapping = {
        "kafka": {"bootstrap": environ["SEAMLESS_KAFKA_BOOTSTRAP"]},
        "registry": {"url": environ["SEAMLESS_REGISTRY_URL"]},
        "store": {"dsn": environ["SEAMLESS_STORE_DSN"]},
        "state_dir": ".",
        "sources": {
            "daily": {"kind": "csv", "path": "prices/{symbol}.csv", "columns": {"ts": "date"}}
        },
        "nodes": nodes,
    }
    path.write_text(yaml.safe_dump(mapping, sort_keys=False), encoding="utf-8")
    return Settings.load(path)
