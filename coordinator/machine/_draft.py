"""A state being changed: what is touched is replaced, the rest is shared, the index follows."""

from dataclasses import replace
from typing import TypeVar

from bars.series import Series
from coordinator.machine._sorted import SortedMap
from coordinator.machine.replies import Event
from coordinator.machine.state import (
    NEVER_MS,
    Claim,
    Ended,
    Index,
    Job,
    Lane,
    Lease,
    Placed,
    Poisoned,
    PoisonKey,
    Session,
    State,
    lease_end_ms,
)
from coordinator.machine.values import MachineConfig, SeriesLane, token_of

K = TypeVar("K")
V = TypeVar("V")


_NOWHERE = Placed(place=None)


class Draft:
    """One command's changes to a state, and the events they make.

    Facts are changed through the methods here, which keep the index. Where a lane stands in the
    queue is worked out later, once for all changes: see `dirty`.
    """

    def __init__(self, state: State) -> None:
        self.config: MachineConfig = state.config
        self.config_version = state.config_version
        self.clock_ms = state.clock_ms
        self.epoch = state.epoch
        self.counter = state.counter
        self._next_index = state.next_index
        self.sessions = state.sessions
        self.jobs = state.jobs
        self.lanes = state.lanes
        self.leases = state.leases
        self.ended = state.ended
        self.poisoned = state.poisoned
        self.rules = state.rules
        self.pauses = state.pauses
        index = state.index
        self.queues = index.queues
        self.placed = index.placed
        self.due = index.due
        self.ages = index.ages
        self.session_ends = index.session_ends
        self.claimed = index.claimed
        self.lease_ends = index.lease_ends
        self.held = index.held
        self.asking = index.asking
        self.ended_order = index.ended
        self.poisoned_order = index.poisoned
        self.dirty: dict[str, None] = {}
        """Lanes whose place in the queue may have changed, in the order in which they did."""

        self.events: list[Event] = []

    @property
    def last_token(self) -> int:
        """The highest token granted so far."""
        return token_of(self.epoch, self.counter)

    def next_token(self) -> int:
        """Return a token above all before."""
        self.counter += 1
        return self.last_token

    def next_index(self) -> int:
        """Return a number above all before."""
        self._next_index += 1
        return self._next_index - 1

    # Sessions

    def put_session(self, session: Session) -> None:
        """Open a session, or let it live on."""
        known = self._end_watch(session.session_id)
        self.sessions = self.sessions.put(session.session_id, session)
        self.session_ends = self.session_ends.put((session.expires_ms, session.session_id), None)
        if session.claim is not None and known is None:
            self.claimed = self.claimed.put(_place_of(session.claim), session.claim)
            self._look_at_lanes_of(session.claim.series)

    def drop_session(self, session_id: str) -> None:
        """Forget a session; its leases are somebody else's business."""
        known = self._end_watch(session_id)
        self.sessions = self.sessions.drop(session_id)
        if known is not None and known.claim is not None:
            self.claimed = self.claimed.drop(_place_of(known.claim))
            self._look_at_lanes_of(known.claim.series)

    def _end_watch(self, session_id: str) -> Session | None:
        known = self.sessions.get(session_id)
        if known is not None:
            self.session_ends = self.session_ends.drop((known.expires_ms, session_id))
        return known

    def claims_of(self, series: Series) -> tuple[Claim, ...]:
        """Return what is claimed of a series, ascending."""
        if not len(self.claimed):
            return ()
        whole = (series.key, -NEVER_MS * 2), (series.key, NEVER_MS * 2)
        return tuple(claim for _, claim in self.claimed.between(*whole))

    def lanes_of(self, series: Series) -> tuple[Lane, ...]:
        """Return the lanes of a series, ascending."""
        found = self.lanes.between(f"{series.key}|", f"{series.key}}}")  # } follows |
        return tuple(lane for _, lane in found)

    def _look_at_lanes_of(self, series: Series) -> None:
        self.dirty.update((lane.target.key, None) for lane in self.lanes_of(series))

    # Jobs and lanes

    def jobs_of(self, lane: Lane) -> tuple[Job, ...]:
        """Return the lane's jobs in order of submission."""
        jobs = self.jobs
        return tuple([jobs[job_id] for job_id in lane.job_ids])

    def put_job(self, job: Job) -> None:
        """Hold a job, or what it has become."""
        self.jobs = self.jobs.put(job.spec.job_id, job)
        self.dirty[job.spec.target.key] = None

    def put_lane(self, lane: Lane) -> None:
        """Hold a lane, or what it has become."""
        self.lanes = self.lanes.put(lane.target.key, lane)
        self.dirty[lane.target.key] = None

    def drop_lane(self, target: SeriesLane) -> None:
        """Forget a lane."""
        self.lanes = self.lanes.drop(target.key)
        self.dirty[target.key] = None

    def place(self, lane_key: str, placed: Placed) -> None:
        """Say where a lane stands in the queue."""
        known = self.placed.get(lane_key) or _NOWHERE
        if known == placed:
            return
        if known.place != placed.place:
            self._move(source_of(lane_key), known, placed)
        if known.due_ms != placed.due_ms:
            self.due = _moved(self.due, lane_key, known.due_ms, placed.due_ms)
        if known.ages_ms != placed.ages_ms:
            self.ages = _moved(self.ages, lane_key, known.ages_ms, placed.ages_ms)
        if placed == _NOWHERE:
            self.placed = self.placed.drop(lane_key)
        else:
            self.placed = self.placed.put(lane_key, placed)

    def _move(self, source: str, known: Placed, placed: Placed) -> None:
        queue = self.queues.get(source) or SortedMap()
        if known.place is not None:
            queue = queue.drop(known.place)
        if placed.place is not None:
            queue = queue.put(placed.place, None)
        if queue:
            self.queues = self.queues.put(source, queue)
        else:
            self.queues = self.queues.drop(source)

    # Leases

    def put_lease(self, lease: Lease) -> None:
        """Hold a lease, or what it has become."""
        known = self.leases.get(lease.token)
        if known is None:
            tokens = self.held.get(lease.session_id) or ()
            self.held = self.held.put(lease.session_id, tuple(sorted((*tokens, lease.token))))
        else:
            self.lease_ends = self.lease_ends.drop((lease_end_ms(known, self.config), lease.token))
        self._ask(lease.target.lane, lease.asking - (known is not None and known.asking))
        self.leases = self.leases.put(lease.token, lease)
        self.lease_ends = self.lease_ends.put((lease_end_ms(lease, self.config), lease.token), None)

    def drop_lease(self, lease: Lease) -> None:
        """Forget a lease that stands."""
        self.leases = self.leases.drop(lease.token)
        self.lease_ends = self.lease_ends.drop((lease_end_ms(lease, self.config), lease.token))
        self._ask(lease.target.lane, -lease.asking)
        rest = tuple(token for token in self.held[lease.session_id] if token != lease.token)
        if rest:
            self.held = self.held.put(lease.session_id, rest)
        else:
            self.held = self.held.drop(lease.session_id)

    def _ask(self, source: str, more: int) -> None:
        asking = (self.asking.get(source) or 0) + more
        if asking:
            self.asking = self.asking.put(source, asking)
        else:
            self.asking = self.asking.drop(source)

    # What was given up

    def put_poisoned(self, poisoned: Poisoned) -> None:
        """Remember a window that was given up; the oldest beyond the limit are forgotten."""
        key = poison_key(poisoned)
        self.poisoned = self.poisoned.put(key, poisoned)
        self.poisoned_order = self.poisoned_order.put((poisoned.index, *key), None)
        self._forget_oldest()

    def drop_poisoned(self, poisoned: Poisoned) -> None:
        """Forget a window that was given up."""
        key = poison_key(poisoned)
        self.poisoned = self.poisoned.drop(key)
        self.poisoned_order = self.poisoned_order.drop((poisoned.index, *key))

    def put_ended(self, ended: Ended) -> None:
        """Remember how a lease ended; the oldest beyond the limit are forgotten."""
        self.ended = self.ended.put(ended.token, ended)
        self.ended_order = self.ended_order.put(ended.index, ended.token)
        self._forget_oldest()

    def put_config(self, config: MachineConfig) -> None:
        """Let other rules hold: everything that follows from the rules is worked out again."""
        leases = tuple(self.leases.values())
        for lease in leases:
            self.drop_lease(lease)
        self.config = config
        self.config_version += 1
        for lease in leases:
            self.put_lease(replace(lease, moved_ms=self.clock_ms))
        self._forget_oldest()
        self.dirty.update(dict.fromkeys(self.lanes))

    def _forget_oldest(self) -> None:
        while len(self.ended) > self.config.ended_max:
            index, token = _first_of(self.ended_order)
            self.ended = self.ended.drop(token)
            self.ended_order = self.ended_order.drop(index)
        while len(self.poisoned) > self.config.poisoned_max:
            (_, lane_key, start), _ = _first_of(self.poisoned_order)
            self.drop_poisoned(self.poisoned[lane_key, start])

    def commit(self) -> State:
        """Return the state with all changes."""
        return State(
            config=self.config,
            config_version=self.config_version,
            epoch=self.epoch,
            counter=self.counter,
            clock_ms=self.clock_ms,
            next_index=self._next_index,
            sessions=self.sessions,
            jobs=self.jobs,
            lanes=self.lanes,
            leases=self.leases,
            ended=self.ended,
            poisoned=self.poisoned,
            rules=self.rules,
            pauses=self.pauses,
            index=self._index(),
        )

    def _index(self) -> Index:
        return Index(
            queues=self.queues,
            placed=self.placed,
            due=self.due,
            ages=self.ages,
            session_ends=self.session_ends,
            claimed=self.claimed,
            lease_ends=self.lease_ends,
            held=self.held,
            asking=self.asking,
            ended=self.ended_order,
            poisoned=self.poisoned_order,
        )


def _moved(
    times: SortedMap[tuple[int, str], None], lane_key: str, before_ms: int, after_ms: int
) -> SortedMap[tuple[int, str], None]:
    if before_ms < NEVER_MS:
        times = times.drop((before_ms, lane_key))
    return times.put((after_ms, lane_key), None) if after_ms < NEVER_MS else times


def _first_of(table: SortedMap[K, V]) -> tuple[K, V]:
    first = table.first()
    assert first is not None  # noqa: S101 - asked of tables that hold too many
    return first


def _place_of(claim: Claim) -> tuple[str, int]:
    return claim.series.key, claim.window.start


def poison_key(poisoned: Poisoned) -> PoisonKey:
    """Return the key of a window that was given up."""
    return poisoned.target.key, poisoned.failure.window.start


def source_of(lane_key: str) -> str:
    """Return the lane's own name, `bf:<source>`: all series of a source share it."""
    return lane_key.rpartition("|")[2]
