"""Refusals that several commands share."""

from coordinator.machine.replies import Code, Reply


def invalid(field: str, found: object, allowed: str) -> Reply:
    """Return the refusal of a value."""
    return Reply(code=Code.INVALID, message=f"{field} must be {allowed}, was {found!r}")


def conflict(field: str, found: int, expected: int) -> Reply:
    """Return the refusal of a change by somebody who knows something else than what stands."""
    message = f"{field} must be {expected} as expected, was {found}"
    return Reply(code=Code.CONFLICT, message=message, found=found)
