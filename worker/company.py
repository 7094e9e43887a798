"""Who else is in the group of fetch workers, looked up as often as the group changes."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from runtime.settings import Settings
from topics import Member, members
from worker.alone import check_alone, wait_alone
from worker.groups import shares
from worker.kafka import KafkaInbox, group_of
from worker.patience import Patience

CALL_TIMEOUT_S = 5.0
"""Calls at the start and the end are short: who asks to stop is not kept waiting."""


async def without_strangers(settings: Settings, patience: Patience) -> None:
    """Return when there is no worker that grants leases, or if we do: no other worker at all.

    Raises:
        SecondWorkerError: There is one, and it stays.
    """

    async def ask() -> list[Member]:
        found = await patience.until_done("ask for other workers", _members(settings))
        return [each for each in found if not (settings.has_coordinator and shares(each))]

    await wait_alone(ask, patience.clock, settings.kafka.session_timeout_ms / 1_000)


async def watch_group(
    inbox: KafkaInbox, settings: Settings, patience: Patience, settled: Callable[[], None]
) -> None:
    """Look who else is there whenever the group changes; never returns.

    Args:
        inbox: Our membership.
        settings: The configuration.
        patience: Waits for the broker.
        settled: Called each time that we may stay.

    Raises:
        SecondWorkerError: It is for us to go.
    """
    while True:
        await inbox.assigned.wait()
        inbox.assigned.clear()
        if not settings.has_coordinator:
            found = await patience.until_done("ask for other workers", _members(settings))
            check_alone(found, inbox.member_id)
        settled()


def _members(settings: Settings) -> Callable[[], Awaitable[tuple[Member, ...]]]:
    kafka = settings.kafka
    return partial(asyncio.to_thread, members, kafka, group_of(kafka), CALL_TIMEOUT_S)
