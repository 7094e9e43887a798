"""Schemas and ids, asked for once and kept: what the codec needs to know of the registry.

However many wait for one answer, one request is under way. An id that a registry that answered
does not know is remembered for a short while. A registry that does not answer is asked again,
with growing pauses, until the caller's deadline.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from runtime import Backoff, Clock, Deadline, DeadlineExceededError
from topics.catalogue import Topic
from topics.errors import NotRegisteredError, RegistryUnavailableError, UnknownSchemaError
from topics.registry import Registry, StoredSchema

WAIT_S = 30.0
"""How long a caller without a deadline waits for the registry."""

UNKNOWN_TTL_S = 5.0
"""How long an unknown id stays unknown: a schema registered a moment later is soon found."""

KEPT_MAX = 1_024
"""Entries in each cache: far above what a sane system has, and a bound for the other kind."""

_PAUSES = Backoff(0.1, 5.0)

K = TypeVar("K")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """A mapping that forgets its least recently used entry when it is full."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return the entry of a key, or None."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: K, value: V) -> None:
        """Remember a value."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)


class Schemas:
    """Knows schemas by id and ids by topic; belongs to one event loop."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._by_id: Kept[int, StoredSchema] = Kept(KEPT_MAX)
        self._unknown_until: Kept[int, float] = Kept(KEPT_MAX)
        self._ids: Kept[str, int] = Kept(KEPT_MAX)
        self._flights: dict[object, asyncio.Task[Any]] = {}

    async def by_id(self, schema_id: int, deadline: Deadline | None) -> StoredSchema:
        """Return the schema of an id.

        Raises:
            UnknownSchemaError: The registry does not know it.
            RegistryUnavailableError: It did not answer before the deadline.
        """
        known = self._by_id.get(schema_id)
        if known is not None:
            return known
        until = self._unknown_until.get(schema_id)
        if until is not None and self._clock.monotonic() < until:
            raise UnknownSchemaError(f"no schema has the id {schema_id}", schema_id)
        found = await self._insist(
            f"schema {schema_id}",
            lambda: self._shared(schema_id, lambda: self._registry.schema_of(schema_id)),
            deadline,
            schema_id,
        )
        self._by_id.put(schema_id, found)
        return found

    async def id_of(self, topic: Topic, deadline: Deadline | None) -> int:
        """Return the id under which the topic's schema is registered.

        Raises:
            NotRegisteredError: It is not; it is not registered here either.
            RegistryUnavailableError: The registry did not answer before the deadline.
        """
        known = self._ids.get(topic.subject)
        if known is not None:
            return known
        schema = topic.schema
        if schema is None:
            raise NotRegisteredError(topic.subject)
        found = await self._insist(
            f"id of {topic.subject}",
            lambda: self._shared(
                topic.subject, lambda: self._registry.id_of(topic.subject, schema)
            ),
            deadline,
        )
        if found is None:
            raise NotRegisteredError(topic.subject)
        self._ids.put(topic.subject, found)
        return found

    async def _insist(
        self,
        action: str,
        ask: Callable[[], Coroutine[Any, Any, V]],
        deadline: Deadline | None,
        schema_id: int | None = None,
    ) -> V:
        budget = deadline or Deadline.after(self._clock, WAIT_S)
        reason = "the time was over before it was asked"
        for pause_s in _PAUSES:
            try:
                return await budget.run(ask(), action)
            except DeadlineExceededError as error:
                raise RegistryUnavailableError(action, reason) from error
            except UnknownSchemaError:
                if schema_id is not None:
                    self._unknown_until.put(schema_id, self._clock.monotonic() + UNKNOWN_TTL_S)
                raise
            except RegistryUnavailableError as error:
                reason = error.reason
                if budget.remaining_s() <= pause_s:
                    raise
                await self._clock.sleep(pause_s)
        raise AssertionError("the pauses never end")

    async def _shared(self, key: object, ask: Callable[[], Awaitable[V]]) -> V:
        """Return what the one request under way for `key` returns; it outlives who waits."""
        task = self._flights.get(key)
        if task is None:
            task = asyncio.ensure_future(_start(ask))
            self._flights[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        result: V = await asyncio.shield(task)
        return result

    def _landed(self, key: object, task: asyncio.Task[Any]) -> None:
        del self._flights[key]
        if not task.cancelled():
            task.exception()  # seen, even when everybody who waited has gone


async def _start(ask: Callable[[], Awaitable[V]]) -> V:
    return await ask()
