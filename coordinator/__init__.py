"""Who may fetch what: leases with fencing tokens, each window fetched once.

Lives here: `client`, the protocol that a worker speaks and the service inside one process;
`machine`, the pure rules of sessions, jobs, windows and leases. Other rooms import
`coordinator.client` and nothing else.

Does not live here: fetching (`worker`), what is covered (the ledger in `store`), whether a
chunk is stale (`streams.conform` decides that alone, from the tokens).
"""

from coordinator.client import DistributedBackfillCoordinator, LeaseClient, LocalCoordinator

__all__ = ["DistributedBackfillCoordinator", "LeaseClient", "LocalCoordinator"]
