"""Raising the epoch to above tokens that are out in the world: what a worker does before it works.

A service that was made anew knows nothing of the tokens in the ledger. Chunks under tokens below
those would all be refused as stale.
"""

from collections.abc import Iterator

from coordinator._service.api.asked import Answered, Asked, Route
from coordinator._service.api.auth import Role
from coordinator._service.api.body import only, whole_of
from coordinator._service.api.service import Service, told
from coordinator.machine import BumpEpoch, Code, epoch_of

TOKEN_MAX = 2**62
TRIES = 3


def routes(service: Service) -> Iterator[Route]:
    """Yield the route."""

    async def raise_epoch(asked: Asked) -> Answered:
        """See to it that every token from now on is above one; nothing happens if it is so."""
        only(asked.body, "above_token")
        token = whole_of(asked.body, "above_token", 0, TOKEN_MAX)
        answer = await service.barrier()
        for _ in range(TRIES):
            state = service.log.state()
            if state.last_token >= token:
                break
            command = BumpEpoch(
                epoch=epoch_of(token) + 1,
                expected=state.epoch,
                reason=f"token {token} was found in the ledger",
            )
            answer = await service.propose(command, "")
            if answer.reply.code is not Code.CONFLICT:
                break
        return told(answer, epoch=service.log.state().epoch)

    yield Route(
        method="POST", path="/v1/epoch", role=Role.WORKER, handler=raise_epoch, needs_key=True
    )
