"""Runs the benchmarks: `python -m benchmarks [materialize|fetch|fetch_million|provider ...]`."""

import asyncio
import dataclasses
import secrets
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks import fetch, materialize, provider
from ops.stack import LocalStack
from runtime import KafkaSettings, RegistrySettings, Settings, StoreSettings

ALL: dict[str, Callable[[Settings], Awaitable[None]]] = {
    "materialize": materialize.run,
    "fetch": fetch.run,
    "fetch_million": fetch.run_million,
    "provider": provider.run,
}


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
    names = sys.argv[1:] or list(ALL)
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"benchmark must be one of {', '.join(ALL)}, was {unknown[0]!r}", file=sys.stderr)
        return 2
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
