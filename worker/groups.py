"""What the consumer group does with partitions, and who is in it. Pure."""

from collections.abc import Callable

from topics import GroupEvents, Member, Places
from worker.ports import Moved

SHARED = "+shared"
"""Kind of a member that is one of several: its leases come from the service."""


def shares(member: Member) -> bool:
    """Return whether a member of the group is one of several."""
    return member.client_id.partition("@")[0].endswith(SHARED)


class GroupMoves(GroupEvents):
    """Partitions as the group's calls come and go.

    In a rebalance all are revoked and most are assigned again: what is being served goes on
    meanwhile, and what is somebody else's is known when it is over. What was lost has been
    somebody else's in between, even if it is assigned again.
    """

    def __init__(self, settled: Callable[[], object] = lambda: None) -> None:
        """Begin with nothing; `settled` is called whenever it is known again what is ours."""
        self._settled = settled
        self._had: set[int] = set()
        self._now: set[int] = set()
        self._lost: set[int] = set()
        self._over = True

    def assigned(self, places: Places) -> None:
        """Take note of what is ours from now on, beside what is already."""
        self._now |= _partitions(places)
        self._over = True
        self._settled()

    def revoked(self, places: Places) -> None:
        """Take note of what is not ours until it is assigned again."""
        self._now -= _partitions(places)
        self._over = False

    def lost(self, places: Places) -> None:
        """Take note of what ceased to be ours some time ago."""
        self._now -= _partitions(places)
        self._lost |= _partitions(places)

    def moved(self) -> Moved:
        """Return what has changed hands since the last call."""
        lost = self._lost & self._had
        if self._over:
            lost |= self._had - self._now
        gained = self._now - (self._had - lost)
        self._had = (self._had - lost) | gained
        self._lost.clear()
        return Moved(frozenset(gained), frozenset(lost))


def _partitions(places: Places) -> set[int]:
    return {partition for _, partition in places}
