"""The ways between nodes end with their test, whatever is under way."""

import asyncio

import pytest

from tests.faults.coordinator.links import links_between

PEERS = ("127.0.0.1:1", "127.0.0.1:2")
SOON_S = 5.0


async def test_who_was_let_in_and_reached_nobody_yet_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect, asked = asyncio.open_connection, asyncio.Event()

    async def never(*_where: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "open_connection", never)
    async with links_between(PEERS) as made:
        reader, writer = await connect("127.0.0.1", made.of(1)[PEERS[1]])
        await asyncio.wait_for(asked.wait(), SOON_S)
    assert await asyncio.wait_for(reader.read(), SOON_S) == b""
    writer.close()
    await writer.wait_closed()
