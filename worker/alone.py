"""Makes sure that one authority grants leases: a lock on this machine, the group on all machines.

Without a lease service there is one fetch worker, which grants them to itself. With one there are
as many as one likes, and none of the other sort beside them.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from runtime.clock import Clock
from runtime.lock import FileLock, LockHeldError
from runtime.log import logger
from topics import Member
from worker.errors import SecondWorkerError
from worker.groups import shares

LOOK_S = 0.5

GRACE_S = 3.0
"""After its session has ended, a killed member is gone from the group within this."""

_log = logger(__name__)


class MachineLock(FileLock):
    """The lock of the one fetch worker of this machine, or of those that share a service."""

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            SecondWorkerError: Another process has it.
        """
        try:
            return super().__enter__()
        except LockHeldError as error:
            raise SecondWorkerError(str(error)) from None


async def wait_alone(
    members: Callable[[], Awaitable[Sequence[Member]]], clock: Clock, session_timeout_s: float
) -> None:
    """Return when the group of fetch workers has none of those members that may not be there.

    A worker that was killed counts as a member until its session ends, so that is waited for.

    Args:
        members: Returns them.
        clock: For the waiting.
        session_timeout_s: How long a silent member stays.

    Raises:
        SecondWorkerError: Somebody is still there after that: a worker that lives.
    """
    until_s = clock.monotonic() + session_timeout_s + GRACE_S
    while found := await members():
        if clock.monotonic() >= until_s:
            raise SecondWorkerError(_who(found))
        _log.info("waiting_for_the_last_worker_to_vanish", who=_who(found))
        await clock.sleep(LOOK_S)


def check_alone(found: Sequence[Member], own_id: str) -> None:
    """Return if nobody else is in the group, or if it is for the other one to go.

    Two that were started at the same moment find each other here: the lower id stays. Those that
    have their leases from the service stay in any case.

    Raises:
        SecondWorkerError: It is for us to go.
    """
    others = [member for member in found if member.member_id != own_id]
    if any(map(shares, others)) or min((m.member_id for m in others), default=own_id) < own_id:
        raise SecondWorkerError(_who(others))


def _who(found: Sequence[Member]) -> str:
    return ", ".join(f"{member.client_id} from {member.host}" for member in found)
