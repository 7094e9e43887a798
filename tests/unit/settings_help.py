"""Configurations that are read, and what is said where they are refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import ConfigError
from runtime.settings import Settings

BASE = Path("/etc/seamless")
DAILY = {"kind": "csv", "path": "data"}
NODE = {"interval": "1d", "sources": ["daily"], "calendar": "XNYS"}


def read(raw: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Settings:
    """Return what a mapping and an environment say."""
    return Settings.from_mapping(raw, BASE, environ or {})


def refused(raw: Mapping[str, object], environ: Mapping[str, str] | None = None) -> ConfigError:
    """Return why a mapping is refused."""
    with pytest.raises(ConfigError) as caught:
        read(raw, environ)
    return caught.value


def load(tmp_path: Path, text: str) -> Settings:
    """Return what a file says."""
    file = tmp_path / "seamless.yaml"
    file.write_text(text)
    return Settings.load(file)


def load_refused(tmp_path: Path, text: str) -> str:
    """Return why a file is refused."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    return str(caught.value)


def with_node(**changes: object) -> dict[str, Any]:
    """Return a configuration with one node, changed."""
    return {"sources": {"daily": DAILY}, "nodes": {"ohlcv:x": NODE | changes}}
