"""The older lease protocol, as its callers know it: the right to one key at a time."""

from collections.abc import Mapping
from dataclasses import dataclass

from coordinator._cluster import Budget, Cluster
from coordinator.errors import CoordinatorUnavailableError, LeaseLostError

_CONFLICT = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to one key, as QMTL's callers know it."""

    key: str
    token: str
    lease_until_ms: int
    """Its end by the service's wall clock."""

    completion_ratio: float = 0.0
    """How much of the key's range was known as done."""

    @property
    def number(self) -> int:
        """The token as a number: above those of all earlier claims of the key."""
        return int(self.token.partition("-")[0])


class Claims:
    """Claims at a lease service."""

    def __init__(self, cluster: Cluster, budget: Budget) -> None:
        self._cluster = cluster
        self._budget = budget

    async def claim(self, key: str, lease_ms: int) -> Claim | None:
        """Return the right to a key; None: somebody else has it."""
        body = {"key": key, "lease_ms": lease_ms}
        told = await self._cluster.change("/v1/leases/claim", body, self._budget)
        if told.status == _CONFLICT:
            return None
        try:
            lease = told.document["lease"]
            return Claim(
                key=key,
                token=str(lease["token"]),
                lease_until_ms=int(lease["lease_until_ms"]),
                completion_ratio=float(told.document["completion_ratio"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            reason = f"status {told.status} without a lease: {error}"
            raise CoordinatorUnavailableError(reason) from None

    async def keep(self, claim: Claim) -> None:
        """Let a claim live on, as long again."""
        await self._tell("keep", claim, {})

    async def complete(self, claim: Claim) -> None:
        """Tell that the key's range is there."""
        await self._tell("complete", claim, {})

    async def fail(self, claim: Claim, reason: str) -> None:
        """Tell that it is not; whoever asks may have the key at once."""
        await self._tell("fail", claim, {"reason": reason})

    async def _tell(self, how: str, claim: Claim, more: Mapping[str, str]) -> None:
        body = {"key": claim.key, "token": claim.token, **more}
        told = await self._cluster.change(f"/v1/leases/{how}", body, self._budget)
        if told.status == _CONFLICT:
            raise LeaseLostError(claim.number, None, "the claim has ended")
