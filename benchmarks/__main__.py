"""Runs the benchmarks: `python -m benchmarks [materialize|fetch|fetch_million|provider|...]`."""

import asyncio
import dataclasses
import secrets
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from benchmarks import coordinator, fetch, materialize, provider
from ops.stack import LocalStack
from runtime import KafkaSettings, RegistrySettings, Settings, StoreSettings

ALL: dict[str, Callable[[Settings], Awaitable[None]]] = {
    "materialize": materialize.run,
    "fetch": fetch.run,
    "fetch_million": fetch.run_million,
}

ALONE: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
    "coordinator": coordinator.run,
    "provider": provider.run,
}
"""Those that need no servers."""


async def _run(names: list[str], settings: Settings) -> None:
    for name in names:
        prefix = secrets.token_hex(3)
        own = dataclasses.replace(
            settings,
            kafka=dataclasses.replace(settings.kafka, prefix=f"b{prefix}."),
            store=dataclasses.replace(settings.store, table_prefix=f"b{prefix}_"),
        )
        await ALL[name](own)


def main() -> int:
    """Measure on servers of its own, which are gone afterwards."""
    every = [*ALONE, *ALL]
    names = sys.argv[1:] or every
    unknown = [name for name in names if name not in every]
    if unknown:
        print(f"benchmark must be one of {', '.join(every)}, was {unknown[0]!r}", file=sys.stderr)
        return 2
    for name in names:
        if name in ALONE:
            asyncio.run(ALONE[name]())
    names = [name for name in names if name in ALL]
    return _on_servers(names) if names else 0


def _on_servers(names: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="seamless-bench-") as state:
        stack = LocalStack(Path(state), ports="free")
        try:
            stack.up_servers()
            settings = Settings(
                kafka=KafkaSettings(bootstrap=stack.addresses.bootstrap),
                registry=RegistrySettings(url=stack.addresses.registry_url),
                store=StoreSettings(dsn=stack.addresses.dsn),
            )
            asyncio.run(_run(names, settings))
        finally:
            stack.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
