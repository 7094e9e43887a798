"""Reads the package's schema files."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

Schema = dict[str, Any] | list[Any]
"""An Avro schema as parsed JSON; a list is a union."""

NAMES = (
    "BackfillRequest",
    "BackfillStatus",
    "BarChunk",
    "ConformanceReport",
    "Receipt",
    "VisibleMark",
    "Watermark",
)
"""Every record that has a schema file."""


@cache
def _text(name: str) -> str:
    if name not in NAMES:
        raise ValueError(f"schema must be one of {', '.join(NAMES)}, was {name!r}")
    return files("avro_schemas").joinpath(f"{name}.avsc").read_text(encoding="utf-8")


def load(name: str) -> dict[str, Any]:
    """Return the schema of the record `name`, a fresh copy on every call.

    Raises:
        ValueError: No record of that name has a schema.
    """
    schema: dict[str, Any] = json.loads(_text(name))
    return schema


def history_schema() -> list[Any]:
    """Return the union that the history topic carries: chunks, and their writers' watermarks."""
    return [load("BarChunk"), load("Watermark")]
