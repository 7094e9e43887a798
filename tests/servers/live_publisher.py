"""A provider with a live fetcher as a process: streams one series until it is killed.

`python -m tests.servers.live_publisher seamless.yaml NODE`
"""

import asyncio
import sys

from provider import EnhancedQuestDBProvider
from tests.provider_help import Market


async def publish(config: str, node: str) -> None:
    """Stream, which publishes."""
    async with EnhancedQuestDBProvider.from_config(config, live_fetcher=Market()) as provider:
        async for _ in provider.stream(node_id=node, interval=1):
            pass


if __name__ == "__main__":
    asyncio.run(publish(*sys.argv[1:]))
