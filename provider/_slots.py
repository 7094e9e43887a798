"""A limit of things done at a time, shared by whatever event loops use one provider."""

import asyncio
import threading
from collections import deque
from concurrent.futures import Future
from types import TracebackType


class Slots:
    """So many at a time, first come first served. An asyncio semaphore belongs to one loop."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._lock = threading.Lock()
        self._waiting: deque[Future[None]] = deque()

    async def __aenter__(self) -> None:
        turn: Future[None] = Future()
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            self._waiting.append(turn)
        try:
            await asyncio.wrap_future(turn)
        except asyncio.CancelledError:
            if not turn.cancel():  # the turn had come already
                self._release()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()

    def _release(self) -> None:
        with self._lock:
            while self._waiting:
                turn = self._waiting.popleft()
                if turn.set_running_or_notify_cancel():
                    turn.set_result(None)
                    return
            self._free += 1
