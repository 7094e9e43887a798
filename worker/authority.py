"""Who grants leases to this worker: itself, being the only one, or the lease service."""

import os
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import SystemRandom

from coordinator.client import (
    ClientOptions,
    DistributedBackfillCoordinator,
    LeaseClient,
    LocalCoordinator,
    machine_config,
)
from runtime.clock import Clock
from runtime.settings import Settings
from worker.epoch import next_epoch
from worker.patience import Patience

HOST_CHARS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Who grants leases, and what this worker is called there."""

    leases: LeaseClient
    epoch: int
    """Every token from now on is of it, or of a later one."""

    name: str
    """Nobody else's, and no earlier worker's: leases of that one are not ours."""


def own_authority(
    settings: Settings, clock: Clock, epoch_file: Path, highest_token: int
) -> Authority:
    """Return the leases that the only worker grants to itself.

    Args:
        settings: The configuration.
        clock: Measures lives.
        epoch_file: Where the last epoch is.
        highest_token: Of the ledger.

    Raises:
        EpochFileError: The file holds something else.
    """
    epoch = next_epoch(epoch_file, highest_token)
    config = machine_config(settings.backfill)
    leases = LocalCoordinator(clock, epoch, SystemRandom(), config)
    return Authority(leases=leases, epoch=epoch, name="worker")


async def service_authority(
    settings: Settings, patience: Patience, highest_token: int, stack: AsyncExitStack
) -> Authority:
    """Return the leases of the service, whose tokens are above all of the ledger's from now on.

    Args:
        settings: The configuration, with the service in it.
        patience: Waits for the service.
        highest_token: Of the ledger.
        stack: Closes what is opened.

    Raises:
        InvalidValueError: A file of the client cannot be read, or others can.
        CommandRefusedError: The service does not know our token.
    """
    options = ClientOptions.of(settings.coordinator)
    leases = DistributedBackfillCoordinator(settings.coordinator.urls, options)
    stack.push_async_callback(leases.close)
    epoch = await patience.until_done("raise the epoch", partial(leases.raise_epoch, highest_token))
    return Authority(leases=leases, epoch=epoch, name=_own_name())


def _own_name() -> str:
    host = socket.gethostname()[:HOST_CHARS_MAX]
    return f"worker@{host}:{os.getpid()}:{SystemRandom().getrandbits(64):016x}"
