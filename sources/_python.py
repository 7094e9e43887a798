"""Bars from a person's own code: finding a `DataFetcher` by name, and calling it safely.

`module:attribute` is looked for on Python's ordinary path and then in the folder of the
configuration file, which is put at the *end* of `sys.path` and stays there: nothing in that
folder can take the place of an installed module, and the fetcher can import its neighbours.
"""

import importlib
import inspect
import sys
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any, cast

import pandas as pd

from bars.protocols import DataFetcher
from runtime.errors import ConfigError, Problem
from runtime.settings import SourceSettings
from sources.errors import RateLimitedError, SourceError, SourceUnavailableError


def load_fetcher(source: SourceSettings, base: Path) -> DataFetcher:
    """Return the fetcher that a configuration names.

    The attribute may be a fetcher, a class of them, or a function that returns one; the last two
    are called with the options as keyword arguments.

    Raises:
        ConfigError: There is no such thing, or it is no fetcher.
    """
    path = f"sources.{source.name}.fetcher"
    name = source.fetcher or ""
    module_name, _, attribute = name.partition(":")
    _reach(base)
    try:
        module = importlib.import_module(module_name)
    except Exception as e:
        found = f"{name}, whose import failed with {type(e).__name__}: {e}"
        raise ConfigError([Problem(path, found, "a module that can be imported")]) from e
    try:
        target = reduce(getattr, attribute.split("."), cast("Any", module))
    except AttributeError:
        where = getattr(module, "__file__", None) or "a built-in module"
        found = f"{name}, which {where} does not have"
        raise ConfigError([Problem(path, found, "module:attribute")]) from None
    fetcher = _made(target, source.options, path, name)
    _check_shape(fetcher, path, name)
    return cast("DataFetcher", fetcher)


def _reach(base: Path) -> None:
    folder = str(base.resolve())
    if folder not in sys.path:
        sys.path.append(folder)


def _made(target: Any, options: Mapping[str, object], path: str, name: str) -> object:
    if not isinstance(target, type) and hasattr(target, "fetch"):
        if options:
            allowed = f"left out: {name} is a fetcher already, nothing is called"
            raise ConfigError(
                [Problem(path.replace(".fetcher", ".options"), sorted(options), allowed)]
            )
        return target
    if not callable(target):
        found = f"{name}, a {type(target).__name__}"
        raise ConfigError([Problem(path, found, "a fetcher, a class of them or a function")])
    try:
        return target(**options)
    except Exception as e:
        found = f"{name}, which raised {type(e).__name__}: {e}"
        allowed = f"callable with the options ({', '.join(options) or 'none'})"
        raise ConfigError([Problem(path, found, allowed)]) from e


def _check_shape(fetcher: object, path: str, name: str) -> None:
    fetch = getattr(fetcher, "fetch", None)
    allowed = "a fetcher: async fetch(start, end, *, node_id, interval)"
    found = f"{name}, a {type(fetcher).__name__}"
    if not callable(fetch):
        raise ConfigError([Problem(path, f"{found} without fetch", allowed)])
    try:
        inspect.signature(fetch).bind(0, 1, node_id="", interval=1)
    except TypeError as e:
        raise ConfigError(
            [Problem(path, f"{found} whose fetch refuses that: {e}", allowed)]
        ) from None
    except ValueError:
        return  # no signature to look at


class GuardedFetcher:
    """Calls a person's fetcher, and says in our errors what went wrong; a `DataFetcher`."""

    def __init__(self, source: str, inner: DataFetcher) -> None:
        self._source = source
        self._inner = inner

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return what the fetcher returns.

        Raises:
            RateLimitedError: It wants to be asked later (an error with `retry_after_s`).
            SourceUnavailableError: It raised, and its error does not say `retriable = False`.
            SourceError: It did, or returned no frame.
        """
        try:
            answer = self._inner.fetch(start, end, node_id=node_id, interval=interval)
            if not inspect.isawaitable(answer):
                raise SourceError(
                    self._source, f"fetch must be async, it returned a {type(answer).__name__}"
                )
            frame = await answer
        except SourceError:
            raise
        except Exception as e:
            raise self._told(e) from e
        if not isinstance(frame, pd.DataFrame):
            raise SourceError(
                self._source, f"fetch must return a DataFrame, it was a {type(frame).__name__}"
            )
        return frame

    def _told(self, error: Exception) -> SourceError:
        retry_after_s = getattr(error, "retry_after_s", None)
        if isinstance(retry_after_s, int | float) and not isinstance(retry_after_s, bool):
            return RateLimitedError(self._source, max(0.0, float(retry_after_s)))
        final = getattr(error, "retriable", True) is False
        kind = SourceError if final else SourceUnavailableError
        return kind(self._source, f"fetch raised {type(error).__name__}: {error}")
