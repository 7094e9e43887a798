"""A strategy asks for bars; missing ones are requested over Kafka and read when visible."""

import asyncio

from provider import EnhancedQuestDBProvider


async def main() -> None:
    """Print the last bars of a year."""
    async with EnhancedQuestDBProvider.from_config("seamless.yaml") as provider:
        bars = await provider.fetch(
            1325376000, 1356998400, node_id="ohlcv:nasdaq:AAPL:1d", interval=86400
        )
    print(bars.tail())
    print(bars.attrs["seamless"]["missing"])


if __name__ == "__main__":
    asyncio.run(main())
