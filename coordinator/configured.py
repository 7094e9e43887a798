"""From the configuration to the lease machine's."""

from coordinator.machine.values import PPM, MachineConfig
from runtime.sections import BackfillSettings


def machine_config(backfill: BackfillSettings) -> MachineConfig:
    """Return the lease machine's configuration."""
    return MachineConfig(
        lease_ttl_ms=backfill.lease_ttl_ms,
        max_attempts=backfill.max_attempts,
        retry_backoff_ms=backfill.retry_backoff_ms,
        jitter_ppm=round(backfill.jitter_ratio * PPM),
    )
