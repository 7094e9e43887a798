"""Waiting for sockets, and for other threads: PySyncObj's poller with a bell."""

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from pysyncobj.poller import POLL_EVENT_TYPE, Poller

_READ_BYTES: Final = 4_096


class WakingPoller(Poller):  # type: ignore[misc]  # the library has no types
    """Calls back what is ready; `wake` ends a wait from any thread."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._callbacks: dict[int, Callable[[int, int], None]] = {}
        self._bell, self._pull = os.pipe()
        self._closing = threading.Lock()
        self._ringing = False
        for end in (self._bell, self._pull):
            os.set_blocking(end, False)
        self.subscribe(self._bell, self._rung, POLL_EVENT_TYPE.READ)

    def subscribe(self, descr: int, callback: Callable[[int, int], None], eventMask: int) -> None:  # noqa: N803 - as the library calls it
        """Call back when a file is ready for what the mask says."""
        events = select.POLLIN if eventMask & POLL_EVENT_TYPE.READ else 0
        events |= select.POLLOUT if eventMask & POLL_EVENT_TYPE.WRITE else 0
        events |= select.POLLERR if eventMask & POLL_EVENT_TYPE.ERROR else 0
        self._callbacks[descr] = callback
        self._poll.register(descr, events)

    def unsubscribe(self, descr: int) -> None:
        """Do not call back any more."""
        if self._callbacks.pop(descr, None) is not None:
            self._poll.unregister(descr)

    def poll(self, timeout: float) -> None:
        """Wait until something is ready, at most so many seconds, and call back."""
        for descr, event in self._poll.poll(timeout * 1_000):
            # One callback may close another's file, whose event has nobody left to tell.
            callback = self._callbacks.get(descr)
            if callback is None:
                continue
            mask = POLL_EVENT_TYPE.READ if event & select.POLLIN else 0
            mask |= POLL_EVENT_TYPE.WRITE if event & select.POLLOUT else 0
            failed = select.POLLERR | select.POLLHUP | select.POLLNVAL
            mask |= POLL_EVENT_TYPE.ERROR if event & failed else 0
            callback(descr, mask)

    def wake(self) -> None:
        """End the wait that goes on, or the next one; nothing after `close`."""
        if self._ringing:
            return  # Whatever was put down before this call will be seen with what rang before.
        # Not rung while it is closed: the number might be another file's by then.
        with self._closing, suppress(BlockingIOError):
            if self._pull >= 0:
                self._ringing = True
                os.write(self._pull, b"!")

    def close(self) -> None:
        """Give the bell back."""
        with self._closing:
            if self._pull >= 0:
                self.unsubscribe(self._bell)
                os.close(self._bell)
                os.close(self._pull)
                self._pull = -1

    def _rung(self, descr: int, event: int) -> None:
        del event
        with suppress(BlockingIOError):
            while len(os.read(descr, _READ_BYTES)) == _READ_BYTES:
                pass
        # Not before it is silent: a ring in between would be taken for one that is to be heard.
        self._ringing = False
