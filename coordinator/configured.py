"""From the configuration to the lease machine's."""

from coordinator.machine.values import PPM, MachineConfig
from runtime.coordinator import CoordinatorSettings
from runtime.sections import BackfillSettings


def machine_config(
    backfill: BackfillSettings, service: CoordinatorSettings | None = None
) -> MachineConfig:
    """Return the lease machine's configuration.

    Args:
        backfill: Lives and retries.
        service: Limits, where several workers share the machine.
    """
    service = service or CoordinatorSettings()
    return MachineConfig(
        lease_ttl_ms=backfill.lease_ttl_ms,
        max_attempts=backfill.max_attempts,
        retry_backoff_ms=backfill.retry_backoff_ms,
        jitter_ppm=round(backfill.jitter_ratio * PPM),
        source_requests_max=service.source_requests_max,
        session_leases_max=service.session_leases_max,
        sessions_max=service.sessions_max,
    )
