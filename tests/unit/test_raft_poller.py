"""The poller's bell: one ring for many, and none of them lost."""

import os
import select
import threading
import time

from coordinator._service.raft.poller import WakingPoller


def test_many_rings_before_a_wait_are_one() -> None:
    """Each write to the pipe would let the other thread take the interpreter."""
    bell = WakingPoller()
    for _ in range(10):
        bell.wake()
    assert os.read(bell._bell, 100) == b"!"
    bell.close()


class Hasty(WakingPoller):
    """One that is rung again the moment it may be."""

    armed = False

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if self.armed and (name, value) == ("_ringing", False):
            self.wake()


def test_a_ring_while_the_bell_falls_silent_is_heard() -> None:
    """Else none would be any more: each would wait for the one before to be heard."""
    bell = Hasty()
    bell.wake()
    bell.armed = True
    bell.poll(0.0)
    bell.wake()
    assert select.select([bell._bell], [], [], 0) == ([bell._bell], [], [])
    bell.armed = False
    bell.close()


def test_a_ring_ends_a_wait_however_many_came_before() -> None:
    """What is put down before a ring is seen after the wait: a command would wait for nothing."""
    bell = WakingPoller()
    put: list[int] = []
    count = 20_000

    def work() -> None:
        for number in range(count):
            put.append(number)
            bell.wake()

    thread = threading.Thread(target=work)
    began_s = time.monotonic()
    thread.start()
    while len(put) < count:
        bell.poll(20.0)
    thread.join()
    bell.poll(0.0)
    bell.wake()
    bell.poll(20.0)
    assert time.monotonic() - began_s < 20
    bell.close()
