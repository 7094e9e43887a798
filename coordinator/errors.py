"""The errors of this room, as a holder of leases meets them."""

from bars.errors import SeamlessError
from coordinator.machine.values import LeaseEnd


class CoordinatorError(SeamlessError):
    """Base of what the lease service answers instead of obeying."""


class CoordinatorUnavailableError(CoordinatorError):
    """The service cannot be reached, or cannot decide now: nothing is known of the outcome."""

    retriable = True


class LeaseLostError(CoordinatorError):
    """The lease is not, or no longer, in force for this session: its work must not go on.

    Attributes:
        token: The lease.
        end: How it ended, None where nobody remembers.
    """

    def __init__(self, token: int, end: LeaseEnd | None, message: str = "") -> None:
        told = message or (end.value if end else "it is not known any more")
        super().__init__(f"lease {token} is lost: {told}")
        self.token = token
        self.end = end


class SessionLostError(CoordinatorError):
    """The session has expired, and its leases with it; a new one may be opened.

    Attributes:
        session_id: The session.
    """

    retriable = True

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {session_id!r} has expired or was never opened")
        self.session_id = session_id


class CommandRefusedError(CoordinatorError):
    """The service understood and will not do it, now or later.

    Attributes:
        code: Which refusal, one of the machine's codes.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
