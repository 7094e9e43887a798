"""Sources of CSV and Parquet files, as tests of them need them."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bars.window import Window
from runtime.settings import Settings
from sources import Source, SourceError, open_source

DAY = 86_400
MARCH_1 = 951_868_800  # 2000-03-01
ALL = Window(0, 4_000_000_000)
HEADER = "ts,open,high,low,close,volume\n"


def settings_of(base: Path, source: Mapping[str, object], **symbols: str) -> Settings:
    """Settings of one source `s` with a daily node for each symbol; `x: X` if none is named."""
    nodes = {
        node: {"interval": "1d", "sources": ["s"], "calendar": "24/7", "symbol": symbol}
        for node, symbol in (symbols or {"x": "X"}).items()
    }
    return Settings.from_mapping({"sources": {"s": source}, "nodes": nodes}, base)


def opened(base: Path, source: Mapping[str, object], **symbols: str) -> Source:
    settings = settings_of(base, source, **symbols)
    return open_source(settings.sources["s"], settings.nodes, base=base)


def csv_source(base: Path, text: str, **options: object) -> Source:
    (base / "bars.csv").write_text(text)
    return opened(base, {"kind": "csv", "path": "bars.csv", **options})


def parquet_source(base: Path, columns: Mapping[str, Any], **options: object) -> Source:
    prices = {name: [1.0] * len(columns["ts"]) for name in ("open", "high", "low", "close")}
    pq.write_table(pa.table({**prices, "volume": prices["open"], **columns}), base / "x.parquet")
    return opened(base, {"kind": "parquet", "path": "x.parquet", **options})


def read(source: Source, window: Window = ALL, node: str = "x") -> pd.DataFrame:
    return asyncio.run(source.fetcher.fetch(window.start, window.end, node_id=node, interval=DAY))


def times(source: Source) -> list[int]:
    return [int(ts) for ts in read(source)["ts"]]


def refused(source: Source, window: Window = ALL, node: str = "x") -> SourceError:
    with pytest.raises(SourceError) as caught:
        read(source, window, node)
    assert caught.value.retriable is False
    return caught.value


def rows(*times: object) -> str:
    return HEADER + "".join(f"{ts},1,2,0.5,1.5,10\n" for ts in times)
