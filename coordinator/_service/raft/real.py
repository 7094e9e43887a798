"""The world of a node that is a process: disk, network and time of this machine."""

import threading
from collections.abc import Callable

from pysyncobj.node import TCPNode

from coordinator._service.raft.files import DiskFiles
from coordinator._service.raft.outside import Outside
from coordinator._service.raft.poller import WakingPoller
from coordinator._service.raft.secret import read_secret
from coordinator._service.raft.settings import RaftSettings
from coordinator._service.raft.transport import GuardedTransport
from runtime.clock import Clock


def real_outside(settings: RaftSettings, clock: Clock) -> Outside:
    """Return disk, network and time of this machine.

    Raises:
        SecretError: The nodes' secret cannot be used.
    """
    secret = read_secret(settings.secret_file)
    poller = WakingPoller()
    return Outside(
        files=DiskFiles(settings.folder),
        transport=GuardedTransport,
        node=TCPNode,
        poller=poller,
        wake=poller.wake,
        monotonic=clock.monotonic,
        secret=secret,
        spawn=_in_background,
    )


def _in_background(task: Callable[[], None]) -> None:
    threading.Thread(target=task, daemon=True, name="raft-snapshot").start()
