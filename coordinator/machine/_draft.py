"""A state being changed: copies what is touched, shares the rest, commits at the end."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Generic, TypeVar

from coordinator.machine.replies import Event, LeaseEnded
from coordinator.machine.state import NEVER_MS, Job, Lane, Lease, Session, State
from coordinator.machine.values import LeaseEnd, token_of

K = TypeVar("K")
V = TypeVar("V")


class Table(Generic[K, V]):
    """A mapping that is copied before its first change."""

    def __init__(self, base: Mapping[K, V]) -> None:
        self._base = base
        self._own: dict[K, V] | None = None

    @property
    def now(self) -> Mapping[K, V]:
        """The mapping as it stands; not to be kept across a change."""
        return self._base if self._own is None else self._own

    def get(self, key: K) -> V | None:
        """Return the value, or None."""
        return self.now.get(key)

    def __getitem__(self, key: K) -> V:
        return self.now[key]

    def __contains__(self, key: object) -> bool:
        return key in self.now

    def __len__(self) -> int:
        return len(self.now)

    def values(self) -> Iterator[V]:
        """Yield the values as of now, whatever changes meanwhile."""
        return iter(tuple(self.now.values()))

    def put(self, key: K, value: V) -> None:
        """Insert at the end, or replace in place."""
        self._writable()[key] = value

    def drop(self, key: K) -> None:
        """Remove; nothing happens where there is nothing."""
        if key in self.now:
            del self._writable()[key]

    def keep_newest(self, limit: int) -> None:
        """Remove the oldest beyond `limit`."""
        for key in tuple(islice(self.now, max(0, len(self) - limit))):
            self.drop(key)

    def _writable(self) -> dict[K, V]:
        if self._own is None:
            self._own = dict(self._base)
        return self._own


class Draft:
    """One command's changes to a state, and the events they make."""

    def __init__(self, state: State, elapsed_ms: int) -> None:
        self._base = state
        self.config = state.config
        self.clock_ms = state.clock_ms + max(0, elapsed_ms)
        self.counter = state.counter
        self.next_index = state.next_index
        self.next_expiry_ms = state.next_expiry_ms
        self.sessions: Table[str, Session] = Table(state.sessions)
        self.jobs: Table[str, Job] = Table(state.jobs)
        self.lanes: Table[str, Lane] = Table(state.lanes)
        self.leases: Table[int, Lease] = Table(state.leases)
        self.ended: Table[int, LeaseEnd] = Table(state.ended)
        self.events: list[Event] = []

    @property
    def last_token(self) -> int:
        """The highest token granted so far."""
        return token_of(self._base.epoch, self.counter)

    def next_token(self) -> int:
        """Return a token above all before."""
        self.counter += 1
        return self.last_token

    def jobs_of(self, lane: Lane) -> tuple[Job, ...]:
        """Return the lane's jobs in order of submission."""
        return tuple(self.jobs[job_id] for job_id in lane.job_ids)

    def expires_at(self, clock_ms: int) -> None:
        """Remember that something expires then."""
        self.next_expiry_ms = min(self.next_expiry_ms, clock_ms)

    def look_for_next_expiry(self) -> None:
        """Find out anew when the next lease or session expires."""
        due = [lease.expires_ms for lease in self.leases.values()]
        due += [session.expires_ms for session in self.sessions.values()]
        self.next_expiry_ms = min(due, default=NEVER_MS)

    def end_lease(self, lease: Lease, end: LeaseEnd) -> None:
        """Take a lease out of force and remember how it ended."""
        self.leases.drop(lease.token)
        lane = self.lanes[lease.target.key]
        tokens = tuple(token for token in lane.tokens if token != lease.token)
        self.lanes.put(lease.target.key, replace(lane, tokens=tokens))
        self.ended.put(lease.token, end)
        self.ended.keep_newest(self.config.ended_max)
        self.events.append(LeaseEnded(lease=lease, end=end))

    def commit(self) -> State:
        """Return the state with all changes."""
        return replace(
            self._base,
            clock_ms=self.clock_ms,
            counter=self.counter,
            next_index=self.next_index,
            next_expiry_ms=self.next_expiry_ms,
            sessions=self.sessions.now,
            jobs=self.jobs.now,
            lanes=self.lanes.now,
            leases=self.leases.now,
            ended=self.ended.now,
        )
