"""The ways between nodes, each direction of each of them open or cut.

A node reaches another through a relay of this process. What is sent while a direction is cut waits
and arrives late, as a network does it to whoever keeps a connection; who tries to connect is let in
by the relay and hears nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress

PART_BYTES = 2**16


class Links:
    """All ways between nodes, by number from 1."""

    def __init__(self, peers: Sequence[str]) -> None:
        """Prepare.

        Args:
            peers: Where the nodes listen for each other.
        """
        self._peers = dict(enumerate(peers, 1))
        self._servers: dict[tuple[int, int], asyncio.Server] = {}
        self._open = {(a, b): asyncio.Event() for a in self._peers for b in self._peers if a != b}
        self._tasks: set[asyncio.Task[None]] = set()

    def of(self, number: int) -> dict[str, int]:
        """Return the port at which a node finds each other one, by its address."""
        return {
            self._peers[other]: server.sockets[0].getsockname()[1]
            for (one, other), server in self._servers.items()
            if one == number
        }

    def cut(self, sender: int, receiver: int) -> None:
        """Let nothing through in one direction."""
        self._open[sender, receiver].clear()

    def isolate(self, number: int, *, sends: bool = False, hears: bool = False) -> None:
        """Cut a node off from all others, but for what it still does."""
        for one, other in self._open:
            if (one == number and not sends) or (other == number and not hears):
                self.cut(one, other)

    def heal(self) -> None:
        """Open every way."""
        for way in self._open.values():
            way.set()

    async def _listen(self) -> None:
        for one, other in self._open:

            async def relay(
                reader: asyncio.StreamReader,
                writer: asyncio.StreamWriter,
                way: tuple[int, int] = (one, other),
            ) -> None:
                await self._relay(way, reader, writer)

            self._servers[one, other] = await asyncio.start_server(relay, "127.0.0.1", 0)

    async def _relay(
        self, way: tuple[int, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        one, other = way
        host, _, port = self._peers[other].rpartition(":")
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there = None
        try:
            with suppress(OSError):
                there = await asyncio.open_connection(host, int(port))
        finally:
            self._tasks.discard(task)
            if there is None:  # Nobody listens, or all ends before somebody does.
                writer.close()
        if there is not None:
            self._spawn(self._carry(self._open[one, other], reader, there[1]))
            self._spawn(self._carry(self._open[other, one], there[0], writer))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(
        self, way: asyncio.Event, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(PART_BYTES):
                    await way.wait()
                    writer.write(data)
                    await writer.drain()
                await way.wait()  # the end of a connection does not cross a cut either
        finally:
            writer.close()

    async def _close(self) -> None:
        for server in self._servers.values():
            server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def links_between(peers: Sequence[str]) -> AsyncGenerator[Links]:
    """Open all ways between nodes."""
    links = Links(peers)
    links.heal()
    await links._listen()
    try:
        yield links
    finally:
        await links._close()
